"""``loopin devnet``: a whole chain on this machine."""

import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
import trio
from rich.console import Console
from rich.live import Live

from node.devnet.chaos import Chaos
from node.devnet.plan import DevnetPlan, make_plan
from node.devnet.processes import Condition, NodeProcess, stop_all
from node.devnet.screen import draw
from node.devnet.watch import Watch
from node.service import wall_clock
from primitives.errors import LoopinError
from primitives.types import Millis

DEFAULT_BASE_PORT = 30400
REFRESH_SECONDS = 0.5
LINE_SECONDS = 5.0
"""Without a terminal, a line of status this often."""


class DevnetFailed(LoopinError):
    """The chain did not do what a chain must; the message says what."""


@click.command()
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
@click.option("--chaos", is_flag=True, help="Kill, pause and restart nodes at random.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the chaos.")
@click.option("--duration", type=click.IntRange(1), help="End by itself after so many seconds.")
def devnet(
    *,
    validators: int,
    followers: int,
    folder: Path | None,
    base_port: int,
    block_interval: int,
    chaos: bool,
    seed: int,
    duration: int | None,
) -> None:
    """Run a chain of several validators on this machine until Ctrl-C.

    Example: loopin devnet --validators 4 --chaos
    """
    with ExitStack() as stack:
        if folder is None:
            scratch = tempfile.TemporaryDirectory(prefix="loopin-devnet-")
            folder = Path(stack.enter_context(scratch))
        folder.mkdir(parents=True, exist_ok=True)
        plan = make_plan(
            folder,
            validators=validators,
            followers=followers,
            base_port=base_port,
            block_interval=Millis(block_interval),
            genesis_time=wall_clock(),
        )
        nodes = [NodeProcess(node, plan) for node in plan.nodes]
        voters = [node for node in nodes if node.plan.is_validator]
        torment = Chaos(voters, seed=seed, faulty_max=(validators - 1) // 3) if chaos else None
        watch = Watch(nodes)
        trio.run(_run, plan, nodes, watch, torment, duration)
    if watch.disagreements:
        raise DevnetFailed(f"nodes disagree on final block {watch.disagreements[0].height}")


async def _run(
    plan: DevnetPlan,
    nodes: list[NodeProcess],
    watch: Watch,
    chaos: Chaos | None,
    duration: int | None,
) -> None:
    try:
        with trio.move_on_after(duration or float("inf")):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_signalled, nursery.cancel_scope)
                for node in nodes:
                    await node.start()
                nursery.start_soon(watch.run)
                if chaos is not None:
                    nursery.start_soon(chaos.run)
                await _show(plan, watch, chaos)
    finally:
        await stop_all(nodes)


async def _until_signalled(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _show(plan: DevnetPlan, watch: Watch, chaos: Chaos | None) -> None:
    start = trio.current_time()
    if not sys.stdout.isatty():
        while True:
            await trio.sleep(LINE_SECONDS)
            click.echo(_line(watch, chaos, trio.current_time() - start))
    with Live(console=Console(), auto_refresh=False, screen=False) as live:
        while True:
            live.update(draw(plan, watch, chaos, trio.current_time() - start), refresh=True)
            await trio.sleep(REFRESH_SECONDS)


def _line(watch: Watch, chaos: Chaos | None, seconds: float) -> str:
    running = sum(s.condition is Condition.RUNNING for s in watch.sights.values())
    finals = ",".join(str(watch.sights[name].final) for name in sorted(watch.sights))
    trouble = f" chaos={chaos.latest!r}" if chaos else ""
    return (
        f"up={seconds:.0f}s running={running} final={watch.final} finals={finals} "
        f"tx/s={watch.rate():.0f} disagreements={len(watch.disagreements)}{trouble}"
    )
