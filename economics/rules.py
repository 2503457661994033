"""The price rules that are compared; "ours" is the chain's own integer code.

All quantities are devices, hours and tokens in floats: this is a model, not the chain. Only
``Dissipative`` converts to milli-units, blocks and base units, at its edge.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from primitives.types import Millis
from runtime.pools.controller import (
    AverageQ32,
    Clock,
    OctavesQ32,
    Rates,
    average_utilisation,
    exp2,
    log2,
    start_average,
    step_average,
    step_octaves,
    step_supply,
    utilisation,
)
from runtime.pools.parameters import DEFAULT_CURVE, PoolParameters
from runtime.pools.pricing import (
    Blocks,
    Curve,
    Market,
    PriceQ32,
    Units,
    cost,
    spot_price,
)

TICK_MINUTES: Final = 10
TICKS_PER_HOUR: Final = 60 // TICK_MINUTES
TICKS_PER_DAY: Final = 24 * TICKS_PER_HOUR
BASE_UNITS: Final = 10**9
MILLI: Final = 1_000
REFERENCE_TARGET: Final = 0.75

_CHAIN_BLOCKS_PER_TICK: Final = TICK_MINUTES * 60
"""The supply ramp counts real blocks of one second; everything else may take a tick at once."""
_CLOCK: Final = Clock(Millis(TICK_MINUTES * 60_000), time_scale=1)
_AVERAGE_SHIFT: Final = 1
"""Two ticks, 1200 s: the nearest to the chain's 1024 blocks of one second."""


class PriceRule(Protocol):
    """What a market asks of a price rule. Prices are tokens per device-hour."""

    name: str

    def price(self, leased: float, supply: float) -> float:
        """Return the marginal price."""
        ...

    def lease_cost(self, leased: float, supply: float, devices: int, hours: float) -> float:
        """Return what a lease costs, in tokens."""
        ...

    def step(self, leased: float, supply: float) -> None:
        """Take one tick's use into account."""
        ...


RuleMaker = Callable[[], PriceRule]


@dataclass
class Fixed:
    """A price in tokens that somebody set once."""

    reference: float
    name: str = "fixed"

    def price(self, leased: float, supply: float) -> float:
        return self.reference

    def lease_cost(self, leased: float, supply: float, devices: int, hours: float) -> float:
        return self.reference * devices * hours

    def step(self, leased: float, supply: float) -> None:
        return


@dataclass
class ConstantProduct:
    """The curve of an exchange pool: free devices against a reserve of tokens, ``P = y / x``.

    The reserve is what buys every device at the reference price. A lease takes devices out and
    they come back when it ends, so the tokens that it moved do not stay.
    """

    reference: float
    name: str = "constant product"

    def price(self, leased: float, supply: float) -> float:
        return self.reference * supply / max(supply - leased, 1e-9 * supply + 1e-9)

    def lease_cost(self, leased: float, supply: float, devices: int, hours: float) -> float:
        lower = self.price(leased, supply)
        upper = self.price(leased + devices, supply)
        return (lower + upper) / 2 * devices * hours

    def step(self, leased: float, supply: float) -> None:
        return


@dataclass
class Literal:
    """``P = P0 * (D / R) ** a`` and ``T = integral of P``, taken literally: P0 in tokens."""

    reference: float
    exponent: float = 2.0
    name: str = "literal (D/R)^2"

    def price(self, leased: float, supply: float) -> float:
        use = leased / supply if supply > 0 else 1.0
        return float(self.reference * (use / REFERENCE_TARGET) ** self.exponent)

    def lease_cost(self, leased: float, supply: float, devices: int, hours: float) -> float:
        power = self.exponent + 1
        scale = self.reference * hours / (power * (supply * REFERENCE_TARGET) ** self.exponent)
        return float(scale * ((leased + devices) ** power - leased**power))

    def step(self, leased: float, supply: float) -> None:
        return


@dataclass
class BaseFee:
    """EIP-1559: each tick the price moves by up to 1/8, in proportion to the missed target."""

    reference: float
    name: str = "EIP-1559"

    def price(self, leased: float, supply: float) -> float:
        return self.reference

    def lease_cost(self, leased: float, supply: float, devices: int, hours: float) -> float:
        return self.reference * devices * hours

    def step(self, leased: float, supply: float) -> None:
        use = leased / supply if supply > 0 else 1.0
        miss = (use - REFERENCE_TARGET) / REFERENCE_TARGET
        self.reference *= 1 + max(-1.0, min(1.0, miss)) / 8


@dataclass
class Dissipative:
    """The chain's rule, computed by the chain's own code in exact integers."""

    reference: float
    curve: Curve = DEFAULT_CURVE
    gain_per_day: float = 2.0
    clamp_per_day: float = 1.0
    name: str = "ours"
    rates: Rates = field(init=False)
    octaves: OctavesQ32 = field(init=False)
    base_price: PriceQ32 = field(init=False)
    average: AverageQ32 = field(init=False)
    priced: Units | None = field(init=False, default=None)
    supply_step_blocks: int = _CHAIN_BLOCKS_PER_TICK

    def __post_init__(self) -> None:
        defaults = PoolParameters(curve=DEFAULT_CURVE)
        chosen = replace(
            defaults,
            gain_per_day_ppb=_inside(self.gain_per_day, 0.5, 4.0),
            clamp_per_day_ppb=_inside(self.clamp_per_day, 0.5, 1.5),
        )
        self.rates = chosen.rates(_CLOCK, period=Blocks(1), average_shift=_AVERAGE_SHIFT)
        if not 0.5 <= self.gain_per_day <= 4:
            scale = self.gain_per_day / (chosen.gain_per_day_ppb / 1e9)
            self.rates = replace(self.rates, gain_q32=int(self.rates.gain_q32 * scale))
        self.octaves = log2(price_to_q32(self.reference))
        self.base_price = exp2(self.octaves)
        self.average = start_average(self.rates, self.curve.target_q16 << 16)

    def price(self, leased: float, supply: float) -> float:
        return price_from_q32(spot_price(self.curve, self.market(leased, supply)))

    def lease_cost(self, leased: float, supply: float, devices: int, hours: float) -> float:
        ticks = Blocks(max(1, round(hours * TICKS_PER_HOUR)))
        amount = cost(self.curve, self.market(leased, supply), Units(devices * MILLI), ticks)
        return amount / BASE_UNITS

    def step(self, leased: float, supply: float) -> None:
        present = Units(round(supply * MILLI))
        self.priced = present if self.priced is None else self.priced
        for _ in range(self.supply_step_blocks):
            if self.priced == present:
                break
            self.priced = step_supply(self.priced, present)
        use = utilisation(leased=Units(round(leased * MILLI)), supply=present)
        self.average = step_average(self.rates, self.average, use)
        self.octaves = step_octaves(
            self.rates,
            self.octaves,
            average_q32=average_utilisation(self.rates, self.average),
            target_q16=self.curve.target_q16,
        )
        self.base_price = exp2(self.octaves)

    def market(self, leased: float, supply: float) -> Market:
        """Return what the chain's functions ask for."""
        present = Units(round(supply * MILLI))
        return Market(
            leased=Units(round(leased * MILLI)),
            supply=present,
            priced_supply=present if self.priced is None else self.priced,
            base_price=self.base_price,
        )


def price_to_q32(tokens_per_device_hour: float) -> PriceQ32:
    """Convert a price per device-hour into the chain's unit, for blocks of one tick."""
    per_block = tokens_per_device_hour * BASE_UNITS / (MILLI * TICKS_PER_HOUR)
    return PriceQ32(max(1, int(per_block * 2**32)))


def price_from_q32(price: PriceQ32) -> float:
    """Convert the chain's unit, for blocks of one tick, into tokens per device-hour."""
    return price / 2**32 * MILLI * TICKS_PER_HOUR / BASE_UNITS


def contenders(reference: float) -> dict[str, RuleMaker]:
    """Return a maker of each rule of the race, by name, all opened at one price in tokens."""
    makers: tuple[RuleMaker, ...] = (
        lambda: Fixed(reference),
        lambda: ConstantProduct(reference),
        lambda: Literal(reference),
        lambda: BaseFee(reference),
        lambda: Dissipative(reference),
    )
    return {make().name: make for make in makers}


def _inside(value: float, lowest: float, highest: float) -> int:
    """Return a parameter in ppb, moved into the range that the chain allows."""
    return round(max(lowest, min(highest, value)) * 1_000_000_000)
