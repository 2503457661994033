"""What whoever opens a pool may choose, and within which bounds.

Each bound comes from the stability and incentive analysis in docs/pools.md: outside it the price
oscillates, does not follow, or an attack pays. Opening a pool is permissionless, so the bounds are
enforced, not recommended.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from primitives.codec import U32, U64, struct
from primitives.types import Millis
from runtime.pools.controller import DAY, Clock, Rates, rates_from_day
from runtime.pools.pricing import (
    DURATION_MAX,
    EXPONENT_MAX,
    Blocks,
    Curve,
    Units,
    validate_range,
)

HOUR: Final = Millis(3_600_000)

STEEPNESS_Q16: Final = (1 << 14, 3 << 14)
"""Bounds of ``a * (1 - w)``, the elasticity of the price at target: 0.25 to 0.75."""
TARGET_Q16: Final = (42_599, 52_428)
"""0.65 to 0.80."""
VIRTUAL_DEPTH: Final = (Units(0), Units(200_000))
GAIN_PPB: Final = (500_000_000, 4_000_000_000)
"""Natural logarithm of the price per day and 100 % of miss: 0.5 to 4."""
CLAMP_PPB: Final = (500_000_000, 1_500_000_000)
"""Octaves per day: 0.5 to 1.5."""
BURN_PPB: Final = (100_000_000, 300_000_000)
EARLY_END_FEE_PPB: Final = (0, 200_000_000)
EXIT_PPB: Final = (100_000_000, 200_000_000)
"""Share of the supply that may leave per day: 10 % to 20 %."""
RENT_MIN: Final = (Millis(1_000), DAY)
LOCK_MAX: Final = (Millis(1_000), Millis(14 * DAY))


@dataclass(frozen=True, slots=True)
class PoolParameters:
    """The rule of one pool, complete; refused when outside the bounds of this file."""

    curve: Curve
    gain_per_day_ppb: int = 2_000_000_000
    clamp_per_day_ppb: int = 1_000_000_000
    burn_ppb: int = 200_000_000
    """Share of what is streamed that is destroyed."""
    early_end_fee_ppb: int = 50_000_000
    """Share of a refund that the client forfeits for ending a lease before its time."""
    exit_per_day_ppb: int = 125_000_000
    rent_min: Millis = HOUR
    """Shortest lease, and what is paid however early it ends; market time."""
    lock_max: Millis = DAY
    """Longest lease, whose price cannot change; market time."""

    def __post_init__(self) -> None:
        curve = self.curve
        steepness = curve.exponent * ((1 << 16) - curve.floor_q16)
        _validate("exponent", curve.exponent, (1, EXPONENT_MAX))
        _validate("exponent * (1 - floor)", steepness, STEEPNESS_Q16)
        _validate("target_q16", curve.target_q16, TARGET_Q16)
        _validate("virtual_depth", curve.virtual_depth, VIRTUAL_DEPTH)
        _validate("gain_per_day_ppb", self.gain_per_day_ppb, GAIN_PPB)
        _validate("clamp_per_day_ppb", self.clamp_per_day_ppb, CLAMP_PPB)
        _validate("burn_ppb", self.burn_ppb, BURN_PPB)
        _validate("early_end_fee_ppb", self.early_end_fee_ppb, EARLY_END_FEE_PPB)
        _validate("exit_per_day_ppb", self.exit_per_day_ppb, EXIT_PPB)
        _validate("rent_min", self.rent_min, RENT_MIN)
        _validate("lock_max", self.lock_max, (max(self.rent_min, LOCK_MAX[0]), LOCK_MAX[1]))

    def rates(self, clock: Clock, *, period: Blocks, average_shift: int) -> Rates:
        """Return the controller's integers for a chain with this clock.

        Raises: ParameterOutOfRange.
        """
        return rates_from_day(
            clock,
            gain_ppb=self.gain_per_day_ppb,
            clamp_ppb=self.clamp_per_day_ppb,
            period=period,
            average_shift=average_shift,
        )

    def validate_duration(self, clock: Clock, duration: Blocks) -> None:
        """Refuse a lease shorter than the shortest or longer than the longest.

        Raises: ParameterOutOfRange.
        """
        longest = min(DURATION_MAX, clock.blocks_in(self.lock_max))
        validate_range("duration", duration, lowest=clock.blocks_in(self.rent_min), highest=longest)


@dataclass(frozen=True, slots=True)
class Parameters:
    """The rule of a pool as whoever opens it writes it; ``rule_of`` refuses what is not allowed."""

    exponent: int
    floor_q16: int
    target_q16: int
    virtual_depth: int
    gain_per_day_ppb: int
    clamp_per_day_ppb: int
    burn_ppb: int
    early_end_fee_ppb: int
    exit_per_day_ppb: int
    rent_min: Millis
    lock_max: Millis


PARAMETERS = struct(
    Parameters,
    exponent=U32,
    floor_q16=U32,
    target_q16=U32,
    virtual_depth=U64,
    gain_per_day_ppb=U64,
    clamp_per_day_ppb=U64,
    burn_ppb=U32,
    early_end_fee_ppb=U32,
    exit_per_day_ppb=U32,
    rent_min=U64,
    lock_max=U64,
)


@lru_cache(maxsize=1024)
def rule_of(parameters: Parameters) -> PoolParameters:
    """Return the checked rule. Raises: ParameterOutOfRange."""
    return PoolParameters(
        curve=Curve(
            exponent=parameters.exponent,
            floor_q16=parameters.floor_q16,
            target_q16=parameters.target_q16,
            virtual_depth=Units(parameters.virtual_depth),
        ),
        gain_per_day_ppb=parameters.gain_per_day_ppb,
        clamp_per_day_ppb=parameters.clamp_per_day_ppb,
        burn_ppb=parameters.burn_ppb,
        early_end_fee_ppb=parameters.early_end_fee_ppb,
        exit_per_day_ppb=parameters.exit_per_day_ppb,
        rent_min=parameters.rent_min,
        lock_max=parameters.lock_max,
    )


def parameters_of(rule: PoolParameters) -> Parameters:
    """Return ``rule`` as it is written in a chain spec and in a call."""
    return Parameters(
        exponent=rule.curve.exponent,
        floor_q16=rule.curve.floor_q16,
        target_q16=rule.curve.target_q16,
        virtual_depth=rule.curve.virtual_depth,
        gain_per_day_ppb=rule.gain_per_day_ppb,
        clamp_per_day_ppb=rule.clamp_per_day_ppb,
        burn_ppb=rule.burn_ppb,
        early_end_fee_ppb=rule.early_end_fee_ppb,
        exit_per_day_ppb=rule.exit_per_day_ppb,
        rent_min=rule.rent_min,
        lock_max=rule.lock_max,
    )


DEFAULT_CURVE: Final = Curve(
    exponent=2, floor_q16=49_152, target_q16=49_152, virtual_depth=Units(64_000)
)


def _validate(name: str, value: int, bounds: tuple[int, int]) -> None:
    validate_range(name, value, lowest=bounds[0], highest=bounds[1])
