"""How long to wait: the leader timer, the advance timer, and the retries of one view.

Invariant: every delay is at least its base and, where it grew, at most ``delay_max``.
"""

from consensus.simplex.config import Timing
from primitives.types import Millis

_DOUBLINGS_MAX = 16


class Timers:
    """The one timer of a view, and how often it has fired."""

    __slots__ = ("_factor", "_fired", "_patience", "_timing")

    def __init__(self, timing: Timing, patience: int) -> None:
        self._timing = timing
        self._patience = patience
        self._fired = 0
        self._factor = 1

    def begin(self, idle_views: int) -> Millis:
        """Return the leader timer of a view after ``idle_views`` without a certified block."""
        self._fired = 0
        self._factor = max(1, idle_views - self._patience)
        return self._grown(self._timing.leader)

    def fire(self) -> int:
        """Return how often the timer has fired in this view, this time included."""
        self._fired += 1
        return self._fired

    def rest(self) -> Millis:
        """Return what is left of the advance timer when the leader timer fires."""
        usual = self._timing.advance - self._timing.leader
        grown = self._grown(self._timing.advance) - self._grown(self._timing.leader)
        return Millis(max(usual, grown))

    def retry(self) -> Millis:
        """Return the pause before everything is said again; it doubles up to the limit."""
        doublings = min(self._fired - 1, _DOUBLINGS_MAX)
        return Millis(min(self._timing.delay_max, self._timing.retry << doublings))

    def _grown(self, base: Millis) -> Millis:
        return max(base, Millis(min(base * self._factor, self._timing.delay_max)))
