"""Long work on the event loop, cut into slices so that nothing else waits for long."""

from time import perf_counter

import trio

SLICE_SECONDS = 0.002


class Slices:
    """A stopwatch that lets other tasks run whenever a slice of time is used up."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends = perf_counter() + SLICE_SECONDS

    async def breathe(self) -> None:
        """Let other tasks run if this one has held the event loop for a slice."""
        if perf_counter() >= self._ends:
            await trio.lowlevel.checkpoint()
            self._ends = perf_counter() + SLICE_SECONDS
