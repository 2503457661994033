"""One simulated validator: the driver's side of the door, with a disk that survives crashes.

The journal is real bytes, cut anywhere behind the last fsync by a crash. Blocks reach the disk
when the contract says so: before ``Proposed``, ``Verified(valid)`` and ``Fetched``.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consensus.journal import compact, encode_frame, replay
from consensus.simplex.catch_up import answer_to_ended_epoch
from consensus.simplex.config import Config, Timing
from consensus.simplex.events import (
    Action,
    Broadcast,
    Deliver,
    Fetch,
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
from consensus.simplex.machine import Simplex
from consensus.simplex.messages import Certificate, Message, Proposal
from consensus.simplex.verification import InvalidMessage, verify_message
from primitives.types import Digest, Epoch, Height, Millis
from tests.simulation.world import GENESIS, Block, account_of, execute, key_of, randomness_of

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulator

TIMING = Timing(leader=Millis(250), advance=Millis(400), retry=Millis(150), delay_max=Millis(1200))
ASK_AGAIN = 60


@dataclass(frozen=True, slots=True)
class Envelope:
    """What travels: a consensus message, a block, or a plea for a block."""

    message: Message | None = None
    block: Block | None = None
    ask: Digest | None = None


def peer_of(index: int) -> Peer:
    """Return the driver's name of a simulated validator."""
    return Peer(index.to_bytes(2, "big"))


class Node:
    """An honest validator."""

    machine_class: type[Simplex] = Simplex

    def __init__(self, world: "Simulator", index: int) -> None:
        self.world = world
        self.index = index
        self.is_up = False
        self.life = 0
        # The disk
        self.journal = bytearray()
        self.synced = 0
        self.blocks: dict[Digest, Block] = {GENESIS.digest: GENESIS}
        self.finals: list[Digest] = [GENESIS.digest]
        self.finalizations: dict[int, Certificate] = {}
        # Memory
        self.machine: Simplex = None  # type: ignore[assignment] # made by start()
        self.loose: dict[Digest, Block] = {}
        self.wanted: dict[Digest, None] = {}
        self.to_verify: dict[int, RequestVerification] = {}
        self.asking: dict[Digest, None] = {}

    @property
    def epoch(self) -> Epoch:
        return Epoch((len(self.finals) - 1) // self.world.chain.epoch_length)

    @property
    def final_height(self) -> int:
        return len(self.finals) - 1

    # Life

    def start(self) -> None:
        self.is_up = True
        self.life += 1
        self.loose, self.wanted, self.to_verify, self.asking = {}, {}, {}, {}
        read = replay(bytes(self.journal))
        del self.journal[read.length :]
        records = read.records
        if self.world.rng.random() < self.world.faults.compaction:
            records = compact(records)
            self.journal = bytearray(b"".join(encode_frame(record) for record in records))
        self.synced = len(self.journal)
        newest = self.finalizations.get(self.epoch)
        self.begin_epoch(records if newest is None else (newest, *records))

    def begin_epoch(self, records: tuple[object, ...] = ()) -> None:
        chain, epoch = self.world.chain, self.epoch
        root_height = epoch * chain.epoch_length
        root = self.finals[root_height]
        config = Config(
            genesis=chain.genesis,
            epoch=epoch,
            table=chain.table(epoch),
            randomness=randomness_of(root),
            root=root,
            root_height=Height(root_height),
            last_height=chain.last_height(epoch),
            key=key_of(self.index),
            timing=TIMING,
        )
        self.to_verify = {}
        self.machine = self.machine_class(config, records)  # type: ignore[arg-type] # Records
        self.perform(self.machine.start())

    def crash(self, during: Action | None = None) -> None:
        """Lose memory, and whatever of the journal's tail was not yet forced to the disk."""
        if isinstance(during, Persist):
            self.journal += encode_frame(during.record)
        keep = self.world.rng.randint(self.synced, len(self.journal))
        del self.journal[keep:]
        self.is_up = False
        self.life += 1
        self.world.note(self.index, "crash")

    # Events

    def feed(self, event: Input) -> None:
        self.perform(self.machine.step(event))
        self.world.checkers.after_step(self)

    def later(self, delay: int, what: Callable[[], None]) -> None:
        """Do something unless this life ends before."""
        life = self.life

        def unless_dead() -> None:
            if self.life == life:
                what()

        self.world.at(delay, self.index, unless_dead)

    def on_envelope(self, sender: int, envelope: Envelope) -> None:
        if envelope.ask is not None:
            held = self.find_block(envelope.ask)
            if held is not None:
                self.world.send(self.index, sender, Envelope(block=held))
        if envelope.block is not None:
            self.on_block(envelope.block)
        if envelope.message is not None:
            self.on_message(sender, envelope.message)

    def on_message(self, sender: int, message: Message) -> None:
        chain = self.world.chain
        if message.epoch < self.epoch:
            final = self.finalizations[message.epoch]
            answer = answer_to_ended_epoch(message, final)
            if answer is not None:
                self.world.send(self.index, sender, Envelope(answer))
            return
        if message.epoch > self.epoch or not self.machine.is_wanted(message):
            return
        if not self.world.is_valid(chain.table(message.epoch), message):
            return
        self.feed(Received(peer_of(sender), message))

    # Actions

    def perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if self.world.is_crash_due(self.index):
                self.crash(action)
                return
            self.do(action)
            if not self.is_up:
                return
            self.world.checkers.after_action(self, action)
        if self.machine.is_ended:
            self.begin_epoch()

    def do(self, action: Action) -> None:
        match action:
            case Persist(record):
                self.journal += encode_frame(record)
                if not isinstance(record, Certificate):
                    self.synced = len(self.journal)
            case Broadcast(message):
                self.broadcast(message)
            case Send(recipient, message):
                self.world.send(self.index, int.from_bytes(recipient, "big"), Envelope(message))
            case SetTimer(view, delay):
                self.set_timer(view, delay)
            case RequestProposal():
                self.later(self.world.build_delay(), lambda: self.propose(action, self.machine))
            case RequestVerification(proposal, _):
                self.to_verify[proposal.view] = action
                if self.find_block(proposal.block) is None:
                    self.ask(proposal.block)
                else:
                    self.verify_soon(action)
            case Fetch(block):
                self.want(block)
            case Deliver(certificate):
                self.deliver(certificate)
            case Report(evidence):
                self.world.checkers.on_report(evidence)

    def broadcast(self, message: Message) -> None:
        body = self.find_block(message.block) if isinstance(message, Proposal) else None
        for other in range(self.world.chain.size):
            if other != self.index:
                self.world.send(self.index, other, Envelope(message, body))

    def set_timer(self, view: int, delay: int) -> None:
        machine = self.machine
        stamp = self.world.sequence
        self.timer_stamp = stamp

        def fire() -> None:
            if self.machine is machine and self.timer_stamp == stamp:
                self.feed(TimerFired(view))  # type: ignore[arg-type] # View

        self.later(delay, fire)

    # The application

    def propose(self, request: RequestProposal, machine: Simplex) -> None:
        if self.machine is not machine:
            return
        block = self.build(request)
        self.blocks[block.digest] = block
        self.world.checkers.on_block(block)
        self.feed(Proposed(request.view, block.digest))

    def build(self, request: RequestProposal, salt: bytes = b"") -> Block:
        parent = self.blocks[request.parent]
        payload = salt + self.world.rng.randbytes(4)
        return Block(
            request.parent,
            request.height,
            self.machine.config.epoch,
            request.view,
            account_of(self.index),
            payload,
            execute(parent.state_root, payload),
        )

    def verify_soon(self, request: RequestVerification) -> None:
        machine = self.machine
        self.to_verify.pop(request.proposal.view, None)

        def judge() -> None:
            if self.machine is not machine:
                return
            proposal = request.proposal
            is_valid = self.is_valid_block(request)
            if is_valid:
                self.blocks[proposal.block] = self.found(proposal.block)
            self.feed(Verified(proposal.view, proposal.block, is_valid))

        self.later(self.world.rng.randint(1, 5), judge)

    def is_valid_block(self, request: RequestVerification) -> bool:
        proposal = request.proposal
        block, parent = self.found(proposal.block), self.blocks[proposal.parent]
        leader = self.machine.config.table[proposal.signer].account
        return (
            (block.parent, block.epoch, block.view, block.author)
            == (proposal.parent, proposal.epoch, proposal.view, leader)
            and block.height == request.height == parent.height + 1
            and block.state_root == execute(parent.state_root, block.payload)
        )

    def find_block(self, digest: Digest) -> Block | None:
        return self.blocks.get(digest) or self.loose.get(digest)

    def found(self, digest: Digest) -> Block:
        block = self.find_block(digest)
        assert block is not None
        return block

    def on_block(self, block: Block) -> None:
        if self.find_block(block.digest) is None:
            self.loose[block.digest] = block
        for request in list(self.to_verify.values()):
            if request.proposal.block == block.digest:
                self.verify_soon(request)
        self.settle()

    def want(self, digest: Digest) -> None:
        self.wanted[digest] = None
        self.settle()

    def settle(self) -> None:
        """Report wanted blocks whose ancestors are all here; ask for the first missing one."""
        for digest in list(self.wanted):
            missing = self.first_missing(digest)
            if missing is not None:
                self.ask(missing)
                continue
            del self.wanted[digest]
            for held in self.lineage(digest):
                self.blocks[held] = self.found(held)
            self.tell_fetched(Fetched(digest, self.found(digest).height), self.machine)

    def tell_fetched(self, event: Fetched, machine: Simplex) -> None:
        def tell() -> None:
            if self.machine is machine:
                self.feed(event)

        self.later(1, tell)

    def first_missing(self, digest: Digest) -> Digest | None:
        while digest not in self.finals[-12:] and digest != GENESIS.digest:
            block = self.find_block(digest)
            if block is None:
                return digest
            if block.height <= 0 or digest in self.finals:
                return None
            digest = block.parent
        return None

    def lineage(self, digest: Digest) -> list[Digest]:
        """Return the block and its ancestors above the last final one, newest first."""
        line = []
        while self.found(digest).height > self.final_height:
            line.append(digest)
            digest = self.found(digest).parent
        return line

    def ask(self, digest: Digest) -> None:
        """Ask one peer for a block, and another one later, until it is here or not needed."""
        if digest in self.asking:
            return
        self.asking[digest] = None
        others = [other for other in range(self.world.chain.size) if other != self.index]
        if not others:
            return
        self.world.send(self.index, self.world.rng.choice(others), Envelope(ask=digest))

        def again() -> None:
            self.asking.pop(digest, None)
            needed = [request.proposal.block for request in self.to_verify.values()]
            needed += [self.first_missing(wanted) or wanted for wanted in self.wanted]
            if digest in needed and self.find_block(digest) is None:
                self.ask(digest)

        self.later(ASK_AGAIN, again)

    def deliver(self, certificate: Certificate) -> None:
        assert certificate.block is not None
        line = self.lineage(certificate.block)
        for digest in reversed(line):
            block = self.blocks[digest]
            self.world.checkers.on_final(self, block)
            self.finals.append(digest)
        self.finalizations[certificate.epoch] = certificate
        self.world.note(self.index, f"final {self.final_height}")


def is_acceptable(table: object, genesis: Digest, message: Message) -> bool:
    """Return whether ``verify_message`` accepts, as a driver asks it."""
    try:
        verify_message(table, genesis, message)  # type: ignore[arg-type] # PowerTable
    except InvalidMessage:
        return False
    return True
