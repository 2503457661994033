"""When to dial whom again: pure bookkeeping of back-off, no clock, no socket.

Each failure doubles the pause, from ``FIRST_SECONDS`` up to the limit of the peer's kind, times a
random factor between a half and one and a half, so that nodes that lost each other together do not
meet again and again together. A peer is never given up.
"""

from dataclasses import dataclass
from random import Random

from p2p.identity import PeerId

FIRST_SECONDS = 0.2
VALIDATOR_SECONDS_MAX = 5.0
OTHER_SECONDS_MAX = 120.0
STABLE_SECONDS = 10.0
"""A connection that lasted so long was a success: the next pause starts from the first again."""


@dataclass(slots=True)
class _Pause:
    failures: int = 0
    until: float = 0.0


class BackOff:
    """The pause before the next dial of every peer that is wanted."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._pauses: dict[PeerId, _Pause] = {}

    def next_at(self, peer: PeerId) -> float:
        """Return the time from which the peer may be dialed."""
        pause = self._pauses.get(peer)
        return 0.0 if pause is None else pause.until

    def ended(self, peer: PeerId, *, lasted: float, is_validator: bool, now: float) -> None:
        """Note the end of an attempt, or of the connection that it led to, after ``lasted`` s."""
        pause = self._pauses.setdefault(peer, _Pause())
        pause.failures = 1 if lasted >= STABLE_SECONDS else pause.failures + 1
        longest = VALIDATOR_SECONDS_MAX if is_validator else OTHER_SECONDS_MAX
        # 2**20 pauses have long met the limit; the exponent needs one too.
        length = min(FIRST_SECONDS * 2 ** min(pause.failures - 1, 20), longest)
        pause.until = now + length * (0.5 + self._random.random())

    def keep(self, wanted: set[PeerId]) -> None:
        """Forget the pauses of peers that nobody wants any more."""
        for peer in [peer for peer in self._pauses if peer not in wanted]:
            del self._pauses[peer]
