"""The state tree, moved along the unfinalized branches.

The tree is at one version at a time: that after the last final block, or after one above it.
Going to another branch takes back the updates that are not on its path and makes those that are.

Invariant: ``path`` names the blocks whose writes are in the tree above the last final block, in
order, and ``tree.root`` is the state root of the last of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chain.slices import Slices
from chain.state_tree import StateTree, Undo
from primitives.types import Digest


@dataclass(frozen=True, slots=True)
class Step:
    """One block's writes on the way from the last final block to another."""

    block_hash: Digest
    writes: Mapping[bytes, bytes | None]


class BranchTree:
    """The one state tree of a node."""

    def __init__(self, tree: StateTree) -> None:
        """Take over a tree that is at the last final block."""
        self.tree = tree
        self._applied: list[tuple[Digest, Undo]] = []

    @property
    def path(self) -> tuple[Digest, ...]:
        """The unfinalized blocks whose writes are in the tree, lowest first."""
        return tuple(block_hash for block_hash, _ in self._applied)

    def move(self, path: Sequence[Step]) -> Slices[None]:
        """Bring the tree to the end of ``path``, which starts above the last final block."""
        shared = 0
        while shared < min(len(path), len(self._applied)):
            if path[shared].block_hash != self._applied[shared][0]:
                break
            shared += 1
        while len(self._applied) > shared:
            yield from self.tree.revert_in_slices(self._applied[-1][1])
            self._applied.pop()
        for step in path[shared:]:
            yield from self._apply(step)

    def root_after(self, writes: Mapping[bytes, bytes | None]) -> Slices[Undo]:
        """Make ``writes`` where the tree is; they are then to be kept or taken back."""
        return (yield from self.tree.update_in_slices(writes))

    def keep(self, block_hash: Digest, undo: Undo) -> None:
        """Give the latest writes the name of the block that makes them."""
        assert undo.root_after == self.tree.root, "only the latest writes can be kept"
        self._applied.append((block_hash, undo))

    def take_back(self, undo: Undo) -> Slices[None]:
        """Undo the latest writes."""
        yield from self.tree.revert_in_slices(undo)

    def on_final(self, block_hash: Digest) -> None:
        """Note that a block, the first of the tree's path, has become final."""
        assert self._applied, "the tree is not above the final block"
        assert self._applied[0][0] == block_hash, "the tree is on another branch"
        del self._applied[0]

    def _apply(self, step: Step) -> Slices[None]:
        undo = yield from self.tree.update_in_slices(step.writes)
        self._applied.append((step.block_hash, undo))
