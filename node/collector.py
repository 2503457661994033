"""When the interpreter looks for cyclic garbage in a node.

A collection of the oldest generation walks over everything that waits in the mempool and holds
the event loop for tens of milliseconds, in the middle of a block as readily as between two. So
the young generations are collected as always, which takes a millisecond or two, and all of it
only once in a while: what is cyclic and grew old is little, closed connections mostly.
"""

import gc

import trio

NEVER = 1_000_000_000
FULL_PAUSE = 600.0
"""Seconds between two collections of everything."""


def settle() -> None:
    """Take what is alive now out of all later collections, and keep those short."""
    gc.collect()
    gc.freeze()
    youngest, middle, _ = gc.get_threshold()
    gc.set_threshold(youngest, middle, NEVER)


async def collect_now_and_then() -> None:
    """Collect everything from time to time, for ever."""
    while True:
        await trio.sleep(FULL_PAUSE)
        gc.collect()
