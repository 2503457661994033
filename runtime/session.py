"""Session: epochs, the keys and the power table that vote in each, and the beacon.

Invariants: an epoch is a fixed number of heights and its last height is its boundary; the boundary
block of epoch e writes the table and the randomness of e + 1, from which both never change; every
height but genesis has exactly one epoch. The table of e + 1 has the weights of e and the keys that
were registered by the end of e - 1, so that nobody chooses a key knowing the randomness that it
will meet. A key belongs to one account at a time.

A table that would hold less than a third of the old one's weight is not written: the old table
stays, for a bad day must not hand the chain to whoever is left.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from primitives.beacon import next_beacon
from primitives.codec import ACCOUNT, DIGEST, U64, optional
from primitives.errors import DispatchError
from primitives.power_table import KEY, POWER_TABLE, PowerTable, Validator
from primitives.types import (
    EMPTY_DIGEST,
    AccountId,
    Digest,
    Epoch,
    Height,
    Signer,
    VotingPower,
    Weight,
)
from runtime.module import Context, Event, Module, StorageMap, StorageValue, call
from runtime.session_keys import (
    KEY_RECORD,
    InvalidKeyProof,
    KeyRecord,
    Keys,
    Proofs,
    SessionKeys,
    validate_possession,
)

SHRINK_MAX = 3
"""A new table holds at least one part in this many of the old one's weight."""


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


@dataclass(frozen=True, slots=True)
class TableKept(Event):
    """Too little weight proved itself, so the table of ``epoch`` votes in the next one too."""

    epoch: Epoch
    old_weight: VotingPower
    new_weight: VotingPower


@dataclass(frozen=True, slots=True)
class KeysSet(Event):
    """The account's keys count from the table of epoch ``since`` on."""

    account: AccountId
    since: Epoch


class UnknownEpoch(DispatchError):
    """The epoch's power table is not in the state."""


class KeyTaken(DispatchError):
    """Another account has registered that key."""


class PowerSource(Protocol):
    """Where the next table's weights come from."""

    def weights(self, ending: Epoch) -> list[tuple[AccountId, VotingPower]]:
        """Return what everybody weighs after ``ending``, in the order of the accounts."""


def epoch_of(height: Height, epoch_length: int) -> Epoch:
    """Return the epoch of a height above genesis."""
    return Epoch((height - 1) // epoch_length)


def is_boundary(height: Height, epoch_length: int) -> bool:
    """Return whether ``height`` is the last of its epoch."""
    return height > 0 and height % epoch_length == 0


class Session(Module):
    """Epochs, session keys, power tables and the beacon."""

    name = "session"
    index = 4
    events = (EpochEnded, TableKept, KeysSet)
    errors = (UnknownEpoch, KeyTaken, InvalidKeyProof)

    tables = StorageMap(U64, optional(POWER_TABLE), default=None)
    randomness = StorageMap(U64, DIGEST, default=EMPTY_DIGEST)
    beacon = StorageValue(DIGEST, default=EMPTY_DIGEST)
    origins = StorageMap(U64, U64, default=0)
    """The epoch for which an epoch's table was made; earlier than it if the table was kept."""
    genesis_hash = StorageValue(DIGEST, default=EMPTY_DIGEST)
    """Known from block 1 on: what every signature of this chain names."""
    keys = StorageMap(ACCOUNT, optional(KEY_RECORD), default=None)
    key_owners = StorageMap(KEY, optional(ACCOUNT), default=None)

    def __init__(
        self, context: Context, config: Config, *, power: PowerSource, tables_kept: int
    ) -> None:
        """``tables_kept`` epochs' tables stay, so that what their validators signed is judged."""
        super().__init__(context)
        self.config, self.power, self.tables_kept = config, power, tables_kept

    @call(0, weight=Weight(900_000))
    def set_keys(self, signer: Signer, keys: Keys, proofs: Proofs) -> None:
        """Register the keys with which the signer will vote, from the epoch after the next on.

        Each key signs the account and the chain; a node makes keys and proofs for its operator.
        Emits: KeysSet.
        Raises: InvalidKeyProof, KeyTaken.
        """
        validate_possession(self.genesis_hash.get(), signer, keys, proofs)
        for key in keys.each():
            if self.key_owners[key] not in (None, signer):
                raise KeyTaken(key.hex())
        now, known = self.context.block.epoch, self.keys[signer]
        previous = known.registered_before(now) if known else None
        for key in known.keys.each() if known else ():
            self.key_owners[key] = None
        for key in keys.each():
            self.key_owners[key] = signer
        self.keys[signer] = KeyRecord(keys, now, previous)
        self.emit(KeysSet(signer, Epoch(now + 2)))

    def table(self, epoch: Epoch) -> PowerTable:
        """Return who votes in ``epoch``. Raises: UnknownEpoch."""
        table = self.tables[epoch]
        if table is None:
            raise UnknownEpoch(f"epoch {epoch} is too old or not decided")
        return table

    def known_genesis(self) -> Digest:
        """Return the hash that every signature of this chain names; known from block 1 on."""
        return self.genesis_hash.get()

    def origin(self, epoch: Epoch) -> Epoch:
        """Return the epoch whose stakes made the table of ``epoch``."""
        return Epoch(self.origins[epoch])

    def challenge_seed(self, epoch: Epoch) -> Digest:
        """Return the beacon at the start of ``epoch``, while its table is in the state."""
        return self.randomness[epoch]

    def latest_beacon(self) -> Digest:
        """Return the beacon of the present block."""
        return self.beacon.get()

    def build_genesis(self, table: PowerTable, randomness: Digest) -> None:
        """Let the genesis validators vote in epoch 0, and keep their keys until they change."""
        self.tables[0] = table
        self.randomness[0] = randomness
        self.beacon.set(randomness)
        for entry in table.validators:
            assert entry.peer_key is not None, "a genesis validator has a peer key"
            keys = SessionKeys(entry.consensus_key, entry.vrf_key, entry.peer_key)
            self.keys[entry.account] = KeyRecord(keys, Epoch(0), keys)
            for key in keys.each():
                self.key_owners[key] = entry.account

    def begin_block(self) -> None:
        block = self.context.block
        if block.height == 1:
            self.genesis_hash.set(block.parent_hash)
        self.beacon.set(next_beacon(self.beacon.get(), block.vrf_output))

    def end_block(self) -> None:
        block = self.context.block
        if not is_boundary(block.height, self.config.epoch_length):
            return
        following = Epoch(block.epoch + 1)
        table = self.make_table(following)
        self.randomness[following] = self.beacon.get()
        expired = following - self.tables_kept
        if expired >= 0:
            del self.tables[expired]
            del self.randomness[expired]
            del self.origins[expired]
        self.emit(EpochEnded(block.epoch, table.root, self.beacon.get()))

    def check_invariants(self) -> None:
        height = self.context.block.height
        newest = epoch_of(Height(height + 1), self.config.epoch_length)
        kept = {epoch for epoch, _ in self.tables.items()}
        wanted = set(range(max(0, newest + 1 - self.tables_kept), newest + 1))
        self.require("latest_tables_are_kept", kept == wanted)
        beacons = {epoch for epoch, _ in self.randomness.items()}
        self.require("tables_have_their_randomness", kept == beacons)
        owned: dict[bytes, AccountId] = {}
        for account, record in self.keys.items():
            assert record is not None
            owned.update(dict.fromkeys(record.keys.each(), account))
        self.require("keys_have_one_owner", owned == dict(self.key_owners.items()))

    def make_table(self, following: Epoch) -> PowerTable:
        """Write the table of the next epoch and return it; for the boundary's hook alone."""
        ending = Epoch(following - 1)
        old = self.table(ending)
        entries = self._entries(ending)
        weight = VotingPower(sum(entry.weight for entry in entries))
        if SHRINK_MAX * weight < old.total:
            self.emit(TableKept(ending, old.total, weight))
            table, origin = old, self.origin(ending)
        else:
            table, origin = PowerTable(entries), following
        self.tables[following] = table
        self.origins[following] = origin
        return table

    def _entries(self, ending: Epoch) -> tuple[Validator, ...]:
        """Return everybody with weight and with keys that were registered in time."""
        return tuple(self._find_entries(self.power.weights(ending), ending))

    def _find_entries(
        self, weights: Iterable[tuple[AccountId, VotingPower]], ending: Epoch
    ) -> Iterable[Validator]:
        for account, weight in weights:
            record = self.keys[account]
            keys = record.registered_before(ending) if record else None
            if weight and keys is not None:
                yield Validator(account, keys.consensus, keys.vrf, weight, keys.peer)
