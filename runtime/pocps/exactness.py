"""Whether this machine's matrix products are exact, as verification takes for granted.

Every product of the forward pass is an integer below 2**24, which float32 holds. A linear algebra
library that rounds on the way (in half precision, say) would still judge proofs wrongly, and the
node would leave its chain: so a node asks before it judges any.
"""

from collections.abc import Iterator

import numpy as np

from primitives.errors import ConfigError
from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import (
    ROW_BYTES,
    SHIFT,
    VALUE_BITS,
    VALUE_MAGNITUDE,
    WIDTH_MAX,
    ForwardPassClass,
    Matrix,
    Network,
    Rows,
    expand_rows,
    expand_weights,
)

BATCHES = (1, 3, 16)
"""Rows at a time: libraries choose other ways for other shapes."""
_SEED = Digest(bytes(range(32)))
_RANDOM = ForwardPassClass(
    class_id=0, width=256, depth=3, rows_per_unit=64, rows_per_leaf=4, samples=16, units_max=1
)


class InexactArithmetic(ConfigError):
    """This machine's matrix products are rounded; the message says what to do."""


def require_exact_products() -> None:
    """Refuse a machine on which a forward pass gives other bits. Raises: InexactArithmetic."""
    for rows, matrices in _trials():
        if not np.array_equal(Network(matrices).run(rows), _run_in_integers(rows, matrices)):
            raise InexactArithmetic(
                "matrix products of this machine's numpy are rounded, so it would judge proofs"
                " wrongly: install numpy from its published wheels, or another BLAS library"
            )


def _trials() -> Iterator[tuple[Rows, list[Matrix]]]:
    edge = list(_edge_network())
    least = np.full((max(BATCHES), ROW_BYTES), -VALUE_MAGNITUDE, np.int8)
    weights = list(expand_weights(_RANDOM, _SEED))
    provider = AccountId(bytes(32))
    for count in BATCHES:
        yield least[:count], edge
        yield expand_rows(_RANDOM, _SEED, provider, first=0, count=count), weights


def _edge_network() -> Iterator[Matrix]:
    """Yield a network whose last sums come close to 2**24 and end on all residues of the shift.

    Fed with rows of the least value, hidden values are -32 and 31 in turn. Each product of the last
    layer is as large as it can be; in column j, j weights on values of 31 are one less.
    """
    first: Matrix = np.zeros((ROW_BYTES, WIDTH_MAX), np.int8)
    first[0, 1::2] = 1
    yield first
    last: Matrix = np.full((WIDTH_MAX, ROW_BYTES), -VALUE_MAGNITUDE, np.int8)
    last[1::2] = VALUE_MAGNITUDE - 1
    for column in range(ROW_BYTES):
        last[1 : 2 * column : 2, column] -= 1
    yield last


def _run_in_integers(rows: Rows, matrices: list[Matrix]) -> Rows:
    """Return what the network gives in 64-bit integers, which no library rounds."""
    values = rows.astype(np.int64)
    for matrix in matrices:
        sums = values @ matrix.astype(np.int64)
        values = ((sums >> SHIFT) & (2**VALUE_BITS - 1)) - VALUE_MAGNITUDE
    return values.astype(np.int8)
