"""What the jobs module keeps: its parameters, services and disputes."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

from primitives.codec import (
    ACCOUNT,
    AMOUNT,
    DIGEST,
    U8,
    U32,
    U64,
    Codec,
    Plain,
    WrongType,
    listing,
    struct,
    text,
)
from primitives.power_table import KEY
from primitives.types import AccountId, Balance, Digest, Height, PublicKey
from runtime.jobs.commitment import Commitment
from runtime.jobs.network import LAYERS_MAX, SHAPE, Shape
from runtime.jobs.surroundings import Served

DISPUTES_MAX: Final = 256
"""Most that a chain may let be open at one time."""
KEYS_MAX: Final = 4
"""Service keys of one provider that commitments may still be judged by."""
ADDRESSES_MAX: Final = 4
ADDRESS_BYTES_MAX: Final = 256
PROOF_MAX: Final = 20
"""Siblings of one leaf: rows and columns are at most 2**20."""

Key = Annotated[PublicKey, KEY]
Identifier = Annotated[int, U64]
Index = Annotated[int, U32]
Addresses = Annotated[tuple[str, ...], listing(text(ADDRESS_BYTES_MAX), ADDRESSES_MAX)]
DIGESTS = listing(DIGEST, LAYERS_MAX + 1)
PROOF = listing(DIGEST, PROOF_MAX)
Digests = Annotated[tuple[Digest, ...], DIGESTS]
Proof = Annotated[tuple[Digest, ...], PROOF]


@dataclass(frozen=True, slots=True)
class Config:
    answer_blocks: int
    """Blocks that each side has for each of its moves."""
    dispute_blocks: int
    """Blocks after a job is done in which it may be disputed."""
    disputes_max: int
    """Open at one time, at most 256."""
    bond: Balance
    """What a client stakes on a dispute, in base units."""
    bond_burned_ppb: int
    """Share of a lost bond that is burned; the rest goes to the provider."""
    slash_ppb: int
    """Share of a provider's bond that a lost dispute costs."""
    service_deposit: Balance
    """Held while a provider's address and key are on chain, in base units."""


@dataclass(frozen=True, slots=True)
class ServiceKey:
    key: PublicKey
    until: Height
    """The last block in which commitments by this key are judged; 0: in force."""


@dataclass(frozen=True, slots=True)
class Service:
    """Where a provider serves its leases, and which keys have signed for it."""

    keys: tuple[ServiceKey, ...]
    """In the order of their announcement; at most the last one is in force."""
    addresses: tuple[str, ...]
    """Multiaddresses without a peer id: the key in force is the peer's."""
    deposit: Balance

    @property
    def key(self) -> PublicKey | None:
        """The key in force: the peer id of the service, and what signs commitments."""
        last = self.keys[-1] if self.keys else None
        return last.key if last is not None and last.until == 0 else None

    def judges(self, key: PublicKey, height: Height) -> bool:
        """Return whether commitments by ``key`` are judged in the block at ``height``."""
        return any(each.key == key and height <= (each.until or height) for each in self.keys)


SERVICE = struct(
    Service,
    keys=listing(struct(ServiceKey, key=KEY, until=U64), KEYS_MAX),
    addresses=listing(text(ADDRESS_BYTES_MAX), ADDRESSES_MAX),
    deposit=AMOUNT,
)


class Phase(IntEnum):
    """What a dispute waits for. The numbers are on chain and never change."""

    TRANSCRIPT = 0
    """The provider's digest of the row after each layer."""
    LAYER = 1
    """The client's choice of a layer."""
    ROW = 2
    """The provider's row after that layer."""
    PROOF = 3
    """The client's proof that one value of that row is wrong."""

    @property
    def is_providers_turn(self) -> bool:
        return self in (Phase.TRANSCRIPT, Phase.ROW)


def _phase(plain: Plain) -> Phase:
    if type(plain) is not int or plain not in Phase.__members__.values():
        raise WrongType(f"not a phase: {plain!r:.40}")
    return Phase(plain)


PHASE: Codec[Phase] = Codec(U8.description, 1, 0, int, _phase)


@dataclass(frozen=True, slots=True)
class Dispute:
    """One open dispute over one row of one job."""

    lease_id: int
    class_id: int
    """Of the provider's bond that is at stake."""
    client: AccountId
    provider: AccountId
    shape: Shape
    weights_root: Digest
    inputs: Digest
    outputs: Digest
    rows: int
    row: int
    bond: Balance
    phase: Phase
    deadline: Height
    """The last block in which whoever's turn it is may move."""
    digests: tuple[Digest, ...]
    """What the provider says of the row: before the first layer and after each."""
    layer: int
    """The layer that the client has chosen, from 0."""

    @classmethod
    def opened(
        cls,
        commitment: Commitment,
        shape: Shape,
        weights_root: Digest,
        *,
        row: int,
        served: Served,
        bond: Balance,
    ) -> "Dispute":
        """Return a new dispute, which has no deadline yet."""
        return cls(
            lease_id=commitment.lease_id,
            class_id=served.class_id,
            client=served.client,
            provider=commitment.provider,
            shape=shape,
            weights_root=weights_root,
            inputs=commitment.inputs,
            outputs=commitment.outputs,
            rows=commitment.rows,
            row=row,
            bond=bond,
            phase=Phase.TRANSCRIPT,
            deadline=Height(0),
            digests=(),
            layer=0,
        )

    @property
    def mover(self) -> AccountId:
        """Whose turn it is."""
        return self.provider if self.phase.is_providers_turn else self.client


DISPUTE = struct(
    Dispute,
    lease_id=U64,
    class_id=U32,
    client=ACCOUNT,
    provider=ACCOUNT,
    shape=SHAPE,
    weights_root=DIGEST,
    inputs=DIGEST,
    outputs=DIGEST,
    rows=U32,
    row=U32,
    bond=AMOUNT,
    phase=PHASE,
    deadline=U64,
    digests=DIGESTS,
    layer=U8,
)
