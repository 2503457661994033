"""The life of a lease: bought, extended, settled, moved to other providers, ended.

A lease has one escrow for each provider that serves it, and all of them run from the same block
to the same end. Whatever changes a lease settles it first and lets the rest run on from there.

Invariants: what a share has not paid out or let flow is in the pool's account; a lease that runs
stands in the list of its end, in that of its client, and with each provider that serves it.
"""

from dataclasses import dataclass, replace

from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DispatchError
from primitives.types import AccountId, Balance, Height
from runtime.pools import events
from runtime.pools.desk import Desk
from runtime.pools.memory import PastShare
from runtime.pools.pricing import (
    Blocks,
    NotEnoughSupply,
    QuoteOverflow,
    Units,
    cost,
    spot_price,
    value_of_top,
)
from runtime.pools.records import Lease, Order, Pool, PoolState, Share
from runtime.pools.settlement import (
    REWARD_Q64,
    Ending,
    Payout,
    Stream,
    end_early,
    extension_cost,
    sale_max,
    split,
)
from runtime.pools.supply import Supply


@dataclass(frozen=True, slots=True)
class Loss:
    """What a client lost by its provider's fault."""

    lease_id: int
    client: AccountId
    amount: Balance


class Leases:
    """What clients do with pools, and what happens to leases."""

    def __init__(self, desk: Desk, supply: Supply) -> None:
        self.desk, self.supply, self.tables = desk, supply, desk.tables

    # What clients do

    def open(self, client: AccountId, order: Order) -> None:
        """Sell what ``order`` asks for.

        Raises: UnknownPool, ParameterOutOfRange, NoSupply, NotEnoughSupply, QuoteOverflow,
            CostsMore, SaleLimitReached, LeaseSlotFull, TooScattered, TooManyLeases, and what
            holding raises.
        """
        desk, tables, now = self.desk, self.tables, self.desk.height
        pool, state = desk.pool(order.pool_id), desk.state(order.pool_id)
        pool.rule.validate_duration(desk.clock, order.duration)
        amount = cost(pool.rule.curve, state.market, order.units, order.duration)
        _validate_total(amount, order.max_total)
        self._sell(order, state)
        lease_id = tables.lease_count.get()
        tables.lease_count.set(lease_id + 1)
        ends = Height(now + order.duration)
        self._enlist(lease_id, client, ends)
        desk.take_in(order.pool_id, client, amount)
        taken = self._assign(
            order.pool_id, lease_id, order.units, desk.config.shares_max, is_sale=True
        )
        if sum(units for _, units in taken) < order.units:
            raise events.TooScattered(f"{desk.config.shares_max} providers do not serve so many")
        totals = split(amount, [units for _, units in taken])
        shares = tuple(
            Share(who, units, total) for (who, units), total in zip(taken, totals, strict=True)
        )
        lease = Lease(
            client=client,
            pool_id=order.pool_id,
            units=order.units,
            started=now,
            since=now,
            settled=now,
            ends=ends,
            rent_until=Height(now + desk.terms(pool).rent_min),
            term=order.duration,
            ceiling=None,
            key=order.key,
            shares=shares,
        )
        self._run(lease_id, lease)
        books = tables.books[order.pool_id]
        tables.books[order.pool_id] = replace(books, leases=books.leases + 1)
        price = spot_price(pool.rule.curve, desk.state(order.pool_id).market)
        desk.emit(events.Leased(lease_id, order.pool_id, client, order.units, ends, amount, price))

    def extend(self, lease_id: int, duration: Blocks, max_total: Balance) -> None:
        """Let a lease run for longer, at what giving its units back and leasing them would cost.

        Raises: ParameterOutOfRange, QuoteOverflow, CostsMore, LeaseSlotFull, and what holding
            raises.
        """
        desk, lease = self.desk, self.desk.lease(lease_id)
        pool, state = desk.pool(lease.pool_id), desk.state(lease.pool_id)
        pool.rule.validate_duration(desk.clock, Blocks(lease.left(desk.height) + duration))
        ends = Height(lease.ends + duration)
        amount = extension_cost(pool.rule.curve, state.market, lease.units, duration)
        _validate_total(amount, max_total)
        self._leave_end(lease_id, lease.ends)
        self._reserve_end(lease_id, ends)
        desk.take_in(lease.pool_id, lease.client, amount)
        lease = self._stop(lease)
        parts = split(amount, [share.units for share in lease.shares])
        shares = (
            replace(share, total=Balance(share.total + part))
            for share, part in zip(lease.shares, parts, strict=True)
        )
        self._run(lease_id, replace(lease, ends=ends, term=duration, shares=tuple(shares)))
        desk.emit(events.Extended(lease_id, ends, amount))

    def terminate(self, lease_id: int) -> None:
        """End a lease before its time, with the refund that the pool's terms allow."""
        self._remember(lease_id, self.desk.lease(lease_id))
        lease, refunded = self._stop(self.desk.lease(lease_id)), 0
        for share, ending in self.endings(lease):
            self._pay(lease.pool_id, share.provider, ending.payout)
            self._share(lease.pool_id, ending.payout.to_pool << REWARD_Q64)
            refunded += ending.refund
        self.desk.refund(lease.pool_id, lease.client, Balance(refunded))
        self._close(lease_id, lease, Balance(refunded), "client")

    def endings(self, lease: Lease) -> list[tuple[Share, Ending]]:
        """Return how each share of a lease is divided if its client ends it in this block.

        Raises: QuoteOverflow.
        """
        desk, now = self.desk, self.desk.height
        pool, left = desk.pool(lease.pool_id), lease.left(now)
        if not left:
            return []
        terms = desk.terms(pool)
        short = replace(terms, rent_min=Blocks(max(0, lease.rent_until - now)))
        market = desk.state(lease.pool_id).market
        worth = value_of_top(pool.rule.curve, market, lease.units, left)
        values = split(worth, [share.units for share in lease.shares])
        found = []
        for share, value in zip(lease.shares, values, strict=True):
            rest = lease.stream(terms, share).advanced(Blocks(now - lease.since))[0].remaining
            stream = Stream.opened(terms, rest, left)
            found.append((share, end_early(short, stream, Blocks(0), value=value)))
        return found

    def settle(self, lease_id: int) -> None:
        """Pay what has streamed since a lease was last settled."""
        desk, now = self.desk, self.desk.height
        lease = desk.lease(lease_id)
        terms, burned, earned = desk.terms(desk.pool(lease.pool_id)), 0, 0
        for share in lease.shares:
            _, due = lease.stream(terms, share).advanced(Blocks(now - lease.since))
            self._pay(lease.pool_id, share.provider, due)
            burned, earned = burned + due.burned, earned + due.to_provider
        self.tables.leases[lease_id] = replace(lease, settled=now)
        desk.emit(events.Settled(lease_id, Balance(burned), Balance(earned)))

    # What happens to leases

    def run_ends(self) -> None:
        """End, or extend as their clients asked, the leases whose time is up."""
        now = self.desk.height
        for lease_id in self.tables.ends[now]:
            lease = self.desk.lease(lease_id)
            if not self._extend_by_itself(lease_id, lease):
                self._remember(lease_id, lease)
                self._close(lease_id, self._stop(lease), Balance(0), "time")

    def fail(self, lease_id: int, provider: AccountId, reason: str, *, may_move: bool) -> Loss:
        """Take a lease's share from a provider: to others that have units free, else refunded.

        Returns what the client lost: what the share has paid for of late, and what leasing the
        refunded units again would cost beyond the refund.
        Raises: NoSuchShare.
        """
        desk, before = self.desk, self.desk.lease(lease_id)
        share = before.share_of(provider)
        if share is None:
            raise events.NoSuchShare(f"lease {lease_id}")
        pool, recent = desk.pool(before.pool_id), self._recent(before, share)
        if may_move:
            self._remember(lease_id, replace(before, shares=(share,)), is_fault=True)
        lease = self._stop(before)
        share = next(each for each in lease.shares if each.provider == provider)
        others = tuple(each for each in lease.shares if each is not share)
        moved = self._move(lease_id, lease, share, len(others)) if may_move else []
        lost = Units(share.units - sum(units for _, units in moved))
        totals = split(share.total, [*(units for _, units in moved), lost])
        refund = totals.pop()
        rebuy = _rebuy(pool, desk.state(lease.pool_id), lost, lease.left(desk.height))
        self.supply.give_back(lease.pool_id, provider, lease_id, share.units)
        self._add_leased(lease.pool_id, -lost)
        desk.refund(lease.pool_id, lease.client, refund)
        new = [Share(who, units, part) for (who, units), part in zip(moved, totals, strict=True)]
        lease = replace(lease, units=Units(lease.units - lost), shares=merged(others, new))
        desk.emit(events.ShareLost(lease_id, provider, Units(share.units - lost), refund, reason))
        if lease.shares:
            self._run(lease_id, lease)
        else:
            self._close(lease_id, lease, refund, "fault")
        return Loss(lease_id, lease.client, Balance(recent + max(0, rebuy - refund)))

    # Private

    def _stop(self, lease: Lease) -> Lease:
        """Settle a lease and end its streams; each share's total is then what is left of it.

        What has flowed into the shared reward is rounded up to a whole base unit, so that what is
        left is one too.
        """
        now, pool_id = self.desk.height, lease.pool_id
        if not lease.duration:
            return lease
        elapsed = Blocks(now - lease.since)
        terms, shares = self.desk.terms(self.desk.pool(pool_id)), []
        for share in lease.shares:
            stream = lease.stream(terms, share)
            stopped, due = stream.advanced(elapsed)
            self._pay(pool_id, share.provider, due)
            flowed = stream.due_at(elapsed).to_pool << REWARD_Q64
            self._share(pool_id, flowed - stream.flow_q64 * elapsed, -stream.flow_q64)
            shares.append(replace(share, total=stopped.remaining))
        return replace(lease, since=now, settled=now, shares=tuple(shares))

    def _run(self, lease_id: int, lease: Lease) -> None:
        """Write a lease that begins to stream now."""
        self.tables.leases[lease_id] = lease
        if lease.duration:
            terms = self.desk.terms(self.desk.pool(lease.pool_id))
            flow = sum(lease.stream(terms, share).flow_q64 for share in lease.shares)
            self._share(lease.pool_id, 0, flow)

    def _close(self, lease_id: int, lease: Lease, refunded: Balance, reason: str) -> None:
        """Forget a lease whose streams have ended and been paid."""
        for share in lease.shares:
            self.supply.give_back(lease.pool_id, share.provider, lease_id, share.units)
        self._add_leased(lease.pool_id, -lease.units)
        self._leave_end(lease_id, lease.ends)
        mine = self.tables.leases_of[lease.client]
        self.tables.leases_of[lease.client] = tuple(each for each in mine if each != lease_id)
        del self.tables.leases[lease_id]
        self.desk.emit(events.LeaseEnded(lease_id, lease.pool_id, refunded, reason))

    def _sell(self, order: Order, state: PoolState) -> None:
        """Count units as sold and leased, if the block and the providers have so many."""
        now, units = self.desk.height, order.units
        sold = state.sold_in(now)
        if sold + units > sale_max(state.supply):
            raise events.SaleLimitReached(f"{sold} of {sale_max(state.supply)} are sold")
        unsold = self.supply.roster.unsold(order.pool_id)
        if units > unsold:
            raise NotEnoughSupply(units, unsold)
        leased = Units(state.leased + units)
        state = replace(state, leased=leased, sold=Units(sold + units), sold_at=now)
        self.tables.states[order.pool_id] = state

    def _assign(
        self, pool_id: int, lease_id: int, units: Units, most: int, *, is_sale: bool
    ) -> list[tuple[AccountId, Units]]:
        """Draw at most ``most`` providers and let them serve up to ``units`` of a lease."""
        taken: list[tuple[AccountId, Units]] = []
        passed: list[AccountId] = []
        beacon, roster = self.desk.services.beacon(), self.supply.roster
        while units and len(taken) + len(passed) < most and roster.unsold(pool_id):
            place = lease_id.to_bytes(8, "big") + (len(taken) + len(passed)).to_bytes(2, "big")
            provider = roster.draw(pool_id, keyed_hash(Purpose.LEASE_DRAW, beacon + place))
            member = self.desk.member(pool_id, provider)
            got = Units(min(units, member.unsold))
            if is_sale and self.supply.is_too_small(member, got):
                self.supply.withhold(pool_id, provider)
                passed.append(provider)
                continue
            self.supply.lend(pool_id, provider, lease_id, got)
            self.desk.emit(events.ShareAssigned(lease_id, provider, got))
            taken.append((provider, got))
            units = Units(units - got)
        for provider in passed:
            self.supply.write(pool_id, provider, self.desk.member(pool_id, provider))
        return taken

    def _move(
        self, lease_id: int, lease: Lease, share: Share, others: int
    ) -> list[tuple[AccountId, Units]]:
        """Return who takes over how many units of a share, at most as many as are free."""
        if not lease.duration:
            return []
        self.supply.withhold(lease.pool_id, share.provider)
        most = self.desk.config.shares_max - others
        return self._assign(lease.pool_id, lease_id, share.units, most, is_sale=False)

    def _extend_by_itself(self, lease_id: int, lease: Lease) -> bool:
        """Extend a lease at its end, if its client asked for that and it can be paid."""
        if lease.ceiling is None:
            return False
        try:
            with self.desk.context.transaction():
                self.extend(lease_id, lease.term, lease.ceiling)
        except DispatchError:
            return False
        return True

    def _remember(self, lease_id: int, lease: Lease, *, is_fault: bool = False) -> None:
        """Let disputes over the shares of a lease, which end now, begin for a while.

        What a client lost by a fault is paid out of what that cost, and never twice.
        """
        services, class_id = self.desk.services, self.desk.pool(lease.pool_id).class_id
        until = Height(self.desk.height + services.memory_blocks)
        for share in lease.shares:
            lost = Balance(0 if is_fault else self._recent(lease, share))
            past = PastShare(lease.client, class_id, lost, until)
            self.tables.memory.note(lease_id, share.provider, past)

    def _recent(self, lease: Lease, share: Share) -> int:
        """Return what a share has paid for in the blocks that its provider's fault may cover."""
        if not lease.duration:
            return 0
        stream = lease.stream(self.desk.terms(self.desk.pool(lease.pool_id)), share)
        elapsed = self.desk.height - lease.since
        before = Blocks(max(0, elapsed - self.desk.config.loss_blocks))
        return stream.due_at(Blocks(elapsed)).total - stream.due_at(before).total

    def _pay(self, pool_id: int, provider: AccountId, due: Payout) -> None:
        """Burn, and let the provider claim, what has left an escrow."""
        self.desk.burn(pool_id, due.burned)
        self.desk.earn(pool_id, provider, due.to_provider)

    def _share(self, pool_id: int, amount_q64: int, flow_q64: int = 0) -> None:
        """Add to what a pool's units share, and to what they share in every block."""
        state = self.desk.state(pool_id)
        self.tables.states[pool_id] = state.rewarded(amount_q64, flow_q64=flow_q64)

    def _add_leased(self, pool_id: int, units: int) -> None:
        state = self.desk.state(pool_id)
        self.tables.states[pool_id] = replace(state, leased=Units(state.leased + units))

    def _enlist(self, lease_id: int, client: AccountId, ends: Height) -> None:
        mine = self.tables.leases_of[client]
        if len(mine) >= self.desk.config.leases_of_max:
            raise events.TooManyLeases(f"{len(mine)} leases")
        self.tables.leases_of[client] = (*mine, lease_id)
        self._reserve_end(lease_id, ends)

    def _reserve_end(self, lease_id: int, ends: Height) -> None:
        """Take a place among the leases that end in a block: work for which it has time."""
        ending = self.tables.ends[ends]
        if len(ending) >= self.desk.config.ends_max:
            raise events.LeaseSlotFull(f"{len(ending)} leases end in block {ends}")
        self.tables.ends[ends] = (*ending, lease_id)

    def _leave_end(self, lease_id: int, ends: Height) -> None:
        ending = self.tables.ends[ends]
        self.tables.ends[ends] = tuple(each for each in ending if each != lease_id)


def merged(old: tuple[Share, ...], new: list[Share]) -> tuple[Share, ...]:
    """Return all shares, those of one provider as one."""
    shares = {share.provider: share for share in old}
    for share in new:
        known = shares.get(share.provider, Share(share.provider, Units(0), Balance(0)))
        shares[share.provider] = Share(
            share.provider,
            Units(known.units + share.units),
            Balance(known.total + share.total),
        )
    return tuple(shares.values())


def _validate_total(amount: Balance, max_total: Balance) -> None:
    if amount > max_total:
        raise events.CostsMore(f"{amount} base units, the client would pay {max_total}")


def _rebuy(pool: Pool, state: PoolState, units: Units, left: Blocks) -> int:
    """Return what leasing units again would cost that are leased and about to be refunded."""
    if not units or not left:
        return 0
    try:
        return extension_cost(pool.rule.curve, state.market, units, left)
    except QuoteOverflow:
        return 0
