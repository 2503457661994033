"""Timestamp: the time of the block, as its author put it in and the validators accepted it.

Invariants: it is set exactly once in every block but genesis, equals the header's, and is later
than the parent's. How far it may run ahead of a validator's own clock is judged by that validator
when it votes, since no rule of the state can read a clock.
"""

from primitives.codec import U64
from primitives.errors import DispatchError
from primitives.types import Millis, Weight
from runtime.module import Module, StorageValue, inherent


class TimestampMismatch(DispatchError):
    """The inherent differs from the header, or is not later than the parent's."""


class Timestamp(Module):
    """The chain's clock."""

    name = "timestamp"
    index = 1
    errors = (TimestampMismatch,)

    now = StorageValue(U64, default=0)

    @inherent(0, weight=Weight(5_000))
    def set(self, now: Millis) -> None:
        """Set the time of this block.

        Raises: TimestampMismatch.
        """
        before, stated = self.now.get(), self.context.block.timestamp
        if now != stated or now <= before:
            raise TimestampMismatch(f"{now}: the header says {stated}, the parent had {before}")
        self.now.set(now)

    def build_genesis(self, now: Millis) -> None:
        """Set the time of genesis."""
        self.now.set(now)

    def check_invariants(self) -> None:
        self.require("time_is_the_blocks", self.now.get() == self.context.block.timestamp)
