"""When the interpreter looks for cyclic garbage in a node.

A collection of the oldest generation walks over everything that waits in the mempool and holds
the event loop for tens of milliseconds, in the middle of a block as readily as between two. So
the young generations are collected as always, which takes a millisecond or two, and all of it
only now and then: what is cyclic and grew old is the runtimes of blocks, without their state, and
closed connections.

Invariant: collections of everything take at most one part in ``PAUSE_SHARE`` of the time.
"""

import gc
import time

import trio

from node.allocator import give_back

NEVER = 1_000_000_000
PAUSE_MIN = 30.0
"""Seconds, at least, between two collections of everything: some ten thousand objects."""
PAUSE_SHARE = 2000


def settle() -> None:
    """Take what is alive now out of all later collections, and keep those short."""
    gc.collect()
    gc.freeze()
    youngest, middle, _ = gc.get_threshold()
    gc.set_threshold(youngest, middle, NEVER)


async def collect_now_and_then() -> None:
    """Collect everything from time to time, and give back what is free then, for ever."""
    taken = 0.0
    while True:
        await trio.sleep(pause_after(taken))
        started = time.perf_counter()
        gc.collect()
        give_back()
        taken = time.perf_counter() - started


def pause_after(taken: float) -> float:
    """Return the pause after a collection that took so long, both in seconds."""
    return max(PAUSE_MIN, PAUSE_SHARE * taken)
