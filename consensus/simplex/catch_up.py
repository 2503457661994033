"""How validators that fell apart find together: asking, answering, and saying it all again.

Invariants: a peer gets a bounded number of answers between two moves of our own, and an answer a
bounded number of certificates; a question is asked once until a timer allows it again.

Source: docs/consensus.md, "Catching up" (rule 8). The paper needs none of this, because there
every message arrives and carries a whole notarized chain.
"""

from consensus.simplex.config import Limits
from consensus.simplex.events import Action, Broadcast, Peer, Send
from consensus.simplex.messages import Certificate, Message, Request, Vote
from consensus.simplex.views import Views
from primitives.types import Epoch, View


def answer_to_ended_epoch(message: Message, finalization: Certificate) -> Certificate | None:
    """Return what to send back for a message of an epoch that has ended, or None.

    ``finalization`` is that of the epoch's boundary block; it is all that a laggard needs. A
    certificate is not answered, or two nodes that have both moved on would answer for ever.
    """
    return None if isinstance(message, Certificate) else finalization


class CatchUp:
    """The questions and answers of one machine."""

    __slots__ = ("_answers", "_asked", "_epoch", "_limits", "_views", "informant")

    def __init__(self, epoch: Epoch, views: Views, limits: Limits) -> None:
        self._epoch = epoch
        self._views = views
        self._limits = limits
        self._answers: dict[Peer, int] = {}
        self._asked: tuple[View, View] | None = None
        self.informant: Peer | None = None
        """Who last led us on, and so should know more."""

    def __len__(self) -> int:
        return len(self._answers)

    def renew(self) -> None:
        """Allow the same questions and answers again."""
        self._answers.clear()
        self._asked = None

    def ask(self, first: View, last: View) -> list[Action]:
        """Ask whoever led us here for the certificates of a range, once."""
        last = min(last, View(first + self._limits.request_views - 1))
        if self._asked == (first, last):
            return []
        self._asked = (first, last)
        request = Request(self._epoch, first, last)
        if self.informant is None:
            return [Broadcast(request)]
        return [Send(self.informant, request)]

    def ask_everybody(self) -> list[Action]:
        """Ask all peers for what follows the last final view: how a follower gets going again."""
        final = self._views.final_view
        last = View(final + self._limits.request_views)
        return [Broadcast(Request(self._epoch, View(final + 1), last))]

    def answer_request(self, sender: Peer, request: Request) -> list[Action]:
        """Send the certificates of the asked views, as far as they are held and allowed."""
        if not self._may_answer(sender):
            return []
        actions = self._final_for(sender, request.first)
        low = max(request.first, self._views.final_view + 1)
        high = min(request.last, low + self._limits.request_views - 1)
        for view in range(low, min(high, self._views.highest_entered()) + 1):
            held = self._views.certificates(View(view))
            actions += [Send(sender, certificate) for certificate in held]
        return actions

    def answer_laggard(self, sender: Peer, vote: Vote, view: View) -> list[Action]:
        """Show whoever still votes in an old view the way to ``view``, ours."""
        if not self._may_answer(sender):
            return []
        actions = self._final_for(sender, vote.view)
        held = self._views.certificates(View(view - 1))
        return actions + [Send(sender, certificate) for certificate in held]

    def story(self, view: View) -> list[Action]:
        """Say what brought us into ``view``: final, notarized, and why the last view ended."""
        final, highest = self._views.final, self._views.highest_certified()
        places = dict.fromkeys((highest, View(view - 1)))
        held = [] if final is None else [final]
        held += [one for place in places for one in self._views.certificates(place)]
        return [Broadcast(certificate) for certificate in held]

    def _final_for(self, peer: Peer, view: View) -> list[Action]:
        final = self._views.final
        return [] if final is None or view > final.view else [Send(peer, final)]

    def _may_answer(self, peer: Peer) -> bool:
        given = self._answers.get(peer, 0)
        if given >= self._limits.answers:
            return False
        self._answers[peer] = given + 1
        return True
