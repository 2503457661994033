"""The chain as one node holds it: final blocks at rest, and what is built on the last of them.

Invariants: only blocks whose execution gave the roots of their headers are held; a final block is
one atomic write of the store; unfinalized blocks live in memory and, before anybody votes for
them, among the store's pending blocks, so that no crash loses a notarized block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chain.branch_tree import BranchTree, Step
from chain.equivocation import JUDGE
from chain.handover import HANDOVER, Handover, table_key
from chain.header_checks import EpochRules
from chain.history import accounts_in_history, touched_accounts
from chain.slices import Slices
from chain.state_cache import StateCache
from chain.state_tree import StateTree
from chain.store import Store
from chain.store_reader import StoreCorrupted, StoreReader
from chain.store_schema import FinalizedBlock
from chain.unfinalized import StateView, Unfinalized
from primitives.block import HEADER, Block, Header, Receipt, body_from_plain
from primitives.codec import decode_trusted, encode, encode_listed
from primitives.errors import LoopinError
from primitives.types import AccountId, Digest, Epoch, Height, Millis, View
from runtime.executive import BlockExecution, Executed
from runtime.invariants import check_in_slices
from runtime.module import BlockInfo, Context
from runtime.overlay import Overlay
from runtime.runtime import Config, Runtime
from runtime.session import epoch_of, is_boundary

SLICE_RECEIPTS = 256


class UnknownBlock(LoopinError):
    """The block is not held: it was never seen here, or was abandoned."""


@dataclass(frozen=True, slots=True)
class Imported:
    """An executed block that is not final yet."""

    block: Block
    hash: Digest
    extrinsic_hashes: tuple[Digest, ...]
    signers: tuple[AccountId | None, ...]
    """Beside each extrinsic; None for an inherent."""
    executed: Executed
    receipts: Sequence[bytes]
    """The encoding of each receipt."""

    @property
    def header(self) -> Header:
        return self.block.header


@dataclass(frozen=True, slots=True)
class Finalized:
    """A block that has just become final, and what those who follow the chain want of it."""

    header: Header
    hash: Digest
    extrinsic_hashes: tuple[Digest, ...]
    receipts: tuple[Receipt, ...]
    touched: frozenset[AccountId]
    """Accounts whose nonce or free balance the block changed."""
    writes: Mapping[bytes, bytes | None]
    abandoned: tuple[Digest, ...]
    """Blocks that can never become final now."""


def encode_receipts_in_slices(executed: Executed) -> Slices[list[bytes]]:
    """Return the encoding of each receipt."""
    encoded = []
    for number, receipt in enumerate(executed.receipts, start=1):
        encoded.append(receipt.encode())
        if number % SLICE_RECEIPTS == 0:
            yield
    return encoded


class Blockchain:
    """The chain of one node."""

    def __init__(
        self, store: Store, *, config: Config, interval: Millis, checked_entries_max: int = 0
    ) -> None:
        """Take up the chain where ``store`` left it.

        The state tree is built from the whole finalized state, which checks every value in it.
        ``checked_entries_max`` is up to how many entries of the state the runtime's invariants are
        checked after each block, since that walks them all; 0 is for a chain that never does.
        Raises: StoreCorrupted.
        """
        head = store.reads.head
        tree = StateTree.load(store.reads.items())
        if tree.root != head.state_root:
            raise StoreCorrupted(
                f"the state at block {head.height} has the root {tree.root.hex()}, its header "
                f"says {head.state_root.hex()}"
            )
        self.store = store
        self.config = config
        self.interval = interval
        self.checked_entries_max = checked_entries_max
        self.tree = BranchTree(tree)
        self.final = self._stored_header(head.height)
        self.final_hash = head.hash
        # Pinned, so that the write of the next final block shows in no state before it counts.
        self._final_state = StateCache(store.pinned())
        self.unfinalized = Unfinalized(self._final_state, head.hash)
        self._imported: dict[Digest, Imported] = {}
        self._saved: set[Digest] = set()
        """Unfinalized blocks that are on disk already."""

    # Reading

    def header(self, block_hash: Digest) -> Header:
        """Return the header of a final or unfinalized block. Raises: UnknownBlock."""
        imported = self._imported.get(block_hash)
        if imported is not None:
            return imported.header
        if block_hash == self.final_hash:
            return self.final
        height = self.store.reads.height_of(block_hash)
        if height is None:
            raise UnknownBlock(f"0x{block_hash.hex()}")
        return self._stored_header(height)

    def final_header_at(self, height: Height) -> Header:
        """Return the header of a final block. Raises: UnknownHeight."""
        return self._stored_header(height)

    def block(self, block_hash: Digest) -> Block:
        """Return a final or unfinalized block. Raises: UnknownBlock, HistoryPruned."""
        imported = self._imported.get(block_hash)
        if imported is not None:
            return imported.block
        height = self.store.reads.height_of(block_hash)
        if height is None:
            raise UnknownBlock(f"0x{block_hash.hex()}")
        body = body_from_plain(decode_trusted(self.store.reads.body_at(height)))
        return Block(self._stored_header(height), body)

    def has_block(self, block_hash: Digest) -> bool:
        """Return whether the block is final, or executed and waiting for finality."""
        return block_hash in self._imported or self.is_final(block_hash)

    def is_final(self, block_hash: Digest) -> bool:
        """Return whether the block is in the final chain."""
        return self.store.reads.height_of(block_hash) is not None

    def find_imported(self, block_hash: Digest) -> Imported | None:
        """Return an unfinalized block, or None."""
        return self._imported.get(block_hash)

    def imported(self) -> tuple[Imported, ...]:
        """Return every unfinalized block, parents before children."""
        return tuple(self._imported.values())

    def state_after(self, block_hash: Digest) -> StateView:
        """Return the state after the last final block or one above it. Raises: UnknownState."""
        return self.unfinalized.state_after(block_hash)

    def runtime_after(self, block_hash: Digest) -> Runtime:
        """Return the runtime over the state after a block, for questions; writes go nowhere."""
        header = self.header(block_hash)
        info = BlockInfo(
            height=header.height,
            parent_hash=header.parent_hash,
            view=header.view,
            epoch=header.epoch,
            timestamp=header.timestamp,
            author=header.author,
            vrf_output=b"",
        )
        return Runtime(Context(Overlay(self.state_after(block_hash)), info), self.config, JUDGE)

    def trial_after(self, block_hash: Digest) -> BlockExecution:
        """Return an execution of a next block, to validate extrinsics against; never ended."""
        parent = self.header(block_hash)
        height = Height(parent.height + 1)
        info = BlockInfo(
            height=height,
            parent_hash=block_hash,
            view=View(parent.view + 1),
            epoch=epoch_of(height, self.config.session.epoch_length),
            timestamp=Millis(parent.timestamp + self.interval),
            author=parent.author,
            vrf_output=b"",
        )
        return BlockExecution(self.state_after(block_hash), self.config, info, JUDGE)

    def rules(self, epoch: Epoch, at: Digest) -> EpochRules:
        """Return what headers of ``epoch`` are checked against, from the state after block ``at``.

        Raises: UnknownEpoch, UnknownState.
        """
        session = self.runtime_after(at).session
        length = self.config.session.epoch_length
        return EpochRules(
            epoch=epoch,
            first_height=Height(epoch * length + 1),
            last_height=Height((epoch + 1) * length),
            table=session.table(epoch),
            randomness=session.randomness[epoch],
        )

    def rules_now(self) -> EpochRules:
        """Return what the header above the last final block is checked against."""
        length = self.config.session.epoch_length
        return self.rules(epoch_of(Height(self.final.height + 1), length), self.final_hash)

    def path_to(self, block_hash: Digest) -> list[Imported]:
        """Return the unfinalized blocks up to a block, lowest first. Raises: UnknownBlock."""
        path: list[Imported] = []
        while block_hash != self.final_hash:
            imported = self._imported.get(block_hash)
            if imported is None:
                raise UnknownBlock(f"0x{block_hash.hex()} is not above the last final block")
            path.append(imported)
            block_hash = imported.header.parent_hash
        return path[::-1]

    # Taking blocks

    def end(self, execution: BlockExecution) -> Slices[Executed]:
        """End a block, and check what always holds after one if this chain does that.

        Nothing of the block is held yet, and the execution has no state any more.
        Raises: MisplacedInherent, InvariantBroken.
        """
        executed = yield from execution.end_in_slices()
        if self.entries <= self.checked_entries_max:
            yield from check_in_slices(execution.runtime.modules)
        execution.release()
        return executed

    @property
    def entries(self) -> int:
        """Entries of the state, as of the block that the state tree is at."""
        return len(self.tree.tree)

    def move_tree_to(self, block_hash: Digest) -> Slices[None]:
        """Bring the state tree to the state after an unfinalized block or the last final one."""
        path = [Step(item.hash, item.executed.writes) for item in self.path_to(block_hash)]
        return self.tree.move(path)

    def hold(self, imported: Imported) -> None:
        """Keep an executed block in memory. Raises: UnknownState, TooManyUnfinalized."""
        self.unfinalized.add(
            imported.hash, parent=imported.header.parent_hash, writes=imported.executed.writes
        )
        self._imported[imported.hash] = imported

    def save_pending(self, block_hash: Digest) -> None:
        """Put a held block where a crash cannot take it. Safe in a worker thread."""
        imported = self._imported.get(block_hash)
        if imported is not None and block_hash not in self._saved:
            self.store.save_pending(imported.header.height, block_hash, imported.block.encode())
            self._saved.add(block_hash)

    def pending_blocks(self) -> list[Block]:
        """Return the blocks that were held before a restart, lowest first."""
        return [Block.decode(data) for data in self.store.reads.pending()]

    def handover_after(self, imported: Imported, certificate: bytes) -> bytes | None:
        """Return what proves the next epoch's table, if the block is its epoch's last; else None.

        The state tree must be at the block or have been there lately. Raises: VersionNotKept.
        """
        header = imported.header
        if not is_boundary(header.height, self.config.session.epoch_length):
            return None
        key = table_key(Epoch(header.epoch + 1))
        table = imported.executed.writes[key]
        assert table is not None, "a boundary block writes the next table"
        proof = self.tree.tree.prove(key, header.state_root)
        return HANDOVER.encode(Handover(header.encode(), certificate, table, proof))

    def commit(self, imported: Imported, certificate: bytes, handover: bytes | None = None) -> None:
        """Write the block above the last final one as final, durably. Safe in a worker thread.

        ``certificate`` is its finalization, or empty if a descendant's stands for it too; the
        chain's own idea of what is final follows with ``on_committed``. Raises: WriteFailed.
        """
        self.commit_path([imported], certificate, handover)

    def commit_path(
        self, path: Sequence[Imported], certificate: bytes, handover: bytes | None = None
    ) -> None:
        """Write blocks that follow each other in one batch; the arguments are of the last.

        The certificate stands for all of them. Otherwise as ``commit``.
        """
        last = len(path) - 1
        self.store.commit(
            *(
                self._record(item, *((certificate, handover) if at == last else (b"", None)))
                for at, item in enumerate(path)
            )
        )

    def on_committed(self, imported: Imported) -> Slices[Finalized]:
        """Let a committed block be the last final one."""
        (finalized,) = yield from self.on_path_committed([imported])
        return finalized

    def on_path_committed(self, path: Sequence[Imported]) -> Slices[list[Finalized]]:
        """Let the last of the blocks that were committed together be the last final one."""
        touched = []
        for imported in path:
            touched.append(touched_accounts(imported.executed.writes))
            yield
        if path[-1].hash not in self.tree.path:
            yield from self.move_tree_to(path[-1].hash)
        # No slice ends between two blocks: the store is at the last one, and a state after one
        # in between would show what later blocks wrote.
        pinned = self.store.pinned()
        pairs = zip(path, touched, strict=True)
        return [self._step(imported, pinned, accounts) for imported, accounts in pairs]

    def _step(
        self, imported: Imported, pinned: StoreReader, touched: frozenset[AccountId]
    ) -> Finalized:
        self.tree.on_final(imported.hash)
        self._final_state.advance(pinned, imported.executed.writes)
        abandoned = self.unfinalized.finalize(imported.hash, self._final_state)
        for gone in (imported.hash, *abandoned):
            del self._imported[gone]
        self._saved &= self._imported.keys()
        self.final, self.final_hash = imported.header, imported.hash
        return Finalized(
            header=imported.header,
            hash=imported.hash,
            extrinsic_hashes=imported.extrinsic_hashes,
            receipts=imported.executed.receipts,
            touched=touched,
            writes=imported.executed.writes,
            abandoned=tuple(abandoned),
        )

    def _record(self, item: Imported, certificate: bytes, handover: bytes | None) -> FinalizedBlock:
        header, block = item.header, item.block
        receipts = item.executed.receipts[1:-1]
        return FinalizedBlock(
            height=header.height,
            hash=item.hash,
            parent_hash=header.parent_hash,
            state_root=header.state_root,
            header=header.encode(),
            body=encode(block.extrinsics),
            receipts=encode_listed(item.receipts),
            certificate=certificate,
            state_writes=item.executed.writes,
            state_before=item.executed.replaced,
            extrinsic_hashes=item.extrinsic_hashes,
            accounts=tuple(
                accounts_in_history(signer, receipt)
                for signer, receipt in zip(item.signers, receipts, strict=True)
            ),
            handover=None if handover is None else (header.epoch, handover),
            is_epoch_boundary=is_boundary(header.height, self.config.session.epoch_length),
        )

    def _stored_header(self, height: Height) -> Header:
        return HEADER.load(self.store.reads.header_at(height))
