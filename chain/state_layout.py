"""How the state tree lies in memory: rows of hashes, four to a group, and one page per slot.

Row ``2d`` holds the hashes of the nodes at depth ``d``; row ``2d - 1`` those of the quads between
them and the nodes above. A row is a list of groups, each four hashes as one immutable byte string,
so that an earlier version keeps what an update replaces without copying it.
Hash ``i`` of row ``r`` is the hash of group ``i`` of row ``r + 1``, unless it stands for a node
with at most 16 entries below it, which is a bucket. The rows below such a bucket are kept right
as well, since it may become a node with the next entry.

Invariants: ``pages`` hold every entry exactly once, in order of key hash; every row is the
function of the row below that ``chain/state_proof.py`` defines.
"""

from array import array
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

from chain.state_page import (
    Changes,
    KeyChanges,
    Page,
    build_page,
    change_bucket,
    change_page,
    count_entries,
    gather_entries,
    hash_page,
    make_branch,
    split_page,
)
from chain.state_proof import (
    BUCKET_ENTRIES_MAX,
    DIGEST_BYTES,
    ENTRY_BYTES,
    QUAD_BYTES,
    hash_bucket,
)
from primitives.crypto import Purpose, keyed_hash
from primitives.types import EMPTY_DIGEST, Digest

GROW_ENTRIES = 24
"""Entries per slot above which one more level lies flat: most slots are then branches."""
SHRINK_SLOTS = 4
"""Slots per entry above which one level fewer lies flat."""
FLAT_DEPTH_MAX = 6
"""16 million slots, a state of up to 400 million entries; see docs/state.md for what is beyond."""
SLICE_SLOTS = 128
EMPTY_GROUP = bytes(QUAD_BYTES)


@dataclass(frozen=True, slots=True)
class Replaced:
    """What an update has overwritten so far: enough to read, or restore, the tree before it."""

    groups: list[dict[int, bytes]]
    """By row: group number to its 128 bytes."""
    counts: list[dict[int, int]]
    """By depth: node number to how many entries were below it."""
    pages: dict[int, Page]

    @classmethod
    def nothing(cls, depth: int) -> "Replaced":
        return cls([{} for _ in range(2 * depth + 1)], [{} for _ in range(depth + 1)], {})


class Layout:
    """Rows, counts and pages for one number of flat levels."""

    __slots__ = ("counts", "depth", "pages", "root", "rows")

    def __init__(self, depth: int, pages: list[Page]) -> None:
        self.depth = depth
        self.pages = pages
        self.rows: list[list[bytes]] = [[]]
        """Row 0 would be the root alone, which has its own field."""
        self.rows += [[EMPTY_GROUP] * (1 << 2 * row) for row in range(2 * depth)]
        self.counts = [array("Q", bytes(8 << 4 * level)) for level in range(depth + 1)]
        self.root: Digest = EMPTY_DIGEST

    @property
    def count(self) -> int:
        return self.counts[0][0]

    def slot_of(self, key_hash: bytes) -> int:
        """Return the slot in whose page ``key_hash`` belongs."""
        return int.from_bytes(key_hash[:4], "big") >> (32 - 4 * self.depth)

    def wanted_depth(self) -> int:
        """Return how many flat levels this many entries should have: a step from the present."""
        slots = 1 << 4 * self.depth
        if self.count > GROW_ENTRIES * slots and self.depth < FLAT_DEPTH_MAX:
            return self.depth + 1
        if self.depth and self.count * SHRINK_SLOTS < slots:
            return self.depth - 1
        return self.depth

    def change_slot(
        self, slot: int, changes: Changes, undo: KeyChanges, replaced: Replaced
    ) -> None:
        """Change the page of a slot and its hash in the lowest row; rows above are not hashed."""
        before = self.pages[slot]
        if len(changes) == 1 and type(before) is bytes:
            page = change_bucket(before, self.depth, *changes[0], undo)
        else:
            page = change_page(before, self.depth, changes, undo)
        if page is before:
            return
        if slot not in replaced.pages:
            replaced.pages[slot] = before
        self.pages[slot] = page
        if self.depth:
            _put_hash(self.rows[-1], slot, hash_page(page), replaced.groups[-1])
        if type(page) is bytes is type(before) and len(page) == len(before):
            return
        grown = count_entries(page) - count_entries(before)
        if grown:
            number = slot
            for level in range(self.depth, -1, -1):
                counts = self.counts[level]
                replaced.counts[level].setdefault(number, counts[number])
                counts[number] += grown
                number >>= 4

    def hash_groups(self, row: int, groups: Sequence[int], replaced: Replaced) -> None:
        """Hash some groups of ``row`` into the row above it, which has more than one hash."""
        below, above, kept = self.rows[row], self.rows[row - 1], replaced.groups[row - 1]
        counts = None if row & 1 == 0 else self.counts[row >> 1]
        purpose = Purpose.STATE_NODE
        for group in groups:
            if counts is not None and counts[group] <= BUCKET_ENTRIES_MAX:
                digest = hash_bucket(self.bucket(row >> 1, group))
            else:
                digest = keyed_hash(purpose, below[group])
            # As in _put_hash, whose call would cost a tenth of this loop.
            over, at = group >> 2, (group & 3) << 5
            before = above[over]
            if over not in kept:
                kept[over] = before
            above[over] = before[:at] + digest + before[at + DIGEST_BYTES :]

    def hash_top(self) -> Digest:
        """Return the root over row 1, or over the only page."""
        if self.depth == 0:
            return hash_page(self.pages[0])
        if self.count <= BUCKET_ENTRIES_MAX:
            return hash_bucket(self.bucket(0, 0))
        return keyed_hash(Purpose.STATE_NODE, self.rows[1][0])

    def bucket(self, level: int, number: int) -> bytes:
        """Return the entries below a node that has at most 16 of them."""
        width = 4 * (self.depth - level)
        pages = self.pages[number << width : (number + 1) << width]
        return b"".join([gather_entries(page) for page in pages])

    def restore(self, replaced: Replaced) -> None:
        """Put back everything that an unfinished update has overwritten."""
        for row, groups in zip(self.rows, replaced.groups, strict=True):
            for group, before in groups.items():
                row[group] = before
        for counts, earlier in zip(self.counts, replaced.counts, strict=True):
            for number, count in earlier.items():
                counts[number] = count
        for slot, page in replaced.pages.items():
            self.pages[slot] = page

    def hash_all(self) -> Generator[None, None, None]:
        """Fill in counts and every row above the lowest, whose hashes are there; yields."""
        counts = self.counts[self.depth]
        for slot, page in enumerate(self.pages):
            counts[slot] = count_entries(page)
        for level in range(self.depth - 1, -1, -1):
            below = self.counts[level + 1]
            self.counts[level] = array(
                "Q", [sum(below[at : at + 16]) for at in range(0, len(below), 16)]
            )
        unused = Replaced.nothing(self.depth)
        for row in range(2 * self.depth, 1, -1):
            groups = range(1 << 2 * (row - 1))
            for start in range(0, len(groups), SLICE_SLOTS):
                self.hash_groups(row, groups[start : start + SLICE_SLOTS], unused)
                yield
            unused.groups[row - 1].clear()
        self.root = self.hash_top()


def _put_hash(row: list[bytes], number: int, digest: bytes, kept: dict[int, bytes]) -> None:
    """Put hash ``number`` into its group, and keep the group that the version before had."""
    group = number >> 2
    before = row[group]
    if group not in kept:
        kept[group] = before
    at = DIGEST_BYTES * (number & 3)
    row[group] = before[:at] + digest + before[at + DIGEST_BYTES :]


def _grouped(hashes: bytes | bytearray) -> list[bytes]:
    return [bytes(hashes[at : at + QUAD_BYTES]) for at in range(0, len(hashes), QUAD_BYTES)]


def built_layout(entries: Iterable[bytes]) -> Layout:
    """Return the layout of any number of entries, unique by key hash, in any order."""
    by_byte = [bytearray() for _ in range(256)]
    for entry in entries:
        by_byte[entry[0]] += entry
    depth, count = 0, sum(map(len, by_byte)) // ENTRY_BYTES
    while depth < FLAT_DEPTH_MAX and count > GROW_ENTRIES << 4 * depth:
        depth += 1
    layout = Layout(depth, [b""] * (1 << 4 * depth))
    for number, unsorted in enumerate(by_byte):
        whole = bytes(unsorted)
        part = [whole[at : at + ENTRY_BYTES] for at in range(0, len(whole), ENTRY_BYTES)]
        by_byte[number] = bytearray()
        by_slot: dict[int, list[bytes]] = {}
        for entry in sorted(part):
            by_slot.setdefault(layout.slot_of(entry), []).append(entry)
        for slot, here in by_slot.items():
            # Below depth 2 a slot spans several first bytes, which come in order.
            before = gather_entries(layout.pages[slot])
            layout.pages[slot] = build_page(before + b"".join(here), depth)
    if depth:
        layout.rows[-1] = _grouped(b"".join([hash_page(page) for page in layout.pages]))
    for _ in layout.hash_all():
        pass
    return layout


def relaid(layout: Layout, *, deeper: bool) -> Generator[None, None, Layout]:
    """Return the same tree with one flat level more or fewer; yields about every millisecond."""
    pages: list[Page] = []
    lowest = bytearray()
    if deeper:
        new = Layout(layout.depth + 1, [])
        for slot, page in enumerate(layout.pages):
            branch = split_page(page, layout.depth)
            pages.extend(branch.children)
            lowest += branch.nodes
            if slot % SLICE_SLOTS == 0:
                yield
    else:
        new = Layout(layout.depth - 1, [])
        for node in range(1 << 4 * new.depth):
            page = _joined(layout, node)
            pages.append(page)
            lowest += hash_page(page)
            if node % SLICE_SLOTS == 0:
                yield
    new.pages = pages
    if new.depth:
        new.rows[-1] = _grouped(lowest)
    yield from new.hash_all()
    assert new.root == layout.root, "the layout is no part of the root"
    return new


def _joined(layout: Layout, node: int) -> Page:
    """Return the page that stands for a node one level above the slots."""
    depth = layout.depth - 1
    if layout.counts[depth][node] <= BUCKET_ENTRIES_MAX:
        return layout.bucket(depth, node)
    children = tuple(layout.pages[16 * node : 16 * node + 16])
    return make_branch(children)
