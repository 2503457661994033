"""What all providers of a class have together, and which of them is to be settled next."""

from dataclasses import dataclass, replace

from primitives.codec import U32, U64, struct
from primitives.types import Epoch


@dataclass(frozen=True, slots=True)
class Tally:
    """A class as of one epoch."""

    epoch: Epoch = Epoch(0)
    places: int = 0
    """Providers with units; their slots are 0 to ``places - 1``."""
    live: int = 0
    proven: int = 0

    def rolled(self, now: Epoch) -> "Tally":
        """Return the tally at the start of ``now``: what was proven before is live."""
        if now == self.epoch:
            return self
        live = self.proven if now == self.epoch + 1 else 0
        return replace(self, epoch=now, live=live, proven=0)

    def changed(self, *, live: int, proven: int) -> "Tally":
        """Return the tally after one provider's units changed by so much."""
        return replace(self, live=self.live + live, proven=self.proven + proven)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Where the settlement of the last epoch stands; it goes from the last place to the first.

    Whoever takes over a place that fell free comes from behind, and is settled already; whoever
    joins meanwhile owes nothing. So nobody is passed over.
    """

    classes_left: int = 0
    slots_left: int = 0
    """In the class that comes after the others that are left."""


TALLY = struct(Tally, epoch=U64, places=U32, live=U64, proven=U64)
SWEEP = struct(Sweep, classes_left=U32, slots_left=U32)
