"""How the base price of a pool follows its use: exp2, average, controller and supply ramp.

The logarithm ``b`` of the base price is stored; ``B = 2**b``. Each price period

    b += clamp(K * (average utilisation - target) / target, -c, +c)

so that a pool used above its target grows dearer and one used below it grows cheaper, whatever
the token is worth.

Invariants: ``exp2`` never falls when ``b`` grows and errs by less than 9.3e-7 of the true value;
an error of ``+e`` followed by ``-e`` leaves ``b`` as it was; the average stays between the lowest
and the highest utilisation it was fed; the priced supply moves by at most 1/64 a block (but always
by one unit, or it could never leave zero).
"""

from dataclasses import dataclass, replace
from typing import Final, NewType

from primitives.types import Balance, Millis
from runtime.pools.exp2_table import EXP2_Q63
from runtime.pools.pricing import (
    ONE_Q16,
    PRICE_MAX,
    Blocks,
    Curve,
    Market,
    PriceQ32,
    Units,
    ceil_div,
    cost,
    validate_range,
)

OctavesQ32 = NewType("OctavesQ32", int)
"""A logarithm to base 2 of a price in base units per milli-unit and block, times 2**32; signed."""
AverageQ32 = NewType("AverageQ32", int)
"""The sum that holds a moving average of the utilisation: the average times 2**(32 + shift)."""

ONE_Q32: Final = 1 << 32
OCTAVES_MIN: Final = OctavesQ32(-32 << 32)
OCTAVES_MAX: Final = OctavesQ32((56 << 32) - 1)
AVERAGE_SHIFT_MAX: Final = 16
SUPPLY_SHIFT: Final = 6

PPB: Final = 10**9
DAY: Final = Millis(86_400_000)
BLOCK_INTERVAL_MAX: Final = Millis(3_600_000)
TIME_SCALE_MAX: Final = 86_400

_LOG2_E_Q62: Final = 0x5C551D94AE0BF85E
"""1 / ln 2 in Q62, rounded to nearest: turns natural logarithms into octaves."""
_TABLE_SHIFT: Final = 24
"""Bits of an octave's fraction below the table's 1/256 steps; these are interpolated."""


def exp2(octaves: OctavesQ32) -> PriceQ32:
    """Return ``2 ** octaves`` as a price, and at least the smallest price.

    The chord between two table entries lies above the curve: the result is at most 9.2e-7 of the
    true value too high, and through the final rounding down at most one unit too low.

    Raises: ParameterOutOfRange.
    """
    validate_range("octaves", octaves, lowest=OCTAVES_MIN, highest=OCTAVES_MAX)
    whole, fraction = octaves >> 32, octaves & (ONE_Q32 - 1)
    step, rest = fraction >> _TABLE_SHIFT, fraction & ((1 << _TABLE_SHIFT) - 1)
    lower, upper = EXP2_Q63[step], EXP2_Q63[step + 1]
    mantissa = lower + ((upper - lower) * rest >> _TABLE_SHIFT)
    shift = 31 - whole
    price = mantissa >> shift if shift >= 0 else mantissa << -shift
    return PriceQ32(max(1, price))


def log2(price: PriceQ32) -> OctavesQ32:
    """Return the largest logarithm whose ``exp2`` is at most ``price``; for opening a pool.

    Raises: ParameterOutOfRange.
    """
    validate_range("price", price, lowest=1, highest=PRICE_MAX)
    low, high = int(OCTAVES_MIN), int(OCTAVES_MAX)
    while low < high:
        middle = (low + high + 1) >> 1
        if exp2(OctavesQ32(middle)) <= price:
            low = middle
        else:
            high = middle - 1
    return OctavesQ32(low)


@dataclass(frozen=True, slots=True)
class Rates:
    """A pool's gains as integers per price period; made once by ``rates_from_day``."""

    gain_q32: int
    """Octaves by which ``b`` moves in a period for each 100 % by which use misses its target."""
    clamp_q32: int
    """Most octaves by which ``b`` moves in a period."""
    period: Blocks
    average_shift: int
    """The average of the utilisation reaches back over about ``2 ** average_shift`` blocks."""

    def __post_init__(self) -> None:
        validate_range("gain_q32", self.gain_q32, lowest=0, highest=64 * ONE_Q32)
        validate_range("clamp_q32", self.clamp_q32, lowest=1, highest=64 * ONE_Q32)
        validate_range("period", self.period, lowest=1, highest=1 << 20)
        validate_range("average_shift", self.average_shift, lowest=0, highest=AVERAGE_SHIFT_MAX)


@dataclass(frozen=True, slots=True)
class Clock:
    """How the chain's time runs: turns what the chain spec says per day into blocks."""

    block_interval: Millis
    time_scale: int
    """How many seconds of market time pass in one second; 1 but on networks for trying out."""

    def __post_init__(self) -> None:
        validate_range("block_interval", self.block_interval, lowest=1, highest=BLOCK_INTERVAL_MAX)
        validate_range("time_scale", self.time_scale, lowest=1, highest=TIME_SCALE_MAX)
        validate_range("market time a block", self.market_interval, lowest=1, highest=DAY)

    @property
    def market_interval(self) -> Millis:
        """Market time that passes in a block."""
        return Millis(self.block_interval * self.time_scale)

    def blocks_in(self, duration: Millis) -> Blocks:
        """Return the blocks that last at least ``duration`` of market time; never 0."""
        return Blocks(max(1, ceil_div(duration, self.market_interval)))


def rates_from_day(
    clock: Clock,
    *,
    gain_ppb: int,
    clamp_ppb: int,
    period: Blocks,
    average_shift: int,
) -> Rates:
    """Turn a gain (natural logarithm) and a clamp (octaves), per day in ppb, into a period's.

    Both round down, and the clamp is at least 1. The span of the average shrinks with the time
    scale, to the power of two below, so that it keeps its share of a day.

    Raises: ParameterOutOfRange.
    """
    span = clock.market_interval * period
    gain = gain_ppb * _LOG2_E_Q62 * span // (PPB * DAY << 30)
    clamp = (clamp_ppb * span << 32) // (PPB * DAY)
    shift = max(0, average_shift - (clock.time_scale.bit_length() - 1))
    return Rates(gain_q32=gain, clamp_q32=max(1, clamp), period=period, average_shift=shift)


def allowance(
    clock: Clock, share_per_day_ppb: int, units: Units, *, carried_q32: int
) -> tuple[Units, int]:
    """Return how many of ``units`` a share per day lets pass in this block, and what to carry on.

    The fraction of a unit is carried, in Q32: in a small pool a block's share is less than a unit.
    """
    share = (units << 32) * share_per_day_ppb * clock.market_interval // (PPB * DAY)
    total = carried_q32 + share
    return Units(total >> 32), total & (ONE_Q32 - 1)


def utilisation(*, leased: Units, supply: Units) -> int:
    """Return ``min(1, leased / supply)`` in Q32, rounded down; 0 for an empty pool."""
    return 0 if supply == 0 else min(ONE_Q32, (leased << 32) // supply)


def start_average(rates: Rates, utilisation_q32: int) -> AverageQ32:
    """Return the sum of an average that has been ``utilisation_q32`` for ever."""
    return AverageQ32(utilisation_q32 << rates.average_shift)


def step_average(rates: Rates, average: AverageQ32, utilisation_q32: int) -> AverageQ32:
    """Take one block's utilisation into the moving average."""
    return AverageQ32(average - (average >> rates.average_shift) + utilisation_q32)


def average_utilisation(rates: Rates, average: AverageQ32) -> int:
    """Return the moving average of the utilisation in Q32."""
    return average >> rates.average_shift


def step_octaves(
    rates: Rates, octaves: OctavesQ32, *, average_q32: int, target_q16: int
) -> OctavesQ32:
    """Return the logarithm of the next period's base price, held within its range.

    The error and the step are both truncated toward zero, so that nothing drifts.

    Raises: ParameterOutOfRange.
    """
    validate_range("average_q32", average_q32, lowest=0, highest=ONE_Q32)
    validate_range("target_q16", target_q16, lowest=1, highest=ONE_Q16)
    target = target_q16 << 16
    miss = average_q32 - target
    error = (abs(miss) << 32) // target
    step = min(rates.clamp_q32, rates.gain_q32 * error >> 32)
    moved = octaves + step if miss >= 0 else octaves - step
    return OctavesQ32(max(OCTAVES_MIN, min(OCTAVES_MAX, moved)))


def highest_octaves(rates: Rates, octaves: OctavesQ32, within: Blocks) -> OctavesQ32:
    """Return how high ``b`` can be after at most ``within`` blocks: the worst case of a quote."""
    periods = ceil_div(within, rates.period)
    return OctavesQ32(min(OCTAVES_MAX, octaves + periods * rates.clamp_q32))


def worst_case_cost(
    curve: Curve,
    market: Market,
    rates: Rates,
    octaves: OctavesQ32,
    *,
    units: Units,
    duration: Blocks,
    within: Blocks,
) -> Balance:
    """Return what a lease costs at most if only the base price moves for ``within`` blocks.

    Other leases and a shrinking supply can raise the cost further; what a client signs is a
    largest total, and this is what to propose for it.

    Raises: ParameterOutOfRange, NoSupply, NotEnoughSupply, QuoteOverflow.
    """
    dearest = exp2(highest_octaves(rates, octaves, within))
    return cost(curve, replace(market, base_price=dearest), units, duration)


def step_supply(priced_supply: Units, supply: Units) -> Units:
    """Return the priced supply one block later: nearer to ``supply`` by at most 1/64."""
    most = max(1, priced_supply >> SUPPLY_SHIFT)
    return Units(priced_supply + max(-most, min(most, supply - priced_supply)))
