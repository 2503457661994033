"""The chain among other tasks: its long work in slices, its writes in a thread, its news told.

Invariants: one piece of work on the chain at a time; the event loop is held for one slice only;
what is announced as final is on disk; the best block descends from the last final one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from chain.blockchain import Blockchain, Finalized, Imported
from chain.builder import Assignment, build_block
from chain.importer import InvalidBody, decode_body, import_block
from chain.mempool import Mempool
from node.extrinsic_intake import ExtrinsicIntake
from node.sliced import run_in_slices
from primitives.block import Block
from primitives.errors import InvalidExtrinsic
from primitives.types import Digest, Epoch, Height
from runtime.executive import ReadyExtrinsic
from runtime.session import epoch_of
from runtime.system import NonceTooHigh, NonceTooLow

BUILD_TIME_PERCENT = 60
"""Share of the block interval for which a block is filled at most."""
PRUNED_PER_BLOCK_MAX = 4


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
        self._turn = trio.Lock()
        self._finalizing = trio.Lock()

    async def restore(self) -> None:
        """Take in again the blocks that were held before a restart.

        One that cannot be taken has lost its branch in the meantime, and is of no use.
        """
        for block in self.chain.pending_blocks():
            if self.chain.has_block(block.header.parent_hash):
                await self.take(block)

    async def build(self, assignment: Assignment) -> Imported:
        """Build a block from the mempool, and hold it.

        Raises: UnknownBlock, UnknownState, TooManyUnfinalized.
        """
        async with self._turn:
            path = self.chain.path_to(assignment.parent)
            skip = {known for item in path for known in item.extrinsic_hashes}
            candidates = (entry.ready for entry in self.mempool.candidates(skip))
            seconds = self.chain.interval * BUILD_TIME_PERCENT / 100_000
            deadline = trio.current_time() + seconds
            imported = await run_in_slices(
                build_block(
                    self.chain,
                    assignment,
                    candidates,
                    is_late=lambda: trio.current_time() > deadline,
                    on_invalid=self._on_invalid,
                )
            )
        self._follow_best(imported)
        return imported

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
        async with self._turn:
            known = self.chain.find_imported(block.hash)
            if known is not None:
                return known
            parent = block.header.parent_hash
            epoch = epoch_of(block.header.height, self.chain.config.session.epoch_length)
            rules = self.chain.rules(Epoch(epoch), parent)
            imported = await run_in_slices(import_block(self.chain, block, body, rules))
        self._follow_best(imported)
        return imported

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
            for imported in path:
                own = certificate if imported is path[-1] else b""
                # Once the write has begun, memory has to follow it.
                with trio.CancelScope(shield=True):
                    # Others may go on building meanwhile: the layers above the store hold the
                    # same values as the write.
                    await trio.to_thread.run_sync(self.chain.commit, imported, own)
                    async with self._turn:
                        finalized = await run_in_slices(self.chain.on_committed(imported))
                        await self._announce_final(finalized)
            await trio.to_thread.run_sync(self.chain.store.prune, PRUNED_PER_BLOCK_MAX)

    async def _announce_final(self, finalized: Finalized) -> None:
        await run_in_slices(
            self.mempool.on_final_block(
                Height(self.chain.final.height + 1),
                included=frozenset(finalized.extrinsic_hashes),
                touched=finalized.touched,
            )
        )
        if not self.chain.has_block(self.best) or self.best in finalized.abandoned:
            self.best = self._highest()
        for listener in self.on_final:
            listener(finalized)

    def _highest(self) -> Digest:
        held = self.chain.imported()
        if not held:
            return self.chain.final_hash
        return max(held, key=lambda item: (item.header.height, item.header.view)).hash

    def _follow_best(self, imported: Imported) -> None:
        if self._highest() != imported.hash:
            return
        before = {item.hash for item in self._path(self.best)}
        after = {item.hash for item in self._path(imported.hash)}
        self.best = imported.hash
        news = NewBest(imported, tuple(sorted(before - after)))
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
