"""Return: how soon a validator that is killed and started again votes on a chain that goes on.

    python -m benchmarks.restart --times 5

Each time one of ``--validators`` is killed, the others go on for ``--away`` seconds, and it is
started again. Seconds count from the start of its process: until its log says it has ``started``
(imports, keys, database and ports), until it is ``voting`` (which includes the seconds in which it
listens for its own key), and until a finalization of a block that did not exist when it was started
has its vote. The last must be below 10.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import trio

from node.devnet.processes import NodeProcess
from tests.e2e.chain_of_processes import ChainOfProcesses, running_chain

LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Return:
    """Seconds from the start of the process."""

    started: float
    voting: float
    counted: float


async def come_back(chain: ChainOfProcesses, victim: NodeProcess, away: float) -> Return:
    """Kill and restart one validator."""
    others = [node for node in chain.nodes if node is not victim]
    await victim.kill()
    await trio.sleep(away)
    at = max(await chain.finals())
    log = Log(victim.plan.log)
    start = trio.current_time()
    await victim.start()
    started = await log.wait("event=started") - start
    voting = await log.wait("event=voting") - start
    await chain.wait_vote(victim, at)
    counted = trio.current_time() - start
    await chain.wait_final(await chain.final(others[0]) + 2, chain.nodes)
    return Return(started, voting, counted)


class Log:
    """What a node writes from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size

    async def wait(self, event: str) -> float:
        """Return when the log first has ``event``, looked for every few milliseconds."""
        while True:
            with self._path.open("rb") as log:
                log.seek(self._offset)
                if event.encode() in log.read():
                    return trio.current_time()
            await trio.sleep(LOOK_SECONDS)


async def measure(options: argparse.Namespace) -> list[Return]:
    """Return how each restart went."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_chain(
            Path(folder), validators=options.validators, interval=options.interval
        ) as chain:
            return [
                await come_back(chain, chain.nodes[number % len(chain.nodes)], options.away)
                for number in range(options.times)
            ]


def show(returns: Sequence[Return]) -> None:
    """Print the table."""
    print(f"{'':>10} {'started':>9} {'voting':>9} {'counted':>9}   seconds from process start")
    for number, one in enumerate(returns, start=1):
        print(f"{number:>10} {one.started:>9.2f} {one.voting:>9.2f} {one.counted:>9.2f}")
    middle = [median(getattr(one, name) for one in returns) for name in Return.__slots__]
    print(f"{'median':>10} " + " ".join(f"{value:>9.2f}" for value in middle))
    print(f"longest until its vote counts: {max(one.counted for one in returns):.2f} s (must: 10)")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="when a killed validator votes again")
    parser.add_argument("--validators", type=int, default=4)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--away", type=float, default=5.0, help="seconds")
    parser.add_argument("--interval", type=int, default=1000, help="milliseconds between blocks")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {load:.1f}")
    show(trio.run(measure, options))


if __name__ == "__main__":
    main()
