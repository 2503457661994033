"""What nodes say to each other besides votes: frames of the bulk channel, requests and answers.

A frame is ``[tag, ...]``. Extrinsics go in batches; a block is announced as its header and the
hashes of its extrinsics, which most receivers hold already; a status says how far a node is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias, cast

from primitives.block import (
    BLOCK_BYTES_MAX,
    EXTRINSIC_BYTES_MAX,
    EXTRINSICS_MAX,
    HEADER,
    Header,
)
from primitives.codec import (
    DIGEST,
    U16,
    U64,
    Codec,
    WrongType,
    blob,
    decode,
    encode,
    fixed,
    listing,
    struct,
)
from primitives.types import Digest, Epoch, Height

FRAME_BYTES_MAX = 4 << 20
BATCH_BYTES_MAX = 256 << 10
"""Extrinsics sent in one frame; a larger batch is cut in two."""
BATCH_EXTRINSICS_MAX = 4096
RANGE_BLOCKS_MAX = 64
"""Final blocks answered to one request; twice as many where few have certificates."""
RANGE_BYTES_GOAL = 4 << 20
"""From here on a range ends with the next certificate."""
RANGE_BYTES_MAX = 64 << 20
_DEPTH = 4


class Tag(IntEnum):
    """What a frame of the bulk channel holds. The numbers never change."""

    EXTRINSICS = 1
    BLOCK = 2
    STATUS = 3


@dataclass(frozen=True, slots=True)
class Extrinsics:
    """Encoded extrinsics that the sender's mempool has taken."""

    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CompactBlock:
    """A block that is about to be proposed."""

    header: Header
    hashes: tuple[Digest, ...]
    """Of the extrinsics, in their order."""
    inherents: tuple[bytes, ...]
    """The first extrinsics themselves, which no mempool has."""


@dataclass(frozen=True, slots=True)
class Status:
    """The sender's last final block."""

    height: Height
    hash: Digest


Frame: TypeAlias = Extrinsics | CompactBlock | Status

_EXTRINSICS = struct(Extrinsics, items=listing(blob(EXTRINSIC_BYTES_MAX), BATCH_EXTRINSICS_MAX))
_COMPACT = struct(
    CompactBlock,
    header=HEADER,
    hashes=listing(DIGEST, EXTRINSICS_MAX),
    inherents=listing(blob(EXTRINSIC_BYTES_MAX), 16),
)
_STATUS = struct(Status, height=cast("Codec[Height]", U64), hash=DIGEST)


def encode_extrinsics(items: Sequence[bytes]) -> bytes:
    """Return the frame of a batch that keeps to the limits."""
    return encode([Tag.EXTRINSICS.value, _EXTRINSICS.to_plain(Extrinsics(tuple(items)))])


def encode_compact(block: CompactBlock) -> bytes:
    """Return the frame that announces a block."""
    return encode([Tag.BLOCK.value, _COMPACT.to_plain(block)])


def encode_status(status: Status) -> bytes:
    """Return the frame that says how far this node is."""
    return encode([Tag.STATUS.value, _STATUS.to_plain(status)])


def decode_frame(data: bytes) -> Frame:
    """Return the frame of untrusted ``data``. Raises: DecodeError."""
    plain = decode(data, bytes_max=FRAME_BYTES_MAX, depth_max=_DEPTH)
    if not isinstance(plain, list) or len(plain) != 2:
        raise WrongType("a frame is [tag, content]")
    tag, content = plain
    if type(tag) is not int:
        raise WrongType(f"a frame's tag is a number, not {tag!r:.20}")
    match tag:
        case Tag.EXTRINSICS:
            return _EXTRINSICS.from_plain(content)
        case Tag.BLOCK:
            return _COMPACT.from_plain(content)
        case Tag.STATUS:
            return _STATUS.from_plain(content)
        case _:
            raise WrongType(f"no frame has the tag {tag!r:.20}")


@dataclass(frozen=True, slots=True)
class ExtrinsicsRequest:
    """Extrinsics of a block that the asker lacks."""

    block: Digest
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RangeRequest:
    """Final blocks from a height on."""

    first: Height
    count: int


@dataclass(frozen=True, slots=True)
class FinalBlock:
    """A final block, and what proves it final unless a later block's proof does."""

    block: bytes
    certificate: bytes


BLOCK_REQUEST = fixed(32, "digest")
EXTRINSICS_REQUEST = struct(ExtrinsicsRequest, block=DIGEST, places=listing(U16, EXTRINSICS_MAX))
EXTRINSICS_ANSWER = listing(blob(EXTRINSIC_BYTES_MAX), BATCH_EXTRINSICS_MAX)
RANGE_REQUEST = struct(RangeRequest, first=cast("Codec[Height]", U64), count=U16)
CERTIFICATE_BYTES_MAX = 1 << 18
FINAL_BLOCK = struct(
    FinalBlock, block=blob(BLOCK_BYTES_MAX), certificate=blob(CERTIFICATE_BYTES_MAX)
)


@dataclass(frozen=True, slots=True)
class HandoversRequest:
    """Proofs of the power tables after some epochs."""

    first: Epoch
    count: int


@dataclass(frozen=True, slots=True)
class SnapshotOffer:
    """A snapshot that a node keeps."""

    epoch: Epoch
    height: Height


@dataclass(frozen=True, slots=True)
class ChunksRequest:
    """Some chunks of a snapshot."""

    epoch: Epoch
    numbers: tuple[int, ...]


HANDOVERS_MAX = 64
"""Handovers answered to one request."""
SNAPSHOTS_KEPT = 2
CHUNKS_ASKED_MAX = 16
"""Chunks answered to one request."""
_EPOCH = cast("Codec[Epoch]", U64)
HANDOVERS_REQUEST = struct(HandoversRequest, first=_EPOCH, count=U16)
SNAPSHOT_OFFER = struct(SnapshotOffer, epoch=_EPOCH, height=cast("Codec[Height]", U64))
OFFERS_REQUEST = b"\x00"
"""Carries nothing, but a request may not be empty."""
MANIFEST_REQUEST = _EPOCH
CHUNKS_REQUEST = struct(ChunksRequest, epoch=_EPOCH, numbers=listing(U16, CHUNKS_ASKED_MAX))


def split_batch(items: Sequence[bytes]) -> list[list[bytes]]:
    """Return the extrinsics in batches that keep to the limits of a frame."""
    batches: list[list[bytes]] = []
    size = 0
    for item in items:
        is_full = size + len(item) > BATCH_BYTES_MAX
        if not batches or is_full or len(batches[-1]) == BATCH_EXTRINSICS_MAX:
            batches.append([])
            size = 0
        batches[-1].append(item)
        size += len(item)
    return batches
