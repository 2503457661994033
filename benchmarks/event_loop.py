"""How long full blocks hold the event loop: ``python -m benchmarks.event_loop``.

A node takes transfers in, builds full blocks and makes them final; another takes the same blocks.
Every step that a task makes between two waits is timed: nothing else runs meanwhile, no answer of
the RPC either. A task that wants to run every few milliseconds tells how late it does, which adds
what the threads that write take of the interpreter.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from trio.abc import Instrument

from benchmarks.block_import import Node, assignment, signed
from genesis.build import build_genesis
from genesis.presets import build_spec, dev_member
from node.chain_service import ChainService
from node.collector import settle
from node.extrinsic_intake import ExtrinsicIntake
from node.service import SWITCH_INTERVAL
from node.signatures import SignatureChecker, open_signature_checker
from primitives.block import Block, signing_prefix
from primitives.crypto import KeyPair, Purpose, keyed_hash
from primitives.types import AccountId

BATCH = 500
BEAT = 0.003
"""Seconds between two runs of the task that measures lateness."""


class Steps(Instrument):
    """Times every step of every task, by phase."""

    def __init__(self) -> None:
        self.phase = "idle"
        self.wall: dict[str, list[float]] = {}
        self.used: dict[str, list[float]] = {}
        self._wall = self._used = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._used = time.thread_time_ns()
        self._wall = time.perf_counter_ns()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        wall, used = time.perf_counter_ns(), time.thread_time_ns()
        self.wall.setdefault(self.phase, []).append((wall - self._wall) / 1e6)
        self.used.setdefault(self.phase, []).append((used - self._used) / 1e6)


class Beat:
    """How late a task that wants to run often is, by phase."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.late: dict[str, list[float]] = {}

    async def run(self) -> None:
        while True:
            due = time.perf_counter() + BEAT
            phase = self._steps.phase
            await trio.sleep(BEAT)
            self.late.setdefault(phase, []).append(1000 * (time.perf_counter() - due))


@asynccontextmanager
async def opened(
    folder: Path, accounts: int
) -> AsyncIterator[tuple[ChainService, ChainService, list[KeyPair], bytes]]:
    """Give an author, an importer, the accounts' keys and the signing prefix."""
    pairs = [KeyPair(keyed_hash(Purpose.REMARK, b"%d" % number)) for number in range(accounts)]
    spec = build_spec(
        id="bench",
        name="Benchmark",
        chain_type="local",
        validators=[dev_member("Alice")],
        endowed=[AccountId(pair.public) for pair in pairs],
    )
    genesis, version = build_genesis(spec).hash, spec.runtime.system.spec_version
    async with open_signature_checker(genesis, version) as checker:
        services = [
            service_of(Node.open(folder / name, spec), checker) for name in ("author", "importer")
        ]
        yield services[0], services[1], pairs, signing_prefix(genesis, version)


def service_of(node: Node, checker: SignatureChecker) -> ChainService:
    return ChainService(node.chain, node.mempool, ExtrinsicIntake(node.mempool, checker))


async def measure(folder: Path, steps: Steps, beat: Beat, options: argparse.Namespace) -> None:
    nonces = [0] * options.accounts
    async with opened(folder, options.accounts) as (author, importer, pairs, prefix):
        settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(beat.run)
            for height in range(1, options.rounds + 1):
                extrinsics = []
                steps.phase = "preparation"
                for number in range(options.transfers):
                    place = (height * options.transfers + number) % options.accounts
                    recipient = pairs[(place * 7 + height) % options.accounts].public
                    extrinsics.append(signed(prefix, pairs[place], nonces[place], recipient))
                    nonces[place] += 1
                await trio.sleep(0.01)
                steps.phase = "submit"
                for start in range(0, len(extrinsics), BATCH):
                    await author.intake.submit(extrinsics[start : start + BATCH])
                await through(author, importer, steps, height)
                steps.phase = "preparation"
            nursery.cancel_scope.cancel()


async def through(author: ChainService, importer: ChainService, steps: Steps, height: int) -> None:
    """Build a block, take it on the other node, make it final on both."""
    task = assignment(author.chain, height)
    steps.phase = "build"
    built = await author.build(task)
    steps.phase = "save"
    await author.save_pending(built.hash)
    steps.phase = "finalize"
    await author.finalize(built.hash, b"certificate")
    data = built.block.encode()
    steps.phase = "take"
    taken = await importer.take(Block.decode(data))
    steps.phase = "save"
    await importer.save_pending(taken.hash)
    steps.phase = "finalize"
    await importer.finalize(taken.hash, b"certificate")
    print(f"height {height}: {len(built.block.extrinsics)} extrinsics")


def table(name: str, found: dict[str, list[float]]) -> None:
    """Print the 99th percentile and the longest of each phase, in milliseconds."""
    for phase, values in found.items():
        if phase not in ("idle", "preparation") and len(values) > 1:
            p99 = statistics.quantiles(values, n=100)[98]
            print(f"{name:10} {phase:10} p99 {p99:6.1f} ms, longest {max(values):6.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--transfers", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL)
    steps = Steps()
    beat = Beat(steps)
    with tempfile.TemporaryDirectory() as folder:
        trio.run(measure, Path(folder), steps, beat, options, instruments=[steps])
    table("step", steps.wall)
    table("processor", steps.used)
    table("late", beat.late)


if __name__ == "__main__":
    main()
