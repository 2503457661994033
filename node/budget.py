"""How much work each peer may make us do: whoever spends more waits, and is charged nothing.

What costs us time but proves no fault (words that we do not need, extrinsics that we refuse, long
answers) is paid from a budget that fills with time. The wait is spent in the peer's own frame or
request, so its connection fills up behind it; who ignores that is cut off as a flooder by ``p2p``.

Invariant: a wait is at most ``WAIT_MAX``, which is below every deadline of ``p2p``.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import trio

from p2p.identity import PeerId

WAIT_MAX = 2.0
PEERS_MAX = 4096
"""Peers with budgets, the latest; far more than can be connected."""


class Budget:
    """So much a second in the long run, ``burst`` at once, and debts that cost time."""

    __slots__ = ("_burst", "_level", "_per_second", "_seen")

    def __init__(self, *, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._level = burst
        self._seen = trio.current_time()

    def spend(self, amount: float) -> float:
        """Take ``amount``; return the seconds after which the debt, if any, is paid."""
        now = trio.current_time()
        level = min(self._burst, self._level + (now - self._seen) * self._per_second)
        # Debts end where their wait does, or one costly thing would shut a peer up for minutes.
        self._level = max(level - amount, -WAIT_MAX * self._per_second)
        self._seen = now
        return max(0.0, -self._level / self._per_second)


@dataclass(slots=True)
class Budgets:
    """The budgets of one peer."""

    words: Budget = field(default_factory=lambda: Budget(per_second=300, burst=1000))
    """Consensus messages that were of no use to us."""
    extrinsics: Budget = field(default_factory=lambda: Budget(per_second=5000, burst=10_000))
    """Extrinsics; one that is refused counts ``REFUSED_COST`` times."""
    answers: Budget = field(default_factory=lambda: Budget(per_second=32 << 20, burst=128 << 20))
    """Bytes of answers."""
    bulk: Budget = field(default_factory=lambda: Budget(per_second=8 << 20, burst=64 << 20))
    """Bytes of bulk frames, each ``FRAME_COST`` more than it has."""


REFUSED_COST = 10
FRAME_COST = 16 << 10


class PeerBudgets:
    """The budgets of every peer; who comes back finds its own, so that leaving pays no debts."""

    def __init__(self) -> None:
        self._peers: OrderedDict[PeerId, Budgets] = OrderedDict()

    def __len__(self) -> int:
        return len(self._peers)

    def of(self, peer: PeerId) -> Budgets:
        """Return a peer's budgets, full ones on first use."""
        budgets = self._peers.get(peer)
        if budgets is None:
            budgets = self._peers[peer] = Budgets()
            if len(self._peers) > PEERS_MAX:
                self._peers.popitem(last=False)
        self._peers.move_to_end(peer)
        return budgets


async def spend(budget: Budget, amount: float) -> None:
    """Take ``amount`` and wait until the debt, if any, is paid."""
    wait = budget.spend(amount)
    if wait > 0:
        await trio.sleep(wait)
