"""Which blocks the driver holds, as far as a machine needs to know: digests and heights.

Invariant: only the final block and blocks that an open view names are remembered.
"""

from collections.abc import Iterable

from consensus.simplex.events import Action, Fetch
from primitives.types import Digest, Height


class Blocks:
    """Heights of held blocks, and the blocks that were asked for."""

    __slots__ = ("_heights", "_wanted", "last_height")

    def __init__(self, root: Digest, root_height: Height, last_height: Height) -> None:
        self._heights: dict[Digest, Height] = {root: root_height}
        self._wanted: dict[Digest, bool] = {}
        self.last_height = last_height

    def __len__(self) -> int:
        return len(self._heights) + len(self._wanted)

    def find_height(self, block: Digest) -> Height | None:
        """Return the height of a held block, or None."""
        return self._heights.get(block)

    def is_boundary(self, block: Digest) -> bool:
        """Return whether ``block`` is held and the last of its epoch."""
        return self._heights.get(block, Height(0)) >= self.last_height

    def hold(self, block: Digest, height: Height) -> None:
        """Remember that ``block`` and all its ancestors are held."""
        self._heights.setdefault(block, height)
        self._wanted.pop(block, None)

    def want(self, block: Digest) -> list[Action]:
        """Ask for a certified block that is not held, once."""
        if block in self._heights or block in self._wanted:
            return []
        self._wanted[block] = True
        return [Fetch(block)]

    def is_wanted(self, block: Digest) -> bool:
        """Return whether ``block`` was asked for and has not come."""
        return block in self._wanted

    def ask_anew(self) -> None:
        """Let everything that is missing be asked for once more."""
        self._wanted.clear()

    def forget_but(self, named: Iterable[Digest]) -> None:
        """Drop every block that no later rule names."""
        kept = dict.fromkeys(named)
        self._heights = {b: height for b, height in self._heights.items() if b in kept}
        self._wanted = {b: True for b in self._wanted if b in kept}
