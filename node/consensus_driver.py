"""The driver of the consensus machine: the only consensus code that waits.

One task owns the machine, so there is no lock; everybody else puts inputs into its inbox. Actions
are carried out in order, and a promise is on disk before any later action.

Invariants: nothing reaches the machine whose signatures were not checked; the inbox is bounded,
for each peer and for all, and our own inputs go first; a block is asked for only as long as an open
view names it; at any time the machine is that of the epoch above the last final block.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio

from chain.header_checks import EpochRules
from consensus.simplex.config import Timing
from consensus.simplex.events import (
    Action,
    Broadcast,
    Deliver,
    Fetch,
    Fetched,
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
from consensus.simplex.evidence import Evidence
from consensus.simplex.messages import (
    CERTIFICATE,
    Certificate,
    Message,
    Proposal,
    Request,
    decode_message,
    encode_message,
)
from consensus.simplex.pledges import Floor, Record
from consensus.simplex.verification import verify_message
from node.block_desk import BlockDesk
from node.chain_service import ChainService
from node.consensus_network import Network
from node.ended_epochs import EndedEpochs
from node.epoch_run import EpochRun, machine_of
from node.journal_file import JournalFile
from node.own_voice import OwnVoice
from node.silence import Reason, Silence, Surroundings
from node.voters import Voter, Voters
from primitives.power_table import PowerTable
from primitives.types import Digest, Epoch, Height, Millis, View

HEARD_MAX = 2048
"""Messages that are kept from the listening for the machine that votes."""
MILLIS = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the driver is told about its chain and its machine."""

    genesis: Digest
    timing: Timing
    clock_drift_max: Millis
    wall_clock: Callable[[], Millis]
    listening: Millis
    """How long a validator that starts listens at least: its key may vote on another machine."""


class ConsensusDriver:
    """Takes part in consensus, epoch after epoch."""

    def __init__(
        self,
        service: ChainService,
        journal: JournalFile,
        settings: Settings,
        *,
        network: Network,
        voters: Voters | None,
        on_evidence: Callable[[Evidence], object] = lambda _: None,
        on_table: Callable[[PowerTable], None] = lambda _: None,
    ) -> None:
        """Without ``voters`` the node only follows.

        ``on_table`` is told who votes in each epoch that this node enters.
        """
        self.service = service
        self.journal = journal
        self.settings = settings
        self.network = network
        self.voters = voters
        self.voter: Voter | None = None
        """As whom the node votes in the present epoch."""
        self._on_evidence = on_evidence
        self._on_table = on_table
        self.is_behind: Callable[[], bool] = lambda: False
        """Whether peers have final blocks that this node had better fetch before it votes."""
        self._silence: Silence | None = None
        """While this node may not speak."""
        self._lost_up_to: Floor | None = None
        """Where our key may have spoken before the journal was lost."""
        self._heard: deque[Received] = deque(maxlen=HEARD_MAX)
        """What came while listening, for the machine that votes afterwards."""
        self._epoch: EpochRun | None = None
        self._ended = EndedEpochs(service.chain)
        self._desk = BlockDesk(
            service,
            network,
            wall_clock=settings.wall_clock,
            clock_drift_max=settings.clock_drift_max,
        )

    # For the network

    def receive(self, peer: Peer, data: bytes) -> bool:
        """Take a message from a peer; return whether it told us anything.

        A message that did not is no fault, but whoever sends many has to be slowed down.
        Raises: DecodeError, InvalidMessage; both are the peer's fault.
        """
        message = decode_message(data)
        epoch = self._epoch
        if epoch is None:
            return False
        if message.epoch < epoch.rules.epoch:
            answer = self._ended.find_answer(peer, message)
            if answer is not None:
                self.network.send(peer, encode_message(answer))
            return False
        if self._silence is not None:
            self._silence.overhear(message)
        if not epoch.machine.is_wanted(message):
            return False
        verify_message(epoch.rules.table, self.settings.genesis, message)
        if self._silence is not None:
            self._heard.append(Received(peer, message))
            self._silence.note(peer, message)
        is_taken = epoch.inbox.offer(peer, Received(peer, message))
        return is_taken and not _is_question(message, epoch.machine.view)

    def offer(self, certificate: Certificate) -> None:
        """Take a certificate that was verified, whose block is final on disk, from sync.

        One of a later epoch wakes the machine of this one, which then finds itself overtaken.
        """
        epoch = self._epoch
        if epoch is None:
            return
        is_later = certificate.epoch > epoch.rules.epoch
        if is_later or epoch.machine.is_wanted(certificate):
            epoch.inbox.offer(Peer(b""), Received(Peer(b""), certificate))

    @property
    def view(self) -> View:
        """The view that this node is in."""
        return self._epoch.machine.view if self._epoch else View(0)

    @property
    def epoch(self) -> Epoch:
        """The epoch that this node is in."""
        return self._epoch.rules.epoch if self._epoch else Epoch(0)

    @property
    def table(self) -> PowerTable | None:
        """Who votes in this epoch."""
        return self._epoch.rules.table if self._epoch else None

    @property
    def silence(self) -> Reason | None:
        """Why this node does not vote now; None if it does."""
        if self.voter is None or self._epoch is None:
            return Reason.NOT_A_VALIDATOR
        if self._silence is not None:
            return self._silence.reason
        machine = self._epoch.machine
        is_bound = machine.view <= machine.pledges.floor
        return Reason.BEFORE_FLOOR if is_bound and not machine.is_ended else None

    # The task

    async def run(self) -> None:
        """Take part for ever.

        Raises: JournalUnusable, WriteFailed, VotesElsewhere: the node must stop.
        """
        if self.voters is not None and not self._is_alone(self.voters):
            await self._keep_silence(self.voters)
        await self._run_epochs(is_voting=True)

    def _is_alone(self, voters: Voters) -> bool:
        """Return whether nobody else votes, who could have heard us or wait for us."""
        table = self.service.chain.rules_now().table
        return len(table) == 1 and voters.find(table) is not None

    async def _keep_silence(self, voters: Voters) -> None:
        """Follow until this node may vote, and promise what it may never say.

        Raises: VotesElsewhere, JournalUnusable.
        """
        began = trio.current_time()
        silence = self._silence = self._new_silence(voters)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            await silence.last()
            nursery.cancel_scope.cancel()
        silence.refuse_double()
        floor = silence.floor(self.view)
        if floor is not None:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self.journal.raise_floor, floor)
            self._lost_up_to = floor
        self._silence = None
        _log.info(
            "event=voting silent_ms=%d after_epoch=%d after_view=%d",
            round((trio.current_time() - began) * MILLIS),
            floor.epoch if floor else 0,
            floor.view if floor else 0,
        )

    def _new_silence(self, voters: Voters) -> Silence:
        chain = self.service.chain
        table = chain.rules_now().table
        voter = voters.find(table)
        place = None if voter is None else table.find_position(voter.consensus.public)
        is_quorum = place is not None and table.is_quorum(table[place].weight)
        records, genesis = self.journal.records, self.settings.genesis
        return Silence(
            Surroundings(
                final_height=lambda: chain.final.height,
                is_behind=self.is_behind,
                broadcast=self.network.broadcast,
            ),
            {key: OwnVoice(genesis, key, records) for key in voters.consensus_keys()},
            listening=self.settings.listening,
            # Whoever is a quorum by itself has nobody to ask, and nobody moves without it.
            knows_its_words=is_quorum or not self.journal.is_blank,
        )

    async def _follow(self) -> None:
        await self._run_epochs(is_voting=False)

    async def _run_epochs(self, *, is_voting: bool) -> None:
        while True:
            epoch = self._open_epoch(is_voting=is_voting)
            self._epoch = epoch
            while self._heard and self._silence is None:
                heard = self._heard.popleft()
                epoch.inbox.offer(heard.sender, heard)
            self._on_table(epoch.rules.table)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._finalize_delivered, epoch)
                await self._carry_out(epoch, nursery, epoch.machine.start())
                while not self._is_over(epoch):
                    event = await epoch.inbox.take()
                    if not self._is_over(epoch):
                        await self._carry_out(epoch, nursery, epoch.machine.step(event))
                epoch.delivered_send.close()
                await epoch.is_final.wait()
                nursery.cancel_scope.cancel()

    def _is_over(self, epoch: EpochRun) -> bool:
        """Return whether the epoch's last block is final, by its machine or by sync."""
        final = self.service.chain.final.height
        return epoch.machine.is_ended or final >= epoch.rules.last_height

    def _open_epoch(self, *, is_voting: bool) -> EpochRun:
        """Set up the machine of the epoch of the block to come."""
        chain = self.service.chain
        rules = chain.rules_now()
        number = rules.epoch
        self.voter = None if self.voters is None else self.voters.find(rules.table)
        key = self.voter.consensus if is_voting and self.voter is not None else None
        if is_voting and self.voters is not None:
            _log.info("event=epoch_began epoch=%d votes=%s", number, self.voter is not None)
        if self.journal.is_large:
            self.journal.rewrite()
        if is_voting and self._may_have_begun(rules):
            self.journal.raise_floor(Floor(number, View(1)))
        if self._silence is not None:
            own = None if self.voter is None else self.voter.consensus.public
            self._silence.open_epoch(rules.table, number, own)
        settings = self.settings
        machine = machine_of(
            rules, chain, self.journal.records, settings.genesis, settings.timing, key
        )
        return EpochRun(machine, rules)

    def _may_have_begun(self, rules: EpochRules) -> bool:
        """Return whether our key may have spoken in an epoch's first view before we lost track.

        Then the last block of the epoch before was final, and no other block can have been
        notarized in that epoch since.
        """
        lost, final = self._lost_up_to, self.service.chain.final_header_at
        if lost is None or lost.view == 0 or lost.epoch + 1 != rules.epoch:
            return False
        before = final(Height(rules.first_height - 2))
        return before.epoch != lost.epoch or before.view <= lost.view

    # Actions

    async def _carry_out(
        self, epoch: EpochRun, nursery: trio.Nursery, actions: list[Action]
    ) -> None:
        # The machine has decided all of it: to write it down at once is never too early, and one
        # wait for the disk does for a proposal, its vote and what the vote completes.
        records = [action.record for action in actions if isinstance(action, Persist)]
        if records:
            await self._persist(records)
        for action in actions:
            await self._perform(epoch, nursery, action)

    async def _persist(self, records: list[Record]) -> None:
        """Put records into the journal together, before anybody hears of them."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self.journal.append, records)

    async def _perform(self, epoch: EpochRun, nursery: trio.Nursery, action: Action) -> None:
        match action:
            case Broadcast(message):
                self._broadcast(message)
            case Send(recipient, message):
                self.network.send(recipient, encode_message(message))
            case SetTimer(view, delay):
                epoch.alarm.cancel()
                epoch.alarm = trio.CancelScope()
                nursery.start_soon(self._fire, epoch, epoch.alarm, view, delay)
            case RequestProposal():
                epoch.proposing.cancel()
                epoch.proposing = trio.CancelScope()
                nursery.start_soon(self._propose, epoch, epoch.proposing, action)
            case RequestVerification():
                nursery.start_soon(self._verify, epoch, action)
            case Fetch(block):
                if block not in epoch.fetching:
                    epoch.fetching[block] = trio.CancelScope()
                    nursery.start_soon(self._fetch, epoch, block, epoch.fetching[block])
            case Deliver(certificate):
                await epoch.delivered_send.send(certificate)
                self._end_needless(epoch)
            case Report(evidence):
                _log.warning("event=equivocation evidence=%r", evidence)
                self._on_evidence(evidence)
            case Persist():
                pass  # written already

    def _end_needless(self, epoch: EpochRun) -> None:
        """Give up blocks that no open view names: they lost to the one that has become final."""
        views = epoch.machine.views
        named = {views.final_block, *views.blocks()}
        for block, scope in epoch.fetching.items():
            if block not in named:
                scope.cancel()
        for view, scope in epoch.verifying.items():
            if view <= views.final_view:
                scope.cancel()

    def _broadcast(self, message: Message) -> None:
        if isinstance(message, Proposal):
            imported = self.service.chain.find_imported(message.block)
            if imported is not None:
                self.network.publish(imported)
        self.network.broadcast(encode_message(message))

    async def _fire(
        self, epoch: EpochRun, alarm: trio.CancelScope, view: View, delay: Millis
    ) -> None:
        with alarm:
            await trio.sleep(delay / MILLIS)
            epoch.inbox.put(TimerFired(view))

    async def _propose(
        self, epoch: EpochRun, scope: trio.CancelScope, request: RequestProposal
    ) -> None:
        """Build the block of our view, unless a later view asks for another one first."""
        assert self.voter is not None, "only a validator is asked for proposals"
        with scope:
            block = await self._desk.build(epoch.rules, self.voter, request)
            if block is not None:
                epoch.inbox.put(Proposed(request.view, block))

    async def _verify(self, epoch: EpochRun, request: RequestVerification) -> None:
        proposal = request.proposal
        with trio.CancelScope() as scope:
            epoch.verifying[proposal.view] = scope
            is_valid = await self._desk.judge(epoch.rules, request)
            epoch.inbox.put(Verified(proposal.view, proposal.block, is_valid))
        epoch.verifying.pop(proposal.view, None)

    async def _fetch(self, epoch: EpochRun, block_hash: Digest, scope: trio.CancelScope) -> None:
        with scope:
            height = await self._desk.find(block_hash)
            if height is not None:
                epoch.inbox.put(Fetched(block_hash, height))
        del epoch.fetching[block_hash]

    async def _finalize_delivered(self, epoch: EpochRun) -> None:
        async for certificate in epoch.delivered:
            assert certificate.block is not None, "only blocks are delivered"
            await self.service.finalize(certificate.block, CERTIFICATE.encode(certificate))
        epoch.is_final.set()


def _is_question(message: Message, view: View) -> bool:
    """Return whether a message asks for something, openly or by being late."""
    if isinstance(message, Request):
        return True
    return not isinstance(message, Certificate) and message.view + 1 < view
