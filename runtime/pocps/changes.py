"""The queue by which pools learn what became of the units that supply them.

Invariant: first in, first out; at most one entry for each provider and class, which grows in its
place when more happens before anybody takes it. So the queue is as long as there are providers.
"""

from dataclasses import dataclass, replace

from primitives.codec import ACCOUNT, AMOUNT, U32, U64, struct
from primitives.types import AccountId, Balance
from runtime.module import BoundMap, BoundValue
from runtime.pocps.ladder import REASON
from runtime.pocps.records import UnitsChange

UNITS_CHANGE = struct(
    UnitsChange, class_id=U32, provider=ACCOUNT, units=U64, slashed=AMOUNT, reason=REASON
)


@dataclass(frozen=True, slots=True)
class QueueEnds:
    """Numbers of the oldest entry and of the next one."""

    first: int = 1
    following: int = 1


QUEUE_ENDS = struct(QueueEnds, first=U64, following=U64)


class ChangeQueue:
    """Entries in order; the module that owns the storage lends it."""

    def __init__(
        self,
        ends: BoundValue[QueueEnds],
        entries: BoundMap[int, UnitsChange | None],
        places: BoundMap[tuple[int, AccountId], int],
    ) -> None:
        self._ends, self._entries, self._places = ends, entries, places

    def put(self, change: UnitsChange) -> None:
        """Append a change, or let the waiting one of the same provider and class grow."""
        key = (change.class_id, change.provider)
        place = self._places[key]
        waiting = self._entries[place] if place else None
        if waiting is not None:
            slashed = Balance(waiting.slashed + change.slashed)
            reason = change.reason or waiting.reason
            self._entries[place] = replace(change, slashed=slashed, reason=reason)
            return
        ends = self._ends.get()
        self._entries[ends.following] = change
        self._places[key] = ends.following
        self._ends.set(replace(ends, following=ends.following + 1))

    def take(self, limit: int) -> list[UnitsChange]:
        """Remove and return up to ``limit`` changes, oldest first."""
        ends = self._ends.get()
        stop = min(ends.following, ends.first + limit)
        taken = []
        for place in range(ends.first, stop):
            change = self._entries[place]
            assert change is not None, "an entry between the ends"
            del self._entries[place]
            del self._places[change.class_id, change.provider]
            taken.append(change)
        if taken:
            self._ends.set(replace(ends, first=stop))
        return taken
