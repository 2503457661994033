"""Integer networks: what a job computes, exactly, and the digest by which a network is known.

A network is a list of layers. A layer turns a row of int8 values into another: ``acc = x @ W`` in
exact integers, then ``y = activation(acc >> shift)`` with an arithmetic shift, where ``wrap`` keeps
the low eight bits as two's complement, ``clamp`` limits to -128..127 and ``relu`` to 0..127.

Invariants:

* ``|acc| <= 2**14 * inputs <= 2**31 - 1``, so an int32 accumulator holds every partial sum in any
  order of adding; ``Layer`` refuses a width for which this would not hold. Any machine that adds
  exactly gives the same bytes.
* The identity covers the shape and every weight, and the weights' part is a Merkle root with one
  leaf for each column of each layer: one dot product can be shown to a verifier that has nothing
  but the identity.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from primitives.codec import U8, U16, Codec, Plain, WrongType, blob, listing, struct
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DecodeError
from primitives.merkle import MerkleTree
from primitives.types import Digest

WIDTH_MAX: Final = 1 << 14
"""Values in a row: two rows and a proof fit into an extrinsic."""
LAYERS_MAX: Final = 64
WEIGHTS_MAX: Final = 1 << 26
"""Weights of a network in all, a byte each."""
SHIFT_MAX: Final = 31
PRODUCT_MAX: Final = 2**14
"""(-128) * (-128)."""
ACCUMULATOR_MAX: Final = 2**31 - 1
INT8_MAX: Final = 127

Rows = NDArray[np.int8]
"""Shape (rows, width); its bytes are two's complement, in row order."""
Matrix = NDArray[np.int8]
"""Shape (inputs, outputs) of one layer."""
Sums = NDArray[np.int32]


class InvalidNetwork(DecodeError):
    """The numbers of a network contradict each other or exceed a limit; the message says which."""


def _require(condition: bool, problem: str) -> None:  # noqa: FBT001 - the condition is the point
    if not condition:
        raise InvalidNetwork(problem)


class Activation(IntEnum):
    """What follows the shift. The numbers are on chain and never change."""

    WRAP = 0
    CLAMP = 1
    RELU = 2


def _activation(plain: Plain) -> Activation:
    if type(plain) is not int or plain not in Activation.__members__.values():
        raise WrongType(f"not an activation: {plain!r:.40}")
    return Activation(plain)


ACTIVATION: Codec[Activation] = Codec(U8.description, 1, 0, int, _activation)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer without its weights."""

    inputs: int
    outputs: int
    shift: int
    """Bits by which sums are shifted to the right, which rounds down."""
    activation: Activation

    def __post_init__(self) -> None:
        for name, width in (("inputs", self.inputs), ("outputs", self.outputs)):
            _require(1 <= width <= WIDTH_MAX, f"{name} {width} is not in 1..{WIDTH_MAX}")
        bound = PRODUCT_MAX * self.inputs
        _require(bound <= ACCUMULATOR_MAX, f"a sum may reach {bound}, beyond 32 bits")
        _require(0 <= self.shift <= SHIFT_MAX, f"shift {self.shift} is not in 0..{SHIFT_MAX}")

    def activate(self, sums: Sums) -> NDArray[np.int8]:
        """Return the values that follow from whole sums."""
        values: Sums = sums >> np.int32(self.shift)
        match self.activation:
            case Activation.WRAP:
                values = (values & 0xFF ^ 0x80) - 0x80
            case Activation.CLAMP:
                values = np.clip(values, -INT8_MAX - 1, INT8_MAX)
            case Activation.RELU:
                values = np.clip(values, 0, INT8_MAX)
        return values.astype(np.int8)

    def value(self, inputs: bytes, column: bytes) -> int:
        """Return one output: the dot product of a row and a column of weights, activated."""
        assert len(inputs) == len(column) == self.inputs, "a row and a column of this layer"
        row, weights = (np.frombuffer(each, np.int8).astype(np.int32) for each in (inputs, column))
        return int(self.activate(np.atleast_1d(row @ weights))[0])


LAYER = struct(Layer, inputs=U16, outputs=U16, shift=U8, activation=ACTIVATION)


@dataclass(frozen=True, slots=True)
class Shape:
    """The layers of a network, first one first."""

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        count = len(self.layers)
        _require(1 <= count <= LAYERS_MAX, f"{count} layers are not in 1..{LAYERS_MAX}")
        for number, (above, below) in enumerate(zip(self.layers, self.layers[1:], strict=False)):
            _require(
                above.outputs == below.inputs,
                f"layer {number} gives {above.outputs} values, the next takes {below.inputs}",
            )
        _require(
            self.weight_count <= WEIGHTS_MAX,
            f"{self.weight_count} weights are more than {WEIGHTS_MAX}",
        )

    @property
    def inputs(self) -> int:
        """Values in an input row."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """Values in an output row."""
        return self.layers[-1].outputs

    @property
    def widths(self) -> tuple[int, ...]:
        """Values in a row before the first layer and after each."""
        return (self.inputs, *(layer.outputs for layer in self.layers))

    @property
    def weight_count(self) -> int:
        """Weights in all, which is also the multiplications that one row costs."""
        return sum(layer.inputs * layer.outputs for layer in self.layers)

    @property
    def columns(self) -> int:
        """Columns of all layers together: the leaves under the weights' root."""
        return sum(layer.outputs for layer in self.layers)

    def column_index(self, layer: int, column: int) -> int:
        """Return the leaf that holds a column of a layer; both count from 0."""
        return sum(each.outputs for each in self.layers[:layer]) + column


SHAPE = struct(Shape, layers=listing(LAYER, LAYERS_MAX))
SHAPE_BYTES = blob(SHAPE.bytes_max)
"""A shape inside a call, whose numbers nobody has checked yet."""


def network_identity(shape: Shape, weights_root: Digest) -> Digest:
    """Return the digest by which the network of this shape and these weights is known."""
    return keyed_hash(Purpose.JOB_NETWORK, SHAPE.encode(shape) + weights_root)


@dataclass(frozen=True, slots=True)
class EncodedNetwork:
    """A network as it is stored and sent."""

    shape: Shape
    weights: bytes
    """Of all layers, one after the other; in each, input by input."""


ENCODED_NETWORK = struct(EncodedNetwork, shape=SHAPE, weights=blob(WEIGHTS_MAX))


class IntegerNetwork:
    """A shape with its weights, ready to run."""

    __slots__ = ("_tree", "matrices", "shape")

    def __init__(self, shape: Shape, matrices: Iterable[Matrix]) -> None:
        """Take one matrix a layer. Raises: InvalidNetwork."""
        self.shape = shape
        self.matrices: tuple[Matrix, ...] = tuple(matrices)
        self._tree: MerkleTree | None = None
        _require(len(self.matrices) == len(shape.layers), "another number of matrices than layers")
        for number, (layer, matrix) in enumerate(zip(shape.layers, self.matrices, strict=True)):
            _require(
                matrix.shape == (layer.inputs, layer.outputs) and matrix.dtype == np.int8,
                f"layer {number} takes int8 weights of shape {(layer.inputs, layer.outputs)}",
            )

    @classmethod
    def decode(cls, data: bytes) -> "IntegerNetwork":
        """Return the network of untrusted ``data``. Raises: DecodeError."""
        encoded = ENCODED_NETWORK.decode(data)
        shape, weights = encoded.shape, np.frombuffer(encoded.weights, np.int8)
        _require(
            len(weights) == shape.weight_count,
            f"{len(weights)} weights where the layers have {shape.weight_count}",
        )
        matrices, start = [], 0
        for layer in shape.layers:
            end = start + layer.inputs * layer.outputs
            matrices.append(weights[start:end].reshape(layer.inputs, layer.outputs))
            start = end
        return cls(shape, matrices)

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        weights = b"".join(matrix.tobytes() for matrix in self.matrices)
        return ENCODED_NETWORK.encode(EncodedNetwork(self.shape, weights))

    @property
    def tree(self) -> MerkleTree:
        """The tree over all columns, made when it is first needed."""
        if self._tree is None:
            self._tree = MerkleTree(
                [column.tobytes() for matrix in self.matrices for column in matrix.T]
            )
        return self._tree

    @property
    def identity(self) -> Digest:
        return network_identity(self.shape, self.tree.root)

    def column(self, layer: int, column: int) -> bytes:
        """Return a column of a layer; both count from 0."""
        return self.matrices[layer][:, column].tobytes()

    def prove_column(self, layer: int, column: int) -> tuple[Digest, ...]:
        """Return the siblings that show a column under the weights' root."""
        return self.tree.prove(self.shape.column_index(layer, column))

    def run(self, rows: Rows) -> Rows:
        """Return the output rows, by the definition: exact and not fast."""
        return self.activations(rows)[-1]

    def activations(self, rows: Rows) -> Sequence[Rows]:
        """Return the rows before the first layer and after each. Raises: InvalidNetwork."""
        _require(
            rows.ndim == 2 and rows.shape[1] == self.shape.inputs and rows.dtype == np.int8,
            f"rows of {self.shape.inputs} int8 values are wanted",
        )
        found = [rows]
        for layer, matrix in zip(self.shape.layers, self.matrices, strict=True):
            found.append(layer.activate(found[-1].astype(np.int32) @ matrix.astype(np.int32)))
        return found


def rows_of(data: bytes, width: int) -> Rows:
    """Return whole rows of ``width`` values from their bytes. Raises: InvalidNetwork."""
    _require(
        len(data) > 0 and len(data) % width == 0, f"{len(data)} bytes are no rows of {width} values"
    )
    return np.frombuffer(data, np.int8).reshape(-1, width)
