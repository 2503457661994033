"""What goes through the machine's door: inputs happened, actions are to be done.

Sources: docs/consensus.md, "The door".
"""

from dataclasses import dataclass
from typing import NewType, TypeAlias

from consensus.simplex.evidence import Evidence
from consensus.simplex.messages import Certificate, Message, Proposal
from consensus.simplex.pledges import Record
from primitives.types import Digest, Height, Millis, View

Peer = NewType("Peer", bytes)
"""The driver's name for whoever sent a message; opaque here, and good for ``Send``."""

# Inputs


@dataclass(frozen=True, slots=True)
class Received:
    """A peer sent a message that ``verify_message`` accepts."""

    sender: Peer
    message: Message


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The delay of the latest ``SetTimer`` is over."""

    view: View


@dataclass(frozen=True, slots=True)
class Proposed:
    """The application built a block for ``view``; its bytes survive a crash."""

    view: View
    block: Digest


@dataclass(frozen=True, slots=True)
class Verified:
    """The application judged the block proposed in ``view``.

    Valid means that the block and all its ancestors are held and that its bytes survive a crash.
    """

    view: View
    block: Digest
    is_valid: bool


@dataclass(frozen=True, slots=True)
class Fetched:
    """A block that was asked for is held, with all its ancestors, and survives a crash."""

    block: Digest
    height: Height


Input: TypeAlias = Received | TimerFired | Proposed | Verified | Fetched

# Actions


@dataclass(frozen=True, slots=True)
class Persist:
    """Put the record into the journal; durable before any later action is performed."""

    record: Record


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to every validator and every follower, not to ourselves."""

    message: Message


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one peer."""

    recipient: Peer
    message: Message


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Wake the machine after ``delay``; replaces every earlier timer."""

    view: View
    delay: Millis


@dataclass(frozen=True, slots=True)
class RequestProposal:
    """Build a block on ``parent``, not before the block interval since its timestamp has passed.

    The parent and all its ancestors are held. Answered by ``Proposed``, or not at all.
    """

    view: View
    parent: Digest
    height: Height
    """Of the block to build."""


@dataclass(frozen=True, slots=True)
class RequestVerification:
    """Judge the proposed block against its header and its parent, which is held.

    The block must name ``proposal.parent`` as its parent, the proposal's view and epoch, the
    leader as its author and ``height`` as its height. Answered by ``Verified``.
    """

    proposal: Proposal
    height: Height


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get a certified block and its missing ancestors from anybody. Answered by ``Fetched``.

    May be repeated for a block that is already on its way, or already held.
    """

    block: Digest


@dataclass(frozen=True, slots=True)
class Deliver:
    """The block of this finalization is final, and so are all its ancestors; it is held.

    After a restart a block may be delivered that was final already.
    """

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Report:
    """Somebody signed two things that contradict each other."""

    evidence: Evidence


Action: TypeAlias = (
    Persist
    | Broadcast
    | Send
    | SetTimer
    | RequestProposal
    | RequestVerification
    | Fetch
    | Deliver
    | Report
)
