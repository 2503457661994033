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
from typing import Protocol

import trio

from chain.blockchain import Imported
from chain.builder import Assignment
from chain.header_checks import EpochRules
from chain.store_reader import HistoryPruned
from consensus.simplex.catch_up import answer_to_ended_epoch
from consensus.simplex.config import Config, Limits, Timing
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
from consensus.simplex.machine import Simplex
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
from node.chain_service import NOT_TAKEN, ChainService
from node.inbox import Inbox
from node.journal_file import JournalFile
from node.own_voice import OwnVoice
from node.silence import Reason, RollCall, Silence
from node.voters import Voter, Voters
from primitives.beacon import vrf_input
from primitives.block import Block
from primitives.errors import ConfigError, InvalidBlock
from primitives.power_table import PowerTable
from primitives.types import Digest, Epoch, Height, Millis, PublicKey, View
from primitives.vrf import prove, verify

HEARD_MAX = 2048
"""Messages that are kept from the listening for the machine that votes."""
FETCHED_AHEAD_MAX = 64
"""Missing ancestors of one block that are fetched one by one; more is a matter for sync."""
DELIVERED_MAX = 256
"""Finalizations that wait to be written; the machine waits when there are more."""
PROPOSAL_WAIT = Millis(30_000)
"""How long a proposed block is asked for; longer than any view that could still use it."""
ANSWER_PAUSE = Millis(500)
"""Between two answers to one peer that is in an earlier epoch: each costs it a few bytes to ask."""
ANSWERED_MAX = 4096
LOOK_SECONDS = 0.1
"""How often a silent node looks whether it may speak."""
ASK_SECONDS = 1.0
TELL_SECONDS = 30.0
"""How often the log repeats why a node does not vote."""
MILLIS = 1000

FROM_THE_FIRST = Request(Epoch(0), View(1), View(Limits().request_views))
"""Asks for what a chain's first views have come to."""

_log = logging.getLogger(__name__)


class Network(Protocol):
    """What the driver needs of the network; nothing here waits but ``fetch``."""

    def broadcast(self, message: bytes) -> None:
        """Send to every validator and follower."""

    def send(self, peer: Peer, message: bytes) -> None:
        """Send to one peer, if it is still there."""

    def publish(self, block: Imported) -> None:
        """Offer a block of our own to everybody, ahead of its proposal."""

    async def fetch(self, block: Digest) -> Block:
        """Get a block from anybody, however long that takes."""


class NoNetwork:
    """The network of a node that makes its chain alone."""

    def broadcast(self, message: bytes) -> None:
        """Do nothing: nobody listens."""

    def send(self, peer: Peer, message: bytes) -> None:
        """Do nothing: nobody listens."""

    def publish(self, block: Imported) -> None:
        """Do nothing: nobody listens."""

    async def fetch(self, block: Digest) -> Block:
        """Wait for ever: nobody answers."""
        await trio.sleep_forever()
        raise AssertionError(block)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the driver is told about its chain and its machine."""

    genesis: Digest
    timing: Timing
    clock_drift_max: Millis
    wall_clock: Callable[[], Millis]
    listening: Millis
    """How long a validator that starts listens at least: its key may vote on another machine."""


class VotesElsewhere(ConfigError):
    """Our consensus key votes on another machine: to vote here too would be slashed."""


class _Epoch:
    """The machine of one epoch, and what belongs to it alone."""

    def __init__(self, machine: Simplex, rules: EpochRules) -> None:
        self.machine = machine
        self.rules = rules
        self.inbox = Inbox()
        self.delivered_send, self.delivered = trio.open_memory_channel[Certificate](DELIVERED_MAX)
        self.is_final = trio.Event()
        """Set when every delivered block is final on disk and no more will come."""
        self.alarm = trio.CancelScope()
        self.proposing = trio.CancelScope()
        self.fetching: dict[Digest, trio.CancelScope] = {}
        self.verifying: dict[View, trio.CancelScope] = {}


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
        self._reason = Reason.LISTENING
        """Why it was silent when it last looked."""
        self._lost_up_to: Floor | None = None
        """Where our key may have spoken before the journal was lost."""
        self._voting_elsewhere: PublicKey | None = None
        self._heard: deque[Received] = deque(maxlen=HEARD_MAX)
        """What came while listening, for the machine that votes afterwards."""
        keys = () if voters is None else voters.consensus_keys()
        self._own_voices = {key: OwnVoice(settings.genesis, key, journal.records) for key in keys}
        self._epoch: _Epoch | None = None
        self._answered: dict[Peer, float] = {}
        """Until when each peer's words from earlier epochs are not answered again."""

    # For the network

    def receive(self, peer: Peer, data: bytes) -> bool:
        """Take a message from a peer; return whether it told us anything.

        A message that did not is no fault, but whoever sends many has to be slowed down.
        Raises: DecodeError, InvalidMessage; both are the peer's fault.
        """
        message = decode_message(data)
        epoch = self._epoch
        if epoch is None or self._answer_old(peer, message, epoch):
            return False
        if self._silence is not None:
            self._look_for_double(message)
        if not epoch.machine.is_wanted(message):
            return False
        verify_message(epoch.rules.table, self.settings.genesis, message)
        if self._silence is not None:
            self._note_while_silent(epoch, self._silence, peer, message)
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
            return self._reason
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
        chain = self.service.chain
        table, voter = chain.rules_now().table, voters.find(chain.rules_now().table)
        place = None if voter is None else table.find_position(voter.consensus.public)
        is_quorum = place is not None and table.is_quorum(table[place].weight)
        silence = Silence(
            listening=self.settings.listening,
            # Whoever is a quorum by itself has nobody to ask, and nobody moves without it.
            knows_its_words=is_quorum or not self.journal.is_blank,
            is_behind=self.is_behind,
            final_height=lambda: chain.final.height,
        )
        self._silence = silence
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wait_to_speak, silence, nursery.cancel_scope)
            await self._run_epochs(is_voting=False)
        if self._voting_elsewhere is not None:
            raise VotesElsewhere(
                f"the consensus key {self._voting_elsewhere.hex()} votes on another "
                "machine: stop that one, and bring its journal here, before you start this one"
            )
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

    async def _wait_to_speak(self, silence: Silence, following: trio.CancelScope) -> None:
        """End the following when nothing speaks against voting; say why as long as it does."""
        told_at = asked_at = float("-inf")
        while self._voting_elsewhere is None:
            now = trio.current_time()
            reason = silence.reason(now)
            if reason is None:
                break
            if reason is not self._reason or now >= told_at + TELL_SECONDS:
                self._reason, told_at = reason, now
                table = self.table
                _log.info(
                    "height=%d event=not_voting reason=%s heard_weight=%d of=%d",
                    self.service.chain.final.height,
                    reason,
                    silence.heard(),
                    table.total if table else 0,
                )
            if silence.is_beginning and now >= asked_at + ASK_SECONDS:
                asked_at = now
                # It also tells others who are silent that nothing is final here.
                self.network.broadcast(encode_message(FROM_THE_FIRST))
            await trio.sleep(LOOK_SECONDS)
        following.cancel()

    def _note_while_silent(
        self, epoch: _Epoch, silence: Silence, peer: Peer, message: Message
    ) -> None:
        """Keep a verified message for the machine that votes; learn from it where others are."""
        self._heard.append(Received(peer, message))
        silence.note(peer, message)
        if isinstance(message, Certificate) and self.voter is not None:
            key = self.voter.consensus.public
            place = epoch.rules.table.find_position(key)
            if (
                silence.knows_its_words
                and place is not None
                and self._own_voices[key].is_forgotten(message, place)
            ):
                _log.warning("view=%d event=journal_incomplete", message.view)
                silence.knows_its_words = False

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

    def _is_over(self, epoch: _Epoch) -> bool:
        """Return whether the epoch's last block is final, by its machine or by sync."""
        final = self.service.chain.final.height
        return epoch.machine.is_ended or final >= epoch.rules.last_height

    def _look_for_double(self, message: Message) -> None:
        """Note if our own key has said something that our journal does not know."""
        for key, voice in self._own_voices.items():
            if voice.is_from_elsewhere(message):
                self._voting_elsewhere = key

    def _open_epoch(self, *, is_voting: bool) -> _Epoch:
        """Set up the machine of the epoch of the block to come."""
        chain = self.service.chain
        rules = chain.rules_now()
        number = rules.epoch
        self.voter = None if self.voters is None else self.voters.find(rules.table)
        key = self.voter.consensus if is_voting and self.voter is not None else None
        if is_voting and self.voters is not None:
            _log.info("event=epoch_began epoch=%d votes=%s", number, self.voter is not None)
        root_height = Height(rules.first_height - 1)
        root = chain.final_header_at(root_height)
        config = Config(
            genesis=self.settings.genesis,
            epoch=number,
            table=rules.table,
            randomness=rules.randomness,
            root=root.hash,
            root_height=root_height,
            last_height=rules.last_height,
            key=key,
            timing=self.settings.timing,
        )
        if self.journal.is_large:
            self.journal.rewrite()
        if is_voting and self._may_have_begun(rules):
            self.journal.raise_floor(Floor(number, View(1)))
        if self._silence is not None:
            keys = None if self.voter is None else self.voter.consensus
            place = None if keys is None else rules.table.find_position(keys.public)
            self._silence.open_epoch(RollCall(rules.table, number, place))
        return _Epoch(Simplex(config, self._records(number)), rules)

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

    def _records(self, epoch: Epoch) -> tuple[Record, ...]:
        """Return what the machine of ``epoch`` starts from: the journal, and what is final."""
        chain = self.service.chain
        records = tuple(record for record in self.journal.records if record.epoch >= epoch)
        if chain.final.height == 0 or chain.final.epoch != epoch:
            return records
        encoded = chain.store.reads.certificate_at(chain.final.height)
        return (*records, CERTIFICATE.load(encoded)) if encoded else records

    def _answer_old(self, peer: Peer, message: Message, epoch: _Epoch) -> bool:
        """Help a peer that is still in an earlier epoch; return whether it is."""
        if message.epoch >= epoch.rules.epoch:
            return False
        now = trio.current_time()
        # Certificates are never answered, and whoever is stuck sends some before anything else.
        if isinstance(message, Certificate) or now < self._answered.get(peer, now):
            return True
        if len(self._answered) >= ANSWERED_MAX:
            self._answered.clear()
        self._answered[peer] = now + ANSWER_PAUSE / MILLIS
        boundary = Height((message.epoch + 1) * self.service.chain.config.session.epoch_length)
        try:
            encoded = self.service.chain.store.reads.certificate_at(boundary)
        except HistoryPruned:
            return True  # this node started behind that epoch
        if encoded:
            answer = answer_to_ended_epoch(message, CERTIFICATE.load(encoded))
            if answer is not None:
                self.network.send(peer, encode_message(answer))
        return True

    # Actions

    async def _carry_out(self, epoch: _Epoch, nursery: trio.Nursery, actions: list[Action]) -> None:
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

    async def _perform(self, epoch: _Epoch, nursery: trio.Nursery, action: Action) -> None:
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

    def _end_needless(self, epoch: _Epoch) -> None:
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
        self, epoch: _Epoch, alarm: trio.CancelScope, view: View, delay: Millis
    ) -> None:
        with alarm:
            await trio.sleep(delay / MILLIS)
            epoch.inbox.put(TimerFired(view))

    async def _propose(
        self, epoch: _Epoch, scope: trio.CancelScope, request: RequestProposal
    ) -> None:
        """Build the block of our view, unless a later view asks for another one first."""
        with scope:
            try:
                imported = await self._build(epoch, request)
            except NOT_TAKEN as error:
                _log.warning(
                    "view=%d event=not_proposed reason=%s detail=%r",
                    request.view,
                    error.reason,
                    str(error),
                )
                return
            await self.service.save_pending(imported.hash)
            epoch.inbox.put(Proposed(request.view, imported.hash))

    async def _build(self, epoch: _Epoch, request: RequestProposal) -> Imported:
        assert self.voter is not None, "only a validator is asked for proposals"
        service, rules = self.service, epoch.rules
        parent = service.chain.header(request.parent)
        earliest = Millis(parent.timestamp + service.chain.interval)
        await trio.sleep(max(0, earliest - self.settings.wall_clock()) / MILLIS)
        alpha = vrf_input(rules.randomness, rules.epoch, request.view)
        proof = prove(self.voter.vrf, alpha)
        return await service.build(
            Assignment(
                parent=request.parent,
                view=request.view,
                timestamp=max(earliest, self.settings.wall_clock()),
                author=self.voter.account,
                vrf_proof=proof,
                vrf_output=verify(self.voter.vrf.public, alpha, proof),
            )
        )

    async def _verify(self, epoch: _Epoch, request: RequestVerification) -> None:
        proposal = request.proposal
        with trio.CancelScope() as scope:
            epoch.verifying[proposal.view] = scope
            imported = await self._get_proposed(proposal)
            is_valid = imported is not None and self._is_as_proposed(epoch, request, imported)
            if is_valid:
                # Perhaps it was held already, but only in memory.
                await self.service.save_pending(proposal.block)
            epoch.inbox.put(Verified(proposal.view, proposal.block, is_valid))
        epoch.verifying.pop(proposal.view, None)

    async def _get_proposed(self, proposal: Proposal) -> Imported | None:
        """Return a proposed block, held, or None if it is invalid or cannot be had."""
        block: Block | None = None
        imported = self.service.chain.find_imported(proposal.block)
        if imported is None:
            # A liar may propose what it sends to nobody, view after view.
            with trio.move_on_after(PROPOSAL_WAIT / MILLIS):
                block = await self.network.fetch(proposal.block)
        # The parent is held, so a block on another one is a lie, and its ancestors need no asking.
        if block is not None and block.header.parent_hash == proposal.parent:
            imported = await self._take(block)
        return imported

    def _is_as_proposed(
        self, epoch: _Epoch, request: RequestVerification, imported: Imported
    ) -> bool:
        header, proposal = imported.header, request.proposal
        leader = epoch.rules.table[proposal.signer].account
        latest = self.settings.wall_clock() + self.settings.clock_drift_max
        return (
            header.parent_hash == proposal.parent
            and (header.epoch, header.view) == (proposal.epoch, proposal.view)
            and header.height == request.height
            and header.author == leader
            and header.timestamp <= latest
        )

    async def _fetch(self, epoch: _Epoch, block_hash: Digest, scope: trio.CancelScope) -> None:
        with scope:
            height = await self._get_and_save(block_hash)
            if height is not None:
                epoch.inbox.put(Fetched(block_hash, height))
        del epoch.fetching[block_hash]

    async def _get_and_save(self, block_hash: Digest) -> Height | None:
        imported = await self._get(block_hash)
        if imported is not None:
            await self.service.save_pending(block_hash)
            return imported.header.height
        chain = self.service.chain
        return chain.header(block_hash).height if chain.is_final(block_hash) else None

    async def _get(self, block_hash: Digest) -> Imported | None:
        """Return a block with its ancestors held, fetching what is missing; None if invalid.

        Also None if it is final already, and so no longer among the unfinalized ones.
        """
        chain = self.service.chain
        missing: list[Block] = []
        while not chain.has_block(block_hash):
            block = await self.network.fetch(block_hash)
            missing.append(block)
            if len(missing) > FETCHED_AHEAD_MAX:
                _log.warning("event=left_to_sync ancestors_missing=%d", FETCHED_AHEAD_MAX)
                return None
            block_hash = block.header.parent_hash
        imported = chain.find_imported(block_hash)
        for block in reversed(missing):
            imported = await self._take(block)
            if imported is None:
                return None
        return imported

    async def _take(self, block: Block) -> Imported | None:
        """Hold a block whose parent is held, in memory and on disk; return None if that fails."""
        try:
            imported = await self.service.take(block)
        except InvalidBlock as error:
            height = block.header.height
            _log.warning(
                "height=%d event=invalid_block reason=%s detail=%r",
                height,
                error.reason,
                str(error),
            )
            return None
        except NOT_TAKEN as error:
            _log.info(
                "height=%d event=block_not_taken reason=%s", block.header.height, error.reason
            )
            return None
        await self.service.save_pending(imported.hash)
        return imported

    async def _finalize_delivered(self, epoch: _Epoch) -> None:
        async for certificate in epoch.delivered:
            assert certificate.block is not None, "only blocks are delivered"
            await self.service.finalize(certificate.block, CERTIFICATE.encode(certificate))
        epoch.is_final.set()


def _is_question(message: Message, view: View) -> bool:
    """Return whether a message asks for something, openly or by being late."""
    if isinstance(message, Request):
        return True
    return not isinstance(message, Certificate) and message.view + 1 < view
