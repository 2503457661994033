"""The power table: who votes in an epoch, with which keys and how much weight.

Invariants: entries are in the order of their account ids; accounts and keys are unique; every
weight is at least 1 and the total fits 64 bits. A position in the table never changes within an
epoch, so a vote names its signer by position and a certificate by a bitmap.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

from primitives.codec import ACCOUNT, U64, Codec, fixed, listing, optional, struct
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DecodeError
from primitives.types import UINT64_MAX, AccountId, Digest, PublicKey, VotingPower

VALIDATORS_MAX = 1024
"""Hard limit of entries; the chain spec may set a lower one, never a higher."""

KEY = cast("Codec[PublicKey]", fixed(32, "public key"))


class InvalidPowerTable(DecodeError):
    """The entries are empty, out of order, not unique, or weigh nothing or too much."""


@dataclass(frozen=True, slots=True)
class Validator:
    """One entry of the table."""

    account: AccountId
    consensus_key: PublicKey
    """Signs votes and proposals."""
    vrf_key: PublicKey
    """Proves the beacon's input in the headers of its blocks."""
    weight: VotingPower
    peer_key: PublicKey | None = None
    """Identity on the network, when it has announced one."""


VALIDATOR = struct(
    Validator,
    account=ACCOUNT,
    consensus_key=KEY,
    vrf_key=KEY,
    weight=cast("Codec[VotingPower]", U64),
    peer_key=optional(KEY),
)
_ENTRIES = listing(VALIDATOR, VALIDATORS_MAX)


@dataclass(frozen=True, slots=True)
class PowerTable:
    """The validators of one epoch.

    Raises: InvalidPowerTable, from the constructor.
    """

    validators: tuple[Validator, ...]
    total: VotingPower = field(init=False, compare=False, repr=False)
    """Sum of all weights."""
    _positions: dict[PublicKey, int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        accounts = [entry.account for entry in self.validators]
        keys = {entry.consensus_key: place for place, entry in enumerate(self.validators)}
        total = sum(entry.weight for entry in self.validators)
        if not 1 <= len(accounts) <= VALIDATORS_MAX:
            raise InvalidPowerTable(f"{len(accounts)} validators, 1 to {VALIDATORS_MAX} allowed")
        if any(earlier >= later for earlier, later in pairwise(accounts)):
            raise InvalidPowerTable("accounts are not in strictly ascending order")
        if len(keys) != len(accounts):
            raise InvalidPowerTable("two validators share a consensus key")
        if len({entry.vrf_key for entry in self.validators}) != len(accounts):
            raise InvalidPowerTable("two validators share a VRF key")
        if min(entry.weight for entry in self.validators) < 1 or total > UINT64_MAX:
            raise InvalidPowerTable(f"a weight below 1, or a total of {total} above 64 bits")
        object.__setattr__(self, "total", VotingPower(total))
        object.__setattr__(self, "_positions", keys)

    def __len__(self) -> int:
        return len(self.validators)

    def __getitem__(self, position: int) -> Validator:
        return self.validators[position]

    def find_position(self, consensus_key: PublicKey) -> int | None:
        """Return where the holder of ``consensus_key`` stands, or None."""
        return self._positions.get(consensus_key)

    def weight_of(self, positions: Iterable[int]) -> int:
        """Return the summed weight of distinct ``positions``."""
        return sum(self.validators[position].weight for position in positions)

    def is_quorum(self, weight: int) -> bool:
        """Return whether ``weight`` is strictly more than two thirds of the total."""
        return 3 * weight > 2 * self.total

    @property
    def root(self) -> Digest:
        """Hash of the canonical bytes: what a header or a state proof commits to."""
        return keyed_hash(Purpose.POWER_TABLE, POWER_TABLE.encode(self))


POWER_TABLE: Codec[PowerTable] = Codec(
    _ENTRIES.description,
    _ENTRIES.bytes_max,
    _ENTRIES.depth,
    lambda table: _ENTRIES.to_plain(table.validators),
    lambda plain: PowerTable(_ENTRIES.from_plain(plain)),
)
