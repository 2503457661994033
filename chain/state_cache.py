"""The finalized state with what was read and written lately in memory.

Invariants: it answers as the state below does, and changes only with ``advance``; its memory is
bounded by the number and, since a value is, the size of what it keeps.
"""

from collections.abc import Iterator, Mapping
from itertools import islice

from chain.unfinalized import FinalizedState

VALUES_MAX = 1 << 16
"""About 11 MB of balances and nonces; with the largest values that are kept, 30 MB."""
VALUE_BYTES_MAX = 256
"""Larger values are left to the database: they are few, and read rarely."""


class StateCache:
    """The state after the last final block."""

    def __init__(self, below: FinalizedState, *, values_max: int = VALUES_MAX) -> None:
        self._below = below
        self._values_max = values_max
        self._values: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, or None."""
        try:
            return self._values[key]
        except KeyError:
            value = self._below.get(key)
            if value is None or len(value) <= VALUE_BYTES_MAX:
                self._values[key] = value
                if len(self._values) > self._values_max:
                    self._shrink()
            return value

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield what lies under ``prefix``, in order of key."""
        return self._below.items(prefix)

    def keys_paged(self, prefix: bytes, start: bytes, count: int) -> list[bytes]:
        """Return up to ``count`` keys under ``prefix``, in order, that come after ``start``."""
        return self._below.keys_paged(prefix, start, count)

    def advance(self, below: FinalizedState, writes: Mapping[bytes, bytes | None]) -> None:
        """Be the state ``below`` from now on, which is the one before with ``writes``."""
        self._below = below
        self._values.update(writes)
        for key, value in writes.items():
            if value is not None and len(value) > VALUE_BYTES_MAX:
                del self._values[key]
        self._shrink()

    def _shrink(self) -> None:
        """Forget the oldest, and some more, so that it is not to be done again at once."""
        over = len(self._values) - self._values_max
        if over > 0:
            for key in list(islice(self._values, over + self._values_max // 8)):
                del self._values[key]
