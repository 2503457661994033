"""Building a block: what a leader proposes."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from chain.blockchain import Blockchain, Imported, encode_receipts_in_slices
from chain.equivocation import JUDGE
from chain.slices import Slices
from primitives.block import Block, Header, encode_inherent
from primitives.codec import Plain
from primitives.errors import InvalidExtrinsic
from primitives.merkle import merkle_root_in_slices
from primitives.types import AccountId, Digest, Height, Millis, View
from runtime.executive import BlockExecution, BlockFull, InherentFailed, ReadyExtrinsic
from runtime.module import BlockInfo
from runtime.session import epoch_of

SLICE_EXTRINSICS = 32
"""Extrinsics executed between two yields."""
EVIDENCE_ATTEMPTS_MAX = 4
"""Pieces of evidence that are tried for one block, each with two signatures to verify."""
FULL_ATTEMPTS_MAX = 64
"""Candidates that do not fit any more before a block counts as full."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """On what, as whom and when a block is built."""

    parent: Digest
    view: View
    timestamp: Millis
    author: AccountId
    vrf_proof: bytes
    vrf_output: bytes


@dataclass(slots=True)
class _Draft:
    """The extrinsics of a block in the making."""

    execution: BlockExecution
    chosen: list[bytes]
    hashes: list[Digest]
    signers: list[AccountId | None]

    def add(self, ready: ReadyExtrinsic) -> None:
        self.execution.apply(ready)
        self.chosen.append(ready.extrinsic.encoded)
        self.hashes.append(ready.extrinsic.hash)
        self.signers.append(ready.extrinsic.signer)

    def put_in(self, name: str, argument: Plain) -> None:
        self.add(ReadyExtrinsic.decode(encode_inherent([name, argument])))


def build_block(
    chain: Blockchain,
    assignment: Assignment,
    candidates: Iterable[ReadyExtrinsic | None],
    *,
    is_late: Callable[[], bool],
    on_invalid: Callable[[ReadyExtrinsic, InvalidExtrinsic], None],
    evidence: Iterable[bytes] = (),
) -> Slices[Imported]:
    """Build a block of those candidates that fit, in their order, and hold it.

    The first piece of evidence that punishes somebody in its state goes in. None among the
    candidates is time spent on one passed over. It takes no more when ``is_late``; ``on_invalid``
    is told of candidates that no block takes.
    Raises: UnknownBlock, UnknownState, TooManyUnfinalized.
    """
    chain.unfinalized.require_room(0)
    info = _info(chain, assignment)
    execution = BlockExecution(chain.state_after(assignment.parent), chain.config, info, JUDGE)
    execution.begin()
    draft = _Draft(execution, [], [], [])
    draft.put_in("timestamp.set", assignment.timestamp)
    yield from _put_in_evidence(draft, evidence)
    yield from _fill(draft, candidates, is_late, on_invalid)
    yield
    executed = yield from chain.end(execution)
    chain.unfinalized.require_room(len(executed.writes))
    yield
    receipts = yield from encode_receipts_in_slices(executed)
    receipts_root = yield from merkle_root_in_slices(receipts)
    extrinsics_root = yield from merkle_root_in_slices(draft.chosen)
    yield from chain.move_tree_to(assignment.parent)
    undo = yield from chain.tree.root_after(executed.writes)
    header = Header(
        parent_hash=info.parent_hash,
        height=info.height,
        view=info.view,
        epoch=info.epoch,
        timestamp=info.timestamp,
        author=info.author,
        state_root=undo.root_after,
        extrinsics_root=extrinsics_root,
        receipts_root=receipts_root,
        vrf_proof=assignment.vrf_proof,
    )
    block, hashes = Block(header, tuple(draft.chosen)), tuple(draft.hashes)
    imported = Imported(block, block.hash, hashes, tuple(draft.signers), executed, receipts)
    chain.tree.keep(imported.hash, undo)
    chain.hold(imported)
    return imported


def _put_in_evidence(draft: _Draft, evidence: Iterable[bytes]) -> Slices[None]:
    for piece in islice(evidence, EVIDENCE_ATTEMPTS_MAX):
        yield
        with suppress(InherentFailed, InvalidExtrinsic):
            draft.put_in("offences.report_by_author", piece)
            return


def _fill(
    draft: _Draft,
    candidates: Iterable[ReadyExtrinsic | None],
    is_late: Callable[[], bool],
    on_invalid: Callable[[ReadyExtrinsic, InvalidExtrinsic], None],
) -> Slices[None]:
    full_attempts = 0
    for number, ready in enumerate(candidates, start=1):
        if number % SLICE_EXTRINSICS == 0:
            yield
            if is_late():
                return
        if ready is None:
            continue
        try:
            draft.add(ready)
        except BlockFull:
            full_attempts += 1
            if full_attempts == FULL_ATTEMPTS_MAX:
                return
        except InvalidExtrinsic as error:
            on_invalid(ready, error)


def _info(chain: Blockchain, assignment: Assignment) -> BlockInfo:
    height = Height(chain.header(assignment.parent).height + 1)
    return BlockInfo(
        height=height,
        parent_hash=assignment.parent,
        view=assignment.view,
        epoch=epoch_of(height, chain.config.session.epoch_length),
        timestamp=assignment.timestamp,
        author=assignment.author,
        vrf_output=assignment.vrf_output,
    )
