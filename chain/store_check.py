"""Look through a whole database for anything that contradicts anything else.

This is `loopin db check`. It trusts nothing but the schema: header hashes and links, the record
that each block must and must not have, both directions of every index, and last the state root
of the flat state against the head's header.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from chain.state_tree import StateTree
from chain.store_reader import StoreError, StoreReader, split_digests
from chain.store_schema import (
    ACCOUNT,
    BLOCK_INDEX,
    BODY,
    CERTIFICATE,
    EXTRINSIC,
    HEADER,
    HEIGHT_OF_BLOCK,
    INDEX,
    RECEIPTS,
    REPLACED,
    REPLACED_KEYS,
    Head,
    decode_place,
    encode_place,
)
from primitives.block import HEADER as HEADER_CODEC
from primitives.block import Header
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DecodeError
from primitives.types import Digest, Height

DEFECTS_MAX = 1000
"""More are not listed: such a database is beyond repair."""
PROGRESS_EVERY = 1000
_NAMES = {
    HEADER: "header",
    BODY: "body",
    RECEIPTS: "receipts",
    CERTIFICATE: "certificate",
    INDEX: "index record",
    REPLACED: "replaced value",
    REPLACED_KEYS: "list of replaced keys",
    ACCOUNT: "account history entry",
    EXTRINSIC: "extrinsic index entry",
    HEIGHT_OF_BLOCK: "block hash entry",
}
_PRUNABLE = (BODY, RECEIPTS, INDEX, REPLACED_KEYS)


class DefectKind(StrEnum):
    """What can be wrong with a database."""

    UNREADABLE = "unreadable"
    """The files are damaged or a record is not what its column holds."""
    MISSING = "missing"
    LEFTOVER = "leftover"
    """A record that should not be there, or that belongs to nothing."""
    BROKEN_LINK = "broken link"
    """A header does not follow from the one before."""
    WRONG_ENTRY = "wrong entry"
    """An index points to the wrong place."""
    WRONG_HEAD = "wrong head"
    WRONG_STATE = "wrong state"
    """The flat state does not have the state root of the head."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One contradiction."""

    kind: DefectKind
    height: Height | None
    detail: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a check is."""

    phase: str
    done: int
    total: int | None
    """None where it is not known beforehand."""


def check_store(reader: StoreReader, on_progress: Callable[[Progress], None]) -> list[Defect]:
    """Return the defects of a database; none means that it is sound.

    Give it a snapshot, so that a running node does not change what is compared.
    """
    check = _Check(reader, on_progress)
    for phase in (check.check_blocks, check.check_indexes, check.check_state):
        try:
            phase()
        except (StoreError, DecodeError) as error:
            check.report(DefectKind.UNREADABLE, None, str(error))
    return check.defects


class _Check:
    def __init__(self, reader: StoreReader, on_progress: Callable[[Progress], None]) -> None:
        self.defects: list[Defect] = []
        self._reader = reader
        self._on_progress = on_progress
        self._expected = dict.fromkeys((EXTRINSIC, ACCOUNT, REPLACED, HEIGHT_OF_BLOCK), 0)

    def report(self, kind: DefectKind, height: int | None, detail: str) -> None:
        if len(self.defects) < DEFECTS_MAX:
            self.defects.append(Defect(kind, None if height is None else Height(height), detail))

    def check_blocks(self) -> None:
        """Walk the headers from genesis, and look at what each block has."""
        reader, head = self._reader, self._reader.head
        pruned_below = reader.pruned_below
        before: tuple[Header, Digest] | None = None
        for height in range(head.height + 1):
            if height < reader.base and reader.record(HEADER, height) is None:
                before = None
                continue
            found = self._check_header(height, before)
            if height < pruned_below:
                self._check_pruned(height)
            else:
                self._check_whole(height)
            if found and before and found[0].epoch != before[0].epoch and height > 1:
                self._require(CERTIFICATE, height - 1)
            before = found
            if height % PROGRESS_EVERY == 0:
                self._on_progress(Progress("blocks", height, head.height))
        self._check_head(head, before)
        if reader.record(HEADER, head.height + 1) is not None:
            self.report(DefectKind.LEFTOVER, head.height + 1, "a header above the head")
        self._on_progress(Progress("blocks", head.height, head.height))

    def check_indexes(self) -> None:
        """Count the entries of each index, after the blocks have said what must be there."""
        for column, expected in self._expected.items():
            count = 0
            for count, _ in enumerate(self._reader.scan_column(column), start=1):
                if count % (100 * PROGRESS_EVERY) == 0:
                    self._on_progress(Progress(f"index {_NAMES[column]}", count, expected))
            if count > expected:
                detail = f"{count - expected} times an {_NAMES[column]} that belongs to no block"
                self.report(DefectKind.LEFTOVER, None, detail)
        head = self._reader.head.height
        for _ in self._reader.pending_keys(head):
            self.report(DefectKind.LEFTOVER, head, "a pending block at a final height")

    def check_state(self) -> None:
        """Build the state tree anew and compare its root."""
        self._on_progress(Progress("state", 0, None))
        tree = StateTree.load(self._reader.items())
        head = self._reader.head
        if tree.root != head.state_root:
            self.report(
                DefectKind.WRONG_STATE,
                head.height,
                f"the state has root {tree.root.hex()}, the head {head.state_root.hex()}",
            )
        self._on_progress(Progress("state", len(tree), len(tree)))

    def _check_header(
        self, height: int, before: tuple[Header, Digest] | None
    ) -> tuple[Header, Digest] | None:
        data = self._require(HEADER, height)
        if data is None:
            return None
        try:
            header = HEADER_CODEC.decode(data)
        except DecodeError as error:
            self.report(DefectKind.UNREADABLE, height, f"header: {error}")
            return None
        block_hash = keyed_hash(Purpose.HEADER, data)
        if header.height != height:
            self.report(DefectKind.BROKEN_LINK, height, f"its header says {header.height}")
        if before is not None and header.parent_hash != before[1]:
            self.report(DefectKind.BROKEN_LINK, height, "its parent is not the block before")
        if height == 0 and block_hash != self._reader.genesis_hash:
            self.report(DefectKind.BROKEN_LINK, height, "it is not the genesis block")
        if self._reader.height_of(block_hash) != height:
            self.report(DefectKind.WRONG_ENTRY, height, "its hash leads elsewhere")
        self._expected[HEIGHT_OF_BLOCK] += 1
        return header, block_hash

    def _check_pruned(self, height: int) -> None:
        for column in _PRUNABLE:
            if self._reader.record(column, height) is not None:
                self.report(DefectKind.LEFTOVER, height, f"{_NAMES[column]} of a pruned block")

    def _check_whole(self, height: int) -> None:
        for column in (BODY, RECEIPTS, CERTIFICATE):
            self._require(column, height)
        data, keys = self._require(INDEX, height), self._require(REPLACED_KEYS, height)
        for key_hash in split_digests(keys or b""):
            self._expected[REPLACED] += 1
            if self._reader.record(REPLACED + key_hash, height) is None:
                self.report(DefectKind.MISSING, height, "a replaced value is missing")
        if data is None:
            return
        try:
            index = BLOCK_INDEX.decode(data)
        except DecodeError as error:
            self.report(DefectKind.UNREADABLE, height, f"index record: {error}")
            return
        for position, extrinsic_hash in enumerate(index.extrinsic_hashes):
            self._check_extrinsic(height, position, extrinsic_hash, index.accounts[position])

    def _check_extrinsic(
        self, height: int, position: int, extrinsic_hash: Digest, accounts: bytes
    ) -> None:
        place = encode_place(height, position)
        found = self._reader.find_extrinsic(extrinsic_hash)
        if found == decode_place(place):
            self._expected[EXTRINSIC] += 1
        elif found is None:
            self.report(DefectKind.MISSING, height, f"extrinsic {position} is not indexed")
        elif found.height < height:
            # A later block may hold the same bytes again, as inherents do; an earlier may not.
            self.report(DefectKind.WRONG_ENTRY, height, f"extrinsic {position} leads elsewhere")
        for account in split_digests(accounts):
            self._expected[ACCOUNT] += 1
            if not self._reader.has_entry(ACCOUNT + account + place):
                detail = f"extrinsic {position} is missing from the history of an account"
                self.report(DefectKind.MISSING, height, detail)

    def _check_head(self, head: Head, last: tuple[Header, Digest] | None) -> None:
        if last is None:
            return
        if (last[1], last[0].state_root) != (head.hash, head.state_root):
            self.report(DefectKind.WRONG_HEAD, head.height, "the head is not its header's block")

    def _require(self, column: bytes, height: int) -> bytes | None:
        record = self._reader.record(column, height)
        if record is None:
            self.report(DefectKind.MISSING, height, f"{_NAMES[column]} is missing")
        return record
