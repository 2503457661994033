"""Session: epochs, the power table that votes in each, and the beacon that chooses leaders.

Invariants: an epoch is a fixed number of heights and its last height is its boundary; the boundary
block of epoch e writes the table and the randomness of e + 1, from which both never change; every
height but genesis has exactly one epoch.
"""

from dataclasses import dataclass
from typing import Protocol

from primitives.beacon import next_beacon
from primitives.codec import DIGEST, U64, optional
from primitives.errors import DispatchError
from primitives.power_table import POWER_TABLE, PowerTable
from primitives.types import EMPTY_DIGEST, Digest, Epoch, Height
from runtime.module import Context, Event, Module, StorageMap, StorageValue

TABLES_KEPT = 8
"""Epochs whose tables stay in the state, so that what their validators signed can be judged."""


@dataclass(frozen=True, slots=True)
class Config:
    epoch_length: int
    """Heights in an epoch; at least 1."""


@dataclass(frozen=True, slots=True)
class EpochEnded(Event):
    """The block is the boundary of ``epoch``; ``table_root`` votes in the next."""

    epoch: Epoch
    table_root: Digest
    randomness: Digest


class UnknownEpoch(DispatchError):
    """The epoch's power table is not in the state."""


class PowerSource(Protocol):
    """Where the next table comes from."""

    def next_table(self, current: PowerTable) -> PowerTable:
        """Return who votes in the epoch after the one that ends in this block."""


class UnchangedPower:
    """The genesis validators keep their weights for ever."""

    def next_table(self, current: PowerTable) -> PowerTable:
        """Return ``current``."""
        return current


def epoch_of(height: Height, epoch_length: int) -> Epoch:
    """Return the epoch of a height above genesis."""
    return Epoch((height - 1) // epoch_length)


def is_boundary(height: Height, epoch_length: int) -> bool:
    """Return whether ``height`` is the last of its epoch."""
    return height > 0 and height % epoch_length == 0


class Session(Module):
    """Epochs, power tables and the beacon."""

    name = "session"
    index = 4
    events = (EpochEnded,)
    errors = (UnknownEpoch,)

    tables = StorageMap(U64, optional(POWER_TABLE), default=None)
    randomness = StorageMap(U64, DIGEST, default=EMPTY_DIGEST)
    beacon = StorageValue(DIGEST, default=EMPTY_DIGEST)

    def __init__(self, context: Context, config: Config, *, power: PowerSource) -> None:
        super().__init__(context)
        self.config, self.power = config, power

    def table(self, epoch: Epoch) -> PowerTable:
        """Return who votes in ``epoch``. Raises: UnknownEpoch."""
        table = self.tables[epoch]
        if table is None:
            raise UnknownEpoch(f"epoch {epoch} is too old or not decided")
        return table

    def build_genesis(self, table: PowerTable, randomness: Digest) -> None:
        """Let the genesis validators vote in epoch 0."""
        self.tables[0] = table
        self.randomness[0] = randomness
        self.beacon.set(randomness)

    def begin_block(self) -> None:
        output = self.context.block.vrf_output
        self.beacon.set(next_beacon(self.beacon.get(), output))

    def end_block(self) -> None:
        block = self.context.block
        if not is_boundary(block.height, self.config.epoch_length):
            return
        table = self.power.next_table(self.table(block.epoch))
        following = block.epoch + 1
        self.tables[following] = table
        self.randomness[following] = self.beacon.get()
        if following >= TABLES_KEPT:
            del self.tables[following - TABLES_KEPT]
            del self.randomness[following - TABLES_KEPT]
        self.emit(EpochEnded(block.epoch, table.root, self.beacon.get()))

    def check_invariants(self) -> None:
        height = self.context.block.height
        newest = epoch_of(Height(height + 1), self.config.epoch_length)
        kept = {epoch for epoch, _ in self.tables.items()}
        assert kept == set(range(max(0, newest + 1 - TABLES_KEPT), newest + 1))
        assert kept == {epoch for epoch, _ in self.randomness.items()}
