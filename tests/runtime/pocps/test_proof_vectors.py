"""The frozen vectors of challenge, sampling and sealing."""

import json
from typing import Any

import pytest
from blake3 import blake3

from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import ForwardPassClass
from runtime.pocps.forward_pass_proof import ForwardPassWork
from runtime.pocps.proof import Claim, SampledProof
from runtime.pocps.storage_proof import StorageClass, StorageWork, seal_chunk
from tests.runtime.pocps import reference_proof as reference

VECTORS: dict[str, Any] = json.loads(reference.VECTORS.read_text())


def storage_class(vector: dict[str, Any]) -> StorageClass:
    return StorageClass(
        class_id=vector["class_id"],
        labels_per_chunk=vector["labels_per_chunk"],
        passes=vector["passes"],
        chunks_per_unit=1,
        samples=1,
        units_max=2,
        operations_per_unit=3,
    )


def beacon() -> Digest:
    return Digest(bytes.fromhex(VECTORS["challenge"]["beacon"]))


def test_the_frozen_vectors_are_what_the_slow_reference_computes() -> None:
    assert reference.make_vectors() == VECTORS


def test_the_challenge_is_the_frozen_one() -> None:
    kind = SampledProof(StorageWork(storage_class(VECTORS["chunks"][0])))

    assert kind.challenge(beacon()).hex() == VECTORS["challenge"]["challenge"]


@pytest.mark.parametrize("vector", VECTORS["samples"], ids=lambda v: str(v["units"]))
def test_the_drawn_positions_are_the_frozen_ones(vector: dict[str, Any]) -> None:
    resource = ForwardPassClass(
        class_id=vector["class_id"],
        width=64,
        depth=1,
        rows_per_unit=vector["leaves_per_unit"],
        rows_per_leaf=1,
        samples=vector["samples"],
        units_max=vector["units"],
    )
    claim = Claim(
        AccountId(bytes.fromhex(vector["provider"])),
        vector["units"],
        Digest(bytes.fromhex(vector["root"])),
    )

    positions = SampledProof(ForwardPassWork(resource)).sample(
        claim, Digest(bytes.fromhex(vector["beacon"]))
    )

    assert list(positions) == vector["positions"]


@pytest.mark.parametrize("vector", VECTORS["chunks"], ids=lambda v: str(v["labels_per_chunk"]))
def test_sealed_chunks_and_their_leaves_are_the_frozen_ones(vector: dict[str, Any]) -> None:
    resource = storage_class(vector)
    provider = AccountId(bytes.fromhex(vector["provider"]))
    work = StorageWork(resource)
    challenge = SampledProof(work).challenge(beacon())

    chunk = seal_chunk(resource, provider, vector["position"])
    leaves = work.compute_leaves(challenge, provider, (vector["position"],))

    assert blake3(chunk).hexdigest() == vector["chunk_hash"]
    assert [leaf.hex() for leaf in leaves] == [vector["leaf"]]


def test_what_a_kind_says_of_itself_comes_from_its_class() -> None:
    storage = SampledProof(StorageWork(storage_class(VECTORS["chunks"][0])))
    forward_pass = SampledProof(
        ForwardPassWork(
            ForwardPassClass(
                class_id=5,
                width=64,
                depth=2,
                rows_per_unit=8,
                rows_per_leaf=2,
                samples=4,
                units_max=9,
            )
        )
    )

    assert (storage.name, storage.class_id, storage.units_max) == ("storage", 8, 2)
    assert storage.operations_per_unit == 3
    assert (forward_pass.name, forward_pass.class_id) == ("forward_pass", 5)
    assert (forward_pass.units_max, forward_pass.samples) == (9, 4)
    assert forward_pass.operations_per_unit == 8 * 2 * 3 * 64 * 64
