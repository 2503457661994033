"""What must hold after every action of an honest validator, whatever the liars do.

Each check raises ``Violation`` with a sentence. The checkers see everything: all blocks that
anybody built, all certificates that any honest validator took, everything that one ever signed.
"""

from typing import TYPE_CHECKING

from consensus.journal import replay
from consensus.simplex.events import Action, Broadcast, Deliver, Persist
from consensus.simplex.evidence import Evidence, find_offence, verify_evidence
from consensus.simplex.messages import (
    Certificate,
    Finalize,
    Kind,
    Notarize,
    Nullify,
    Proposal,
    Signed,
)
from primitives.types import Digest
from tests.simulation.world import GENESIS, Block, execute

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.simulator import Simulator


class Violation(AssertionError):
    """A property that consensus promises does not hold."""


class Checkers:
    """Everything that is remembered about one history in order to judge it."""

    def __init__(self, world: "Simulator") -> None:
        self.world = world
        self.blocks: dict[Digest, Block] = {GENESIS.digest: GENESIS}
        self.final_at: dict[int, Digest] = {0: GENESIS.digest}
        self.state_at: dict[int, Digest] = {0: GENESIS.state_root}
        self.finalized: dict[tuple[int, int], Digest] = {}
        self.notarized: dict[tuple[int, int], Digest] = {}
        self.nullified: dict[tuple[int, int], bool] = {}
        self.said: dict[tuple[int, int, int], list[Signed]] = {}
        self.reported: dict[tuple[int, int], bool] = {}
        self.actions = 0
        self.states: dict[tuple[int, int], Digest] = {}

    # What honest validators do

    def after_action(self, node: "Node", action: Action) -> None:
        """Judge one performed action."""
        self.actions += 1
        match action:
            case Persist(Certificate() as certificate):
                self.on_certificate(certificate)
            case Persist(record) if isinstance(record, Proposal | Notarize | Nullify | Finalize):
                self.on_word(node, record)
            case Broadcast(message) if isinstance(
                message, Proposal | Notarize | Nullify | Finalize
            ):
                self.on_word(node, message)
                self.require_journalled(node, message)
            case Deliver(certificate):
                self.on_certificate(certificate)
            case _:
                pass

    def require_journalled(self, node: "Node", message: Signed) -> None:
        """A word that leaves is on the disk: looked for in the bytes behind the last fsync."""
        kept = bytes(node.journal[: node.synced])
        if kept.find(message.signature) < 0:
            raise Violation(f"{node.index} says {message} before it is in the journal")

    def on_word(self, node: "Node", message: Signed) -> None:
        """No honest validator contradicts itself, in all its lives together."""
        words = self.said.setdefault((node.index, message.epoch, message.view), [])
        if message in words:
            return
        for earlier in words:
            if find_offence(earlier, message) is not None:
                raise Violation(f"{node.index} contradicts itself: {earlier} and {message}")
            if isinstance(message, Notarize) and isinstance(earlier, Nullify):
                raise Violation(f"{node.index} notarizes view {message.view} that it nullified")
        words.append(message)

    def on_certificate(self, certificate: Certificate) -> None:
        """No final view nullified or forked around; one block a notarized and a final view."""
        place = (certificate.epoch, certificate.view)
        if certificate.block is None:
            self.nullified[place] = True
            if place in self.finalized:
                raise Violation(f"final view {place} is nullified")
            return
        if certificate.kind is Kind.FINALIZE:
            if place in self.nullified:
                raise Violation(f"nullified view {place} is final")
            self.one_block(self.finalized, place, certificate.block)
            for other, block in sorted(self.notarized.items()):
                self.not_around(place, certificate.block, other, block)
        self.one_block(self.notarized, place, certificate.block)
        self.by_its_leader(certificate)
        for other, block in sorted(self.finalized.items()):
            self.not_around(other, block, place, certificate.block)

    def by_its_leader(self, certificate: Certificate) -> None:
        """A certified block is the work of its view's leader, or the boundary block again."""
        assert certificate.block is not None
        block = self.blocks.get(certificate.block)
        if block is None or block.height == self.world.chain.last_height(certificate.epoch):
            return
        if block.view != certificate.view:
            raise Violation(f"a block of view {block.view} is certified in view {certificate.view}")
        leader = self.world.leader(certificate.epoch, certificate.view)
        if leader is not None and block.author != leader:
            raise Violation(f"view {certificate.view} is certified for another than its leader")

    @staticmethod
    def one_block(
        known: dict[tuple[int, int], Digest], place: tuple[int, int], block: Digest
    ) -> None:
        if known.setdefault(place, block) != block:
            raise Violation(f"two blocks are certified in view {place}")

    def not_around(
        self, final: tuple[int, int], block: Digest, later: tuple[int, int], other: Digest
    ) -> None:
        """A block notarized in a later view descends from the final one."""
        if later < final or later[0] != final[0]:
            return
        if not self.descends(other, block):
            raise Violation(f"view {later} is notarized beside the final block of view {final}")

    def descends(self, digest: Digest, ancestor: Digest) -> bool:
        """Return whether ``ancestor`` is ``digest`` or below it; unknown blocks are believed."""
        goal = self.blocks.get(ancestor)
        block = self.blocks.get(digest)
        while goal is not None and block is not None and block.height > goal.height:
            digest = block.parent
            block = self.blocks.get(digest)
        return block is None or goal is None or digest == ancestor

    def on_block(self, block: Block) -> None:
        """Remember a block that somebody built."""
        self.blocks[block.digest] = block

    def on_final(self, node: "Node", block: Block) -> None:
        """Agreement, an unbroken chain, and equal states at equal heights."""
        if node.index in self.world.chain.liars:
            return
        height = block.height
        if height != node.final_height + 1 or block.parent != node.finals[-1]:
            raise Violation(f"{node.index} delivers height {height} off its final chain")
        if self.final_at.setdefault(height, block.digest) != block.digest:
            raise Violation(f"two blocks are final at height {height}")
        parent_state = self.blocks[node.finals[-1]].state_root
        state = execute(parent_state, block.payload)
        if self.state_at.setdefault(height, state) != state or state != block.state_root:
            raise Violation(f"states differ at height {height}")

    def on_report(self, evidence: Evidence) -> None:
        """Evidence convicts a liar, and only a liar."""
        chain, first = self.world.chain, evidence.first
        verify_evidence(chain.table(first.epoch), chain.genesis, evidence)
        culprit = chain.members(first.epoch)[first.signer]
        self.reported[culprit, first.epoch] = True
        if culprit not in chain.liars:
            raise Violation(f"honest {culprit} is reported: {evidence}")

    # Memory

    def after_step(self, node: "Node") -> None:
        """Buffers stay within what the configuration allows."""
        machine = node.machine
        limits, size = machine.config.limits, len(machine.config.table)
        window = limits.views_ahead + limits.views_behind + 2
        sizes = machine.buffer_sizes()
        open_views = machine.view - machine.views.final_view
        bounds = {
            "votes": 3 * size * window,
            "views": open_views + limits.views_ahead + 1,
            "blocks": 4 * (open_views + limits.views_ahead) + 4,
            "answers": self.world.chain.size,
        }
        for name, bound in bounds.items():
            if sizes[name] > bound:
                raise Violation(f"{node.index} holds {sizes[name]} {name}, {bound} allowed")

    def journal_records(self, node: "Node") -> int:
        """Return how many records a journal holds, read back from its bytes."""
        return len(replay(bytes(node.journal)).records)
