"""Deadlines for what must not be cancelled.

A write that is cancelled half-way corrupts its connection, so a write never stands under an
ordinary timeout. It stands under one of these: when its time is over the whole connection is cut
off, which ends the write with an error.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

import trio


class Deadlines:
    """The deadlines of one connection; ``run`` must be running for them to count."""

    def __init__(self, abort: Callable[[str], None]) -> None:
        self._abort = abort
        self._pending: dict[object, tuple[float, str]] = {}
        self._changed = trio.Event()

    @contextmanager
    def limit(self, seconds: float, reason: str) -> Iterator[None]:
        """Cut the connection off with ``reason`` unless the block ends within ``seconds``."""
        key = object()
        self._pending[key] = trio.current_time() + seconds, reason
        self._changed.set()
        try:
            yield
        finally:
            del self._pending[key]

    async def run(self) -> None:
        """Watch; returns after a deadline has passed and the connection is cut off."""
        while True:
            self._changed = trio.Event()
            soonest, reason = min(self._pending.values(), default=(inf, ""))
            if soonest <= trio.current_time():
                self._abort(reason)
                return
            with trio.move_on_at(soonest):
                await self._changed.wait()
