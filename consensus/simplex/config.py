"""How a machine is set up: the epoch it serves, its delays and its bounds."""

from dataclasses import dataclass

from primitives.crypto import KeyPair
from primitives.power_table import PowerTable
from primitives.types import Digest, Epoch, Height, Millis


@dataclass(frozen=True, slots=True)
class Timing:
    """Delays; a machine may have its own, agreement does not depend on them."""

    leader: Millis
    """From entering a view to nullifying it for want of a proposal; covers the block interval."""
    advance: Millis
    """From entering a view to nullifying it for want of a certificate; above ``leader``."""
    retry: Millis
    """From being stuck to saying everything again; doubles up to ``delay_max``."""
    delay_max: Millis
    """Upper end of every back-off."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of buffers and answers."""

    views_ahead: int = 16
    """Votes and proposals of views further ahead are dropped: certificates will bring us there."""
    views_behind: int = 16
    """Ballots of views further behind are forgotten; until then they serve as evidence."""
    request_views: int = 32
    """Views whose certificates one request is answered with."""
    answers: int = 4
    """Answers to one peer between two moves of our own."""
    silent_views: int = 3
    """Led views without a word after which a leader is not waited for."""
    patient_views: int = 4
    """Views without a certified block before delays begin to grow."""


@dataclass(frozen=True, slots=True)
class Config:
    """One epoch as one validator, or one follower without a key, takes part in it."""

    genesis: Digest
    epoch: Epoch
    table: PowerTable
    randomness: Digest
    """The epoch's; draws the leaders."""
    root: Digest
    """The final block on which the epoch's first block builds."""
    root_height: Height
    last_height: Height
    """Height of the epoch's boundary block."""
    key: KeyPair | None
    """Consensus key; without one, or with one that the table lacks, the machine only follows."""
    timing: Timing
    limits: Limits = Limits()
