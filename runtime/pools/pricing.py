"""What capacity costs: the price curve of a pool, in exact integers, standing alone.

The marginal price at ``x`` leased units, with base price ``B``, floor ``w``, target utilisation
``u``, virtual depth ``V``, exponent ``a`` and the supply ``R`` as it counts for pricing, is

    P(x) = B * (w + (1 - w) * ((x + u*V) / (u * (R + V))) ** a)

and leasing ``n`` units for ``t`` blocks on top of ``D`` leased ones costs ``t`` times the integral
of ``P`` from ``D`` to ``D + n``. The integral is one exact fraction, which is rounded once in the
pool's favour and once more after multiplying by price and duration.

Invariants:

* the cost never falls when ``n``, ``D``, ``t`` or ``B`` grows or when ``R`` shrinks;
* exact integral <= cost < exact integral + 1 + B*t/2**64;
* buying in parts, of units or of time, is never cheaper than buying at once;
* ``value_of_top`` of leased units never exceeds what leasing them again would cost;
* no intermediate value needs more than 256 bits: a larger one is ``QuoteOverflow``, never a wrap.
"""

from dataclasses import dataclass
from typing import Final, NewType

from primitives.errors import DispatchError
from primitives.types import UINT64_MAX, Balance

Units = NewType("Units", int)
"""Capacity in milli-units: one reference device of the pool's class is 1000."""
Blocks = NewType("Blocks", int)
"""A duration in blocks."""
PriceQ32 = NewType("PriceQ32", int)
"""Base units of the token per milli-unit and block, times 2**32."""

ONE_Q16: Final = 1 << 16
EXPONENT_MAX: Final = 3
UNITS_MAX: Final = Units(1 << 40)
DURATION_MAX: Final = Blocks(1 << 21)
PRICE_MAX: Final = PriceQ32((1 << 88) - 1)

_INTERMEDIATE_BITS: Final = 256


class ParameterOutOfRange(DispatchError):
    """A parameter of a pool or a quantity of a quote lies outside what the rule allows.

    Carries the parameter's name, the value, and the smallest and largest allowed value.
    """

    def __init__(self, name: str, value: int, lowest: int, highest: int) -> None:
        super().__init__(f"{name} is {value}, allowed are {lowest} to {highest}")
        self.name = name
        self.value = value
        self.lowest = lowest
        self.highest = highest


class NoSupply(DispatchError):
    """The pool has no proven capacity: nothing can be sold and nothing has a price."""


class NotEnoughSupply(DispatchError):
    """More units are asked for than are free; carries the wanted and the free units."""

    def __init__(self, wanted: int, free: int) -> None:
        super().__init__(f"{wanted} milli-units are wanted, {free} are free")
        self.wanted = wanted
        self.free = free


class QuoteOverflow(DispatchError):
    """The amount, or a value on the way to it, is too large to be paid or computed."""


def validate_range(name: str, value: int, *, lowest: int, highest: int) -> None:
    """Refuse a ``value`` outside ``lowest`` to ``highest``, both included.

    Raises: ParameterOutOfRange.
    """
    if not lowest <= value <= highest:
        raise ParameterOutOfRange(name, value, lowest, highest)


def ceil_div(numerator: int, denominator: int) -> int:
    """Return the quotient rounded up."""
    return -(-numerator // denominator)


@dataclass(frozen=True, slots=True)
class Curve:
    """The shape of a pool's price, fixed when the pool is opened.

    The bounds here are those within which the arithmetic is defined. What the runtime lets a pool
    choose is narrower (``PoolParameters``); the simulator uses the rest for comparison.
    """

    exponent: int
    floor_q16: int
    """Share of the base price that is due however empty the pool is; 2**16 is all of it."""
    target_q16: int
    """Utilisation at which the marginal price is the base price; 2**16 is everything leased."""
    virtual_depth: Units
    """Units that are added to supply and, at target utilisation, to the leased ones, so that the
    price of a small pool does not jump with each lease."""

    def __post_init__(self) -> None:
        validate_range("exponent", self.exponent, lowest=1, highest=EXPONENT_MAX)
        validate_range("floor_q16", self.floor_q16, lowest=0, highest=ONE_Q16)
        validate_range("target_q16", self.target_q16, lowest=1, highest=ONE_Q16)
        validate_range("virtual_depth", self.virtual_depth, lowest=0, highest=UNITS_MAX)


@dataclass(frozen=True, slots=True)
class Market:
    """Everything that the price of a pool depends on at one moment, but for the curve."""

    leased: Units
    supply: Units
    """Live proven units: what can be leased in all."""
    priced_supply: Units
    """The supply as it counts for the price: follows ``supply`` at a limited rate."""
    base_price: PriceQ32

    def __post_init__(self) -> None:
        validate_range("leased", self.leased, lowest=0, highest=UNITS_MAX)
        validate_range("supply", self.supply, lowest=0, highest=UNITS_MAX)
        validate_range("priced_supply", self.priced_supply, lowest=0, highest=UNITS_MAX)
        validate_range("base_price", self.base_price, lowest=1, highest=PRICE_MAX)

    @property
    def free(self) -> Units:
        return Units(max(0, self.supply - self.leased))


@dataclass(frozen=True, slots=True)
class Quote:
    """What a lease would cost, and how it would move the price."""

    units: Units
    duration: Blocks
    cost: Balance
    price_before: PriceQ32
    price_after: PriceQ32


def cost(curve: Curve, market: Market, units: Units, duration: Blocks) -> Balance:
    """Return what leasing ``units`` more for ``duration`` blocks costs, rounded up.

    Raises: ParameterOutOfRange, NoSupply, NotEnoughSupply, QuoteOverflow.
    """
    validate_range("units", units, lowest=1, highest=UNITS_MAX)
    validate_range("duration", duration, lowest=1, highest=DURATION_MAX)
    if market.supply == 0:
        raise NoSupply("no proven unit in the pool")
    if units > market.free:
        raise NotEnoughSupply(units, market.free)
    numerator, denominator = _weighted_units(curve, market, start=market.leased, units=units)
    weighted = ceil_div(numerator, denominator)
    amount = ceil_div(_within_u256(market.base_price * duration * weighted), 1 << 64)
    if amount > UINT64_MAX:
        raise QuoteOverflow("the cost does not fit an amount")
    return Balance(amount)


def value_of_top(curve: Curve, market: Market, units: Units, duration: Blocks) -> Balance:
    """Return what the last ``units`` leased are worth for ``duration`` blocks, rounded down.

    This is what a refund may not exceed and what extending a lease is quoted at. Zero blocks are
    worth nothing.

    Raises: ParameterOutOfRange, NoSupply, QuoteOverflow.
    """
    validate_range("units", units, lowest=1, highest=market.leased)
    validate_range("duration", duration, lowest=0, highest=DURATION_MAX)
    numerator, denominator = _weighted_units(
        curve, market, start=Units(market.leased - units), units=units
    )
    amount = _within_u256(market.base_price * duration * (numerator // denominator)) >> 64
    if amount > UINT64_MAX:
        raise QuoteOverflow("the value does not fit an amount")
    return Balance(amount)


def marginal_price(curve: Curve, market: Market, at: Units) -> PriceQ32:
    """Return the price per milli-unit and block when ``at`` units are leased, rounded down.

    Raises: ParameterOutOfRange, NoSupply, QuoteOverflow.
    """
    validate_range("leased", at, lowest=0, highest=UNITS_MAX)
    depth = _scaled_depth(curve, market)
    position = at + _virtual_leased(curve)
    share = curve.floor_q16 * depth**curve.exponent + (
        (ONE_Q16 - curve.floor_q16) * (position << 16) ** curve.exponent
    )
    price = _within_u256(share * market.base_price) // (ONE_Q16 * depth**curve.exponent)
    return PriceQ32(price)


def spot_price(curve: Curve, market: Market) -> PriceQ32:
    """Return the marginal price at the current number of leased units, rounded down."""
    return marginal_price(curve, market, market.leased)


def quote(curve: Curve, market: Market, units: Units, duration: Blocks) -> Quote:
    """Return the exact cost of a lease and the marginal price before and after it.

    Raises: ParameterOutOfRange, NoSupply, NotEnoughSupply, QuoteOverflow.
    """
    return Quote(
        units=units,
        duration=duration,
        cost=cost(curve, market, units, duration),
        price_before=spot_price(curve, market),
        price_after=marginal_price(curve, market, Units(market.leased + units)),
    )


def units_for(curve: Curve, market: Market, duration: Blocks, *, budget: Balance) -> Units:
    """Return the most units that ``budget`` leases for ``duration`` blocks; 0 if not even one.

    The cost grows with the units, so at most 41 halvings of the free units find the answer.

    Raises: ParameterOutOfRange, NoSupply.
    """
    validate_range("duration", duration, lowest=1, highest=DURATION_MAX)
    validate_range("budget", budget, lowest=0, highest=UINT64_MAX)
    if market.supply == 0:
        raise NoSupply("no proven unit in the pool")
    affordable, most = 0, int(market.free)
    while affordable < most:
        middle = (affordable + most + 1) >> 1
        if _is_affordable(curve, market, Units(middle), duration, budget):
            affordable = middle
        else:
            most = middle - 1
    return Units(affordable)


def _is_affordable(
    curve: Curve, market: Market, units: Units, duration: Blocks, budget: Balance
) -> bool:
    try:
        return cost(curve, market, units, duration) <= budget
    except QuoteOverflow:
        return False


def _virtual_leased(curve: Curve) -> int:
    """Return the part of the virtual depth that counts as leased, rounded down."""
    return (curve.target_q16 * curve.virtual_depth) >> 16


def _scaled_depth(curve: Curve, market: Market) -> int:
    """Return the leased units, virtual ones included, at which the price is the base price (Q16).

    Raises: NoSupply.
    """
    depth = curve.target_q16 * (market.priced_supply + curve.virtual_depth)
    if depth == 0:
        raise NoSupply("no unit counts for the price yet")
    return depth


def _weighted_units(curve: Curve, market: Market, *, start: Units, units: Units) -> tuple[int, int]:
    """Return the integral of ``P / B`` over ``units`` from ``start`` as an exact fraction, in Q32.

    With everything over one denominator there is a single division, left to the caller, whose
    rounding is therefore the only one: that is what makes the cost monotone and sub-additive.
    """
    power = curve.exponent + 1
    scale = _within_u256(_scaled_depth(curve, market) ** curve.exponent)
    lower = start + _virtual_leased(curve)
    upper = lower + units
    flat = curve.floor_q16 * units * power * scale
    rising = (ONE_Q16 - curve.floor_q16) * (upper**power - lower**power) << (16 * curve.exponent)
    return _within_u256((flat + rising) << 16), _within_u256(power * scale)


def _within_u256(value: int) -> int:
    """Pass on a value of at most 256 bits, so that any machine with such integers can follow.

    Raises: QuoteOverflow.
    """
    if value.bit_length() > _INTERMEDIATE_BITS:
        raise QuoteOverflow("a value on the way exceeds 256 bits")
    return value
