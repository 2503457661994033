"""The mint, its gates and caps, and the recycling of burns."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.types import UINT64_MAX, Balance
from runtime.issuance import IssuanceParameters, Reserve, Usage, epoch_mint, epoch_share
from runtime.pools.pricing import Blocks, ParameterOutOfRange, PriceQ32, Units

PARAMETERS = IssuanceParameters(half_life_epochs=1_095, supply_base=Units(1_000_000))
BUSY = Usage(
    supply=Units(1_000_000),
    average_q32=3 << 30,
    target_q16=49_152,
    base_price=PriceQ32(16_660 << 32),
    blocks=Blocks(86_400),
)
POT = Balance(5 * 10**17)
usages = st.builds(
    Usage,
    supply=st.integers(0, 1 << 40).map(Units),
    average_q32=st.integers(0, 1 << 32),
    target_q16=st.integers(42_599, 52_428),
    base_price=st.integers(0, 1 << 60).map(PriceQ32),
    blocks=st.integers(0, 1 << 20).map(Blocks),
)


def test_a_busy_network_mints_the_whole_share_of_its_pot() -> None:
    """By hand: 5e17 * ln 2 / 1095, a three-year half-life of days."""
    assert epoch_mint(PARAMETERS, POT, BUSY) == 316_505_561_899_518
    assert epoch_share(PARAMETERS, POT) == 316_505_561_899_518


def test_an_idle_network_mints_its_idle_share() -> None:
    idle = Usage(BUSY.supply, 0, BUSY.target_q16, BUSY.base_price, BUSY.blocks)

    assert epoch_mint(PARAMETERS, POT, idle) == epoch_share(PARAMETERS, POT) // 2


def test_a_small_network_mints_in_proportion() -> None:
    small = Usage(Units(1_000), BUSY.average_q32, BUSY.target_q16, BUSY.base_price, BUSY.blocks)

    mint = epoch_mint(PARAMETERS, POT, small)

    assert mint == epoch_share(PARAMETERS, POT) // 1_000


def test_the_mint_is_capped_by_what_the_market_is_worth() -> None:
    cheap = Usage(BUSY.supply, BUSY.average_q32, BUSY.target_q16, PriceQ32(1 << 31), Blocks(1_000))

    assert epoch_mint(PARAMETERS, POT, cheap) == 1_000_000 * 1_000 // 4


def test_half_of_the_pot_is_left_after_a_half_life_of_full_use() -> None:
    reserve = Reserve(POT)
    for _ in range(PARAMETERS.half_life_epochs):
        reserve, _ = reserve.minted(PARAMETERS, BUSY)

    assert reserve.unminted == pytest.approx(POT / 2, rel=1e-3)


@given(st.integers(0, UINT64_MAX), st.lists(usages, max_size=30))
def test_no_history_mints_more_than_the_pot(pot: int, history: list[Usage]) -> None:
    reserve, minted = Reserve(Balance(pot)), 0
    for usage in history:
        before = reserve.unminted
        reserve, amount = reserve.minted(PARAMETERS, usage)
        minted += amount

        assert 0 <= amount <= epoch_share(PARAMETERS, before)
        assert minted + reserve.unminted == pot


@given(usages)
def test_the_mint_is_the_exact_rule_rounded_down(usage: Usage) -> None:
    share = epoch_share(PARAMETERS, POT)
    size = min(Fraction(1), Fraction(usage.supply, PARAMETERS.supply_base))
    use = min(Fraction(1), Fraction(usage.average_q32, usage.target_q16 << 16))
    gate = Fraction(1, 2) + Fraction(1, 2) * use
    cap = Fraction(usage.base_price, 2**32) * usage.supply * usage.blocks / 2

    assert epoch_mint(PARAMETERS, POT, usage) == int(min(share * size * gate, cap))


@given(st.lists(st.integers(0, 10**15), max_size=60), st.integers(0, 10**9))
def test_no_more_is_recycled_than_its_share_of_what_was_burned(
    burns: list[int], share: int
) -> None:
    parameters = IssuanceParameters(1, Units(1), recycled_ppb=share, recycle_shift=2)
    reserve, recycled, burned = Reserve(Balance(0)), 0, 0
    for burn in burns:
        reserve = reserve.burned(parameters, Balance(burn))
        reserve, amount = reserve.recycled(parameters)
        recycled += amount
        burned += burn

        assert (recycled + reserve.recyclable) * 10**9 + reserve.burn_remainder == burned * share


@pytest.mark.parametrize(
    "field, value",
    [
        ("half_life_epochs", 0),
        ("supply_base", 0),
        ("idle_ppb", 10**9 + 1),
        ("value_cap_ppb", -1),
        ("recycled_ppb", 10**9 + 1),
        ("recycle_shift", 33),
    ],
)
def test_parameters_outside_their_range_are_refused(field: str, value: int) -> None:
    changed: dict[str, Any] = {"half_life_epochs": 1, "supply_base": 1, field: value}

    with pytest.raises(ParameterOutOfRange, match=field):
        IssuanceParameters(**changed)


def test_a_reserve_or_burn_outside_the_range_of_amounts_is_refused() -> None:
    with pytest.raises(ParameterOutOfRange):
        Reserve(Balance(-1))
    with pytest.raises(ParameterOutOfRange):
        Reserve(Balance(0)).burned(PARAMETERS, Balance(UINT64_MAX + 1))
