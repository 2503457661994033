"""The supply of pools: providers join, leave through a queue, and change with what they prove.

Invariants: a pool's supply is the sum of its providers' units, the units of its reward; a leased
unit never leaves before its lease does; no more than the pool's share of its supply per day leaves
through the queue; who supplies no pool any more has been paid, to the last whole base unit.
"""

from dataclasses import replace

from primitives.types import AccountId
from runtime.pools import events
from runtime.pools.controller import ONE_Q32, allowance
from runtime.pools.desk import Desk
from runtime.pools.pricing import UNITS_MAX, Units
from runtime.pools.records import Member
from runtime.pools.roster import Roster


class Supply:
    """What providers do with pools."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.tables = desk, desk.tables
        self.roster = Roster(self.tables.slots, self.tables.weights, desk.config.members_max)

    def join(self, provider: AccountId, pool_id: int) -> None:
        """Let all live units of ``provider`` supply a pool.

        Raises: UnknownPool, AlreadyMember, AlreadyLeaving, NothingProven, PoolFull.
        """
        pool, tables, providers = self.desk.pool(pool_id), self.tables, self.desk.services.providers
        current = tables.engaged[pool.class_id, provider]
        if current not in (None, pool_id):
            raise events.AlreadyMember(f"of pool {current}")
        live = providers.proven_units(pool.class_id, provider)
        if not live:
            raise events.NothingProven(f"class {pool.class_id}")
        if current is None:
            self._enter(provider, pool_id)
            tables.engaged[pool.class_id, provider] = pool_id
            providers.engage(pool.class_id, provider)
        member = self.desk.member(pool_id, provider)
        if member.leaving:
            raise events.AlreadyLeaving(f"{member.leaving} units")
        # Fewer than are leased are a change that is on its way, and that moves the leases.
        units = Units(max(live, member.leased))
        self.resize(pool_id, provider, replace(member, ceiling=UNITS_MAX), units)
        self.desk.emit(events.Joined(pool_id, provider, units))

    def leave(self, provider: AccountId, pool_id: int, units: Units) -> None:
        """Put units into the exit queue; who has none in the pool is out at once.

        Raises: NotMember, AlreadyLeaving, NotSoManyUnits.
        """
        member = self.desk.member(pool_id, provider)
        if not member.units:
            self._remove(pool_id, provider, member)
            return
        if member.leaving:
            raise events.AlreadyLeaving(f"{member.leaving} units")
        if not 0 < units <= member.units:
            raise events.NotSoManyUnits(f"{member.units} in the pool, {units} are to leave")
        self.write(pool_id, provider, replace(member, leaving=units))
        self._append(pool_id, provider)
        self.desk.emit(events.LeaveQueued(pool_id, provider, units))

    def cancel_leave(self, provider: AccountId, pool_id: int) -> None:
        """Take all units out of the exit queue. Raises: NotMember, NotLeaving."""
        member = self.desk.member(pool_id, provider)
        if not member.leaving:
            raise events.NotLeaving(f"pool {pool_id}")
        self._unlink(pool_id, provider)
        member = self.desk.member(pool_id, provider)
        self.write(pool_id, provider, replace(member, leaving=Units(0)))
        self.desk.emit(events.LeaveCanceled(pool_id, provider, member.leaving))

    def claim(self, provider: AccountId, pool_id: int) -> None:
        """Pay what a provider has earned. Raises: NotMember, NothingToClaim."""
        member = self.desk.member(pool_id, provider)
        claim, amount = member.claim.claimed(self.desk.state(pool_id).reward)
        if not amount:
            raise events.NothingToClaim(f"pool {pool_id}")
        self.write(pool_id, provider, replace(member, claim=claim))
        self.desk.pay_claim(pool_id, provider, amount)
        self.desk.emit(events.Claimed(pool_id, provider, amount))

    def lend(self, pool_id: int, provider: AccountId, lease_id: int, units: Units) -> None:
        """Let a provider serve ``units`` of a lease, more than it serves of it already."""
        member = self.desk.member(pool_id, provider)
        served = member.served if lease_id in member.served else (*member.served, lease_id)
        leased = Units(member.leased + units)
        self._set_leased(pool_id, provider, replace(member, leased=leased, served=served))

    def give_back(self, pool_id: int, provider: AccountId, lease_id: int, units: Units) -> None:
        """End what a provider serves of a lease."""
        member = self.desk.member(pool_id, provider)
        served = tuple(each for each in member.served if each != lease_id)
        leased = Units(member.leased - units)
        self._set_leased(pool_id, provider, replace(member, leased=leased, served=served))

    def is_too_small(self, member: Member, units: Units) -> bool:
        """Return whether a share would waste a provider's last places for leases.

        Half of them are for shares of any size; of the rest each takes its part of what is unsold,
        so that a swarm of tiny leases never shuts a provider.
        """
        left = self.desk.config.served_max - len(member.served)
        return 2 * left <= self.desk.config.served_max and units * left < member.unsold

    def withhold(self, pool_id: int, provider: AccountId) -> None:
        """Let nobody draw a provider until it is written again."""
        self.roster.weigh(pool_id, self.desk.member(pool_id, provider).slot, Units(0))

    def capped(self, pool_id: int, member: Member, live: Units) -> Units:
        """Return how many of a member's live units count in the pool."""
        others = self.desk.state(pool_id).supply - member.units
        return Units(min(live, member.ceiling, UNITS_MAX - others))

    def resize(self, pool_id: int, provider: AccountId, member: Member, units: Units) -> None:
        """Set a member's units; those that are leased must not exceed them."""
        state = self.desk.state(pool_id)
        units = self.capped(pool_id, member, units)
        claim, reward = member.claim.resized(state.reward, units)
        self.tables.states[pool_id] = replace(state, reward=reward)
        leaving = min(member.leaving, units)
        self.write(pool_id, provider, replace(member, claim=claim, leaving=Units(leaving)))
        if member.leaving and not leaving:
            self._unlink(pool_id, provider)

    def write(self, pool_id: int, provider: AccountId, member: Member) -> None:
        """Write a member, and what it has to sell into the draw."""
        self.tables.members[pool_id, provider] = member
        is_busy = len(member.served) >= self.desk.config.served_max
        self.roster.weigh(pool_id, member.slot, Units(0) if is_busy else member.unsold)

    def run_exits(self, pool_id: int) -> None:
        """Let through the exit queue what the pool's share per day has grown to.

        Units leave together once all that can leave of the first in the queue are covered; who
        has only leased units goes to the end of it.
        """
        state, rule = self.desk.state(pool_id), self.desk.pool(pool_id).rule
        if state.first_exit is None:
            return
        whole, fraction = allowance(
            self.desk.clock,
            rule.exit_per_day_ppb,
            state.supply,
            carried_q32=state.exit_budget_q32,
        )
        budget = (whole << 32) + fraction
        for _ in range(self.desk.config.exits_max):
            first = self.desk.state(pool_id).first_exit
            if first is None:
                budget = 0
                break
            member = self.desk.member(pool_id, first)
            # Nobody saves up for more than what is waiting at the head of the queue.
            budget = min(budget, member.leaving * ONE_Q32)
            going = min(member.leaving, member.units - member.leased)
            if going << 32 > budget or (not going and member.following is None):
                break
            budget -= going << 32
            self._let_out(pool_id, first, Units(going))
        self.tables.states[pool_id] = replace(self.desk.state(pool_id), exit_budget_q32=budget)

    def _let_out(self, pool_id: int, provider: AccountId, going: Units) -> None:
        """Let units of the first in the queue leave; what is leased waits at its end."""
        self._unlink(pool_id, provider)
        member = self.desk.member(pool_id, provider)
        remaining = Units(member.units - going)
        if going:
            leaving = Units(member.leaving - going)
            member = replace(member, leaving=Units(0), ceiling=remaining)
            self.resize(pool_id, provider, member, remaining)
            member = replace(self.desk.member(pool_id, provider), leaving=leaving)
            self.write(pool_id, provider, member)
            self.desk.emit(events.UnitsLeft(pool_id, provider, going, remaining))
        if member.leaving:
            self._append(pool_id, provider)
        elif not remaining:
            self._remove(pool_id, provider, member)

    def _enter(self, provider: AccountId, pool_id: int) -> None:
        state = self.desk.state(pool_id)
        if state.members >= self.desk.config.members_max:
            raise events.PoolFull(f"{state.members} providers")
        self.roster.add(pool_id, state.members, provider)
        self.tables.members[pool_id, provider] = Member(state.members, UNITS_MAX)
        self.tables.states[pool_id] = replace(state, members=state.members + 1)

    def _remove(self, pool_id: int, provider: AccountId, member: Member) -> None:
        """Pay a member without units and forget it; its fraction of a base unit is shared."""
        state = self.desk.state(pool_id)
        claim, amount = member.claim.claimed(state.reward)
        reward = replace(state.reward, dust_q64=state.reward.dust_q64 + claim.accrued_q64)
        last = state.members - 1
        self.tables.states[pool_id] = replace(state, reward=reward, members=last)
        mover = self.roster.remove(pool_id, member.slot, last=last)
        if mover is not None:
            moved = self.desk.member(pool_id, mover)
            self.write(pool_id, mover, replace(moved, slot=member.slot))
        self.desk.pay_claim(pool_id, provider, amount)
        del self.tables.members[pool_id, provider]
        class_id = self.desk.pool(pool_id).class_id
        del self.tables.engaged[class_id, provider]
        self.desk.services.providers.disengage(class_id, provider)
        self.desk.emit(events.MemberRemoved(pool_id, provider, amount))

    def _set_leased(self, pool_id: int, provider: AccountId, member: Member) -> None:
        self.write(pool_id, provider, member)
        class_id = self.desk.pool(pool_id).class_id
        self.desk.services.providers.set_leased(class_id, provider, member.leased)

    def _append(self, pool_id: int, provider: AccountId) -> None:
        """Put a member at the end of the exit queue."""
        state = self.desk.state(pool_id)
        last = state.last_exit
        self._link(pool_id, provider, previous=last, following=None)
        if last is None:
            state = replace(state, first_exit=provider)
        else:
            before = self.desk.member(pool_id, last)
            self._link(pool_id, last, previous=before.previous, following=provider)
        self.tables.states[pool_id] = replace(state, last_exit=provider)

    def _unlink(self, pool_id: int, provider: AccountId) -> None:
        """Take a member out of the exit queue."""
        state, member = self.desk.state(pool_id), self.desk.member(pool_id, provider)
        previous, following = member.previous, member.following
        if previous is None:
            state = replace(state, first_exit=following)
        else:
            before = self.desk.member(pool_id, previous)
            self._link(pool_id, previous, previous=before.previous, following=following)
        if following is None:
            state = replace(state, last_exit=previous)
        else:
            after = self.desk.member(pool_id, following)
            self._link(pool_id, following, previous=previous, following=after.following)
        self.tables.states[pool_id] = state
        self._link(pool_id, provider, previous=None, following=None)

    def _link(
        self,
        pool_id: int,
        provider: AccountId,
        *,
        previous: AccountId | None,
        following: AccountId | None,
    ) -> None:
        member = self.desk.member(pool_id, provider)
        linked = replace(member, previous=previous, following=following)
        self.tables.members[pool_id, provider] = linked
