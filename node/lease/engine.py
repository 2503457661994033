"""Integer networks at the machine's speed, with the bytes of the definition.

A product of a row and a column has at most 14 bits beyond its width, so every partial sum is an
integer that a float32 holds exactly up to a width of 1024 and a float64 up to any width there may
be: the machine's floating-point matrix units give the exact sums, in any order of adding.
"""

import numpy as np

from runtime.jobs.network import PRODUCT_MAX, IntegerNetwork, Rows

FLOAT32_EXACT_MAX = 2**24


class Engine:
    """A network ready to run many rows."""

    def __init__(self, network: IntegerNetwork) -> None:
        self._layers = [
            (layer, matrix.astype(_exact_type(layer.inputs)))
            for layer, matrix in zip(network.shape.layers, network.matrices, strict=True)
        ]

    def run(self, rows: Rows) -> Rows:
        """Return the output rows."""
        values = rows
        for layer, matrix in self._layers:
            values = layer.activate((values.astype(matrix.dtype) @ matrix).astype(np.int32))
        return values


def _exact_type(inputs: int) -> type[np.float32 | np.float64]:
    return np.float32 if PRODUCT_MAX * inputs <= FLOAT32_EXACT_MAX else np.float64
