"""Simplex: the machine that turns messages into one chain of final blocks, for one epoch.

The contract

1. ``step`` reads no clock, no randomness, no file, awaits nothing, and never raises for anything
   a peer can send. An input that does not apply returns ``[]``.
2. Actions are performed in order; a ``Persist`` is durable before the next action.
3. Restart = ``Simplex(config, journal)`` then ``start()``. The journal holds own proposals and
   votes, certificates and floors. A journal that lost certificates costs time, never safety.
4. The machine never learns the time; it names delays. It signs, because signing is pure;
   ``verify_message`` is called before ``Received``. Own messages loop back inside.
5. No walk over a set; where order can leave a function, it is that of views or table positions.
6. Buffers are bounded by ``Config``: votes by window, table and kind; proposals by window;
   answers by peer; certificates as ``views.py`` says.
7. Payloads are opaque. ``Proposed``, ``Verified(valid)`` and ``Fetched`` promise that the block's
   bytes survive a crash: a notarized block whose bytes were lost everywhere could neither be
   built upon nor passed over.

Source: Chan and Pass, "Simplex Consensus" (TCC 2023, eprint 2023/463), section 2.1. Steps: 1 leader
proposal, 2 dummy blocks, 3 notarizing, 4 next iteration and finalize votes, 5 finalized outputs.
Deviations, each with its reason in docs/consensus.md: weighted quorums; certificates for views
instead of notarized chains; two timers; silent leaders; resending; epochs that end.
"""

from consensus.simplex.blocks import Blocks
from consensus.simplex.catch_up import CatchUp, answer_to_ended_epoch
from consensus.simplex.config import Config
from consensus.simplex.elector import Elector
from consensus.simplex.events import (
    Action,
    Broadcast,
    Deliver,
    Fetched,
    Input,
    Peer,
    Persist,
    Proposed,
    Received,
    Report,
    RequestProposal,
    RequestVerification,
    Send,
    SetTimer,
    TimerFired,
    Verified,
)
from consensus.simplex.evidence import find_evidence
from consensus.simplex.messages import (
    Certificate,
    Kind,
    Message,
    Proposal,
    Request,
    Vote,
)
from consensus.simplex.pledges import Record
from consensus.simplex.recovery import restore
from consensus.simplex.timers import Timers
from consensus.simplex.views import ViewState
from consensus.simplex.voice import Voice
from primitives.types import Digest, Height, View


class Simplex:
    """One validator's side of one epoch."""

    def __init__(self, config: Config, journal: tuple[Record, ...] = ()) -> None:
        """Take up the epoch where ``journal`` left it; records of other epochs are ignored."""
        self.config = config
        self.view = View(0)
        self.is_ended = False
        """Whether the boundary block was delivered: the machine has nothing more to do."""
        self.elector = Elector(config.table, config.randomness)
        own = None if config.key is None else config.table.find_position(config.key.public)
        self.position = own
        """Where this validator stands in the table; None for a follower."""
        self.views, self.pledges = restore(config, own, journal)
        self.building: tuple[View, Digest] | None = None
        """View and block of the parent for which a proposal was asked."""
        self._voice: Voice | None = None
        if config.key is not None and self.position is not None:
            self._voice = Voice(config, config.key, self.position, self.pledges)
        self._blocks = Blocks(config.root, config.root_height, config.last_height)
        self._catch_up = CatchUp(config.epoch, self.views, config.limits)
        self._delivered = View(0)
        self._timers = Timers(config.timing, config.limits.patient_views)
        self._actions: list[Action] = []

    # The door

    def start(self) -> list[Action]:
        """Enter the view that the journal leads to; to be called once, before any ``step``."""
        if self.views.final is not None:
            self._deliver_or_fetch(self.views.final)
        said = [message for view in self.pledges.views() for message in self.pledges.said(view)]
        if not self.is_ended:
            self._enter(View(self.views.highest_entered() + 1))
        for message in said:
            if isinstance(message, Proposal):
                self.views.at(message.view).proposal = message
            else:
                self._count(message)
        if not self.is_ended:
            self._repeat_own()
            self._advance()
        return self._taken()

    def step(self, event: Input) -> list[Action]:
        """Take one input; return what the driver must now do, in order."""
        match event:
            case Received(sender, message):
                self._on_message(sender, message)
            case _ if self.is_ended:
                pass
            case TimerFired(view) if view == self.view:
                self._on_timer()
            case Proposed(view, block):
                self._on_proposed(view, block)
            case Verified(view, block, is_valid):
                self._on_verified(view, block, is_valid=is_valid)
            case Fetched(block, height):
                self._on_fetched(block, height)
            case _:
                pass
        return self._taken()

    def is_wanted(self, message: Message) -> bool:
        """Return whether ``step`` could use ``message``: ask before paying for its signatures."""
        if message.epoch != self.config.epoch:
            return False
        match message:
            case Certificate():
                return not self.is_ended and not self.views.has(message)
            case Request():
                return True
            case _ if self.is_ended:
                return True
            case Proposal():
                state = self.views.find(message.view)
                return (
                    self._is_in_window(message.view)
                    and message.signer == self.elector.leader(message.view)
                    and (state is None or state.is_proposal_news(message))
                )
            case _:
                if message.view + 1 < self.view:
                    return True
                state = self.views.find(message.view)
                is_news = state is None or state.ballot.is_news(message)
                return self._is_in_window(message.view) and is_news

    def buffer_sizes(self) -> dict[str, int]:
        """Return how many entries each buffer holds: for metrics, and for tests of the bounds."""
        return {
            "views": len(self.views),
            "votes": self.views.votes_held(),
            "blocks": len(self._blocks),
            "answers": len(self._catch_up),
        }

    # Messages

    def _on_message(self, sender: Peer, message: Message) -> None:
        if message.epoch != self.config.epoch:
            return
        if self.is_ended:
            self._answer_final(sender, message)
            return
        match message:
            case Certificate():
                self._catch_up.informant = sender
                self._on_certificate(message)
            case Proposal():
                self._on_proposal(sender, message)
            case Request():
                self._actions += self._catch_up.answer_request(sender, message)
            case _:
                self._on_vote(sender, message)

    def _on_proposal(self, sender: Peer, proposal: Proposal) -> None:
        # Simplex 2.1 step 3: the first proposal of the iteration's leader.
        view = proposal.view
        if not self._is_in_window(view) or proposal.signer != self.elector.leader(view):
            return
        if proposal.parent_view >= view:
            return
        self._hear(proposal.signer, view)
        state = self.views.at(view)
        if state.proposal is None:
            state.proposal = proposal
            self._catch_up.informant = sender
            self._advance()
        elif not state.is_reported:
            evidence = find_evidence(state.proposal, proposal)
            if evidence is not None:
                state.is_reported = True
                self._actions.append(Report(evidence))

    def _on_vote(self, sender: Peer, vote: Vote) -> None:
        if vote.view + 1 < self.view and vote.signer != self.position:
            self._actions += self._catch_up.answer_laggard(sender, vote, self.view)
        if not self._is_in_window(vote.view):
            return
        if vote.signer == self.position:
            self._adopt(vote)
        self._hear(vote.signer, vote.view)
        self._count(vote)

    def _adopt(self, vote: Vote) -> None:
        """Be bound by a vote of our own key that our journal does not know."""
        if self.pledges.is_news(vote):
            self._actions.append(Persist(vote))
            self.pledges.record(vote)

    def _count(self, vote: Vote) -> None:
        """Add a vote to its ballot, and act on the quorum that it completes."""
        if vote.view <= self.views.final_view or self.is_ended:
            return
        evidence, certificate = self.views.at(vote.view).ballot.add(vote)
        if evidence is not None and vote.signer != self.position:
            self._actions.append(Report(evidence))
        if certificate is not None:
            self._on_certificate(certificate)

    def _on_certificate(self, certificate: Certificate) -> None:
        """Take a quorum, ours or another's: keep it, relay it once, and move."""
        if self.views.has(certificate):
            return
        self._convict(certificate)
        self.views.keep(certificate)
        if certificate.kind is Kind.FINALIZE:
            self._on_finalization(certificate)
            return
        # Simplex 2.1 step 4: whoever enters the next iteration shows everybody why.
        self._actions += [Persist(certificate), Broadcast(certificate)]
        if certificate.block is not None:
            self._on_notarization(certificate.view, certificate.block)
        if certificate.view >= self.view and not self.is_ended:
            self._enter(View(certificate.view + 1))
        else:
            self._advance()

    def _convict(self, certificate: Certificate) -> None:
        """Report whose vote in a certificate contradicts another that is known."""
        if certificate.view <= self.views.final_view:
            return
        for evidence in self.views.at(certificate.view).ballot.show(certificate):
            if evidence.first.signer != self.position:
                self._actions.append(Report(evidence))

    def _on_notarization(self, view: View, block: Digest) -> None:
        self._actions += self._blocks.want(block)
        # Simplex 2.1 step 4: finalize, if the timer has not fired.
        if view >= self.view and self.pledges.may_finalize(view):
            self._vote(Kind.FINALIZE, view, block)

    def _on_finalization(self, certificate: Certificate) -> None:
        # Simplex 2.1 step 5: the block and all that it builds on is final.
        self._actions += [Persist(certificate), Broadcast(certificate)]
        self._deliver_or_fetch(certificate)
        self.pledges.raise_floor(certificate.view)
        self._forget()
        if self.is_ended:
            return
        if certificate.view >= self.view:
            self._enter(View(certificate.view + 1))
        else:
            self._advance()

    # Views

    def _enter(self, view: View) -> None:
        """Begin a view: one timer, and whatever can be done at once."""
        if self.views.is_nullified(self.view):
            self.elector.note_nullified(self.view)
        self.view = view
        self.building = None
        self._catch_up.renew()
        self._forget()
        idle = self.view - 1 - self.views.highest_certified()
        self._actions.append(SetTimer(view, self._timers.begin(idle)))
        self._advance()
        leader = self.elector.leader(view)
        is_silent = self.elector.silence(leader) >= self.config.limits.silent_views
        if self.view == view and is_silent and leader != self.position:
            self._nullify()

    def _advance(self) -> None:
        """Do what the present view allows: propose as its leader, or vote for its proposal."""
        if self.is_ended or self.position is None:
            return
        state = self.views.find(self.view)
        if state is not None and state.proposal is not None:
            self._consider(state, state.proposal)
        elif self.elector.leader(self.view) == self.position:
            self._lead()

    def _lead(self) -> None:
        """Build on the highest certified block that the nullifications leave."""
        # Simplex 2.1 step 1: the leader extends the longest notarized chain.
        if self.building is not None or not self.pledges.may_propose(self.view):
            return
        parent = self.views.find_parent(self.view)
        if parent is None:
            gap = self.views.last_open(self.view)
            low = max(self.views.final_view + 1, gap - self.config.limits.request_views + 1)
            self._actions += self._catch_up.ask(View(low), gap)
            return
        parent_view, block = parent
        height = self._blocks.find_height(block)
        if height is None:
            self._actions += self._blocks.want(block)
        elif self._blocks.is_boundary(block):
            self._propose(parent_view, block, block)
        else:
            self.building = parent
            self._actions.append(RequestProposal(self.view, block, Height(height + 1)))

    def _on_proposed(self, view: View, block: Digest) -> None:
        if view != self.view or self.building is None or not self.pledges.may_propose(view):
            return
        parent_view, parent = self.building
        height = self._blocks.find_height(parent)
        if height is not None:
            self._blocks.hold(block, Height(height + 1))
            self._propose(parent_view, parent, block)

    def _propose(self, parent_view: View, parent: Digest, block: Digest) -> None:
        assert self._voice is not None
        proposal = self._voice.propose(self.view, parent_view, parent, block)
        self.views.at(self.view).proposal = proposal
        self._actions += self._voice.say(proposal)
        self._vote(Kind.NOTARIZE, self.view, block)

    def _consider(self, state: ViewState, proposal: Proposal) -> None:
        """Vote for the view's proposal once everything that it rests on is held."""
        if not self.pledges.may_notarize(self.view):
            return
        parent_view, parent, block = proposal.parent_view, proposal.parent, proposal.block
        certified = self.views.certified(parent_view)
        if parent_view < self.views.final_view or certified not in (None, parent):
            self._nullify()  # it builds beside a final block, or beside the notarized one
            return
        gap = self.views.first_open(View(parent_view + 1), self.view)
        missing = parent_view if certified is None else gap
        if missing is not None:
            self._actions += self._catch_up.ask(missing, View(self.view - 1))
            return
        height = self._blocks.find_height(parent)
        if height is None:
            self._actions += self._blocks.want(parent)
        elif self._blocks.is_boundary(parent) or block == parent:
            # The boundary block may only be proposed again, and only it.
            self._judge(block, is_valid=self._blocks.is_boundary(parent) and block == parent)
        elif state.height is None:
            state.height = Height(height + 1)
            self._actions.append(RequestVerification(proposal, state.height))

    def _on_verified(self, view: View, block: Digest, *, is_valid: bool) -> None:
        state = self.views.find(view)
        if state is None or state.proposal is None or state.height is None:
            return
        if state.proposal.block != block:
            return
        if is_valid:
            self._hold(block, state.height)
        if view == self.view and not self.is_ended and self.pledges.may_notarize(view):
            self._judge(block, is_valid=is_valid)
        self._advance()

    def _judge(self, block: Digest, *, is_valid: bool) -> None:
        # Simplex 2.1 step 3
        if is_valid:
            self._vote(Kind.NOTARIZE, self.view, block)
        else:
            self._nullify()

    def _nullify(self) -> None:
        # Simplex 2.1 step 2
        if self.position is not None and self.pledges.may_nullify(self.view):
            self._vote(Kind.NULLIFY, self.view, None)

    # Timers

    def _on_timer(self) -> None:
        """Take the leader timer, then the advance timer, then the retries of one view."""
        is_first = self._timers.fire() == 1
        state = self.views.find(self.view)
        has_proposal = state is not None and state.proposal is not None
        if is_first and has_proposal and not self.pledges.has_nullified(self.view):
            self._actions.append(SetTimer(self.view, self._timers.rest()))
            return
        view = self.view
        is_stuck = self.position is None or not self.pledges.may_nullify(view)
        self._nullify()
        if self.view != view or self.is_ended:
            return
        self._actions.append(SetTimer(view, self._timers.retry()))
        if is_stuck:
            self._repeat()

    def _repeat(self) -> None:
        """Say again what brought us here, so that whoever hears it stands where we stand."""
        self._blocks.ask_anew()
        self._catch_up.renew()
        final = self.views.final
        if final is not None and self._delivered < final.view:
            self._actions += self._blocks.want(self.views.final_block)
        self._actions += self._catch_up.story(self.view)
        if self.position is None:
            self._actions += self._catch_up.ask_everybody()
        self._repeat_own()
        self._catch_up.informant = None
        self._advance()

    def _repeat_own(self) -> None:
        self._actions += [Broadcast(message) for message in self.pledges.said(self.view)]

    # Blocks

    def _on_fetched(self, block: Digest, height: Height) -> None:
        if self._blocks.is_wanted(block):
            self._hold(block, height)
            self._advance()

    def _hold(self, block: Digest, height: Height) -> None:
        """Remember that a block is here, and deliver it if it is final."""
        self._blocks.hold(block, height)
        final = self.views.final
        if final is not None and final.block == block and self._delivered < final.view:
            self._deliver_or_fetch(final)

    def _deliver_or_fetch(self, certificate: Certificate) -> None:
        block = self.views.final_block
        if self._blocks.find_height(block) is None:
            self._actions += self._blocks.want(block)
            return
        self._delivered = certificate.view
        self._actions.append(Deliver(certificate))
        self.is_ended = self._blocks.is_boundary(block)

    # Speaking

    def _vote(self, kind: Kind, view: View, block: Digest | None) -> None:
        """Sign a vote, write it down, say it, and count it."""
        if self._voice is not None:
            vote = self._voice.vote(kind, view, block)
            self._actions += self._voice.say(vote)
            self._count(vote)

    # Keeping

    def _answer_final(self, sender: Peer, message: Message) -> None:
        assert self.views.final is not None
        answer = answer_to_ended_epoch(message, self.views.final)
        if answer is not None:
            self._actions.append(Send(sender, answer))

    def _hear(self, signer: int, view: View) -> None:
        if view + 1 >= self.view:
            self.elector.hear(signer, view)

    def _is_in_window(self, view: View) -> bool:
        limits = self.config.limits
        low = max(self.views.final_view + 1, self.view - limits.views_behind)
        return low <= view <= self.view + limits.views_ahead

    def _forget(self) -> None:
        """Drop what no later rule reads."""
        behind = View(self.view - self.config.limits.views_behind - 1)
        self.views.forget(up_to=self.views.final_view, ballots_up_to=behind)
        self._blocks.forget_but([self.views.final_block, *self.views.blocks()])

    def _taken(self) -> list[Action]:
        actions, self._actions = self._actions, []
        return actions
