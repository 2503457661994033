"""The test that a node puts to its machine's matrix products."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.pocps import exactness
from runtime.pocps.exactness import InexactArithmetic, require_exact_products
from runtime.pocps.forward_pass import Matrix, Network, Rows


def test_this_machine_is_exact() -> None:
    require_exact_products()


@pytest.mark.parametrize("bits", [23, 20, 11])
def test_a_machine_that_rounds_its_sums_is_refused(
    monkeypatch: pytest.MonkeyPatch, bits: int
) -> None:
    def run(_network: Network, rows: Rows) -> Rows:
        return round_sums(rows, matrices_of[len(rows), rows.tobytes()], bits)

    matrices_of = {(len(rows), rows.tobytes()): found for rows, found in exactness._trials()}
    monkeypatch.setattr(Network, "run", run)

    with pytest.raises(InexactArithmetic, match="rounded"):
        require_exact_products()


def round_sums(rows: Rows, matrices: list[Matrix], bits: int) -> Rows:
    """Run a network on a machine that keeps only so many bits of each sum."""
    values: NDArray[Any] = rows.astype(np.int64)
    for matrix in matrices:
        sums = values @ matrix.astype(np.int64)
        lost = np.maximum(0, np.ceil(np.log2(np.abs(sums) + 1)).astype(np.int64) - bits)
        sums = (sums + (1 << lost >> 1)) >> lost << lost
        values = ((sums >> 6) & 63) - 32
    return values.astype(np.int8)
