"""``pools_*``: what pools sell, at which price, to whom, and what became of what was paid.

Everything is read from the state after one block. Nothing here is an offer: the chain decides when
a lease is bought, and never takes more than the client signed.
"""

from collections.abc import Sequence
from dataclasses import replace

from node.rpc.backend import RuntimeBackend
from node.rpc.errors import invalid_parameter, require_count
from node.rpc.json_codecs import BigInteger
from node.rpc.method import method
from node.rpc.namespaces.pools_views import (
    BooksView,
    ExtensionView,
    HistoryView,
    LeaseSummary,
    LeaseView,
    MembershipView,
    PoolSummary,
    PoolView,
    PriceView,
    QuoteView,
    RuleView,
    SampleView,
    ShareView,
)
from node.rpc.slices import Slices
from primitives.types import AccountId, Digest, Height
from runtime.pools.controller import exp2, highest_octaves
from runtime.pools.module import Pools as PoolsModule
from runtime.pools.parameters import HOUR
from runtime.pools.pricing import (
    UNITS_MAX,
    Blocks,
    NotEnoughSupply,
    PriceQ32,
    Units,
    validate_range,
)
from runtime.pools.records import Lease, Sample
from runtime.pools.settlement import extension_cost, sale_max
from runtime.pools.views import view_history, view_lease, view_member, view_pool, view_quote
from runtime.runtime import Runtime

LIST_PAGE_MAX = 100
LEASES_PAGE_MAX = 100
HISTORY_PAGE_MAX = 512
WITHIN_DEFAULT = 64
"""Blocks for which a transaction is usually valid."""
WITHIN_MAX = 100_000
DEVICE = 1000
PPB = 10**9
UINT32_MAX = 2**32 - 1


class Pools:
    """The market."""

    def __init__(self, backend: RuntimeBackend) -> None:
        self._backend = backend

    @method("pools_list")
    async def list_pools(
        self, count: int = LIST_PAGE_MAX, after: int | None = None, at: Digest | None = None
    ) -> Sequence[PoolSummary]:
        """Return the pools with supply, use and price, in the order of their numbers."""
        require_count(count, LIST_PAGE_MAX)
        runtime = self._backend.runtime_after(at)
        ids = [each for each in runtime.pools.pool_ids.get() if after is None or each > after]
        slices, found = Slices(), []
        for pool_id in ids[:count]:
            found.append(_summary(runtime, pool_id))
            await slices.breathe()
        return found

    @method("pools_get")
    def get_pool(self, pool_id: int, at: Digest | None = None) -> PoolView:
        """Return a pool with its rule, and where its tokens came from and went to."""
        runtime = self._backend.runtime_after(at)
        pools = runtime.pools
        pool = pools.desk.pool(_u32("poolId", pool_id))
        state, books = pools.desk.state(pool_id), pools.books[pool_id]
        return PoolView(
            summary=_summary(runtime, pool_id),
            owner=pool.owner,
            deposit=pool.deposit,
            priced_supply=state.priced_supply,
            sale_max=sale_max(state.supply),
            rule=_rule(pools, pool_id),
            books=BooksView(
                paid_in=BigInteger(books.paid_in),
                refunded=BigInteger(books.refunded),
                burned=BigInteger(books.burned),
                claimed=BigInteger(books.claimed),
                kept=BigInteger(books.kept),
                leases=books.leases,
                dissipated=BigInteger(state.dissipated),
            ),
        )

    @method("pools_quote")
    def quote(
        self,
        pool_id: int,
        units: int,
        duration: int,
        within: int = WITHIN_DEFAULT,
        at: Digest | None = None,
    ) -> QuoteView:
        """Return what leasing units costs in the next block, the price after, and the worst case.

        The worst case is that of the pool's price rule alone, for a lease bought within so many
        blocks.
        """
        _require_within(within)
        pools = self._backend.runtime_after(at).pools
        pools.desk.pool(_u32("poolId", pool_id))
        validate_range("units", units, lowest=1, highest=UNITS_MAX)
        _let_a_block_pass(pools, pool_id)
        quoted = view_quote(pools, pool_id, Units(units), Blocks(duration), Blocks(within))
        if units > quoted.unsold:
            raise NotEnoughSupply(units, quoted.unsold)
        return QuoteView(
            pool_id=pool_id,
            units=units,
            duration=duration,
            ends=quoted.ends,
            cost=quoted.cost,
            price_before=_price(pools, quoted.price_before),
            price_after=_price(pools, quoted.price_after),
            worst_case=quoted.worst_case,
            within=within,
            fits_in_a_block=units <= quoted.sale_left,
            may_end_then=quoted.ends_free > 0,
        )

    @method("pools_quoteExtension")
    def quote_extension(
        self,
        lease_id: int,
        duration: int,
        within: int = WITHIN_DEFAULT,
        at: Digest | None = None,
    ) -> ExtensionView:
        """Return what letting a lease run on costs in the next block, and in the worst case."""
        _require_within(within)
        pools = self._backend.runtime_after(at).pools
        lease = pools.desk.lease(_u64("leaseId", lease_id))
        _let_a_block_pass(pools, lease.pool_id)
        pool, state = pools.desk.pool(lease.pool_id), pools.desk.state(lease.pool_id)
        validate_range("duration", duration, lowest=1, highest=UINT32_MAX)
        whole = Blocks(lease.left(pools.desk.height) + duration)
        pool.rule.validate_duration(pools.desk.clock, whole)
        highest = exp2(highest_octaves(pools.desk.rates(pool), state.octaves, Blocks(within)))
        dearest = replace(state.market, base_price=highest)
        curve = pool.rule.curve
        return ExtensionView(
            lease_id=lease_id,
            duration=duration,
            ends=Height(lease.ends + duration),
            cost=extension_cost(curve, state.market, lease.units, Blocks(duration)),
            worst_case=extension_cost(curve, dearest, lease.units, Blocks(duration)),
            within=within,
        )

    @method("pools_lease")
    def get_lease(self, lease_id: int, at: Digest | None = None) -> LeaseView | None:
        """Return a lease that runs: its providers, its end, and what ending it now would refund."""
        pools = self._backend.runtime_after(at).pools
        lease = pools.leases[_u64("leaseId", lease_id)]
        if lease is None:
            return None
        left = _left(pools, lease)
        _let_a_block_pass(pools, lease.pool_id)
        view = view_lease(pools, lease_id)
        return LeaseView(
            lease_id=lease_id,
            client=lease.client,
            pool_id=lease.pool_id,
            units=lease.units,
            started=lease.started,
            since=lease.since,
            ends=lease.ends,
            left=left,
            rent_until=lease.rent_until,
            term=lease.term,
            ceiling=lease.ceiling,
            key=lease.key,
            shares=[ShareView(each.provider, each.units, each.total) for each in lease.shares],
            streamed=view.streamed,
            refund=view.refund,
        )

    @method("pools_leases")
    async def leases(
        self,
        account: AccountId,
        count: int = LEASES_PAGE_MAX,
        after: int | None = None,
        at: Digest | None = None,
    ) -> Sequence[LeaseSummary]:
        """Return the leases of a client that run, in the order of their numbers, beyond `after`."""
        require_count(count, LEASES_PAGE_MAX)
        pools = self._backend.runtime_after(at).pools
        ids = sorted(pools.leases_of[account])
        slices, found = Slices(), []
        for lease_id in [each for each in ids if after is None or each > after][:count]:
            lease = pools.desk.lease(lease_id)
            found.append(
                LeaseSummary(
                    lease_id=lease_id,
                    client=lease.client,
                    pool_id=lease.pool_id,
                    units=lease.units,
                    started=lease.started,
                    ends=lease.ends,
                    left=_left(pools, lease),
                    ceiling=lease.ceiling,
                )
            )
            await slices.breathe()
        return found

    @method("pools_history")
    async def history(
        self, pool_id: int, count: int = HISTORY_PAGE_MAX, at: Digest | None = None
    ) -> HistoryView:
        """Return price and use of a pool at the end of its last price periods."""
        require_count(count, HISTORY_PAGE_MAX)
        pools = self._backend.runtime_after(at).pools
        slices, samples = Slices(), []
        for sample in view_history(pools, _u32("poolId", pool_id), count):
            samples.append(_sample_view(pools, sample))
            await slices.breathe()
        return HistoryView(pool_id, pools.config.price_period, samples)

    @method("pools_memberships")
    def memberships(self, account: AccountId, at: Digest | None = None) -> Sequence[MembershipView]:
        """Return which pools an account supplies, with how much, and what it may claim there."""
        runtime = self._backend.runtime_after(at)
        pools, found = runtime.pools, []
        for class_id in runtime.pocps.class_ids.get():
            pool_id = pools.engaged[class_id, account]
            if pool_id is None:
                continue
            member = view_member(pools, pool_id, account)
            found.append(
                MembershipView(
                    pool_id=pool_id,
                    class_id=class_id,
                    units=member.units,
                    leased=member.leased,
                    leaving=member.leaving,
                    claimable=member.claimable,
                    leases=member.served,
                )
            )
        return found


def _u32(name: str, value: int) -> int:
    if not 0 <= value <= UINT32_MAX:
        raise invalid_parameter(name, f"expected an integer from 0 to {UINT32_MAX}")
    return value


def _u64(name: str, value: int) -> int:
    if not 0 <= value < 2**64:
        raise invalid_parameter(name, "expected an integer from 0 to 2^64-1")
    return value


def _require_within(within: int) -> None:
    if not 0 <= within <= WITHIN_MAX:
        raise invalid_parameter("within", f"expected 0 to {WITHIN_MAX} blocks")


def _price(pools: PoolsModule, price: PriceQ32) -> PriceView:
    blocks = pools.desk.clock.blocks_in(HOUR)
    return PriceView(BigInteger(price), BigInteger(price * DEVICE * blocks >> 32))


def _ppb(share: int, one: int) -> int:
    return share * PPB // one


def _summary(runtime: Runtime, pool_id: int) -> PoolSummary:
    view, pools = view_pool(runtime.pools, pool_id), runtime.pools
    resource = runtime.pocps.resource(view.class_id)
    return PoolSummary(
        pool_id=pool_id,
        class_id=view.class_id,
        class_name="" if resource is None else resource.name,
        supply=view.supply,
        leased=view.leased,
        unsold=view.unsold,
        average_ppb=_ppb(view.average_q32, 1 << 32),
        base_price=_price(pools, view.base_price),
        price=_price(pools, view.price),
        providers=view.members,
    )


def _rule(pools: PoolsModule, pool_id: int) -> RuleView:
    rule = pools.desk.pool(pool_id).rule
    return RuleView(
        exponent=rule.curve.exponent,
        floor_ppb=_ppb(rule.curve.floor_q16, 1 << 16),
        target_ppb=_ppb(rule.curve.target_q16, 1 << 16),
        virtual_depth=rule.curve.virtual_depth,
        gain_per_day_ppb=rule.gain_per_day_ppb,
        clamp_per_day_ppb=rule.clamp_per_day_ppb,
        burn_ppb=rule.burn_ppb,
        early_end_fee_ppb=rule.early_end_fee_ppb,
        exit_per_day_ppb=rule.exit_per_day_ppb,
        rent_min_blocks=pools.desk.clock.blocks_in(rule.rent_min),
        lock_max_blocks=pools.desk.clock.blocks_in(rule.lock_max),
    )


def _left(pools: PoolsModule, lease: Lease) -> int:
    return max(0, lease.left(pools.desk.height))


def _let_a_block_pass(pools: PoolsModule, pool_id: int) -> None:
    """Let the state be that in which the calls of the next block find a pool.

    The runtime of a question writes nowhere.
    """
    block = pools.context.block
    pools.context.block = replace(block, height=Height(block.height + 1))
    pools.clockwork.tick(pool_id)


def _sample_view(pools: PoolsModule, sample: Sample) -> SampleView:
    return SampleView(
        height=sample.height,
        base_price=_price(pools, sample.base_price),
        price=_price(pools, sample.price),
        average_ppb=_ppb(sample.average_q32, 1 << 32),
        leased=sample.leased,
        supply=sample.supply,
    )
