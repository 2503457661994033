"""The mempool: signed extrinsics that wait for a block.

An account's extrinsics are *ready* as far as their nonces follow the finalized one without a gap,
the others are *future*. Ready ones are offered by what they pay for the block space they take.

Invariants: every entry was valid, nonce gaps aside, against a finalized state; an account and
nonce has one entry; counts and bytes stay within ``Limits`` whatever arrives; an entry leaves only
with a reason, which ``on_change`` is told. Entries of unfinalized blocks stay until those blocks
are final, so that an abandoned block loses nothing.
"""

import heapq
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from sortedcontainers import SortedKeyList

from chain.slices import Slices
from primitives.errors import InvalidExtrinsic, LoopinError
from primitives.types import AccountId, Balance, Digest, Height, Nonce
from runtime.executive import ReadyExtrinsic
from runtime.fees import PPB
from runtime.system import Expired, NonceTooLow

SLICE_ACCOUNTS = 64
"""Accounts looked at between two yields."""
REPLACEMENT_TIP_STEP = 10
"""A replacement pays at least one part in this many more tip."""


class MempoolRefusal(LoopinError):
    """The extrinsic may be valid, but this mempool does not take it now."""


class AlreadyKnown(MempoolRefusal):
    """The very same extrinsic waits here or was just included."""


class TipTooLow(MempoolRefusal):
    """Another extrinsic has this nonce; to take its place, tip at least 10 % more."""


class AccountFull(MempoolRefusal):
    """The account has as many extrinsics or bytes waiting as one account may have."""


class TooFarAhead(MempoolRefusal):
    """The nonce leaves a gap larger than this mempool waits for."""


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


@dataclass(slots=True, eq=False)
class Entry:
    """An extrinsic that waits."""

    ready: ReadyExtrinsic
    hash: Digest
    fee: Balance
    arrival: int
    priority: int = field(init=False)
    """What it pays for each 10**9 base units that its block space costs."""

    def __post_init__(self) -> None:
        tip = self.ready.extrinsic.tip
        self.priority = (self.fee + tip) * PPB // max(1, self.fee)

    @property
    def nonce(self) -> Nonce:
        return self.ready.extrinsic.nonce

    @property
    def size(self) -> int:
        return len(self.ready.extrinsic.encoded)

    @property
    def cost(self) -> int:
        return self.fee + self.ready.extrinsic.tip


@dataclass(slots=True, eq=False)
class _Queue:
    """One account's entries by nonce, and where they start."""

    account: AccountId
    next_nonce: Nonce
    entries: dict[Nonce, Entry] = field(default_factory=dict)
    size: int = 0
    cost: int = 0
    ready_count: int = 0
    head: tuple[int, int] | None = None
    """Place among the heads: (-priority, arrival) of the first ready entry."""

    @property
    def gap(self) -> Nonce:
        """The first nonce that is missing."""
        return Nonce(self.next_nonce + self.ready_count)


def _head_key(queue: _Queue) -> tuple[int, int]:
    assert queue.head is not None
    return queue.head


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
        self._queues: dict[AccountId, _Queue] = {}
        self._by_hash: dict[Digest, Entry] = {}
        self._heads: SortedKeyList[_Queue, tuple[int, int]] = SortedKeyList(key=_head_key)
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
        if queue is None:
            return self._judge.nonce(account)
        return queue.gap

    def submit(self, ready: ReadyExtrinsic) -> Entry:
        """Take an extrinsic whose signature was verified.

        Raises: MempoolRefusal, InvalidExtrinsic; then nothing has changed.
        """
        extrinsic = ready.extrinsic
        known_hash = extrinsic.hash
        if known_hash in self._by_hash:
            raise AlreadyKnown(f"0x{known_hash.hex()}")
        account = extrinsic.signer or AccountId(b"")
        queue = self._queues.get(account)
        if queue is None:
            queue = _Queue(account, self._judge.nonce(account))
        old = queue.entries.get(extrinsic.nonce)
        self._validate_place(queue, ready, old)
        pending = Balance(queue.cost - (old.cost if old else 0))
        fee = self._judge.validate(ready, pending=pending)
        self._arrivals += 1
        entry = Entry(ready, known_hash, fee, self._arrivals)
        self._validate_room(entry)
        if old is not None:
            self._take_out(queue, old)
            self._on_change(Change(old.hash, Status.USURPED, "replaced", known_hash))
        self._insert(queue, entry)
        self._shrink(keep=entry)
        return entry

    def candidates(self, skip: Collection[Digest]) -> Iterator[Entry]:
        """Yield ready entries, best paying first, each account's in the order of nonces.

        ``skip`` are the hashes of extrinsics in unfinalized ancestors of the block to be built.
        Entries may come and go while this runs, but no block may become final.
        """
        waiting: list[tuple[int, int, _Queue, Nonce]] = []
        heads = iter(list(self._heads))
        following = next(heads, None)
        while following is not None or waiting:
            head = following.head if following is not None else None
            if following is not None and (not waiting or (head or (0, 0)) <= waiting[0][:2]):
                queue, nonce = following, following.next_nonce
                following = next(heads, None)
            else:
                _, _, queue, nonce = heapq.heappop(waiting)
            entry = queue.entries.get(nonce)
            if entry is None:
                continue
            successor = queue.entries.get(Nonce(nonce + 1))
            if successor is not None:
                # Never ahead of the entry before it, however much it pays.
                place = (-successor.priority, successor.arrival, queue, successor.nonce)
                heapq.heappush(waiting, place)
            if entry.hash not in skip:
                yield entry

    def on_final_block(
        self,
        next_height: Height,
        *,
        included: Collection[Digest],
        touched: Collection[AccountId],
        revisit_max: int = 500,
    ) -> Slices[None]:
        """Adapt to a newly finalized state, of which the judge already speaks.

        ``included`` are the block's extrinsics; ``touched`` are accounts whose nonce or balance
        it changed. Beside them up to ``revisit_max`` others are validated again, all in turn,
        since the base fee moves for all.
        """
        while self._expiring and self._expiring[0][0] < next_height:
            _, _, known_hash = heapq.heappop(self._expiring)
            entry = self._by_hash.get(known_hash)
            if entry is not None:
                reason = f"{Expired.__name__}: block {next_height} is next"
                self._drop(entry, Change(known_hash, Status.INVALID, reason))
        for number, account in enumerate(touched, start=1):
            self._revisit(account, included)
            if number % SLICE_ACCOUNTS == 0:
                yield
        if not self._to_revisit:
            self._to_revisit = list(self._queues)
        for number in range(min(revisit_max, len(self._to_revisit))):
            self._revisit(self._to_revisit.pop(), included)
            if number % SLICE_ACCOUNTS == 0:
                yield

    def remove_invalid(self, entry: Entry, error: InvalidExtrinsic) -> None:
        """Drop an entry that a block builder found to be invalid."""
        if entry.hash in self._by_hash:
            reason = f"{error.reason}: {error}"
            self._drop(entry, Change(entry.hash, Status.INVALID, reason))

    def _validate_place(self, queue: _Queue, ready: ReadyExtrinsic, old: Entry | None) -> None:
        extrinsic, limits = ready.extrinsic, self.limits
        if extrinsic.nonce < queue.next_nonce:
            raise NonceTooLow(f"nonce {extrinsic.nonce}, the account's next is {queue.next_nonce}")
        if extrinsic.nonce >= queue.next_nonce + limits.account_count_max:
            raise TooFarAhead(f"nonce {extrinsic.nonce}, the account's next is {queue.next_nonce}")
        size = queue.size + len(extrinsic.encoded) - (old.size if old else 0)
        if size > limits.account_bytes_max:
            raise AccountFull(f"{size} bytes, at most {limits.account_bytes_max}")
        if old is None:
            if len(queue.entries) >= limits.account_count_max:
                raise AccountFull(f"{len(queue.entries)} extrinsics are waiting")
            is_future = extrinsic.nonce > queue.gap
            if is_future and len(self._futures) >= limits.future_count_max:
                raise MempoolFull(f"{len(self._futures)} extrinsics wait for earlier nonces")
            return
        paid = old.ready.extrinsic.tip
        wanted = paid + max(1, -(-paid // REPLACEMENT_TIP_STEP))
        if extrinsic.tip < wanted:
            raise TipTooLow(f"tip {extrinsic.tip}, at least {wanted} takes the place")

    def _validate_room(self, entry: Entry) -> None:
        """Refuse an entry that would be the first to be evicted."""
        if not self._is_over(count=1, size=entry.size):
            return
        worst = self._worst()
        if worst is not None and worst.priority >= entry.priority:
            raise MempoolFull(f"{len(self._by_hash)} extrinsics, {self._size} bytes")

    def _shrink(self, keep: Entry) -> None:
        while self._is_over():
            worst = self._worst()
            if worst is None or worst is keep:
                return
            reason = f"{MempoolFull.__name__}: others pay more"
            self._drop(worst, Change(worst.hash, Status.DROPPED, reason))

    def _is_over(self, count: int = 0, size: int = 0) -> bool:
        is_many = len(self._by_hash) + count > self.limits.count_max
        return is_many or self._size + size > self.limits.bytes_max

    def _worst(self) -> Entry | None:
        """Return what to evict next: the newest future entry, else the last of the worst payer."""
        if self._futures:
            return self._futures[next(reversed(self._futures))]
        if not self._heads:
            return None
        queue: _Queue = self._heads[-1]
        return queue.entries[Nonce(queue.gap - 1)]

    def _insert(self, queue: _Queue, entry: Entry) -> None:
        self._queues[queue.account] = queue
        queue.entries[entry.nonce] = entry
        queue.size += entry.size
        queue.cost += entry.cost
        self._size += entry.size
        self._by_hash[entry.hash] = entry
        valid_until = entry.ready.extrinsic.valid_until
        heapq.heappush(self._expiring, (valid_until, entry.arrival, entry.hash))
        self._compact_expiring()
        self._futures[entry.hash] = entry
        if entry.nonce == queue.gap:
            self._advance(queue)
        else:
            self._on_change(Change(entry.hash, Status.FUTURE))
        self._place(queue)

    def _advance(self, queue: _Queue) -> None:
        """Make the entries that follow without a gap ready."""
        while (entry := queue.entries.get(queue.gap)) is not None:
            queue.ready_count += 1
            del self._futures[entry.hash]
            self._on_change(Change(entry.hash, Status.READY))

    def _take_out(self, queue: _Queue, entry: Entry) -> None:
        """Remove an entry; ready ones behind it become future."""
        del queue.entries[entry.nonce]
        del self._by_hash[entry.hash]
        queue.size -= entry.size
        queue.cost -= entry.cost
        self._size -= entry.size
        if self._futures.pop(entry.hash, None) is None:
            for nonce in range(entry.nonce + 1, queue.gap):
                behind = queue.entries[Nonce(nonce)]
                self._futures[behind.hash] = behind
            queue.ready_count = entry.nonce - queue.next_nonce
        self._place(queue)

    def _drop(self, entry: Entry, change: Change) -> None:
        queue = self._queues[entry.ready.extrinsic.signer or AccountId(b"")]
        self._take_out(queue, entry)
        if not queue.entries:
            del self._queues[queue.account]
        self._on_change(change)

    def _place(self, queue: _Queue) -> None:
        """Bring the queue's place among the heads up to date."""
        head = queue.entries[queue.next_nonce] if queue.ready_count else None
        key = (-head.priority, head.arrival) if head else None
        if key == queue.head:
            return
        if queue.head is not None:
            self._heads.remove(queue)
        queue.head = key
        if key is not None:
            self._heads.add(queue)

    def _revisit(self, account: AccountId, included: Collection[Digest]) -> None:
        """Drop what is included or no longer valid, and see what has become ready."""
        queue = self._queues.get(account)
        if queue is None:
            return
        nonce = self._judge.nonce(account)
        for used in [n for n in queue.entries if n < nonce]:
            entry = queue.entries[used]
            self._take_out(queue, entry)
            if entry.hash in included:
                self._on_change(Change(entry.hash, Status.INCLUDED))
            else:
                reason = f"nonce {used} was used by another extrinsic"
                self._on_change(Change(entry.hash, Status.USURPED, reason))
        self._move_to(queue, nonce)
        pending = 0
        for waiting in sorted(queue.entries):
            entry = queue.entries[waiting]
            try:
                fee = self._judge.validate(entry.ready, pending=Balance(pending))
            except InvalidExtrinsic as error:
                self._take_out(queue, entry)
                self._on_change(Change(entry.hash, Status.INVALID, f"{error.reason}: {error}"))
                continue
            queue.cost += fee - entry.fee
            entry.fee = fee
            pending += entry.cost
        if not queue.entries:
            del self._queues[account]

    def _move_to(self, queue: _Queue, nonce: Nonce) -> None:
        """Let the account's entries start at ``nonce``, the one after the included ones."""
        if nonce != queue.next_nonce:
            for still in range(nonce, queue.gap):
                entry = queue.entries[Nonce(still)]
                self._futures[entry.hash] = entry
            queue.next_nonce, queue.ready_count = nonce, 0
            while (following := queue.entries.get(queue.gap)) is not None:
                queue.ready_count += 1
                self._futures.pop(following.hash, None)
        self._place(queue)

    def _compact_expiring(self) -> None:
        """Forget expiry marks of entries that are gone before they outnumber the others."""
        if len(self._expiring) > 2 * len(self._by_hash) + 1024:
            self._expiring = [item for item in self._expiring if item[2] in self._by_hash]
            heapq.heapify(self._expiring)
