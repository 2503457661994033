"""Merkle trees over a list of byte strings: roots, and proofs that leaves stand at their places.

The shape is RFC 6962's (the left part is the largest power of two below the size), which is the
same as pairing neighbours level by level and carrying an odd last node up unchanged.

Invariants: leaves, inner nodes and the root are hashed for different purposes, so that none can
pass for another; the root covers the number of leaves, so that a proof holds for one size only; a
proof has exactly the siblings that its positions need, level by level and left to right, so that
there is one proof for a set of positions. A proof of one leaf is RFC 6962's audit path.

Source: RFC 6962, section 2.1; the batch form is our own.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

from blake3 import blake3

from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DecodeError, LoopinError
from primitives.types import EMPTY_DIGEST, Digest

DIGEST_BYTES = 32
SLICE_LEAVES = 512
"""Hashes between two yields."""
SIZE_MAX = 2**48
"""Most leaves a tree may claim to have; bounds the work of a verifier to 48 levels."""


class InvalidMerkleProof(DecodeError):
    """The proof does not show these leaves at these positions under this root."""


class LeafOutOfRange(LoopinError):
    """No proof can be made: the tree has no leaf at a wanted position, or none is wanted."""


class MerkleTree:
    """All levels of the tree over ``leaves``: 64 bytes of memory per leaf."""

    __slots__ = ("_levels", "root", "size")

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.size = len(leaves)
        self._levels = [_hash_leaves(leaves)]
        while len(self._levels[-1]) > DIGEST_BYTES:
            self._levels.append(_hash_level(self._levels[-1]))
        self.root = _root(self.size, self._levels[-1])

    def prove(self, *indices: int) -> tuple[Digest, ...]:
        """Return the siblings that show the leaves at ``indices``, in any order, repeated or not.

        Raises: LeafOutOfRange.
        """
        wanted = sorted(set(indices))
        if not wanted or wanted[0] < 0 or wanted[-1] >= self.size:
            raise LeafOutOfRange(wanted, self.size)
        return tuple(
            _node(self._levels[level], position)
            for level, position in _siblings_needed(self.size, wanted)
        )


def merkle_root(leaves: Sequence[bytes]) -> Digest:
    """Return the root over ``leaves``; of none, the empty digest."""
    level = _hash_leaves(leaves)
    while len(level) > DIGEST_BYTES:
        level = _hash_level(level)
    return _root(len(leaves), level)


def merkle_root_in_slices(leaves: Sequence[bytes]) -> Generator[None, None, Digest]:
    """Compute ``merkle_root``, yielding about every millisecond; the result is the root."""
    parts = []
    for start in range(0, len(leaves), SLICE_LEAVES):
        parts.append(_hash_leaves(leaves[start : start + SLICE_LEAVES]))
        yield
    level = b"".join(parts)
    step = 2 * DIGEST_BYTES * SLICE_LEAVES
    while len(level) > DIGEST_BYTES:
        parts = []
        for start in range(0, len(level), step):
            parts.append(_hash_level(level[start : start + step]))
            yield
        level = b"".join(parts)
    return _root(len(leaves), level)


def verify_leaf(
    root: Digest, leaf: bytes, proof: Sequence[Digest], *, index: int, size: int
) -> None:
    """Refuse unless ``leaf`` is the one at ``index`` of the ``size`` leaves under ``root``.

    Raises: InvalidMerkleProof.
    """
    verify_leaves(root, {index: leaf}, proof, size=size)


def verify_leaves(
    root: Digest, leaves: Mapping[int, bytes], proof: Sequence[Digest], *, size: int
) -> None:
    """Refuse unless each leaf stands at its index among the ``size`` leaves under ``root``.

    A proof with one sibling too many, too few, or of another length is refused.
    Raises: InvalidMerkleProof.
    """
    if not 0 < size <= SIZE_MAX:
        raise InvalidMerkleProof(f"a tree of {size} leaves has no proofs")
    wanted = sorted(leaves)
    if not wanted or wanted[0] < 0 or wanted[-1] >= size:
        raise InvalidMerkleProof(f"positions are none, or outside of {size} leaves")
    if any(len(sibling) != DIGEST_BYTES for sibling in proof):
        raise InvalidMerkleProof("a sibling has another length than a digest")
    top = _recompute_top(size, [(index, _hash_leaf(leaves[index])) for index in wanted], proof)
    if _root(size, top) != root:
        raise InvalidMerkleProof("the leaves and the siblings lead to another root")


def siblings_needed(size: int, indices: Iterable[int]) -> int:
    """Return how many digests the proof of ``indices`` in a tree of ``size`` leaves has."""
    return sum(1 for _ in _siblings_needed(size, sorted(set(indices))))


def _hash_leaves(leaves: Sequence[bytes]) -> bytes:
    """Return the lowest level as its joined digests."""
    key = Purpose.MERKLE_LEAF
    return b"".join([blake3(leaf, key=key).digest() for leaf in leaves])


def _hash_level(level: bytes) -> bytes:
    """Return the level above ``level``; an odd last node is carried up as it is."""
    key = Purpose.MERKLE_NODE
    paired = len(level) - len(level) % (2 * DIGEST_BYTES)
    nodes = [
        blake3(level[start : start + 2 * DIGEST_BYTES], key=key).digest()
        for start in range(0, paired, 2 * DIGEST_BYTES)
    ]
    return b"".join(nodes) + level[paired:]


def _siblings_needed(size: int, positions: list[int]) -> Iterator[tuple[int, int]]:
    """Yield (level, position) of each node that cannot be computed from the sorted positions."""
    level = 0
    while size > 1:
        known = set(positions)
        for position in positions:
            sibling = position ^ 1
            if sibling < size and sibling not in known:
                yield level, sibling
        positions = sorted({position // 2 for position in positions})
        size = (size + 1) // 2
        level += 1


def _recompute_top(size: int, nodes: list[tuple[int, bytes]], proof: Sequence[Digest]) -> bytes:
    """Hash the sorted (position, digest) pairs up to the top, taking siblings from ``proof``."""
    taken = 0
    while size > 1:
        parents: list[tuple[int, bytes]] = []
        at = 0
        while at < len(nodes):
            position, digest = nodes[at]
            at += 1
            if position % 2 == 0 and at < len(nodes) and nodes[at][0] == position + 1:
                digest = _hash_node(digest, nodes[at][1])
                at += 1
            elif position ^ 1 < size:
                if taken == len(proof):
                    raise InvalidMerkleProof("a sibling is missing")
                sibling = proof[taken]
                taken += 1
                is_right = position % 2 == 1
                digest = _hash_node(sibling, digest) if is_right else _hash_node(digest, sibling)
            parents.append((position // 2, digest))
        nodes = parents
        size = (size + 1) // 2
    if taken != len(proof):
        raise InvalidMerkleProof(f"{len(proof) - taken} siblings more than needed")
    return nodes[0][1]


def _hash_leaf(leaf: bytes) -> bytes:
    return keyed_hash(Purpose.MERKLE_LEAF, leaf)


def _hash_node(left: bytes, right: bytes) -> bytes:
    return keyed_hash(Purpose.MERKLE_NODE, left + right)


def _root(size: int, top: bytes) -> Digest:
    if size == 0:
        return EMPTY_DIGEST
    return keyed_hash(Purpose.MERKLE_ROOT, size.to_bytes(8, "little") + top)


def _node(level: bytes, position: int) -> Digest:
    start = position * DIGEST_BYTES
    return Digest(level[start : start + DIGEST_BYTES])
