"""The backend that every machine has: the float32 products with which the chain verifies."""

from collections.abc import Sequence

from miner.backends.backend import Pending
from runtime.pocps.forward_pass import Matrix, Network, Rows

BATCH_VALUES = 2**20
"""Hidden values per batch: what the caches of a common processor hold."""
BATCH_ROWS_MIN = 256
BATCH_ROWS_MAX = 1024


class NumpyBackend:
    """One network in float32, on the processor's own BLAS."""

    __slots__ = ("_network", "batch_rows")

    def __init__(self, layers: Sequence[Matrix]) -> None:
        self._network = Network(layers)
        width = max(layer.shape[1] for layer in layers)
        self.batch_rows = min(max(BATCH_VALUES // width, BATCH_ROWS_MIN), BATCH_ROWS_MAX)

    def submit(self, rows: Rows) -> Pending:
        """Compute the output rows at once: there is no second processor to wait for."""
        outputs = self._network.run(rows).tobytes()
        return lambda: outputs


class NumpyDevice:
    """The processor, through numpy."""

    name = "numpy"

    def open(self, layers: Sequence[Matrix]) -> NumpyBackend:
        """Load a network."""
        return NumpyBackend(layers)
