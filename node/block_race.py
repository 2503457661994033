"""Asking several peers for one thing without waiting for the slow ones.

Invariants: at most ``ATTEMPTS_MAX`` attempts run at a time; the first result ends the others; a
peer that made us wait is asked after those that did not.
"""

from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Generic, TypeVar

import trio

from p2p.identity import PeerId

ATTEMPTS_MAX = 4
HESITATION = 0.5
"""Seconds after which the next peer is asked too."""
DEMERITS_MAX = 8

T = TypeVar("T")


class Patience:
    """How often each peer has made us wait lately."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._demerits: dict[PeerId, int] = {}

    def in_order(self, peers: Iterable[PeerId]) -> list[PeerId]:
        """Return the peers, the quick ones first, equals by lot."""
        shuffled = list(peers)
        self._random.shuffle(shuffled)
        return sorted(shuffled, key=lambda peer: self._demerits.get(peer, 0))

    def note(self, peer: PeerId, *, is_quick: bool) -> None:
        """Remember how a peer did."""
        if is_quick:
            self._demerits.pop(peer, None)
        else:
            self._demerits[peer] = min(DEMERITS_MAX, self._demerits.get(peer, 0) + 1)

    def forget(self, peer: PeerId) -> None:
        """Drop what is remembered of a peer that is gone."""
        self._demerits.pop(peer, None)


class Race(Generic[T]):
    """One round of attempts at the same thing."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._result: T | None = None
        self._running = 0
        self._changed = trio.Event()

    async def run(
        self, attempts: Iterable[tuple[PeerId, Callable[[], Awaitable[T | None]]]]
    ) -> T | None:
        """Return the first result; None when every attempt has failed."""
        async with trio.open_nursery() as nursery:
            for peer, attempt in attempts:
                self._running += 1
                nursery.start_soon(self._attempt, peer, attempt, nursery.cancel_scope)
                changed = self._changed
                with trio.move_on_after(HESITATION) as hesitation:
                    await changed.wait()
                if hesitation.cancelled_caught:
                    self._patience.note(peer, is_quick=False)
                while self._running >= ATTEMPTS_MAX:
                    await self._changed.wait()
        return self._result

    async def _attempt(
        self, peer: PeerId, attempt: Callable[[], Awaitable[T | None]], end: trio.CancelScope
    ) -> None:
        result = await attempt()
        self._running -= 1
        self._changed.set()
        self._changed = trio.Event()
        if result is not None:
            self._patience.note(peer, is_quick=True)
            self._result = result
            end.cancel()
