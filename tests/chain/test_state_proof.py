"""The stand-alone verifier: honest proofs hold, everything else is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain.state_proof import (
    BUCKET_BYTES_MAX,
    DEPTH_MAX,
    ENTRY_BYTES,
    LEVEL_BYTES,
    STATE_PROOF,
    InvalidProof,
    StateProof,
    find_entry,
    hash_value,
    verify_proof,
)
from chain.state_tree import StateTree
from primitives.errors import DecodeError
from primitives.types import Digest

STATE = {b"key %d" % number: b"value %d" % number for number in range(3000)}
TREE = StateTree.load(STATE.items())
REFUSALS = (InvalidProof, DecodeError)


@settings(max_examples=200)
@given(st.integers(0, 3500))
def test_proof_shows_presence_and_absence_alike(number: int) -> None:
    key = b"key %d" % number
    wanted = hash_value(STATE[key]) if key in STATE else None

    assert verify_proof(TREE.root, key, TREE.prove(key)) == wanted


@settings(max_examples=300)
@given(st.integers(0, 3500), st.data())
def test_any_changed_byte_is_refused(number: int, data: st.DataObject) -> None:
    key = b"key %d" % number
    proof = bytearray(TREE.prove(key))
    place = data.draw(st.integers(0, len(proof) - 1))
    proof[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(REFUSALS):
        verify_proof(TREE.root, key, bytes(proof))


@settings(max_examples=100)
@given(st.integers(0, 3500), st.integers(1, 64), st.booleans())
def test_cut_or_lengthened_proof_is_refused(number: int, count: int, longer: bool) -> None:
    key = b"key %d" % number
    proof = TREE.prove(key)
    changed = proof + bytes(count) if longer else proof[:-count]

    with pytest.raises(REFUSALS):
        verify_proof(TREE.root, key, changed)


@settings(max_examples=50)
@given(st.integers(0, 3500))
def test_dropped_or_added_level_or_entry_is_refused(number: int) -> None:
    key = b"key %d" % number
    honest = STATE_PROOF.decode(TREE.prove(key))
    siblings, entries = honest.siblings, honest.entries
    lies = [
        StateProof(siblings[LEVEL_BYTES:], entries),
        StateProof(siblings[:-LEVEL_BYTES], entries),
        StateProof(siblings + bytes(LEVEL_BYTES), entries),
        StateProof(siblings[:-1], entries),
        StateProof(siblings, (entries + bytes(ENTRY_BYTES))[-BUCKET_BYTES_MAX:]),
        StateProof(siblings, entries[:-1] if entries else b"x"),
    ]
    if entries:
        lies += [StateProof(siblings, b""), StateProof(siblings, entries[ENTRY_BYTES:])]
    if len(entries) > ENTRY_BYTES:
        lies.append(StateProof(siblings, entries[ENTRY_BYTES:] + entries[:ENTRY_BYTES]))

    for lie in lies:
        with pytest.raises(InvalidProof):
            verify_proof(TREE.root, key, STATE_PROOF.encode(lie))


def test_proof_of_one_key_says_nothing_about_another() -> None:
    refused = 0
    for number in range(100):
        proof = TREE.prove(b"key %d" % number)
        try:
            value = verify_proof(TREE.root, b"key %d" % (number + 100), proof)
        except InvalidProof:
            refused += 1
        else:
            assert value == hash_value(b"value %d" % (number + 100))

    assert refused > 90


def test_proof_against_another_root_is_refused() -> None:
    with pytest.raises(InvalidProof):
        verify_proof(Digest(b"x" * 32), b"key 1", TREE.prove(b"key 1"))


def test_entry_is_found_at_entry_boundaries_only() -> None:
    key, value = bytes(range(32)), bytes(range(100, 132))
    other = b"\x01" * 16 + key + b"\x02" * 16

    assert find_entry(other + key + value, key) == ENTRY_BYTES
    assert find_entry(other, key) == -1
    assert find_entry(b"", key) == -1


def test_empty_proof_proves_absence_in_the_empty_state_only() -> None:
    nothing = STATE_PROOF.encode(StateProof(b"", b""))

    assert verify_proof(Digest(bytes(32)), b"key", nothing) is None
    with pytest.raises(InvalidProof):
        verify_proof(TREE.root, b"key", nothing)


@pytest.mark.parametrize(
    "proof",
    [
        StateProof(bytes(DEPTH_MAX * LEVEL_BYTES), bytes(BUCKET_BYTES_MAX)),
        StateProof(bytes(DEPTH_MAX * LEVEL_BYTES), b""),
    ],
)
def test_longest_proof_is_judged_and_a_longer_one_not_decoded(proof: StateProof) -> None:
    encoded = STATE_PROOF.encode(proof)
    too_long = b"\x92\xc5\x40\x00" + bytes(0x4000) + b"\xc4\x00"

    with pytest.raises(InvalidProof):
        verify_proof(TREE.root, b"key 1", encoded)
    with pytest.raises(DecodeError):
        verify_proof(TREE.root, b"key 1", too_long)


@settings(max_examples=300)
@given(st.binary(max_size=3000))
def test_arbitrary_bytes_are_refused(proof: bytes) -> None:
    with pytest.raises(REFUSALS):
        verify_proof(TREE.root, b"key 1", proof)
