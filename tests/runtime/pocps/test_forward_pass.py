"""The fast forward pass against the slow one, and the numbers a class may have."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import (
    EXACT_SUM_MAX,
    ForwardPassClass,
    InvalidForwardPassClass,
    Network,
    compute_leaves,
    expand_rows,
    expand_weights,
    leaf_digests,
)
from tests.runtime.pocps import reference_forward_pass as reference

CHALLENGE = Digest(b"c" * 32)
PROVIDER = AccountId(b"p" * 32)
SMALL = ForwardPassClass(
    class_id=7, width=64, depth=2, rows_per_unit=8, rows_per_leaf=2, samples=4, units_max=100
)

VECTORS: list[reference.Vector] = json.loads(reference.VECTORS.read_text())["vectors"]


def class_of(vector: reference.Vector) -> ForwardPassClass:
    return ForwardPassClass(
        class_id=vector["class_id"],
        width=vector["width"],
        depth=vector["depth"],
        rows_per_unit=vector["rows_per_leaf"],
        rows_per_leaf=vector["rows_per_leaf"],
        samples=1,
        units_max=1,
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['width']}x{v['depth']}")
def test_the_fast_forward_pass_gives_the_bytes_of_the_frozen_vectors(
    vector: reference.Vector,
) -> None:
    resource = class_of(vector)
    challenge = Digest(bytes.fromhex(vector["challenge"]))
    provider = AccountId(bytes.fromhex(vector["provider"]))
    first = vector["rows"][0]["index"]
    count = len(vector["rows"])

    network = Network.expand(resource, challenge)
    rows = expand_rows(resource, challenge, provider, first=first, count=count)
    outputs = network.run(rows)
    leaves = compute_leaves(network, resource, challenge, provider, [vector["leaf_position"]])

    weights = b"".join(m.tobytes() for m in expand_weights(resource, challenge))
    assert blake3(weights).hexdigest() == vector["weights_hash"]
    assert [row.tobytes().hex() for row in rows] == [row["input"] for row in vector["rows"]]
    assert [row.tobytes().hex() for row in outputs] == [row["output"] for row in vector["rows"]]
    assert [leaf.hex() for leaf in leaves] == [vector["leaf"]]


@pytest.mark.parametrize("case", reference.CASES[:4], ids=lambda c: f"{c[1]}x{c[2]}")
def test_the_frozen_vectors_are_what_the_slow_reference_computes(
    case: tuple[int, int, int, int, int, bool],
) -> None:
    assert reference.make_vector(*case[:5]) == VECTORS[reference.CASES.index(case)]


def test_the_vectors_that_miners_carry_are_a_part_of_the_frozen_ones() -> None:
    shipped = json.loads(reference.SHIPPED.read_text())["vectors"]

    assert [v["class_id"] for v in shipped] == [c[0] for c in reference.CASES if c[5]]
    assert all(vector in VECTORS for vector in shipped)


@settings(max_examples=20, deadline=None)
@given(
    challenge=st.binary(min_size=32, max_size=32),
    provider=st.binary(min_size=32, max_size=32),
    class_id=st.integers(0, 2**32 - 1),
    width=st.sampled_from([64, 128, 192]),
    depth=st.integers(1, 4),
    index=st.integers(0, 2**40),
)
def test_any_row_of_any_small_class_is_what_the_slow_reference_computes(
    *, challenge: bytes, provider: bytes, class_id: int, width: int, depth: int, index: int
) -> None:
    resource = replace(SMALL, class_id=class_id, width=width, depth=depth)
    layers = reference.make_layers(class_id, width, depth, challenge)
    seed = challenge + class_id.to_bytes(4, "big") + provider
    row = reference.stream("forward pass input", seed, 64, 64 * index)
    for layer, columns in zip(layers, [*[width] * depth, 64], strict=True):
        row = reference.multiply(row, layer, columns)

    rows = expand_rows(resource, Digest(challenge), AccountId(provider), first=index, count=1)
    output = Network.expand(resource, Digest(challenge)).run(rows)

    assert output[0].tolist() == row


@pytest.mark.parametrize("value", [-32, 31])
def test_the_largest_sums_of_the_widest_class_are_exact(value: int) -> None:
    last = np.full((16_384, 64), value, np.int8)
    last[0] = 1
    network = Network([np.zeros((64, 16_384), np.int8), last])

    output = network.run(np.zeros((3, 64), np.int8))

    # Zero sums become -32, so every product of the last layer but one row's has full magnitude.
    assert -32 * value * 16_383 <= EXACT_SUM_MAX
    assert output.tolist() == [[((-32 * value * 16_383 - 32) >> 6) % 64 - 32] * 64] * 3


def test_the_batch_in_which_a_row_passes_does_not_change_its_output() -> None:
    network = Network.expand(SMALL, CHALLENGE)
    rows = expand_rows(SMALL, CHALLENGE, PROVIDER, first=0, count=257)

    together = network.run(rows)
    alone = [network.run(rows[index : index + 1])[0] for index in range(257)]

    assert together.tolist() == [row.tolist() for row in alone]


def test_one_changed_bit_of_an_input_row_changes_about_all_of_its_outputs() -> None:
    network = Network.expand(replace(SMALL, depth=3), CHALLENGE)
    rows = expand_rows(SMALL, CHALLENGE, PROVIDER, first=0, count=64)
    changed = rows.copy()
    changed[:, 0] ^= 1

    differing = np.count_nonzero(network.run(rows) != network.run(changed))

    # A value agrees by chance once in 64.
    assert differing > 64 * 64 * 0.95


def test_rows_depend_on_the_provider_the_challenge_and_the_class() -> None:
    def rows(resource: ForwardPassClass, challenge: bytes, provider: bytes) -> bytes:
        return expand_rows(
            resource, Digest(challenge), AccountId(provider), first=0, count=4
        ).tobytes()

    base = rows(SMALL, CHALLENGE, PROVIDER)

    assert base != rows(SMALL, CHALLENGE, b"q" * 32)
    assert base != rows(SMALL, b"d" * 32, PROVIDER)
    assert base != rows(replace(SMALL, class_id=8), CHALLENGE, PROVIDER)


def test_weights_depend_on_the_challenge_and_the_class() -> None:
    def weights(resource: ForwardPassClass, challenge: bytes) -> bytes:
        return b"".join(m.tobytes() for m in expand_weights(resource, Digest(challenge)))

    base = weights(SMALL, CHALLENGE)

    assert base != weights(SMALL, b"d" * 32)
    assert base != weights(replace(SMALL, class_id=8), CHALLENGE)


def test_leaves_of_scattered_positions_are_those_of_the_whole() -> None:
    network = Network.expand(SMALL, CHALLENGE)
    whole = network.run(expand_rows(SMALL, CHALLENGE, PROVIDER, first=0, count=40))
    expected = leaf_digests(whole.tobytes(), SMALL.rows_per_leaf)

    chosen = compute_leaves(network, SMALL, CHALLENGE, PROVIDER, [0, 7, 19])

    assert chosen == [expected[0], expected[7], expected[19]]
    assert compute_leaves(network, SMALL, CHALLENGE, PROVIDER, []) == []


def test_the_operations_of_a_unit_count_every_multiplication_and_addition() -> None:
    assert SMALL.shapes == ((64, 64), (64, 64), (64, 64))
    assert SMALL.operations_per_row == 2 * 3 * 64 * 64
    assert SMALL.operations_per_unit == 8 * SMALL.operations_per_row


@pytest.mark.parametrize(
    "change, word",
    [
        ({"class_id": -1}, "class_id"),
        ({"class_id": 2**32}, "class_id"),
        ({"width": 0}, "width"),
        ({"width": 100}, "width"),
        ({"width": 16_448, "depth": 1}, "float32 is exact"),
        ({"depth": 0}, "depth"),
        ({"depth": 65}, "depth"),
        ({"width": 16_384, "depth": 3, "rows_per_leaf": 1, "samples": 1}, "weights"),
        ({"rows_per_leaf": 0}, "rows_per_leaf"),
        ({"rows_per_unit": 0}, "rows_per_unit"),
        ({"rows_per_unit": 9}, "rows_per_unit"),
        ({"samples": 0}, "samples"),
        ({"samples": 257}, "samples"),
        ({"units_max": 0}, "units_max"),
        ({"units_max": 2**22 + 1}, "units_max"),
        ({"width": 8192, "depth": 4, "samples": 32}, "checking one provider"),
    ],
)
def test_a_class_whose_numbers_contradict_each_other_is_refused(
    change: dict[str, Any], word: str
) -> None:
    with pytest.raises(InvalidForwardPassClass, match=word):
        replace(SMALL, **change)
