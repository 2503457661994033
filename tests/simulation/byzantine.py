"""One stand-in per lie. A liar runs an honest machine and says something else.

A liar has its own key and no other; it sees the whole network's messages to it, knows all
parameters, and is never crashed or checked.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from consensus.simplex.events import (
    Action,
    Broadcast,
    Report,
    RequestProposal,
    SetTimer,
)
from consensus.simplex.machine import Simplex
from consensus.simplex.messages import (
    Certificate,
    Finalize,
    Kind,
    Message,
    Notarize,
    Nullify,
    Proposal,
    Request,
    Signed,
    Vote,
    bitmap,
    message_bytes,
)
from primitives.types import Digest, Height, Signature, View
from tests.simulation.node import Envelope, Node
from tests.simulation.world import Block, key_of

if TYPE_CHECKING:
    from tests.simulation.simulator import Simulator

V = TypeVar("V", bound=Proposal | Notarize | Nullify | Finalize)
NOTHING = Signature(bytes(64))


class Liar(Node):
    """What all liars share: no crash, no checks, and a pen."""

    def __init__(self, world: "Simulator", index: int) -> None:
        super().__init__(world, index)
        self.heard: list[Message] = []

    def perform(self, actions: object) -> None:
        for action in actions:  # type: ignore[attr-defined] # a list of actions
            self.do(action)
        if self.machine.is_ended:
            self.begin_epoch()

    def feed(self, event: object) -> None:
        self.perform(self.machine.step(event))  # type: ignore[arg-type] # an Input

    def do(self, action: Action) -> None:
        if isinstance(action, Report):
            return
        super().do(action)

    def sign(self, message: V) -> V:
        text = message_bytes(self.world.chain.genesis, message)
        return replace(message, signature=key_of(self.index).sign(text))

    def tell(self, message: Message, others: list[int], block: Block | None = None) -> None:
        for other in others:
            if other != self.index:
                self.world.send(self.index, other, Envelope(message, block))

    def is_honest(self, sender: int) -> bool:
        """Return whether to react to ``sender``: liars that answer liars would never stop."""
        return sender not in self.world.chain.liars

    def everybody(self) -> list[int]:
        return list(range(self.world.chain.size))

    def halves(self) -> tuple[list[int], list[int]]:
        """Return two halves of the others, the same in every call."""
        return [i for i in self.everybody() if i % 2], [i for i in self.everybody() if not i % 2]

    def offer(self, request: RequestProposal, block: Block, others: list[int]) -> Proposal | None:
        """Sign a proposal of ``block`` as the leader would, and send it with its body."""
        building = self.machine.building
        position = self.machine.position
        if building is None or position is None:
            return None
        parent_view, parent = building
        epoch = self.machine.config.epoch
        self.world.checkers.on_block(block)
        self.blocks[block.digest] = block
        proposal = self.sign(
            Proposal(epoch, request.view, parent_view, parent, block.digest, position, NOTHING)
        )
        self.tell(proposal, others, block)
        return proposal


class EquivocatingLeader(Liar):
    """As leader shows one half one block and the other half another, then each both."""

    def propose(self, request: RequestProposal, machine: Simplex) -> None:
        if self.machine is not machine:
            return
        for half, salt in zip(self.halves(), (b"a", b"b"), strict=True):
            proposal = self.offer(request, self.build(request, salt), half)
            if proposal is not None:
                self.tell(self.sign(notarize_of(proposal)), half)
                self.tell(self.sign(finalize_of(proposal)), half)
                self.later(15, lambda late=proposal: self.show_all(late))  # type: ignore[misc] # bound

    def show_all(self, proposal: Proposal) -> None:
        self.tell(proposal, self.everybody(), self.blocks[proposal.block])
        self.tell(self.sign(notarize_of(proposal)), self.everybody())


class DoubleVoter(Liar):
    """Notarizes what it should, and something else as well."""

    def do(self, action: Action) -> None:
        super().do(action)
        if isinstance(action, Broadcast) and isinstance(action.message, Notarize | Finalize):
            other = Digest(self.world.rng.randbytes(32))
            self.tell(self.sign(replace(action.message, block=other)), self.everybody())


class NullifyAndFinalize(Liar):
    """Says both words that exclude each other, whenever it says one."""

    last_block = Digest(bytes(32))

    def on_message(self, sender: int, message: Message) -> None:
        if isinstance(message, Proposal):
            self.last_block = message.block
        super().on_message(sender, message)

    def do(self, action: Action) -> None:
        super().do(action)
        if not isinstance(action, Broadcast):
            return
        said = action.message
        if isinstance(said, Nullify):
            word = Finalize(said.epoch, said.view, self.last_block, said.signer, NOTHING)
            self.tell(self.sign(word), self.everybody())
        if isinstance(said, Finalize):
            self.tell(
                self.sign(Nullify(said.epoch, said.view, said.signer, NOTHING)), self.everybody()
            )


class ForkAround(Liar):
    """As leader builds on an older block, around the newest one."""

    def propose(self, request: RequestProposal, machine: Simplex) -> None:
        building, position = self.machine.building, self.machine.position
        if self.machine is not machine or building is None or position is None:
            return
        newest = self.blocks[building[1]]
        older = self.blocks.get(newest.parent, newest)
        around = RequestProposal(request.view, older.digest, Height(older.height + 1))
        block = self.build(around)
        self.world.checkers.on_block(block)
        self.blocks[block.digest] = block
        view = older.view if older.epoch == machine.config.epoch else View(0)
        for parent_view in (view, building[0]):
            proposal = Proposal(
                machine.config.epoch,
                request.view,
                View(parent_view),
                older.digest,
                block.digest,
                position,
                NOTHING,
            )
            self.tell(self.sign(proposal), self.everybody(), block)
            self.tell(self.sign(notarize_of(proposal)), self.everybody())


class Withholder(Liar):
    """Tells only some what it says, and nobody what its block holds."""

    def broadcast(self, message: Message) -> None:
        for other in self.everybody():
            if other != self.index and self.world.rng.random() < 0.4:
                self.world.send(self.index, other, Envelope(message))

    def on_envelope(self, sender: int, envelope: Envelope) -> None:
        if envelope.ask is None:
            super().on_envelope(sender, envelope)


class Silent(Liar):
    """Says nothing at all."""

    def broadcast(self, message: Message) -> None:
        pass

    def on_envelope(self, sender: int, envelope: Envelope) -> None:
        if envelope.ask is None:
            super().on_envelope(sender, envelope)


class StaleReplayer(Liar):
    """Says again, at any time and to anybody, what anybody said before."""

    def on_message(self, sender: int, message: Message) -> None:
        rng = self.world.rng
        self.heard.append(message)
        if self.is_honest(sender) and rng.random() < 0.4:
            self.tell(rng.choice(self.heard), [rng.choice(self.everybody())])
        super().on_message(sender, message)


class Impersonator(Liar):
    """Signs with its own key in the names of others, and leads views that are not its own."""

    def on_message(self, sender: int, message: Message) -> None:
        rng = self.world.rng
        is_tempted = self.is_honest(sender) and rng.random() < 0.4
        if is_tempted and isinstance(message, Proposal | Notarize | Nullify | Finalize):
            table = self.world.chain.table(message.epoch)
            name = rng.randrange(len(table) + 1)
            forged: Signed = replace(message, signer=name)
            if isinstance(forged, Proposal | Notarize):
                forged = replace(forged, block=Digest(rng.randbytes(32)))
            self.tell(self.sign(forged), self.everybody())
            own = self.machine.position
            if own is not None and isinstance(message, Proposal):
                self.tell(
                    self.sign(replace(message, view=View(message.view + 1), signer=own)),
                    self.everybody(),
                )
        super().on_message(sender, message)


class GarbageCertifier(Liar):
    """Makes certificates without a quorum, with wrong bitmaps, and of other views."""

    def on_message(self, sender: int, message: Message) -> None:
        table = self.world.chain.table(message.epoch)
        if isinstance(message, Certificate) and self.world.is_valid(table, message):
            self.tell(self.spoil(message), self.everybody())
        super().on_message(sender, message)

    def spoil(self, real: Certificate) -> Certificate:
        rng = self.world.rng
        positions = list(real.positions())
        size = len(self.world.chain.table(real.epoch))
        spoilt = [
            replace(real, view=View(real.view + rng.randint(1, 40))),
            replace(real, signatures=real.signatures[:-1]),
            replace(real, signers=real.signers + b"\0"),
            replace(real, signers=bitmap(positions[:-1], size), signatures=real.signatures[:-1]),
            replace(real, signers=b"\xff" * len(real.signers)),
            replace(real, signatures=tuple(reversed(real.signatures))),
            replace(real, signatures=(real.signatures[0],) * len(real.signatures)),
        ]
        if real.block is None:
            block = Digest(rng.randbytes(32))
            spoilt.append(replace(real, kind=Kind.FINALIZE, block=block))
        else:
            spoilt.append(replace(real, kind=Kind.NULLIFY, block=None))
            spoilt.append(replace(real, kind=Kind.FINALIZE))
        return rng.choice([one for one in spoilt if one != real])


class BadBlockMaker(Liar):
    """As leader proposes blocks that do not execute to what they claim."""

    def build(self, request: RequestProposal, salt: bytes = b"") -> Block:
        honest = super().build(request, salt)
        rng = self.world.rng
        return rng.choice(
            [
                replace(honest, state_root=Digest(rng.randbytes(32))),
                replace(honest, height=Height(honest.height + 1)),
                replace(honest, view=View(honest.view + 1)),
                replace(honest, parent=Digest(rng.randbytes(32))),
            ]
        )


class TwoFaced(Liar):
    """Agrees with everybody: votes each half to the end of whatever that half was shown."""

    def on_message(self, sender: int, message: Message) -> None:
        position = self.machine.position
        if isinstance(message, Proposal) and position is not None:
            for half in self.halves():
                if sender in half or sender in self.world.chain.liars:
                    seen = replace(message, signer=position)
                    self.tell(self.sign(notarize_of(seen)), half)
                    self.tell(self.sign(finalize_of(seen)), half)
        super().on_message(sender, message)

    def propose(self, request: RequestProposal, machine: Simplex) -> None:
        if self.machine is not machine:
            return
        liars = sorted(self.world.chain.liars)
        for half, salt in zip(self.halves(), (b"a", b"b"), strict=True):
            block = self.build(request, salt)
            proposal = self.offer(request, block, half)
            if proposal is None:
                return
            for liar in liars:
                accomplice = self.world.nodes[liar]
                assert isinstance(accomplice, Liar)
                place = accomplice.machine.position
                if place is None:
                    continue
                seen = replace(proposal, signer=place)
                accomplice.tell(accomplice.sign(notarize_of(seen)), half)
                accomplice.tell(accomplice.sign(finalize_of(seen)), half)

    def do(self, action: Action) -> None:
        if isinstance(action, Broadcast) and isinstance(action.message, Nullify | Finalize):
            return
        super().do(action)


class Usurper(Liar):
    """Proposes a good block in every view, whoever leads it, and votes for it."""

    def do(self, action: Action) -> None:
        super().do(action)
        machine = self.machine
        if not isinstance(action, SetTimer) or machine.position is None:
            return
        found = machine.views.find_parent(action.view)
        if found is None or found[1] not in self.blocks:
            return
        parent_view, parent = found
        height = Height(self.blocks[parent].height + 1)
        block = self.build(RequestProposal(action.view, parent, height))
        self.world.checkers.on_block(block)
        self.blocks[block.digest] = block
        epoch, position = machine.config.epoch, machine.position
        proposal = self.sign(
            Proposal(epoch, action.view, parent_view, parent, block.digest, position, NOTHING)
        )
        self.tell(proposal, self.everybody(), block)
        self.tell(self.sign(notarize_of(proposal)), self.everybody())


class Amnesiac(Liar):
    """Loses its journal again and again, and starts as if nothing had been said."""

    def do(self, action: Action) -> None:
        super().do(action)
        if isinstance(action, Broadcast) and self.world.rng.random() < 0.05:
            self.journal.clear()
            self.synced = 0
            self.later(1, self.forget_everything)

    def forget_everything(self) -> None:
        self.crash()
        self.start()


class Flooder(Liar):
    """Votes in views that nobody has reached, and asks for everything all the time."""

    def do(self, action: Action) -> None:
        super().do(action)
        position = self.machine.position
        if not isinstance(action, Broadcast) or position is None:
            return
        rng, machine = self.world.rng, self.machine
        epoch, view = machine.config.epoch, View(machine.view + rng.randint(0, 100))
        flood: list[Vote] = [
            Nullify(epoch, view, position, NOTHING),
            Notarize(epoch, view, Digest(rng.randbytes(32)), position, NOTHING),
            Finalize(epoch, view, Digest(rng.randbytes(32)), position, NOTHING),
        ]
        for vote in flood:
            self.tell(self.sign(vote), self.everybody())
        self.tell(Request(epoch, View(0), View(2**64 - 1)), self.everybody())


def notarize_of(proposal: Proposal) -> Notarize:
    """Return the unsigned notarize for a proposal by its signer."""
    return Notarize(proposal.epoch, proposal.view, proposal.block, proposal.signer, NOTHING)


def finalize_of(proposal: Proposal) -> Finalize:
    """Return the unsigned finalize for a proposal by its signer."""
    return Finalize(proposal.epoch, proposal.view, proposal.block, proposal.signer, NOTHING)


LIES: tuple[type[Liar], ...] = (
    EquivocatingLeader,
    DoubleVoter,
    NullifyAndFinalize,
    ForkAround,
    Withholder,
    Silent,
    StaleReplayer,
    Impersonator,
    GarbageCertifier,
    BadBlockMaker,
    TwoFaced,
    Usurper,
    Amnesiac,
    Flooder,
)
