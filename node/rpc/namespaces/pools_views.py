"""What ``pools_*`` answers with.

Units are milli-units: 1000 are a reference device of the pool's class. A price is in base units a
milli-unit and block, times 2**32; ``device_hour`` is what 1000 units cost for an hour of market
time at that price, in base units: a figure for people, who lease at the exact cost of a quote.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.rpc.json_codecs import BigInteger
from primitives.types import AccountId, Balance, Height, PublicKey


@dataclass(frozen=True, slots=True)
class PriceView:
    price_q32: BigInteger
    device_hour: BigInteger


@dataclass(frozen=True, slots=True)
class PoolSummary:
    pool_id: int
    class_id: int
    class_name: str
    supply: int
    """Live proven units."""
    leased: int
    unsold: int
    """Units that can be leased: neither leased nor about to leave."""
    average_ppb: int
    """Moving average of the utilisation."""
    base_price: PriceView
    price: PriceView
    """Of the next unit."""
    providers: int


@dataclass(frozen=True, slots=True)
class RuleView:
    """What whoever opened the pool chose; durations in blocks, gains per day of the market."""

    exponent: int
    floor_ppb: int
    target_ppb: int
    virtual_depth: int
    gain_per_day_ppb: int
    clamp_per_day_ppb: int
    burn_ppb: int
    early_end_fee_ppb: int
    exit_per_day_ppb: int
    rent_min_blocks: int
    """Shortest lease, and what is paid for however early it ends."""
    lock_max_blocks: int
    """Longest lease."""


@dataclass(frozen=True, slots=True)
class BooksView:
    """Where a pool's tokens came from and went to, ever."""

    paid_in: BigInteger
    refunded: BigInteger
    burned: BigInteger
    claimed: BigInteger
    kept: BigInteger
    """In escrow, or earned and not yet claimed."""
    leases: int
    dissipated: BigInteger
    """Unit-blocks that were proven and not leased."""


@dataclass(frozen=True, slots=True)
class PoolView:
    summary: PoolSummary
    owner: AccountId
    deposit: Balance
    priced_supply: int
    sale_max: int
    """Most units that a block sells."""
    rule: RuleView
    books: BooksView


@dataclass(frozen=True, slots=True)
class QuoteView:
    pool_id: int
    units: int
    duration: int
    ends: Height
    cost: Balance
    """Exact in the next block, if nobody else leases, leaves or joins in it before."""
    price_before: PriceView
    price_after: PriceView
    worst_case: Balance | None
    """If the base price rises as fast as it can for ``within`` blocks first; other leases can
    raise it further. What to give as the most to be paid; null if nobody could pay it."""
    within: int
    fits_in_a_block: bool
    """Whether a block may sell so many units at once."""
    may_end_then: bool
    """Whether there is a place among the leases that end in that block."""


@dataclass(frozen=True, slots=True)
class ExtensionView:
    lease_id: int
    duration: int
    ends: Height
    cost: Balance
    worst_case: Balance
    within: int


@dataclass(frozen=True, slots=True)
class ShareView:
    provider: AccountId
    units: int
    total: Balance
    """What streams from ``since`` to the end."""


@dataclass(frozen=True, slots=True)
class LeaseSummary:
    lease_id: int
    client: AccountId
    pool_id: int
    units: int
    started: Height
    ends: Height
    left: int
    """Blocks that are paid for."""
    ceiling: Balance | None
    """Most that the lease pays to extend itself; null if it does not."""


@dataclass(frozen=True, slots=True)
class LeaseView:
    lease_id: int
    client: AccountId
    pool_id: int
    units: int
    started: Height
    since: Height
    """When what streams now began."""
    ends: Height
    left: int
    rent_until: Height
    """Until then the rent is paid however early the lease ends."""
    term: int
    ceiling: Balance | None
    key: PublicKey
    shares: Sequence[ShareView]
    streamed: Balance
    """Of the shares' totals, what has left the escrow by the next block."""
    refund: Balance | None
    """If its client ended it in the next block; null while it could not be ended."""


@dataclass(frozen=True, slots=True)
class SampleView:
    height: Height
    base_price: PriceView
    price: PriceView
    average_ppb: int
    leased: int
    supply: int


@dataclass(frozen=True, slots=True)
class HistoryView:
    pool_id: int
    period: int
    """Blocks from one sample to the next."""
    samples: Sequence[SampleView]
    """Oldest first."""


@dataclass(frozen=True, slots=True)
class MembershipView:
    pool_id: int
    class_id: int
    units: int
    leased: int
    leaving: int
    claimable: Balance
    """Without what running leases have streamed and nobody has settled."""
    leases: Sequence[int]
    """Those that the account serves a share of, the oldest first."""
