"""Who misbehaved how much, and who is banned until when: pure bookkeeping, no clock, no socket.

Every fault of a peer costs the points of its ``Fault``; points melt away with time; at
``Rules.threshold`` the peer is banned for ``Rules.ban_seconds``, doubled for each ban within the
memory up to ``Rules.ban_seconds_max``. Faults of the network never come here.

Invariants: at most ``Rules.peers_max`` peers are remembered (the least guilty are forgotten first,
a banned one only when all are banned); all times are seconds of the one clock that the caller
reads.
"""

from collections import Counter
from dataclasses import dataclass, field

from p2p.faults import Fault
from p2p.identity import PeerId


@dataclass(frozen=True, slots=True)
class Rules:
    threshold: int = 100
    """Points at which a peer is banned."""
    points_per_minute: int = 10
    """How fast points melt away."""
    ban_seconds: float = 600.0
    """Length of the first ban."""
    ban_seconds_max: float = 86_400.0
    peers_max: int = 10_000
    """How many peers are remembered; about 300 bytes each."""


@dataclass(frozen=True, slots=True)
class Ban:
    """A decision to refuse a peer: how long, and what for."""

    peer: PeerId
    until: float
    reason: str


@dataclass(slots=True)
class _Record:
    points: float = 0.0
    seen: float = 0.0
    bans: int = 0
    banned_until: float = 0.0
    reason: str = ""
    faults: dict[Fault, int] = field(default_factory=dict)


class Scores:
    """The memory of every peer's faults."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self._records: dict[PeerId, _Record] = {}
        self.totals: Counter[Fault] = Counter()
        """How often anybody was charged for what, since the start."""

    def charge(self, peer: PeerId, fault: Fault, detail: str, now: float) -> Ban | None:
        """Take the price of one fault; return the ban if it is now due."""
        self.totals[fault] += 1
        record = self._record(peer, now)
        record.points = self._points(record, now) + fault.points
        record.seen = now
        record.faults[fault] = record.faults.get(fault, 0) + 1
        if record.points < self.rules.threshold or record.banned_until > now:
            return None
        length = min(self.rules.ban_seconds * 2**record.bans, self.rules.ban_seconds_max)
        # At 2**30 every length has long met its maximum; without a bound the power would grow.
        record.bans = min(record.bans + 1, 30)
        record.banned_until = now + length
        record.reason = f"{fault.label}: {detail}" if detail else fault.label
        record.points = 0.0
        return Ban(peer, record.banned_until, record.reason)

    def points(self, peer: PeerId, now: float) -> float:
        """Return what the peer still has on its account."""
        record = self._records.get(peer)
        return 0.0 if record is None else self._points(record, now)

    def is_banned(self, peer: PeerId, now: float) -> bool:
        record = self._records.get(peer)
        return record is not None and record.banned_until > now

    def bans(self, now: float) -> tuple[Ban, ...]:
        """Return the bans in force, soonest to end first."""
        return tuple(
            sorted(
                (
                    Ban(peer, record.banned_until, record.reason)
                    for peer, record in self._records.items()
                    if record.banned_until > now
                ),
                key=lambda ban: (ban.until, ban.peer),
            )
        )

    def faults(self, peer: PeerId) -> dict[Fault, int]:
        """Return how often the peer did what, since it was first remembered."""
        record = self._records.get(peer)
        return {} if record is None else dict(record.faults)

    def pardon(self, peer: PeerId) -> None:
        """Forget everything about a peer: for an operator."""
        self._records.pop(peer, None)

    def _points(self, record: _Record, now: float) -> float:
        melted = max(0.0, now - record.seen) * self.rules.points_per_minute / 60
        return max(0.0, record.points - melted)

    def _record(self, peer: PeerId, now: float) -> _Record:
        record = self._records.get(peer)
        if record is None:
            if len(self._records) >= self.rules.peers_max:
                self._forget_least_guilty(now)
            record = self._records[peer] = _Record(seen=now)
        return record

    def _forget_least_guilty(self, now: float) -> None:
        def guilt(peer: PeerId) -> tuple[bool, float, PeerId]:
            record = self._records[peer]
            return record.banned_until > now, self._points(record, now), peer

        # A tenth at once: one walk pays for a thousand newcomers.
        for peer in sorted(self._records, key=guilt)[: max(1, self.rules.peers_max // 10)]:
            del self._records[peer]


class RateLimit:
    """A token bucket: ``burst`` at once, ``per_second`` in the long run."""

    __slots__ = ("_level", "_seen", "burst", "per_second")

    def __init__(self, *, per_second: float, burst: float, now: float) -> None:
        self.per_second = per_second
        self.burst = burst
        self._level = burst
        self._seen = now

    def take(self, amount: float, now: float) -> bool:
        """Take ``amount`` if it is there; False leaves the bucket as it was."""
        level = min(self.burst, self._level + max(0.0, now - self._seen) * self.per_second)
        self._seen = now
        if amount > level:
            self._level = level
            return False
        self._level = level - amount
        return True
