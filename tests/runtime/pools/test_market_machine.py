"""Random histories of a whole market: no token appears, vanishes or is gained by anyone alone.

The numbers of invariants are those of docs/pools.md, which says where each is held.
"""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from runtime.pools.controller import PPB
from runtime.pools.parameters import DEFAULT_CURVE
from runtime.pools.pricing import Blocks, Market, NotEnoughSupply, PriceQ32, Units, cost
from tests.runtime.pools import reference
from tests.runtime.pools.in_memory_market import ISSUANCE, InMemoryMarket, Refused

LEASES_MAX = 6
ENDOWMENT = 10**15
HISTORY = 100
EXAMPLES = {"nightly": 2_000, "ci": 155}.get(settings.get_current_profile_name(), 40)
"""The two machines together take some 21 500 steps in CI, 5 500 on a desk, 280 000 at night."""

STEPS_MIN = 20_000
steps: Counter[str] = Counter()
"""Steps that each machine has taken."""

names = st.sampled_from(["alice", "bob"])
machines = st.sampled_from(["north", "east", "south"])
durations = st.integers(1, 60)
octaves = st.integers(-(4 << 32), 24 << 32)


def check_price(market: Market, units: Units, duration: Blocks) -> None:
    """Hold a price to the exact integral, and to what more of it and its parts cost (1, 2, 3)."""

    def priced(units: int, duration: int, market: Market = market) -> int:
        return cost(DEFAULT_CURVE, market, Units(units), Blocks(duration))

    amount = priced(units, duration)
    weighted = reference.integral(
        exponent=DEFAULT_CURVE.exponent,
        floor_q16=DEFAULT_CURVE.floor_q16,
        target_q16=DEFAULT_CURVE.target_q16,
        depth=DEFAULT_CURVE.virtual_depth,
        start=market.leased,
        end=market.leased + units,
        supply=market.priced_supply,
    )
    exact = reference.exact_cost(weighted, price_q32=market.base_price, duration=duration)
    assert exact <= amount
    assert (amount - exact - 1) * 2**64 < market.base_price * duration
    assert amount >= priced(units, duration, _with(market, priced_supply=market.priced_supply + 1))
    assert amount <= priced(units, duration, _with(market, base_price=market.base_price + 1))
    assert amount <= priced(units, duration + 1)
    if market.leased:
        assert amount >= priced(units, duration, _with(market, leased=market.leased - 1))
    half, rest = units // 2, units - units // 2
    if half:
        assert amount >= priced(half, duration)
        later = _with(market, leased=market.leased + half)
        assert priced(half, duration) + priced(rest, duration, later) >= amount
    if duration > 1:
        assert priced(units, duration // 2) + priced(units, duration - duration // 2) >= amount


def _with(
    market: Market,
    *,
    leased: int | None = None,
    priced_supply: int | None = None,
    base_price: int | None = None,
) -> Market:
    return replace(
        market,
        leased=market.leased if leased is None else Units(leased),
        priced_supply=market.priced_supply if priced_supply is None else Units(priced_supply),
        base_price=market.base_price if base_price is None else PriceQ32(base_price),
    )


class AnyMarket(RuleBasedStateMachine):
    """Everyone does anything; the books balance after every step."""

    @initialize(start=octaves)
    def open(self, start: int) -> None:
        self.market = InMemoryMarket(start)
        self.market.accounts = {"alice": ENDOWMENT, "bob": ENDOWMENT}
        self.endowed = 2 * ENDOWMENT

    @rule(name=machines, units=st.integers(1, 5_000))
    def join(self, name: str, units: int) -> None:
        self.market.join(name, units)

    @rule(name=machines, units=st.integers(1, 5_000))
    def leave(self, name: str, units: int) -> None:
        if name in self.market.providers:
            provider = self.market.providers[name]
            free = provider.units - provider.leased
            try:
                self.market.leave(name, units)
            except Refused:
                assert units > free

    @rule(client=names, share=st.integers(1, 100), duration=durations)
    def acquire(self, client: str, share: int, duration: int) -> None:
        free = self.market.market().free
        if free > 0 and len(self.market.leases) < LEASES_MAX:
            units = Units(max(1, free * share // 100))
            check_price(self.market.market(), units, Blocks(duration))
            try:
                self.market.acquire(client, units, duration)
            except Refused:
                assert self.market.accounts[client] < ENDOWMENT * 3

    @precondition(lambda self: self.market.leases)
    @rule(which=st.integers(0, LEASES_MAX), duration=durations)
    def extend(self, which: int, duration: int) -> None:
        leases = sorted(self.market.leases)
        number = leases[which % len(leases)]
        if len(self.market.leases[number].parts[0].terms) < 4:
            try:
                self.market.extend(number, duration)
            except (Refused, NotEnoughSupply):
                return

    @precondition(lambda self: self.market.leases)
    @rule(which=st.integers(0, LEASES_MAX))
    def end(self, which: int) -> None:
        leases = sorted(self.market.leases)

        refund, unused, rebuy = self.market.end(leases[which % len(leases)])

        assert refund <= unused
        assert refund <= rebuy

    @rule(name=machines)
    def fail(self, name: str) -> None:
        if name in self.market.providers:
            self.market.fail(name)

    @rule(blocks=st.integers(1, 12))
    def advance(self, blocks: int) -> None:
        for _ in range(blocks):
            before = self.market.priced
            self.market.advance(1)
            assert abs(self.market.priced - before) <= max(1, before >> 6)  # 9

    @rule(name=machines)
    def claim(self, name: str) -> None:
        if name in self.market.providers:
            self.market.claim(name)

    @invariant()
    def a_step_is_counted(self) -> None:
        steps["any market"] += 1

    @invariant()
    def what_was_paid_in_is_somewhere(self) -> None:
        market = self.market
        out = market.burned + market.to_providers + market.to_pool + market.refunded

        assert out + market.escrow == market.paid_in

    @invariant()
    def every_token_is_in_an_account_an_escrow_or_the_shared_reward(self) -> None:
        market = self.market
        shared = market.to_pool + market.recycled - market.claimed

        assert shared >= 0
        assert (
            sum(market.accounts.values()) + market.escrow + shared
            == self.endowed - market.burned + market.recycled
        )

    @invariant()
    def leased_units_are_the_live_leases_and_never_more_than_the_supply(self) -> None:
        market = self.market

        assert 0 <= market.leased <= market.supply
        assert market.leased == sum(provider.leased for provider in market.providers.values())
        assert market.reward.units == market.supply

    @invariant()
    def no_more_is_recycled_than_its_share_of_the_burn(self) -> None:
        ever = self.market.recycled + self.market.reserve.recyclable

        assert ever * PPB <= self.market.burned * ISSUANCE.recycled_ppb

    def teardown(self) -> None:
        if not hasattr(self, "market"):
            return
        for name in sorted(self.market.providers):
            self.market.claim(name)
        left = self.market.to_pool + self.market.recycled - self.market.claimed
        waiting = self.market.reward.dust_q64 >> 64
        assert 0 <= left - waiting <= len(self.market.providers)


class LonelyTrader(RuleBasedStateMachine):
    """One account trades with itself and owns up to half of the machines: it never gains.

    The worst case for the pool is taken throughout: its leases are always served by its own
    machines first, and everything it could claim counts as its own at once.
    """

    @initialize(start=octaves, own=st.integers(1, 5_000), more=st.integers(0, 5_000))
    def open(self, start: int, own: int, more: int) -> None:
        self.market = InMemoryMarket(start)
        self.market.accounts = {"trader": ENDOWMENT}
        self.market.join("trader", own)
        self.market.join("idle", own + more)
        self.market.advance(200)

    @rule(share=st.integers(1, 100), duration=durations)
    def acquire(self, share: int, duration: int) -> None:
        free = self.market.market().free
        if free > 0 and len(self.market.leases) < LEASES_MAX:
            try:
                self.market.acquire("trader", max(1, free * share // 100), duration, "trader")
            except Refused:
                return

    @precondition(lambda self: self.market.leases)
    @rule(which=st.integers(0, LEASES_MAX), duration=durations)
    def extend(self, which: int, duration: int) -> None:
        leases = sorted(self.market.leases)
        number = leases[which % len(leases)]
        if len(self.market.leases[number].parts[0].terms) < 4:
            try:
                self.market.extend(number, duration)
            except Refused:
                return

    @precondition(lambda self: self.market.leases)
    @rule(which=st.integers(0, LEASES_MAX))
    def end(self, which: int) -> None:
        leases = sorted(self.market.leases)
        self.market.end(leases[which % len(leases)])

    @rule(blocks=st.integers(1, 40))
    def advance(self, blocks: int) -> None:
        self.market.advance(blocks)

    @rule(units=st.integers(1, 3_000))
    def leave_and_return(self, units: int) -> None:
        provider = self.market.providers["trader"]
        if units <= provider.units - provider.leased:
            self.market.leave("trader", units)
            self.market.join("trader", units)

    @invariant()
    def the_trader_never_owns_more_than_it_began_with(self) -> None:
        steps["lonely trader"] += 1
        if hasattr(self, "market"):
            self.market.claim("trader")

            # What is in escrow could be refunded at best in full.
            assert self.market.accounts["trader"] + self.market.escrow <= ENDOWMENT


TestAnyMarket = AnyMarket.TestCase
TestAnyMarket.settings = settings(max_examples=EXAMPLES, stateful_step_count=HISTORY)
TestLonelyTrader = LonelyTrader.TestCase
TestLonelyTrader.settings = settings(max_examples=EXAMPLES // 2, stateful_step_count=HISTORY)


def test_ci_takes_as_many_steps_as_are_claimed() -> None:
    if settings.get_current_profile_name() != "ci" or len(steps) < 2:
        pytest.skip("counts what both machines above have done, with the profile of CI")

    assert steps.total() >= STEPS_MIN
