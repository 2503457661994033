"""Base price, moving average, supply ramp and the turning of days into blocks."""

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from primitives.types import Millis
from runtime.pools.controller import (
    OCTAVES_MAX,
    OCTAVES_MIN,
    ONE_Q32,
    AverageQ32,
    Clock,
    OctavesQ32,
    Rates,
    allowance,
    average_utilisation,
    exp2,
    highest_octaves,
    log2,
    rates_from_day,
    start_average,
    step_average,
    step_octaves,
    step_supply,
    utilisation,
    worst_case_cost,
)
from runtime.pools.exp2_table import EXP2_Q63
from runtime.pools.parameters import DEFAULT_CURVE
from runtime.pools.pricing import (
    Blocks,
    Market,
    ParameterOutOfRange,
    PriceQ32,
    Units,
    cost,
)
from tests.runtime.pools import reference

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "pricing.json").read_text(encoding="utf-8")
)
RATES = Rates(gain_q32=1 << 24, clamp_q32=1 << 22, period=Blocks(60), average_shift=10)
octaves = st.integers(OCTAVES_MIN, OCTAVES_MAX).map(OctavesQ32)
shares = st.integers(0, ONE_Q32)


def test_the_table_holds_257_rounded_powers_of_two() -> None:
    exact = [Decimal(2) ** (Decimal(i) / 256) for i in range(257)]

    assert len(EXP2_Q63) == 257
    assert EXP2_Q63[0] == 1 << 63
    assert EXP2_Q63[256] == 1 << 64
    for entry, power in zip(EXP2_Q63, exact, strict=True):
        assert abs(Decimal(entry) / 2**63 - power) < Decimal("1e-18")
    assert all(lower < upper for lower, upper in pairwise(EXP2_Q63))


@pytest.mark.parametrize("case", VECTORS["exp2"])
def test_exp2_equals_the_frozen_vectors(case: dict[str, int]) -> None:
    assert exp2(OctavesQ32(case["octaves_q32"])) == case["price_q32"]


@pytest.mark.parametrize("case", VECTORS["controller"])
def test_the_controller_equals_the_frozen_vectors(case: dict[str, int]) -> None:
    rates = Rates(case["gain_q32"], case["clamp_q32"], period=Blocks(1), average_shift=10)

    moved = step_octaves(
        rates,
        OctavesQ32(case["octaves_q32"]),
        average_q32=case["average_q32"],
        target_q16=case["target_q16"],
    )

    assert moved == case["moved_q32"]


@pytest.mark.parametrize("case", VECTORS["gains"])
def test_gains_equal_the_frozen_vectors(case: dict[str, int]) -> None:
    rates = rates_from_day(
        Clock(Millis(case["block_interval"]), time_scale=case["time_scale"]),
        gain_ppb=case["gain_per_day_ppb"],
        clamp_ppb=1_000_000_000,
        period=Blocks(case["period"]),
        average_shift=10,
    )

    assert rates.gain_q32 == case["gain_q32"]


@given(octaves)
@example(OCTAVES_MIN)
@example(OCTAVES_MAX)
@example(OctavesQ32(1 << 23))
def test_exp2_errs_by_less_than_one_in_a_million(exponent: OctavesQ32) -> None:
    exact = reference.exp2(exponent)

    price = Decimal(exp2(exponent))

    assert price <= exact * Decimal("1.00000092") or price == 1
    assert price > exact - 1


@given(octaves, st.integers(0, 1 << 30))
def test_exp2_never_falls(exponent: OctavesQ32, more: int) -> None:
    higher = OctavesQ32(min(OCTAVES_MAX, exponent + more))

    assert exp2(higher) >= exp2(exponent)


@pytest.mark.parametrize("step", range(0, 257, 16))
def test_exp2_is_monotone_across_every_border_of_the_table(step: int) -> None:
    border = step << 24

    around = [exp2(OctavesQ32((20 << 32) + border + offset)) for offset in range(-2, 3)]

    assert around == sorted(around)


@pytest.mark.parametrize("exponent", [OCTAVES_MIN - 1, OCTAVES_MAX + 1])
def test_exp2_outside_its_range_is_refused(exponent: int) -> None:
    with pytest.raises(ParameterOutOfRange):
        exp2(OctavesQ32(exponent))


@given(st.integers(1, (1 << 88) - 1))
def test_log2_is_the_largest_exponent_that_does_not_exceed_the_price(price: int) -> None:
    exponent = log2(PriceQ32(price))

    assert exp2(exponent) <= price
    if exponent < OCTAVES_MAX:
        assert exp2(OctavesQ32(exponent + 1)) > price


@given(octaves, st.integers(0, ONE_Q32 // 4), st.integers(42_599, 49_152))
def test_an_error_and_its_opposite_leave_the_price_as_it_was(
    start: OctavesQ32, miss: int, target: int
) -> None:
    inside = OctavesQ32(max(OCTAVES_MIN + RATES.clamp_q32, min(start, OCTAVES_MAX - (1 << 23))))

    up = step_octaves(RATES, inside, average_q32=(target << 16) + miss, target_q16=target)
    back = step_octaves(RATES, up, average_q32=(target << 16) - miss, target_q16=target)

    assert back == inside
    assert 0 <= up - inside <= RATES.clamp_q32


@given(octaves, shares)
def test_the_logarithm_of_the_price_stays_in_its_range(start: OctavesQ32, average: int) -> None:
    moved = step_octaves(RATES, start, average_q32=average, target_q16=49_152)

    assert OCTAVES_MIN <= moved <= OCTAVES_MAX
    assert abs(moved - start) <= RATES.clamp_q32


def test_at_the_ends_of_its_range_the_price_stays_and_comes_back() -> None:
    lowest = step_octaves(RATES, OCTAVES_MIN, average_q32=0, target_q16=49_152)
    highest = step_octaves(RATES, OCTAVES_MAX, average_q32=ONE_Q32, target_q16=49_152)

    assert (lowest, highest) == (OCTAVES_MIN, OCTAVES_MAX)
    assert step_octaves(RATES, lowest, average_q32=ONE_Q32, target_q16=49_152) > OCTAVES_MIN


def test_the_worst_case_counts_every_period_that_can_begin() -> None:
    start = OctavesQ32(0)

    assert highest_octaves(RATES, start, Blocks(0)) == 0
    assert highest_octaves(RATES, start, Blocks(1)) == RATES.clamp_q32
    assert highest_octaves(RATES, start, Blocks(61)) == 2 * RATES.clamp_q32
    assert highest_octaves(RATES, OCTAVES_MAX, Blocks(60)) == OCTAVES_MAX


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)), max_size=60), shares)
def test_the_average_stays_between_what_it_was_fed(
    history: list[tuple[int, int]], first: int
) -> None:
    fed = [first]
    average = start_average(RATES, first)

    for leased, supply in history:
        fed.append(utilisation(leased=Units(leased), supply=Units(supply)))
        average = step_average(RATES, average, fed[-1])

        assert min(fed) - 1 <= average_utilisation(RATES, average) <= max(fed)


def test_a_constant_utilisation_is_its_own_average_for_ever() -> None:
    average: AverageQ32 = start_average(RATES, 12_345)

    for _ in range(3_000):
        average = step_average(RATES, average, 12_345)

    assert average_utilisation(RATES, average) == 12_345


def test_utilisation_is_bounded_by_one_and_zero_for_an_empty_pool() -> None:
    assert utilisation(leased=Units(5), supply=Units(0)) == 0
    assert utilisation(leased=Units(1), supply=Units(2)) == ONE_Q32 // 2
    assert utilisation(leased=Units(9), supply=Units(2)) == ONE_Q32


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_the_priced_supply_moves_by_at_most_a_64th_and_always_nearer(
    priced: int, supply: int
) -> None:
    moved = step_supply(Units(priced), Units(supply))

    assert abs(moved - priced) <= max(1, priced // 64)
    assert moved == priced if priced == supply else abs(supply - moved) < abs(supply - priced)
    assert min(priced, supply) <= moved <= max(priced, supply)


def test_a_day_in_two_minutes_moves_the_price_as_a_day_does() -> None:
    """720 market seconds a block: 120 blocks make a day, and the sum of their gains its gain."""
    real = Clock(Millis(1_000), time_scale=1)
    quick = Clock(Millis(1_000), time_scale=720)
    day = {"gain_ppb": 2_000_000_000, "clamp_ppb": 1_000_000_000, "average_shift": 10}

    slow = rates_from_day(real, period=Blocks(60), **day)
    fast = rates_from_day(quick, period=Blocks(1), **day)

    assert abs(fast.gain_q32 * 120 - slow.gain_q32 * 1_440) < 1_440
    assert fast.clamp_q32 * 120 == pytest.approx(ONE_Q32, rel=1e-6)
    assert (slow.average_shift, fast.average_shift) == (10, 1)
    assert quick.blocks_in(Millis(3_600_000)) == 5
    assert real.blocks_in(Millis(1)) == 1


@pytest.mark.parametrize("supply", [1, 1_000, 1_000_000, 1 << 40])
def test_the_share_that_may_leave_adds_up_to_its_share_of_a_day(supply: int) -> None:
    clock = Clock(Millis(60_000), time_scale=1)
    left, carried = 0, 0

    for _ in range(8 * 1_440):
        units, carried = allowance(clock, 125_000_000, Units(supply), carried_q32=carried)
        left += units

    assert supply - 1 <= left <= supply


def test_the_worst_case_is_the_cost_at_the_clamp_s_highest_price() -> None:
    start = OctavesQ32(10 << 32)
    market = Market(Units(500), Units(1_000), Units(1_000), exp2(start))
    units, duration = Units(100), Blocks(60)

    def dearest(within: int) -> int:
        return worst_case_cost(
            DEFAULT_CURVE,
            market,
            RATES,
            start,
            units=units,
            duration=duration,
            within=Blocks(within),
        )

    now, later = dearest(0), dearest(61_440)

    assert now == cost(DEFAULT_CURVE, market, units, duration)
    assert later == pytest.approx(2 * now, rel=1e-3)  # 1024 periods of 2**-10 octaves


@pytest.mark.parametrize(
    "interval, scale", [(0, 1), (3_600_001, 1), (1_000, 0), (1_000, 86_401), (3_600_000, 25)]
)
def test_a_clock_outside_its_range_is_refused(interval: int, scale: int) -> None:
    with pytest.raises(ParameterOutOfRange):
        Clock(Millis(interval), time_scale=scale)
