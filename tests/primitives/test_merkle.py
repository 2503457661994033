"""Merkle trees against a recursive reference, and proofs against every way to bend them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives import merkle
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DecodeError
from primitives.merkle import (
    SIZE_MAX,
    InvalidMerkleProof,
    LeafOutOfRange,
    MerkleTree,
    merkle_root,
    siblings_needed,
    verify_leaf,
    verify_leaves,
)
from primitives.types import EMPTY_DIGEST, Digest

VECTORS = Path(__file__).parents[1] / "vectors" / "merkle.json"
LEAVES = st.lists(st.binary(max_size=40), min_size=1, max_size=70)


def slow_top(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word, with our hashes."""
    if len(leaves) == 1:
        return keyed_hash(Purpose.MERKLE_LEAF, leaves[0])
    k = slow_split(len(leaves))
    return keyed_hash(Purpose.MERKLE_NODE, slow_top(leaves[:k]) + slow_top(leaves[k:]))


def slow_root(leaves: list[bytes]) -> Digest:
    return keyed_hash(Purpose.MERKLE_ROOT, len(leaves).to_bytes(8, "little") + slow_top(leaves))


def slow_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1: the audit path."""
    if len(leaves) == 1:
        return []
    k = slow_split(len(leaves))
    if index < k:
        return [*slow_path(index, leaves[:k]), slow_top(leaves[k:])]
    return [*slow_path(index - k, leaves[k:]), slow_top(leaves[:k])]


def slow_split(size: int) -> int:
    """Return the largest power of two below ``size``."""
    k = 1
    while k * 2 < size:
        k *= 2
    return k


def numbered(size: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(size)]


def chosen(data: st.DataObject, size: int) -> list[int]:
    return data.draw(st.lists(st.integers(0, size - 1), min_size=1, unique=True))


def refuse(root: Digest, leaves: dict[int, bytes], proof: tuple[Digest, ...], *, size: int) -> None:
    with pytest.raises(InvalidMerkleProof):
        verify_leaves(root, leaves, proof, size=size)


def test_the_root_of_no_leaves_is_the_empty_digest() -> None:
    assert merkle_root([]) == MerkleTree([]).root == EMPTY_DIGEST


def test_frozen_roots_and_proofs_have_not_moved() -> None:
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]

    for vector in vectors:
        tree = MerkleTree([bytes.fromhex(leaf) for leaf in vector["leaves"]])
        assert tree.root.hex() == vector["root"]
        for proven in vector["proofs"]:
            proof = tree.prove(*proven["indices"])
            assert [sibling.hex() for sibling in proof] == proven["siblings"]

    assert {len(vector["leaves"]) for vector in vectors} >= {0, 1, 2, 3, 7, 8, 13}


@given(LEAVES)
def test_roots_are_those_of_the_recursive_definition(leaves: list[bytes]) -> None:
    assert merkle_root(leaves) == MerkleTree(leaves).root == slow_root(leaves)


@given(LEAVES, st.data())
def test_a_proof_of_one_leaf_is_the_audit_path_and_verifies(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    tree = MerkleTree(leaves)

    proof = tree.prove(index)

    assert list(proof) == slow_path(index, leaves)
    verify_leaf(tree.root, leaves[index], proof, index=index, size=len(leaves))


@given(LEAVES, st.data())
def test_a_proof_of_many_leaves_verifies_and_is_no_longer_than_needed(
    leaves: list[bytes], data: st.DataObject
) -> None:
    indices = chosen(data, len(leaves))
    tree = MerkleTree(leaves)

    proof = tree.prove(*indices)

    verify_leaves(tree.root, {i: leaves[i] for i in indices}, proof, size=len(leaves))
    assert len(proof) == siblings_needed(len(leaves), indices)
    assert len(proof) <= sum(len(slow_path(i, leaves)) for i in indices)
    assert len(set(proof)) <= len(leaves) - 1
    assert tree.prove(*reversed(indices), indices[0]) == proof


def test_a_proof_of_all_leaves_has_no_siblings() -> None:
    for size in range(1, 40):
        tree = MerkleTree(numbered(size))
        assert tree.prove(*range(size)) == ()
        verify_leaves(tree.root, dict(enumerate(numbered(size))), (), size=size)


def test_no_other_index_and_no_other_size_is_accepted() -> None:
    for size in range(1, 20):
        leaves = numbered(size)
        tree = MerkleTree(leaves)
        for index in range(size):
            proof = tree.prove(index)
            for other in range(-1, size + 2):
                if other != index:
                    refuse(tree.root, {other: leaves[index]}, proof, size=size)
            for other in range(-1, 40):
                if other != size:
                    refuse(tree.root, {index: leaves[index]}, proof, size=other)


@given(LEAVES, st.data())
def test_any_tampered_part_is_refused(leaves: list[bytes], data: st.DataObject) -> None:
    indices = chosen(data, len(leaves))
    tree = MerkleTree(leaves)
    size, proof = len(leaves), tree.prove(*indices)
    shown = {i: leaves[i] for i in indices}
    bit = data.draw(st.integers(0, 255))
    flip = 1 << bit
    victim = data.draw(st.sampled_from(indices))

    refuse(
        Digest((int.from_bytes(tree.root, "big") ^ flip).to_bytes(32, "big")),
        shown,
        proof,
        size=size,
    )
    refuse(tree.root, shown | {victim: leaves[victim] + b"\x00"}, proof, size=size)
    refuse(tree.root, shown, (*proof, Digest(bytes(32))), size=size)
    for at in range(len(proof)):
        flipped = Digest((int.from_bytes(proof[at], "big") ^ flip).to_bytes(32, "big"))
        refuse(tree.root, shown, (*proof[:at], flipped, *proof[at + 1 :]), size=size)
        refuse(tree.root, shown, (*proof[:at], Digest(proof[at][:-1]), *proof[at + 1 :]), size=size)
        refuse(tree.root, shown, (*proof[:at], *proof[at + 1 :]), size=size)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_sibling_of_another_length_is_refused_before_any_hashing(length: int) -> None:
    tree = MerkleTree(numbered(2))

    with pytest.raises(InvalidMerkleProof, match="another length"):
        verify_leaf(tree.root, b"leaf 0", (Digest(bytes(length)),), index=0, size=2)


def test_two_leaves_cannot_change_places() -> None:
    leaves = numbered(9)
    tree = MerkleTree(leaves)

    refuse(tree.root, {2: leaves[5], 5: leaves[2]}, tree.prove(2, 5), size=9)


def test_a_node_cannot_pass_for_a_leaf_nor_a_leaf_for_a_node() -> None:
    leaves = numbered(4)
    tree = MerkleTree(leaves)
    left = keyed_hash(Purpose.MERKLE_LEAF, leaves[0]) + keyed_hash(Purpose.MERKLE_LEAF, leaves[1])
    right = keyed_hash(Purpose.MERKLE_LEAF, leaves[2]) + keyed_hash(Purpose.MERKLE_LEAF, leaves[3])

    assert merkle_root([left, right]) != tree.root
    refuse(tree.root, {0: left, 1: right}, (), size=2)


def test_an_odd_last_leaf_is_not_the_same_as_that_leaf_twice() -> None:
    assert merkle_root([b"a", b"b", b"c"]) != merkle_root([b"a", b"b", b"c", b"c"])


@pytest.mark.parametrize("indices", [(), (-1,), (3,), (0, 7)])
def test_no_proof_is_made_for_a_leaf_that_is_not_there(indices: tuple[int, ...]) -> None:
    with pytest.raises(LeafOutOfRange):
        MerkleTree(numbered(3)).prove(*indices)


def test_a_proof_of_nothing_is_refused() -> None:
    tree = MerkleTree(numbered(3))

    refuse(tree.root, {}, (), size=3)
    refuse(EMPTY_DIGEST, {}, (), size=0)
    refuse(EMPTY_DIGEST, {0: b""}, (), size=0)


def test_a_claimed_size_beyond_the_limit_is_refused_before_any_hashing() -> None:
    refuse(EMPTY_DIGEST, {0: b""}, (), size=SIZE_MAX + 1)
    refuse(EMPTY_DIGEST, {0: b""}, (Digest(bytes(32)),) * 48, size=SIZE_MAX)


@given(
    root=st.binary(max_size=33),
    leaves=st.dictionaries(st.integers(-2, 2**50), st.binary(max_size=4), max_size=6),
    proof=st.lists(st.binary(min_size=30, max_size=33) | st.binary(min_size=32, max_size=32)),
    size=st.integers(-1, 2**50) | st.integers(0, 9),
)
def test_random_proofs_raise_only_the_typed_error(
    root: bytes, leaves: dict[int, bytes], proof: list[bytes], size: int
) -> None:
    with pytest.raises(DecodeError):
        verify_leaves(Digest(root), leaves, [Digest(sibling) for sibling in proof], size=size)


def test_a_tree_of_many_leaves_proves_a_few_of_them() -> None:
    leaves = numbered(50_001)
    tree = MerkleTree(leaves)
    indices = (0, 1, 25_000, 49_999, 50_000)

    proof = tree.prove(*indices)

    assert len(proof) < 5 * 16
    verify_leaves(tree.root, {i: leaves[i] for i in indices}, proof, size=50_001)


@given(st.lists(st.binary(max_size=4), max_size=40), st.integers(1, 9))
def test_root_in_slices_is_the_root(leaves: list[bytes], slice_leaves: int) -> None:
    found: list[Digest] = []

    def compute() -> Iterator[None]:
        found.append((yield from merkle.merkle_root_in_slices(leaves)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merkle, "SLICE_LEAVES", slice_leaves)
        yields = sum(1 for _ in compute())

    assert found == [merkle_root(leaves)]
    assert yields >= len(leaves) // slice_leaves
