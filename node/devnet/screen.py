"""The one screen of a devnet."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from node.devnet.devnet import Devnet
from node.devnet.plan import NodePlan
from node.devnet.processes import Condition
from node.devnet.provider_screen import draw_providers
from node.devnet.report import shown_millis
from node.devnet.watch import Sight

_COLOURS = {
    Condition.NEW: "dim",
    Condition.RUNNING: "green",
    Condition.PAUSED: "yellow",
    Condition.KILLED: "yellow",
    Condition.FAILED: "bold red",
}
_LEFT = ("node", "process")
_COLUMNS = (
    *_LEFT, "height", "final", "view", "peers", "tx/s", "p50", "p99",
    "cpu%", "MiB", "rpc",
)  # fmt: skip


def introduction(devnet: Devnet, join: str) -> str:
    """Return what is said once; ``join`` is the command with which another node joins.

    It is printed as it is: lines that the terminal wraps, and nobody else, can be pasted whole.
    """
    folder = devnet.plan.spec_file.parent
    return (
        f"{devnet.plan.spec.name}: starting {len(devnet.nodes)} nodes\n"
        f"logs: {folder}/*/{devnet.plan.nodes[0].log.name}\n"
        f"Ctrl-C ends it. To join with one more node, in another terminal:\n\n  {join}\n"
    )


def draw(devnet: Devnet, seconds: float) -> RenderableType:
    """Return the screen as it is now."""
    watch = devnet.watch
    return Group(
        _headline(devnet, seconds),
        _table(devnet),
        *([Text(), draw_providers(devnet), Text()] if devnet.providers else []),
        *([_load(devnet)] if devnet.load else []),
        *([_chaos(devnet)] if devnet.chaos else []),
        _agreement(devnet),
        Text(f"finality of the last minute  p50 {shown_millis(watch.finality(0.5))} ms, "
             f"p99 {shown_millis(watch.finality(0.99))} ms, from a block's first sight on a node"),
    )  # fmt: skip


def _headline(devnet: Devnet, seconds: float) -> Text:
    watch = devnet.watch
    epoch = max(sight.epoch for sight in watch.sights.values())
    return Text.assemble(
        (devnet.plan.spec.name, "bold"),
        f"   {devnet.phase}   {seconds:.0f} s   final {watch.final}   epoch {epoch}   ",
        (f"{watch.extrinsics_per_second:.0f} tx/s", "bold"),
        f"   {watch.chain.extrinsics} transactions",
    )


def _table(devnet: Devnet) -> Table:
    table = Table(
        header_style="bold cyan underline", box=None, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column in _LEFT else "right", no_wrap=True)
    for node in devnet.nodes:
        table.add_row(*_row(node.plan, devnet.watch.sights[node.plan.name]))
    return table


def _row(plan: NodePlan, sight: Sight) -> list[RenderableType]:
    state, colour = sight.condition.value, _COLOURS[sight.condition]
    if sight.condition is Condition.RUNNING and not sight.is_answering:
        state, colour = ("silent" if sight.best else "starting"), "yellow"
    return [
        plan.name,
        Text(state, colour),
        str(sight.best),
        str(sight.final),
        str(sight.view),
        str(sight.peers),
        f"{sight.extrinsics_per_second:.0f}",
        shown_millis(sight.finality_p50),
        shown_millis(sight.finality_p99),
        f"{sight.cpu_percent:.0f}",
        f"{sight.resident_bytes / (1 << 20):.0f}",
        str(plan.rpc_port),
    ]


def _load(devnet: Devnet) -> Text:
    load = devnet.load
    assert load is not None
    words = f"load   {load.rate} tx/s wanted, {load.accepted} accepted, {load.refused} refused"
    missed = f"   {load.latest_refusal}" if load.latest_refusal else ""
    return Text.assemble(words, (missed, "dim"), no_wrap=True, overflow="ellipsis")


def _chaos(devnet: Devnet) -> Text:
    chaos = devnet.chaos
    assert chaos is not None
    return Text(f"chaos  {chaos.troubles} troubles so far   now: {chaos.status}")


def _agreement(devnet: Devnet) -> Text:
    problems = devnet.problems()
    if problems:
        return Text(problems[0], "bold red")
    if not devnet.watch.final:
        return Text("no final block yet", "yellow")
    return Text("all nodes agree on all final blocks", "green")
