"""Helping peers that are still in an epoch that has ended: its finalization is all they need.

Invariants: a peer is answered at most once in ``ANSWER_PAUSE``; certificates are never answered.
"""

import trio

from chain.blockchain import Blockchain
from chain.store_reader import HistoryPruned
from consensus.simplex.catch_up import answer_to_ended_epoch
from consensus.simplex.events import Peer
from consensus.simplex.messages import CERTIFICATE, Certificate, Message
from primitives.types import Height, Millis

ANSWER_PAUSE = Millis(500)
"""Between two answers to one peer that is in an earlier epoch: each costs it a few bytes to ask."""
ANSWERED_MAX = 4096


class EndedEpochs:
    """What one node tells about epochs that it has left."""

    def __init__(self, chain: Blockchain) -> None:
        self._chain = chain
        self._answered: dict[Peer, float] = {}
        """Until when each peer is not answered again."""

    def find_answer(self, peer: Peer, message: Message) -> Certificate | None:
        """Return what to tell a peer that speaks in an ended epoch, or None."""
        now = trio.current_time()
        # Whoever is stuck sends certificates before anything else.
        if isinstance(message, Certificate) or now < self._answered.get(peer, now):
            return None
        if len(self._answered) >= ANSWERED_MAX:
            self._answered.clear()
        self._answered[peer] = now + ANSWER_PAUSE / 1000
        boundary = Height((message.epoch + 1) * self._chain.config.session.epoch_length)
        try:
            encoded = self._chain.store.reads.certificate_at(boundary)
        except HistoryPruned:
            return None  # this node started behind that epoch
        return answer_to_ended_epoch(message, CERTIFICATE.load(encoded)) if encoded else None
