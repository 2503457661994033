"""``loopin devnet``: a whole chain on this machine."""

import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import click
import orjson
import trio
from rich.console import Console
from rich.live import Live

from node.cli.output import Output, json_option, pass_output
from node.devnet.behaviours import parse_behaviours
from node.devnet.devnet import Devnet
from node.devnet.plan import DevnetPlan, make_plan
from node.devnet.provider_plan import EPOCH_LENGTH, Simulation
from node.devnet.report import begin_document, end_document, status_document, status_line
from node.devnet.screen import draw, introduction
from node.rpc.json_types import JsonObject
from node.service import wall_clock
from primitives.errors import LoopinError
from primitives.types import Millis

DEFAULT_BASE_PORT = 30400
REFRESH_SECONDS = 0.5
LINE_SECONDS = 5.0
"""Without a terminal, a line of status this often."""
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DevnetFailed(LoopinError):
    """The chain did not do what a chain must; the message says what."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was given on the command line; the names are those of the options."""

    validators: int
    followers: int
    folder: Path | None
    base_port: int
    block_interval: int
    load: int
    providers: str | None
    epoch_length: int
    chaos: bool
    seed: int
    duration: int | None


@click.command(epilog="Example: loopin devnet --validators 4 --load 100 --chaos")
@click.option(
    "--validators", type=click.IntRange(1, 32), default=4, show_default=True, help="How many."
)
@click.option("--followers", type=click.IntRange(0, 31), default=0, help="Nodes that do not vote.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where all nodes live; by default a scratch folder that is deleted at the end.",
)
@click.option(
    "--base-port",
    type=click.IntRange(1024, 65000),
    default=DEFAULT_BASE_PORT,
    show_default=True,
    help="Each node takes three ports from here on: peers, RPC, metrics.",
)
@click.option(
    "--block-interval",
    type=click.IntRange(100, 60_000),
    default=1000,
    show_default=True,
    help="Milliseconds between blocks.",
)
@click.option(
    "--load",
    type=click.IntRange(0, 100_000),
    default=0,
    help="Transfers a second that a client sends through random nodes.",
)
@click.option(
    "--providers",
    metavar="LIST",
    help="Simulated providers, such as fast,slow,lazy:0.1,silent,copier,replayer,twins; the first "
    "ones are the validators'. Votes then follow proofs.",
)
@click.option(
    "--epoch-length",
    type=click.IntRange(16, 10_000),
    default=EPOCH_LENGTH,
    show_default=True,
    help="Blocks of an epoch, with --providers.",
)
@click.option("--chaos", is_flag=True, help="Kill, pause and restart validators at random.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the chaos.")
@click.option("--duration", type=click.IntRange(1), help="End by itself after so many seconds.")
@json_option
@pass_output
def devnet(output: Output, /, **given: Any) -> None:  # noqa: ANN401 - one parameter an option
    """Run a chain of several validators on this machine until Ctrl-C.

    Fails if two nodes disagree on a final block, if the chain stands still although enough of
    them run, or if it does not recover from the chaos. With --json, a document a line.
    """
    options = Options(**given)
    simulation = None
    if options.providers is not None:
        simulation = Simulation(parse_behaviours(options.providers), options.epoch_length)
    with ExitStack() as stack:
        stack.enter_context(_endings_interrupt())
        folder = options.folder
        if folder is None:
            scratch = tempfile.TemporaryDirectory(prefix="loopin-devnet-")
            folder = Path(stack.enter_context(scratch))
        folder.mkdir(parents=True, exist_ok=True)
        plan = make_plan(
            folder,
            validators=options.validators,
            followers=options.followers,
            base_port=options.base_port,
            block_interval=Millis(options.block_interval),
            genesis_time=wall_clock(),
            simulation=simulation,
        )
        made = Devnet(
            plan, chaos_seed=options.seed if options.chaos else None, load_rate=options.load
        )
        trio.run(_Run(made, options.duration, as_json=output.as_json).run)
    if problems := made.problems():
        raise DevnetFailed("; ".join(problems))


class _Run:
    """One devnet from its start to its end, and what is shown of it."""

    def __init__(self, devnet: Devnet, duration: int | None, *, as_json: bool) -> None:
        self._devnet = devnet
        self._duration = duration
        self._as_json = as_json
        self._join = join_command(devnet.plan)
        self._start = 0.0
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Run it until its time is over or a signal comes; a second signal does not wait."""
        self._start = trio.current_time()
        with trio.open_signal_receiver(*_ENDINGS) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._obey, signals)
                with self._scope:
                    async with self._devnet.running(), trio.open_nursery() as showing:
                        showing.start_soon(self._show)
                        showing.start_soon(self._end_when_doomed)
                        await self._wait()
                        showing.cancel_scope.cancel()
                nursery.cancel_scope.cancel()
        self._print(end_document)

    async def _wait(self) -> None:
        if self._duration is None:
            await trio.sleep_forever()
        await trio.sleep_until(self._start + (self._duration or 0))
        await self._devnet.calm_down()

    async def _end_when_doomed(self) -> None:
        await self._devnet.wait_doomed()
        self._scope.cancel()

    async def _obey(self, signals: Any) -> None:  # noqa: ANN401 - trio names no type for it
        async for _ in signals:
            if self._scope.cancel_called:
                await self._devnet.kill()
            self._scope.cancel()

    async def _show(self) -> None:
        self._print(begin_document)
        if not self._as_json:
            self._line(introduction(self._devnet, self._join))
        if self._as_json or not sys.stdout.isatty():
            await self._show_lines()
        with Live(console=Console(), auto_refresh=False, transient=False) as live:
            while True:
                live.update(draw(self._devnet, self._seconds), refresh=True)
                await trio.sleep(REFRESH_SECONDS)

    async def _show_lines(self) -> None:
        while True:
            await trio.sleep(LINE_SECONDS)
            if self._as_json:
                self._print(status_document)
            else:
                self._line(status_line(self._devnet, self._seconds))

    @property
    def _seconds(self) -> float:
        return trio.current_time() - self._start

    def _print(self, make: Callable[..., JsonObject]) -> None:
        """Print a document, if documents are wanted."""
        if self._as_json:
            about = self._join if make is begin_document else self._seconds
            self._line(orjson.dumps(make(self._devnet, about)).decode())

    def _line(self, text: str) -> None:
        try:
            click.echo(text)
        except BrokenPipeError:
            # Nobody reads any more: as good as Ctrl-C, and the last lines have nowhere to go.
            sys.stdout = None
            self._scope.cancel()


def join_command(plan: DevnetPlan) -> str:
    """Return what to type into another terminal, so that one more node follows the chain."""
    program = Path(sys.argv[0])
    if program.name != "loopin":
        words = [sys.executable, "-m", "node.cli.main"]
    elif shutil.which("loopin") == str(program):
        words = ["loopin"]
    else:
        words = [str(program.absolute())]
    ports = ["--port", "0", "--rpc-port", "0", "--no-prometheus"]
    return shlex.join([*words, "node", "--chain", str(plan.spec_file.absolute()), "--tmp", *ports])


@contextmanager
def _endings_interrupt() -> Iterator[None]:
    """Treat every signal that asks to end like Ctrl-C, until trio takes over and afterwards."""

    def interrupt(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    before = {number: signal.signal(number, interrupt) for number in _ENDINGS[1:]}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
