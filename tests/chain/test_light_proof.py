"""Reads proven with nothing but a header's hash."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.light_proof import ReadProof, WrongHeader, WrongValue, verify_read
from chain.state_tree import StateTree
from primitives.block import Header
from primitives.errors import DecodeError, LoopinError
from primitives.types import AccountId, Digest, Epoch, Height, Millis, StorageKey, View

KEYS = [StorageKey(b"balances.free:%d" % number) for number in range(50)]
STATE = {bytes(key): b"value of " + key for key in KEYS[:40]}


def tree_of(state: dict[bytes, bytes]) -> StateTree:
    tree = StateTree()
    tree.update(state)
    return tree


TREE = tree_of(STATE)
HEADER = Header(
    parent_hash=Digest(bytes(32)),
    height=Height(7),
    view=View(9),
    epoch=Epoch(0),
    timestamp=Millis(1_800_000_000_000),
    author=AccountId(bytes(32)),
    state_root=TREE.root,
    extrinsics_root=Digest(bytes(32)),
    receipts_root=Digest(bytes(32)),
    vrf_proof=bytes(80),
)


def read_of(key: StorageKey) -> ReadProof:
    return ReadProof(HEADER.encode(), key, STATE.get(key), TREE.prove(key, TREE.root))


def changed(read: ReadProof, part: str, data: bytes) -> ReadProof:
    fields: dict[str, Any] = {part: data}
    return replace(read, **fields)


@pytest.mark.parametrize("key", KEYS)
def test_what_is_and_what_is_not_there_is_proven_by_the_header_hash(key: StorageKey) -> None:
    assert verify_read(HEADER.hash, read_of(key)) == HEADER


@given(
    key=st.sampled_from(KEYS),
    part=st.sampled_from(["header", "key", "value", "proof"]),
    position=st.integers(0, 10_000),
    bit=st.integers(0, 7),
)
def test_any_flipped_bit_is_refused(key: StorageKey, part: str, position: int, bit: int) -> None:
    read = read_of(key)
    data = bytearray(getattr(read, part) or b"\x00")
    data[position % len(data)] ^= 1 << bit

    if part == "key" and read.value is None and StorageKey(bytes(data)) not in STATE:
        # Nothing is under the changed key either, and one bucket can prove both absences.
        return
    with pytest.raises(LoopinError):
        verify_read(HEADER.hash, changed(read, part, bytes(data)))


@given(key=st.sampled_from(KEYS), length=st.integers(0, 2_000))
def test_truncated_proof_is_refused(key: StorageKey, length: int) -> None:
    read = read_of(key)
    cut = read.proof[: min(length, len(read.proof) - 1)]

    with pytest.raises(LoopinError):
        verify_read(HEADER.hash, replace(read, proof=cut))


def test_value_that_is_there_cannot_be_denied() -> None:
    with pytest.raises(WrongValue):
        verify_read(HEADER.hash, replace(read_of(KEYS[0]), value=None))


def test_value_that_is_not_there_cannot_be_claimed() -> None:
    with pytest.raises(WrongValue):
        verify_read(HEADER.hash, replace(read_of(KEYS[45]), value=b"anything"))


def test_proof_of_one_key_proves_no_other() -> None:
    other = read_of(KEYS[1])

    with pytest.raises(LoopinError):
        verify_read(HEADER.hash, replace(other, key=KEYS[0]))


def test_header_of_another_block_is_refused_though_its_proof_is_sound() -> None:
    other = replace(HEADER, height=Height(8))

    with pytest.raises(WrongHeader):
        verify_read(HEADER.hash, replace(read_of(KEYS[0]), header=other.encode()))


@given(data=st.binary(max_size=400))
def test_bytes_of_a_stranger_are_refused(data: bytes) -> None:
    with pytest.raises((WrongHeader, DecodeError)):
        verify_read(HEADER.hash, ReadProof(data, KEYS[0], data, data))
