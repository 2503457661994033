"""The price rule a second time, in fractions and decimals, for tests and vectors only.

Written from the formula and not from the code under test: no shared function, no shared rounding
trick. Every result is exact; the tests say how far the integers may lie from it.
"""

from decimal import Decimal, localcontext
from fractions import Fraction
from math import ceil, floor

DAY_MILLIS = 86_400_000


def integral(
    *, exponent: int, floor_q16: int, target_q16: int, depth: int, start: int, end: int, supply: int
) -> Fraction:
    """Return the integral of the marginal price over its base price from ``start`` to ``end``."""
    reserve = Fraction(floor_q16, 2**16)
    target = Fraction(target_q16, 2**16)
    offset = floor(target * depth)
    scale = target * (supply + depth)

    def antiderivative(units: int) -> Fraction:
        bent = Fraction(units + offset) ** (exponent + 1) / ((exponent + 1) * scale**exponent)
        return reserve * units + (1 - reserve) * bent

    return antiderivative(end) - antiderivative(start)


def exact_cost(weighted: Fraction, *, price_q32: int, duration: int) -> Fraction:
    """Return the unrounded cost of ``weighted`` units."""
    return weighted * Fraction(price_q32, 2**32) * duration


def cost(weighted: Fraction, *, price_q32: int, duration: int) -> int:
    """Return the cost as the chain charges it: weighted units up in Q32, then the amount up."""
    rounded = Fraction(ceil(weighted * 2**32), 2**32)
    return ceil(exact_cost(rounded, price_q32=price_q32, duration=duration))


def value(weighted: Fraction, *, price_q32: int, duration: int) -> int:
    """Return the value as the chain refunds it: down, and down again."""
    rounded = Fraction(floor(weighted * 2**32), 2**32)
    return floor(exact_cost(rounded, price_q32=price_q32, duration=duration))


def spot(
    *, exponent: int, floor_q16: int, target_q16: int, depth: int, at: int, supply: int
) -> Fraction:
    """Return the marginal price over the base price with ``at`` units leased."""
    reserve = Fraction(floor_q16, 2**16)
    target = Fraction(target_q16, 2**16)
    use = (at + floor(target * depth)) / (target * (supply + depth))
    return reserve + (1 - reserve) * use**exponent


def exp2(octaves_q32: int) -> Decimal:
    """Return ``2 ** octaves`` in Q32 to 50 digits."""
    with localcontext() as context:
        context.prec = 60
        return Decimal(2) ** (Decimal(octaves_q32) / Decimal(2**32)) * Decimal(2**32)


def chord_exp2(octaves_q32: int) -> int:
    """Return what interpolating 257 rounded powers of two gives in Q32, rounded down."""
    with localcontext() as context:
        context.prec = 80
        steps = Fraction(octaves_q32, 2**24)
        lower = floor(steps)
        whole, index = divmod(lower, 256)
        ends = [
            int((Decimal(2) ** (Decimal(i) / 256) * 2**63).to_integral_value())
            for i in (index, index + 1)
        ]
        mantissa = ends[0] + floor((ends[1] - ends[0]) * (steps - lower))
        return max(1, floor(mantissa * Fraction(2) ** (whole - 31)))


def moved_octaves(
    octaves: int, *, average_q32: int, target_q16: int, gain_q32: int, clamp_q32: int
) -> int:
    """Return ``b`` one period later, both truncations toward zero."""
    error = int((Fraction(average_q32, 2**32) / Fraction(target_q16, 2**16) - 1) * 2**32)
    step = int(Fraction(gain_q32 * error, 2**32))
    return octaves + max(-clamp_q32, min(clamp_q32, step))


def gain(*, per_day_ppb: int, span_millis: int) -> int:
    """Return the octaves in Q32 per period of a gain given in natural logarithms per day."""
    with localcontext() as context:
        context.prec = 60
        octaves_per_day = Decimal(per_day_ppb) / 10**9 / Decimal(2).ln()
        return int(octaves_per_day * span_millis / DAY_MILLIS * 2**32)
