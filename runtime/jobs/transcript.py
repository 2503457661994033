"""One row on its way through a network, and where two accounts of that way part.

Both sides of a dispute hold the network and the row, so each can compute every layer. What these
functions find is what an honest side says next in the dispute game of ``runtime/jobs/module.py``.

Why an honest challenger always finds the lie: the digest before the first layer is proven against
the committed inputs, and the digest after the last one against the committed outputs. If that
output is wrong, there is a first layer after which the digests differ while those before it agree.
The row behind the wrong digest has the layer's width and is not the right row, so one of its values
is wrong; and that value is one dot product of a row and a column on which both sides agree.
"""

from collections.abc import Sequence

from primitives.types import Digest
from runtime.jobs.commitment import row_digest
from runtime.jobs.network import IntegerNetwork, rows_of


class Transcript:
    """The row before the first layer and after each, and their digests."""

    __slots__ = ("digests", "rows")

    def __init__(self, rows: Sequence[bytes]) -> None:
        self.rows = tuple(rows)
        self.digests: tuple[Digest, ...] = tuple(row_digest(row) for row in self.rows)

    @classmethod
    def of(cls, network: IntegerNetwork, row: bytes) -> "Transcript":
        """Return the way of one input row. Raises: InvalidNetwork."""
        passed = network.activations(rows_of(row, network.shape.inputs))
        return cls([each.tobytes() for each in passed])

    def first_difference(self, digests: Sequence[Digest]) -> int | None:
        """Return the first layer, from 0, after which ``digests`` say something else; or None.

        What stands before the first layer is proven and not compared.
        """
        pairs = zip(self.digests[1:], digests[1:], strict=True)
        return next((number for number, (ours, theirs) in enumerate(pairs) if ours != theirs), None)

    def wrong_column(self, layer: int, row: bytes) -> int | None:
        """Return the first value of a row after ``layer`` that is wrong; or None."""
        pairs = zip(self.rows[layer + 1], row, strict=True)
        return next((number for number, (ours, theirs) in enumerate(pairs) if ours != theirs), None)
