"""The states after blocks that are not final yet: a tree of writes above the finalized state.

Invariants: every block here descends from the last final one; nothing here is on disk, so a
restart forgets it and fetches it again; a view answers for one block only, and refuses to answer
once its block can no longer be told from the finalized state.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from primitives.errors import LoopinError
from primitives.types import Digest

BLOCKS_MAX = 1024
LARGE_BLOCKS_MAX = 64
SMALL_WRITES = 128
"""Writes up to which a block counts as small. Small ones are taken when large ones are not, so that
a chain whose finality has stalled can go on with empty blocks until one of them becomes final."""
PAGE_KEYS = 256


class TooManyUnfinalized(LoopinError):
    """So many blocks wait for finality that no more are taken: finality has stalled."""


class UnknownState(LoopinError):
    """The state after this block is neither the finalized one nor above it."""


class FinalizedState(Protocol):
    """What is needed of the state below."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, or None."""

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield what lies under ``prefix``, in order of key."""

    def keys_paged(self, prefix: bytes, start: bytes, count: int) -> list[bytes]:
        """Return up to ``count`` keys under ``prefix``, in order, that come after ``start``."""


@dataclass(frozen=True, slots=True)
class _Pending:
    parent: Digest
    writes: Mapping[bytes, bytes | None]
    layers: tuple[Mapping[bytes, bytes | None], ...]
    """The writes of this block and of all before it that are not final, latest first."""
    keys: tuple[Sequence[bytes], ...]
    """Beside each layer its keys, sorted."""


class Unfinalized:
    """The blocks between the last final one and the tips."""

    def __init__(
        self,
        finalized: FinalizedState,
        final_hash: Digest,
        *,
        blocks_max: int = BLOCKS_MAX,
        large_blocks_max: int = LARGE_BLOCKS_MAX,
    ) -> None:
        self._finalized = finalized
        self._final_hash = final_hash
        self._blocks_max = blocks_max
        self._large_blocks_max = large_blocks_max
        self._pending: dict[Digest, _Pending] = {}

    @property
    def finalized(self) -> FinalizedState:
        """The state after the last final block."""
        return self._finalized

    @property
    def final_hash(self) -> Digest:
        """The last final block."""
        return self._final_hash

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, block_hash: Digest) -> bool:
        return block_hash in self._pending

    def add(
        self, block_hash: Digest, *, parent: Digest, writes: Mapping[bytes, bytes | None]
    ) -> None:
        """Take a block on top of a known one; taking it twice changes nothing.

        ``writes`` must not change any more. Raises: UnknownState, TooManyUnfinalized.
        """
        if block_hash in self._pending:
            return
        below = self._waiting(parent)
        self.require_room(len(writes))
        self._pending[block_hash] = _Pending(
            parent,
            writes,
            (writes, *(below.layers if below else ())),
            (sorted(writes), *(below.keys if below else ())),
        )

    def require_room(self, writes: int) -> None:
        """Refuse a block of so many writes if too many wait. Raises: TooManyUnfinalized."""
        waiting = len(self._pending)
        large = sum(1 for block in self._pending.values() if len(block.writes) > SMALL_WRITES)
        is_refused = writes > SMALL_WRITES and large >= self._large_blocks_max
        if is_refused or waiting >= self._blocks_max:
            raise TooManyUnfinalized(f"{waiting} blocks wait for finality")

    def has_state(self, block_hash: Digest) -> bool:
        """Return whether ``state_after`` can answer."""
        return block_hash == self._final_hash or block_hash in self._pending

    def state_after(self, block_hash: Digest) -> "StateView":
        """Return the state after a block here, or after the last final one.

        Raises: UnknownState.
        """
        pending = self._waiting(block_hash)
        if pending is None:
            return StateView(self, block_hash, (), ())
        return StateView(self, block_hash, pending.layers, pending.keys)

    def finalize(self, block_hash: Digest, finalized: FinalizedState) -> list[Digest]:
        """Make a child of the last final block final; return the abandoned blocks, parents first.

        ``finalized`` is the finalized state from now on, with that block's writes.
        """
        final = self._pending.pop(block_hash)
        assert final.parent == self._final_hash, "blocks become final one after the other"
        abandoned: list[Digest] = []
        kept: dict[Digest, _Pending] = {}
        # A block is taken after its parent, so the order of the dict is parents first.
        for other, pending in self._pending.items():
            if pending.parent == block_hash or pending.parent in kept:
                kept[other] = _Pending(
                    pending.parent, pending.writes, pending.layers[:-1], pending.keys[:-1]
                )
            else:
                abandoned.append(other)
        self._pending = kept
        self._final_hash = block_hash
        self._finalized = finalized
        return abandoned

    def _waiting(self, block_hash: Digest) -> _Pending | None:
        """Return a block here, or None for the last final one. Raises: UnknownState."""
        if block_hash == self._final_hash:
            return None
        pending = self._pending.get(block_hash)
        if pending is None:
            raise UnknownState(f"no state after block {block_hash.hex()} is held")
        return pending


class StateView:
    """The state after one block: what the runtime and the RPC read."""

    __slots__ = ("_block_hash", "_keys", "_layers", "_unfinalized")

    def __init__(
        self,
        unfinalized: Unfinalized,
        block_hash: Digest,
        layers: tuple[Mapping[bytes, bytes | None], ...],
        keys: tuple[Sequence[bytes], ...],
    ) -> None:
        self._unfinalized = unfinalized
        self._block_hash = block_hash
        self._layers = layers
        self._keys = keys

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, or None. Raises: UnknownState."""
        self._require_valid()
        for layer in self._layers:
            if key in layer:
                return layer[key]
        return self._unfinalized.finalized.get(key)

    def items(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield what lies under ``prefix``, in order of key. Raises: UnknownState."""
        self._require_valid()
        written = self._written(prefix, b"")
        above = sorted(written)
        place = 0
        for key, value in self._unfinalized.finalized.items(prefix):
            while place < len(above) and above[place] < key:
                yield from _present(above[place], written)
                place += 1
            if place < len(above) and above[place] == key:
                yield from _present(key, written)
                place += 1
            else:
                yield key, value
        for key in above[place:]:
            yield from _present(key, written)

    def keys_paged(self, prefix: bytes, start: bytes, count: int) -> list[bytes]:
        """Return up to ``count`` keys under ``prefix``, in order, that come after ``start``.

        An empty ``start`` begins at the first. Raises: UnknownState.
        """
        self._require_valid()
        written = self._written(prefix, start)
        keys: list[bytes] = []
        while len(keys) < count:
            below = self._unfinalized.finalized.keys_paged(prefix, start, PAGE_KEYS)
            is_last = len(below) < PAGE_KEYS
            reached = None if is_last else below[-1]
            here = {key for key in written if reached is None or key <= reached}
            keys += sorted(
                {key for key in below if key not in written}
                | {key for key in here if written[key] is not None}
            )
            if reached is None:
                break
            written = {key: value for key, value in written.items() if key > reached}
            start = reached
        return keys[:count]

    def _written(self, prefix: bytes, start: bytes) -> dict[bytes, bytes | None]:
        """Return the writes under ``prefix`` after ``start``, the latest of each key."""
        written: dict[bytes, bytes | None] = {}
        for layer, keys in zip(reversed(self._layers), reversed(self._keys), strict=True):
            for place in range(bisect_left(keys, max(prefix, start)), len(keys)):
                key = keys[place]
                if not key.startswith(prefix):
                    break
                if key != start:
                    written[key] = layer[key]
        return written

    def _require_valid(self) -> None:
        if not self._unfinalized.has_state(self._block_hash):
            raise UnknownState(f"the state after block {self._block_hash.hex()} is gone")


def _present(key: bytes, written: Mapping[bytes, bytes | None]) -> Iterator[tuple[bytes, bytes]]:
    value = written[key]
    if value is not None:
        yield key, value
