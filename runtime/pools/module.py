"""Pools: capacity that vanishes with every block, sold by providers who have proven it.

Anybody opens a pool of a resource class, within bounds. Providers of that class let their proven
units supply it; clients lease units for a time at a price that follows from how much is leased, and
pay into the pool's escrow, from which every block lets a part go: burned, to who serves, to all
units of the pool. What must happen in a block of its own (the end of a lease) has a place reserved
there when the lease is sold, so that it happens on time whatever load the chain has.

Invariants, by their numbers in docs/pools.md: what is paid in = refunded + burned + claimed + what
the pool's account holds, and that is in escrow, flowing or claimable, to the last fraction (4, 10);
leased units are those of the leases that run, at each provider at most its units (6); nothing the
module does makes or loses a token (13). No hook walks over leases or providers.
"""

from dataclasses import replace
from itertools import chain
from typing import Annotated

from primitives.codec import ACCOUNT, U16, U32, U64, listing, optional, pair
from primitives.power_table import KEY
from primitives.types import AccountId, Balance, Epoch, PublicKey, Signer, Weight
from runtime.issuance import Usage
from runtime.module import Context, Module, StorageMap, StorageValue, call
from runtime.pools import events
from runtime.pools.checks import PoolCheck, check_tables
from runtime.pools.clockwork import Clockwork
from runtime.pools.controller import exp2, log2, start_average
from runtime.pools.desk import Desk, Services, Tables
from runtime.pools.events import ERRORS, EVENTS, Config, Count, Duration, LeaseId, PoolId
from runtime.pools.faults import Faults
from runtime.pools.leases import Leases, Loss
from runtime.pools.memory import MEMORY_ENDS, PAST_KEY, PAST_SHARE, Memory, MemoryEnds, PastShare
from runtime.pools.parameters import PARAMETERS, Parameters, rule_of
from runtime.pools.pricing import Blocks, PriceQ32
from runtime.pools.records import (
    BOOKS,
    CLASS_TALLY,
    DEPOSIT,
    ENDS_MAX,
    ESCROW,
    LEASE,
    LEASES_OF_MAX,
    MEMBER,
    ORDER,
    ORDERS_MAX,
    POOL,
    POOL_STATE,
    POOLS_MAX,
    SAMPLE,
    Books,
    ClassTally,
    Lease,
    Order,
    Pool,
    PoolState,
    pool_account,
)
from runtime.pools.supply import Supply
from runtime.session import is_boundary

TALLIES_KEPT = 256
"""Epochs whose class prices stay: longer than any reward can be asked for."""
LEASE_WEIGHT = Weight(1_500_000)
CLOSE_WEIGHT = Weight(8_000_000)
"""It deletes up to 4096 samples, which takes longer than anything else that one call can do."""
Key = Annotated[PublicKey, KEY]
PlainPrice = Annotated[int, U64]
Orders = Annotated[tuple[Order, ...], listing(ORDER, ORDERS_MAX)]


class Pools(Module):
    """The market: pools, their providers, and their leases."""

    name = "pools"
    index = 12
    events = EVENTS
    errors = ERRORS

    pool_ids = StorageValue(listing(U32, POOLS_MAX), default=())
    pool_count = StorageValue(U32, default=0)
    """How many pools there have ever been."""
    pools = StorageMap(U32, optional(POOL), default=None)
    states = StorageMap(U32, optional(POOL_STATE), default=None)
    books = StorageMap(U32, BOOKS, default=Books())
    members = StorageMap(pair(U32, ACCOUNT), optional(MEMBER), default=None)
    engaged = StorageMap(pair(U32, ACCOUNT), optional(U32), default=None)
    """The pool that an account's units of a class supply."""
    slots = StorageMap(pair(U32, U32), optional(ACCOUNT), default=None)
    weights = StorageMap(pair(U32, U32), U64, default=0)
    """Nodes of the tree by which providers are drawn; see ``roster``."""
    leases = StorageMap(U64, optional(LEASE), default=None)
    lease_count = StorageValue(U64, default=0)
    """How many leases there have ever been."""
    leases_of = StorageMap(ACCOUNT, listing(U64, LEASES_OF_MAX), default=())
    ends = StorageMap(U64, listing(U64, ENDS_MAX), default=())
    """Leases by the height at whose end they end."""
    history = StorageMap(pair(U32, U16), optional(SAMPLE), default=None)
    """The last price periods of each pool, as a ring."""
    past_shares = StorageMap(pair(U64, ACCOUNT), optional(PAST_SHARE), default=None)
    past_queue = StorageMap(U64, optional(PAST_KEY), default=None)
    """Keys of past shares in the order in which they are forgotten."""
    past_ends = StorageValue(MEMORY_ENDS, default=MemoryEnds())
    tallies = StorageMap(U64, listing(CLASS_TALLY, POOLS_MAX), default=())
    """What each class was worth in an epoch that has ended."""

    def __init__(self, context: Context, config: Config, *, services: Services) -> None:
        super().__init__(context)
        self.config, self.services = config, services
        tables = Tables(
            pool_ids=self.pool_ids,
            pools=self.pools,
            states=self.states,
            books=self.books,
            members=self.members,
            engaged=self.engaged,
            slots=self.slots,
            weights=self.weights,
            leases=self.leases,
            lease_count=self.lease_count,
            leases_of=self.leases_of,
            ends=self.ends,
            history=self.history,
            memory=Memory(self.past_shares, self.past_queue, self.past_ends),
        )
        self.desk = Desk(context, config, tables, services, self.emit)
        self.supply = Supply(self.desk)
        self.sales = Leases(self.desk, self.supply)
        self.faults = Faults(self.desk, self.supply, self.sales)
        self.clockwork = Clockwork(self.desk)

    @call(0, weight=Weight(2_000_000))
    def create_pool(
        self,
        signer: Signer,
        class_id: PoolId,
        price_q32: PlainPrice,
        parameters: Annotated[Parameters, PARAMETERS],
    ) -> None:
        """Open a pool of a resource class; a deposit is held while it is open.

        ``price_q32`` is the first base price, in base units a milli-unit and block, Q32; a class
        that has pools has a price, and no pool of it begins with a higher one.
        Emits: Held, PoolOpened.
        Raises: UnknownClass, TooManyPools, StartPriceRefused, ParameterOutOfRange, and what
            holding raises.
        """
        lowest, highest = self.config.start_price_min_q32, self.config.start_price_max_q32
        if not lowest <= price_q32 <= highest:
            raise events.StartPriceRefused(f"{lowest} to {highest}")
        self.services.tokens.hold(signer, DEPOSIT, self.config.deposit)
        start = min(price_q32, self._class_price(class_id) or price_q32)
        pool = Pool(class_id, signer, self.config.deposit, parameters)
        self._open(pool, PriceQ32(start))

    @call(1, weight=Weight(600_000))
    def join(self, signer: Signer, pool_id: PoolId) -> None:
        """Let all of the signer's live units of the pool's class supply the pool.

        Who supplies it already, with less than all, supplies it with all again.
        Emits: Joined.
        Raises: UnknownPool, AlreadyMember, AlreadyLeaving, NothingProven, PoolFull.
        """
        self.supply.join(signer, pool_id)

    @call(2, weight=Weight(600_000))
    def leave(self, signer: Signer, pool_id: PoolId, units: Count) -> None:
        """Put units into the exit queue: they are sold no more, and leave in their turn.

        What is leased leaves when its lease has ended.
        Emits: LeaveQueued, or MemberRemoved if no unit of the signer is in the pool.
        Raises: NotMember, AlreadyLeaving, NotSoManyUnits.
        """
        self.supply.leave(signer, pool_id, units)

    @call(3, weight=Weight(400_000))
    def cancel_leave(self, signer: Signer, pool_id: PoolId) -> None:
        """Take the signer's units out of the exit queue.

        Emits: LeaveCanceled.
        Raises: NotMember, NotLeaving.
        """
        self.supply.cancel_leave(signer, pool_id)

    @call(4, weight=LEASE_WEIGHT)
    def acquire(
        self,
        signer: Signer,
        pool_id: PoolId,
        units: Count,
        duration: Duration,
        max_total: Balance,
        lease_key: Key,
    ) -> None:
        """Lease units for ``duration`` blocks from now, if that costs at most ``max_total``.

        ``lease_key`` is the key with which the client authenticates itself at its providers.
        Emits: Escrowed, ShareAssigned, Leased.
        Raises: UnknownPool, ParameterOutOfRange, NoSupply, NotEnoughSupply, QuoteOverflow,
            CostsMore, SaleLimitReached, LeaseSlotFull, TooScattered, TooManyLeases, and what
            holding raises.
        """
        self.sales.open(signer, Order(pool_id, units, duration, max_total, lease_key))

    @call(5, weight=lambda orders: Weight(LEASE_WEIGHT * max(1, len(orders))))
    def acquire_basket(self, signer: Signer, orders: Orders) -> None:
        """Lease from several pools, all or nothing, in the order of the list.

        Emits and raises what ``acquire`` does.
        """
        for order in orders:
            self.sales.open(signer, order)

    @call(6, weight=LEASE_WEIGHT)
    def extend(
        self, signer: Signer, lease_id: LeaseId, duration: Duration, max_total: Balance
    ) -> None:
        """Let a lease run for longer; nobody else gets its units before it has ended.

        Emits: Escrowed, Extended.
        Raises: UnknownLease, NotYourLease, ParameterOutOfRange, QuoteOverflow, CostsMore,
            LeaseSlotFull, and what holding raises.
        """
        self._validate_client(signer, lease_id)
        self.sales.extend(lease_id, duration, max_total)

    @call(7, weight=Weight(150_000))
    def set_auto_extend(self, signer: Signer, lease_id: LeaseId, ceiling: Balance | None) -> None:
        """Let a lease extend itself at its end, each time for as long as it was last bought for.

        It ends when that costs more than ``ceiling`` or cannot be paid; None ends the extending.
        Emits: AutoExtendSet.
        Raises: UnknownLease, NotYourLease.
        """
        lease = self._validate_client(signer, lease_id)
        self.leases[lease_id] = replace(lease, ceiling=ceiling)
        self.emit(events.AutoExtendSet(lease_id, ceiling))

    @call(8, weight=LEASE_WEIGHT)
    def terminate(self, signer: Signer, lease_id: LeaseId) -> None:
        """End a lease now, with a refund of at most what its units are worth, less a fee.

        Emits: HoldBurned, HoldMoved, LeaseEnded.
        Raises: UnknownLease, NotYourLease, QuoteOverflow.
        """
        self._validate_client(signer, lease_id)
        self.sales.terminate(lease_id)

    @call(9, weight=Weight(200_000))
    def claim(self, signer: Signer, pool_id: PoolId) -> None:
        """Pay what the signer has earned in a pool: for what it served, and as one of its units.

        Emits: HoldMoved, Claimed.
        Raises: NotMember, NothingToClaim.
        """
        self.supply.claim(signer, pool_id)

    @call(10, weight=CLOSE_WEIGHT)
    def close_pool(self, signer: Signer, pool_id: PoolId) -> None:
        """Close a pool without providers and free its deposit.

        Emits: Released, PoolClosed.
        Raises: UnknownPool, NotOwner, PoolInUse.
        """
        pool = self.desk.pool(pool_id)
        if signer != pool.owner:
            raise events.NotOwner(f"pool {pool_id}")
        members = self.desk.state(pool_id).members
        if members:
            raise events.PoolInUse(f"{members} providers")
        left = self.services.tokens.held_for(pool_account(pool_id), ESCROW)
        self.desk.burn(pool_id, left)
        self.services.tokens.release(signer, DEPOSIT, pool.deposit)
        self.pool_ids.set(tuple(each for each in self.pool_ids.get() if each != pool_id))
        for place in range(self.config.history_max):
            del self.history[pool_id, place]
        del self.pools[pool_id], self.states[pool_id], self.books[pool_id]
        self.emit(events.PoolClosed(pool_id, left))

    @call(11, weight=LEASE_WEIGHT)
    def settle(self, _signer: Signer, lease_id: LeaseId) -> None:
        """Burn and pay what has streamed from a lease by now; anybody may ask.

        Without it that is done when the lease changes or ends.
        Emits: HoldBurned, Settled.
        Raises: UnknownLease.
        """
        self.sales.settle(lease_id)

    # For other modules

    def lease(self, lease_id: int) -> Lease | None:
        """Return a lease, if it runs."""
        return self.leases[lease_id]

    def past_share(self, lease_id: int, provider: AccountId) -> PastShare | None:
        """Return a share of a lease that has ended, while a dispute over it may begin."""
        share = self.past_shares[lease_id, provider]
        return share if share is not None and share.until >= self.context.block.height else None

    def fail_share(
        self, lease_id: int, provider: AccountId, reason: str, *, slashed: Balance
    ) -> None:
        """End a provider's share of a lease because it served wrongly.

        What has not streamed is refunded in full; the client's loss is paid out of the
        ``slashed`` base units that wait in the provider's name, and the rest of them is burned.
        Of a share that has ended already, the loss is what was known when it did.
        Emits: ShareLost, Compensated, LeaseEnded.
        Raises: UnknownLease, NoSuchShare.
        """
        lease, past = self.leases[lease_id], self.past_shares[lease_id, provider]
        if past is not None and (lease is None or lease.share_of(provider) is None):
            loss = Loss(lease_id, past.client, past.lost)
        else:
            loss = self.sales.fail(lease_id, provider, reason, may_move=False)
        del self.past_shares[lease_id, provider]
        self.faults.compensate(provider, slashed, [loss])

    def usage(self, epoch: Epoch, blocks: Blocks) -> Usage | None:
        """Return what the mint for the epoch that is ending depends on; None without supply."""
        assert epoch == self.context.block.epoch, "the tallies are those of the present epoch"
        return self.clockwork.usage(blocks)

    def class_tallies(self, epoch: Epoch) -> tuple[ClassTally, ...]:
        """Return what each class was worth on average over an epoch that has ended."""
        return self.tallies[epoch]

    def build_genesis(self) -> None:
        """Open the pools that the chain begins with."""
        for entry in self.config.pools:
            owner = pool_account(self.pool_count.get())
            pool = Pool(entry.class_id, owner, Balance(0), entry.parameters)
            self._open(pool, PriceQ32(entry.price_q32))

    def begin_block(self) -> None:
        self.desk.tables.memory.forget(self.context.block.height)
        for pool_id in self.pool_ids.get():
            self.clockwork.tick(pool_id)
        for change in self.services.providers.take_changes(self.config.changes_max):
            self.faults.take(change)

    def end_block(self) -> None:
        self.sales.run_ends()
        for pool_id in self.pool_ids.get():
            self.supply.run_exits(pool_id)
        block = self.context.block
        if is_boundary(block.height, self.services.epoch_length):
            self.tallies[block.epoch] = self.clockwork.close_epoch()
            if block.epoch >= TALLIES_KEPT:
                del self.tallies[block.epoch - TALLIES_KEPT]

    def check_invariants(self) -> None:
        for pool_id in self.pool_ids.get():
            pool = PoolCheck(self.desk, pool_id)
            roster = self.supply.roster
            for name, holds in chain(pool.money(), pool.units(), pool.terms(), pool.lists(roster)):
                self.require(name, holds)
        for name, holds in check_tables(self.desk):
            self.require(name, holds)

    # Private

    def _open(self, pool: Pool, price: PriceQ32) -> None:
        if self.services.providers.resource(pool.class_id) is None:
            raise events.UnknownClass(f"class {pool.class_id}")
        ids = self.pool_ids.get()
        if len(ids) >= self.config.pools_max:
            raise events.TooManyPools(f"{len(ids)} pools")
        target = rule_of(pool.parameters).curve.target_q16
        pool_id = self.pool_count.get()
        self.pool_count.set(pool_id + 1)
        self.pool_ids.set((*ids, pool_id))
        self.pools[pool_id] = pool
        # As if it had always been used as much as it aims at: no step before there is experience.
        average = start_average(self.desk.rates(pool), target << 16)
        self.states[pool_id] = PoolState(octaves=log2(price), average=average)
        self.emit(events.PoolOpened(pool_id, pool.class_id, pool.owner, price))

    def _class_price(self, class_id: int) -> PriceQ32 | None:
        """Return the base price of a class, each of its pools weighed by its units.

        While none has any, the highest: an empty pool is no reason to begin at any price.
        """
        prices, supply, value = [], 0, 0
        for pool_id in self.pool_ids.get():
            if self.desk.pool(pool_id).class_id == class_id:
                state = self.desk.state(pool_id)
                prices.append(exp2(state.octaves))
                supply, value = supply + state.supply, value + state.supply * prices[-1]
        return PriceQ32(value // supply) if supply else max(prices, default=None)

    def _validate_client(self, signer: Signer, lease_id: int) -> Lease:
        lease = self.desk.lease(lease_id)
        if lease.client != signer:
            raise events.NotYourLease(f"lease {lease_id}")
        return lease
