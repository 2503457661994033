"""How much of a block, and of an epoch, responses may take: what bounds the places of all classes.

A class is charged by what verifying its largest response may cost. Providers find places only as
long as all of them together can answer within the response window in a share of its blocks, and
be settled in the epoch after it. So however many answer, no block gets longer than its limit.
"""

from dataclasses import dataclass

from runtime.fees import BlockLimits
from runtime.pocps.classes import (
    CLASSES_MAX,
    InvalidClass,
    ResourceClass,
    response_bytes,
    response_weight,
)
from runtime.pocps.proof import PPB, slash_floor
from runtime.pocps.records import Config


@dataclass(frozen=True, slots=True)
class Terms:
    """What other modules' parameters mean for PoCPS."""

    epoch_length: int
    unbonding_epochs: int
    extrinsic_length_max: int
    limits: BlockLimits


@dataclass(frozen=True, slots=True)
class Room:
    """The space that the chain's parameters leave for responses."""

    config: Config
    terms: Terms

    @property
    def block_weight(self) -> int:
        """How much of a block responses may count on."""
        return self.terms.limits.weight_max * self.config.respond_share_ppb // PPB

    @property
    def window_weight(self) -> int:
        """How much weight the responses of an epoch may count on."""
        blocks = self.config.respond_deadline - self.config.sample_block + 1
        return blocks * self.block_weight

    @property
    def places_max(self) -> int:
        """How many providers an epoch can settle, with a step of the sweep left for each class."""
        steps = self.config.sweep_max * (self.terms.epoch_length - 1)
        return max(0, steps - CLASSES_MAX)

    def cost(self, resource: ResourceClass) -> int:
        """Return the block space that a response takes, as weight."""
        limits = self.terms.limits
        length = response_bytes(resource) * limits.weight_max // limits.length_max
        return max(response_weight(resource), length)

    def validate(self, resource: ResourceClass) -> None:
        """Refuse a class whose responses find no room, or whose bond deters nobody.

        Raises: InvalidClass.
        """
        cost, length = self.cost(resource), response_bytes(resource)
        if cost > self.block_weight:
            raise InvalidClass(f"a response takes {cost} of a block's {self.block_weight}")
        if length > self.terms.extrinsic_length_max:
            raise InvalidClass(f"a response of {length} bytes is longer than an extrinsic")
        slash = resource.bond_per_unit * self.config.ladder.second_ppb // PPB
        floor = slash_floor(resource.reward_max, resource.samples)
        if slash < floor:
            raise InvalidClass(f"a wrong proof costs {slash} a unit, at least {floor} is needed")
