"""Many machines on one event heap: virtual time, seeded faults, liars, crashes and checkers.

A history has two phases. Until ``heal_at`` messages are lost, late, doubled and out of order, the
network splits, validators crash between any two actions and come back from their journals. Then
the network behaves, the liars go on lying, and every honest validator must reach new final blocks
within ``LIVENESS_VIEWS`` views.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from consensus.simplex.elector import Elector
from consensus.simplex.messages import Message, encode_message
from primitives.crypto import Purpose, keyed_hash
from primitives.power_table import PowerTable
from primitives.types import AccountId, View
from tests.simulation.byzantine import LIES, Liar
from tests.simulation.checkers import Checkers, Violation
from tests.simulation.node import Envelope, Node, is_acceptable
from tests.simulation.world import SIZES, Chain, Faults, randomness_of

LIVENESS_VIEWS = 60
"""Views within which, after the network heals, every honest validator must have advanced."""
ADVANCE_HEIGHTS = 3
"""Final blocks that each must add to the highest one at the time of healing."""
PATIENCE = 120_000
"""Virtual milliseconds after healing in which that must happen."""
BLOCK_INTERVAL = 40


class Failure(AssertionError):
    """A history broke a promise; says how to see it again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What of a history is decided from outside instead of by its seed."""

    size: int | None = None
    lie: type[Liar] | None = None
    node: type[Node] = Node
    liars: int | None = None
    are_liars_many: bool = False
    faults: Faults | None = None
    heal_at: int | None = None
    table: type[PowerTable] = PowerTable


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a history came to."""

    seed: int
    size: int
    trace: str
    """Hash of everything that happened, in order."""
    heights: tuple[int, ...]
    """Final heights of the honest validators."""
    epochs: int
    actions: int
    views: int
    """Most views any honest validator needed after healing."""
    reported: int


class Simulator:
    """One history."""

    def __init__(self, seed: int, plan: Plan | None = None) -> None:
        self.seed = seed
        self.plan = plan or Plan()
        self.rng = Random(seed)
        rng = self.rng
        size = self.plan.size or rng.choice(SIZES)
        self.faults = self.plan.faults or Faults.draw(rng)
        count = (size - 1) // 3 if self.plan.liars is None else self.plan.liars
        if self.plan.liars is None and rng.random() < 0.4:
            count = 0
        liars = rng.sample(range(size), count)
        self.chain = Chain(rng, size, frozenset(liars))
        self.chain.are_liars_many = self.plan.are_liars_many
        self.checkers = Checkers(self)
        self.chain.table_class = self.plan.table
        self.heal_at = self.plan.heal_at or rng.choice((300, 1200, 2500))
        self.time = 0
        self.sequence = 0
        self.heap: list[tuple[int, int, int, Callable[[], None]]] = []
        self.split: dict[int, int] = {}
        self.last: deque[str] = deque(maxlen=60)
        self._trace = bytearray()
        self._digest = b""
        self._valid: dict[bytes, bool] = {}
        self.nodes: list[Node] = []
        for index in range(size):
            if index in self.chain.liars:
                lie = self.plan.lie or rng.choice(LIES)
                self.nodes.append(lie(self, index))
            else:
                self.nodes.append(self.plan.node(self, index))
        self.goal = 0
        self.views_at_heal: dict[int, int] = {}

    # The world as nodes see it

    @property
    def is_healed(self) -> bool:
        return self.time >= self.heal_at

    def at(self, delay: int, index: int, what: Callable[[], None]) -> None:
        """Put something on the heap."""
        self.sequence += 1
        heapq.heappush(self.heap, (self.time + delay, self.sequence, index, what))

    def build_delay(self) -> int:
        """Return how long an application takes to begin and build a block."""
        return BLOCK_INTERVAL + self.rng.randint(0, 10)

    def is_crash_due(self, index: int) -> bool:
        """Decide whether a validator dies before its next action."""
        if self.is_healed or not self.faults.crash or self.rng.random() >= self.faults.crash:
            return False
        node = self.nodes[index]
        self.revive_later(node)
        return True

    def revive_later(self, node: Node) -> None:
        self.at(
            self.rng.randint(1, self.faults.downtime_max), node.index, lambda: self.revive(node)
        )

    def revive(self, node: Node) -> None:
        if not node.is_up:
            self.note(node.index, "start")
            node.start()

    def send(self, sender: int, recipient: int, envelope: Envelope) -> None:
        """Put an envelope on the network, which may do to it what the faults allow."""
        rng, faults = self.rng, self.faults
        if self.is_healed:
            self._deliver_in(rng.randint(1, 10), sender, recipient, envelope)
            return
        if self.split and self.split[sender] != self.split[recipient]:
            return
        if faults.loss and rng.random() < faults.loss:
            return
        copies = 2 if faults.duplication and rng.random() < faults.duplication else 1
        for _ in range(copies):
            delay = rng.randint(1, faults.delay_max)
            if faults.outlier and rng.random() < faults.outlier:
                delay *= 10
            self._deliver_in(delay, sender, recipient, envelope)

    def _deliver_in(self, delay: int, sender: int, recipient: int, envelope: Envelope) -> None:
        node = self.nodes[recipient]

        def arrive() -> None:
            if node.is_up:
                self.record(sender, recipient, envelope)
                node.on_envelope(sender, envelope)

        self.at(delay, recipient, arrive)

    def is_valid(self, table: PowerTable, message: Message) -> bool:
        """Return what ``verify_message`` says; asked once for all validators."""
        key = encode_message(message)
        answer = self._valid.get(key)
        if answer is None:
            answer = self._valid[key] = is_acceptable(table, self.chain.genesis, message)
        return answer

    def leader(self, epoch: int, view: View) -> AccountId | None:
        """Return whom the elector names, once the epoch's randomness is final somewhere."""
        root = self.checkers.final_at.get(epoch * self.chain.epoch_length)
        if root is None:
            return None
        table = self.chain.table(epoch)
        return table[Elector(table, randomness_of(root)).leader(view)].account

    # The trace

    def record(self, sender: int, recipient: int, envelope: Envelope) -> None:
        """Add an arrival to the trace."""
        message = envelope.message
        what = "block" if message is None else type(message).__name__
        if message is not None:
            view = getattr(message, "view", 0)
            kind = getattr(message, "kind", None)
            what = f"{what if kind is None else kind.name} e{message.epoch} v{view}"
        self.note(recipient, f"<- {sender} {what}")

    def note(self, index: int, what: str) -> None:
        line = f"{self.time:>7} {index:>2} {what}"
        self.last.append(line)
        self._trace += line.encode() + b"\n"
        if len(self._trace) > 1 << 16:
            self._digest = keyed_hash(Purpose.HEADER, self._digest + bytes(self._trace))
            self._trace.clear()

    # Running

    def run(self) -> Outcome:
        """Live the whole history. Raises: Failure."""
        try:
            self._run()
        except Exception as error:
            lines = "\n".join(self.last)
            again = f"make simulate SEED={self.seed}"
            raise Failure(f"{type(error).__name__}: {error}\n{lines}\n{again}") from error
        honest = self.honest()
        trace = keyed_hash(Purpose.HEADER, self._digest + bytes(self._trace)).hex()
        return Outcome(
            seed=self.seed,
            size=self.chain.size,
            trace=trace,
            heights=tuple(node.final_height for node in honest),
            epochs=max(node.epoch for node in honest),
            actions=self.checkers.actions,
            views=self.views_used(),
            reported=len(self.checkers.reported),
        )

    def honest(self) -> list[Node]:
        return [node for node in self.nodes if node.index not in self.chain.liars]

    def _run(self) -> None:
        for node in self.nodes:
            self.at(self.rng.randint(0, 30), node.index, lambda node=node: self.revive(node))  # type: ignore[misc] # bound per node
        if self.chain.size > 1 and self.faults.partition:
            self.at(1, -1, self._change_partition)
        if self.faults.blackout:
            self.at(self.rng.randint(1, self.heal_at), -1, self._black_out)
        self.at(self.heal_at, -1, self._heal)
        while self.heap:
            self.time, _, _, what = heapq.heappop(self.heap)
            what()
            if self.goal and all(node.final_height >= self.goal for node in self.honest()):
                return
            if self.goal and self.time > self.heal_at + PATIENCE:
                break
            if self.goal and self.views_used() > LIVENESS_VIEWS:
                break
        heights = [node.final_height for node in self.honest()]
        raise Violation(f"no progress: heights {heights} after healing, {self.goal} wanted")

    def views_used(self) -> int:
        """Return the most views that an honest validator went through since healing."""
        return max(
            self.views_of(node) - self.views_at_heal.get(node.index, 0) for node in self.honest()
        )

    def views_of(self, node: Node) -> int:
        """Return a count of views over all epochs: those of ended ones by their finalizations."""
        ended = sum(c.view for epoch, c in node.finalizations.items() if epoch < node.epoch)
        return ended + (node.machine.view if node.is_up else 0)

    def _change_partition(self) -> None:
        if self.is_healed:
            return
        if self.rng.random() < self.faults.partition:
            self.split = {index: self.rng.randrange(2) for index in range(self.chain.size)}
        else:
            self.split = {}
        self.note(-1, f"split {sorted(self.split.items())}")
        self.at(self.rng.randint(50, 800), -1, self._change_partition)

    def _black_out(self) -> None:
        for node in self.nodes:
            if node.is_up:
                node.crash()
                self.revive_later(node)

    def _heal(self) -> None:
        self.note(-1, "heal")
        self.split = {}
        for node in self.nodes:
            self.revive(node)
        self.goal = max(node.final_height for node in self.honest()) + ADVANCE_HEIGHTS
        self.views_at_heal = {
            node.index: max(self.views_of(other) for other in self.honest())
            for node in self.honest()
        }
