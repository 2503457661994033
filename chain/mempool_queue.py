"""One account's waiting extrinsics, in the order in which the chain can take them.

Invariants: ``size`` and ``cost`` are the sums over ``entries``; the entries from ``next_nonce`` up
to ``gap``, and only they, are ready; none lies below ``next_nonce``.
"""

from dataclasses import dataclass, field

from primitives.types import AccountId, Balance, Digest, Nonce
from runtime.executive import ReadyExtrinsic
from runtime.fees import PPB


@dataclass(slots=True, eq=False)
class Entry:
    """An extrinsic that waits."""

    ready: ReadyExtrinsic
    account: AccountId
    hash: Digest
    fee: Balance
    """What it would cost in the next block, by the last look at it."""
    arrival: int
    nonce: Nonce = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.nonce = self.ready.extrinsic.nonce
        self.size = len(self.ready.extrinsic.encoded)

    @property
    def tip(self) -> Balance:
        return self.ready.extrinsic.tip

    @property
    def cost(self) -> int:
        return self.fee + self.tip

    @property
    def priority(self) -> int:
        """What it pays for each 10**9 base units that its block space costs."""
        return self.cost * PPB // max(1, self.fee)


@dataclass(slots=True, eq=False)
class AccountQueue:
    """One account's entries by nonce, and how many of them follow each other from the next one."""

    account: AccountId
    next_nonce: Nonce
    entries: dict[Nonce, Entry] = field(default_factory=dict)
    size: int = 0
    cost: int = 0
    ready_count: int = 0
    place: tuple[int, int] | None = None
    """Where it stands among the queues with ready entries: (-priority, arrival) of its first."""

    @property
    def gap(self) -> Nonce:
        """The first nonce that is missing."""
        return Nonce(self.next_nonce + self.ready_count)

    @property
    def head(self) -> Entry | None:
        """The first ready entry, or None."""
        return self.entries[self.next_nonce] if self.ready_count else None

    def is_ready(self, entry: Entry) -> bool:
        """Return whether everything before ``entry`` is here too."""
        return entry.nonce < self.gap

    def put(self, entry: Entry) -> list[Entry]:
        """Take in an entry, in place of the one with its nonce; return what it makes ready."""
        old = self.entries.get(entry.nonce)
        if old is not None:
            self.size -= old.size
            self.cost -= old.cost
        self.entries[entry.nonce] = entry
        self.size += entry.size
        self.cost += entry.cost
        return self.close_gap() if old is None else []

    def take(self, entry: Entry) -> list[Entry]:
        """Remove an entry; return those behind it that were ready and are no longer."""
        del self.entries[entry.nonce]
        self.size -= entry.size
        self.cost -= entry.cost
        if not self.is_ready(entry):
            return []
        behind = range(entry.nonce + 1, self.gap)
        self.ready_count = entry.nonce - self.next_nonce
        return [self.entries[Nonce(nonce)] for nonce in behind]

    def take_used(self, next_nonce: Nonce) -> list[Entry]:
        """Remove the entries below ``next_nonce``, where the chain now stands, and return them."""
        used = [self.entries.pop(nonce) for nonce in sorted(self.entries) if nonce < next_nonce]
        self.size -= sum(entry.size for entry in used)
        self.cost -= sum(entry.cost for entry in used)
        self.ready_count = max(0, self.gap - next_nonce)
        self.next_nonce = next_nonce
        return used

    def reprice(self, entry: Entry, fee: Balance) -> None:
        """Note what ``entry`` would cost now."""
        self.cost += fee - entry.fee
        entry.fee = fee

    def worth(self, entry: Entry) -> int:
        """Return the priority at which the queue can offer ``entry``: its own, or its head's."""
        head = self.head
        if head is None or head.nonce == entry.nonce:
            return entry.priority
        return min(entry.priority, head.priority)

    def close_gap(self) -> list[Entry]:
        """Count what follows the ready entries without a gap among them, and return it."""
        closed: list[Entry] = []
        while (entry := self.entries.get(self.gap)) is not None:
            self.ready_count += 1
            closed.append(entry)
        return closed
