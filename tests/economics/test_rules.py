"""The price rules: ours is the chain's code, the others do what their names say."""

import pytest

from economics.rules import (
    BASE_UNITS,
    TICKS_PER_DAY,
    BaseFee,
    ConstantProduct,
    Dissipative,
    Fixed,
    Literal,
    PriceRule,
    contenders,
    price_from_q32,
    price_to_q32,
)
from runtime.pools.parameters import DEFAULT_CURVE
from runtime.pools.pricing import Blocks, Units, cost, spot_price


def cost_in_small_steps(rule: PriceRule, leased: float, devices: int, hours: float) -> float:
    steps = 2_000
    width = devices / steps
    middle = (leased + width * (step + 0.5) for step in range(steps))
    return sum(rule.price(at, 1_000.0) for at in middle) * width * hours


def test_ours_is_the_chain_s_price_and_cost() -> None:
    rule = Dissipative(1.0)
    market = rule.market(600.0, 1_000.0)

    assert rule.price(600.0, 1_000.0) == price_from_q32(spot_price(DEFAULT_CURVE, market))
    assert rule.lease_cost(600.0, 1_000.0, 8, 3.0) == (
        cost(DEFAULT_CURVE, market, Units(8_000), Blocks(18)) / BASE_UNITS
    )


def test_prices_survive_the_way_into_the_chain_s_unit_and_back() -> None:
    for price in (0.001, 0.324, 1.0, 250.0):
        assert price_from_q32(price_to_q32(price)) == pytest.approx(price, rel=1e-9)


@pytest.mark.parametrize(
    "rule",
    [Fixed(2.0), ConstantProduct(2.0), Literal(2.0), BaseFee(2.0), Dissipative(2.0)],
    ids=lambda rule: rule.name,
)
def test_the_cost_of_a_lease_is_the_integral_of_the_price(rule: PriceRule) -> None:
    expected = cost_in_small_steps(rule, 500.0, 8, 2.0)

    assert rule.lease_cost(500.0, 1_000.0, 8, 2.0) == pytest.approx(expected, rel=1e-4)


def test_every_contender_but_constant_product_opens_at_the_reference_at_target() -> None:
    prices = {name: make().price(750.0, 1_000.0) for name, make in contenders(3.0).items()}

    assert prices.pop("constant product") == pytest.approx(12.0)
    assert all(price == pytest.approx(3.0, rel=1e-5) for price in prices.values())


def test_an_idle_day_lowers_our_price_by_no_more_than_an_octave() -> None:
    rule = Dissipative(1.0)
    before = rule.price(0.0, 1_000.0)

    for _ in range(TICKS_PER_DAY):
        rule.step(0.0, 1_000.0)

    assert rule.price(0.0, 1_000.0) == pytest.approx(before / 2, rel=0.02)


def test_a_full_day_raises_our_price_and_target_use_leaves_it() -> None:
    full, steady = Dissipative(1.0), Dissipative(1.0)

    for _ in range(TICKS_PER_DAY):
        full.step(1_000.0, 1_000.0)
        steady.step(750.0, 1_000.0)

    assert full.price(750.0, 1_000.0) > 1.9
    assert steady.price(750.0, 1_000.0) == pytest.approx(1.0, rel=1e-3)


def test_the_supply_counts_for_our_price_only_at_a_limited_rate() -> None:
    rule = Dissipative(1.0, supply_step_blocks=1)
    rule.step(500.0, 1_000.0)

    rule.step(500.0, 500.0)

    assert rule.market(500.0, 500.0).priced_supply == 1_000_000 - 1_000_000 // 64


def test_the_base_fee_moves_by_an_eighth_at_most() -> None:
    rule = BaseFee(1.0)

    rule.step(0.0, 1_000.0)

    assert rule.price(0.0, 1_000.0) == 0.875


def test_a_gain_beyond_what_the_chain_allows_is_scaled_for_the_map_only() -> None:
    allowed, beyond = Dissipative(1.0, gain_per_day=4.0), Dissipative(1.0, gain_per_day=8.0)

    assert beyond.rates.gain_q32 == pytest.approx(2 * allowed.rates.gain_q32, rel=1e-6)
