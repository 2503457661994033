"""Every question that the database answers, at one moment or as of its latest commit.

Invariants: nothing is written here; every listing has a limit; a missing record that the schema
promises is ``StoreCorrupted``, one that was pruned is ``HistoryPruned``.
"""

from collections.abc import Iterator
from typing import Protocol

from chain.state_proof import hash_key
from chain.store_schema import (
    ABSENT,
    ACCOUNT,
    BLOCK_INDEX,
    BODY,
    CERTIFICATE,
    DIGEST_BYTES,
    EXTRINSIC,
    HANDOVER,
    HEAD,
    HEADER,
    HEIGHT_OF_BLOCK,
    INDEX,
    META_BASE,
    META_CHAIN_SPEC,
    META_GENESIS,
    META_HEAD,
    META_KEEP_BLOCKS,
    META_PRUNED_BELOW,
    PENDING,
    RECEIPTS,
    REPLACED,
    STATE,
    BlockIndex,
    Head,
    Place,
    after_prefix,
    by_height,
    decode_place,
    encode_place,
)
from primitives.errors import LoopinError
from primitives.types import AccountId, Digest, Epoch, Height

PAGE_MAX = 1000
"""Most keys or places that one call lists."""


class StoreError(LoopinError):
    """The database cannot do what it was asked; the message says what the operator can do."""


class StoreCorrupted(StoreError):
    """The database contradicts itself: what it holds can no longer be relied on."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}. Stop the node and run `loopin db check`; then restore a backup, "
            "or remove the database and let the node fetch the chain again"
        )


class UnknownHeight(StoreError):
    """No final block has this height yet."""


class HistoryPruned(StoreError):
    """This was dropped by pruning; a node in archive mode still has it."""


class KeyValues(Protocol):
    """What a reader needs of the database."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, or None."""

    def scan(
        self, start: bytes, stop: bytes, *, backwards: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield what lies from ``start`` up to and without ``stop``."""


class StoreReader:
    """Reads of the database, or of a snapshot of it."""

    def __init__(self, values: KeyValues) -> None:
        self._values = values

    # The database itself

    @property
    def head(self) -> Head:
        """The last final block."""
        return HEAD.load(self._promised(META_HEAD))

    @property
    def genesis_hash(self) -> Digest:
        return Digest(self._promised(META_GENESIS))

    @property
    def chain_spec(self) -> bytes:
        """The chain spec, as it was given when the database was made."""
        return self._promised(META_CHAIN_SPEC)

    @property
    def keep_blocks(self) -> int | None:
        """How many of the last blocks pruning leaves whole; None in archive mode."""
        return int.from_bytes(self._promised(META_KEEP_BLOCKS), "big") or None

    @property
    def pruned_below(self) -> Height:
        """The lowest height whose block is whole."""
        return Height(int.from_bytes(self._promised(META_PRUNED_BELOW), "big"))

    @property
    def base(self) -> Height:
        """The height of the snapshot with which the database began; 0 if it began with genesis."""
        return Height(int.from_bytes(self._values.get(META_BASE) or b"", "big"))

    # The finalized state

    def get(self, key: bytes) -> bytes | None:
        """Return what the finalized state has under ``key``, or None."""
        return self._values.get(STATE + key)

    def items(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the finalized state under ``prefix`` in order of key."""
        low = STATE + prefix
        for key, value in self._values.scan(low, after_prefix(low)):
            yield key[1:], value

    def keys_paged(self, prefix: bytes, start: bytes, count: int) -> list[bytes]:
        """Return up to ``count`` keys under ``prefix``, in order, that come after ``start``.

        An empty ``start`` begins at the first; ``count`` above ``PAGE_MAX`` counts as that.
        """
        low = STATE + prefix
        first = max(low, STATE + start + b"\x00") if start else low
        return [key[1:] for key, _ in _limited(self._values.scan(first, after_prefix(low)), count)]

    def state_at(self, height: Height, key: bytes) -> bytes | None:
        """Return what ``key`` had in the state after block ``height``.

        Raises: UnknownHeight, HistoryPruned.
        """
        self.require_state(height)
        # Read before the scan: a commit in between then shows in the scan, as what it replaced.
        latest = self.get(key)
        column = REPLACED + hash_key(key)
        later = self._values.scan(by_height(column, height + 1), after_prefix(column))
        for _, replaced in _limited(later, 1):
            return None if replaced == ABSENT else replaced[1:]
        return latest

    def require_state(self, height: Height) -> None:
        """Check that ``state_at`` can answer. Raises: UnknownHeight, HistoryPruned."""
        self._require_known(height)
        if height + 1 < self.pruned_below:
            raise HistoryPruned(f"the state after block {height} has been pruned")

    # Blocks

    def height_of(self, block_hash: Digest) -> Height | None:
        """Return the height of a final block, or None if it is not one."""
        height = self._values.get(HEIGHT_OF_BLOCK + block_hash)
        return None if height is None else Height(int.from_bytes(height, "big"))

    def header_at(self, height: Height) -> bytes:
        """Return the header of a final block. Raises: UnknownHeight, HistoryPruned."""
        self._require_known(height)
        header = self._values.get(by_height(HEADER, height))
        if header is None and height < self.base:
            raise HistoryPruned(f"the database began with a snapshot of block {self.base}")
        return self._promised(by_height(HEADER, height)) if header is None else header

    def body_at(self, height: Height) -> bytes:
        """Return the body of a final block. Raises: UnknownHeight, HistoryPruned."""
        return self._unpruned(BODY, height)

    def receipts_at(self, height: Height) -> bytes:
        """Return the receipts of a final block. Raises: UnknownHeight, HistoryPruned."""
        return self._unpruned(RECEIPTS, height)

    def index_at(self, height: Height) -> BlockIndex:
        """Return what is indexed of a final block. Raises: UnknownHeight, HistoryPruned."""
        return BLOCK_INDEX.load(self._unpruned(INDEX, height))

    def certificate_at(self, height: Height) -> bytes:
        """Return what proves a block final. Raises: UnknownHeight, HistoryPruned.

        The certificate of an epoch's last block is there whatever has been pruned.
        """
        self._require_known(height)
        certificate = self._values.get(by_height(CERTIFICATE, height))
        if certificate is None:
            return self._unpruned(CERTIFICATE, height)
        return certificate

    def find_handover(self, epoch: Epoch) -> bytes | None:
        """Return what proves the power table after ``epoch``, or None if it has not ended."""
        return self._values.get(by_height(HANDOVER, epoch))

    # Blocks that are not final

    def pending(self) -> Iterator[bytes]:
        """Yield the blocks that were saved and have not become final or obsolete, lowest first."""
        for _, block in self.scan_column(PENDING):
            yield block

    def pending_keys(self, height: Height) -> Iterator[bytes]:
        """Yield the database keys of pending blocks up to ``height``."""
        for key, _ in self._values.scan(PENDING, by_height(PENDING, height + 1)):
            yield key

    # Indexes

    def find_extrinsic(self, extrinsic_hash: Digest) -> Place | None:
        """Return where an extrinsic is, or None if no unpruned final block has it."""
        place = self._values.get(EXTRINSIC + extrinsic_hash)
        return None if place is None else decode_place(place)

    def account_history(
        self, account: AccountId, *, before: Place | None, count: int
    ) -> list[Place]:
        """Return the account's latest extrinsics, newest first, that come before ``before``."""
        low = ACCOUNT + account
        stop = after_prefix(low) if before is None else low + encode_place(*before)
        scan = self._values.scan(low, stop, backwards=True)
        return [decode_place(key) for key, _ in _limited(scan, count)]

    # For check and pruning

    def scan_column(self, column: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield a whole column, the column's letter taken off the keys."""
        for key, value in self._values.scan(column, after_prefix(column)):
            yield key[1:], value

    def record(self, column: bytes, height: int) -> bytes | None:
        """Return a column's record of ``height``, or None."""
        return self._values.get(by_height(column, height))

    def has_entry(self, key: bytes) -> bool:
        """Return whether the database has ``key``, column letter and all."""
        return self._values.get(key) is not None

    def _promised(self, key: bytes) -> bytes:
        value = self._values.get(key)
        if value is None:
            raise StoreCorrupted(f"the database lacks its record {key!r}")
        return value

    def _unpruned(self, column: bytes, height: Height) -> bytes:
        self._require_known(height)
        if height < self.pruned_below:
            raise HistoryPruned(f"block {height} has been pruned down to its header")
        return self._promised(by_height(column, height))

    def _require_known(self, height: Height) -> None:
        head = self.head.height
        if not 0 <= height <= head:
            raise UnknownHeight(f"no final block {height}; the head is {head}")


def _limited(scan: Iterator[tuple[bytes, bytes]], count: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the first ``count`` of a scan, at most ``PAGE_MAX``."""
    left = min(count, PAGE_MAX)
    while left > 0:
        pair = next(scan, None)
        if pair is None:
            return
        yield pair
        left -= 1


def split_digests(digests: bytes) -> list[bytes]:
    """Return the single hashes of a record that holds many."""
    return [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]
