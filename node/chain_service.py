"""The chain among other tasks: its long work in slices, its writes in a thread, its news told.

Invariants: one piece of work on the chain at a time; the event loop is held for one slice only;
what is announced as final is on disk; the best block descends from the last final one.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import trio

from chain.blockchain import Blockchain, Finalized, Imported, UnknownBlock
from chain.builder import Assignment, build_block
from chain.importer import Body, InvalidBody, decode_body, import_block
from chain.mempool import Mempool
from chain.state_tree import VersionNotKept
from chain.unfinalized import TooManyUnfinalized, UnknownState
from node.extrinsic_intake import ExtrinsicIntake
from node.invariants import told_if_broken
from node.sliced import run_in_slices
from primitives.block import Block
from primitives.errors import InvalidBlock, InvalidExtrinsic
from primitives.types import Digest, Epoch, Height
from runtime.executive import ReadyExtrinsic
from runtime.session import UnknownEpoch, epoch_of
from runtime.system import NonceTooHigh, NonceTooLow

BUILD_TIME_PERCENT = 60
"""Share of the block interval for which a block is filled at most."""
PRUNED_PER_BLOCK_MAX = 4
WRITTEN_BLOCKS_MAX = 16
WRITTEN_KEYS_MAX = 8192
"""Blocks, and keys that they change, in one write of a node that catches up."""
QUIET_BLOCKS = 16
"""Unfinalized blocks from which on empty ones are built: finality has stalled, memory is finite."""
NOT_TAKEN = (UnknownBlock, UnknownState, UnknownEpoch, TooManyUnfinalized)
"""Why a block cannot be taken here and now, be it ever so valid."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewBest:
    """The best block changed."""

    imported: Imported
    retracted: tuple[Digest, ...]
    """Blocks that were on the way to the best one before and are not now."""


class ChainService:
    """The one owner of a node's chain."""

    def __init__(self, chain: Blockchain, mempool: Mempool, intake: ExtrinsicIntake) -> None:
        self.chain = chain
        self.mempool = mempool
        self.intake = intake
        self.best = chain.final_hash
        """The last block of the branch that this node would build on."""
        self.on_new_best: list[Callable[[NewBest], None]] = []
        """Called with every change of the best block; they must not wait."""
        self.on_final: list[Callable[[Finalized], None]] = []
        """Called with every block that becomes final, in order; they must not wait."""
        self.find_evidence: Callable[[Digest], Iterable[bytes]] = lambda _: ()
        """Asked for what a block above the given one may report."""
        self._turn = trio.Lock()
        self._finalizing = trio.Lock()

    async def restore(self) -> None:
        """Take in again the blocks that were held before a restart.

        One that cannot be taken has lost its branch in the meantime, and is of no use.
        """
        for block in self.chain.pending_blocks():
            if self.chain.is_final(block.hash):
                continue
            try:
                await self.take(block)
            except (*NOT_TAKEN, InvalidBlock) as error:
                _log.info(
                    "height=%d event=not_restored reason=%s", block.header.height, error.reason
                )

    async def build(self, assignment: Assignment) -> Imported:
        """Build a block from the mempool, and hold it.

        Raises: UnknownBlock, UnknownState, TooManyUnfinalized.
        """
        async with self._turn:
            evidence = () if self._is_quiet() else self.find_evidence(assignment.parent)
            candidates = self._candidates(self.chain.path_to(assignment.parent))
            seconds = self.chain.interval * BUILD_TIME_PERCENT / 100_000
            deadline = trio.current_time() + seconds
            with told_if_broken("own"):
                imported = await run_in_slices(
                    build_block(
                        self.chain,
                        assignment,
                        candidates,
                        is_late=lambda: trio.current_time() > deadline,
                        on_invalid=self._on_invalid,
                        evidence=evidence,
                    )
                )
        self._follow_best(imported)
        return imported

    def _candidates(self, path: list[Imported]) -> Iterator[ReadyExtrinsic | None]:
        """Yield what may go into a block above ``path``; None for what is there already."""
        if self._is_quiet():
            return
        there = {known for item in path for known in item.extrinsic_hashes}
        for entry in self.mempool.candidates(frozenset()):
            yield None if entry.hash in there else entry.ready

    def _is_quiet(self) -> bool:
        return len(self.chain.unfinalized) >= QUIET_BLOCKS

    async def take(self, block: Block) -> Imported:
        """Check a block by executing it, and hold it.

        Raises: InvalidBlock; UnknownBlock, UnknownState, UnknownEpoch, TooManyUnfinalized.
        """
        known = self.chain.find_imported(block.hash)
        if known is not None:
            return known
        body = await run_in_slices(decode_body(block, self.intake.find_verified))
        if not await self.intake.verify(body.unverified):
            raise InvalidBody("an extrinsic's signature is not its signer's")
        imported = await self._import(block, body)
        self._follow_best(imported)
        return imported

    async def take_final(self, blocks: Sequence[Block], certificate: bytes) -> None:
        """Execute blocks that were proven final, and make them final here.

        ``certificate`` is of the last. Many are written at once: nobody has been told of them by
        this node, so nothing is lost with what a crash undoes but the time to fetch it again.
        Raises: InvalidBlock, WriteFailed; UnknownBlock, UnknownState, UnknownEpoch,
        TooManyUnfinalized.
        """
        bodies = [
            await run_in_slices(decode_body(block, self.intake.find_verified)) for block in blocks
        ]
        if not await self.intake.verify([x for body in bodies for x in body.unverified]):
            raise InvalidBody("an extrinsic's signature is not its signer's")
        path: list[Imported] = []
        writes = 0
        async with self._finalizing:
            for block, body in zip(blocks, bodies, strict=True):
                if self.chain.is_final(block.hash):
                    continue  # consensus was quicker
                imported = await self._import(block, body)
                path.append(imported)
                writes += len(imported.executed.writes)
                if block is blocks[-1]:
                    await self._write(path, certificate)
                elif len(path) == WRITTEN_BLOCKS_MAX or writes > WRITTEN_KEYS_MAX:
                    await self._write(path, b"")
                    path, writes = [], 0

    async def _import(self, block: Block, body: Body) -> Imported:
        """Execute and hold a block whose signatures are checked. Raises: as ``take``."""
        async with self._turn:
            known = self.chain.find_imported(block.hash)
            if known is not None:
                return known
            parent = block.header.parent_hash
            # The header's own height is not checked yet.
            height = Height(self.chain.header(parent).height + 1)
            epoch = epoch_of(height, self.chain.config.session.epoch_length)
            rules = self.chain.rules(Epoch(epoch), parent)
            with told_if_broken(f"0x{block.hash.hex()}"):
                return await run_in_slices(import_block(self.chain, block, body, rules))

    async def save_pending(self, block_hash: Digest) -> None:
        """Put a held block where a crash cannot take it. Raises: WriteFailed."""
        await trio.to_thread.run_sync(self.chain.save_pending, block_hash)

    async def finalize(self, block_hash: Digest, certificate: bytes) -> None:
        """Make a held block and its ancestors final; nothing happens if it is already.

        Raises: UnknownBlock, WriteFailed.
        """
        async with self._finalizing:
            if self.chain.is_final(block_hash):
                return
            path = self.chain.path_to(block_hash)
            for start in range(0, len(path), WRITTEN_BLOCKS_MAX):
                part = path[start : start + WRITTEN_BLOCKS_MAX]
                await self._write(part, certificate if part[-1] is path[-1] else b"")

    async def _write(self, path: Sequence[Imported], certificate: bytes) -> None:
        """Make held blocks final in one write; the certificate is of the last."""
        # Once the write has begun, memory has to follow it.
        with trio.CancelScope(shield=True):
            # Others may go on meanwhile: the write shows in no state before it counts.
            handover = await self._handover_after(path[-1], certificate)
            await trio.to_thread.run_sync(self.chain.commit_path, path, certificate, handover)
            async with self._turn:
                finalized = await run_in_slices(self.chain.on_path_committed(path))
                await self._announce_final(path[-1], finalized)
        pruned = PRUNED_PER_BLOCK_MAX * len(path)
        await trio.to_thread.run_sync(self.chain.store.prune, pruned)

    async def _handover_after(self, imported: Imported, certificate: bytes) -> bytes | None:
        try:
            return self.chain.handover_after(imported, certificate)
        except VersionNotKept:
            async with self._turn:
                await run_in_slices(self.chain.move_tree_to(imported.hash))
                return self.chain.handover_after(imported, certificate)

    async def _announce_final(self, last: Imported, path: Sequence[Finalized]) -> None:
        # Once for the whole path: the mempool's judge already speaks of the state after its end.
        await run_in_slices(
            self.mempool.on_final_block(
                Height(last.header.height + 1),
                included={known for final in path for known in final.extrinsic_hashes},
                touched={account: None for final in path for account in final.touched},
            )
        )
        if self.best != last.hash and self.chain.find_imported(self.best) is None:
            best = self._highest() or last
            self.best = best.hash
            abandoned = tuple(gone for finalized in path for gone in finalized.abandoned)
            self._announce_best(NewBest(best, abandoned))
        for finalized in path:
            for listener in self.on_final:
                listener(finalized)

    def _highest(self) -> Imported | None:
        held = self.chain.imported()
        return max(held, key=lambda item: (item.header.height, item.header.view), default=None)

    def _follow_best(self, imported: Imported) -> None:
        if self._highest() is not imported:
            return
        before = {item.hash for item in self._path(self.best)}
        after = {item.hash for item in self._path(imported.hash)}
        self.best = imported.hash
        self._announce_best(NewBest(imported, tuple(sorted(before - after))))

    def _announce_best(self, news: NewBest) -> None:
        for listener in self.on_new_best:
            listener(news)

    def _path(self, block_hash: Digest) -> list[Imported]:
        return self.chain.path_to(block_hash) if self.chain.find_imported(block_hash) else []

    def _on_invalid(self, ready: ReadyExtrinsic, error: InvalidExtrinsic) -> None:
        """Let the mempool forget what no block takes; a nonce may be right on another branch."""
        if isinstance(error, NonceTooLow | NonceTooHigh):
            return
        entry = self.mempool.find(ready.extrinsic.hash)
        if entry is not None:
            self.mempool.remove_invalid(entry, error)
