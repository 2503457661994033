"""Who served which lease until lately: what a dispute over a lease that has ended must know.

A provider could else give wrong results in the last blocks of a lease, or lose the lease by missing
a proof, which costs little, and be out of reach of its client.

Invariants: entries are forgotten in the order in which shares ended, a bounded number a block; none
is of a share that a client has won a dispute over, so that no result is paid for twice.
"""

from dataclasses import dataclass, replace

from primitives.codec import ACCOUNT, AMOUNT, U32, U64, struct
from primitives.types import AccountId, Balance, Height
from runtime.module import BoundMap, BoundValue

FORGOTTEN_MAX = 256
"""Entries that one block forgets."""


@dataclass(frozen=True, slots=True)
class PastShare:
    """A share of a lease that has ended."""

    client: AccountId
    class_id: int
    lost: Balance
    """What the client would lose by a wrong result: what the share was paid for of late."""
    until: Height
    """The last block in which a dispute over it may begin."""


@dataclass(frozen=True, slots=True)
class PastKey:
    """Names an entry in the queue."""

    lease_id: int
    provider: AccountId
    until: Height


@dataclass(frozen=True, slots=True)
class MemoryEnds:
    """Numbers of the oldest key in the queue and of the next one."""

    first: int = 0
    following: int = 0


PAST_SHARE = struct(PastShare, client=ACCOUNT, class_id=U32, lost=AMOUNT, until=U64)
PAST_KEY = struct(PastKey, lease_id=U64, provider=ACCOUNT, until=U64)
MEMORY_ENDS = struct(MemoryEnds, first=U64, following=U64)


class Memory:
    """Shares that ended lately; the module that owns the storage lends it."""

    def __init__(
        self,
        shares: BoundMap[tuple[int, AccountId], PastShare | None],
        queue: BoundMap[int, PastKey | None],
        ends: BoundValue[MemoryEnds],
    ) -> None:
        self.shares, self.queue, self.ends = shares, queue, ends

    def note(self, lease_id: int, provider: AccountId, share: PastShare) -> None:
        """Remember a share that ends now."""
        ends = self.ends.get()
        self.shares[lease_id, provider] = share
        self.queue[ends.following] = PastKey(lease_id, provider, share.until)
        self.ends.set(replace(ends, following=ends.following + 1))

    def forget(self, now: Height) -> None:
        """Forget the oldest shares over which no dispute may begin any more."""
        ends = self.ends.get()
        first = ends.first
        while first < min(ends.following, ends.first + FORGOTTEN_MAX):
            key = self.queue[first]
            assert key is not None, "a key between the ends"
            if key.until >= now:
                break
            known = self.shares[key.lease_id, key.provider]
            # The provider may have served the lease again since, and that share ended later.
            if known is not None and known.until == key.until:
                del self.shares[key.lease_id, key.provider]
            del self.queue[first]
            first += 1
        if first != ends.first:
            self.ends.set(replace(ends, first=first))
