"""Random lives of pools in the chain: every invariant of every module after every block.

The runtime is the real one; only what providers prove is made up. Beside the module's own checks
each operation is held to what it promises, against prices computed anew.
"""

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from primitives.types import AccountId, Balance
from runtime.pools.events import ERRORS
from runtime.pools.pricing import Blocks, Units
from runtime.pools.settlement import extension_cost, sale_max
from tests.runtime.pools.pool_chain import (
    CLIENTS,
    CPU,
    HOUR,
    KEY,
    PROVIDERS,
    SLASH,
    STORAGE,
    PoolChain,
)
from tests.runtime.pools.test_market_machine import check_price
from tests.runtime.small_chain import DAVE, EVE

STEPS = 40
EXAMPLES = {"nightly": 1_000, "ci": 34}.get(settings.get_current_profile_name(), 8)
BUSY_BLOCKS, BUSY_OPERATIONS = 38, 16
OPERATIONS_MIN = 20_000
operations_made: Counter[str] = Counter()
"""What the first machine below has tried, by name."""
SMALL = {
    "members_max": 3,
    "shares_max": 2,
    "served_max": 3,
    "leases_of_max": 4,
    "ends_max": 3,
    "exits_max": 2,
    "changes_max": 2,
    "loss_blocks": 12,
    "history_max": 4,
    "price_period": 3,
}
POOL_ERRORS = {f"pools.{error.__name__}" for error in ERRORS}

pools = st.sampled_from([CPU, CPU, STORAGE])
clients = st.sampled_from(CLIENTS)
providers = st.sampled_from(PROVIDERS)
numbers = st.integers(0, 30)
DURATIONS = (1, HOUR - 1, HOUR, HOUR + 1, HOUR + 2, 40, 300, 600, 601)
durations = st.sampled_from(DURATIONS)
shares = st.integers(0, 110)
operations: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just("prove"), providers, st.sampled_from([5, 400, 1_000, 3_000]), pools),
    st.tuples(st.just("leave"), providers, shares, pools),
    st.tuples(st.just("cancel_leave"), providers, pools),
    st.tuples(st.just("acquire"), clients, shares, durations, pools),
    st.tuples(st.just("acquire"), clients, shares, st.just(HOUR), pools),
    st.tuples(st.just("acquire_basket"), clients, shares, durations),
    st.tuples(st.just("extend"), numbers, durations),
    st.tuples(st.just("auto_extend"), numbers, st.sampled_from([None, 0, 10**9, 10**15])),
    st.tuples(st.just("terminate"), numbers),
    st.tuples(st.just("settle"), numbers),
    st.tuples(st.just("claim"), providers, pools),
    st.tuples(st.just("change"), providers, shares, st.integers(0, 2), pools),
    st.tuples(st.just("fail_share"), numbers, st.integers(0, 10**9)),
)


def any_operation(random: Random) -> tuple[Any, ...]:
    """Return one of the above: quicker drawn, for as many as a busy chain has to bear."""
    pool, client, provider = (
        random.choice(some) for some in ((CPU, CPU, STORAGE), CLIENTS, PROVIDERS)
    )
    number, share = random.randint(0, 30), random.randint(0, 110)
    duration = random.choice(DURATIONS)
    kinds: tuple[tuple[Any, ...], ...] = (
        ("prove", provider, random.choice((5, 400, 1_000, 3_000)), pool),
        ("leave", provider, share, pool),
        ("cancel_leave", provider, pool),
        ("acquire", client, share, duration, pool),
        ("acquire", client, share, HOUR, pool),
        ("acquire_basket", client, share, duration),
        ("extend", number, duration),
        ("auto_extend", number, random.choice((None, 0, 10**9, 10**15))),
        ("terminate", number),
        ("settle", number),
        ("claim", provider, pool),
        ("change", provider, share, random.randint(0, 2), pool),
        ("fail_share", number, random.randint(0, 10**9)),
    )
    return random.choice(kinds)


class PoolHistory(RuleBasedStateMachine):
    """Each rule is one block or more."""

    @initialize(price=st.sampled_from([1, 7, 50_000, 10**6]), seed=st.integers(0, 2**32))
    def open(self, price: int, seed: int) -> None:
        self.seed = seed
        self.chain = PoolChain(epoch_length=11, **SMALL)
        for pool_id in (CPU, STORAGE):
            self.chain.set_price(price, pool_id)
            for provider in PROVIDERS:
                self.chain.prove(provider, 1_000, pool_id)
        self.chain.end()
        self.priced = self.seen_priced()

    @rule(wanted=st.lists(operations, min_size=1, max_size=6))
    def act(self, wanted: list[tuple[Any, ...]]) -> None:
        for name, *arguments in wanted:
            operations_made[name] += 1
            error = getattr(self, name)(*arguments)
            assert not error or error in POOL_ERRORS | {"balances.InsufficientBalance"}, error
        self.end()

    def live_on(self) -> None:
        """Go on for many full blocks: so many operations are not drawn one by one."""
        random = Random(self.seed)
        for _ in range(BUSY_BLOCKS):
            self.act([any_operation(random) for _ in range(BUSY_OPERATIONS)])

    @rule(blocks=st.integers(1, 24))
    def time_passes(self, blocks: int) -> None:
        for _ in range(blocks):
            self.end()

    # Operations: each returns the error of its call

    def prove(self, provider: AccountId, units: int, pool_id: int) -> str:
        self.chain.providers.units[self.chain.class_of(pool_id), provider] = units
        return self.chain.error(provider, "pools.join", pool_id)

    def leave(self, provider: AccountId, share: int, pool_id: int) -> str:
        member = self.chain.pools.members[pool_id, provider]
        units = member.units * share // 100 if member else 1
        return self.chain.error(provider, "pools.leave", pool_id, units)

    def cancel_leave(self, provider: AccountId, pool_id: int) -> str:
        return self.chain.error(provider, "pools.cancel_leave", pool_id)

    def acquire(self, client: AccountId, share: int, duration: int, pool_id: int) -> str:
        before, market = self.chain.free(client), self.chain.pool(pool_id).market
        order = self.order(share, duration, pool_id)
        error = self.chain.error(client, "pools.acquire", *order)
        if not error:
            check_price(market, order[1], Blocks(duration))
            lease = self.chain.lease(self.chain.pools.lease_count.get() - 1)
            paid = before - self.chain.free(client)
            assert paid == sum(each.total for each in lease.shares) > 0
            assert lease.ends == self.chain.height + duration
        return error

    def acquire_basket(self, client: AccountId, share: int, duration: int) -> str:
        orders = [self.order(share, duration, pool_id) for pool_id in (CPU, STORAGE)]
        before = self.chain.pools.lease_count.get()
        error = self.chain.error(client, "pools.acquire_basket", orders)
        assert self.chain.pools.lease_count.get() == before + (0 if error else 2)
        return error

    def order(self, share: int, duration: int, pool_id: int) -> list[Any]:
        return [
            pool_id,
            sale_max(self.chain.pool(pool_id).supply) * share // 100,
            duration,
            10**15,
            KEY,
        ]

    def extend(self, number: int, duration: int) -> str:
        lease_id, client = self.pick(number)
        return self.chain.error(client, "pools.extend", lease_id, duration, 10**15)

    def auto_extend(self, number: int, ceiling: int | None) -> str:
        lease_id, client = self.pick(number)
        return self.chain.error(client, "pools.set_auto_extend", lease_id, ceiling)

    def terminate(self, number: int) -> str:
        lease_id, client = self.pick(number)
        lease = self.chain.pools.lease(lease_id)
        if lease is None:
            return self.chain.error(client, "pools.terminate", lease_id)
        pool = self.chain.pools.desk.pool(lease.pool_id)
        terms = self.chain.pools.desk.terms(pool)
        now = Blocks(self.chain.height - lease.since)
        streams = [lease.stream(terms, share) for share in lease.shares]
        unused = sum(stream.parts.total - stream.due_at(now).total for stream in streams)
        left, market = lease.left(self.chain.height), self.chain.pool(lease.pool_id).market
        rebuy = extension_cost(pool.rule.curve, market, lease.units, left) if left else Balance(0)
        before = self.chain.free(client)

        error = self.chain.error(client, "pools.terminate", lease_id)

        assert self.chain.free(client) - before <= min(unused, rebuy)
        return error

    def settle(self, number: int) -> str:
        lease_id, client = self.pick(number)
        return self.chain.error(client, "pools.settle", lease_id)

    def claim(self, provider: AccountId, pool_id: int) -> str:
        return self.chain.error(provider, "pools.claim", pool_id)

    def change(self, provider: AccountId, share: int, slashed: int, pool_id: int) -> str:
        member = self.chain.pools.members[pool_id, provider]
        if member is not None:
            units = member.units * share // 100 if slashed else 1_000
            self.chain.change(
                provider, units, slashed=slashed * 10**8, reason="missed", pool_id=pool_id
            )
        return ""

    def fail_share(self, number: int, slashed: int) -> str:
        lease_id, client = self.pick(number)
        lease = self.chain.pools.lease(lease_id)
        if lease is not None:
            provider, before = lease.shares[0].provider, self.chain.free(client)
            balances = self.chain.runtime.balances
            waiting = balances.held[provider, SLASH]
            if slashed:
                balances.hold(provider, SLASH, Balance(slashed))
            self.chain.pools.fail_share(lease_id, provider, "lied", slashed=Balance(slashed))
            assert self.chain.free(client) >= before
            assert balances.held[provider, SLASH] == waiting
        return ""

    def pick(self, number: int) -> tuple[int, AccountId]:
        """Return a lease, mostly one that runs, and its client."""
        running = [lease_id for lease_id, _ in self.chain.pools.leases.items()]
        if not running:
            return number, CLIENTS[0]
        lease_id = running[number % len(running)]
        return lease_id, self.chain.lease(lease_id).client

    # What always holds

    def seen_priced(self) -> list[int]:
        return [self.chain.pool(pool_id).priced_supply for pool_id in (CPU, STORAGE)]

    def end(self) -> None:
        ending = self.chain.pools.ends[self.chain.height]
        kept = {lease_id for lease_id in ending if self.chain.lease(lease_id).ceiling is not None}
        self.chain.end()
        for lease_id in ending:
            lease = self.chain.pools.lease(lease_id)
            assert lease is None or (lease_id in kept and lease.ends >= self.chain.height)
        for before, after in zip(self.priced, self.seen_priced(), strict=True):
            assert abs(after - before) <= max(1, before >> 6)
        self.priced = self.seen_priced()

    @invariant()
    def a_slash_is_paid_out_or_waits(self) -> None:
        if hasattr(self, "chain"):
            queue = self.chain.providers.queue
            for provider in PROVIDERS:
                waits = sum(each.slashed for each in queue if each.provider == provider)
                assert self.chain.runtime.balances.held[provider, SLASH] == waits

    @invariant()
    def the_proofs_know_what_is_leased(self) -> None:
        if hasattr(self, "chain"):
            for (pool_id, provider), member in self.chain.pools.members.items():
                assert member is not None
                key = (self.chain.class_of(pool_id), provider)
                assert self.chain.providers.leased.get(key, 0) == member.leased
                assert key in self.chain.providers.engaged

    def teardown(self) -> None:
        """Let every lease end and every provider leave: nothing is left in the pools' accounts."""
        if not hasattr(self, "chain"):
            return
        self.live_on()
        for lease_id, lease in list(self.chain.pools.leases.items()):
            assert lease is not None
            self.chain.do(lease.client, "pools.terminate", lease_id)
        for pool_id in (CPU, STORAGE):
            for provider in PROVIDERS:
                if self.chain.pools.members[pool_id, provider] is not None:
                    self.chain.providers.queue.clear()
                    self.empty(provider, pool_id)
            assert self.chain.escrow(pool_id) == self.chain.pool(pool_id).reward.dust_q64 >> 64
            assert self.chain.pool(pool_id).reward.dust_q64 & ((1 << 64) - 1) == 0

    def empty(self, provider: AccountId, pool_id: int) -> None:
        supply = self.chain.pools.supply
        supply.resize(pool_id, provider, self.chain.member(provider, pool_id), Units(0))
        self.chain.do(provider, "pools.leave", pool_id, 0)


class LonelyTrader(RuleBasedStateMachine):
    """One account owns half of a pool and trades with itself: it never gains."""

    @initialize(price=st.sampled_from([1, 7, 50_000, 10**6]), own=st.integers(16, 3_000))
    def open(self, price: int, own: int) -> None:
        self.chain = PoolChain(epoch_length=11)
        self.chain.set_price(price)
        for provider in (DAVE, EVE):
            self.chain.prove(provider, own)
        self.chain.skip(5)
        self.endowment = self.chain.free(DAVE)

    @rule(share=st.integers(1, 100), duration=st.sampled_from([HOUR, 40, 600]))
    def acquire(self, share: int, duration: int) -> None:
        units = max(1, sale_max(self.chain.pool().supply) * share // 100)
        self.chain.error(DAVE, "pools.acquire", CPU, units, duration, 10**15, KEY)

    @rule(which=numbers, duration=st.sampled_from([1, HOUR, 40, 500]))
    def extend(self, which: int, duration: int) -> None:
        leases = self.chain.pools.leases_of[DAVE]
        if leases:
            lease_id = leases[which % len(leases)]
            self.chain.error(DAVE, "pools.extend", lease_id, duration, 10**15)

    @rule(which=numbers)
    def end(self, which: int) -> None:
        leases = self.chain.pools.leases_of[DAVE]
        if leases:
            self.chain.do(DAVE, "pools.terminate", leases[which % len(leases)])

    @rule(units=st.integers(1, 500))
    def leave(self, units: int) -> None:
        self.chain.error(DAVE, "pools.leave", CPU, units)

    @rule()
    def return_to_the_pool(self) -> None:
        self.chain.error(DAVE, "pools.cancel_leave", CPU)
        self.chain.error(DAVE, "pools.join", CPU)

    @rule(blocks=st.integers(1, 40))
    def time_passes(self, blocks: int) -> None:
        self.chain.skip(blocks)

    @invariant()
    def the_trader_never_owns_more_than_it_began_with(self) -> None:
        if not hasattr(self, "chain"):
            return
        desk, state = self.chain.pools.desk, self.chain.pool()
        terms, escrow = desk.terms(desk.pool(CPU)), 0
        for lease_id in self.chain.pools.leases_of[DAVE]:
            lease = self.chain.lease(lease_id)
            now = Blocks(self.chain.height - lease.since)
            streams = [
                replace(lease.stream(terms, each), settled=Blocks(0)) for each in lease.shares
            ]
            escrow += sum(stream.parts.total - stream.due_at(now).total for stream in streams)
            # What the trader's own machines have earned by it and not been paid yet.
            mine = [
                stream
                for stream, share in zip(streams, lease.shares, strict=True)
                if share.provider == DAVE
            ]
            settled = Blocks(lease.settled - lease.since)
            escrow += sum(s.due_at(now).to_provider - s.due_at(settled).to_provider for s in mine)
        claim = self.chain.member(DAVE).claim.accrued(state.reward).accrued_q64 >> 64

        assert self.chain.free(DAVE) + escrow + claim <= self.endowment


TestPoolHistory = PoolHistory.TestCase
TestPoolHistory.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS)
TestLonelyTrader = LonelyTrader.TestCase
TestLonelyTrader.settings = settings(max_examples=max(5, EXAMPLES // 4), stateful_step_count=STEPS)


def test_ci_makes_as_many_operations_as_are_claimed() -> None:
    if settings.get_current_profile_name() != "ci" or not operations_made:
        pytest.skip("counts what the machine above has done, with the profile of CI")

    assert operations_made.total() >= OPERATIONS_MIN
