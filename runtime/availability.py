"""Who stood ready with what in an epoch, and what that was worth: how the reward is divided.

A class counts by the units of it that were proven, times what a unit was worth on average over
the epoch in the pools that sell it. Never by a price of one moment: what moves a price for a block
would move the reward of a whole epoch. While no pool has anything to sell, all proven operations
count alike, those that the chain spec grants among them.

Invariant: the parts of all providers for an epoch come to at most the whole, since neither units
nor prices of an epoch that has ended change any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from primitives.types import AccountId, Balance, Epoch
from runtime.issuance import Usage
from runtime.pools.pricing import UNITS_MAX, Blocks, PriceQ32, Units
from runtime.power import ComputePower


@dataclass(frozen=True, slots=True)
class ClassPrice:
    """What a unit of a class was worth in an epoch, on average over its blocks."""

    class_id: int
    price: PriceQ32


class Market(Protocol):
    """How capacity is used and priced."""

    def usage(self, epoch: Epoch, blocks: Blocks) -> Usage:
        """Return what the mint for ``epoch``, which is ending, depends on."""

    def prices(self, epoch: Epoch) -> Sequence[ClassPrice]:
        """Return what was for sale in an epoch that has ended; empty if nothing was."""


class ProvenUnits(ComputePower, Protocol):
    """Who has proven how much, in operations and by class."""

    def units_in(self, class_id: int, account: AccountId, epoch: Epoch) -> int:
        """Return the units of a class that ``account`` proved in ``epoch``."""

    def class_units_in(self, class_id: int, epoch: Epoch) -> int:
        """Return the units of a class that everybody proved in ``epoch``."""

    def earnings_max(self, account: AccountId, epoch: Epoch) -> Balance:
        """Return the most that ``account`` may earn for what it proved in ``epoch``."""


@dataclass(frozen=True, slots=True)
class SpecPrice:
    """What the chain spec says of compute that no pool prices yet."""

    operations_per_unit: int
    base_price: PriceQ32
    target_q16: int


class IdleMarket:
    """The market before any pool sells: nothing is leased, and the spec names a price."""

    def __init__(self, terms: SpecPrice, compute: ComputePower) -> None:
        self._terms, self._compute = terms, compute

    def usage(self, epoch: Epoch, blocks: Blocks) -> Usage:
        """Return the usage of an idle network at the spec's price."""
        operations = self._compute.total_operations(epoch)
        return Usage(
            supply=Units(min(operations // self._terms.operations_per_unit, UNITS_MAX)),
            average_q32=0,
            target_q16=self._terms.target_q16,
            base_price=self._terms.base_price,
            blocks=blocks,
        )

    def prices(self, _: Epoch) -> tuple[ClassPrice, ...]:
        """Return nothing: no class has a price."""
        return ()


class Availability:
    """The parts of providers in what an epoch pays for proven compute."""

    def __init__(self, compute: ProvenUnits, market: Market) -> None:
        self._compute, self._market = compute, market

    def part(self, provider: AccountId, epoch: Epoch) -> tuple[int, int]:
        """Return a provider's weight in an epoch that has ended, and the weight of all."""
        compute, prices = self._compute, self._market.prices(epoch)
        if not prices:
            return compute.proven_operations(provider, epoch), compute.total_operations(epoch)
        own = whole = 0
        for each in prices:
            own += each.price * compute.units_in(each.class_id, provider, epoch)
            whole += each.price * compute.class_units_in(each.class_id, epoch)
        return own, whole
