"""What the runtime lets a pool choose, at and beyond every bound."""

from dataclasses import replace
from typing import Any

import pytest

from primitives.types import Millis
from runtime.pools.controller import DAY, Clock
from runtime.pools.parameters import DEFAULT_CURVE, HOUR, PoolParameters
from runtime.pools.pricing import Blocks, Curve, ParameterOutOfRange, Units

DEFAULTS = PoolParameters(curve=DEFAULT_CURVE)
CLOCK = Clock(Millis(1_000), time_scale=1)


@pytest.mark.parametrize(
    "field, lowest, highest",
    [
        ("gain_per_day_ppb", 500_000_000, 4_000_000_000),
        ("clamp_per_day_ppb", 500_000_000, 1_500_000_000),
        ("burn_ppb", 100_000_000, 300_000_000),
        ("early_end_fee_ppb", 0, 200_000_000),
        ("exit_per_day_ppb", 100_000_000, 200_000_000),
        ("rent_min", 1_000, DAY),
        ("lock_max", HOUR, 14 * DAY),
    ],
)
def test_a_parameter_is_taken_at_its_bounds_and_refused_beyond(
    field: str, lowest: int, highest: int
) -> None:
    def chosen(value: int) -> PoolParameters:
        changed: dict[str, Any] = {field: value}
        return replace(DEFAULTS, **changed)

    assert chosen(lowest) != chosen(highest)
    for value in (lowest - 1, highest + 1):
        with pytest.raises(ParameterOutOfRange) as caught:
            chosen(value)
        assert caught.value.name == field


@pytest.mark.parametrize(
    "curve",
    [
        Curve(exponent=1, floor_q16=49_152, target_q16=42_599, virtual_depth=Units(0)),
        Curve(exponent=3, floor_q16=49_152, target_q16=52_428, virtual_depth=Units(200_000)),
    ],
)
def test_a_curve_is_taken_at_its_bounds(curve: Curve) -> None:
    assert replace(DEFAULTS, curve=curve).curve == curve


@pytest.mark.parametrize(
    "exponent, floor_q16, target_q16, depth",
    [
        (1, 49_153, 49_152, 0),  # too flat
        (3, 49_151, 49_152, 0),  # too steep
        (2, 0, 49_152, 0),  # the literal rule
        (2, 49_152, 42_598, 0),
        (2, 49_152, 52_429, 0),
        (2, 49_152, 49_152, 200_001),
    ],
)
def test_a_curve_beyond_its_bounds_is_refused(
    exponent: int, floor_q16: int, target_q16: int, depth: int
) -> None:
    curve = Curve(exponent, floor_q16, target_q16, Units(depth))

    with pytest.raises(ParameterOutOfRange):
        replace(DEFAULTS, curve=curve)


def test_a_lock_shorter_than_the_shortest_lease_is_refused() -> None:
    with pytest.raises(ParameterOutOfRange, match="lock_max"):
        replace(DEFAULTS, rent_min=DAY, lock_max=HOUR)


@pytest.mark.parametrize("duration", [3_600, 86_400])
def test_a_lease_may_last_from_an_hour_to_a_day(duration: int) -> None:
    DEFAULTS.validate_duration(CLOCK, Blocks(duration))


@pytest.mark.parametrize("duration", [3_599, 86_401])
def test_a_lease_outside_an_hour_and_a_day_is_refused(duration: int) -> None:
    with pytest.raises(ParameterOutOfRange, match="duration"):
        DEFAULTS.validate_duration(CLOCK, Blocks(duration))


def test_the_defaults_move_the_price_by_two_e_folds_a_day() -> None:
    rates = DEFAULTS.rates(CLOCK, period=Blocks(60), average_shift=10)

    assert rates.gain_q32 * 1_440 == pytest.approx(2.885390 * 2**32, rel=1e-5)
    assert rates.clamp_q32 * 1_440 == pytest.approx(2**32, rel=1e-5)
