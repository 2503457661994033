"""``loopin miner``: what this machine can prove."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import click

from genesis.spec import ChainSpec
from miner.backends.selection import judge_devices, known_devices, load_trials
from miner.bench import BenchRow, bench, best_of
from miner.benchmark import MARGIN_PERCENT
from miner.resources import Resource
from node.cli.connection import connect
from node.cli.output import Output, json_option, pass_output
from node.cli.specs import find_spec
from node.client.node_client import NodeClient
from node.provider.chain_reader import NoSuchClass, PocpsReader, terms_of
from node.rpc.json_types import JsonObject
from primitives.types import AccountId, Height

INTERVAL_BLOCKS = 32
"""Over so many blocks the time between two is averaged."""
_COLUMNS = (
    "class", "device", "rows/s", "GOP/s", "load", "honest units", "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bench:
    """What to measure, and the time that a proof has."""

    names: dict[int, str]
    resources: tuple[Resource, ...]
    window_seconds: float


@click.group()
def miner() -> None:
    """Find out what this machine can prove."""


@miner.command("bench", epilog="Example: loopin miner bench --chain local --class 1")
@click.option("--chain", metavar="FILE|dev|local", help="Chain spec with the classes; default dev.")
@click.option("--url", metavar="URL", help="Take the classes from this node instead.")
@click.option(
    "--class",
    "class_ids",
    type=click.IntRange(0, 2**32 - 1),
    multiple=True,
    help="Measure only this class; may be repeated.",
)
@click.option("--device", "devices", multiple=True, metavar="NAME", help="Only this device.")
@click.option(
    "--seconds",
    type=click.FloatRange(0.05, 600),
    default=3.0,
    show_default=True,
    help="Of work for each class and device.",
)
@click.option(
    "--window",
    type=click.FloatRange(0.1, 10**6),
    help="Seconds from challenge to commit deadline; by default what the chain gives.",
)
@click.option(
    "--margin",
    type=click.IntRange(0, 95),
    default=MARGIN_PERCENT,
    show_default=True,
    help="Percent of the window to leave unused: late blocks, warm days, updates.",
)
@json_option
@pass_output
def bench_command(
    output: Output,
    *,
    chain: str | None,
    url: str | None,
    class_ids: tuple[int, ...],
    devices: tuple[str, ...],
    seconds: float,
    window: float | None,
    margin: int,
) -> None:
    """Measure what each device of this machine proves, and how many units that honestly is.

    A device counts only if it computes the published vectors bit for bit. A figure is of the whole
    loop: rows, network, leaf hashes, tree.
    """
    if chain is not None and url is not None:
        raise click.UsageError("the classes come from --chain or from --url, not from both")
    plan = _from_node(url) if url is not None else _from_spec(find_spec(chain or "dev"))
    plan = _chosen(plan, class_ids, window)
    known = [each for each in known_devices() if not devices or each.name in devices]
    if not known:
        names = ", ".join(each.name for each in known_devices())
        raise click.UsageError(f"no such device; there are {names}")
    with output.waiting("trying the devices") as say:
        verdicts = judge_devices(known, load_trials())
        rows: list[BenchRow] = []
        for row in bench(
            plan.resources,
            verdicts,
            window_seconds=plan.window_seconds,
            seconds=seconds,
            clock=time.perf_counter,
            margin_percent=margin,
        ):
            rows.append(row)
            say(f"class {row.class_id} on {row.device} is measured")
    output.result(
        _document(plan, rows, margin),
        lambda: _show(output, plan, rows, margin),
    )


def _from_spec(spec: ChainSpec) -> Bench:
    pocps = spec.runtime.pocps
    terms = {record.class_id: terms_of(record) for record in pocps.classes}
    return Bench(
        {number: each.name for number, each in terms.items()},
        tuple(each.resource for each in terms.values()),
        pocps.commit_deadline * spec.consensus.block_interval / 1000,
    )


def _from_node(url: str) -> Bench:
    with connect(url) as client:
        reader = PocpsReader(client, AccountId(bytes(32)))
        terms = reader.classes()
        window = reader.windows().commit_deadline * _block_seconds(client)
    return Bench(
        {number: each.name for number, each in terms.items()},
        tuple(each.resource for each in terms.values()),
        window,
    )


def _block_seconds(client: NodeClient) -> float:
    """Return the time between two of the chain's latest blocks."""
    newest = client.header().header
    first = client.hash_at(Height(max(1, newest.height - INTERVAL_BLOCKS)))
    if first is None or newest.height < 2:
        raise click.UsageError("the chain has no blocks yet to tell its pace from: give --window")
    oldest = client.header(first).header
    blocks = max(1, newest.height - oldest.height)
    return (newest.timestamp - oldest.timestamp) / blocks / 1000


def _chosen(plan: Bench, class_ids: Sequence[int], window: float | None) -> Bench:
    """Return the plan for the classes and the window that were given. Raises: NoSuchClass."""
    for number in class_ids:
        if number not in plan.names:
            has = ", ".join(f"{each} ({name})" for each, name in plan.names.items()) or "none"
            raise NoSuchClass(f"the chain has no class {number}; it has {has}")
    chosen = tuple(each for each in plan.resources if not class_ids or each.class_id in class_ids)
    return Bench(plan.names, chosen, window or plan.window_seconds)


def _document(plan: Bench, rows: Sequence[BenchRow], margin: int) -> JsonObject:
    best = best_of(rows)
    return {
        "windowSeconds": plan.window_seconds,
        "marginPercent": margin,
        "rows": [
            {
                "class": row.class_id,
                "name": plan.names[row.class_id],
                "kind": row.kind,
                "device": row.device,
                "problem": row.problem,
                "rowsPerSecond": round(row.rows_per_second, 1),
                "leavesPerSecond": round(row.leaves_per_second, 1),
                "operationsPerSecond": round(row.operations_per_second),
                "loadSeconds": round(row.load_seconds, 4),
                "honestUnits": row.honest_units,
                "unitsMax": row.units_max,
                "sealSecondsPerUnit": round(row.seal_seconds_per_unit, 6),
                "bytesPerUnit": row.bytes_per_unit,
            }
            for row in rows
        ],
        "best": {str(number): row.device for number, row in best.items()},
    }


def _show(output: Output, plan: Bench, rows: Sequence[BenchRow], margin: int) -> None:
    output.table(_COLUMNS, [_shown(plan, row) for row in rows])
    output.text(
        f"\nwindow {plan.window_seconds:.1f} s from challenge to commit deadline, {margin} % of it"
        " left unused"
    )
    for number, row in best_of(rows).items():
        name = f"class {number} {plan.names[number]}"
        if not row.honest_units:
            output.text(f"{name}: too slow for a single unit")
            continue
        sealing = row.seal_seconds_per_unit * row.honest_units
        once = f", sealed once in {sealing:.0f} s" if sealing else ""
        output.text(
            f"{name}: stake up to {row.honest_units} units with {row.device}{once}: loopin provider"
            f" run --class {number} --units {row.honest_units}"
        )


def _shown(plan: Bench, row: BenchRow) -> tuple[str, ...]:
    name = f"{row.class_id} {plan.names[row.class_id]}"
    if row.problem is not None:
        return (name, row.device, "-", "-", "-", "-", row.problem)
    is_network = row.rows_per_second > 0
    speed = f"{row.rows_per_second:.0f}" if is_network else f"{row.leaves_per_second:.0f} chunks/s"
    return (
        name,
        row.device,
        speed,
        f"{row.operations_per_second / 1e9:.1f}" if is_network else "-",
        f"{row.load_seconds:.3f} s" if is_network else "-",
        str(row.honest_units),
        f"{100 * row.honest_units / row.units_max:.0f} % of the class's most",
    )
