"""What the jobs module says: its events and errors."""

from dataclasses import dataclass
from typing import Annotated

from primitives.codec import text
from primitives.errors import DispatchError
from primitives.types import AccountId, Balance, Height
from runtime.jobs.records import Addresses, Identifier, Index, Key
from runtime.module import Event

Reason = Annotated[str, text(32)]


@dataclass(frozen=True, slots=True)
class ServiceAnnounced(Event):
    provider: AccountId
    key: Key
    addresses: Addresses


@dataclass(frozen=True, slots=True)
class ServiceRetired(Event):
    """The provider serves no longer; its last key is judged until a height."""

    provider: AccountId
    until: Height


@dataclass(frozen=True, slots=True)
class ServiceForgotten(Event):
    provider: AccountId


@dataclass(frozen=True, slots=True)
class DisputeOpened(Event):
    dispute_id: Identifier
    lease_id: Identifier
    client: AccountId
    provider: AccountId
    row: Index
    deadline: Height


@dataclass(frozen=True, slots=True)
class TranscriptGiven(Event):
    dispute_id: Identifier
    deadline: Height


@dataclass(frozen=True, slots=True)
class LayerChosen(Event):
    dispute_id: Identifier
    layer: Index
    deadline: Height


@dataclass(frozen=True, slots=True)
class RowRevealed(Event):
    dispute_id: Identifier
    deadline: Height


@dataclass(frozen=True, slots=True)
class DisputeSettled(Event):
    """The dispute is over; ``reason`` says how it was decided."""

    dispute_id: Identifier
    lease_id: Identifier
    winner: AccountId
    loser: AccountId
    reason: Reason
    taken: Balance
    """What the loser lost: bond of the client, or slash of the provider."""


class InvalidAddress(DispatchError):
    """A service needs an address, and each is a text that starts with a slash."""


class UnknownService(DispatchError):
    """The account serves no leases."""


class KeysChangedTooOften(DispatchError):
    """As many keys as may be are still judged: wait until one lapses."""


class StillJudged(DispatchError):
    """Results signed by this service may still be disputed: the deposit stays until then."""


class UnknownLease(DispatchError):
    """There is no such lease, it is over, or the provider serves no share of it."""


class NotTheClient(DispatchError):
    """Only the lease's client may dispute what was done for it."""


class InvalidCommitment(DispatchError):
    """The provider did not sign this commitment with a key that is judged."""


class TooLate(DispatchError):
    """The job was done too long ago."""


class WrongNetwork(DispatchError):
    """Shape and weights' root do not make the identity that was signed."""


class RowOutOfRange(DispatchError):
    """The job has fewer rows."""


class AlreadyDisputed(DispatchError):
    """A dispute over this provider's share of the lease is open."""


class TooManyDisputes(DispatchError):
    """As many disputes as may be are open: try again in the next blocks."""


class UnknownDispute(DispatchError):
    """No dispute of this number is open."""


class NotYourTurn(DispatchError):
    """The dispute waits for another move, or for somebody else's."""


class DeadlinePassed(DispatchError):
    """The move comes too late: the dispute is lost."""


class WrongTranscript(DispatchError):
    """The digests are too few or too many, or do not belong to the committed rows."""


class LayerOutOfRange(DispatchError):
    """The network has fewer layers."""


class WrongRow(DispatchError):
    """The row is not the one behind the digest."""


class WrongProof(DispatchError):
    """The column does not exist, is not the network's, or the row is not the right layer's."""


EVENTS: tuple[type[Event], ...] = (
    ServiceAnnounced,
    ServiceRetired,
    ServiceForgotten,
    DisputeOpened,
    TranscriptGiven,
    LayerChosen,
    RowRevealed,
    DisputeSettled,
)
ERRORS: tuple[type[DispatchError], ...] = (
    InvalidAddress,
    UnknownService,
    KeysChangedTooOften,
    StillJudged,
    UnknownLease,
    NotTheClient,
    InvalidCommitment,
    TooLate,
    WrongNetwork,
    RowOutOfRange,
    AlreadyDisputed,
    TooManyDisputes,
    UnknownDispute,
    NotYourTurn,
    DeadlinePassed,
    WrongTranscript,
    LayerOutOfRange,
    WrongRow,
    WrongProof,
)
