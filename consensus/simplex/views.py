"""What a machine knows of each view: ballots, certificates, and how views follow each other.

Invariants: one vote of each kind a signer and view is kept, so a ballot holds at most three times
the table's length; ballots exist only within the window that the machine admits; certificates of
views below the last final one are forgotten. Certificates above it stay, because whoever lags
needs them: their number grows with the length of a stall, which the back-off of the timers
stretches, and falls to nothing with the next final block.
"""

from dataclasses import dataclass, field

from consensus.simplex.evidence import Evidence, find_evidence
from consensus.simplex.messages import (
    Certificate,
    Finalize,
    Kind,
    Notarize,
    Nullify,
    Proposal,
    Vote,
    bitmap,
)
from primitives.power_table import PowerTable
from primitives.types import Digest, Height, View


def kind_of(vote: Vote) -> Kind:
    """Return the kind of certificate that a quorum of such votes makes."""
    match vote:
        case Notarize():
            return Kind.NOTARIZE
        case Nullify():
            return Kind.NULLIFY
        case Finalize():
            return Kind.FINALIZE


def block_of(vote: Vote) -> Digest | None:
    """Return the block that the vote names; None for a nullify."""
    return None if isinstance(vote, Nullify) else vote.block


def contradicts(certificate: Certificate, kind: Kind, block: Digest | None) -> bool:
    """Return whether no honest signer of a certificate votes for that in its view, too."""
    if kind is certificate.kind:
        return block != certificate.block
    return {kind, certificate.kind} == {Kind.NULLIFY, Kind.FINALIZE}


class Ballot:
    """The votes of one view, one of each kind a signer, and their weights."""

    __slots__ = ("_reported", "_shown", "_table", "_votes", "_weights")

    def __init__(self, table: PowerTable) -> None:
        self._table = table
        self._votes: dict[tuple[Kind, int], Vote] = {}
        self._weights: dict[tuple[Kind, Digest | None], int] = {}
        self._reported: dict[int, bool] = {}
        self._shown: list[Certificate] = []
        """Certificates of the view, at most one of a kind: they hold votes, too."""

    def __len__(self) -> int:
        return len(self._votes)

    def is_news(self, vote: Vote) -> bool:
        """Return whether ``add`` would count the vote or convict its signer."""
        earlier = self._votes.get((kind_of(vote), vote.signer))
        if earlier is None or vote.signer in self._reported:
            return earlier is None
        return find_evidence(earlier, vote) is not None

    def add(self, vote: Vote) -> tuple[Evidence | None, Certificate | None]:
        """Count a vote; return what it proves against its signer, and the quorum it completes.

        A signer's second vote of a kind is never counted, whatever it says.
        """
        kind, signer = kind_of(vote), vote.signer
        evidence = self._judge(vote)
        if (kind, signer) in self._votes:
            return evidence, None
        self._votes[kind, signer] = vote
        choice = (kind, block_of(vote))
        before = self._weights.get(choice, 0)
        after = before + self._table[signer].weight
        self._weights[choice] = after
        if self._table.is_quorum(before) or not self._table.is_quorum(after):
            return evidence, None
        return evidence, self._certificate(vote)

    def _judge(self, vote: Vote) -> Evidence | None:
        """Return evidence of the signer's first contradiction in this view."""
        if vote.signer in self._reported:
            return None
        for kind in (Kind.NOTARIZE, Kind.NULLIFY, Kind.FINALIZE):
            earlier = self._votes.get((kind, vote.signer))
            evidence = None if earlier is None else find_evidence(earlier, vote)
            if evidence is not None:
                self._reported[vote.signer] = True
                return evidence
        for certificate in self._shown:
            choice = (kind_of(vote), block_of(vote))
            if certificate.holds(vote.signer) and contradicts(certificate, *choice):
                self._reported[vote.signer] = True
                return find_evidence(certificate.vote_of(vote.signer), vote)
        return None

    def show(self, certificate: Certificate) -> list[Evidence]:
        """Return what the votes in a certificate prove against their signers.

        Who says one thing to some and another to others is seen by whoever hears the one and is
        shown the quorum of the other.
        """
        said = [*self._weights, *((other.kind, other.block) for other in self._shown)]
        found: list[Evidence | None] = []
        # Where nobody contradicts it, and nearly always nobody does, there is nothing to look for.
        if any(contradicts(certificate, *choice) for choice in said):
            found = [self._judge(vote) for vote in certificate.votes()]
        self._shown.append(certificate)
        return [evidence for evidence in found if evidence is not None]

    def _certificate(self, vote: Vote) -> Certificate:
        kind, block = kind_of(vote), block_of(vote)
        agreeing = [
            self._votes[kind, position]
            for position in range(len(self._table))
            if (kind, position) in self._votes and block_of(self._votes[kind, position]) == block
        ]
        return Certificate(
            kind,
            vote.epoch,
            vote.view,
            block,
            bitmap([counted.signer for counted in agreeing], len(self._table)),
            tuple(counted.signature for counted in agreeing),
        )


@dataclass(slots=True)
class ViewState:
    """Everything known of one view."""

    ballot: Ballot
    proposal: Proposal | None = None
    """The first of the leader; a second one is evidence and nothing else."""
    height: Height | None = None
    """Of the proposed block, once its verification was asked for."""
    is_reported: bool = False
    """Whether the leader's second proposal was reported."""
    notarization: Certificate | None = None
    nullification: Certificate | None = None

    def is_proposal_news(self, proposal: Proposal) -> bool:
        """Return whether ``proposal`` is the first, or the first to contradict the first."""
        if self.proposal is None:
            return True
        return not self.is_reported and find_evidence(self.proposal, proposal) is not None


@dataclass(slots=True)
class Views:
    """The views of one epoch from the last final one on."""

    table: PowerTable
    root: Digest
    """The final block on which the epoch builds; it stands in view 0."""
    final: Certificate | None = None
    """The newest finalization."""
    _states: dict[View, ViewState] = field(default_factory=dict)

    @property
    def final_view(self) -> View:
        """View of the newest finalization; 0 before the first."""
        return View(0) if self.final is None else self.final.view

    @property
    def final_block(self) -> Digest:
        """The newest final block, which is the root before the first finalization."""
        if self.final is None or self.final.block is None:
            return self.root
        return self.final.block

    def at(self, view: View) -> ViewState:
        """Return the state of ``view``, made on first use."""
        state = self._states.get(view)
        if state is None:
            state = self._states[view] = ViewState(Ballot(self.table))
        return state

    def find(self, view: View) -> ViewState | None:
        """Return the state of ``view``, or None if nothing is known of it."""
        return self._states.get(view)

    def certified(self, view: View) -> Digest | None:
        """Return the block notarized or final in ``view``, or None."""
        if view == self.final_view:
            return self.final_block
        state = self._states.get(view)
        return None if state is None or state.notarization is None else state.notarization.block

    def has(self, certificate: Certificate) -> bool:
        """Return whether ``certificate`` says nothing new."""
        if certificate.view <= self.final_view:
            return True
        state = self._states.get(certificate.view)
        if state is None or certificate.kind is Kind.FINALIZE:
            return False
        if certificate.kind is Kind.NOTARIZE:
            return state.notarization is not None
        return state.nullification is not None

    def keep(self, certificate: Certificate) -> None:
        """Take in a certificate that says something new."""
        if certificate.kind is Kind.FINALIZE:
            self.final = certificate
        elif certificate.kind is Kind.NOTARIZE:
            self.at(certificate.view).notarization = certificate
        else:
            self.at(certificate.view).nullification = certificate

    def is_nullified(self, view: View) -> bool:
        """Return whether the nullification of ``view`` is held."""
        state = self._states.get(view)
        return state is not None and state.nullification is not None

    def highest_certified(self) -> View:
        """Return the highest view with a notarized or final block."""
        notarized = (view for view, state in self._states.items() if state.notarization)
        return max(notarized, default=self.final_view)

    def find_parent(self, view: View) -> tuple[View, Digest] | None:
        """Return the highest certified view below ``view`` if all views between are nullified."""
        below = View(view - 1)
        while True:
            block = self.certified(below)
            if block is not None:
                return below, block
            if not self.is_nullified(below):
                return None
            below = View(below - 1)

    def highest_entered(self) -> View:
        """Return the highest view of which any certificate is held."""
        done = (view for view, s in self._states.items() if s.notarization or s.nullification)
        return max(self.final_view, max(done, default=View(0)))

    def last_open(self, view: View) -> View:
        """Return the highest view below ``view`` with no certificate; one must exist."""
        below = View(view - 1)
        while self.certified(below) is not None or self.is_nullified(below):
            below = View(below - 1)
        return below

    def first_open(self, low: View, high: View) -> View | None:
        """Return the lowest view in ``[low, high)`` whose nullification is missing, or None."""
        return next((View(v) for v in range(low, high) if not self.is_nullified(View(v))), None)

    def certificates(self, view: View) -> list[Certificate]:
        """Return the notarization and the nullification of ``view``, as far as they are held."""
        state = self._states.get(view)
        if state is None:
            return []
        return [held for held in (state.notarization, state.nullification) if held is not None]

    def forget(self, *, up_to: View, ballots_up_to: View) -> None:
        """Drop all of the views up to one, and the ballots of those up to another."""
        for view in [known for known in self._states if known <= up_to]:
            del self._states[view]
        for view, state in self._states.items():
            if view <= ballots_up_to and len(state.ballot):
                state.ballot = Ballot(self.table)

    def blocks(self) -> list[Digest]:
        """Return every block that a proposal or a notarization names, with repeats."""
        proposed = [state.proposal.block for state in self._states.values() if state.proposal]
        held = [state.notarization for state in self._states.values()]
        return proposed + [one.block for one in held if one is not None and one.block is not None]

    def __len__(self) -> int:
        return len(self._states)

    def votes_held(self) -> int:
        """Return how many votes all ballots hold together."""
        return sum(len(state.ballot) for state in self._states.values())
