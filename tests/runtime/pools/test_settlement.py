"""Streams, payouts, refunds and shared rewards: by hand, and as properties."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.types import UINT64_MAX, Balance
from runtime.pools.parameters import DEFAULT_CURVE
from runtime.pools.pricing import Blocks, Market, ParameterOutOfRange, PriceQ32, Units, cost
from runtime.pools.settlement import (
    Membership,
    Payout,
    SharedReward,
    Stream,
    Terms,
    end_by_fault,
    end_early,
    extension_cost,
    pay_out,
    sale_max,
    split,
)

TERMS = Terms(
    burn_ppb=200_000_000,
    provider_ppb=800_000_000,
    early_end_fee_ppb=50_000_000,
    rent_min=Blocks(10),
)
amounts = st.integers(0, UINT64_MAX).map(Balance)


def test_a_payout_is_a_fifth_burned_and_the_rest_four_to_one() -> None:
    payout = pay_out(TERMS, Balance(1_000))

    assert (payout.burned, payout.to_provider, payout.to_pool) == (200, 640, 160)


def test_a_burn_is_rounded_up_even_from_a_single_base_unit() -> None:
    assert pay_out(TERMS, Balance(1)).burned == 1


@given(amounts, st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_payout_adds_up_to_its_amount(amount: Balance, burn: int, provider: int) -> None:
    terms = Terms(burn, provider, early_end_fee_ppb=0, rent_min=Blocks(0))

    payout = pay_out(terms, amount)

    assert payout.total == amount
    assert payout.burned * 10**9 >= amount * burn
    assert min(payout.burned, payout.to_provider, payout.to_pool) >= 0


@given(amounts, st.integers(1, 1 << 21), st.lists(st.integers(0, 1 << 21), max_size=20))
def test_a_stream_pays_the_same_whenever_it_is_settled(
    total: Balance, duration: int, moments: list[int]
) -> None:
    stream, paid = Stream.opened(TERMS, total, Blocks(duration)), 0
    for moment in sorted(moments):
        stream, due = stream.advanced(Blocks(moment))
        paid += due.total

        assert paid == stream.due_at(Blocks(moment)).total
        assert abs(paid - total * min(moment, duration) // duration) <= 2
        assert paid + stream.remaining == total

    stream, due = stream.advanced(Blocks(duration))

    assert paid + due.total == total
    assert stream.due_at(Blocks(duration)) == pay_out(TERMS, total)
    assert stream.advanced(Blocks(0)) == (stream, Payout(Balance(0), Balance(0), Balance(0)))


@given(amounts, st.integers(1, 1 << 21), st.integers(0, 1 << 21))
def test_the_pools_part_of_a_stream_covers_what_has_flowed_to_the_last_fraction(
    total: Balance, duration: int, elapsed: int
) -> None:
    stream, now = Stream.opened(TERMS, total, Blocks(duration)), min(elapsed, duration)

    over = (stream.due_at(Blocks(elapsed)).to_pool << 64) - stream.flow_q64 * now

    assert 0 <= over < 1 << 64


@given(amounts, st.lists(st.integers(1, 1 << 40), min_size=1, max_size=12))
def test_a_split_adds_up_and_is_in_proportion(total: Balance, weights: list[int]) -> None:
    parts = split(total, weights)

    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - total * weight) < sum(weights)


def test_an_early_end_refunds_the_unused_part_less_the_fee() -> None:
    stream, _ = Stream.opened(TERMS, Balance(1_000), Blocks(100)).advanced(Blocks(40))

    ending = end_early(TERMS, stream, Blocks(40), value=Balance(10_000))

    assert ending.refund == 570  # 95 % of 600
    assert ending.payout == pay_out(TERMS, Balance(30))


def test_an_early_end_refunds_no_more_than_the_units_are_worth_now() -> None:
    stream, _ = Stream.opened(TERMS, Balance(1_000), Blocks(100)).advanced(Blocks(40))

    assert end_early(TERMS, stream, Blocks(40), value=Balance(200)).refund == 190


def test_the_shortest_rent_is_paid_however_early_a_lease_ends() -> None:
    stream = Stream.opened(TERMS, Balance(1_000), Blocks(100))

    assert end_early(TERMS, stream, Blocks(0), value=Balance(10_000)).refund == 855


def test_a_lease_shorter_than_the_shortest_rent_refunds_nothing() -> None:
    stream = Stream.opened(TERMS, Balance(1_000), Blocks(5))

    ending = end_early(TERMS, stream, Blocks(0), value=Balance(10_000))

    assert ending.refund == 0
    assert ending.payout.total == 1_000


def test_a_fault_refunds_everything_that_has_not_streamed_without_a_fee() -> None:
    stream, _ = Stream.opened(TERMS, Balance(1_000), Blocks(100)).advanced(Blocks(30))

    ending = end_by_fault(stream, Blocks(40))

    assert ending.refund == 600
    assert ending.payout.total == 100


@given(amounts, st.integers(1, 1_000), st.integers(0, 1_200), st.integers(0, 1_200), amounts)
def test_an_ending_divides_the_whole_escrow(
    total: Balance, duration: int, settled: int, now: int, value: Balance
) -> None:
    stream, _ = Stream.opened(TERMS, total, Blocks(duration)).advanced(Blocks(min(settled, now)))

    early = end_early(TERMS, stream, Blocks(now), value=value)
    fault = end_by_fault(stream, Blocks(now))

    assert early.refund + early.payout.total == stream.remaining
    assert fault.refund + fault.payout.total == stream.remaining
    assert early.refund <= min(value, fault.refund)


def test_an_extension_costs_what_leasing_the_units_again_would() -> None:
    market = Market(Units(700), Units(1_000), Units(1_000), PriceQ32(5 << 32))
    without = Market(Units(600), Units(1_000), Units(1_000), PriceQ32(5 << 32))

    amount = extension_cost(DEFAULT_CURVE, market, Units(100), Blocks(60))

    assert amount == cost(DEFAULT_CURVE, without, Units(100), Blocks(60))


def test_a_sold_out_pool_still_extends_what_it_has_leased() -> None:
    full = Market(Units(1_000), Units(1_000), Units(1_000), PriceQ32(5 << 32))

    assert extension_cost(DEFAULT_CURVE, full, Units(1_000), Blocks(60)) > 0
    with pytest.raises(ParameterOutOfRange):
        extension_cost(DEFAULT_CURVE, full, Units(1_001), Blocks(60))


def test_a_block_sells_a_sixteenth_of_the_supply() -> None:
    assert sale_max(Units(1_600)) == 100
    assert sale_max(Units(3)) == 1


def test_a_reward_is_shared_by_units_and_its_dust_is_kept() -> None:
    reward = SharedReward()
    one, reward = Membership().resized(reward, Units(1))
    two, reward = Membership().resized(reward, Units(2))

    reward = reward.added(Balance(100))
    one, first = one.claimed(reward)
    two, second = two.claimed(reward)

    assert (first, second) == (33, 66)

    reward = reward.added(Balance(2))
    one, first = one.claimed(reward)
    two, second = two.claimed(reward)

    # Together 102, of which a third is 34, less the dust of a division in Q64.
    assert (first, second) in {(0, 1), (0, 2), (1, 1), (1, 2)}


def test_a_reward_without_units_waits_for_the_first_one() -> None:
    reward = SharedReward().added(Balance(70))
    member, reward = Membership().resized(reward, Units(4))

    reward = reward.added(Balance(30))

    assert member.claimed(reward)[1] == 100


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["add", "resize", "claim"]), amounts),
        max_size=60,
    )
)
def test_nothing_of_a_shared_reward_is_lost_to_the_last_fraction(
    history: list[tuple[int, str, int]],
) -> None:
    reward = SharedReward()
    members = [Membership() for _ in range(4)]
    added = claimed = 0
    for who, action, amount in history:
        if action == "add":
            reward = reward.added(Balance(amount))
            added += amount
        elif action == "resize":
            members[who], reward = members[who].resized(reward, Units(amount >> 26))
        else:
            members[who], paid = members[who].claimed(reward)
            claimed += paid

    owed = sum(member.accrued(reward).accrued_q64 for member in members)

    assert (claimed << 64) + owed + reward.dust_q64 == added << 64
    assert reward.units == sum(member.units for member in members)


def test_a_member_has_no_claim_on_what_was_shared_before_it_came() -> None:
    reward = SharedReward()
    early, reward = Membership().resized(reward, Units(5))
    reward = reward.added(Balance(100))
    late, reward = Membership().resized(reward, Units(5))

    assert late.claimed(reward)[1] == 0
    assert early.claimed(reward)[1] == 100


@pytest.mark.parametrize("field", ["burn_ppb", "provider_ppb", "early_end_fee_ppb"])
def test_terms_beyond_all_are_refused(field: str) -> None:
    shares = {"burn_ppb": 0, "provider_ppb": 0, "early_end_fee_ppb": 0, field: 10**9 + 1}

    with pytest.raises(ParameterOutOfRange, match=field):
        Terms(**shares, rent_min=Blocks(0))


def test_a_stream_that_was_settled_beyond_its_end_is_refused() -> None:
    with pytest.raises(ParameterOutOfRange):
        Stream(pay_out(TERMS, Balance(1)), Blocks(1), settled=Blocks(2))


def test_a_pool_of_too_many_units_is_refused() -> None:
    member, reward = Membership().resized(SharedReward(), Units(1 << 40))

    assert member.units == 1 << 40
    with pytest.raises(ParameterOutOfRange, match="units of the pool"):
        Membership().resized(reward, Units(1))
