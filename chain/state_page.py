"""What lies below one slot of the state tree: a bucket of entries, or a branch with cached hashes.

A branch makes the cost of a change under a crowded prefix grow with the *depth* of the crowd and
not with its size, so that whoever grinds keys into one slot slows nobody down.

Invariants: pages are immutable, so an earlier version of the tree keeps its pages by reference;
a bucket is the sorted entries of at most 16 keys, a branch holds more than 16.
"""

from typing import NamedTuple, TypeAlias

from chain.state_proof import (
    BUCKET_BYTES_MAX,
    BUCKET_ENTRIES_MAX,
    DIGEST_BYTES,
    ENTRY_BYTES,
    QUAD_BYTES,
    find_entry,
    hash_bucket,
    nibble_at,
)
from primitives.crypto import Purpose, keyed_hash
from primitives.types import Digest

Changes: TypeAlias = list[tuple[bytes, bytes | None]]
"""Key hashes, each at most once, with the new value hash, or None to delete."""

KeyChanges: TypeAlias = dict[bytes, bytes | None]
"""Key hash to value hash, or None where the key is absent."""


class Branch(NamedTuple):
    """A node with more than 16 entries below it, and the hashes of its children."""

    children: tuple["Page", ...]
    entries: int
    """How many there are below."""
    nodes: bytes
    """The hashes of the 16 children."""
    quads: bytes
    """The hashes of the four groups of four children."""
    digest: Digest


Page: TypeAlias = bytes | Branch


def count_entries(page: Page) -> int:
    """Return how many entries lie in or below ``page``."""
    return page.entries if isinstance(page, Branch) else len(page) // ENTRY_BYTES


def hash_page(page: Page) -> Digest:
    """Return the commitment to everything in and below ``page``."""
    return page.digest if isinstance(page, Branch) else hash_bucket(page)


def find_value(page: Page, key_hash: bytes, depth: int) -> bytes | None:
    """Return the value hash of ``key_hash`` below a page that lies at ``depth``."""
    while isinstance(page, Branch):
        page = page.children[nibble_at(key_hash, depth)]
        depth += 1
    at = find_entry(page, key_hash)
    return page[at + DIGEST_BYTES : at + ENTRY_BYTES] if at >= 0 else None


def change_page(page: Page, depth: int, changes: Changes, replaced: KeyChanges) -> Page:
    """Return ``page`` with ``changes`` made; note in ``replaced`` what was there before."""
    if isinstance(page, Branch):
        if len(changes) == 1:
            return _change_one_child(page, depth, changes, replaced)
        return _change_branch(page, depth, changes, replaced)
    if len(changes) == 1:
        return change_bucket(page, depth, *changes[0], replaced)
    return build_page(_merge(page, changes, replaced), depth)


def change_bucket(
    page: bytes, depth: int, key_hash: bytes, value_hash: bytes | None, replaced: KeyChanges
) -> Page:
    """Do what ``change_page`` does for a single change to a bucket."""
    at = page.find(key_hash)
    if at & 63:
        at = find_entry(page, key_hash)
    if at >= 0:
        replaced[key_hash] = page[at + DIGEST_BYTES : at + ENTRY_BYTES]
        if value_hash is None:
            return page[:at] + page[at + ENTRY_BYTES :]
        return page[: at + DIGEST_BYTES] + value_hash + page[at + ENTRY_BYTES :]
    if value_hash is None:
        return page
    replaced[key_hash] = None
    at = _place_of(page, key_hash)
    return build_page(page[:at] + key_hash + value_hash + page[at:], depth)


def build_page(entries: bytes, depth: int) -> Page:
    """Return the page at ``depth`` of any number of sorted entries."""
    if len(entries) <= BUCKET_BYTES_MAX:
        return entries
    parts: list[list[bytes]] = [[] for _ in range(16)]
    for at in range(0, len(entries), ENTRY_BYTES):
        entry = entries[at : at + ENTRY_BYTES]
        parts[nibble_at(entry, depth)].append(entry)
    return make_branch(tuple(build_page(b"".join(part), depth + 1) for part in parts))


def make_branch(children: tuple[Page, ...]) -> Branch:
    """Return the branch over 16 pages that together hold more than 16 entries."""
    nodes = b"".join([hash_page(child) for child in children])
    quads = b"".join([_hash_quad(nodes, quad) for quad in range(4)])
    count = sum(count_entries(child) for child in children)
    return Branch(children, count, nodes, quads, keyed_hash(Purpose.STATE_NODE, quads))


def split_page(page: Page, depth: int) -> Branch:
    """Return the 16 pages below ``page`` and their hashes, whether or not it is a branch."""
    if isinstance(page, Branch):
        return page
    parts = [b""] * 16
    for at in range(0, len(page), ENTRY_BYTES):
        entry = page[at : at + ENTRY_BYTES]
        parts[nibble_at(entry, depth)] += entry
    return make_branch(tuple(parts))


def gather_entries(page: Page) -> bytes:
    """Return the sorted entries in and below ``page``."""
    if not isinstance(page, Branch):
        return page
    return b"".join([gather_entries(child) for child in page.children])


def _change_one_child(branch: Branch, depth: int, changes: Changes, replaced: KeyChanges) -> Page:
    """Do what ``_change_branch`` does for a single change, which is the usual case, faster."""
    children, entries, nodes, quads, _ = branch
    child = nibble_at(changes[0][0], depth)
    before = children[child]
    after = change_page(before, depth + 1, changes, replaced)
    entries += count_entries(after) - count_entries(before)
    children = (*children[:child], after, *children[child + 1 :])
    if entries <= BUCKET_ENTRIES_MAX:
        return b"".join([gather_entries(page) for page in children])
    at = DIGEST_BYTES * child
    nodes = nodes[:at] + hash_page(after) + nodes[at + DIGEST_BYTES :]
    at = DIGEST_BYTES * (child >> 2)
    quads = quads[:at] + _hash_quad(nodes, child >> 2) + quads[at + DIGEST_BYTES :]
    return Branch(children, entries, nodes, quads, keyed_hash(Purpose.STATE_NODE, quads))


def _change_branch(branch: Branch, depth: int, changes: Changes, replaced: KeyChanges) -> Page:
    by_child: dict[int, Changes] = {}
    for change in changes:
        by_child.setdefault(nibble_at(change[0], depth), []).append(change)
    children, count = list(branch.children), branch.entries
    nodes, quads = bytearray(branch.nodes), bytearray(branch.quads)
    for child, below in by_child.items():
        before = children[child]
        after = change_page(before, depth + 1, below, replaced)
        count += count_entries(after) - count_entries(before)
        children[child] = after
        nodes[DIGEST_BYTES * child : DIGEST_BYTES * (child + 1)] = hash_page(after)
    if count <= BUCKET_ENTRIES_MAX:
        return b"".join([gather_entries(child) for child in children])
    for quad in {child >> 2 for child in by_child}:
        quads[DIGEST_BYTES * quad : DIGEST_BYTES * (quad + 1)] = _hash_quad(nodes, quad)
    kept = bytes(quads)
    digest = keyed_hash(Purpose.STATE_NODE, kept)
    return Branch(tuple(children), count, bytes(nodes), kept, digest)


def _merge(page: bytes, changes: Changes, replaced: KeyChanges) -> bytes:
    entries: dict[bytes, bytes] = {
        page[at : at + DIGEST_BYTES]: page[at + DIGEST_BYTES : at + ENTRY_BYTES]
        for at in range(0, len(page), ENTRY_BYTES)
    }
    for key_hash, value_hash in changes:
        before = entries.pop(key_hash, None)
        if value_hash is not None:
            entries[key_hash] = value_hash
        if value_hash is not None or before is not None:
            replaced[key_hash] = before
    return b"".join([key_hash + entries[key_hash] for key_hash in sorted(entries)])


def _place_of(page: bytes, key_hash: bytes) -> int:
    """Return where the entry of an absent ``key_hash`` belongs."""
    low, high = 0, len(page) // ENTRY_BYTES
    while low < high:
        middle = (low + high) >> 1
        if page[middle * ENTRY_BYTES : middle * ENTRY_BYTES + DIGEST_BYTES] < key_hash:
            low = middle + 1
        else:
            high = middle
    return low * ENTRY_BYTES


def _hash_quad(nodes: bytes | bytearray, quad: int) -> Digest:
    return keyed_hash(Purpose.STATE_NODE, bytes(nodes[QUAD_BYTES * quad : QUAD_BYTES * (quad + 1)]))
