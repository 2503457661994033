"""What the pools tell the world: their parameters, their events and their errors."""

from dataclasses import dataclass
from typing import Annotated

from primitives.codec import U32, U64, text
from primitives.errors import DispatchError
from primitives.types import AccountId, Balance, Height, Millis
from runtime.module import Event
from runtime.pools.parameters import Parameters
from runtime.pools.pricing import (
    Blocks,
    NoSupply,
    NotEnoughSupply,
    ParameterOutOfRange,
    PriceQ32,
    QuoteOverflow,
    Units,
)
from runtime.pools.records import PRICE

PoolId = Annotated[int, U32]
LeaseId = Annotated[int, U64]
Count = Annotated[Units, U64]
Price = Annotated[PriceQ32, PRICE]
Reason = Annotated[str, text(64)]
Duration = Annotated[Blocks, U32]


@dataclass(frozen=True, slots=True)
class GenesisPool:
    """A pool that the chain begins with; its deposit is nobody's."""

    class_id: int
    price_q32: int
    """Base price at the start, in base units a milli-unit and block, Q32."""
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Config:
    market_interval: Millis
    """Market time that passes in a block: the block interval on a chain for work, and more on one
    for trying out, where a market day is to pass in minutes."""
    price_period: int
    """Blocks between two steps of the base price."""
    average_shift: int
    """The average of the utilisation reaches back over ``2 ** average_shift`` blocks."""
    start_price_min_q32: int
    start_price_max_q32: int
    """What whoever opens a pool may choose as its first base price."""
    deposit: Balance
    """Held while a pool is open."""
    pools_max: int
    members_max: int
    """Most providers of one pool."""
    shares_max: int
    """Most providers of one lease."""
    served_max: int
    """Most leases that one provider serves a share of."""
    leases_of_max: int
    """Most leases of one client."""
    ends_max: int
    """Most leases that end in one block: what keeps their ends on time."""
    exits_max: int
    """Most steps of one pool's exit queue in a block."""
    changes_max: int
    """Most changes of providers' proven units that a block takes in."""
    loss_blocks: int
    """What a lease has paid for so many blocks before its provider's fault is part of the loss."""
    history_max: int
    """Price periods that are kept of each pool."""
    pools: tuple[GenesisPool, ...]


@dataclass(frozen=True, slots=True)
class PoolOpened(Event):
    pool_id: PoolId
    class_id: PoolId
    owner: AccountId
    base_price: Price


@dataclass(frozen=True, slots=True)
class PoolClosed(Event):
    """The pool is gone, its deposit free; ``burned`` base units were left that nobody could own."""

    pool_id: PoolId
    burned: Balance


@dataclass(frozen=True, slots=True)
class Joined(Event):
    """A provider's proven units supply a pool."""

    pool_id: PoolId
    provider: AccountId
    units: Count


@dataclass(frozen=True, slots=True)
class LeaveQueued(Event):
    pool_id: PoolId
    provider: AccountId
    units: Count


@dataclass(frozen=True, slots=True)
class LeaveCanceled(Event):
    pool_id: PoolId
    provider: AccountId
    units: Count


@dataclass(frozen=True, slots=True)
class UnitsLeft(Event):
    """Units came through the exit queue; ``remaining`` stay in the pool."""

    pool_id: PoolId
    provider: AccountId
    units: Count
    remaining: Count


@dataclass(frozen=True, slots=True)
class MemberRemoved(Event):
    """The provider supplies the pool no more; what it had earned was paid."""

    pool_id: PoolId
    provider: AccountId
    paid: Balance


@dataclass(frozen=True, slots=True)
class UnitsChanged(Event):
    """A provider's proof, or its failure, changed what it supplies."""

    pool_id: PoolId
    provider: AccountId
    units: Count
    reason: Reason


@dataclass(frozen=True, slots=True)
class Leased(Event):
    lease_id: LeaseId
    pool_id: PoolId
    client: AccountId
    units: Count
    ends: Height
    paid: Balance
    price: Price
    """Of the next unit, now."""


@dataclass(frozen=True, slots=True)
class ShareAssigned(Event):
    """A provider serves units of a lease from now on."""

    lease_id: LeaseId
    provider: AccountId
    units: Count


@dataclass(frozen=True, slots=True)
class ShareLost(Event):
    """A provider serves those units of a lease no more; what could not move was refunded."""

    lease_id: LeaseId
    provider: AccountId
    moved: Count
    refunded: Balance
    reason: Reason


@dataclass(frozen=True, slots=True)
class Compensated(Event):
    """A client's loss was paid out of what its provider was slashed."""

    lease_id: LeaseId
    provider: AccountId
    client: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class Extended(Event):
    lease_id: LeaseId
    ends: Height
    paid: Balance


@dataclass(frozen=True, slots=True)
class AutoExtendSet(Event):
    lease_id: LeaseId
    ceiling: Balance | None


@dataclass(frozen=True, slots=True)
class Settled(Event):
    """What had streamed from a lease was paid: ``earned`` to its providers' claims."""

    lease_id: LeaseId
    burned: Balance
    earned: Balance


@dataclass(frozen=True, slots=True)
class LeaseEnded(Event):
    """``reason`` is ``time``, ``client`` or ``fault``."""

    lease_id: LeaseId
    pool_id: PoolId
    refunded: Balance
    reason: Reason


@dataclass(frozen=True, slots=True)
class Claimed(Event):
    pool_id: PoolId
    provider: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class PriceSet(Event):
    """A price period ended; ``average_q32`` is the average utilisation."""

    pool_id: PoolId
    base_price: Price
    price: Price
    average_q32: Annotated[int, U64]


class UnknownPool(DispatchError):
    """There is no pool of that number."""


class UnknownClass(DispatchError):
    """There is no resource class of that number."""


class TooManyPools(DispatchError):
    """All places for pools are taken."""


class StartPriceRefused(DispatchError):
    """A pool starts within the chain's range, and at its class's price if that has one."""


class NotOwner(DispatchError):
    """Only who opened a pool closes it."""


class PoolInUse(DispatchError):
    """The pool has providers."""


class PoolFull(DispatchError):
    """All places for providers of that pool are taken."""


class NothingProven(DispatchError):
    """The account has no live units of the pool's class."""


class AlreadyMember(DispatchError):
    """The account's units of that class supply another pool."""


class NotMember(DispatchError):
    """The account does not supply that pool."""


class AlreadyLeaving(DispatchError):
    """Units of the account are in the exit queue; cancel first."""


class NotLeaving(DispatchError):
    """Nothing of the account is in the exit queue."""


class NotSoManyUnits(DispatchError):
    """The account has fewer units in the pool than are to leave."""


class NothingToClaim(DispatchError):
    """The account has earned less than a base unit in that pool."""


class CostsMore(DispatchError):
    """The lease or extension costs more than the client would pay."""


class SaleLimitReached(DispatchError):
    """No more than 1/16 of a pool is sold in a block; try the next one."""


class LeaseSlotFull(DispatchError):
    """As many leases as may end in that block; choose another duration."""


class TooScattered(DispatchError):
    """More providers than serve one lease would have to; lease fewer, or more if they are few.

    A provider that serves many leases already takes no tiny one.
    """


class TooManyLeases(DispatchError):
    """The client has as many leases as it may."""


class UnknownLease(DispatchError):
    """There is no such lease, or it has ended."""


class NotYourLease(DispatchError):
    """Only its client does that with a lease."""


class NoSuchShare(DispatchError):
    """That provider serves no share of the lease."""


EVENTS: tuple[type[Event], ...] = (
    PoolOpened,
    PoolClosed,
    Joined,
    LeaveQueued,
    LeaveCanceled,
    UnitsLeft,
    MemberRemoved,
    UnitsChanged,
    Leased,
    ShareAssigned,
    ShareLost,
    Compensated,
    Extended,
    AutoExtendSet,
    Settled,
    LeaseEnded,
    Claimed,
    PriceSet,
)
ERRORS: tuple[type[DispatchError], ...] = (
    ParameterOutOfRange,
    NoSupply,
    NotEnoughSupply,
    QuoteOverflow,
    UnknownPool,
    UnknownClass,
    TooManyPools,
    StartPriceRefused,
    NotOwner,
    PoolInUse,
    PoolFull,
    NothingProven,
    AlreadyMember,
    NotMember,
    AlreadyLeaving,
    NotLeaving,
    NotSoManyUnits,
    NothingToClaim,
    CostsMore,
    SaleLimitReached,
    LeaseSlotFull,
    TooScattered,
    TooManyLeases,
    UnknownLease,
    NotYourLease,
    NoSuchShare,
)
