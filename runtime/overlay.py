"""Uncommitted writes above a state, with nested rollback.

Invariants: the state below is only read; a transaction that is not kept leaves the overlay exactly
as it was when the transaction was opened. ``Context.transaction`` is the ``with`` block around it.
"""

from collections.abc import Generator, Iterator, Mapping
from typing import Protocol, TypeAlias

SLICE_KEYS = 1024
Changes: TypeAlias = tuple[dict[bytes, bytes | None], dict[bytes, bytes | None]]
"""New values and replaced ones under the same keys; None where there is none."""


class StateReader(Protocol):
    """What the overlay needs of the state below it."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, or None."""

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield every key that starts with ``prefix`` with its value, in key order."""


class DictState:
    """A state held in a dictionary: what genesis is built on, and what tests run on."""

    def __init__(self, values: Mapping[bytes, bytes] | None = None) -> None:
        self.values = dict(values or {})

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, or None."""
        return self.values.get(key)

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield every key that starts with ``prefix`` with its value, in key order."""
        for key in sorted(self.values):
            if key.startswith(prefix):
                yield key, self.values[key]

    def apply(self, writes: Mapping[bytes, bytes | None]) -> None:
        """Take over an overlay's writes; None deletes."""
        for key, value in writes.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value


class _Unwritten:
    """Marks in the undo log that a key had no write before."""


_UNWRITTEN = _Unwritten()


class Overlay:
    """Reads fall through to ``state``; writes stay in ``writes``, where None deletes."""

    def __init__(self, state: StateReader) -> None:
        self.writes: dict[bytes, bytes | None] = {}
        self._state = state
        self._read: dict[bytes, bytes | None] = {}
        self._undo: list[tuple[bytes, bytes | _Unwritten | None]] = []
        self._open = 0

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key`` as the writes so far make it, or None."""
        if key in self.writes:
            return self.writes[key]
        if key in self._read:
            return self._read[key]
        value = self._read[key] = self._state.get(key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Write ``value`` under ``key``."""
        self._write(key, value)

    def delete(self, key: bytes) -> None:
        """Remove ``key``, if it is there."""
        if self.get(key) is not None:
            self._write(key, None)

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield every key that starts with ``prefix`` with its value, in key order."""
        merged: dict[bytes, bytes | None] = dict(self._state.items(prefix))
        merged.update({key: value for key, value in self.writes.items() if key.startswith(prefix)})
        for key in sorted(merged):
            value = merged[key]
            if value is not None:
                yield key, value

    def open_transaction(self) -> int:
        """Start a transaction and return the mark that closes it."""
        self._open += 1
        return len(self._undo)

    def close_transaction(self, mark: int, *, keep: bool) -> None:
        """End the innermost transaction; unless ``keep``, undo its writes."""
        self._open -= 1
        undo = self._undo
        if not keep:
            while len(undo) > mark:
                key, value = undo.pop()
                if isinstance(value, _Unwritten):
                    del self.writes[key]
                else:
                    self.writes[key] = value
        if self._open == 0:
            undo.clear()

    def changes(self) -> Generator[None, None, Changes]:
        """Find the writes that change the state below, in key order, and what they replace.

        Yields about every millisecond; nothing may be written meanwhile.
        """
        writes, read, state = self.writes, self._read, self._state
        changed: dict[bytes, bytes | None] = {}
        replaced: dict[bytes, bytes | None] = {}
        keys = sorted(writes)
        for start in range(0, len(keys), SLICE_KEYS):
            yield
            for key in keys[start : start + SLICE_KEYS]:
                before = read[key] if key in read else state.get(key)
                if writes[key] != before:
                    changed[key], replaced[key] = writes[key], before
        return changed, replaced

    def release(self) -> None:
        """Give back what was read and written; nothing may be asked of this overlay any more."""
        self.writes, self._read, self._state = {}, {}, DictState()

    def _write(self, key: bytes, value: bytes | None) -> None:
        if self._open:
            self._undo.append((key, self.writes.get(key, _UNWRITTEN)))
        self.writes[key] = value
