"""What a provider's machine is told, and what it answers.

Inputs are what happened, actions what is to be done now. Heights are those of blocks; an epoch's
blocks are counted from 1.
"""

from dataclasses import dataclass
from enum import StrEnum

from primitives.types import EMPTY_DIGEST, Balance, Digest, Epoch, Height, Millis
from runtime.pocps.ladder import Fault


@dataclass(frozen=True, slots=True)
class Windows:
    """The timeline of every epoch, in blocks of the epoch."""

    epoch_length: int
    commit_deadline: int
    """The last block that takes a commitment; a later one draws what is asked."""
    respond_deadline: int
    """The last block that takes a response."""

    def epoch_at(self, height: Height) -> Epoch:
        """Return the epoch of a block."""
        return Epoch((height - 1) // self.epoch_length)

    def place(self, height: Height) -> int:
        """Return which block of its epoch a block is."""
        return (height - 1) % self.epoch_length + 1

    def height(self, epoch: Epoch, place: int) -> Height:
        """Return the height of the ``place``-th block of an epoch."""
        return Height(epoch * self.epoch_length + place)


@dataclass(frozen=True, slots=True)
class Commitment:
    """What stands on chain, or will: so many units, under this root."""

    units: int
    root: Digest


NOTHING_TO_SHOW = Commitment(0, EMPTY_DIGEST)
"""The commitment of a provider all of whose units are leased."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the chain says after a block, of one provider in one class."""

    height: Height
    timestamp: Millis
    epoch: Epoch
    """Of the next block, in which whatever is sent now can be at the earliest."""
    challenge: Digest
    """Of that epoch."""
    staked: int
    """Units that the provider has a bond for."""
    live: int
    """Units that count as proven now."""
    due: int
    """Units that owe a proof in this epoch; 0 if none do."""
    claim: int
    """Units to commit to: all that are due, since excused ones have no vote and no reward."""
    is_absent: bool
    """Whether maintenance was declared for this epoch."""
    commitment: Commitment | None
    has_responded: bool
    beacon: Digest | None
    """What draws the positions; None until it is known."""
    penalty: Balance
    """What a miss would cost now, in base units."""
    fault: Fault | None
    """The newest on record."""


# Inputs


@dataclass(frozen=True, slots=True)
class Warmed:
    """The prover is loaded, and reached this speed in a trial."""

    leaves_per_second: int


@dataclass(frozen=True, slots=True)
class Advanced:
    """The proof of an epoch is so far; ``elapsed`` is since it was started or resumed."""

    epoch: Epoch
    leaves_done: int
    leaves_total: int
    leaves_resumed: int
    elapsed: Millis


@dataclass(frozen=True, slots=True)
class Proven:
    """All leaves are computed."""

    epoch: Epoch
    commitment: Commitment


@dataclass(frozen=True, slots=True)
class ProofFailed:
    """The prover gave up on an epoch's proof."""

    epoch: Epoch
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An extrinsic will not be included, or its call failed."""

    what: "Step"
    reason: str


Input = Sight | Warmed | Advanced | Proven | ProofFailed | Refused


# Actions


class Step(StrEnum):
    """What an extrinsic does."""

    REGISTER = "register"
    COMMIT = "commit"
    RESPOND = "respond"


@dataclass(frozen=True, slots=True)
class Prove:
    """Compute the leaves, or go on where a checkpoint of the same proof ends."""

    epoch: Epoch
    challenge: Digest
    units: int


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop the proof of an epoch: it is of no use any more."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Register:
    """Stake so many more units."""

    units: int
    valid_until: Height


@dataclass(frozen=True, slots=True)
class Commit:
    """Send the commitment."""

    epoch: Epoch
    commitment: Commitment
    valid_until: Height
    attempt: int


@dataclass(frozen=True, slots=True)
class Respond:
    """Make the response to the positions that ``beacon`` draws, and send it."""

    epoch: Epoch
    commitment: Commitment
    beacon: Digest
    valid_until: Height
    attempt: int


class Fact(StrEnum):
    """What an operator wants to know."""

    PROVING = "proving"
    BEHIND = "behind"
    """The proof will not be ready in time at its present speed."""
    COMMITTED = "committed"
    RESPONDED = "responded"
    TOO_LATE = "too_late"
    """A window closed, or had closed when the program came: a miss."""
    PROOF_FAILED = "proof_failed"
    OTHER_ROOT = "other_root"
    """The chain has a commitment of this account that this machine did not compute."""
    NOTHING_DUE = "nothing_due"
    MAINTENANCE = "maintenance"
    FAULTED = "faulted"
    """The chain has found a fault; the detail is its reason."""
    REFUSED = "refused"
    RESENT = "resent"


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the operator."""

    fact: Fact
    height: Height
    epoch: Epoch
    detail: str = ""
    cost: Balance | None = None
    """In base units, where the fact has a price."""


Action = Prove | Abandon | Register | Commit | Respond | Tell
