"""What always holds of the pools between two blocks; the numbers are those of docs/pools.md."""

from collections.abc import Iterator

from primitives.types import AccountId
from runtime.pools.desk import Desk
from runtime.pools.pricing import Units
from runtime.pools.records import DEPOSIT, ESCROW, Lease, Member, PoolState, pool_account
from runtime.pools.roster import Roster
from runtime.pools.settlement import REWARD_Q64

Checks = Iterator[tuple[str, bool]]
"""Names of invariants, and whether they hold."""


class PoolCheck:
    """All that one pool's invariants speak of; walks its providers and its leases."""

    def __init__(self, desk: Desk, pool_id: int) -> None:
        self.desk, self.pool_id, self.state = desk, pool_id, desk.state(pool_id)
        self.members: dict[AccountId, Member] = {
            who: member
            for (pool, who), member in desk.tables.members.items()
            if pool == pool_id and member is not None
        }
        self.leases: dict[int, Lease] = {
            lease_id: lease
            for lease_id, lease in desk.tables.leases.items()
            if lease is not None and lease.pool_id == pool_id
        }

    def money(self) -> Checks:
        """Check where every base unit is, and every fraction of one (4 and 10)."""
        terms, now, state = (
            self.desk.terms(self.desk.pool(self.pool_id)),
            self.desk.height,
            self.state,
        )
        held = self.desk.services.tokens.held_for(pool_account(self.pool_id), ESCROW)
        books = self.desk.tables.books[self.pool_id]
        yield "paid_in_is_refunded_burned_claimed_or_held", held == books.kept
        escrow_q64 = flow_q64 = 0
        is_covered = True
        for lease in self.leases.values():
            for share in lease.shares:
                stream = lease.stream(terms, share)
                paid = stream.due_at(stream.settled)
                still = share.total - paid.burned - paid.to_provider
                escrow_q64 += (still << REWARD_Q64) - stream.flow_q64 * (now - lease.since)
                flow_q64 += stream.flow_q64
                is_covered &= still >= stream.parts.to_pool
        yield "the_pools_part_of_an_escrow_is_never_paid_to_others", is_covered
        yield "what_flows_is_what_running_leases_let_flow", flow_q64 == state.flow_q64
        claims = (member.claim.accrued(state.reward) for member in self.members.values())
        owed = escrow_q64 + sum(each.accrued_q64 for each in claims) + state.reward.dust_q64
        yield "held_is_in_escrow_or_claimable_to_the_last_fraction", held << REWARD_Q64 == owed

    def units(self) -> Checks:
        """Check supply and leased units (6)."""
        state, members, leases = self.state, self.members.values(), self.leases.values()
        yield "supply_is_the_units_of_the_providers", sum(m.units for m in members) == state.supply
        yield "leased_is_the_units_of_the_leases", sum(x.units for x in leases) == state.leased
        yield "leased_is_at_most_the_supply", 0 <= state.leased <= state.supply
        served: dict[AccountId, dict[int, int]] = {who: {} for who in self.members}
        for lease_id, lease in self.leases.items():
            for share in lease.shares:
                served[share.provider][lease_id] = share.units
        for who, member in self.members.items():
            mine = served[who]
            is_borne = sum(mine.values()) == member.leased <= member.units
            yield "a_provider_serves_at_most_its_units", is_borne
            is_listed = sorted(mine) == sorted(member.served)
            yield "a_provider_knows_the_leases_that_it_serves", is_listed
            yield (
                "only_units_of_the_pool_leave_it",
                member.leaving <= member.units <= member.ceiling,
            )

    def terms(self) -> Checks:
        """Check what each lease says, and that none is late."""
        now, shares_max = self.desk.height, self.desk.config.shares_max
        for lease in self.leases.values():
            yield "a_lease_ends_on_time", lease.since <= lease.settled <= now < lease.ends
            is_served = sum(share.units for share in lease.shares) == lease.units
            yield "a_lease_is_served_whole", is_served and 1 <= len(lease.shares) <= shares_max

    def lists(self, roster: Roster) -> Checks:
        """Check the exit queue, the places, and the tree of weights."""
        yield "the_exit_queue_lists_who_is_leaving", _is_queue(self.state, self.members)
        class_id, busy = self.desk.pool(self.pool_id).class_id, self.desk.config.served_max
        engaged = self.desk.tables.engaged
        is_here = all(engaged[class_id, who] == self.pool_id for who in self.members)
        yield "a_provider_supplies_one_pool_of_a_class", is_here
        weights = {
            member.slot: Units(0) if len(member.served) >= busy else member.unsold
            for member in self.members.values()
        }
        has_places = sorted(weights) == list(range(self.state.members))
        yield "providers_have_places_without_gaps", has_places
        yield "a_draw_weighs_what_providers_have_to_sell", roster.weighs(self.pool_id, weights)


def check_tables(desk: Desk) -> Checks:
    """Check what holds of all pools together."""
    tables, config = desk.tables, desk.config
    leases = {number: lease for number, lease in tables.leases.items() if lease is not None}
    due = {number: height for height, numbers in tables.ends.items() for number in numbers}
    has_ends = due == {number: lease.ends for number, lease in leases.items()}
    yield "every_lease_has_a_place_in_the_block_of_its_end", has_ends
    is_bounded = all(len(numbers) <= config.ends_max for numbers in tables.ends.values())
    yield "no_block_ends_more_leases_than_it_may", is_bounded
    mine = {number: who for who, numbers in tables.leases_of.items() for number in numbers}
    is_known = mine == {number: lease.client for number, lease in leases.items()}
    yield "every_client_knows_its_leases", is_known
    memory = tables.memory
    ends, queue = memory.ends.get(), {place: key for place, key in memory.queue.items() if key}
    keys = [queue.get(place) for place in range(ends.first, ends.following)]
    untils = [0 if key is None else key.until for key in keys]
    yield "memory_is_in_order", 0 not in untils and untils == sorted(untils)
    listed = {(key.lease_id, key.provider, key.until) for key in queue.values()}
    past = {(*where, share.until) for where, share in memory.shares.items() if share}
    yield "every_past_share_is_forgotten_in_its_time", past <= listed and len(queue) == len(keys)
    pools = {pool_id: pool for pool_id, pool in tables.pools.items() if pool is not None}
    yield "every_pool_is_listed", sorted(pools) == sorted(tables.pool_ids.get())
    deposits: dict[AccountId, int] = {}
    for pool in pools.values():
        deposits[pool.owner] = deposits.get(pool.owner, 0) + pool.deposit
    held = desk.services.tokens.held_for
    is_held = all(held(owner, DEPOSIT) == deposit for owner, deposit in deposits.items())
    yield "the_deposit_of_every_pool_is_held", is_held


def _is_queue(state: PoolState, members: dict[AccountId, Member]) -> bool:
    """Return whether the exit queue is a list, both ways, of exactly those who are leaving."""
    queue: list[AccountId] = []
    previous, who, is_linked = None, state.first_exit, True
    while who is not None and is_linked:
        is_linked = members[who].previous == previous and len(queue) < len(members)
        queue.append(who)
        previous, who = who, members[who].following
    leaving = [who for who, member in members.items() if member.leaving]
    return is_linked and state.last_exit == previous and sorted(queue) == sorted(leaving)
