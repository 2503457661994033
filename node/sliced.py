"""Running sliced work of the chain among the other tasks of the event loop."""

from typing import TypeVar

import trio

from chain.slices import Slices

T = TypeVar("T")


async def run_in_slices(slices: Slices[T]) -> T:
    """Run the work to its end, with other tasks in between; if cancelled, it is left undone."""
    try:
        while True:
            try:
                next(slices)
            except StopIteration as done:
                result: T = done.value
                return result
            await trio.lowlevel.checkpoint()
    finally:
        slices.close()
