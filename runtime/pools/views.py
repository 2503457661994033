"""What anybody may ask about pools: plain answers, computed by the code that also acts."""

from dataclasses import dataclass

from primitives.codec import ACCOUNT, AMOUNT, U32, U64, listing, optional, struct
from primitives.types import AccountId, Balance, Height
from runtime.pools.clockwork import spot_price
from runtime.pools.controller import average_utilisation, worst_case_cost
from runtime.pools.module import Pools
from runtime.pools.parameters import PARAMETERS, Parameters
from runtime.pools.pricing import Blocks, PriceQ32, QuoteOverflow, Units, quote
from runtime.pools.records import (
    BOOKS,
    LEASE,
    PRICE,
    SAMPLE,
    SERVED_MAX,
    U128,
    Books,
    Lease,
    Sample,
)
from runtime.pools.settlement import sale_max

HISTORY_ANSWER_MAX = 1 << 12


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool as it stands."""

    pool_id: int
    class_id: int
    owner: AccountId
    parameters: Parameters
    base_price: PriceQ32
    price: PriceQ32
    """Of the next unit."""
    average_q32: int
    """Average utilisation."""
    leased: Units
    supply: Units
    priced_supply: Units
    unsold: Units
    """What can be leased: not leaving, and with a provider that takes another lease."""
    members: int
    dissipated: int
    books: Books


POOL_VIEW = struct(
    PoolView,
    pool_id=U32,
    class_id=U32,
    owner=ACCOUNT,
    parameters=PARAMETERS,
    base_price=PRICE,
    price=PRICE,
    average_q32=U64,
    leased=U64,
    supply=U64,
    priced_supply=U64,
    unsold=U64,
    members=U32,
    dissipated=U128,
    books=BOOKS,
)


@dataclass(frozen=True, slots=True)
class QuoteView:
    """What a lease would cost in this block, and whether it could be had."""

    cost: Balance
    price_before: PriceQ32
    price_after: PriceQ32
    worst_case: Balance | None
    """If only the base price moves until inclusion; None if that is more than can be paid."""
    ends: Height
    ends_free: int
    """Places among the leases that end in that block."""
    sale_left: Units
    """What this block may still sell."""
    unsold: Units


QUOTE_VIEW = struct(
    QuoteView,
    cost=AMOUNT,
    price_before=PRICE,
    price_after=PRICE,
    worst_case=optional(AMOUNT),
    ends=U64,
    ends_free=U32,
    sale_left=U64,
    unsold=U64,
)


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A lease that runs."""

    lease_id: int
    lease: Lease
    streamed: Balance
    """Of the totals of its shares, what has left the escrow since they began."""
    refund: Balance | None
    """What ending it now would give back; None if its units' worth cannot be paid."""


LEASE_VIEW = struct(LeaseView, lease_id=U64, lease=LEASE, streamed=AMOUNT, refund=optional(AMOUNT))


@dataclass(frozen=True, slots=True)
class MemberView:
    """What a provider has in a pool."""

    units: Units
    leased: Units
    leaving: Units
    claimable: Balance
    """Without what running leases have streamed and nobody has settled."""
    served: tuple[int, ...]


MEMBER_VIEW = struct(
    MemberView,
    units=U64,
    leased=U64,
    leaving=U64,
    claimable=AMOUNT,
    served=listing(U64, SERVED_MAX),
)
HISTORY_VIEW = listing(SAMPLE, HISTORY_ANSWER_MAX)


def view_pool(pools: Pools, pool_id: int) -> PoolView:
    """Return a pool. Raises: UnknownPool."""
    pool, state = pools.desk.pool(pool_id), pools.desk.state(pool_id)
    return PoolView(
        pool_id=pool_id,
        class_id=pool.class_id,
        owner=pool.owner,
        parameters=pool.parameters,
        base_price=state.market.base_price,
        price=spot_price(pool, state),
        average_q32=average_utilisation(pools.desk.rates(pool), state.average),
        leased=state.leased,
        supply=state.supply,
        priced_supply=state.priced_supply,
        unsold=pools.supply.roster.unsold(pool_id),
        members=state.members,
        dissipated=state.dissipated,
        books=pools.books[pool_id],
    )


def view_pools(pools: Pools) -> tuple[PoolView, ...]:
    """Return all pools."""
    return tuple(view_pool(pools, pool_id) for pool_id in pools.pool_ids.get())


def view_quote(
    pools: Pools, pool_id: int, units: Units, duration: Blocks, within: Blocks
) -> QuoteView:
    """Return what a lease would cost, now and at most ``within`` blocks from now.

    Raises: UnknownPool, ParameterOutOfRange, NoSupply, NotEnoughSupply, QuoteOverflow.
    """
    desk = pools.desk
    pool, state, now = desk.pool(pool_id), desk.state(pool_id), desk.height
    curve, market = pool.rule.curve, state.market
    pool.rule.validate_duration(desk.clock, duration)
    quoted = quote(curve, market, units, duration)
    worst: Balance | None
    try:
        worst = worst_case_cost(
            curve,
            market,
            desk.rates(pool),
            state.octaves,
            units=units,
            duration=duration,
            within=within,
        )
    except QuoteOverflow:
        worst = None
    ends = Height(now + duration)
    return QuoteView(
        cost=quoted.cost,
        price_before=quoted.price_before,
        price_after=quoted.price_after,
        worst_case=worst,
        ends=ends,
        ends_free=desk.config.ends_max - len(desk.tables.ends[ends]),
        sale_left=Units(max(0, sale_max(state.supply) - state.sold_in(now))),
        unsold=pools.supply.roster.unsold(pool_id),
    )


def view_lease(pools: Pools, lease_id: int) -> LeaseView:
    """Return a lease that runs. Raises: UnknownLease."""
    desk = pools.desk
    lease = desk.lease(lease_id)
    terms, elapsed = desk.terms(desk.pool(lease.pool_id)), Blocks(desk.height - lease.since)
    shares = lease.shares if lease.duration else ()
    streamed = sum(lease.stream(terms, share).due_at(elapsed).total for share in shares)
    refund: Balance | None
    try:
        refund = Balance(sum(ending.refund for _, ending in pools.sales.endings(lease)))
    except QuoteOverflow:
        refund = None
    return LeaseView(lease_id, lease, Balance(streamed), refund)


def view_member(pools: Pools, pool_id: int, provider: AccountId) -> MemberView:
    """Return what a provider has in a pool. Raises: UnknownPool, NotMember."""
    pools.desk.pool(pool_id)
    member = pools.desk.member(pool_id, provider)
    _, claimable = member.claim.claimed(pools.desk.state(pool_id).reward)
    return MemberView(member.units, member.leased, member.leaving, claimable, member.served)


def view_history(pools: Pools, pool_id: int, count: int) -> tuple[Sample, ...]:
    """Return the last ``count`` price periods of a pool, oldest first. Raises: UnknownPool."""
    pools.desk.pool(pool_id)
    size, newest = pools.config.history_max, pools.desk.height // pools.config.price_period
    places = [number % size for number in range(newest - min(count, size) + 1, newest + 1)]
    found = [pools.history[pool_id, place] for place in places]
    oldest = (newest - min(count, size)) * pools.config.price_period
    return tuple(each for each in found if each is not None and each.height > oldest)
