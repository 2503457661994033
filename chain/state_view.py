"""Reading one version of the state tree: the present nodes, through what later updates replaced.

Invariant: no read hashes more than one bucket or branch, so a proof against an earlier root
costs what a proof against the present one does.
"""

from chain.state_layout import Layout, Replaced
from chain.state_page import Branch, Page, gather_entries
from chain.state_proof import (
    BUCKET_ENTRIES_MAX,
    DIGEST_BYTES,
    LEVEL_BYTES,
    QUAD_BYTES,
    StateProof,
    nibble_at,
)


class TreeView:
    """One version of a tree. Valid until the tree next changes."""

    def __init__(self, layout: Layout, newer: list[Replaced]) -> None:
        self._layout = layout
        self._newer = newer
        """What the updates after this version replaced, oldest first."""
        self.depth = layout.depth

    def slot_of(self, key_hash: bytes) -> int:
        return self._layout.slot_of(key_hash)

    def page(self, slot: int) -> Page:
        for replaced in self._newer:
            page = replaced.pages.get(slot)
            if page is not None:
                return page
        return self._layout.pages[slot]

    def prove(self, key_hash: bytes) -> StateProof:
        """Return the proof of what ``key_hash`` has, be it nothing."""
        slot, siblings = self.slot_of(key_hash), bytearray()
        for level in range(self.depth):
            node = slot >> 4 * (self.depth - level)
            if self._count(level, node) <= BUCKET_ENTRIES_MAX:
                return StateProof(bytes(siblings), self._bucket(level, node))
            nibble = nibble_at(key_hash, level)
            siblings += _others(self._group(2 * level + 1, node), nibble >> 2)
            siblings += _others(self._group(2 * level + 2, 4 * node + (nibble >> 2)), nibble & 3)
        page, level = self.page(slot), self.depth
        while isinstance(page, Branch):
            nibble = nibble_at(key_hash, level)
            quad = QUAD_BYTES * (nibble >> 2)
            siblings += _others(page.quads, nibble >> 2)
            siblings += _others(page.nodes[quad : quad + QUAD_BYTES], nibble & 3)
            page = page.children[nibble]
            level += 1
        assert len(siblings) == level * LEVEL_BYTES, "six siblings a level"
        return StateProof(bytes(siblings), page)

    def _count(self, level: int, node: int) -> int:
        for replaced in self._newer:
            count = replaced.counts[level].get(node)
            if count is not None:
                return count
        return self._layout.counts[level][node]

    def _group(self, row: int, group: int) -> bytes:
        for replaced in self._newer:
            kept = replaced.groups[row].get(group)
            if kept is not None:
                return kept
        return self._layout.rows[row][group]

    def _bucket(self, level: int, node: int) -> bytes:
        width = 4 * (self.depth - level)
        slots = range(node << width, (node + 1) << width)
        return b"".join([gather_entries(self.page(slot)) for slot in slots])


def _others(group: bytes, place: int) -> bytes:
    """Return the three hashes beside the one at ``place``."""
    at = DIGEST_BYTES * place
    return group[:at] + group[at + DIGEST_BYTES :]
