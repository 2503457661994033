"""Deliberate bugs: each a small change to the machine that the simulator must notice.

A mutant that lives shows a hole in the checkers or in what the seeds draw.
"""

from consensus.simplex import events
from consensus.simplex.config import Config
from consensus.simplex.evidence import Evidence
from consensus.simplex.machine import Simplex
from consensus.simplex.messages import (
    Certificate,
    Finalize,
    Kind,
    Notarize,
    Nullify,
    Proposal,
    Signed,
    Vote,
)
from consensus.simplex.pledges import Pledges, Record
from consensus.simplex.views import Ballot, Views, ViewState
from primitives.power_table import PowerTable
from primitives.types import Digest, View
from tests.simulation.node import Node


class _Promises(Pledges):
    """Promises with one rule missing."""


class _MutantOfPledges(Simplex):
    pledges_class: type[Pledges] = Pledges

    def __init__(self, config: Config, journal: tuple[Record, ...] = ()) -> None:
        super().__init__(config, journal)
        bound = self.pledges_class()
        bound.floor = self.pledges.floor
        for view in self.pledges.views():
            for message in self.pledges.said(view):
                bound.record(message)
        self.pledges = bound


class _NullifiesAfterFinalize(Pledges):
    def may_nullify(self, view: View) -> bool:
        return view > self.floor and view not in self._nullified


class _FinalizesAfterNullify(Pledges):
    def may_finalize(self, view: View) -> bool:
        return view > self.floor and view not in self._finalized


class _NotarizesAfterNullify(Pledges):
    def may_notarize(self, view: View) -> bool:
        return view > self.floor and view not in self._notarized


class _ProposesAgain(Pledges):
    def may_propose(self, view: View) -> bool:
        return view > self.floor and view not in self._nullified


class NullifiesAfterFinalize(_MutantOfPledges):
    """Nullifies a view in which it has voted finalize."""

    pledges_class = _NullifiesAfterFinalize

    def _on_timer(self) -> None:
        # The rule is broken where it can be: on the timer, for the view just left.
        before = View(self.view - 1)
        if before > self.views.final_view and self.pledges.may_nullify(before):
            self._vote(Kind.NULLIFY, before, None)
        super()._on_timer()


class FinalizesAfterNullify(_MutantOfPledges):
    """Votes finalize on every notarization, also in a view that it nullified."""

    pledges_class = _FinalizesAfterNullify


class NotarizesAfterNullify(_MutantOfPledges):
    """Votes for a proposal that comes after its own nullify."""

    pledges_class = _NotarizesAfterNullify


class ProposesAgain(_MutantOfPledges):
    """Builds a new block for a view in which it proposed before it crashed."""

    pledges_class = _ProposesAgain

    def _advance(self) -> None:
        state = self.views.find(self.view)
        if state is not None and state.proposal is not None:
            own = state.proposal.signer == self.position
            if own and self.building is None and self._alarms == 0:
                self._lead()
        super()._advance()


class SpeaksBeforeWriting(Simplex):
    """Sends first and writes down afterwards."""

    def _say(self, message: Signed) -> None:
        self.pledges.record(message)
        self._actions += [events.Broadcast(message), events.Persist(message)]


class WritesNothing(Simplex):
    """Never writes its votes down."""

    def _say(self, message: Signed) -> None:
        self.pledges.record(message)
        self._actions.append(events.Broadcast(message))


class ForgetsNullifies(Simplex):
    """Reads its journal without the nullifies."""

    def __init__(self, config: Config, journal: tuple[Record, ...] = ()) -> None:
        super().__init__(config, tuple(r for r in journal if not isinstance(r, Nullify)))


class ForgetsNotarizes(Simplex):
    """Reads its journal without the notarizes."""

    def __init__(self, config: Config, journal: tuple[Record, ...] = ()) -> None:
        super().__init__(config, tuple(r for r in journal if not isinstance(r, Notarize)))


class ForgetsFinalizes(Simplex):
    """Reads its journal without the finalizes."""

    def __init__(self, config: Config, journal: tuple[Record, ...] = ()) -> None:
        super().__init__(config, tuple(r for r in journal if not isinstance(r, Finalize)))


class _HalfTable(PowerTable):
    def is_quorum(self, weight: int) -> bool:
        return 2 * weight > self.total


class SimpleMajority(Simplex):
    """Takes more than a half for a quorum."""

    def __init__(self, config: Config, journal: tuple[Record, ...] = ()) -> None:
        super().__init__(config, journal)
        self.views.table = _HalfTable(config.table.validators)


class _CountingHeads(PowerTable):
    def is_quorum(self, weight: int) -> bool:
        return weight > self.total // len(self) * (2 * len(self) // 3)


class _CountsTwice(Ballot):
    def add(self, vote: Vote) -> tuple[Evidence | None, Certificate | None]:
        evidence, certificate = super().add(vote)
        if evidence is not None:
            choice = (_kind(vote), getattr(vote, "block", None))
            before = self._weights.get(choice, 0)
            after = before + self._table[vote.signer].weight
            self._weights[choice] = after
            self._votes[_kind(vote), vote.signer] = vote
            if self._table.is_quorum(after) and not self._table.is_quorum(before):
                return evidence, self._certificate(vote)
        return evidence, certificate


def _kind(vote: Vote) -> Kind:
    kinds = {Notarize: Kind.NOTARIZE, Nullify: Kind.NULLIFY, Finalize: Kind.FINALIZE}
    return kinds[type(vote)]


class _ViewsCountingTwice(Views):
    def at(self, view: View) -> ViewState:
        state = super().at(view)
        if not isinstance(state.ballot, _CountsTwice):
            state.ballot = _CountsTwice(self.table)
        return state


class IgnoresGaps(Simplex):
    """Votes for a proposal whatever lies between it and its parent."""

    def _consider(self, state: ViewState, proposal: Proposal) -> None:
        kept = self.views.is_nullified
        self.views.first_open = lambda low, high: None  # type: ignore[method-assign]
        super()._consider(state, proposal)
        assert kept is not None


class TrustsParents(Simplex):
    """Votes for a proposal whose parent nobody notarized, and whatever lies between."""

    def _consider(self, state: ViewState, proposal: Proposal) -> None:
        height = self._heights.get(proposal.parent)
        if height is None or state.height is not None:
            super()._consider(state, proposal)
        elif self.pledges.may_notarize(self.view):
            state.height = type(height)(height + 1)
            self._actions.append(events.RequestVerification(proposal, state.height))


class TrustsLeaders(Simplex):
    """Asks nobody whether the block is valid."""

    def _on_verified(self, view: View, block: Digest, is_valid: bool) -> None:
        super()._on_verified(view, block, is_valid=True)


class TakesAnyLeader(Simplex):
    """Takes the first proposal of a view from whoever sends it."""

    def _on_proposal(self, sender: events.Peer, proposal: Proposal) -> None:
        kept = self._elector.leader
        real = kept(proposal.view)
        if proposal.signer != real and self.views.at(proposal.view).proposal is None:
            self.views.at(proposal.view).proposal = proposal
            self._advance()
            return
        super()._on_proposal(sender, proposal)

    def is_wanted(self, message: object) -> bool:
        return True


class BuildsPastTheBoundary(Simplex):
    """Goes on building when the parent is the epoch's last block."""

    def __init__(self, config: Config, journal: tuple[Record, ...] = ()) -> None:
        from dataclasses import replace

        from primitives.types import Height

        super().__init__(replace(config, last_height=Height(config.last_height + 1)), journal)


class DeliversUnheld(Simplex):
    """Delivers a block that is not there yet."""

    def _deliver_or_fetch(self, certificate: Certificate) -> None:
        assert certificate.block is not None
        self._heights.setdefault(certificate.block, self.config.root_height)
        super()._deliver_or_fetch(certificate)


class NeverRepeats(Simplex):
    """Says everything once."""

    def _repeat(self) -> None:
        pass


class NeverAsks(Simplex):
    """Waits for missing certificates instead of asking, and hides those that it has."""

    def _ask(self, first: View, last: View) -> None:
        pass


class NeverAnswers(Simplex):
    """Leaves requests and laggards without an answer."""

    def _may_answer(self, peer: events.Peer) -> bool:
        return False


class NeverFetches(Simplex):
    """Waits for blocks that it missed."""

    def _want(self, block: Digest) -> None:
        pass


class NeverNullifies(Simplex):
    """Waits for a leader for ever."""

    def _nullify(self) -> None:
        pass


class NeverForgivesSilence(Simplex):
    """Goes on nullifying a leader that was silent once."""

    def _hear(self, message: Signed) -> None:
        pass


class KeepsEveryVote(Simplex):
    """Keeps votes of any view."""

    def _is_in_window(self, view: View) -> bool:
        return view > self.views.final_view

    def _forget(self) -> None:
        pass


class FinalizesLate(Simplex):
    """Votes finalize for any notarization that it hears of, also of views it has left behind."""

    def _on_notarization(self, view: View, block: Digest) -> None:
        self._want(block)
        self.pledges._nullified.pop(view, None)
        if self.pledges.may_finalize(view):
            self._vote(Kind.FINALIZE, view, block)


class DropsNullifications(Simplex):
    """Forgets why it left a view."""

    def _enter(self, view: View) -> None:
        state = self.views.find(View(view - 1))
        if state is not None and state.notarization is None:
            state.nullification = None
        super()._enter(view)


MUTANTS: tuple[type[Simplex], ...] = (
    NullifiesAfterFinalize,
    FinalizesAfterNullify,
    NotarizesAfterNullify,
    ProposesAgain,
    SpeaksBeforeWriting,
    WritesNothing,
    ForgetsNullifies,
    ForgetsNotarizes,
    ForgetsFinalizes,
    SimpleMajority,
    IgnoresGaps,
    TrustsParents,
    TrustsLeaders,
    TakesAnyLeader,
    BuildsPastTheBoundary,
    DeliversUnheld,
    NeverRepeats,
    NeverAsks,
    NeverAnswers,
    NeverFetches,
    NeverNullifies,
    NeverForgivesSilence,
    KeepsEveryVote,
    FinalizesLate,
    DropsNullifications,
)


def node_of(mutant: type[Simplex]) -> type[Node]:
    """Return the honest node that runs a mutant instead of the machine."""
    return type(f"Node{mutant.__name__}", (Node,), {"machine_class": mutant})
