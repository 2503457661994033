"""Fees: what including an extrinsic costs, and where that goes.

A fee is ``base_fee * (weight and length priced in units) + tip``. The base fee follows demand:
after a block fuller than the target it rises, after an emptier one it falls, by at most 1/8.

Invariants: whoever cannot pay is not included; of every fee without its tip a fixed share is
burned and the rest, with the tip, goes to the block's author; what is paid in a block leaves the
module in that block. Rounding favours burning.
"""

from dataclasses import dataclass

from primitives.codec import U64
from primitives.errors import DispatchError, InvalidExtrinsic
from primitives.types import AccountId, Balance, Weight
from runtime.currency import Currency
from runtime.module import Context, Event, Module, StorageValue

PPB = 1_000_000_000
BASE_FEE_STEP = 8
"""One part in this many is the most that the base fee moves in a block: down after an empty one."""


@dataclass(frozen=True, slots=True)
class Config:
    fee_per_weight_ppb: int
    """Base units per 10**9 units of weight, when the base fee is 1."""
    fee_per_byte: Balance
    """Base units a byte of the extrinsic, when the base fee is 1."""
    base_fee_min_ppb: int
    """Lowest base fee, and the one at genesis; parts per billion, 10**9 means 1."""
    base_fee_max_ppb: int
    target_fullness_ppb: int
    """Share of the block limits at which the base fee stays as it is; above 0, below 10**9."""
    burned_ppb: int
    """Share of the fee, without the tip, that is burned."""


@dataclass(frozen=True, slots=True)
class FeesShared(Event):
    """What all fees of the block came to."""

    author: AccountId
    paid_to_author: Balance
    burned: Balance


class CannotPayFee(InvalidExtrinsic):
    """The signer's free balance does not cover the fee and the tip."""


@dataclass(frozen=True, slots=True)
class BlockLimits:
    """What a block may hold; the fullness that moves the base fee is measured against it."""

    weight_max: Weight
    length_max: int


class Fees(Module):
    """Pricing of block space."""

    name = "fees"
    index = 3
    events = (FeesShared,)

    base_fee_ppb = StorageValue(U64, default=0)

    def __init__(
        self, context: Context, config: Config, *, limits: BlockLimits, currency: Currency
    ) -> None:
        super().__init__(context)
        self.config, self.limits, self.currency = config, limits, currency
        self._base_fee_ppb: int | None = None
        self._fees = self._tips = self._weight = self._length = 0

    def fee(self, weight: Weight, length: int) -> Balance:
        """Return what an extrinsic costs in this block, without a tip; in base units."""
        if self._base_fee_ppb is None:
            self._base_fee_ppb = self.base_fee_ppb.get()
        priced_weight = weight * self.config.fee_per_weight_ppb
        units_ppb = priced_weight + length * self.config.fee_per_byte * PPB
        return Balance(-(-units_ppb * self._base_fee_ppb // (PPB * PPB)))

    def charge(self, payer: AccountId, *, weight: Weight, length: int, tip: Balance) -> Balance:
        """Take fee and tip from ``payer`` and return their sum. Raises: CannotPayFee."""
        fee = self.fee(weight, length)
        paid = Balance(fee + tip)
        try:
            self.currency.withdraw(payer, paid)
        except DispatchError as error:
            raise CannotPayFee(f"fee {fee} and tip {tip}: {error.reason}, {error}") from error
        self._fees += fee
        self._tips += tip
        return paid

    def validate_payer(self, payer: AccountId, amount: Balance) -> None:
        """Refuse an account that cannot pay ``amount``. Raises: CannotPayFee."""
        try:
            self.currency.validate_withdrawal(payer, amount)
        except DispatchError as error:
            raise CannotPayFee(f"{amount} in fees and tips: {error.reason}, {error}") from error

    def note_use(self, *, weight: Weight, length: int) -> None:
        """Count an extrinsic towards the block's fullness."""
        self._weight += weight
        self._length += length

    def build_genesis(self) -> None:
        """Start at the lowest base fee."""
        self.base_fee_ppb.set(self.config.base_fee_min_ppb)

    def end_block(self) -> None:
        self._share()
        self._follow_demand()

    def _share(self) -> None:
        if not self._fees + self._tips:
            return
        burned = -(-self._fees * self.config.burned_ppb // PPB)
        author = self.context.block.author
        reward = Balance(self._fees - burned + self._tips)
        self.currency.burn_withdrawn(Balance(burned))
        paid = self.currency.credit(author, reward)
        self.emit(FeesShared(author, paid, Balance(burned + reward - paid)))
        self._fees = self._tips = 0

    def _follow_demand(self) -> None:
        fullness = max(
            self._weight * PPB // self.limits.weight_max,
            self._length * PPB // self.limits.length_max,
        )
        before, target = self.base_fee_ppb.get(), self.config.target_fullness_ppb
        gap = max(-target, min(target, fullness - target))
        # At least 1, or a small base fee would never move.
        step = max(1, before * abs(gap) // (target * BASE_FEE_STEP)) if gap else 0
        moved = before + step if gap > 0 else before - step
        bounded = max(self.config.base_fee_min_ppb, min(self.config.base_fee_max_ppb, moved))
        self.base_fee_ppb.set(bounded)

    def check_invariants(self) -> None:
        low, high = self.config.base_fee_min_ppb, self.config.base_fee_max_ppb
        self.require("base_fee_is_in_its_range", low <= self.base_fee_ppb.get() <= high)
        self.require("fees_of_the_block_are_shared", not self._fees + self._tips)
