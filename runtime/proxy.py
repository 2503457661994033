"""Proxy: accounts that may make some calls for another.

A delegate acts at once, or, if the delegation has a delay, only after announcing the call that
many blocks ahead, in which time the real account may reject it.

Invariants: what is held for a list of delegates or announcements follows from its length; a
delegate never makes a call that its kind does not cover, however deeply the call is wrapped.

Source: Substrate's proxy pallet, whose calls wallets know.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from primitives.codec import ACCOUNT, DIGEST, U8, U32, U64, listing, optional, struct, text
from primitives.errors import DispatchError
from primitives.types import AccountId, Balance, Digest, Height, Signer, Weight
from runtime.currency import Holder
from runtime.module import Call, Context, Dispatcher, Event, Module, StorageMap, call
from runtime.multisig import hash_call

DELEGATES_MAX = 32
ANNOUNCEMENTS_MAX = 32
DELEGATES_HOLD = "proxy.delegates"
ANNOUNCEMENTS_HOLD = "proxy.announcements"
_OVERHEAD = 25_000


class ProxyKind(IntEnum):
    """What a delegate may do. The numbers are on chain and never change."""

    ANY = 0
    NON_TRANSFER = 1
    """Everything but moving tokens."""
    CANCEL_PROXY = 2
    """Only rejecting announcements."""


KIND = U8
Kind = Annotated[int, KIND]
Delay = Annotated[int, U32]
_ERROR = Annotated[str, text(64)]

_WRAPPERS = frozenset({"utility", "multisig", "proxy"})
"""Modules whose calls may hold other calls."""


@dataclass(frozen=True, slots=True)
class Config:
    deposit_base: Balance
    """Held for a list of delegates or of announcements that is not empty, in base units."""
    deposit_per_entry: Balance


@dataclass(frozen=True, slots=True)
class Delegation:
    """Who may act, in what, and how many blocks after announcing it."""

    delegate: AccountId
    kind: int
    delay: int
    """In blocks; 0 means without announcement."""


DELEGATION = struct(Delegation, delegate=ACCOUNT, kind=KIND, delay=U32)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A call that a delegate is going to make."""

    real: AccountId
    call_hash: Digest
    height: Height
    """Block of the announcement."""


ANNOUNCEMENT = struct(Announcement, real=ACCOUNT, call_hash=DIGEST, height=U64)


@dataclass(frozen=True, slots=True)
class DelegateAdded(Event):
    real: AccountId
    delegate: AccountId
    kind: Kind
    delay: Delay


@dataclass(frozen=True, slots=True)
class DelegateRemoved(Event):
    real: AccountId
    delegate: AccountId
    kind: Kind
    delay: Delay


@dataclass(frozen=True, slots=True)
class CallAnnounced(Event):
    real: AccountId
    delegate: AccountId
    call_hash: Digest


@dataclass(frozen=True, slots=True)
class AnnouncementRemoved(Event):
    real: AccountId
    delegate: AccountId
    call_hash: Digest


@dataclass(frozen=True, slots=True)
class ProxyExecuted(Event):
    """A delegate's call was made; ``error`` is empty if it succeeded."""

    real: AccountId
    delegate: AccountId
    error: _ERROR


class NotDelegate(DispatchError):
    """The signer may not act for that account, or not in that kind."""


class CallNotCovered(DispatchError):
    """The delegate's kind does not cover this call."""


class DelegateKnown(DispatchError):
    """That delegation exists, or the account names itself."""


class UnknownDelegate(DispatchError):
    """There is no such delegation."""


class UnknownKind(DispatchError):
    """No kind of proxy has that number."""


class TooManyEntries(DispatchError):
    """The list of delegates or announcements is full."""


class NotAnnounced(DispatchError):
    """The call was not announced, or not long enough ago."""


def _proxy_weight(_: AccountId, __: int | None, inner: Call) -> Weight:
    return Weight(inner.weight + _OVERHEAD)


def _announced_weight(_: AccountId, __: AccountId, ___: int | None, inner: Call) -> Weight:
    return Weight(inner.weight + _OVERHEAD)


class Proxy(Module):
    """Delegations and announcements."""

    name = "proxy"
    index = 7
    events = (DelegateAdded, DelegateRemoved, CallAnnounced, AnnouncementRemoved, ProxyExecuted)
    errors = (
        NotDelegate,
        CallNotCovered,
        DelegateKnown,
        UnknownDelegate,
        UnknownKind,
        TooManyEntries,
        NotAnnounced,
    )

    delegations = StorageMap(ACCOUNT, listing(DELEGATION, DELEGATES_MAX), default=())
    announcements = StorageMap(ACCOUNT, listing(ANNOUNCEMENT, ANNOUNCEMENTS_MAX), default=())

    def __init__(
        self, context: Context, config: Config, *, holder: Holder, dispatcher: Dispatcher
    ) -> None:
        super().__init__(context)
        self.config, self.holder, self.dispatcher = config, holder, dispatcher

    @call(0, weight=_proxy_weight)
    def proxy(
        self,
        signer: Signer,
        real: AccountId,
        kind: Annotated[int | None, optional(KIND)],
        inner: Call,
    ) -> None:
        """Make a call for ``real`` under the signer's first delegation of that kind, or of any.

        Delegations stand in the order of delegate, kind and delay.

        Emits: ProxyExecuted.
        Raises: NotDelegate, CallNotCovered, NotAnnounced.
        """
        delegation = self._delegation(real, signer, kind)
        if delegation.delay:
            raise NotAnnounced(f"announce it {delegation.delay} blocks ahead")
        self._act(real, signer, delegation, inner)

    @call(1, weight=Weight(_OVERHEAD))
    def add_proxy(self, signer: Signer, delegate: AccountId, kind: Kind, delay: Delay) -> None:
        """Let ``delegate`` act for the signer; holds a deposit.

        Emits: DelegateAdded.
        Raises: UnknownKind, DelegateKnown, TooManyEntries, InsufficientBalance.
        """
        if kind not in ProxyKind.__members__.values():
            raise UnknownKind(f"{kind}")
        known, new = self.delegations[signer], Delegation(delegate, kind, delay)
        if new in known or delegate == signer:
            raise DelegateKnown("each delegation once, and not to oneself")
        if len(known) >= DELEGATES_MAX:
            raise TooManyEntries(f"at most {DELEGATES_MAX} delegates")
        in_order = sorted((*known, new), key=lambda item: (item.delegate, item.kind, item.delay))
        self._set_delegations(signer, tuple(in_order))
        self.emit(DelegateAdded(signer, delegate, kind, delay))

    @call(2, weight=Weight(_OVERHEAD))
    def remove_proxy(self, signer: Signer, delegate: AccountId, kind: Kind, delay: Delay) -> None:
        """Take a delegation back and release its deposit.

        Emits: DelegateRemoved.
        Raises: UnknownDelegate.
        """
        known, old = self.delegations[signer], Delegation(delegate, kind, delay)
        if old not in known:
            raise UnknownDelegate("no such delegation")
        self._set_delegations(signer, tuple(item for item in known if item != old))
        self.emit(DelegateRemoved(signer, delegate, kind, delay))

    @call(3, weight=Weight(_OVERHEAD))
    def remove_proxies(self, signer: Signer) -> None:
        """Take every delegation back and release the deposit.

        Emits: DelegateRemoved, for each.
        """
        for item in self.delegations[signer]:
            self.emit(DelegateRemoved(signer, item.delegate, item.kind, item.delay))
        self._set_delegations(signer, ())

    @call(4, weight=Weight(_OVERHEAD))
    def announce(self, signer: Signer, real: AccountId, call_hash: Digest) -> None:
        """Say that the signer is going to make a call for ``real``; holds a deposit.

        Emits: CallAnnounced.
        Raises: NotDelegate, TooManyEntries, InsufficientBalance.
        """
        self._delegation(real, signer, None)
        known = self.announcements[signer]
        if len(known) >= ANNOUNCEMENTS_MAX:
            raise TooManyEntries(f"at most {ANNOUNCEMENTS_MAX} announcements")
        new = Announcement(real, call_hash, self.context.block.height)
        self._set_announcements(signer, (*known, new))
        self.emit(CallAnnounced(real, signer, call_hash))

    @call(5, weight=Weight(_OVERHEAD))
    def remove_announcement(self, signer: Signer, real: AccountId, call_hash: Digest) -> None:
        """Take back what the signer announced.

        Emits: AnnouncementRemoved.
        Raises: NotAnnounced.
        """
        self._remove_announcements(signer, real, call_hash, ripe_at=None)

    @call(6, weight=Weight(_OVERHEAD))
    def reject_announcement(self, signer: Signer, delegate: AccountId, call_hash: Digest) -> None:
        """Strike a call that ``delegate`` announced for the signer.

        Emits: AnnouncementRemoved.
        Raises: NotAnnounced.
        """
        self._remove_announcements(delegate, signer, call_hash, ripe_at=None)

    @call(7, weight=_announced_weight)
    def proxy_announced(
        self,
        signer: Signer,
        delegate: AccountId,
        real: AccountId,
        kind: Annotated[int | None, optional(KIND)],
        inner: Call,
    ) -> None:
        """Make an announced call whose delay is over; anybody may send this.

        Emits: AnnouncementRemoved, ProxyExecuted.
        Raises: NotDelegate, CallNotCovered, NotAnnounced.
        """
        delegation = self._delegation(real, delegate, kind)
        ripe_at = self.context.block.height - delegation.delay
        self._remove_announcements(delegate, real, hash_call(inner), ripe_at=ripe_at)
        self._act(real, delegate, delegation, inner)

    def check_invariants(self) -> None:
        for account, items in self.delegations.items():
            held = self.holder.held_for(account, DELEGATES_HOLD)
            self.require("delegations_have_deposits", held == self._deposit(len(items)))
        for account, entries in self.announcements.items():
            held = self.holder.held_for(account, ANNOUNCEMENTS_HOLD)
            self.require("announcements_have_deposits", held == self._deposit(len(entries)))

    def _act(
        self, real: AccountId, delegate: AccountId, delegation: Delegation, inner: Call
    ) -> None:
        if not is_covered(ProxyKind(delegation.kind), inner):
            raise CallNotCovered(f"{inner.name} by {ProxyKind(delegation.kind).name}")
        error = ""
        try:
            self.dispatcher.dispatch(Signer(real), inner)
        except DispatchError as failure:
            error = self.dispatcher.error_name(failure)
        self.emit(ProxyExecuted(real, delegate, error))

    def _delegation(self, real: AccountId, delegate: AccountId, kind: int | None) -> Delegation:
        for item in self.delegations[real]:
            if item.delegate == delegate and kind in (None, item.kind):
                return item
        raise NotDelegate("no delegation of that kind")

    def _remove_announcements(
        self, delegate: AccountId, real: AccountId, call_hash: Digest, *, ripe_at: int | None
    ) -> None:
        """Remove those of one call that were made by height ``ripe_at``, if that is given."""
        known = self.announcements[delegate]
        kept = tuple(
            item
            for item in known
            if item.real != real
            or item.call_hash != call_hash
            or (ripe_at is not None and item.height > ripe_at)
        )
        if len(kept) == len(known):
            raise NotAnnounced("not announced, or not long enough ago")
        self._set_announcements(delegate, kept)
        self.emit(AnnouncementRemoved(real, delegate, call_hash))

    def _set_delegations(self, account: AccountId, items: tuple[Delegation, ...]) -> None:
        self._adjust(account, DELEGATES_HOLD, len(self.delegations[account]), len(items))
        self.delegations[account] = items

    def _set_announcements(self, account: AccountId, items: tuple[Announcement, ...]) -> None:
        self._adjust(account, ANNOUNCEMENTS_HOLD, len(self.announcements[account]), len(items))
        self.announcements[account] = items

    def _deposit(self, count: int) -> int:
        return self.config.deposit_base + count * self.config.deposit_per_entry if count else 0

    def _adjust(self, account: AccountId, reason: str, before: int, after: int) -> None:
        change = self._deposit(after) - self._deposit(before)
        if change > 0:
            self.holder.hold(account, reason, Balance(change))
        elif change < 0:
            self.holder.release(account, reason, Balance(-change))


def is_covered(kind: ProxyKind, inner: Call) -> bool:
    """Return whether a delegate of ``kind`` may make ``inner``.

    Calls that may hold others are covered by ANY alone, so that nothing can be smuggled in them.
    """
    module = inner.entry.module
    match kind:
        case ProxyKind.ANY:
            return True
        case ProxyKind.NON_TRANSFER:
            return module != "balances" and module not in _WRAPPERS
        case ProxyKind.CANCEL_PROXY:
            return inner.name == "proxy.reject_announcement"
