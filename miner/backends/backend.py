"""What the prover asks of a library that multiplies matrices.

A ``Device`` is a way to run networks on this machine; opened with a network's matrices it becomes a
``Backend``. Submitting rows starts the work and returns at once where the hardware can work alone,
so that the caller hashes one batch while the next is computed.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from primitives.errors import LoopinError
from runtime.pocps.forward_pass import Matrix, Rows

Pending = Callable[[], bytes]
"""Waits for a batch and returns its output rows, 64 bytes each; called once."""


class BackendUnavailable(LoopinError):
    """The library or the hardware is not there; the message says which. Use another backend."""


class BackendRejected(LoopinError):
    """The backend computes other bytes than the published vectors: its proofs would be slashed."""


class Backend(Protocol):
    """One network, loaded on one device."""

    @property
    def batch_rows(self) -> int:
        """Rows per batch with which this device is fast."""

    def submit(self, rows: Rows) -> Pending:
        """Start to compute the output rows of any number of input rows."""


class Device(Protocol):
    """One library on one processor of this machine."""

    @property
    def name(self) -> str:
        """The backend as operators write it, such as ``cuda-int8``."""

    def open(self, layers: Sequence[Matrix]) -> Backend:
        """Load a network.

        Raises: BackendUnavailable.
        """
