"""Who leads a view: a draw by weight from the epoch's randomness.

Invariant: the draw depends on the table, the randomness and the view alone, so every node names
the same leader without a message.
"""

from bisect import bisect_right
from itertools import accumulate

from primitives.power_table import PowerTable
from primitives.crypto import Purpose, keyed_hash
from primitives.types import Digest, View


class Elector:
    """Draws leaders for one epoch."""

    __slots__ = ("_ends", "_randomness", "_total")

    def __init__(self, table: PowerTable, randomness: Digest) -> None:
        self._ends = list(accumulate(entry.weight for entry in table.validators))
        self._total = table.total
        self._randomness = randomness

    def leader(self, view: View) -> int:
        """Return the position in the table of the leader of ``view``.

        The hash has 256 bits and the total at most 64, so the draw's bias is below 2**-192.
        """
        draw = keyed_hash(Purpose.LEADER, self._randomness + view.to_bytes(8, "big"))
        return bisect_right(self._ends, int.from_bytes(draw, "big") % self._total)
