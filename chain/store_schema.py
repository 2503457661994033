"""Where everything lies in the database: one letter a column, then a key that sorts as wanted.

::

    s ‖ storage key                     value                        the finalized state
    h ‖ height                          header bytes                 kept for ever
    d ‖ height                          body bytes                   until pruned
    r ‖ height                          receipts bytes               until pruned
    c ‖ height                          certificate bytes            until pruned; of an epoch's
                                                                     last block, kept for ever
    n ‖ block hash                      height                       kept for ever
    x ‖ extrinsic hash                  height ‖ position            until pruned
    a ‖ account ‖ height ‖ position     nothing                      until pruned
    i ‖ height                          BlockIndex                   until pruned
    v ‖ hash of storage key ‖ height    what the block replaced      until pruned
    k ‖ height                          hashes of the keys in ``v``  until pruned
    e ‖ epoch                           handover to the next epoch   kept for ever
    p ‖ height ‖ block hash             block bytes                  until that height is final
    m ‖ name                            about the database itself

Numbers in keys are big-endian, so that keys sort as numbers do.

Invariant: a height up to the head has all columns or, once pruned, exactly those kept for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from primitives.codec import BOOL, DIGEST, U64, blob, listing, struct
from primitives.types import AccountId, Digest, Epoch, Height

SCHEMA_VERSION = 1

STATE = b"s"
HEADER = b"h"
BODY = b"d"
RECEIPTS = b"r"
CERTIFICATE = b"c"
HEIGHT_OF_BLOCK = b"n"
EXTRINSIC = b"x"
ACCOUNT = b"a"
INDEX = b"i"
REPLACED = b"v"
REPLACED_KEYS = b"k"
PENDING = b"p"
HANDOVER = b"e"

META_SCHEMA = b"mschema"
META_GENESIS = b"mgenesis"
META_CHAIN_SPEC = b"mspec"
META_HEAD = b"mhead"
META_KEEP_BLOCKS = b"mkeep"
META_PRUNED_BELOW = b"mpruned"
META_BASE = b"mbase"
"""Where a database began, if not with genesis: of blocks below it only the headers and certificates
of epochs' last blocks are there."""

ABSENT = b"\x00"
PRESENT = b"\x01"
DIGEST_BYTES = 32
HEIGHT_BYTES = 8
PLACE_BYTES = 12
ACCOUNTS_MAX = 1 << 16
EXTRINSICS_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class FinalizedBlock:
    """A final block with all that one commit writes. Whatever is bytes, the store never reads."""

    height: Height
    hash: Digest
    parent_hash: Digest
    state_root: Digest
    header: bytes
    body: bytes
    receipts: bytes
    certificate: bytes
    """What proves that the block is final; empty for genesis."""
    state_writes: Mapping[bytes, bytes | None] = field(repr=False)
    """Storage key to new value, or None to delete."""
    extrinsic_hashes: tuple[Digest, ...] = ()
    accounts: tuple[tuple[AccountId, ...], ...] = ()
    """Beside each extrinsic hash: in whose history it belongs."""
    is_epoch_boundary: bool = False
    """The last block of its epoch, whose certificate proves the next power table."""
    handover: tuple[Epoch, bytes] | None = None
    """Of a boundary block: its epoch, and what proves the next epoch's power table."""
    state_before: Mapping[bytes, bytes | None] = field(default_factory=dict, repr=False)
    """What ``state_writes`` replaces, as far as the caller has read it; the rest is looked up."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last final block."""

    height: Height
    hash: Digest
    state_root: Digest


class Place(NamedTuple):
    """Where an extrinsic is."""

    height: Height
    position: int
    """In the block, from 0."""


@dataclass(frozen=True, slots=True)
class BlockIndex:
    """What was put into the indexes for one block, so that it can be taken out again."""

    is_epoch_boundary: bool
    extrinsic_hashes: tuple[Digest, ...]
    accounts: tuple[bytes, ...]
    """Beside each extrinsic hash the accounts, 32 bytes each, one after the other."""


HEAD = struct(Head, height=U64, hash=DIGEST, state_root=DIGEST)
BLOCK_INDEX = struct(
    BlockIndex,
    is_epoch_boundary=BOOL,
    extrinsic_hashes=listing(DIGEST, EXTRINSICS_MAX),
    accounts=listing(blob(DIGEST_BYTES * ACCOUNTS_MAX), EXTRINSICS_MAX),
)


def by_height(column: bytes, height: int) -> bytes:
    """Return the key of ``height`` in a column that has one record a block."""
    return column + height.to_bytes(HEIGHT_BYTES, "big")


def encode_place(height: int, position: int) -> bytes:
    """Return the bytes of a place, which sort as places do."""
    return height.to_bytes(HEIGHT_BYTES, "big") + position.to_bytes(4, "big")


def decode_place(data: bytes) -> Place:
    """Return the place at the end of ``data``."""
    place = data[-PLACE_BYTES:]
    height = int.from_bytes(place[:HEIGHT_BYTES], "big")
    return Place(Height(height), int.from_bytes(place[HEIGHT_BYTES:], "big"))


def after_prefix(prefix: bytes) -> bytes:
    """Return the lowest key above every key that starts with ``prefix``.

    A column's letter is below 0xff, so there always is one.
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1])
