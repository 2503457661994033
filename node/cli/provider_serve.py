"""``loopin provider serve``: do the jobs of the clients that lease the provider's units."""

import dataclasses
import json
import signal
from collections.abc import Mapping
from pathlib import Path

import click
import trio

from node.cli.connection import url_option
from node.cli.job import run_async
from node.cli.keys_given import read_text_file
from node.cli.logs import DEFAULT_BASE_PATH, configure_logs
from node.cli.output import Output, json_option, pass_output
from node.cli.provider import given_pair
from node.client.endpoint import Endpoint
from node.lease.processes import Command
from node.lease.program import ServeSettings, serve_leases
from node.provider.folder import default_folder, locked_folder
from p2p.identity import Address, parse_address
from primitives.crypto import KeyPair
from primitives.errors import ConfigError, DecodeError
from primitives.types import AccountId

DEFAULT_LISTEN = "/ip4/0.0.0.0/tcp/30390"
COMMANDS_BYTES_MAX = 1 << 16
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LIMITS = {field.name for field in dataclasses.fields(Command)} - {"argv"}


class InvalidCommands(ConfigError):
    """The file of commands is not what it should be; the message says where."""


@click.command(
    epilog="Example: loopin provider serve --key //Alice --listen /ip4/0.0.0.0/tcp/30390"
    " --announce /dns4/gpu.example.org/tcp/30390"
)
@click.option("--key", metavar="//NAME", help="A development key: the provider's.")
@click.option(
    "--key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Account file of the provider's key; its password is asked for.",
)
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the password of the account file.",
)
@click.option(
    "--listen",
    metavar="ADDRESS",
    default=DEFAULT_LISTEN,
    show_default=True,
    help="Where clients are let in.",
)
@click.option(
    "--announce",
    metavar="ADDRESS",
    multiple=True,
    help="What clients are told on chain, if that is not where it listens; may be repeated.",
)
@click.option(
    "--commands",
    "commands_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON file of commands that clients may run; without it, none. See docs/jobs.md.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Jobs and the service's key; default {DEFAULT_BASE_PATH}/provider/<account>/leases.",
)
@click.option("--log", metavar="LEVEL", default="warning", show_default=True, help="Or name=level.")
@url_option
@json_option
@pass_output
def serve(  # noqa: PLR0913 - one parameter an option
    output: Output,
    *,
    key: str | None,
    key_file: Path | None,
    password_file: Path | None,
    listen: str,
    announce: tuple[str, ...],
    commands_file: Path | None,
    folder: Path | None,
    log: str,
    url: str,
) -> None:
    """Serve the clients of the provider's leases until Ctrl-C.

    Says on chain where it can be reached, lets in whoever holds the key of a lease, runs integer
    networks and the commands that are offered, signs results, and answers disputes over them.
    """
    configure_logs(log)
    pair = given_pair(key, key_file, password_file)
    own = default_folder(DEFAULT_BASE_PATH, AccountId(pair.public)) / "leases"
    settings = ServeSettings(
        folder=(folder or own).expanduser(),
        listen=given_address(listen),
        announce=tuple(map(given_address, announce)),
        commands={} if commands_file is None else load_commands(commands_file),
    )
    with locked_folder(settings.folder):
        run_async(lambda: _serve(output, Endpoint.parse(url), pair, settings))


async def _serve(
    output: Output, endpoint: Endpoint, pair: KeyPair, settings: ServeSettings
) -> None:
    with trio.open_signal_receiver(*_ENDINGS) as signals:
        async with trio.open_nursery() as nursery:
            addresses = await nursery.start(serve_leases, endpoint, pair, settings)
            output.result(
                {"serving": [*addresses]}, lambda: output.facts({"serving": "\n".join(addresses)})
            )
            async for _ in signals:
                nursery.cancel_scope.cancel()
                return


def load_commands(file: Path) -> Mapping[str, Command]:
    """Return the commands that a file offers. Raises: InvalidCommands, FileUnreadable."""
    try:
        plain = json.loads(read_text_file(file, COMMANDS_BYTES_MAX))
    except ValueError as error:
        raise InvalidCommands(f"{file} is not JSON: {error}") from error
    if not isinstance(plain, dict):
        raise InvalidCommands(f"{file}: an object of commands by name is wanted")
    return {name: _command(f"{file}: {name}", value) for name, value in plain.items()}


def _command(where: str, plain: object) -> Command:
    if not isinstance(plain, dict):
        raise InvalidCommands(f"{where}: an object with argv is wanted")
    argv = plain.get("argv")
    if not isinstance(argv, list) or not argv or not all(isinstance(each, str) for each in argv):
        raise InvalidCommands(f"{where}.argv: a list of texts is wanted, the program first")
    limits = {name: value for name, value in plain.items() if name != "argv"}
    for name, value in limits.items():
        if name not in _LIMITS:
            raise InvalidCommands(f"{where}.{name}: known are {', '.join(sorted(_LIMITS))}")
        if type(value) is not int or value < 0:
            raise InvalidCommands(f"{where}.{name}: a whole number is wanted")
    return Command(tuple(argv), **limits)


def given_address(text: str) -> Address:
    """Return an address to listen at or to announce. Raises: click.UsageError."""
    try:
        return parse_address(text)
    except DecodeError as error:
        raise click.UsageError(
            f"{text!r:.80} is no address: give one such as /ip4/192.0.2.7/tcp/30390"
        ) from error
