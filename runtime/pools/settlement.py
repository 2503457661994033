"""Where the tokens of a lease go: streaming, burn, payout, refund and the pool's shared reward.

Pure accounting without storage, so that the chain and the simulator settle with one code.

Invariants:

* of every stream: paid + refunded + still in escrow = what was put in, to the last base unit,
  and what has been paid follows from the elapsed blocks, however often it was settled;
* of every payout: burned + provider's part + pool's part = the amount;
* a refund is at most the escrow beyond the shortest rent and at most what leasing the same units
  again would cost, so that neither ending and leasing again nor leasing and ending ever gains;
* of a shared reward: what was added = what was claimed + what members may still claim + dust, and
  once everyone has claimed at most one base unit per member is left over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from primitives.types import UINT64_MAX, Balance
from runtime.pools.controller import PPB
from runtime.pools.pricing import (
    UNITS_MAX,
    Blocks,
    Curve,
    Market,
    Units,
    ceil_div,
    cost,
    validate_range,
)

SALE_SHIFT: Final = 4
"""No more than 1/16 of the supply is sold in a block."""
REWARD_Q64: Final = 64


@dataclass(frozen=True, slots=True)
class Terms:
    """How a pool divides what its leases pay."""

    burn_ppb: int
    provider_ppb: int
    """Share of what is not burned that goes to who serves; the rest goes to all proven units."""
    early_end_fee_ppb: int
    rent_min: Blocks
    """Blocks that are paid for however early a lease ends."""

    def __post_init__(self) -> None:
        validate_range("burn_ppb", self.burn_ppb, lowest=0, highest=PPB)
        validate_range("provider_ppb", self.provider_ppb, lowest=0, highest=PPB)
        validate_range("early_end_fee_ppb", self.early_end_fee_ppb, lowest=0, highest=PPB)
        validate_range("rent_min", self.rent_min, lowest=0, highest=1 << 21)


@dataclass(frozen=True, slots=True)
class Payout:
    """Where an amount that has left an escrow goes."""

    burned: Balance
    to_provider: Balance
    to_pool: Balance

    @property
    def total(self) -> Balance:
        return Balance(self.burned + self.to_provider + self.to_pool)


@dataclass(frozen=True, slots=True)
class Stream:
    """An escrow that is paid out evenly over a duration, each of its three parts by itself.

    What has left it depends on the elapsed blocks alone, never on how often it was settled: the
    burn is rounded up, the provider's part down, the pool's part up. The pool's part flows into
    the shared reward block by block; burn and provider are paid when the stream is settled.
    """

    parts: Payout
    """Where the whole of it goes if nothing ends it early."""
    duration: Blocks
    settled: Blocks = Blocks(0)
    """Elapsed blocks up to which it has been settled."""

    def __post_init__(self) -> None:
        validate_range("total", self.parts.total, lowest=0, highest=UINT64_MAX)
        validate_range("duration", self.duration, lowest=1, highest=1 << 21)
        validate_range("settled", self.settled, lowest=0, highest=self.duration)

    @classmethod
    def opened(cls, terms: Terms, total: Balance, duration: Blocks) -> "Stream":
        """Return the stream of ``total`` base units. Raises: ParameterOutOfRange."""
        return cls(pay_out(terms, total), duration)

    @property
    def flow_q64(self) -> int:
        """What a block adds to the shared reward, in Q64, rounded down."""
        return (self.parts.to_pool << REWARD_Q64) // self.duration

    @property
    def remaining(self) -> Balance:
        """What had not left the escrow when it was settled."""
        return Balance(self.parts.total - self.due_at(self.settled).total)

    def due_at(self, elapsed: Blocks) -> Payout:
        """Return what has left in all after ``elapsed`` blocks."""
        now = max(0, min(elapsed, self.duration))
        return Payout(
            Balance(ceil_div(self.parts.burned * now, self.duration)),
            Balance(self.parts.to_provider * now // self.duration),
            Balance(ceil_div(self.flow_q64 * now, 1 << REWARD_Q64)),
        )

    def advanced(self, elapsed: Blocks) -> tuple["Stream", Payout]:
        """Return the stream settled up to ``elapsed`` blocks, and what left it since it was."""
        now = Blocks(max(self.settled, min(elapsed, self.duration)))
        before, after = self.due_at(self.settled), self.due_at(now)
        due = Payout(
            Balance(after.burned - before.burned),
            Balance(after.to_provider - before.to_provider),
            Balance(after.to_pool - before.to_pool),
        )
        return replace(self, settled=now), due


def split(total: Balance, weights: Sequence[int]) -> list[Balance]:
    """Divide ``total`` in proportion to ``weights`` so that the parts add up to it exactly."""
    whole = sum(weights)
    ends, reached = [0], 0
    for weight in weights:
        reached += weight
        ends.append(total * reached // whole)
    return [Balance(ends[i + 1] - ends[i]) for i in range(len(weights))]


def pay_out(terms: Terms, amount: Balance) -> Payout:
    """Divide what has streamed: the burn rounded up, the provider's part rounded down."""
    burned = ceil_div(amount * terms.burn_ppb, PPB)
    to_provider = (amount - burned) * terms.provider_ppb // PPB
    return Payout(Balance(burned), Balance(to_provider), Balance(amount - burned - to_provider))


def extension_cost(curve: Curve, market: Market, units: Units, duration: Blocks) -> Balance:
    """Return what ``duration`` blocks more of ``units`` that are leased already cost, rounded up.

    The units are priced as the last ones leased, exactly as if they were given back and leased
    again, so that extending is never cheaper than having leased for longer at the same price.

    Raises: ParameterOutOfRange, NoSupply, NotEnoughSupply, QuoteOverflow.
    """
    validate_range("units", units, lowest=1, highest=market.leased)
    return cost(curve, replace(market, leased=Units(market.leased - units)), units, duration)


def sale_max(supply: Units) -> Units:
    """Return the most units that one block may sell: 1/16 of the supply, and at least one."""
    return Units(max(1, supply >> SALE_SHIFT))


@dataclass(frozen=True, slots=True)
class Ending:
    """What is left of an escrow, divided; nothing remains."""

    refund: Balance
    payout: Payout


def end_early(terms: Terms, stream: Stream, elapsed: Blocks, *, value: Balance) -> Ending:
    """End a lease because its client wants to, ``elapsed`` blocks after it began.

    ``value`` is the ``value_of_top`` of the units for the blocks that are given back. What is not
    refunded, the fee included, is divided as a payout of its own.
    """
    stopped, due = stream.advanced(elapsed)
    rented = stream.due_at(Blocks(max(elapsed, min(terms.rent_min, stream.duration))))
    unused = stream.parts.total - max(rented.total, stream.due_at(stopped.settled).total)
    refund = min(unused, value) * (PPB - terms.early_end_fee_ppb) // PPB
    return Ending(Balance(refund), _sum(due, pay_out(terms, Balance(stopped.remaining - refund))))


def end_by_fault(stream: Stream, elapsed: Blocks) -> Ending:
    """End a lease because its provider failed: what has not streamed is refunded in full."""
    stopped, due = stream.advanced(elapsed)
    return Ending(stopped.remaining, due)


def _sum(one: Payout, other: Payout) -> Payout:
    return Payout(
        Balance(one.burned + other.burned),
        Balance(one.to_provider + other.to_provider),
        Balance(one.to_pool + other.to_pool),
    )


@dataclass(frozen=True, slots=True)
class SharedReward:
    """A reward that all units of a pool share: the sum paid per unit since the pool began."""

    units: Units = Units(0)
    per_unit_q64: int = 0
    dust_q64: int = 0
    """What could not be divided evenly, kept for the next addition."""

    def added(self, amount: Balance) -> "SharedReward":
        """Share ``amount`` among the present units; without any it waits for the first ones."""
        return self.added_q64(amount << REWARD_Q64)

    def added_q64(self, amount_q64: int) -> "SharedReward":
        """Do as ``added`` does with an amount that has a fraction."""
        whole = amount_q64 + self.dust_q64
        if self.units == 0:
            return replace(self, dust_q64=whole)
        per_unit, dust = divmod(whole, self.units)
        return replace(self, per_unit_q64=self.per_unit_q64 + per_unit, dust_q64=dust)


@dataclass(frozen=True, slots=True)
class Membership:
    """One provider's claim on a shared reward."""

    units: Units = Units(0)
    seen_q64: int = 0
    """The reward per unit up to which ``accrued_q64`` has been counted."""
    accrued_q64: int = 0
    """What may be claimed, and the fraction of a base unit that may not yet."""

    def accrued(self, reward: SharedReward) -> "Membership":
        """Return the claim with everything shared up to now."""
        gained = self.units * (reward.per_unit_q64 - self.seen_q64)
        return replace(self, seen_q64=reward.per_unit_q64, accrued_q64=self.accrued_q64 + gained)

    def claimed(self, reward: SharedReward) -> tuple["Membership", Balance]:
        """Return the claim after paying it out, and the amount, rounded down.

        The fraction of a base unit stays in the claim.
        """
        now = self.accrued(reward)
        amount = now.accrued_q64 >> REWARD_Q64
        return replace(now, accrued_q64=now.accrued_q64 - (amount << REWARD_Q64)), Balance(amount)

    def resized(self, reward: SharedReward, units: Units) -> tuple["Membership", SharedReward]:
        """Return the claim and the reward after the member's units have become ``units``.

        Raises: ParameterOutOfRange.
        """
        validate_range("units", units, lowest=0, highest=UNITS_MAX)
        now = self.accrued(reward)
        total = Units(reward.units - self.units + units)
        validate_range("units of the pool", total, lowest=0, highest=UNITS_MAX)
        return replace(now, units=units), replace(reward, units=total)
