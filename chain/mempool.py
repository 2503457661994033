"""The mempool: signed extrinsics that wait for a block.

An account's extrinsics are *ready* as far as their nonces follow the finalized one without a gap,
the others are *future*. Ready ones are offered by what they pay for the block space they take.

Invariants: every entry was valid, nonce gaps aside, against a finalized state; an account and
nonce has one entry; counts and bytes stay within ``Limits`` whatever arrives; an entry leaves only
with a reason, which ``on_change`` is told. Entries of unfinalized blocks stay until those blocks
are final, so that an abandoned block loses nothing.
"""

import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sortedcontainers import SortedKeyList

from chain.mempool_queue import AccountQueue, Entry
from chain.slices import Slices
from primitives.errors import InvalidExtrinsic, LoopinError
from primitives.types import AccountId, Balance, Digest, Height, Nonce
from runtime.executive import ReadyExtrinsic, UnsignedExtrinsic
from runtime.system import Expired, NonceTooLow

SLICE_ENTRIES = 64
"""Entries validated between two yields; an account's are validated together."""
REPLACEMENT_TIP_STEP = 10
"""A replacement pays at least one part in this many more tip."""


class MempoolRefusal(LoopinError):
    """The extrinsic may be valid, but this mempool does not take it now."""


class AlreadyKnown(MempoolRefusal):
    """The very same extrinsic waits here."""


class TipTooLow(MempoolRefusal):
    """Another extrinsic has this nonce; to take its place, tip at least 10 % more."""


class AccountFull(MempoolRefusal):
    """The account has as many bytes waiting as one account may have."""


class TooFarAhead(MempoolRefusal):
    """The nonce is further ahead than one account may have extrinsics waiting."""


class MempoolFull(MempoolRefusal):
    """The mempool is full of extrinsics that pay more; tip more, or try again later."""


@dataclass(frozen=True, slots=True)
class Limits:
    count_max: int = 50_000
    bytes_max: int = 64 << 20
    account_count_max: int = 512
    account_bytes_max: int = 2 << 20
    future_count_max: int = 10_000
    """Entries, over all accounts, whose nonce leaves a gap."""


class Status(Enum):
    """What became of an extrinsic; the values are the words that wallets are told."""

    FUTURE = "future"
    READY = "ready"
    INCLUDED = "finalized"
    USURPED = "usurped"
    DROPPED = "dropped"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Change:
    """An extrinsic's new status."""

    hash: Digest
    status: Status
    reason: str = ""
    """Why it was dropped, usurped or is invalid."""
    by: Digest | None = None
    """The usurper, if this node knows it."""


class Judge(Protocol):
    """What the mempool asks of the finalized state."""

    def nonce(self, account: AccountId) -> Nonce:
        """Return the account's next nonce."""

    def validate(self, ready: ReadyExtrinsic, *, pending: Balance) -> Balance:
        """Return the fee in the next block, its nonce aside. Raises: InvalidExtrinsic."""


def _place_of(queue: AccountQueue) -> tuple[int, int]:
    assert queue.place is not None
    return queue.place


class Mempool:
    """Extrinsics waiting at one node."""

    def __init__(
        self,
        judge: Judge,
        limits: Limits | None = None,
        on_change: Callable[[Change], None] = lambda _: None,
    ) -> None:
        self.limits = limits or Limits()
        self._judge = judge
        self._on_change = on_change
        self._queues: dict[AccountId, AccountQueue] = {}
        self._by_hash: dict[Digest, Entry] = {}
        self._paying: SortedKeyList[AccountQueue, tuple[int, int]] = SortedKeyList(key=_place_of)
        self._expiring: list[tuple[Height, int, Digest]] = []
        self._to_revisit: list[AccountId] = []
        self._size = 0
        self._futures: dict[Digest, Entry] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._by_hash)

    @property
    def size(self) -> int:
        """Bytes of all encoded extrinsics together."""
        return self._size

    @property
    def ready_count(self) -> int:
        return len(self._by_hash) - len(self._futures)

    @property
    def future_count(self) -> int:
        return len(self._futures)

    def find(self, extrinsic_hash: Digest) -> Entry | None:
        """Return the entry with that hash, or None."""
        return self._by_hash.get(extrinsic_hash)

    def entries(self) -> Iterator[Entry]:
        """Yield every entry in the order of arrival."""
        yield from self._by_hash.values()

    def next_nonce(self, account: AccountId) -> Nonce:
        """Return the nonce that follows the account's ready entries."""
        queue = self._queues.get(account)
        return self._judge.nonce(account) if queue is None else queue.gap

    def submit(self, ready: ReadyExtrinsic) -> Entry:
        """Take an extrinsic whose signature was verified.

        Raises: MempoolRefusal, InvalidExtrinsic; then nothing has changed.
        """
        extrinsic = ready.extrinsic
        if extrinsic.signer is None:
            raise UnsignedExtrinsic("only block authors put inherents in")
        known_hash = extrinsic.hash
        if known_hash in self._by_hash:
            raise AlreadyKnown(f"0x{known_hash.hex()}")
        queue = self._queues.get(extrinsic.signer)
        if queue is None:
            queue = AccountQueue(extrinsic.signer, self._judge.nonce(extrinsic.signer))
        old = queue.entries.get(extrinsic.nonce)
        self._validate_place(queue, ready, old)
        pending = Balance(queue.cost - (old.cost if old else 0))
        fee = self._judge.validate(ready, pending=pending)
        entry = Entry(ready, queue.account, known_hash, fee, self._arrivals)
        for victim in self._find_room(queue, entry, old):
            self._remove(victim, Status.DROPPED, f"{MempoolFull.__name__}: others pay more")
        self._arrivals += 1
        if old is not None:
            self._forget(old)
            self._on_change(Change(old.hash, Status.USURPED, "replaced", known_hash))
        self._insert(queue, entry)
        return entry

    def candidates(self, skip: Collection[Digest]) -> Iterator[Entry]:
        """Yield ready entries, best paying first, each account's in the order of nonces.

        ``skip`` are the hashes of extrinsics in unfinalized ancestors of the block to be built.
        Entries may come and go while this runs, but no block may become final.
        """
        heads = deque(self._paying)
        behind: list[tuple[int, int, AccountQueue, Nonce]] = []
        while heads or behind:
            place = heads[0].place if heads else None
            if heads and (not behind or place is None or place <= behind[0][:2]):
                queue = heads.popleft()
                nonce = queue.next_nonce
            else:
                _, _, queue, nonce = heapq.heappop(behind)
            entry, following = queue.entries.get(nonce), queue.entries.get(Nonce(nonce + 1))
            if entry is not None and following is not None:
                # Never ahead of the entry before it, however much it pays.
                its_place = (-following.priority, following.arrival, queue, following.nonce)
                heapq.heappush(behind, its_place)
            if entry is not None and entry.hash not in skip:
                yield entry

    def on_final_block(
        self,
        next_height: Height,
        *,
        included: Collection[Digest],
        touched: Collection[AccountId],
        revisit_max: int = 2000,
    ) -> Slices[None]:
        """Adapt to a newly finalized state, of which the judge already speaks.

        ``included`` are the extrinsics of the block, or of all that became final together;
        ``touched`` are accounts whose nonce or balance they changed. Beside the entries of those,
        about ``revisit_max`` others are validated again, all in turn, since the base fee moves for
        all.
        """
        signers = [self._by_hash[known].account for known in included if known in self._by_hash]
        yield
        yield from self._revisit_all(dict.fromkeys([*touched, *signers]), included)
        self._drop_expired(next_height)
        yield
        if not self._to_revisit:
            self._to_revisit = list(self._queues)
        yield from self._revisit_all(self._next_in_turn(revisit_max), included)

    def remove_invalid(self, entry: Entry, error: InvalidExtrinsic) -> None:
        """Drop an entry that a block builder found to be invalid."""
        if self._by_hash.get(entry.hash) is entry:
            self._remove(entry, Status.INVALID, f"{error.reason}: {error}")
            self._trim_futures()

    def _validate_place(
        self, queue: AccountQueue, ready: ReadyExtrinsic, old: Entry | None
    ) -> None:
        extrinsic, limits = ready.extrinsic, self.limits
        if extrinsic.nonce < queue.next_nonce:
            raise NonceTooLow(f"nonce {extrinsic.nonce}, the account's next is {queue.next_nonce}")
        if extrinsic.nonce >= queue.next_nonce + limits.account_count_max:
            raise TooFarAhead(f"nonce {extrinsic.nonce}, the account's next is {queue.next_nonce}")
        size = queue.size + len(extrinsic.encoded) - (old.size if old else 0)
        if size > limits.account_bytes_max:
            raise AccountFull(f"{size} bytes, at most {limits.account_bytes_max}")
        if old is not None:
            wanted = old.tip + max(1, -(-old.tip // REPLACEMENT_TIP_STEP))
            if extrinsic.tip < wanted:
                raise TipTooLow(f"tip {extrinsic.tip}, at least {wanted} takes the place")
        elif extrinsic.nonce > queue.gap and len(self._futures) >= limits.future_count_max:
            raise MempoolFull(f"{len(self._futures)} extrinsics wait for earlier nonces")

    def _find_room(self, queue: AccountQueue, entry: Entry, old: Entry | None) -> list[Entry]:
        """Return whom to evict for ``entry``. Raises: MempoolFull."""
        count = len(self._by_hash) + (old is None) - self.limits.count_max
        size = self._size + entry.size - (old.size if old else 0) - self.limits.bytes_max
        victims: list[Entry] = []
        evictable = self._evictable(queue, entry)
        while count > 0 or size > 0:
            victim = next(evictable, None)
            if victim is None:
                raise MempoolFull(f"{len(self._by_hash)} extrinsics, {self._size} bytes")
            victims.append(victim)
            count -= 1
            size -= victim.size
        return victims

    def _evictable(self, queue: AccountQueue, entry: Entry) -> Iterator[Entry]:
        """Yield what must yield to ``entry``, the least useful first.

        Those are the future entries, the newest first, and then the queues that pay less, each
        from its end, as nothing of it can be included before its head. A future entry evicts none.
        """
        if entry.nonce > queue.gap:
            return
        for future in reversed(self._futures.values()):
            if future.account != queue.account:
                yield future
        worth = queue.worth(entry)
        for other in reversed(self._paying):
            head = other.head
            assert head is not None
            if head.priority >= worth:
                return
            if other is not queue:
                for nonce in reversed(range(other.next_nonce, other.gap)):
                    yield other.entries[Nonce(nonce)]

    def _insert(self, queue: AccountQueue, entry: Entry) -> None:
        self._queues[queue.account] = queue
        self._by_hash[entry.hash] = entry
        self._size += entry.size
        heapq.heappush(
            self._expiring, (entry.ready.extrinsic.valid_until, entry.arrival, entry.hash)
        )
        self._compact_expiring()
        self._futures[entry.hash] = entry
        became_ready = queue.put(entry)
        if queue.is_ready(entry):
            self._tell_ready(became_ready or [entry])
        else:
            self._on_change(Change(entry.hash, Status.FUTURE))
        self._place(queue)

    def _remove(self, entry: Entry, status: Status, reason: str) -> None:
        """Drop an entry; ready ones behind it become future."""
        queue = self._queues[entry.account]
        waiting = queue.take(entry)
        self._forget(entry)
        self._on_change(Change(entry.hash, status, reason))
        for behind in waiting:
            self._futures[behind.hash] = behind
            self._on_change(Change(behind.hash, Status.FUTURE))
        self._place(queue)

    def _forget(self, entry: Entry) -> None:
        """Take an entry off the books of the whole mempool."""
        del self._by_hash[entry.hash]
        self._futures.pop(entry.hash, None)
        self._size -= entry.size

    def _tell_ready(self, entries: list[Entry]) -> None:
        for entry in entries:
            del self._futures[entry.hash]
            self._on_change(Change(entry.hash, Status.READY))

    def _place(self, queue: AccountQueue) -> None:
        """Bring the queue's place among the paying ones up to date; forget it when it is empty."""
        head = queue.head
        place = (-head.priority, head.arrival) if head else None
        if place != queue.place:
            if queue.place is not None:
                self._paying.remove(queue)
            queue.place = place
            if place is not None:
                self._paying.add(queue)
        if not queue.entries:
            del self._queues[queue.account]

    def _next_in_turn(self, entries_max: int) -> Iterator[AccountId]:
        """Yield accounts until they have about ``entries_max`` entries."""
        while self._to_revisit and entries_max > 0:
            account = self._to_revisit.pop()
            queue = self._queues.get(account)
            entries_max -= len(queue.entries) if queue else 1
            yield account

    def _revisit_all(
        self, accounts: Iterable[AccountId], included: Collection[Digest]
    ) -> Slices[None]:
        seen = 0
        for account in accounts:
            seen += self._revisit(account, included)
            if seen >= SLICE_ENTRIES:
                seen = 0
                yield

    def _revisit(self, account: AccountId, included: Collection[Digest]) -> int:
        """Drop what is included or no longer valid; return how many entries there were."""
        queue = self._queues.get(account)
        if queue is None:
            return 0
        seen = len(queue.entries)
        for entry in queue.take_used(self._judge.nonce(account)):
            self._forget(entry)
            if entry.hash in included:
                self._on_change(Change(entry.hash, Status.INCLUDED))
            else:
                reason = f"nonce {entry.nonce} was used by another extrinsic"
                self._on_change(Change(entry.hash, Status.USURPED, reason))
        self._tell_ready(queue.close_gap())
        refused: list[tuple[Entry, str]] = []
        if not self._is_as_before(queue):
            refused = self._reprice(queue)
        self._place(queue)
        # From the end, so that none becomes future only to be dropped.
        for entry, reason in reversed(refused):
            self._remove(entry, Status.INVALID, reason)
        self._trim_futures()
        return seen

    def _is_as_before(self, queue: AccountQueue) -> bool:
        """Return whether fees are what they were and the account can pay for everything.

        The last entry tells: all that comes before it is asked of the account together with it.
        """
        if not queue.entries:
            return True
        last = queue.entries[max(queue.entries)]
        try:
            fee = self._judge.validate(last.ready, pending=Balance(queue.cost - last.cost))
        except InvalidExtrinsic:
            return False
        return fee == last.fee

    def _reprice(self, queue: AccountQueue) -> list[tuple[Entry, str]]:
        """Judge every entry anew; return those that no block takes, and why."""
        refused: list[tuple[Entry, str]] = []
        pending = 0
        for nonce in sorted(queue.entries):
            entry = queue.entries[nonce]
            try:
                queue.reprice(entry, self._judge.validate(entry.ready, pending=Balance(pending)))
                pending += entry.cost
            except InvalidExtrinsic as error:
                refused.append((entry, f"{error.reason}: {error}"))
        return refused

    def _drop_expired(self, next_height: Height) -> None:
        while self._expiring and self._expiring[0][0] < next_height:
            _, _, known_hash = heapq.heappop(self._expiring)
            entry = self._by_hash.get(known_hash)
            if entry is not None:
                self._remove(
                    entry, Status.INVALID, f"{Expired.__name__}: block {next_height} is next"
                )
        self._trim_futures()

    def _trim_futures(self) -> None:
        """Drop the newest future entries when a gap has made too many of them."""
        while len(self._futures) > self.limits.future_count_max:
            newest = self._futures[next(reversed(self._futures))]
            reason = f"{MempoolFull.__name__}: too many wait for earlier nonces"
            self._remove(newest, Status.DROPPED, reason)

    def _compact_expiring(self) -> None:
        """Forget expiry marks of entries that are gone before they outnumber the others."""
        if len(self._expiring) > 2 * len(self._by_hash) + 1024:
            self._expiring = [item for item in self._expiring if item[2] in self._by_hash]
            heapq.heapify(self._expiring)
