"""What PoCPS tells the world: its parameters, its events and its errors."""

from dataclasses import dataclass
from typing import Annotated

from primitives.codec import AMOUNT, U8, U32, U64, struct
from primitives.errors import DispatchError
from primitives.types import AccountId, Balance, Digest, Epoch
from runtime.module import Event
from runtime.pocps.classes import ClassId, InvalidClass, ResourceClass
from runtime.pocps.ladder import Ladder, Reason
from runtime.pools.pricing import Units

UnitCount = Annotated[int, U64]
"""Milli-units: 1000 are one reference device of the class."""


@dataclass(frozen=True, slots=True)
class GenesisProvider:
    """An account that owes proofs from epoch 0 on; its bond exists beside its balance."""

    account: AccountId
    class_id: int
    units: int


@dataclass(frozen=True, slots=True)
class Config:
    classes: tuple[ResourceClass, ...]
    """Classes of genesis, sorted by ``class_id``."""
    governor: AccountId | None
    """Who may add classes; nobody, if there is none."""
    commit_deadline: int
    """Last block of an epoch, counted from 1, in which a provider may commit."""
    sample_block: int
    """The block whose beacon draws the positions, and the first that takes responses. Only whoever
    makes all blocks from the deadline to this one could know the beacon when committing."""
    respond_deadline: int
    """Last block of an epoch that takes responses."""
    respond_share_ppb: int
    """Share of the response window's block space up to which providers find a place."""
    ladder: Ladder
    maintenance_epochs_max: int
    """Longest declared absence."""
    chunks_max: int
    """Most chunks of bond that leave at one time."""
    sweep_max: int
    """Most providers whose last epoch is settled in one block."""
    grant_epochs: int
    """Epochs from genesis on in which what the spec grants counts as proven."""
    providers: tuple[GenesisProvider, ...]
    """Sorted by class and account."""


@dataclass(frozen=True, slots=True)
class UnitsChange:
    """What happened to an engaged provider's units; for the pool that it supplies."""

    class_id: int
    provider: AccountId
    units: Units
    """Live from now on."""
    slashed: Balance
    """Waits in the provider's ``SLASH_HOLD`` for whoever takes the change."""
    reason: str
    """Of the newest fault; empty if there was none."""


@dataclass(frozen=True, slots=True)
class Penalty:
    """What the next fault in a class would cost a provider now."""

    missed_step: int
    missed_slash: Balance
    invalid_step: int
    invalid_slash: Balance


PENALTY = struct(
    Penalty, missed_step=U8, missed_slash=AMOUNT, invalid_step=U8, invalid_slash=AMOUNT
)


@dataclass(frozen=True, slots=True)
class ClassCreated(Event):
    class_id: ClassId


@dataclass(frozen=True, slots=True)
class Registered(Event):
    """``units`` more owe proofs from epoch ``since`` on."""

    provider: AccountId
    class_id: ClassId
    units: UnitCount
    bond: Balance
    since: Epoch


@dataclass(frozen=True, slots=True)
class MaintenanceDeclared(Event):
    provider: AccountId
    class_id: ClassId
    first_epoch: Epoch
    epochs: Annotated[int, U32]


@dataclass(frozen=True, slots=True)
class Deregistered(Event):
    """``units`` are gone; the ``amount`` that bonded them leaves."""

    provider: AccountId
    class_id: ClassId
    units: UnitCount
    amount: Balance


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    provider: AccountId
    class_id: ClassId
    amount: Balance


@dataclass(frozen=True, slots=True)
class Committed(Event):
    provider: AccountId
    class_id: ClassId
    units: UnitCount
    root: Digest


@dataclass(frozen=True, slots=True)
class Proven(Event):
    """``units`` were proven in ``epoch`` and stand in the next one."""

    provider: AccountId
    class_id: ClassId
    epoch: Epoch
    units: UnitCount


@dataclass(frozen=True, slots=True)
class Faulted(Event):
    """A provider owed a proof for ``epoch`` and did not give it; ``step`` 0 if it had said so."""

    provider: AccountId
    class_id: ClassId
    epoch: Epoch
    reason: Reason
    step: Annotated[int, U8]
    slashed: Balance
    free_from: Epoch
    """First epoch outside jail; long ago for whoever is not in it."""


@dataclass(frozen=True, slots=True)
class Ejected(Event):
    """A provider has no place in the class any more; the rest of its bond leaves."""

    provider: AccountId
    class_id: ClassId
    amount: Balance


class NotGovernor(DispatchError):
    """Only the governor that the chain spec names may do that."""


class ClassExists(DispatchError):
    """There is a class of that number."""


class UnknownClass(DispatchError):
    """There is no class of that number."""


class UnitsNotAllowed(DispatchError):
    """The class does not let one provider have so few, or so many, units."""


class ClassFull(DispatchError):
    """All places are taken: more responses could not be verified within the window."""


class InProviderJail(DispatchError):
    """The provider gave a wrong proof or was removed, and has to wait."""


class NotRegistered(DispatchError):
    """The account has no such units in the class."""


class UnitsEngaged(DispatchError):
    """A pool has a claim on the units: leave the pool first."""


class ProofDue(DispatchError):
    """The units owe this epoch's proof: leave after it is given, or before the commitments."""


class TooManyBondChunks(DispatchError):
    """Withdraw what has left before more can leave."""


class BondNotFree(DispatchError):
    """No bond of the account has been leaving for long enough."""


class InvalidMaintenance(DispatchError):
    """Absence is declared for epochs to come, not for too many, and not right after another."""


class OutsideWindow(DispatchError):
    """This block of the epoch takes no such step."""


class WrongUnits(DispatchError):
    """A commitment covers all units that owe a proof; those that are leased may be left out."""


class NothingDue(DispatchError):
    """The units were registered in this epoch and owe nothing before the next one."""


class NotCommitted(DispatchError):
    """There is no commitment of this epoch to answer for."""


class AlreadyProven(DispatchError):
    """The units have been proven in this epoch."""


class WeightTooLow(DispatchError):
    """The response allows less weight than verifying it may take."""


class WrongDigestCount(DispatchError):
    """The response has not as many digests as the drawn leaves need; nothing was judged."""


EVENTS: tuple[type[Event], ...] = (
    ClassCreated,
    Registered,
    MaintenanceDeclared,
    Deregistered,
    Withdrawn,
    Committed,
    Proven,
    Faulted,
    Ejected,
)
ERRORS: tuple[type[DispatchError], ...] = (
    NotGovernor,
    ClassExists,
    UnknownClass,
    InvalidClass,
    UnitsNotAllowed,
    ClassFull,
    InProviderJail,
    NotRegistered,
    UnitsEngaged,
    ProofDue,
    TooManyBondChunks,
    BondNotFree,
    InvalidMaintenance,
    OutsideWindow,
    WrongUnits,
    NothingDue,
    NotCommitted,
    AlreadyProven,
    WeightTooLow,
    WrongDigestCount,
)
