"""Integer networks: the definition against plain integers, limits, bytes and identities."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.errors import DecodeError
from primitives.merkle import verify_leaf
from runtime.jobs import network as rules
from runtime.jobs.network import (
    ACTIVATION,
    ENCODED_NETWORK,
    LAYERS_MAX,
    SHAPE,
    SHIFT_MAX,
    WIDTH_MAX,
    Activation,
    EncodedNetwork,
    IntegerNetwork,
    InvalidNetwork,
    Layer,
    Shape,
    rows_of,
)
from tests.runtime.jobs.world import make_network, make_rows
from tests.vectors.make_jobs import plain_activation, plain_run

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "jobs.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("case", VECTORS["networks"], ids=lambda case: case["name"])
def test_a_network_has_the_published_identity_and_outputs(case: dict[str, Any]) -> None:
    network = IntegerNetwork.decode(bytes.fromhex(case["encoded"]))

    rows = rows_of(bytes.fromhex(case["inputs"]), network.shape.inputs)

    assert network.tree.root.hex() == case["weights_root"]
    assert network.identity.hex() == case["identity"]
    assert network.run(rows).tobytes().hex() == case["outputs"]


widths = st.lists(st.integers(1, 9), min_size=2, max_size=5)


@given(widths=widths, seed=st.integers(0, 2**32), shift=st.integers(0, SHIFT_MAX))
def test_a_network_does_what_its_definition_says_in_plain_integers(
    widths: list[int], seed: int, shift: int
) -> None:
    network = make_network(widths, seed=seed, shift=shift)
    rows = make_rows(3, widths[0], seed=seed)

    found = network.run(rows)

    layers = [
        (layer.shift, int(layer.activation), matrix.tolist())
        for layer, matrix in zip(network.shape.layers, network.matrices, strict=True)
    ]
    assert found.tolist() == [plain_run(layers, row) for row in rows.tolist()]


@given(sums=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1), shift=st.integers(0, SHIFT_MAX))
@pytest.mark.parametrize("activation", Activation)
def test_an_activation_is_exact_for_every_sum(
    activation: Activation, sums: list[int], shift: int
) -> None:
    layer = Layer(1, 1, shift, activation)

    found = layer.activate(np.array(sums, np.int32))

    assert found.tolist() == [plain_activation(int(activation), each >> shift) for each in sums]


@pytest.mark.parametrize("sign", [-128, 127])
def test_the_widest_layer_reaches_its_largest_sum_without_overflow(sign: int) -> None:
    layer = Layer(WIDTH_MAX, 1, 21, Activation.CLAMP)
    row, column = bytes([sign % 256]) * WIDTH_MAX, bytes([0x80]) * WIDTH_MAX

    assert layer.value(row, column) == min(127, sign * -128 * WIDTH_MAX >> 21)


def test_one_value_is_the_value_in_the_whole_row() -> None:
    network = make_network([70, 65, 3])
    passed = network.activations(make_rows(1, 70))

    for number, layer in enumerate(network.shape.layers):
        for column in range(layer.outputs):
            row, weights = passed[number].tobytes(), network.column(number, column)
            assert layer.value(row, weights) == passed[number + 1][0, column]


def test_every_column_is_a_leaf_under_the_root_at_its_index() -> None:
    network = make_network([3, 5, 2])
    shape = network.shape

    for layer, column in [(0, 0), (0, 4), (1, 0), (1, 1)]:
        verify_leaf(
            network.tree.root,
            network.column(layer, column),
            network.prove_column(layer, column),
            index=shape.column_index(layer, column),
            size=shape.columns,
        )

    assert shape.columns == 7
    assert shape.column_index(1, 1) == 6


def test_a_network_reads_what_it_writes() -> None:
    network = make_network([4, 6, 2])

    again = IntegerNetwork.decode(network.encode())

    assert again.identity == network.identity
    assert again.encode() == network.encode()
    assert again.shape.widths == (4, 6, 2)
    assert (again.shape.inputs, again.shape.outputs) == (4, 2)


def test_the_identity_covers_every_weight_and_every_number_of_the_shape() -> None:
    network = make_network([2, 3, 2])
    first, second = network.shape.layers
    changed = [matrix.copy() for matrix in network.matrices]
    changed[1][2, 1] ^= 1
    others = [
        IntegerNetwork(network.shape, changed),
        *[
            IntegerNetwork(Shape((other, second)), network.matrices)
            for other in (replace(first, shift=5), replace(first, activation=Activation.CLAMP))
        ],
    ]

    identities = {each.identity for each in [network, *others]}

    assert len(identities) == 4


@pytest.mark.parametrize(
    "numbers",
    [
        (0, 1, 0),
        (1, 0, 0),
        (WIDTH_MAX + 1, 1, 0),
        (1, WIDTH_MAX + 1, 0),
        (1, 1, -1),
        (1, 1, SHIFT_MAX + 1),
    ],
)
def test_a_layer_out_of_range_is_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidNetwork):
        Layer(*numbers, Activation.WRAP)


def test_a_width_whose_sums_leave_32_bits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "WIDTH_MAX", 2**18)

    Layer(2**17 - 1, 1, 0, Activation.WRAP)
    with pytest.raises(InvalidNetwork, match="beyond 32 bits"):
        Layer(2**17, 1, 0, Activation.WRAP)


def test_a_shape_out_of_range_is_refused() -> None:
    wide = Layer(WIDTH_MAX, WIDTH_MAX, 0, Activation.WRAP)
    step = Layer(1, 2, 0, Activation.WRAP)

    for layers in [(), (step, step), (wide,)]:
        with pytest.raises(InvalidNetwork):
            Shape(layers)
    with pytest.raises(InvalidNetwork):
        Shape((Layer(1, 1, 0, Activation.WRAP),) * (LAYERS_MAX + 1))


def test_weights_of_another_form_are_refused() -> None:
    network = make_network([2, 3])
    (matrix,) = network.matrices

    for matrices in [[], [matrix.T], [matrix.astype(np.int32)], [matrix, matrix]]:
        with pytest.raises(InvalidNetwork):
            IntegerNetwork(network.shape, matrices)  # type: ignore[arg-type] # on purpose


def test_bytes_that_are_no_network_are_refused() -> None:
    data = make_network([2, 3]).encode()

    for wrong in [b"", data[:-1], data + b"\0", b"\x92\x91\x90\xc4\0"]:
        with pytest.raises(DecodeError):
            IntegerNetwork.decode(wrong)
    short = EncodedNetwork(make_network([2, 3]).shape, bytes(5))
    with pytest.raises(InvalidNetwork, match="5 weights"):
        IntegerNetwork.decode(ENCODED_NETWORK.encode(short))


def test_rows_of_another_form_are_refused() -> None:
    network = make_network([2, 3])

    for data in [b"", b"123"]:
        with pytest.raises(InvalidNetwork):
            rows_of(data, 2)
    for rows in [make_rows(1, 3), make_rows(1, 2)[0], make_rows(1, 2).astype(np.int16)]:
        with pytest.raises(InvalidNetwork):
            network.run(rows)


@pytest.mark.parametrize("wrong", [3, -1, True, None, "wrap"])
def test_an_activation_that_does_not_exist_is_refused(wrong: Any) -> None:
    with pytest.raises(DecodeError):
        ACTIVATION.from_plain(wrong)
    with pytest.raises(DecodeError):
        SHAPE.from_plain([[[1, 1, 0, wrong]]])
