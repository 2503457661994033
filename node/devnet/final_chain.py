"""The final blocks that the nodes of a devnet have shown: one chain, or the proof that it is not.

Invariant: a disagreement on a final block, once seen, is never forgotten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from primitives.block import Block
from primitives.types import Digest, Height
from runtime.executive import INHERENTS

HEIGHTS_PER_LOOK = 64


class Blocks(Protocol):
    """A node's blocks, as its RPC serves them."""

    def hash_at(self, height: Height) -> Digest | None: ...
    def find_block(self, block: Digest) -> Block | None: ...


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two nodes with different final blocks at one height."""

    height: Height
    one: str
    other: str


class FinalChain:
    """Compares what nodes call final, height by height; each node by a thread of its own."""

    def __init__(self, names: Sequence[str]) -> None:
        self.disagreements: list[Disagreement] = []
        self.extrinsics = 0
        """Signed extrinsics in the blocks from 1 to ``counted``."""
        self.counted = Height(0)
        self._finals: dict[Height, tuple[Digest, str]] = {}
        """By height: the first answer, and who gave it; forgotten once all have been compared."""
        self._checked = dict.fromkeys(names, Height(0))
        self._turn = Lock()

    def check(self, name: str, node: Blocks, final: Height) -> None:
        """Compare a node's next final blocks with what others have shown, a few at a time."""
        first = self._checked[name] + 1
        for height in range(first, min(final, first + HEIGHTS_PER_LOOK - 1) + 1):
            at = Height(height)
            block_hash = node.hash_at(at)
            if block_hash is None:
                return
            with self._turn:
                self._compare(name, at, block_hash)
            self._count(node, at, block_hash)

    def _compare(self, name: str, height: Height, block_hash: Digest) -> None:
        known, who = self._finals.setdefault(height, (block_hash, name))
        if known != block_hash:
            self.disagreements.append(Disagreement(height, who, name))
        self._checked[name] = height
        for old in [old for old in self._finals if old <= min(self._checked.values())]:
            del self._finals[old]

    def _count(self, node: Blocks, height: Height, block_hash: Digest) -> None:
        """Count the extrinsics of each final block once, whichever node shows it first."""
        if height != self.counted + 1:
            return
        block = node.find_block(block_hash)
        with self._turn:
            if block is not None and height == self.counted + 1:
                self.counted = height
                self.extrinsics += len(block.extrinsics) - len(INHERENTS)
