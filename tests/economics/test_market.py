"""The agent model: repeatable, bounded, and equal to arithmetic where there is some."""

import numpy as np
import pytest

from economics.market import Scenario, Shock, fluid, simulate, with_shocks
from economics.rules import TICKS_PER_DAY, ConstantProduct, Dissipative, Fixed, Literal

SHORT = Scenario(days=6, warmup_days=2)
CALM = Scenario(days=12, warmup_days=6, daily_amplitude=0.0)


def test_one_seed_gives_one_history_and_another_seed_another() -> None:
    first = simulate(Dissipative(1.0), SHORT, seed=5)
    again = simulate(Dissipative(1.0), SHORT, seed=5)
    other = simulate(Dissipative(1.0), SHORT, seed=6)

    assert np.array_equal(first.price_usd, again.price_usd)
    assert np.array_equal(first.leased, again.leased)
    assert not np.array_equal(first.leased, other.leased)


def test_no_more_is_leased_than_there_is_and_the_rest_is_refused() -> None:
    crowded = Scenario(days=4, warmup_days=1, demand=2.0)

    run = simulate(Fixed(1.0), crowded, seed=1)

    assert (run.leased <= run.supply).all()
    assert run.mean_utilisation() > 0.98
    assert 0.3 < run.refused_share() < 0.7


def test_under_a_fixed_price_use_is_demand() -> None:
    assert fluid(Fixed(1.0), CALM).mean_utilisation() == pytest.approx(0.77, rel=1e-3)
    assert fluid(Fixed(2.0), CALM).mean_utilisation() == pytest.approx(0.385, rel=1e-3)


def test_under_the_literal_rule_a_doubled_token_costs_a_cube_root_of_use() -> None:
    doubled = with_shocks(CALM, Shock("token", 0, 99, 2.0))

    before = fluid(Literal(1.0), CALM).mean_utilisation()
    after = fluid(Literal(1.0), doubled).mean_utilisation()

    assert after / before == pytest.approx(2 ** (-1 / 3), rel=1e-3)


def test_under_constant_product_use_solves_its_own_equation() -> None:
    use = fluid(ConstantProduct(1.0), CALM).mean_utilisation()

    assert use / (1 - use) == pytest.approx(0.77, rel=1e-3)


def test_ours_brings_use_to_target_whatever_the_token_is_worth() -> None:
    for token in (0.25, 1.0, 4.0):
        scenario = Scenario(days=20, warmup_days=14, daily_amplitude=0.0, token_usd=token)

        assert fluid(Dissipative(1.0), scenario).mean_utilisation() == pytest.approx(
            0.75, abs=0.005
        )


def test_leases_that_find_no_device_in_an_outage_are_lost_and_no_others() -> None:
    scenario = Scenario(days=6, warmup_days=2, shocks=(Shock("supply", 4, 5, 0.5),))

    run = simulate(Fixed(1.0), scenario, seed=2)

    start = int(4 * TICKS_PER_DAY)
    assert run.evicted[start] >= run.leased[start - 1] - 500 - 60
    assert (run.leased[start : start + TICKS_PER_DAY] <= 500).all()
    assert run.evicted[:start].sum() == 0


def test_what_leases_stream_is_their_price_times_their_devices() -> None:
    scenario = Scenario(days=4, warmup_days=1, token_volatility=0.0)

    run = simulate(Fixed(3.0), scenario, seed=3)

    assert run.income_usd == pytest.approx(run.leased * 3.0 / 6, rel=1e-9, abs=1e-6)


def test_providers_decide_on_what_a_device_has_earned() -> None:
    earned: list[float] = []

    def watch(day: float, income: float, supply: float) -> float:
        earned.append(income)
        return supply + 1 if day >= 1 else supply

    run = simulate(Fixed(1.0), SHORT, seed=4, policy=watch)

    assert earned[0] == 0
    assert 0.6 < earned[2 * TICKS_PER_DAY] < 0.9
    assert run.supply[-1] == 1_000 + 5 * TICKS_PER_DAY


def test_a_market_without_devices_leases_nothing() -> None:
    dark = Scenario(days=2, warmup_days=0, shocks=(Shock("supply", 0, 9, 0.0),))

    run = simulate(Fixed(1.0), dark, seed=1)

    assert run.leased.sum() == 0
    assert run.mean_utilisation() == 0
    assert run.refused_share() == 1
