"""The price curve against fractions, its invariants as properties, and every refusal."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from primitives.types import UINT64_MAX, Balance
from runtime.pools.parameters import DEFAULT_CURVE
from runtime.pools.pricing import (
    DURATION_MAX,
    ONE_Q16,
    PRICE_MAX,
    UNITS_MAX,
    Blocks,
    Curve,
    Market,
    NoSupply,
    NotEnoughSupply,
    ParameterOutOfRange,
    PriceQ32,
    QuoteOverflow,
    Units,
    cost,
    marginal_price,
    quote,
    spot_price,
    units_for,
    value_of_top,
)
from tests.runtime.pools import reference

VECTORS = json.loads(
    (Path(__file__).parents[2] / "vectors" / "pricing.json").read_text(encoding="utf-8")
)

curves = st.builds(
    Curve,
    exponent=st.integers(1, 3),
    floor_q16=st.integers(0, ONE_Q16),
    target_q16=st.integers(1 << 14, ONE_Q16),
    virtual_depth=st.integers(0, 200_000).map(Units),
)
durations = st.integers(1, 100_000).map(Blocks)


@st.composite
def markets(draw: st.DrawFn) -> Market:
    supply = draw(st.integers(2, 1 << 24))
    return Market(
        leased=Units(draw(st.integers(0, supply - 2))),
        supply=Units(supply),
        priced_supply=Units(draw(st.integers(max(1, supply // 2), supply * 2))),
        base_price=PriceQ32(draw(st.integers(1, 1 << 40))),
    )


def weighted_by_fractions(curve: Curve, market: Market, units: int) -> Any:
    return reference.integral(
        exponent=curve.exponent,
        floor_q16=curve.floor_q16,
        target_q16=curve.target_q16,
        depth=curve.virtual_depth,
        start=market.leased,
        end=market.leased + units,
        supply=market.priced_supply,
    )


def draw_units(data: st.DataObject, market: Market, lowest: int = 1) -> Units:
    return Units(data.draw(st.integers(lowest, market.free), label="units"))


def market_of(case: dict[str, int], leased: int) -> Market:
    return Market(
        leased=Units(leased),
        supply=Units(case["supply"]),
        priced_supply=Units(case["priced_supply"]),
        base_price=PriceQ32(case["base_price_q32"]),
    )


@pytest.mark.parametrize("case", VECTORS["quotes"])
def test_quotes_equal_the_frozen_vectors(case: dict[str, int]) -> None:
    curve = Curve(
        exponent=case["exponent"],
        floor_q16=case["floor_q16"],
        target_q16=case["target_q16"],
        virtual_depth=Units(case["depth"]),
    )
    units, duration = Units(case["units"]), Blocks(case["duration"])

    quoted = quote(curve, market_of(case, case["leased"]), units, duration)
    value = value_of_top(curve, market_of(case, case["leased"] + units), units, duration)

    assert quoted.cost == case["cost"]
    assert quoted.price_before == case["price_before_q32"]
    assert quoted.price_after == case["price_after_q32"]
    assert value == case["value_once_leased"]


def test_an_hour_of_a_device_at_target_costs_about_the_base_price() -> None:
    """By hand: 750 of 1000 devices leased, so the marginal price is the base price of 2."""
    market = Market(Units(750_000), Units(1_000_000), Units(1_000_000), PriceQ32(2 << 32))

    amount = cost(DEFAULT_CURVE, market, Units(1_000), Blocks(3_600))

    assert spot_price(DEFAULT_CURVE, market) == 2 << 32
    # The slope adds a(1-w)/2 * 1000/798000 = 0.0313 % to 1000 * 3600 * 2.
    assert amount == 7_202_257


@given(curve=curves, market=markets(), duration=durations, data=st.data())
def test_the_cost_lies_at_the_exact_integral_or_just_above(
    curve: Curve, market: Market, duration: Blocks, data: st.DataObject
) -> None:
    units = draw_units(data, market)
    exact = reference.exact_cost(
        weighted_by_fractions(curve, market, units),
        price_q32=market.base_price,
        duration=duration,
    )
    assume(exact < 2**63)

    amount = cost(curve, market, units, duration)

    assert exact <= amount
    assert (amount - exact - 1) * 2**64 < market.base_price * duration


@given(curve=curves, market=markets(), duration=durations, data=st.data())
def test_the_cost_never_falls_when_more_is_asked_for(
    curve: Curve, market: Market, duration: Blocks, data: st.DataObject
) -> None:
    assume(market.free >= 2)
    units = Units(data.draw(st.integers(1, market.free - 1)))
    dearer = Market(
        leased=Units(market.leased + data.draw(st.integers(0, market.free - units))),
        supply=market.supply,
        priced_supply=Units(data.draw(st.integers(1, market.priced_supply))),
        base_price=PriceQ32(market.base_price + data.draw(st.integers(0, 1 << 30))),
    )
    longer = Blocks(duration + data.draw(st.integers(0, 1_000)))
    more = Units(data.draw(st.integers(units, max(units, dearer.free))))

    try:
        highest = cost(curve, dearer, more, longer)
    except QuoteOverflow:
        return

    assert cost(curve, market, units, duration) <= highest


@given(curve=curves, market=markets(), duration=durations, data=st.data())
def test_buying_units_in_parts_is_never_cheaper(
    curve: Curve, market: Market, duration: Blocks, data: st.DataObject
) -> None:
    assume(market.free >= 2)
    units = draw_units(data, market, lowest=2)
    first = Units(data.draw(st.integers(1, units - 1)))
    try:
        whole = cost(curve, market, units, duration)
    except QuoteOverflow:
        return
    after_first = replace(market, leased=Units(market.leased + first))

    parts = cost(curve, market, first, duration) + cost(
        curve, after_first, Units(units - first), duration
    )

    assert parts >= whole


@given(curve=curves, market=markets(), duration=durations, data=st.data())
def test_buying_time_in_parts_is_never_cheaper(
    curve: Curve, market: Market, duration: Blocks, data: st.DataObject
) -> None:
    assume(duration >= 2)
    units = draw_units(data, market)
    first = Blocks(data.draw(st.integers(1, duration - 1)))
    try:
        whole = cost(curve, market, units, duration)
    except QuoteOverflow:
        return

    parts = cost(curve, market, units, first) + cost(curve, market, units, Blocks(duration - first))

    assert parts >= whole


@given(curve=curves, market=markets(), duration=durations, data=st.data())
def test_what_is_leased_is_never_worth_more_than_leasing_it_again(
    curve: Curve, market: Market, duration: Blocks, data: st.DataObject
) -> None:
    units = draw_units(data, market)
    try:
        rebuy = cost(curve, market, units, duration)
    except QuoteOverflow:
        return
    leased = replace(market, leased=Units(market.leased + units))

    value = value_of_top(curve, leased, units, duration)

    assert value <= rebuy
    assert rebuy - value <= 2 + (market.base_price * duration >> 63)


@given(curve=curves, market=markets(), duration=durations, budget=st.integers(0, 1 << 50))
def test_the_inverse_quote_is_the_most_that_the_budget_buys(
    curve: Curve, market: Market, duration: Blocks, budget: int
) -> None:
    units = units_for(curve, market, duration, budget=Balance(budget))

    assert 0 <= units <= market.free
    if units > 0:
        assert cost(curve, market, units, duration) <= budget
    if units < market.free:
        with contextlib.suppress(QuoteOverflow):
            assert cost(curve, market, Units(units + 1), duration) > budget


@given(curve=curves, market=markets(), data=st.data())
def test_the_marginal_price_is_the_exact_one_rounded_down_and_never_falls(
    curve: Curve, market: Market, data: st.DataObject
) -> None:
    at = Units(data.draw(st.integers(0, market.supply - 1)))
    exact = market.base_price * reference.spot(
        exponent=curve.exponent,
        floor_q16=curve.floor_q16,
        target_q16=curve.target_q16,
        depth=curve.virtual_depth,
        at=at,
        supply=market.priced_supply,
    )

    price = marginal_price(curve, market, at)

    assert price <= exact < price + 1
    assert marginal_price(curve, market, Units(at + 1)) >= price


def test_an_empty_pool_with_a_floor_is_never_free() -> None:
    market = Market(Units(0), Units(1_000), Units(1_000), PriceQ32(1))

    assert cost(DEFAULT_CURVE, market, Units(1), Blocks(1)) == 1


def test_the_literal_curve_is_the_case_without_floor_and_depth() -> None:
    literal = Curve(exponent=2, floor_q16=0, target_q16=ONE_Q16, virtual_depth=Units(0))
    market = Market(Units(0), Units(1_000), Units(1_000), PriceQ32(1 << 32))

    amount = cost(literal, market, Units(1_000), Blocks(3))

    assert spot_price(literal, market) == 0
    # Three blocks of a third of 1000, the integral of x**2 over 1000**2; a third is rounded up.
    assert amount == 1_001


def test_time_that_has_run_out_is_worth_nothing() -> None:
    market = Market(Units(500), Units(1_000), Units(1_000), PriceQ32(1 << 32))

    assert value_of_top(DEFAULT_CURVE, market, Units(500), Blocks(0)) == 0


PLAIN = Market(Units(400), Units(1_000), Units(1_000), PriceQ32(1 << 32))


@pytest.mark.parametrize(
    "units, duration",
    [(0, 1), (-1, 1), (UNITS_MAX + 1, 1), (1, 0), (1, -1), (1, DURATION_MAX + 1)],
)
def test_quantities_outside_their_range_are_refused(units: int, duration: int) -> None:
    with pytest.raises(ParameterOutOfRange):
        cost(DEFAULT_CURVE, PLAIN, Units(units), Blocks(duration))


@pytest.mark.parametrize("units", [0, 401])
def test_only_leased_units_have_a_value(units: int) -> None:
    with pytest.raises(ParameterOutOfRange, match=f"units is {units}, allowed are 1 to 400"):
        value_of_top(DEFAULT_CURVE, PLAIN, Units(units), Blocks(1))


def test_more_than_is_free_is_refused_with_what_is_free() -> None:
    with pytest.raises(NotEnoughSupply) as caught:
        cost(DEFAULT_CURVE, PLAIN, Units(601), Blocks(1))

    assert (caught.value.wanted, caught.value.free) == (601, 600)


def test_units_that_are_leased_beyond_a_shrunken_supply_leave_nothing_free() -> None:
    market = replace(PLAIN, supply=Units(300))

    assert market.free == 0
    assert units_for(DEFAULT_CURVE, market, Blocks(1), budget=Balance(10**9)) == 0


def test_a_pool_without_supply_sells_nothing() -> None:
    empty = Market(Units(0), Units(0), Units(0), PriceQ32(1 << 32))

    with pytest.raises(NoSupply):
        cost(DEFAULT_CURVE, empty, Units(1), Blocks(1))
    with pytest.raises(NoSupply):
        units_for(DEFAULT_CURVE, empty, Blocks(1), budget=Balance(1))


def test_a_supply_that_does_not_count_yet_has_no_price() -> None:
    bare = replace(DEFAULT_CURVE, virtual_depth=Units(0))
    market = replace(PLAIN, priced_supply=Units(0))

    with pytest.raises(NoSupply):
        spot_price(bare, market)


def test_a_cost_or_value_beyond_an_amount_is_an_error_and_not_a_wrap() -> None:
    leased = Units(UNITS_MAX // 2)
    market = Market(leased, UNITS_MAX, UNITS_MAX, PriceQ32(1 << 60))

    with pytest.raises(QuoteOverflow, match="cost does not fit"):
        cost(DEFAULT_CURVE, market, Units(1 << 30), DURATION_MAX)
    with pytest.raises(QuoteOverflow, match="value does not fit"):
        value_of_top(DEFAULT_CURVE, market, leased, DURATION_MAX)


def test_the_largest_amount_is_still_paid_and_one_more_is_refused() -> None:
    """With nothing but the floor the cost is price * units * blocks: 2**64 - 1, then 2**64."""
    flat = replace(DEFAULT_CURVE, floor_q16=ONE_Q16)
    market = Market(Units(0), UNITS_MAX, UNITS_MAX, PriceQ32(65_537 << 32))
    dearer = replace(market, base_price=PriceQ32(1 << 52))

    assert cost(flat, market, Units(4_294_967_297), Blocks(65_535)) == UINT64_MAX
    with pytest.raises(QuoteOverflow):
        cost(flat, dearer, Units(1 << 30), Blocks(1 << 14))


def test_an_intermediate_beyond_256_bits_is_an_error() -> None:
    steep = Curve(exponent=3, floor_q16=0, target_q16=1, virtual_depth=Units(0))
    market = Market(Units(UNITS_MAX - 1), UNITS_MAX, Units(1), PRICE_MAX)

    with pytest.raises(QuoteOverflow, match="256 bits"):
        cost(steep, market, Units(1), DURATION_MAX)
    with pytest.raises(QuoteOverflow, match="256 bits"):
        spot_price(steep, market)


def test_the_inverse_quote_steps_over_costs_that_overflow() -> None:
    market = Market(Units(0), UNITS_MAX, UNITS_MAX, PriceQ32(1 << 60))

    units = units_for(DEFAULT_CURVE, market, DURATION_MAX, budget=Balance(UINT64_MAX))

    assert 0 < units < UNITS_MAX
    assert cost(DEFAULT_CURVE, market, units, DURATION_MAX) <= UINT64_MAX


@pytest.mark.parametrize(
    "field, value",
    [
        ("exponent", 0),
        ("exponent", 4),
        ("floor_q16", -1),
        ("floor_q16", ONE_Q16 + 1),
        ("target_q16", 0),
        ("target_q16", ONE_Q16 + 1),
        ("virtual_depth", -1),
        ("virtual_depth", UNITS_MAX + 1),
    ],
)
def test_a_curve_outside_the_arithmetic_is_refused(field: str, value: int) -> None:
    with pytest.raises(ParameterOutOfRange) as caught:
        replace(DEFAULT_CURVE, **{field: value})  # type: ignore[arg-type]  # wrong on purpose

    assert (caught.value.name, caught.value.value) == (field, value)


@pytest.mark.parametrize(
    "field, value",
    [
        ("leased", -1),
        ("supply", UNITS_MAX + 1),
        ("priced_supply", -1),
        ("base_price", 0),
        ("base_price", PRICE_MAX + 1),
    ],
)
def test_a_market_outside_the_arithmetic_is_refused(field: str, value: int) -> None:
    with pytest.raises(ParameterOutOfRange):
        replace(PLAIN, **{field: value})  # type: ignore[arg-type]  # wrong on purpose
