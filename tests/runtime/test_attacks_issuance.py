"""A provider that leases its own pool empty to raise the price by which rewards are reckoned."""

from dataclasses import dataclass, replace
from fractions import Fraction

import pytest

from primitives.types import Balance, Millis
from runtime.issuance import IssuanceParameters, Usage, epoch_mint
from runtime.pools.controller import Clock, exp2, log2, step_octaves
from runtime.pools.parameters import DEFAULT_CURVE, PoolParameters
from runtime.pools.pricing import Blocks, Market, PriceQ32, Units, cost

PPB = 10**9
DAY = Blocks(600)
PERIOD = Blocks(5)
CLOCK = Clock(Millis(144_000), 1)
UNITS = 10_000_000
START = PriceQ32(1000 << 32)
POT = Balance(10**19)
"""So much that the cap is what bounds the mint."""
COMPUTE = Fraction(8, 10)
"""Share of the mint that goes to proven compute."""
PUMPED = 6
"""Days on which the price is driven up, and after which it falls again."""


@dataclass(frozen=True)
class Pump:
    """Half of a class or less in a pool of its owner's; the rest is used as it should be."""

    share: Fraction
    burn_ppb: int
    value_cap_ppb: int

    def mint(self, price: int) -> int:
        """Return what a day mints when the owner's pool has this price."""
        own = UNITS * self.share
        average = PriceQ32(int((own * price + (UNITS - own) * START) / UNITS))
        usage = Usage(Units(UNITS), 3 << 30, 3 << 14, average, DAY)
        rules = IssuanceParameters(1095, Units(UNITS), value_cap_ppb=self.value_cap_ppb)
        return epoch_mint(rules, POT, usage)

    def profit(self) -> Fraction:
        """Return what it gains by the rise and loses to the burn, as a share of the latter."""
        rule = PoolParameters(DEFAULT_CURVE, burn_ppb=self.burn_ppb)
        rates = rule.rates(CLOCK, period=PERIOD, average_shift=3)
        own, octaves = Units(int(UNITS * self.share)), log2(START)
        gained = lost = Fraction(0)
        for day in range(2 * PUMPED):
            price = exp2(octaves)
            gained += self.share * COMPUTE * (self.mint(price) - self.mint(START))
            if day < PUMPED:
                whole = cost(DEFAULT_CURVE, Market(Units(0), own, own, price), own, DAY)
                lost += Fraction(whole * self.burn_ppb, PPB)
            use = 1 << 32 if day < PUMPED else 0
            for _ in range(DAY // PERIOD):
                octaves = step_octaves(rates, octaves, average_q32=use, target_q16=3 << 14)
        return (gained - lost) / lost


SHARES = [Fraction(1, 10), Fraction(1, 4), Fraction(1, 2)]


@pytest.mark.parametrize("share", SHARES)
def test_raising_a_price_by_renting_from_oneself_loses_under_a_tight_cap(share: Fraction) -> None:
    pump = Pump(share, burn_ppb=200_000_000, value_cap_ppb=100_000_000)

    assert pump.profit() < Fraction(-3, 10)
    assert replace(pump, burn_ppb=300_000_000).profit() < pump.profit()


def test_it_pays_whoever_has_much_of_a_class_while_the_cap_is_loose() -> None:
    # A limit of the parameters, stated in docs/economics.md: what the table there says.
    pump = Pump(Fraction(1, 2), burn_ppb=200_000_000, value_cap_ppb=500_000_000)

    assert pump.profit() > 1
    assert replace(pump, share=Fraction(1, 10)).profit() < 0
    assert replace(pump, burn_ppb=100_000_000).profit() > pump.profit()
