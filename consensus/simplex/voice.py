"""What this validator says: every word is signed, promised and written down before it leaves.

Invariant: a ``Persist`` of each own proposal and vote precedes its ``Broadcast``.
"""

from consensus.simplex.config import Config
from consensus.simplex.events import Action, Broadcast, Persist
from consensus.simplex.messages import (
    Finalize,
    Kind,
    Notarize,
    Nullify,
    Proposal,
    Signed,
    Vote,
    proposal_bytes,
    signed_bytes,
)
from consensus.simplex.pledges import Pledges
from primitives.crypto import KeyPair
from primitives.types import Digest, View


class Voice:
    """The signing half of a validator in one epoch."""

    __slots__ = ("_config", "_key", "_pledges", "_position")

    def __init__(self, config: Config, key: KeyPair, position: int, pledges: Pledges) -> None:
        self._config = config
        self._key = key
        self._position = position
        self._pledges = pledges

    def propose(self, view: View, parent_view: View, parent: Digest, block: Digest) -> Proposal:
        """Sign the offer of ``block`` on ``parent``."""
        genesis, epoch = self._config.genesis, self._config.epoch
        text = proposal_bytes(genesis, epoch, view, parent_view, parent, block)
        signature = self._key.sign(text)
        return Proposal(epoch, view, parent_view, parent, block, self._position, signature)

    def vote(self, kind: Kind, view: View, block: Digest | None) -> Vote:
        """Sign a vote; a nullify names no block."""
        epoch, position = self._config.epoch, self._position
        text = signed_bytes(self._config.genesis, kind, epoch, view, block)
        signature = self._key.sign(text)
        if block is None:
            return Nullify(epoch, view, position, signature)
        if kind is Kind.NOTARIZE:
            return Notarize(epoch, view, block, position, signature)
        return Finalize(epoch, view, block, position, signature)

    def say(self, message: Signed) -> list[Action]:
        """Promise a word, write it down, and only then send it."""
        self._pledges.record(message)
        return [Persist(message), Broadcast(message)]
