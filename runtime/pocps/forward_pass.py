"""The work that a provider of computing power repeats each epoch: integer network forward passes.

A row is 64 bytes of a stream that only this provider meets in this epoch. It passes a network whose
weights nobody knew before the challenge, and comes out as 64 bytes. All values are 6-bit signed
integers; a layer is ``acc = x @ W`` and then ``y = ((acc >> 6) & 63) - 32``.

Invariants:

* Bits do not depend on the machine. ``|acc| <= 32 * 32 * width <= 2**24``, so every partial sum, in
  any order, is an integer that a float32 holds exactly. ``ForwardPassClass`` refuses a width for
  which this would not hold, and that is the licence for the floats in this file, which are the
  only ones below the layer of the node.
* Nothing can be done ahead: weights come from the challenge, rows from challenge and provider.
* Layers cannot be multiplied together in advance: keeping the middle bits of a sum is linear over
  no ring, and one wrong bit spreads to all 64 outputs.

Source: docs/pocps.md, "The work".
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from primitives.crypto import Purpose, expand, keyed_hash
from primitives.errors import ConfigError
from primitives.types import AccountId, Digest

ROW_BYTES = 64
"""Bytes of an input row, and of an output row."""
WIDTH_STEP = 64
WIDTH_MAX = 16_384
DEPTH_MAX = 64
VALUE_BITS = 6
VALUE_MAGNITUDE = 32
"""Values lie in -32..31."""
SHIFT = 6
EXACT_SUM_MAX = 2**24
"""Up to here float32 holds every integer."""
WEIGHTS_MAX = 2**29
"""A verifier holds four bytes per weight of a class: at most 2 GiB."""
LEAVES_MAX = 2**24
"""A prover holds 32 bytes per leaf: at most 512 MiB."""
SAMPLES_MAX = 256
VERIFY_PRODUCTS_MAX = 2**33
"""Multiplications that the verification of one provider may cost."""

Rows = NDArray[np.int8]
"""Shape (rows, 64), values -32..31; its bytes are two's complement, in row order."""
Matrix = NDArray[np.int8]
"""Shape (inputs, outputs) of one layer, values -32..31."""


class InvalidForwardPassClass(ConfigError):
    """The numbers of a forward-pass class contradict each other; the message says which and why."""


def _require(condition: bool, problem: str) -> None:  # noqa: FBT001 - the condition is the point
    if not condition:
        raise InvalidForwardPassClass(problem)


@dataclass(frozen=True, slots=True)
class ForwardPassClass:
    """One kind of hardware: how large the network is and how much of it makes a unit."""

    class_id: int
    """0 to 2**32 - 1; part of every seed."""
    width: int
    """Values per hidden layer; a multiple of 64, at most 16384."""
    depth: int
    """Hidden layers, so ``depth + 1`` matrices."""
    rows_per_unit: int
    """Rows that one staked unit passes per epoch; a multiple of ``rows_per_leaf``."""
    rows_per_leaf: int
    samples: int
    """Leaves drawn per provider and epoch."""
    units_max: int
    """Units that one provider may stake."""

    def __post_init__(self) -> None:
        _require(0 <= self.class_id < 2**32, f"class_id {self.class_id} is no 32-bit integer")
        _require(
            self.width >= WIDTH_STEP and self.width % WIDTH_STEP == 0,
            f"width {self.width} is no positive multiple of {WIDTH_STEP}",
        )
        bound = VALUE_MAGNITUDE * VALUE_MAGNITUDE * self.width
        _require(
            bound <= EXACT_SUM_MAX,
            f"width {self.width} lets a sum reach {bound}, beyond {EXACT_SUM_MAX}, up to which"
            " float32 is exact",
        )
        _require(1 <= self.depth <= DEPTH_MAX, f"depth {self.depth} is not in 1..{DEPTH_MAX}")
        _require(
            self.weight_count <= WEIGHTS_MAX,
            f"{self.weight_count} weights are more than {WEIGHTS_MAX}",
        )
        _require(self.rows_per_leaf >= 1, f"rows_per_leaf {self.rows_per_leaf} is below 1")
        _require(
            self.rows_per_unit >= 1 and self.rows_per_unit % self.rows_per_leaf == 0,
            f"rows_per_unit {self.rows_per_unit} is no positive multiple of rows_per_leaf"
            f" {self.rows_per_leaf}",
        )
        _require(
            1 <= self.samples <= SAMPLES_MAX, f"samples {self.samples} is not in 1..{SAMPLES_MAX}"
        )
        _require(
            self.units_max >= 1 and self.units_max * self.leaves_per_unit <= LEAVES_MAX,
            f"units_max {self.units_max} gives no number of leaves in 1..{LEAVES_MAX}",
        )
        products = self.samples * self.rows_per_leaf * self.weight_count
        _require(
            products <= VERIFY_PRODUCTS_MAX,
            f"checking one provider takes {products} products, more than {VERIFY_PRODUCTS_MAX}",
        )

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of each matrix, first layer first."""
        hidden = ((self.width, self.width),) * (self.depth - 1)
        return ((ROW_BYTES, self.width), *hidden, (self.width, ROW_BYTES))

    @property
    def weight_count(self) -> int:
        """Weights of the network, which is also the multiplications that one row costs."""
        return 2 * ROW_BYTES * self.width + (self.depth - 1) * self.width * self.width

    @property
    def operations_per_row(self) -> int:
        """Multiplications and additions that one row costs."""
        return 2 * self.weight_count

    @property
    def operations_per_unit(self) -> int:
        return self.rows_per_unit * self.operations_per_row

    @property
    def leaves_per_unit(self) -> int:
        return self.rows_per_unit // self.rows_per_leaf


def expand_weights(resource: ForwardPassClass, challenge: Digest) -> Iterator[Matrix]:
    """Yield the matrices of an epoch's network, one at a time, first layer first."""
    seed = challenge + resource.class_id.to_bytes(4)
    offset = 0
    for inputs, outputs in resource.shapes:
        stream = expand(Purpose.FORWARD_PASS_WEIGHTS, seed, inputs * outputs, offset)
        yield _to_values(stream, outputs)
        offset += inputs * outputs


def expand_rows(
    resource: ForwardPassClass, challenge: Digest, provider: AccountId, *, first: int, count: int
) -> Rows:
    """Return the provider's input rows ``first`` to ``first + count - 1``."""
    seed = challenge + resource.class_id.to_bytes(4) + provider
    stream = expand(Purpose.FORWARD_PASS_INPUT, seed, ROW_BYTES * count, ROW_BYTES * first)
    return _to_values(stream, ROW_BYTES)


def leaf_digests(outputs: bytes, rows_per_leaf: int) -> list[Digest]:
    """Return the digest of each whole leaf in consecutive output rows."""
    size = ROW_BYTES * rows_per_leaf
    assert len(outputs) % size == 0, "output rows must make whole leaves"
    purpose = Purpose.FORWARD_PASS_LEAF
    return [
        keyed_hash(purpose, outputs[start : start + size]) for start in range(0, len(outputs), size)
    ]


class Network:
    """Matrices ready to run; the same for all providers of a class in one epoch."""

    __slots__ = ("_layers",)

    def __init__(self, layers: Iterable[Matrix]) -> None:
        self._layers = tuple(layer.astype(np.float32) for layer in layers)

    @classmethod
    def expand(cls, resource: ForwardPassClass, challenge: Digest) -> "Network":
        """Return the network of one class and one epoch."""
        return cls(expand_weights(resource, challenge))

    def run(self, rows: Rows) -> Rows:
        """Return the output rows; exact, whatever order the machine adds in."""
        values = rows.astype(np.float32)
        for layer in self._layers:
            values = _requantize(values @ layer)
        return values.astype(np.int8)


def compute_leaves(
    network: Network,
    resource: ForwardPassClass,
    challenge: Digest,
    provider: AccountId,
    positions: Sequence[int],
) -> list[Digest]:
    """Return the digests of the provider's leaves at ``positions``, which are few."""
    if not positions:
        return []
    size = resource.rows_per_leaf
    rows = [
        expand_rows(resource, challenge, provider, first=size * position, count=size)
        for position in positions
    ]
    return leaf_digests(network.run(np.concatenate(rows)).tobytes(), size)


def _to_values(stream: bytes, columns: int) -> NDArray[np.int8]:
    """Turn bytes into 6-bit signed values: the low six bits, less 32."""
    low_bits = np.frombuffer(stream, np.uint8) & (2**VALUE_BITS - 1)
    values: NDArray[np.int8] = low_bits.view(np.int8).reshape(-1, columns)
    values -= VALUE_MAGNITUDE
    return values


def _requantize(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep six middle bits of each sum; the shift is arithmetic, so it rounds down."""
    bits = sums.astype(np.int32)
    bits >>= SHIFT
    bits &= 2**VALUE_BITS - 1
    bits -= VALUE_MAGNITUDE
    # The sums are no longer needed: their memory takes the result.
    np.copyto(sums, bits)
    return sums
