"""``loopin``: the entry point, which finds the command and turns its failures into exit codes.

Exit codes:

===  ============================================================================================
  0  done
  1  the request failed, or the answer is no: a transfer that failed, a wrong signature, a
     database with defects
  2  the command line is wrong
  3  a file, key or option is unusable
  4  no node answers, or it stopped answering
  5  a node stopped since a block broke what always holds: a bug; its log has the name
130  interrupted
===  ============================================================================================
"""

import importlib
import sys
from collections.abc import Sequence

import click

from node.cli.lazy import SuggestingGroup
from node.cli.output import Output
from node.client.errors import ConnectionLost, NodeUnreachable
from node.threads import verify_with_one_thread
from node.version import VERSION
from primitives.errors import ConfigError, LoopinError

COMMANDS = {
    "node": "Run a node.",
    "devnet": "Run a whole chain on this machine.",
    "genesis": "Make, look at and check chain specs.",
    "key": "Make, import, look at and use keys.",
    "account": "Balances, transfers and history of accounts.",
    "stake": "Bonds, validating, nominating and their rewards.",
    "provider": "Stake computing power or storage, and prove it.",
    "miner": "Find out what this machine can prove.",
    "chain": "Look at the chain of a running node.",
    "db": "Check and prune a node's database.",
    "pool": "Lease computing power and storage, or supply it.",
    "job": "Have the providers of a lease compute, and check them.",
    "simulate": "Run the economic experiments and write reports.",
}
"""Each is a file beside this one with a click command of the same name."""
JUDGES = {"node", "devnet", "chain", "db"}
"""Those that execute blocks, and so verify proofs."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 3
EXIT_NO_NODE = 4
EXIT_INTERRUPTED = 130


_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Commands(SuggestingGroup):
    """Imports a command when it is used, so that ``loopin --help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name in JUDGES:
            # Before numpy is imported, which the command's own file does.
            verify_with_one_thread()
        module = importlib.import_module(f"node.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings=_SETTINGS)
@click.version_option(VERSION, prog_name="loopin")
def loopin() -> None:
    """LooPIN: a blockchain for decentralized computing.

    A first chain on this machine: loopin node --dev
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if not __debug__:
        click.echo("error: loopin does not run under python -O: its checks would vanish", err=True)
        return EXIT_CONFIG
    output = Output()
    try:
        code = loopin.main(arguments, prog_name="loopin", standalone_mode=False, obj=output)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        if not output.as_json:
            error.show()
        else:
            output.fail("UsageError", error.format_message())
        return error.exit_code
    except LoopinError as error:
        output.fail(error.reason, str(error) or error.reason)
        return exit_code_of(error)
    # What a command that ends with ``context.exit`` gives; any other gives None.
    return code if isinstance(code, int) else 0


def exit_code_of(error: LoopinError) -> int:
    """Return the exit code of a failure."""
    match error:
        case NodeUnreachable() | ConnectionLost():
            return EXIT_NO_NODE
        case ConfigError():
            return EXIT_CONFIG
        case _:
            return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
