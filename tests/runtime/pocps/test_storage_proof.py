"""Sealing against a plain reading of its definition, and what a chunk is bound to."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.types import AccountId, Digest
from runtime.pocps.proof import RootMismatch, SampledProof
from runtime.pocps.storage_proof import (
    InvalidStorageClass,
    StorageWork,
    epoch_key,
    leaf_digest,
    seal_chunk,
)
from tests.runtime.pocps import reference_proof as reference
from tests.runtime.pocps.provers import ALICE, BOB, START, STORAGE, answer, check


@settings(deadline=None)
@given(
    class_id=st.integers(0, 2**32 - 1),
    provider=st.binary(min_size=32, max_size=32),
    position=st.integers(0, 2**24),
    labels=st.integers(2, 9),
    passes=st.integers(1, 5),
)
def test_a_sealed_chunk_is_what_the_definition_says(
    *, class_id: int, provider: bytes, position: int, labels: int, passes: int
) -> None:
    resource = replace(STORAGE, class_id=class_id, labels_per_chunk=labels, passes=passes)

    chunk = seal_chunk(resource, AccountId(provider), position)

    assert len(chunk) == resource.chunk_bytes
    assert chunk == reference.seal(
        class_id=class_id, provider=provider, position=position, labels=labels, passes=passes
    )


def test_no_two_positions_providers_or_classes_share_a_chunk() -> None:
    chunks = {
        seal_chunk(STORAGE, ALICE, 0),
        seal_chunk(STORAGE, ALICE, 1),
        seal_chunk(STORAGE, BOB, 0),
        seal_chunk(replace(STORAGE, class_id=3), ALICE, 0),
    }

    assert len(chunks) == 4


def test_a_leaf_depends_on_the_challenge_and_on_every_byte_of_the_chunk() -> None:
    chunk = seal_chunk(replace(STORAGE, labels_per_chunk=80), ALICE, 0)
    key = epoch_key(START)
    leaf = leaf_digest(key, chunk)

    assert leaf_digest(epoch_key(Digest(b"x" * 32)), chunk) != leaf
    for index in range(len(chunk)):
        changed = chunk[:index] + bytes([chunk[index] ^ 1]) + chunk[index + 1 :]
        assert leaf_digest(key, changed) != leaf


def test_a_provider_answers_from_chunks_that_it_sealed_once() -> None:
    work = StorageWork(STORAGE)
    disk = [seal_chunk(STORAGE, ALICE, position) for position in range(12)]
    for start in (START, Digest(b"x" * 32)):
        kind = SampledProof(work)
        key = epoch_key(kind.challenge(start))

        check(work, answer(kind, [leaf_digest(key, c) for c in disk], units=2, start=start))


def test_leaves_kept_from_an_earlier_epoch_are_refused() -> None:
    work = StorageWork(STORAGE)
    kind = SampledProof(work)
    kept = list(work.compute_leaves(kind.challenge(Digest(b"0" * 32)), ALICE, tuple(range(12))))

    with pytest.raises(RootMismatch):
        check(work, answer(kind, kept, units=2))


def test_the_sizes_and_prices_of_a_class_follow_from_its_numbers() -> None:
    assert STORAGE.chunk_bytes == 128
    assert STORAGE.hashes_per_chunk == 12
    assert STORAGE.bytes_per_unit == 768


@pytest.mark.parametrize(
    "change, word",
    [
        ({"class_id": -1}, "class_id"),
        ({"class_id": 2**32}, "class_id"),
        ({"labels_per_chunk": 1}, "labels_per_chunk"),
        ({"labels_per_chunk": 2**15 + 1}, "labels_per_chunk"),
        ({"passes": 0}, "passes"),
        ({"passes": 2**12 + 1}, "passes"),
        ({"chunks_per_unit": 0}, "chunks_per_unit"),
        ({"samples": 0}, "samples"),
        ({"samples": 257}, "samples"),
        ({"units_max": 0}, "units_max"),
        ({"units_max": 2**24}, "units_max"),
        ({"operations_per_unit": 0}, "operations_per_unit"),
        ({"operations_per_unit": 2**63}, "operations_per_unit"),
        ({"labels_per_chunk": 2**10, "passes": 2**9}, "checking one provider"),
    ],
)
def test_a_class_whose_numbers_contradict_each_other_is_refused(
    change: dict[str, Any], word: str
) -> None:
    with pytest.raises(InvalidStorageClass, match=word):
        replace(STORAGE, **change)
