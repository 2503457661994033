"""Finality against the number of validators and the size of blocks, all nodes on this machine.

    python -m benchmarks.finality                      1, 4, 7 and 10 validators, empty blocks
    python -m benchmarks.finality --validators 4 --rates 0 100 400 1000

A devnet of real processes makes blocks; a client submits ``rate`` transfers a second through random
nodes. After a warm-up every figure is a difference of two looks at the nodes' own metrics:

* p50, p99: from the moment a block's author has built it, and proposes it, until it is final there;
* final tx/s and tx/block: signed extrinsics that became final;
* cpu ms/block: processor time of one node, its signature worker included, per final block;
* votes/block: frames that one node gets on the vote channel per block, certificates included;
* cpu µs/vote: by how much a block costs one node more processor time than it costs the smallest
  chain of the same rate, divided by the votes that it gets more. All that comes with company
  counts: checking and signing votes and certificates, the journal, the way of proposals and votes
  over the wire; so begin with one validator;
* KB/block/peer: what one node sends to one peer per block, on the wire: votes, certificates,
  proposals, relayed extrinsics and pings.

All nodes share the processors, so ten validators here are far slower than ten machines; processor
time a vote is comparable all the same. The nodes check no invariants, as those of a live chain.
"""

import argparse
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

import trio

from node.devnet.devnet import Devnet
from node.devnet.measurements import Measurements, added, difference, quantile
from node.devnet.observer import NodeObserver, look_of
from node.devnet.plan import make_plan
from node.devnet.usage import read_usage
from node.service import wall_clock
from primitives.types import Millis

BASE_PORT = 30_600
WARM_UP_BLOCKS = 5
START_SECONDS = 180
HEADER = (
    "validators  rate  blocks  tx/block  final tx/s   p50 ms   p99 ms  cpu ms/block  votes/block"
    "  cpu µs/vote  KB/block/peer"
)


@dataclass(frozen=True, slots=True)
class Looks:
    """Every node's metrics and processor time at one moment."""

    time: float
    measured: list[Measurements]
    cpu_seconds: float

    def total(self, name: str, **labels: str) -> float:
        return sum(measured.total(name, **labels) for measured in self.measured)

    def finality(self) -> dict[float, float]:
        """Return the histogram of what authors measured of their own blocks."""
        name = "loopin_finality_seconds"
        return added([measured.buckets(name, origin="own") for measured in self.measured])


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    validators: int
    rate: int
    blocks: float
    extrinsics: float
    seconds: float
    p50: float
    p99: float
    cpu_per_block: float
    votes_per_block: float
    bytes_per_block_and_peer: float

    def shown(self, alone: "Row") -> str:
        """Return the line; ``alone`` is that of the smallest chain of this rate."""
        blocks = max(1.0, self.blocks)
        per_vote = self.cpu_per_vote(alone)
        return "  ".join(
            [
                f"{self.validators:>10}",
                f"{self.rate:>4}",
                f"{self.blocks:>6.0f}",
                f"{self.extrinsics / blocks:>8.1f}",
                f"{self.extrinsics / self.seconds:>10.1f}",
                f"{1000 * self.p50:>7.0f}",
                f"{1000 * self.p99:>7.0f}",
                f"{1000 * self.cpu_per_block:>12.1f}",
                f"{self.votes_per_block:>11.1f}",
                f"{'-' if per_vote is None else format(1e6 * per_vote, '.0f'):>11}",
                f"{self.bytes_per_block_and_peer / 1000:>13.2f}",
            ]
        )

    def cpu_per_vote(self, alone: "Row") -> float | None:
        """Return the seconds that one vote more costs; None if there is none more."""
        votes = self.votes_per_block - alone.votes_per_block
        return (self.cpu_per_block - alone.cpu_per_block) / votes if votes > 0 else None


async def measure(folder: Path, *, validators: int, rate: int, interval: int, seconds: int) -> Row:
    """Run one chain and return its line."""
    plan = make_plan(
        folder,
        validators=validators,
        followers=0,
        base_port=BASE_PORT,
        block_interval=Millis(interval),
        genesis_time=wall_clock(),
        is_timed=True,
    )
    devnet = Devnet(plan, load_rate=rate)
    with trio.fail_after(START_SECONDS + 2 * seconds):
        async with devnet.running():
            await devnet.wait_final(1)
            await devnet.wait_final(devnet.watch.final + WARM_UP_BLOCKS)
            before = await looks(devnet)
            await trio.sleep(seconds)
            after = await looks(devnet)
    if problems := devnet.problems():
        raise SystemExit(f"the chain is not sound: {'; '.join(problems)}")
    return row_of(before, after, validators, rate)


async def looks(devnet: Devnet) -> Looks:
    """Look at every node."""
    observers = [NodeObserver(node.plan) for node in devnet.nodes]
    measured = [await trio.to_thread.run_sync(observer.measure) for observer in observers]
    cpu = sum(read_usage(node.process_id).cpu_seconds for node in devnet.nodes)
    return Looks(trio.current_time(), measured, cpu)


def row_of(before: Looks, after: Looks, validators: int, rate: int) -> Row:
    """Return the line of what happened between two looks."""

    def grown(name: str, **labels: str) -> float:
        return after.total(name, **labels) - before.total(name, **labels)

    blocks = grown("loopin_finalized_blocks_total") / validators
    extrinsics = sum(look_of(m).extrinsics for m in after.measured)
    extrinsics -= sum(look_of(m).extrinsics for m in before.measured)
    finality = difference(after.finality(), before.finality())
    shared = max(1.0, blocks) * validators
    return Row(
        validators=validators,
        rate=rate,
        blocks=blocks,
        extrinsics=extrinsics / validators,
        seconds=after.time - before.time,
        p50=quantile(finality, 0.5) or 0.0,
        p99=quantile(finality, 0.99) or 0.0,
        cpu_per_block=(after.cpu_seconds - before.cpu_seconds) / shared,
        votes_per_block=grown("loopin_channel_frames_total", channel="vote", direction="in")
        / shared,
        bytes_per_block_and_peer=grown("loopin_peer_bytes_total", direction="out")
        / (shared * max(1, validators - 1)),
    )


def validators_of(row: Row) -> int:
    return row.validators


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--validators", type=int, nargs="+", default=[1, 4, 7, 10])
    parser.add_argument("--rates", type=int, nargs="+", default=[0], help="transfers a second")
    parser.add_argument("--interval", type=int, default=1000, help="block interval, milliseconds")
    parser.add_argument("--seconds", type=int, default=30, help="measured, of each chain")
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
        f"load average before {os.getloadavg()[0]:.1f}, block interval {options.interval} ms"
    )
    print(HEADER, flush=True)
    rows: list[Row] = []
    for validators in options.validators:
        for rate in options.rates:
            with tempfile.TemporaryDirectory(prefix="loopin-finality-") as folder:
                row = trio.run(run_one, Path(folder), validators, rate, options)
            rows.append(row)
            alone = min((other for other in rows if other.rate == rate), key=validators_of)
            print(row.shown(alone), flush=True)


async def run_one(folder: Path, validators: int, rate: int, options: argparse.Namespace) -> Row:
    return await measure(
        folder,
        validators=validators,
        rate=rate,
        interval=options.interval,
        seconds=options.seconds,
    )


if __name__ == "__main__":
    main()
