"""Importing a block: checking by execution everything that its header claims."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chain.blockchain import Blockchain, Imported, encode_receipts_in_slices
from chain.equivocation import JUDGE
from chain.header_checks import EpochRules, validate_header
from chain.slices import Slices
from primitives.block import Block
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DecodeError, InvalidBlock, InvalidExtrinsic
from primitives.merkle import merkle_root_in_slices
from primitives.types import Digest
from runtime.executive import BlockExecution, ReadyExtrinsic
from runtime.module import BlockInfo

SLICE_EXTRINSICS = 32
"""Extrinsics decoded or executed between two yields."""


class RootMismatch(InvalidBlock):
    """Executing the block gives another root than its header states."""


class InvalidBody(InvalidBlock):
    """An extrinsic cannot be decoded, or cannot stand where it does."""


@dataclass(frozen=True, slots=True)
class Body:
    """A block's decoded extrinsics."""

    extrinsics: list[ReadyExtrinsic]
    hashes: list[Digest]
    unverified: list[bytes]
    """Those whose signatures nobody here has checked yet."""


def decode_body(
    block: Block, find_verified: Callable[[Digest], ReadyExtrinsic | None]
) -> Slices[Body]:
    """Return the block's extrinsics, once they are those that its header commits to.

    ``find_verified`` gives those that this node has decoded and verified before.
    Raises: RootMismatch, InvalidBody.
    """
    root = yield from merkle_root_in_slices(block.extrinsics)
    if root != block.header.extrinsics_root:
        raise RootMismatch(f"extrinsics: {root.hex()}")
    body = Body([], [], [])
    for number, encoded in enumerate(block.extrinsics, start=1):
        if number % SLICE_EXTRINSICS == 0:
            yield
        extrinsic_hash = keyed_hash(Purpose.EXTRINSIC, encoded)
        ready = find_verified(extrinsic_hash)
        if ready is None:
            try:
                ready = ReadyExtrinsic.decode(encoded)
            except DecodeError as error:
                raise InvalidBody(f"extrinsic {number - 1}: {error.reason}, {error}") from error
            if ready.extrinsic.signer is not None:
                body.unverified.append(encoded)
        body.extrinsics.append(ready)
        body.hashes.append(extrinsic_hash)
    return body


def import_block(
    chain: Blockchain, block: Block, body: Body, rules: EpochRules
) -> Slices[Imported]:
    """Execute a block on its parent, compare every root, and hold it.

    ``body`` is what ``decode_body`` gave, its signatures verified by the caller.
    Raises: InvalidBlock; UnknownBlock, UnknownState, TooManyUnfinalized.
    """
    header = block.header
    parent_hash = header.parent_hash
    chain.unfinalized.require_room(0)
    output = validate_header(header, chain.header(parent_hash), parent_hash, rules, chain.interval)
    yield
    info = BlockInfo(
        height=header.height,
        parent_hash=parent_hash,
        view=header.view,
        epoch=header.epoch,
        timestamp=header.timestamp,
        author=header.author,
        vrf_output=output,
    )
    execution = BlockExecution(chain.state_after(parent_hash), chain.config, info, JUDGE)
    yield from _execute(execution, body.extrinsics)
    executed = yield from chain.end(execution)
    chain.unfinalized.require_room(len(executed.writes))
    receipts = yield from encode_receipts_in_slices(executed)
    receipts_root = yield from merkle_root_in_slices(receipts)
    if receipts_root != header.receipts_root:
        raise RootMismatch(f"receipts: {receipts_root.hex()}")
    yield from chain.move_tree_to(parent_hash)
    undo = yield from chain.tree.root_after(executed.writes)
    if undo.root_after != header.state_root:
        yield from chain.tree.take_back(undo)
        raise RootMismatch(f"state: {undo.root_after.hex()}")
    signers = tuple(ready.extrinsic.signer for ready in body.extrinsics)
    imported = Imported(block, block.hash, tuple(body.hashes), signers, executed, receipts)
    chain.tree.keep(imported.hash, undo)
    chain.hold(imported)
    return imported


def _execute(execution: BlockExecution, body: Sequence[ReadyExtrinsic]) -> Slices[None]:
    execution.begin()
    for number, ready in enumerate(body, start=1):
        if number % SLICE_EXTRINSICS == 0:
            yield
        try:
            execution.apply(ready)
        except InvalidExtrinsic as error:
            raise InvalidBody(f"extrinsic {number - 1}: {error.reason}, {error}") from error
    yield
