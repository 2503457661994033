"""The one screen of a devnet."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from node.devnet.chaos import Chaos
from node.devnet.plan import DevnetPlan
from node.devnet.processes import Condition
from node.devnet.watch import Watch

_COLOURS = {
    Condition.RUNNING: "green",
    Condition.PAUSED: "yellow",
    Condition.KILLED: "yellow",
    Condition.FAILED: "red",
}


def draw(plan: DevnetPlan, watch: Watch, chaos: Chaos | None, seconds: float) -> Group:
    """Return the screen as it is now."""
    lines: list[Text | Table] = [
        Text.assemble(
            (plan.spec.name, "bold"),
            f"   up {seconds:.0f} s   final {watch.final}   ",
            f"{watch.rate():.0f} tx/s   {watch.extrinsics} transactions",
        ),
        _table(plan, watch),
        _agreement(watch),
    ]
    if chaos is not None:
        lines.append(Text(f"chaos: {chaos.troubles} troubles, now {chaos.latest}"))
    ports = "--port 0 --rpc-port 0 --no-prometheus"
    lines.append(Text(f"join:  loopin node --chain {plan.spec_file} --tmp {ports}"))
    lines.append(Text("logs:  in each node's folder, node.log        Ctrl-C ends all", "dim"))
    return Group(*lines)


def _table(plan: DevnetPlan, watch: Watch) -> Table:
    table = Table(header_style="bold cyan")
    for column in ("node", "process", "height", "final", "view", "epoch", "peers", "rpc", "p2p"):
        table.add_column(column, justify="left" if column in {"node", "process"} else "right")
    for node in plan.nodes:
        sight = watch.sights.get(node.name)
        if sight is None:
            table.add_row(node.name, "starting")
            continue
        state = sight.condition.value
        if sight.condition is Condition.RUNNING and not sight.is_answering:
            state = "silent"
        numbers = (sight.best, sight.final, sight.view, sight.epoch, sight.peers)
        table.add_row(
            node.name,
            Text(state, _COLOURS[sight.condition]),
            *(str(number) for number in numbers),
            str(node.rpc_port),
            str(node.port),
        )
    return table


def _agreement(watch: Watch) -> Text:
    if not watch.disagreements:
        return Text("all final blocks agree", "green")
    first = watch.disagreements[0]
    return Text(f"DISAGREEMENT at height {first.height}: {first.one} and {first.other}", "bold red")
