"""What one commit, and one step of pruning, writes: lists of puts and deletes, done by the store.

Invariant: everything that a block adds is in one list, and everything that pruning takes away
of a block is in one list, so that no crash leaves half of either.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from chain.handover import HANDOVER as HANDOVER_CODEC
from chain.handover import Handover
from chain.state_proof import hash_key
from chain.store_reader import StoreReader, split_digests
from chain.store_schema import (
    ABSENT,
    ACCOUNT,
    BLOCK_INDEX,
    BODY,
    CERTIFICATE,
    EXTRINSIC,
    HANDOVER,
    HEAD,
    HEADER,
    HEIGHT_BYTES,
    HEIGHT_OF_BLOCK,
    INDEX,
    META_BASE,
    META_CHAIN_SPEC,
    META_GENESIS,
    META_HEAD,
    META_KEEP_BLOCKS,
    META_PRUNED_BELOW,
    PRESENT,
    RECEIPTS,
    REPLACED,
    REPLACED_KEYS,
    STATE,
    BlockIndex,
    FinalizedBlock,
    Head,
    by_height,
    decode_place,
    encode_place,
)
from primitives.block import HEADER as HEADER_CODEC
from primitives.types import Height

Writes: TypeAlias = Iterator[tuple[bytes, bytes | None]]
"""Database keys with the value to put, or None to delete."""


@dataclass(frozen=True, slots=True)
class SnapshotStart:
    """With what a database begins that does not begin with genesis; all of it proven before."""

    head: Head
    handovers: Iterable[Handover]
    """Of every epoch up to that which ends with the head, from epoch 0 on."""
    state: Iterable[tuple[bytes, bytes]]
    """Storage keys and values, in any order."""
    chain_spec: bytes
    keep_blocks: int


def start_writes(genesis: FinalizedBlock, start: SnapshotStart) -> Writes:
    """Yield all that a database has which begins with a snapshot, except its schema."""
    yield by_height(HEADER, genesis.height), genesis.header
    yield HEIGHT_OF_BLOCK + genesis.hash, genesis.height.to_bytes(HEIGHT_BYTES, "big")
    for key, value in start.state:
        yield STATE + key, value
    for epoch, handover in enumerate(start.handovers):
        header = HEADER_CODEC.load(handover.header)
        yield by_height(HANDOVER, epoch), HANDOVER_CODEC.encode(handover)
        yield by_height(HEADER, header.height), handover.header
        yield by_height(CERTIFICATE, header.height), handover.certificate
        yield HEIGHT_OF_BLOCK + header.hash, header.height.to_bytes(HEIGHT_BYTES, "big")
    height = start.head.height
    yield META_HEAD, HEAD.encode(start.head)
    yield META_GENESIS, genesis.hash
    yield META_CHAIN_SPEC, start.chain_spec
    yield META_KEEP_BLOCKS, start.keep_blocks.to_bytes(HEIGHT_BYTES, "big")
    yield META_PRUNED_BELOW, (height + 1).to_bytes(HEIGHT_BYTES, "big")
    yield META_BASE, height.to_bytes(HEIGHT_BYTES, "big")


def path_writes(blocks: Sequence[FinalizedBlock], reader: StoreReader) -> Writes:
    """Yield all that makes the last of ``blocks``, which follow each other, the head."""
    written: dict[bytes, bytes | None] = {}
    for block in blocks:
        yield from commit_writes(block, reader, written)
        if len(blocks) > 1:
            written.update(block.state_writes)


def commit_writes(
    block: FinalizedBlock, reader: StoreReader, written: Mapping[bytes, bytes | None] | None = None
) -> Writes:
    """Yield all that makes ``block`` the head.

    ``written`` is what blocks before it, in the same batch, have written to the state.
    """
    height = block.height
    yield by_height(HEADER, height), block.header
    yield by_height(BODY, height), block.body
    yield by_height(RECEIPTS, height), block.receipts
    yield by_height(CERTIFICATE, height), block.certificate
    yield HEIGHT_OF_BLOCK + block.hash, height.to_bytes(HEIGHT_BYTES, "big")
    accounts = tuple(b"".join(dict.fromkeys(here)) for here in block.accounts)
    index = BlockIndex(block.is_epoch_boundary, block.extrinsic_hashes, accounts)
    yield by_height(INDEX, height), BLOCK_INDEX.encode(index)
    for number, extrinsic_hash in enumerate(block.extrinsic_hashes):
        place = encode_place(height, number)
        yield EXTRINSIC + extrinsic_hash, place
        for account in block.accounts[number]:
            yield ACCOUNT + account + place, b""
    yield from _state_writes(block, reader, written or {})
    if block.handover is not None:
        epoch, handover = block.handover
        yield by_height(HANDOVER, epoch), handover
    for key in reader.pending_keys(height):
        yield key, None
    head = Head(height, block.hash, block.state_root)
    yield META_HEAD, HEAD.encode(head)


def prune_writes(height: Height, reader: StoreReader) -> Writes:
    """Yield all that reduces block ``height`` to what is kept for ever."""
    index = reader.index_at(height)
    for number, (extrinsic_hash, accounts) in enumerate(
        zip(index.extrinsic_hashes, index.accounts, strict=True)
    ):
        place = encode_place(height, number)
        if reader.find_extrinsic(extrinsic_hash) == decode_place(place):
            yield EXTRINSIC + extrinsic_hash, None
        for account in split_digests(accounts):
            yield ACCOUNT + account + place, None
    for key_hash in split_digests(reader.record(REPLACED_KEYS, height) or b""):
        yield by_height(REPLACED + key_hash, height), None
    for column in (BODY, RECEIPTS, INDEX, REPLACED_KEYS):
        yield by_height(column, height), None
    if not index.is_epoch_boundary:
        yield by_height(CERTIFICATE, height), None
    yield META_PRUNED_BELOW, (height + 1).to_bytes(HEIGHT_BYTES, "big")


def _state_writes(
    block: FinalizedBlock, reader: StoreReader, written: Mapping[bytes, bytes | None]
) -> Writes:
    """Yield the new values, and beside them those that they replace."""
    key_hashes = []
    before = block.state_before
    for key, value in block.state_writes.items():
        yield STATE + key, value
        if block.height > 0:
            if key in before:
                replaced = before[key]
            else:
                replaced = written[key] if key in written else reader.get(key)
            key_hash = hash_key(key)
            key_hashes.append(key_hash)
            record = ABSENT if replaced is None else PRESENT + replaced
            yield by_height(REPLACED + key_hash, block.height), record
    yield by_height(REPLACED_KEYS, block.height), b"".join(key_hashes)
