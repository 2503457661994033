"""Watching a devnet: what each node says of itself, whether they agree, and whether they go on."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import trio

from node.devnet.final_chain import FinalChain
from node.devnet.measurements import added, difference, quantile
from node.devnet.plan import NodePlan
from node.devnet.processes import Condition
from node.devnet.usage import Usage, read_usage
from primitives.errors import LoopinError

POLL_SECONDS = 0.5
RATE_SECONDS = 10.0
"""Window over which transactions a second and processor time are averaged."""
FINALITY_WINDOW_SECONDS = 60.0
STALL_SECONDS = 30.0
"""Without a final block though enough validators run: more than any view or restart takes."""
START_SECONDS = 120.0
"""Until the first final block: on a busy machine the nodes take turns to start."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a node answered."""

    best: int
    final: int
    view: int
    epoch: int
    peers: int
    extrinsics: float
    """Signed ones, made final since the node started."""
    finality: Mapping[float, float]
    """Histogram of the seconds to finality since the node started."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of a node now."""

    condition: Condition
    is_answering: bool = False
    best: int = 0
    final: int = 0
    view: int = 0
    epoch: int = 0
    peers: int = 0
    extrinsics_per_second: float = 0.0
    finality_p50: float | None = None
    """Seconds, of the last minute; None without a block."""
    finality_p99: float | None = None
    cpu_percent: float = 0.0
    resident_bytes: int = 0


class Watched(Protocol):
    """A node that runs somewhere."""

    @property
    def plan(self) -> NodePlan: ...
    @property
    def condition(self) -> Condition: ...
    @property
    def process_id(self) -> int: ...


class Observer(Protocol):
    """Asks one node."""

    async def look(self, chain: FinalChain) -> Look:
        """Return what the node says now, its final blocks compared; within a few seconds.

        Raises: LoopinError.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Moment:
    time: float
    look: Look
    usage: Usage


class _History:
    """What one process of a node has said in the last minute."""

    def __init__(self) -> None:
        self.process_id = 0
        self.moments: deque[_Moment] = deque()

    def add(self, process_id: int, moment: _Moment) -> None:
        if process_id != self.process_id:
            # A new process counts from zero again.
            self.process_id = process_id
            self.moments.clear()
        self.moments.append(moment)
        while moment.time - self.moments[0].time > FINALITY_WINDOW_SECONDS:
            self.moments.popleft()

    def since(self, seconds: float) -> tuple[_Moment, _Moment, float]:
        """Return the first moment of the last ``seconds``, the last one, and the time between."""
        last = self.moments[-1]
        first = next(moment for moment in self.moments if last.time - moment.time <= seconds)
        return first, last, max(0.001, last.time - first.time)

    def finality(self) -> dict[float, float]:
        """Return the histogram of the last minute."""
        if not self.moments:
            return {}
        return difference(self.moments[-1].look.finality, self.moments[0].look.finality)


class Watch:
    """Polls every node, and remembers what matters."""

    def __init__(self, nodes: Sequence[Watched], observers: Mapping[str, Observer]) -> None:
        self.chain = FinalChain([node.plan.name for node in nodes])
        self.sights = {node.plan.name: Sight(node.condition) for node in nodes}
        self.longest_gap = 0.0
        """Seconds between two final blocks, at most, from the first on."""
        self.stalls = 0
        self._nodes = list(nodes)
        self._observers = observers
        self._histories = {node.plan.name: _History() for node in nodes}
        self._totals: deque[tuple[float, int]] = deque()
        self._progress_at = 0.0
        self._expected_since = 0.0
        self._is_stalled = False

    @property
    def final(self) -> int:
        """The highest final height that any node has shown."""
        return max(sight.final for sight in self.sights.values())

    @property
    def extrinsics_per_second(self) -> float:
        """Signed extrinsics that became final, a second of the last seconds."""
        if len(self._totals) < 2:
            return 0.0
        (start, first), (end, last) = self._totals[0], self._totals[-1]
        return (last - first) / max(0.001, end - start)

    def finality(self, fraction: float) -> float | None:
        """Return the seconds to finality that a fraction of blocks took, over all nodes."""
        each = [self._histories[node.plan.name].finality() for node in self._nodes]
        return quantile(added(each), fraction)

    async def run(self) -> None:
        """Poll for ever."""
        self._expected_since = self._progress_at = trio.current_time()
        async with trio.open_nursery() as nursery:
            for node in self._nodes:
                nursery.start_soon(self._follow, node)
            while True:
                await trio.sleep(POLL_SECONDS)
                self._totals.append((trio.current_time(), self.chain.extrinsics))
                while self._totals[-1][0] - self._totals[0][0] > RATE_SECONDS:
                    self._totals.popleft()
                self._look_for_stall(trio.current_time())

    async def _follow(self, node: Watched) -> None:
        name = node.plan.name
        while True:
            before = self.final
            self.sights[name] = await self._sight(node)
            if self.final > before:
                now = trio.current_time()
                if before > 0:
                    self.longest_gap = max(self.longest_gap, now - self._progress_at)
                self._progress_at = now
                self._is_stalled = False
            await trio.sleep(POLL_SECONDS)

    async def _sight(self, node: Watched) -> Sight:
        old = self.sights[node.plan.name]
        if node.condition is not Condition.RUNNING:
            return self._unseen(node, old)
        process_id = node.process_id
        observer = self._observers[node.plan.name]
        try:
            look = await observer.look(self.chain)
        except LoopinError:
            return self._unseen(node, old)
        history = self._histories[node.plan.name]
        history.add(process_id, _Moment(trio.current_time(), look, read_usage(process_id)))
        return self._seen(node.condition, history)

    def _seen(self, condition: Condition, history: _History) -> Sight:
        first, last, seconds = history.since(RATE_SECONDS)
        finality = history.finality()
        look = last.look
        return Sight(
            condition,
            is_answering=True,
            best=look.best,
            final=look.final,
            view=look.view,
            epoch=look.epoch,
            peers=look.peers,
            extrinsics_per_second=(look.extrinsics - first.look.extrinsics) / seconds,
            finality_p50=quantile(finality, 0.5),
            finality_p99=quantile(finality, 0.99),
            cpu_percent=100 * (last.usage.cpu_seconds - first.usage.cpu_seconds) / seconds,
            resident_bytes=last.usage.resident_bytes,
        )

    def _unseen(self, node: Watched, old: Sight) -> Sight:
        return Sight(node.condition, best=old.best, final=old.final, view=old.view, epoch=old.epoch)

    def _look_for_stall(self, now: float) -> None:
        """Count it once if no block became final for long although enough validators run."""
        voters = [node for node in self._nodes if node.plan.is_validator]
        running = sum(node.condition is Condition.RUNNING for node in voters)
        if 3 * running <= 2 * len(voters):
            self._expected_since = now
        since = max(self._expected_since, self._progress_at)
        patience = STALL_SECONDS if self.final else START_SECONDS
        if now - since > patience and not self._is_stalled:
            self._is_stalled = True
            self.stalls += 1
