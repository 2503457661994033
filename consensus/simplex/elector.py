"""Who leads a view, by weight and the epoch's randomness, and which leaders are not waited for.

Invariant: the draw depends on the table, the randomness and the view alone, so every node names
the same leader without a message. Whether a leader counts as silent is each node's own opinion,
and costs at most its view.
"""

from bisect import bisect_right
from itertools import accumulate

from primitives.crypto import Purpose, keyed_hash
from primitives.power_table import PowerTable
from primitives.types import Digest, View


class Elector:
    """Draws leaders for one epoch, and counts their silence."""

    __slots__ = ("_ends", "_heard", "_randomness", "_silence", "_total")

    def __init__(self, table: PowerTable, randomness: Digest) -> None:
        self._ends = list(accumulate(entry.weight for entry in table.validators))
        self._total = table.total
        self._randomness = randomness
        self._silence: dict[int, int] = {}
        self._heard: dict[int, View] = {}

    def leader(self, view: View) -> int:
        """Return the position in the table of the leader of ``view``.

        The hash has 256 bits and the total at most 64, so the draw's bias is below 2**-192.
        """
        draw = keyed_hash(Purpose.LEADER, self._randomness + view.to_bytes(8, "big"))
        return bisect_right(self._ends, int.from_bytes(draw, "big") % self._total)

    def hear(self, signer: int, view: View) -> None:
        """Take note of a word of ``signer`` in a view that is not yet history."""
        self._silence.pop(signer, None)
        self._heard[signer] = max(view, self._heard.get(signer, View(0)))

    def note_nullified(self, view: View) -> None:
        """On leaving a nullified view: count it against a leader that said nothing in it."""
        leader = self.leader(view)
        if self._heard.get(leader, 0) < view:
            self._silence[leader] = self._silence.get(leader, 0) + 1

    def silence(self, leader: int) -> int:
        """Return in how many of its latest views ``leader`` said nothing, without a break."""
        return self._silence.get(leader, 0)
