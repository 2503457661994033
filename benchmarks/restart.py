"""Return: how soon a validator that is killed and started again votes on a chain that goes on.

    python -m benchmarks.restart --times 5

Each time one of ``--validators`` is killed, the others go on for ``--away`` seconds, and it is
started again. Seconds count from the start of its process: until its log says it has ``started``
(imports, keys, database and ports), until it is ``voting`` (which includes the seconds in which it
listens for its own key), and until a finalization of a block that did not exist when it was started
has its vote. The last must be below 10. The processor time until it has started tells on a busy
machine, too, what the start costs.
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
from node.devnet.usage import read_usage
from tests.e2e.chain_of_processes import ChainOfProcesses, running_chain

LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Return:
    """Seconds from the start of the process."""

    started: float
    processor: float
    """Of which processor time, that of its worker processes included."""
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
    processor = read_usage(victim.process_id).cpu_seconds
    voting = await log.wait("event=voting") - start
    await chain.wait_vote(victim, at)
    counted = trio.current_time() - start
    await chain.wait_final(await chain.final(others[0]) + 2, chain.nodes)
    return Return(started, processor, voting, counted)


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
    names = Return.__slots__
    print(f"{'':>8} " + " ".join(f"{name:>10}" for name in names) + "   seconds")
    rows = [(str(number), one) for number, one in enumerate(returns, start=1)]
    middle = Return(*(median(getattr(one, name) for one in returns) for name in names))
    for label, one in (*rows, ("median", middle)):
        print(f"{label:>8} " + " ".join(f"{getattr(one, name):>10.2f}" for name in names))
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
