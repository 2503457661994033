"""Soak: validators under load for a long time; memory must stay flat and finality must not pause.

    python -m benchmarks.soak --minutes 30 --rate 200

Every minute a line: what each node holds in memory (its signature worker included), heights,
transactions, the longest pause between two final blocks. The first minutes fill caches and the
window of blocks that are kept, so memory counts from ``--settle`` minutes on. The end is a verdict,
and the exit code is 0 only if it is good:

* memory: from the first to the last quarter of the settled minutes no node grew by more than a
  tenth at a rate of more than ``--growth`` MiB an hour;
* finality: no pause longer than ``--gap`` seconds, once the chain had begun;
* agreement: all nodes have the same final blocks, none ended by itself, none fell behind.

``--folder`` keeps chain and logs; ``--table`` also writes the lines to a file.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import trio

from node.devnet.devnet import Devnet
from node.devnet.plan import make_plan
from node.devnet.report import shown_millis
from node.devnet.usage import read_usage
from node.service import wall_clock
from primitives.types import Millis

BASE_PORT = 30_700
MIB = 1 << 20
BEHIND_MAX = 5
"""Blocks by which the last node may be behind the first at the end."""
GROWN_SHARE_MAX = 0.1


@dataclass(frozen=True, slots=True)
class Minute:
    """What was seen at the end of a minute."""

    seconds: float
    resident: tuple[int, ...]
    """Bytes, of each node."""
    finals: tuple[int, ...]
    extrinsics: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What the verdict asks for."""

    settle_seconds: float
    growth_per_hour: float
    """MiB."""
    gap_seconds: float


class Table:
    """Lines to the terminal and, if wanted, to a file, each as soon as it is known."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        if file is not None:
            file.write_text("")

    def line(self, text: str) -> None:
        print(text, flush=True)
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as table:
                table.write(text + "\n")


async def soak(devnet: Devnet, minutes: float, table: Table, seen: list[Minute]) -> None:
    """Run the chain, and add to ``seen`` what was seen each minute."""
    async with devnet.running():
        with trio.fail_after(180):
            await devnet.wait_final(1)
        start = trio.current_time()
        end = start + 60 * minutes
        while trio.current_time() < end:
            await trio.sleep_until(min(end, start + 60 * (len(seen) + 1)))
            seen.append(look(devnet, trio.current_time() - start))
            table.line(line_of(devnet, seen))


def look(devnet: Devnet, seconds: float) -> Minute:
    """Return what is seen now."""
    sights = [devnet.watch.sights[node.plan.name] for node in devnet.nodes]
    return Minute(
        seconds,
        tuple(read_usage(node.process_id).resident_bytes for node in devnet.nodes),
        tuple(sight.final for sight in sights),
        devnet.watch.chain.extrinsics,
    )


def line_of(devnet: Devnet, seen: Sequence[Minute]) -> str:
    """Return the line of the latest minute."""
    last, watch = seen[-1], devnet.watch
    before = seen[-2] if len(seen) > 1 else Minute(0.0, (), (0,), 0)
    rate = (last.extrinsics - before.extrinsics) / max(0.001, last.seconds - before.seconds)
    memory = " ".join(f"{size / MIB:>6.1f}" for size in last.resident)
    finality = f"{shown_millis(watch.finality(0.5))}/{shown_millis(watch.finality(0.99))}"
    return (
        f"{last.seconds / 60:>6.1f}  {memory}  {max(last.finals):>7}  {min(last.finals):>7}  "
        f"{rate:>7.1f}  {finality:>11}  {watch.longest_gap:>11.1f}"
    )


def verdict(devnet: Devnet, seen: Sequence[Minute], limits: Limits) -> list[str]:
    """Return what is wrong; nothing if nothing is."""
    wrong = list(devnet.problems())
    if not seen:
        return [*wrong, "nothing was seen"]
    if devnet.watch.longest_gap > limits.gap_seconds:
        wrong.append(f"{devnet.watch.longest_gap:.1f} s without a final block")
    behind = max(seen[-1].finals) - min(seen[-1].finals)
    if behind > BEHIND_MAX:
        wrong.append(f"a node is {behind} blocks behind")
    settled = [minute for minute in seen if minute.seconds >= limits.settle_seconds]
    for at, node in enumerate(devnet.nodes):
        growth = growth_of([(minute.seconds, minute.resident[at]) for minute in settled])
        if growth is None:
            continue
        share, per_hour = growth
        if share > GROWN_SHARE_MAX and per_hour > limits.growth_per_hour:
            wrong.append(f"{node.plan.name} grows by {per_hour:.0f} MiB an hour ({share:.0%})")
    return wrong


def growth_of(series: Sequence[tuple[float, int]]) -> tuple[float, float] | None:
    """Return growth from the first to the last quarter: a share, and MiB an hour; None if short."""
    quarter = len(series) // 4
    if not quarter:
        return None
    first, last = series[:quarter], series[-quarter:]
    early, late = (mean(size for _, size in part) for part in (first, last))
    hours = (mean(when for when, _ in last) - mean(when for when, _ in first)) / 3600
    return (late - early) / early, (late - early) / MIB / hours


def summary(devnet: Devnet, seen: Sequence[Minute], limits: Limits) -> list[str]:
    """Return the figures that matter, in words."""
    settled = [minute for minute in seen if minute.seconds >= limits.settle_seconds] or list(seen)
    lines = [
        f"heights            1 to {max(seen[-1].finals)}",
        f"transactions       {seen[-1].extrinsics} final in {seen[-1].seconds / 60:.1f} minutes",
        f"longest pause      {devnet.watch.longest_gap:.1f} s between two final blocks",
    ]
    if devnet.load is not None:
        load = devnet.load
        lines.append(f"client             {load.accepted} accepted, {load.refused} refused")
    for at, node in enumerate(devnet.nodes):
        start, settle, end = (
            minute.resident[at] / MIB for minute in (seen[0], settled[0], seen[-1])
        )
        growth = growth_of([(minute.seconds, minute.resident[at]) for minute in settled])
        trend = "" if growth is None else f", {growth[1]:+.1f} MiB an hour since settled"
        lines.append(
            f"{node.plan.name:<18} {start:.1f} MiB after the first minute, {settle:.1f} settled, "
            f"{end:.1f} at the end{trend}"
        )
    return lines


def run_in(folder: Path, options: argparse.Namespace) -> list[str]:
    """Run the soak in ``folder``; return what is wrong."""
    plan = make_plan(
        folder,
        validators=options.validators,
        followers=0,
        base_port=BASE_PORT,
        block_interval=Millis(options.interval),
        genesis_time=wall_clock(),
    )
    devnet = Devnet(plan, load_rate=options.rate)
    table = Table(options.table)
    table.line(
        f"soak of {options.validators} validators, {options.rate} transfers/s, "
        f"{options.minutes} minutes; {platform.machine()}, {os.cpu_count()} processors, "
        f"Python {platform.python_version()}"
    )
    nodes = " ".join(f"{f'v{at} MiB':>6}" for at in range(options.validators))
    table.line(f"minute  {nodes}  highest   lowest     tx/s  p50/p99 ms  longest gap s")
    limits = Limits(60 * options.settle, options.growth, options.gap)
    seen: list[Minute] = []
    cut_short: list[str] = []
    try:
        trio.run(soak, devnet, options.minutes, table, seen)
    except KeyboardInterrupt:
        cut_short = ["interrupted"]
    wrong = cut_short + verdict(devnet, seen, limits)
    for line in summary(devnet, seen, limits) if seen else []:
        table.line(line)
    table.line("VERDICT: " + ("; ".join(wrong) if wrong else "memory flat, no pause, all agree"))
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=int, default=200, help="transfers a second")
    parser.add_argument("--validators", type=int, default=4)
    parser.add_argument("--interval", type=int, default=1000, help="block interval, milliseconds")
    parser.add_argument("--settle", type=float, default=8, help="minutes before memory counts")
    parser.add_argument("--growth", type=float, default=30, help="MiB an hour that are too much")
    parser.add_argument("--gap", type=float, default=10, help="seconds without a final block")
    parser.add_argument("--folder", type=Path, help="keep chain and logs here")
    parser.add_argument("--table", type=Path, help="write the lines to this file too")
    options = parser.parse_args()
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
        return 1 if run_in(options.folder, options) else 0
    with tempfile.TemporaryDirectory(prefix="loopin-soak-") as scratch:
        return 1 if run_in(Path(scratch), options) else 0


if __name__ == "__main__":
    sys.exit(main())
