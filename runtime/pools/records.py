"""What the pools keep in state: plain values and their codecs."""

from dataclasses import dataclass, replace
from typing import Final, cast

from primitives.codec import (
    ACCOUNT,
    AMOUNT,
    I64,
    U32,
    U64,
    Codec,
    Plain,
    fixed,
    listing,
    optional,
    struct,
)
from primitives.crypto import Purpose, keyed_hash
from primitives.power_table import KEY
from primitives.types import AccountId, Balance, Height, PublicKey
from runtime.pools.controller import AverageQ32, OctavesQ32, exp2
from runtime.pools.parameters import PARAMETERS, Parameters, PoolParameters, rule_of
from runtime.pools.pricing import Blocks, Market, PriceQ32, Units
from runtime.pools.settlement import Membership, SharedReward, Stream, Terms

ESCROW: Final = "pools.escrow"
"""What a pool's account holds: what leases have paid in, until it is burned, earned or refunded."""
DEPOSIT: Final = "pools.deposit"
PROVIDER_PPB: Final = 800_000_000
"""Share of what is not burned that goes to who serves; the rest is for all units of the pool."""
SHARES_MAX: Final = 16
"""Hard limits; the chain spec may set lower ones."""
SERVED_MAX: Final = 256
ENDS_MAX: Final = 1024
LEASES_OF_MAX: Final = 1024
POOLS_MAX: Final = 256
ORDERS_MAX: Final = 8


def _wide(length: int) -> Codec[int]:
    """Return the codec of whole numbers of more than 64 bits, as bytes, the first the highest."""
    inner = fixed(length)

    def to_plain(value: int) -> Plain:
        return value.to_bytes(length, "big")

    def from_plain(plain: Plain) -> int:
        return int.from_bytes(inner.from_plain(plain), "big")

    return Codec(inner.description, inner.bytes_max, 0, to_plain, from_plain)


U128 = _wide(16)
U256 = _wide(32)
PRICE = cast("Codec[PriceQ32]", U128)


def pool_account(pool_id: int) -> AccountId:
    """Return the account in whose name a pool's tokens are held; no key belongs to it."""
    return AccountId(keyed_hash(Purpose.ACCOUNT_POOL, pool_id.to_bytes(4, "big")))


@dataclass(frozen=True, slots=True)
class Pool:
    """What never changes about a pool."""

    class_id: int
    owner: AccountId
    """Whose deposit is held; the pool's own account for a pool of genesis."""
    deposit: Balance
    parameters: Parameters

    @property
    def rule(self) -> PoolParameters:
        return rule_of(self.parameters)


POOL = struct(Pool, class_id=U32, owner=ACCOUNT, deposit=AMOUNT, parameters=PARAMETERS)


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over the blocks of an epoch in which the pool had supply."""

    blocks: int = 0
    supply: int = 0
    """Units times blocks."""
    value: int = 0
    """Units times base price."""
    used: int = 0
    """The same times utilisation in Q32."""


TALLY = struct(Tally, blocks=U64, supply=U128, value=U256, used=U256)
REWARD = struct(SharedReward, units=U64, per_unit_q64=U256, dust_q64=U256)
MEMBERSHIP = struct(Membership, units=U64, seen_q64=U256, accrued_q64=U256)


@dataclass(frozen=True, slots=True)
class PoolState:
    """What changes about a pool with every block."""

    octaves: OctavesQ32
    average: AverageQ32 = AverageQ32(0)
    priced_supply: Units = Units(0)
    leased: Units = Units(0)
    reward: SharedReward = SharedReward()
    """Its units are the pool's supply."""
    flow_q64: int = 0
    """What running leases add to the shared reward in a block."""
    dissipated: int = 0
    """Unit-blocks that were proven and not leased, ever."""
    sold: Units = Units(0)
    sold_at: Height = Height(0)
    """Units sold in the last block that sold any."""
    exit_budget_q32: int = 0
    """Units that may leave, in Q32; grows with every block while somebody waits."""
    members: int = 0
    first_exit: AccountId | None = None
    last_exit: AccountId | None = None
    tally: Tally = Tally()

    @property
    def supply(self) -> Units:
        return self.reward.units

    @property
    def market(self) -> Market:
        """What prices depend on."""
        return Market(self.leased, self.supply, self.priced_supply, exp2(self.octaves))

    def sold_in(self, height: Height) -> Units:
        """Return how many units the block at ``height`` has sold so far."""
        return self.sold if self.sold_at == height else Units(0)

    def rewarded(self, amount_q64: int, *, flow_q64: int = 0) -> "PoolState":
        """Return the state with more to share, and with the flow changed."""
        reward = self.reward.added_q64(amount_q64)
        return replace(self, reward=reward, flow_q64=self.flow_q64 + flow_q64)


POOL_STATE = struct(
    PoolState,
    octaves=I64,
    average=U64,
    priced_supply=U64,
    leased=U64,
    reward=REWARD,
    flow_q64=U256,
    dissipated=U128,
    sold=U64,
    sold_at=U64,
    exit_budget_q32=U128,
    members=U32,
    first_exit=optional(ACCOUNT),
    last_exit=optional(ACCOUNT),
    tally=TALLY,
)


@dataclass(frozen=True, slots=True)
class Books:
    """Where a pool's tokens came from and went to, ever, in base units."""

    paid_in: int = 0
    refunded: int = 0
    burned: int = 0
    claimed: int = 0
    leases: int = 0
    """How many leases the pool has sold."""

    @property
    def kept(self) -> int:
        """What the pool's account holds: in escrow, or earned and not yet claimed."""
        return self.paid_in - self.refunded - self.burned - self.claimed


BOOKS = struct(Books, paid_in=U128, refunded=U128, burned=U128, claimed=U128, leases=U64)


@dataclass(frozen=True, slots=True)
class Member:
    """A provider whose units supply a pool."""

    slot: int
    ceiling: Units
    """Most of its live units that count here: less than all once some have left."""
    claim: Membership = Membership()
    """Its units in the pool, and what it has earned and not claimed."""
    leased: Units = Units(0)
    leaving: Units = Units(0)
    """Units that wait in the exit queue; not for sale."""
    previous: AccountId | None = None
    """Its neighbours in the exit queue."""
    following: AccountId | None = None
    served: tuple[int, ...] = ()
    """Leases that it serves a share of, the oldest first."""

    @property
    def units(self) -> Units:
        return self.claim.units

    @property
    def unsold(self) -> Units:
        return Units(max(0, self.units - self.leased - self.leaving))


MEMBER = struct(
    Member,
    slot=U32,
    ceiling=U64,
    claim=MEMBERSHIP,
    leased=U64,
    leaving=U64,
    previous=optional(ACCOUNT),
    following=optional(ACCOUNT),
    served=listing(U64, SERVED_MAX),
)


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a lease that one provider serves."""

    provider: AccountId
    units: Units
    total: Balance
    """What streams from the lease's ``since`` to its end."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Units of a pool that a client rents until a block."""

    client: AccountId
    pool_id: int
    units: Units
    started: Height
    since: Height
    """When what streams now began: at the start, at the last extension or change of providers."""
    settled: Height
    """Up to which block burn and providers have been paid."""
    ends: Height
    rent_until: Height
    """Until then the rent is paid however early the lease ends."""
    term: Blocks
    """How long it was last bought for, and is extended for by itself."""
    ceiling: Balance | None
    """Most that an extension by itself may cost; None for no such extension."""
    key: PublicKey
    """Authenticates the client at the providers."""
    shares: tuple[Share, ...]

    @property
    def duration(self) -> Blocks:
        """How long what streams now lasts."""
        return Blocks(self.ends - self.since)

    def left(self, height: Height) -> Blocks:
        """Return the blocks after ``height`` that are paid for."""
        return Blocks(self.ends - height)

    def share_of(self, provider: AccountId) -> Share | None:
        """Return what a provider serves, if it does."""
        return next((each for each in self.shares if each.provider == provider), None)

    def stream(self, terms: Terms, share: Share) -> Stream:
        """Return the escrow of a share, as it was last settled."""
        whole = Stream.opened(terms, share.total, self.duration)
        return replace(whole, settled=Blocks(self.settled - self.since))


SHARE = struct(Share, provider=ACCOUNT, units=U64, total=AMOUNT)
LEASE = struct(
    Lease,
    client=ACCOUNT,
    pool_id=U32,
    units=U64,
    started=U64,
    since=U64,
    settled=U64,
    ends=U64,
    rent_until=U64,
    term=U32,
    ceiling=optional(AMOUNT),
    key=KEY,
    shares=listing(SHARE, SHARES_MAX),
)


@dataclass(frozen=True, slots=True)
class Order:
    """What a client wants of one pool, and the most it pays."""

    pool_id: int
    units: Units
    duration: Blocks
    max_total: Balance
    key: PublicKey


ORDER = struct(Order, pool_id=U32, units=U64, duration=U32, max_total=AMOUNT, key=KEY)


@dataclass(frozen=True, slots=True)
class Sample:
    """A pool at the end of a price period."""

    height: Height
    base_price: PriceQ32
    price: PriceQ32
    """For the next unit; the base price while nothing counts for the price."""
    average_q32: int
    leased: Units
    supply: Units


SAMPLE = struct(
    Sample, height=U64, base_price=PRICE, price=PRICE, average_q32=U64, leased=U64, supply=U64
)


@dataclass(frozen=True, slots=True)
class ClassTally:
    """What one resource class was worth on average over an epoch, all its pools together."""

    class_id: int
    price: PriceQ32
    """Base units a unit and block: the pools' base prices, weighted by units and blocks."""
    supply: Units
    """Units that supplied its pools, on average over the epoch's blocks."""


CLASS_TALLY = struct(ClassTally, class_id=U32, price=PRICE, supply=U64)
