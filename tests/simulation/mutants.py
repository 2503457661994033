"""Deliberate bugs: each a small change to the machine that the simulator must notice.

A mutant that lives shows a hole in the checkers or in what the seeds draw. Each comes with the
plan that gives it its chance: the lie or the faults against which the broken rule stands.
"""

from dataclasses import dataclass, field, replace
from types import UnionType
from typing import ClassVar

from consensus.simplex import events
from consensus.simplex.blocks import Blocks
from consensus.simplex.catch_up import CatchUp
from consensus.simplex.config import Config
from consensus.simplex.elector import Elector
from consensus.simplex.evidence import Evidence
from consensus.simplex.machine import Simplex
from consensus.simplex.messages import (
    Certificate,
    Finalize,
    Kind,
    Message,
    Notarize,
    Nullify,
    Proposal,
    Signed,
    Vote,
)
from consensus.simplex.pledges import Pledges, Record
from consensus.simplex.views import Ballot, Views, ViewState, kind_of
from consensus.simplex.voice import Voice
from primitives.power_table import PowerTable
from primitives.types import Digest, Height, Millis, View
from tests.simulation import byzantine
from tests.simulation.node import Node
from tests.simulation.simulator import Plan
from tests.simulation.world import Faults


class Mutant(Simplex):
    """A machine of which one part follows other rules; the parts are swapped after the restart."""

    pledges_class: ClassVar[type[Pledges]] = Pledges
    views_class: ClassVar[type[Views]] = Views
    elector_class: ClassVar[type[Elector]] = Elector
    blocks_class: ClassVar[type[Blocks]] = Blocks
    catch_up_class: ClassVar[type[CatchUp]] = CatchUp
    voice_class: ClassVar[type[Voice]] = Voice
    forgets: ClassVar[type[Signed] | UnionType | None] = None

    def __init__(self, config: Config, journal: tuple[Record, ...] = ()) -> None:
        if self.forgets is not None:
            journal = tuple(r for r in journal if not isinstance(r, self.forgets))
        super().__init__(config, journal)
        self.pledges.__class__ = self.pledges_class
        self.views.__class__ = self.views_class
        self.elector.__class__ = self.elector_class
        self._blocks.__class__ = self.blocks_class
        if self._voice is not None:
            self._voice.__class__ = self.voice_class
        self._catch_up.__class__ = self.catch_up_class


class _FreePledges(Pledges):
    __slots__ = ()

    def may_nullify(self, view: View) -> bool:
        return view > self.floor and view not in self._nullified


class NullifiesAfterFinalize(Mutant):
    """Nullifies, when the timer fires, also the view in which it has just voted finalize."""

    pledges_class = _FreePledges

    def _on_timer(self) -> None:
        before = View(self.view - 1)
        if before > self.views.final_view and self.pledges.may_nullify(before):
            self._vote(Kind.NULLIFY, before, None)
        super()._on_timer()


class _FinalizingPledges(Pledges):
    __slots__ = ()

    def may_finalize(self, view: View) -> bool:
        return view > self.floor and view not in self._finalized


class FinalizesAfterNullify(Mutant):
    """Votes finalize on every notarization, also of a view that it nullified."""

    pledges_class = _FinalizingPledges


class _NotarizingPledges(Pledges):
    __slots__ = ()

    def may_notarize(self, view: View) -> bool:
        return view > self.floor and view not in self._notarized


class NotarizesAfterNullify(Mutant):
    """Votes for a proposal that comes after its own nullify."""

    pledges_class = _NotarizingPledges


class _AnyPledges(Pledges):
    __slots__ = ()

    def may_notarize(self, view: View) -> bool:
        return view > self.floor and view not in self._nullified


class NotarizesTwice(Mutant):
    """Votes for the second proposal of a view as well."""

    pledges_class = _AnyPledges

    def _on_proposal(self, sender: events.Peer, proposal: Proposal) -> None:
        state = self.views.find(proposal.view)
        if state is not None and proposal.signer == self.elector.leader(proposal.view):
            state.proposal = None
            state.height = None
        super()._on_proposal(sender, proposal)


class ProposesAgain(Mutant):
    """After a restart builds a new block for a view in which it has proposed."""

    forgets = Proposal


class ForgetsNullifies(Mutant):
    """Reads its journal without the nullifies."""

    forgets = Nullify


class ForgetsNotarizes(Mutant):
    """Reads its journal without the notarizes."""

    forgets = Notarize


class ForgetsFinalizes(Mutant):
    """Reads its journal without the finalizes, and the certificates that show where they led."""

    forgets = Finalize | Certificate


class _HastyVoice(Voice):
    __slots__ = ()

    def say(self, message: Signed) -> list[events.Action]:
        return super().say(message)[::-1]


class SpeaksBeforeWriting(Mutant):
    """Sends first and writes down afterwards."""

    voice_class = _HastyVoice


class _FleetingVoice(Voice):
    __slots__ = ()

    def say(self, message: Signed) -> list[events.Action]:
        return super().say(message)[1:]


class WritesNothing(Mutant):
    """Never writes down what it says."""

    voice_class = _FleetingVoice


class HalfTable(PowerTable):
    """Takes more than a half for a quorum."""

    def is_quorum(self, weight: int) -> bool:
        return 2 * weight > self.total


class HeadTable(PowerTable):
    """Counts heads instead of weight."""

    def is_quorum(self, weight: int) -> bool:
        return super().is_quorum(weight) or 3 * weight > 2 * (self.total - self.total // 3)


class _GreedyBallot(Ballot):
    __slots__ = ()

    def add(self, vote: Vote) -> tuple[Evidence | None, Certificate | None]:
        is_again = self._votes.get((kind_of(vote), vote.signer)) == vote
        if is_again:
            del self._votes[kind_of(vote), vote.signer]
        return super().add(vote)


class _GreedyViews(Views):
    __slots__ = ()

    def at(self, view: View) -> ViewState:
        state = super().at(view)
        state.ballot.__class__ = _GreedyBallot
        return state


class CountsReplays(Mutant):
    """Counts a vote as often as it comes."""

    views_class = _GreedyViews

    def is_wanted(self, message: Message) -> bool:
        return True


class _GaplessViews(Views):
    __slots__ = ()

    def first_open(self, low: View, high: View) -> View | None:
        return None


class IgnoresGaps(Mutant):
    """Votes for a proposal whatever lies between it and its parent."""

    views_class = _GaplessViews

    def _consider(self, state: ViewState, proposal: Proposal) -> None:
        final = self.views.final
        if proposal.parent_view < self.views.final_view:
            self.views.final = None
        super()._consider(state, proposal)
        self.views.final = final


class TrustsParents(Mutant):
    """Votes for a proposal on any block that it holds."""

    def _consider(self, state: ViewState, proposal: Proposal) -> None:
        height = self._blocks.find_height(proposal.parent)
        if height is None or state.height is not None or self._blocks.is_boundary(proposal.parent):
            super()._consider(state, proposal)
        elif self.pledges.may_notarize(self.view):
            state.height = Height(height + 1)
            self._actions.append(events.RequestVerification(proposal, state.height))


class TrustsLeaders(Mutant):
    """Asks nobody whether the block is valid."""

    def _on_verified(self, view: View, block: Digest, *, is_valid: bool) -> None:
        super()._on_verified(view, block, is_valid=True)


class TakesAnyLeader(Mutant):
    """Takes the first proposal of a view from whoever sends it."""

    def _on_proposal(self, sender: events.Peer, proposal: Proposal) -> None:
        state = self.views.at(proposal.view)
        if state.proposal is None and proposal.view >= self.view:
            state.proposal = proposal
            self._advance()
            return
        super()._on_proposal(sender, proposal)

    def is_wanted(self, message: Message) -> bool:
        return True


class BuildsPastTheBoundary(Mutant):
    """Goes on building when the parent is the epoch's last block."""

    def __init__(self, config: Config, journal: tuple[Record, ...] = ()) -> None:
        super().__init__(replace(config, last_height=Height(config.last_height + 1)), journal)


class BuildsOnBoundary(Mutant):
    """As leader asks for a new block on the boundary block, and votes for it."""

    def _lead(self) -> None:
        self._blocks.last_height = Height(2**63)
        super()._lead()
        self._blocks.last_height = self.config.last_height


class DeliversUnheld(Mutant):
    """Delivers a block that is not there yet."""

    def _deliver_or_fetch(self, certificate: Certificate) -> None:
        self._blocks.hold(self.views.final_block, self.config.root_height)
        super()._deliver_or_fetch(certificate)


class NeverRepeats(Mutant):
    """Says everything once."""

    def _repeat(self) -> None:
        self._advance()


class _MuteCatchUp(CatchUp):
    __slots__ = ()

    def ask(self, first: View, last: View) -> list[events.Action]:
        return []


class NeverAsks(Mutant):
    """Waits for missing certificates instead of asking."""

    catch_up_class = _MuteCatchUp


class _HidingCatchUp(CatchUp):
    __slots__ = ()

    def _may_answer(self, peer: events.Peer) -> bool:
        return False


class NeverAnswers(Mutant):
    """Leaves requests and laggards without an answer."""

    catch_up_class = _HidingCatchUp


class _PassiveBlocks(Blocks):
    __slots__ = ()

    def want(self, block: Digest) -> list[events.Action]:
        return []


class NeverFetches(Mutant):
    """Waits for blocks that it missed."""

    blocks_class = _PassiveBlocks


class NeverNullifies(Mutant):
    """Waits for a leader for ever."""

    def _nullify(self) -> None:
        """Do nothing."""


class _Grudge(Elector):
    __slots__ = ()

    def hear(self, signer: int, view: View) -> None:
        """Forgive nothing."""


class NeverForgivesSilence(Mutant):
    """Goes on nullifying a leader that was once silent."""

    elector_class = _Grudge


class KeepsEveryVote(Mutant):
    """Keeps votes of any view."""

    def _is_in_window(self, view: View) -> bool:
        return view > self.views.final_view

    def _forget(self) -> None:
        """Keep everything."""


class AnswersWithoutEnd(Mutant):
    """Forgets the parents of what it forgets: keeps no certificate of a nullified view."""

    def _forget(self) -> None:
        super()._forget()
        for view in range(self.views.final_view + 1, self.view):
            state = self.views.find(View(view))
            if state is not None:
                state.nullification = None


class EndsAtNotarization(Mutant):
    """Takes the boundary block's notarization for the end of the epoch."""

    def _on_notarization(self, view: View, block: Digest) -> None:
        super()._on_notarization(view, block)
        if self._blocks.is_boundary(block) and not self.is_ended and self.views.final is not None:
            self.is_ended = True


class BlamesTheInnocent(Mutant):
    """Takes notarize and nullify in one view for a contradiction."""

    def _count(self, vote: Vote) -> None:
        if isinstance(vote, Nullify) and vote.view > self.views.final_view:
            earlier = self.views.at(vote.view).ballot._votes.get((Kind.NOTARIZE, vote.signer))
            if isinstance(earlier, Notarize) and vote.signer != self.position:
                word = Finalize(
                    vote.epoch, vote.view, earlier.block, vote.signer, earlier.signature
                )
                self._actions.append(events.Report(Evidence(word, vote)))
        super()._count(vote)


QUIET = Faults.none()
CRASHING = replace(QUIET, crash=0.02)
LOSSY = replace(QUIET, loss=0.3)
SLOW = replace(QUIET, delay_max=Millis(60), loss=0.1)
SPLIT = replace(QUIET, partition=0.6, loss=0.1)


class ForgetfulDisk(Node):
    """Breaks the driver's promise: blocks that are not final are gone after a crash."""

    def crash(self, during: events.Action | None = None) -> None:
        super().crash(during)
        self.blocks = {digest: self.blocks[digest] for digest in self.finals}


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutant, and the circumstances in which its bug matters."""

    mutant: type[Mutant]
    plan: Plan = field(default_factory=Plan)

    @property
    def whole_plan(self) -> Plan:
        """The plan with the mutant in the place of every honest machine."""
        name = f"Node{self.mutant.__name__}"
        node = type(name, (Node,), {"machine_class": self.mutant})
        return replace(self.plan, node=node)


class LaxQuorum(Mutant):
    """The machine as it is, on a table that takes a simple majority for a quorum."""


class CountsHeads(Mutant):
    """The machine as it is, on a table that needs too little weight."""


TRIALS: tuple[Trial, ...] = (
    Trial(NullifiesAfterFinalize, Plan(size=4, faults=LOSSY)),
    Trial(FinalizesAfterNullify, Plan(size=4, faults=LOSSY)),
    Trial(NotarizesAfterNullify, Plan(size=4, faults=LOSSY)),
    Trial(NotarizesTwice, Plan(size=4, faults=QUIET, lie=byzantine.EquivocatingLeader, liars=1)),
    Trial(ProposesAgain, Plan(size=4, faults=CRASHING)),
    Trial(ForgetsNullifies, Plan(size=4, faults=replace(CRASHING, loss=0.3))),
    Trial(
        ForgetsNotarizes,
        Plan(size=4, faults=CRASHING, lie=byzantine.EquivocatingLeader, liars=1),
    ),
    Trial(ForgetsFinalizes, Plan(size=4, faults=replace(CRASHING, loss=0.3))),
    Trial(SpeaksBeforeWriting, Plan(size=4, faults=QUIET)),
    Trial(WritesNothing, Plan(size=4, faults=QUIET)),
    Trial(
        LaxQuorum,
        Plan(size=4, faults=SPLIT, table=HalfTable, lie=byzantine.TwoFaced, liars=1),
    ),
    Trial(
        CountsHeads,
        Plan(size=4, faults=SPLIT, table=HeadTable, lie=byzantine.TwoFaced, liars=1),
    ),
    Trial(CountsReplays, Plan(size=4, faults=replace(LOSSY, duplication=0.3))),
    Trial(IgnoresGaps, Plan(size=4, faults=QUIET, lie=byzantine.ForkAround, liars=1)),
    Trial(
        TrustsParents,
        Plan(size=4, faults=SLOW, heal_at=2500, lie=byzantine.ForkAround, liars=1),
    ),
    Trial(TrustsLeaders, Plan(size=4, faults=QUIET, lie=byzantine.BadBlockMaker, liars=1)),
    Trial(TakesAnyLeader, Plan(size=4, faults=QUIET, lie=byzantine.Usurper, liars=1)),
    Trial(BuildsPastTheBoundary, Plan(size=4, faults=QUIET)),
    Trial(BuildsOnBoundary, Plan(size=4, faults=LOSSY)),
    Trial(DeliversUnheld, Plan(size=4, faults=LOSSY)),
    Trial(NeverRepeats, Plan(size=4, faults=SPLIT)),
    Trial(NeverAsks, Plan(size=4, faults=replace(LOSSY, loss=0.5), heal_at=5000)),
    Trial(NeverAnswers, Plan(size=4, faults=replace(LOSSY, loss=0.5), heal_at=5000)),
    Trial(NeverFetches, Plan(size=4, faults=LOSSY)),
    Trial(NeverNullifies, Plan(size=4, faults=LOSSY)),
    Trial(NeverForgivesSilence, Plan(size=4, faults=replace(SPLIT, loss=0.6), heal_at=20000)),
    Trial(KeepsEveryVote, Plan(size=4, lie=byzantine.Flooder, liars=1)),
    Trial(AnswersWithoutEnd, Plan(size=4, faults=SPLIT, heal_at=2500)),
    Trial(EndsAtNotarization, Plan(size=4, faults=SLOW, heal_at=1200)),
    Trial(BlamesTheInnocent, Plan(size=4, faults=LOSSY)),
)
