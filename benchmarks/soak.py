"""Soak: validators under load for a long time; memory must stay flat and finality must not pause.

    python -m benchmarks.soak --minutes 30 --rate 100 --table soak.txt

A devnet of real processes; a client on the same machine submits ``--rate`` transfers a second.
Every five seconds the memory of each node is read, its signature worker included, in two parts:

* *private*: what belongs to the process alone (``RssAnon``). It must be flat;
* *mapped*: pages of files, of programs and of the database (``RssFile``). It follows the size of
  the database and is given up when others need the memory, so it is shown and not judged.

Every minute has a line: private and mapped memory of each node (the minute's mean), heights,
transactions, the longest pause between two final blocks. Then a line for each node, and a verdict;
the exit code is 0 only if it is good:

* memory: the first ``--settle`` minutes fill buffers and the window of blocks that are kept. What
  counts is the second half of the run, or what comes after those minutes if that is less: no node's
  private memory may grow there by more than ``--growth`` MiB a minute (the slope of the line of
  least squares) and by more than a twentieth. A short run sees the database's buffers fill and
  empty: its slope has a sense only over several of their rounds;
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
from statistics import linear_regression, mean

import trio

from node.devnet.devnet import Devnet
from node.devnet.plan import make_plan
from node.devnet.report import shown_millis
from node.devnet.usage import Usage, read_usage
from node.service import wall_clock
from primitives.types import Millis

BASE_PORT = 30_700
MIB = 1 << 20
BEHIND_MAX = 5
"""Blocks by which the last node may be behind the first at the end."""
GROWN_SHARE_MAX = 0.05
LOOK_SECONDS = 5.0
LOOKS_MIN = 12
"""A minute of looks; fewer have no trend."""
SUMMARY = f"{'MiB':<14}  after 1 min   settled   at the end   highest   MiB a minute  mapped"


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment."""

    seconds: float
    usages: tuple[Usage, ...]
    """Of each node."""
    finals: tuple[int, ...]
    extrinsics: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What the verdict asks for."""

    settle_seconds: float
    growth: float
    """MiB a minute."""
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


async def soak(devnet: Devnet, minutes: float, table: Table, seen: list[Look]) -> None:
    """Run the chain, and add to ``seen`` what was seen."""
    async with devnet.running():
        with trio.fail_after(180):
            await devnet.wait_final(1)
        start = trio.current_time()
        end = start + 60 * minutes
        minute: list[Look] = []
        before = look(devnet, 0.0)
        while trio.current_time() < end:
            await trio.sleep_until(min(end, start + LOOK_SECONDS * (len(seen) + 1)))
            seen.append(look(devnet, trio.current_time() - start))
            minute.append(seen[-1])
            if len(minute) * LOOK_SECONDS >= 60:
                table.line(line_of(devnet, before, minute))
                before, minute = seen[-1], []


def look(devnet: Devnet, seconds: float) -> Look:
    """Return what is seen now."""
    sights = [devnet.watch.sights[node.plan.name] for node in devnet.nodes]
    return Look(
        seconds,
        tuple(read_usage(node.process_id) for node in devnet.nodes),
        tuple(sight.final for sight in sights),
        devnet.watch.chain.extrinsics,
    )


def line_of(devnet: Devnet, before: Look, minute: Sequence[Look]) -> str:
    """Return the line of a minute that came after ``before``."""
    last, watch = minute[-1], devnet.watch
    rate = (last.extrinsics - before.extrinsics) / max(0.001, last.seconds - before.seconds)
    memory = " ".join(
        f"{private_of(minute, at):>7.1f} {mapped_of(minute, at):>4.0f}"
        for at in range(len(last.usages))
    )
    finality = f"{shown_millis(watch.finality(0.5))}/{shown_millis(watch.finality(0.99))}"
    return (
        f"{last.seconds / 60:>6.1f}  {memory}  {max(last.finals):>7}  {min(last.finals):>7}  "
        f"{rate:>7.1f}  {finality:>11}  {watch.longest_gap:>11.1f}"
    )


def private_of(looks: Sequence[Look], at: int) -> float:
    """Return the mean of a node's private memory in MiB."""
    return mean(each.usages[at].private_bytes for each in looks) / MIB


def mapped_of(looks: Sequence[Look], at: int) -> float:
    """Return the mean of a node's mapped files in MiB."""
    return mean(each.usages[at].mapped_bytes for each in looks) / MIB


@dataclass(frozen=True, slots=True)
class Growth:
    """How memory changes in the time that counts."""

    per_minute: float
    """MiB."""
    share: float
    """Of the memory at the beginning of that time."""


def growth_of(seen: Sequence[Look], at: int, limits: Limits) -> Growth | None:
    """Return how a node's private memory grew in the time that counts; None if that is short."""
    began = max(limits.settle_seconds, seen[-1].seconds / 2)
    counted = [each for each in seen if each.seconds >= began]
    if len(counted) < LOOKS_MIN:
        return None
    minutes = [each.seconds / 60 for each in counted]
    slope, start = linear_regression(
        minutes, [each.usages[at].private_bytes / MIB for each in counted]
    )
    first = start + slope * minutes[0]
    return Growth(slope, slope * (minutes[-1] - minutes[0]) / first)


def verdict(devnet: Devnet, seen: Sequence[Look], limits: Limits) -> list[str]:
    """Return what is wrong; nothing if nothing is."""
    wrong = list(devnet.problems())
    if not seen:
        return [*wrong, "nothing was seen"]
    if devnet.watch.longest_gap > limits.gap_seconds:
        wrong.append(f"{devnet.watch.longest_gap:.1f} s without a final block")
    behind = max(seen[-1].finals) - min(seen[-1].finals)
    if behind > BEHIND_MAX:
        wrong.append(f"a node is {behind} blocks behind")
    for at, node in enumerate(devnet.nodes):
        growth = growth_of(seen, at, limits)
        if growth is None:
            wrong.append("too short to say whether memory is flat")
            break
        if growth.per_minute > limits.growth and growth.share > GROWN_SHARE_MAX:
            wrong.append(
                f"{node.plan.name} grows by {growth.per_minute:.1f} MiB a minute "
                f"({growth.share:.0%} in the time that counts)"
            )
    return wrong


def summary(devnet: Devnet, seen: Sequence[Look], limits: Limits) -> list[str]:
    """Return the figures that matter, in words."""
    lines = [
        f"heights            1 to {max(seen[-1].finals)}",
        f"transactions       {seen[-1].extrinsics} final in {seen[-1].seconds / 60:.1f} minutes",
        f"longest pause      {devnet.watch.longest_gap:.1f} s between two final blocks",
    ]
    if devnet.load is not None:
        load = devnet.load
        lines.append(f"client             {load.accepted} accepted, {load.refused} refused")
    minute = int(60 / LOOK_SECONDS)
    settled = [each for each in seen if each.seconds >= limits.settle_seconds] or list(seen)
    lines.append(SUMMARY)
    for at, node in enumerate(devnet.nodes):
        growth = growth_of(seen, at, limits)
        trend = "-" if growth is None else f"{growth.per_minute:+.2f}"
        first, last = seen[: 2 * minute][-minute:], seen[-minute:]
        highest = max(each.usages[at].private_bytes for each in seen) / MIB
        lines.append(
            f"{node.plan.name:<14}  {private_of(first, at):>11.1f}  "
            f"{private_of(settled[:minute], at):>8.1f}  {private_of(last, at):>11.1f}  "
            f"{highest:>8.1f}  {trend:>13}  {mapped_of(last, at):>6.1f}"
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
        is_timed=not options.check_invariants,
    )
    devnet = Devnet(plan, load_rate=options.rate)
    table = Table(options.table)
    table.line(
        f"soak of {options.validators} validators, {options.rate} transfers/s, "
        f"{options.minutes:g} minutes, block interval {options.interval} ms; "
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
        f"load average before {os.getloadavg()[0]:.1f}"
    )
    table.line("memory: of a node and its signature worker, MiB private and mapped, minute's mean")
    nodes = " ".join(f"{f'v{at}':>7} {'':>4}" for at in range(options.validators))
    table.line(f"minute  {nodes}  highest   lowest     tx/s  p50/p99 ms  longest gap s")
    limits = Limits(60 * options.settle, options.growth, options.gap)
    seen: list[Look] = []
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
    parser.add_argument("--growth", type=float, default=0.5, help="MiB a minute that are too much")
    parser.add_argument("--gap", type=float, default=10, help="seconds without a final block")
    parser.add_argument("--check-invariants", action="store_true", help="after every block")
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
