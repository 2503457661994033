"""How new tokens come into being: a pot that halves, gated by use, and the recycling of burns.

Pure part without storage. Supply never exceeds what genesis held plus the pot.

Invariants: minted + unminted = the pot at genesis; an epoch mints at most its share of the pot,
and at most a fraction of what its capacity would earn at the pool's price; what was recycled never
exceeds its fraction of what was burned.
"""

from dataclasses import dataclass, replace
from typing import Final

from primitives.types import UINT64_MAX, Balance
from runtime.pools.controller import ONE_Q32, PPB
from runtime.pools.pricing import (
    ONE_Q16,
    PRICE_MAX,
    UNITS_MAX,
    Blocks,
    PriceQ32,
    Units,
    validate_range,
)

LN_2_Q64: Final = 0xB17217F7D1CF79AB
"""ln 2 in Q64, rounded down."""


@dataclass(frozen=True, slots=True)
class IssuanceParameters:
    """The rule of issuance; fixed by the chain spec."""

    half_life_epochs: int
    """Epochs in which half of the pot would be minted if every epoch minted its whole share."""
    supply_base: Units
    """Proven units from which on the mint is not reduced for a small network."""
    idle_ppb: int = 500_000_000
    """Share of the mint that is paid even when nothing is leased."""
    value_cap_ppb: int = 500_000_000
    """Most that is minted, as a share of what all units would earn at the base price."""
    recycled_ppb: int = 500_000_000
    """Share of every burn that is paid out again."""
    recycle_shift: int = 10
    """Each epoch pays ``2 ** -recycle_shift`` of what waits to be recycled."""

    def __post_init__(self) -> None:
        validate_range("half_life_epochs", self.half_life_epochs, lowest=1, highest=1 << 32)
        validate_range("supply_base", self.supply_base, lowest=1, highest=UNITS_MAX)
        validate_range("idle_ppb", self.idle_ppb, lowest=0, highest=PPB)
        validate_range("value_cap_ppb", self.value_cap_ppb, lowest=0, highest=PPB)
        validate_range("recycled_ppb", self.recycled_ppb, lowest=0, highest=PPB)
        validate_range("recycle_shift", self.recycle_shift, lowest=0, highest=32)


@dataclass(frozen=True, slots=True)
class Usage:
    """What an epoch's mint depends on besides the pot."""

    supply: Units
    average_q32: int
    """Average utilisation."""
    target_q16: int
    base_price: PriceQ32
    blocks: Blocks

    def __post_init__(self) -> None:
        validate_range("supply", self.supply, lowest=0, highest=UNITS_MAX)
        validate_range("average_q32", self.average_q32, lowest=0, highest=ONE_Q32)
        validate_range("target_q16", self.target_q16, lowest=1, highest=ONE_Q16)
        validate_range("base_price", self.base_price, lowest=0, highest=PRICE_MAX)
        validate_range("blocks", self.blocks, lowest=0, highest=1 << 32)


@dataclass(frozen=True, slots=True)
class Reserve:
    """Tokens that do not exist yet but may: the pot, and burns that wait to be recycled."""

    unminted: Balance
    recyclable: Balance = Balance(0)
    burn_remainder: int = 0
    """Part of a base unit, in ppb, that earlier burns left to be recycled."""

    def __post_init__(self) -> None:
        validate_range("unminted", self.unminted, lowest=0, highest=UINT64_MAX)
        validate_range("recyclable", self.recyclable, lowest=0, highest=UINT64_MAX)

    def minted(self, parameters: IssuanceParameters, usage: Usage) -> tuple["Reserve", Balance]:
        """Return the reserve after an epoch's mint, and the amount, rounded down.

        What the gates keep back stays in the pot.
        """
        amount = epoch_mint(parameters, self.unminted, usage)
        return replace(self, unminted=Balance(self.unminted - amount)), amount

    def burned(self, parameters: IssuanceParameters, amount: Balance) -> "Reserve":
        """Return the reserve after ``amount`` was burned; its recycled share waits in it.

        Raises: ParameterOutOfRange.
        """
        validate_range("amount", amount, lowest=0, highest=UINT64_MAX)
        gained, rest = divmod(amount * parameters.recycled_ppb + self.burn_remainder, PPB)
        return replace(self, recyclable=Balance(self.recyclable + gained), burn_remainder=rest)

    def recycled(self, parameters: IssuanceParameters) -> tuple["Reserve", Balance]:
        """Return the reserve after an epoch's recycling, and the amount, rounded down."""
        amount = self.recyclable >> parameters.recycle_shift
        return replace(self, recyclable=Balance(self.recyclable - amount)), Balance(amount)


def epoch_share(parameters: IssuanceParameters, unminted: Balance) -> Balance:
    """Return the share of the pot that an epoch may mint: the pot times ``ln 2 / half-life``."""
    return Balance(unminted * LN_2_Q64 // parameters.half_life_epochs >> 64)


def epoch_mint(parameters: IssuanceParameters, unminted: Balance, usage: Usage) -> Balance:
    """Return what an epoch mints, rounded down.

    The share of the pot is scaled by the size of the network and by its use, and capped by the
    market's own value: a network that nobody uses pays little, and none pays more for standing by
    than it could earn.
    """
    share = epoch_share(parameters, unminted)
    size = min(usage.supply, parameters.supply_base)
    target = usage.target_q16 << 16
    use = min(usage.average_q32, target)
    gate = parameters.idle_ppb * target + (PPB - parameters.idle_ppb) * use
    gated = share * size * gate // (parameters.supply_base * PPB * target)
    worth = usage.base_price * usage.supply * usage.blocks
    cap = worth * parameters.value_cap_ppb // (PPB << 32)
    return Balance(min(gated, cap, unminted))
