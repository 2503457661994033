"""How rewards see the pools: the market of a chain whose capacity is sold."""

from typing import Protocol

from primitives.types import Epoch
from runtime.availability import ClassPrice, Market
from runtime.issuance import Usage
from runtime.pools.module import Pools
from runtime.pools.pricing import Blocks


class Chain(Protocol):
    """The runtime, of which the pools are a part that is made later than the rewards."""

    @property
    def pools(self) -> Pools: ...


class PoolMarket:
    """Use and price of what pools sell; ``otherwise`` speaks in an epoch without supply."""

    def __init__(self, chain: Chain, otherwise: Market) -> None:
        self._chain, self._otherwise = chain, otherwise

    def usage(self, epoch: Epoch, blocks: Blocks) -> Usage:
        """Return what the mint for ``epoch``, which is ending, depends on."""
        usage = self._chain.pools.usage(epoch, blocks)
        return self._otherwise.usage(epoch, blocks) if usage is None else usage

    def prices(self, epoch: Epoch) -> tuple[ClassPrice, ...]:
        """Return what a unit of each class was worth, on average over an epoch that has ended."""
        tallies = self._chain.pools.class_tallies(epoch)
        return tuple(ClassPrice(each.class_id, each.price) for each in tallies)
