"""A devnet: its nodes, who watches them, who torments them and who keeps them busy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from node.devnet.chaos import Chaos
from node.devnet.load import Load
from node.devnet.observer import NodeObserver
from node.devnet.plan import DevnetPlan, NodePlan, payers
from node.devnet.processes import Condition, NodeProcess, kill_all, stop_all
from node.devnet.providers import Providers
from node.devnet.watch import Watch

CALM_PATIENCE_SECONDS = 60.0
"""After chaos, for every validator to be where the others are."""
CALM_BLOCKS = 3
LOOK_SECONDS = 0.2


class Devnet:
    """All of it, under one roof."""

    def __init__(
        self, plan: DevnetPlan, *, chaos_seed: int | None = None, load_rate: int = 0
    ) -> None:
        """Without a seed no chaos; ``load_rate`` is in transfers a second."""
        self.plan = plan
        self.nodes = [NodeProcess(node, plan) for node in plan.nodes]
        self.watch = Watch(self.nodes, {node.name: NodeObserver(node) for node in plan.nodes})
        self.load = Load(self.nodes, payers(), load_rate) if load_rate else None
        self.providers = Providers(plan) if plan.providers else None
        voters = [node for node in self.nodes if node.plan.is_validator]
        self.chaos = (
            None
            if chaos_seed is None
            else Chaos(voters, seed=chaos_seed, faulty_max=(len(voters) - 1) // 3)
        )
        self.phase = "starting"
        self._problems: list[str] = []
        self._failures: dict[str, str] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything; stop everything, come what may."""
        try:
            async with trio.open_nursery() as nursery:
                for node in self.nodes:
                    await node.start()
                nursery.start_soon(self.watch.run)
                nursery.start_soon(self._follow_failures)
                nursery.start_soon(self._begin)
                if self.providers is not None:
                    nursery.start_soon(self.providers.run, self._answering)
                yield
                nursery.cancel_scope.cancel()
        finally:
            self.phase = "stopping"
            self._look_for_failures()
            await stop_all(self.nodes)

    async def kill(self) -> None:
        """End it at once."""
        await kill_all(self.nodes)

    async def calm_down(self) -> None:
        """End the chaos, and note it as a problem if the chain does not recover."""
        if self.chaos is None:
            return
        self.phase = "calming down"
        await self.chaos.calm_down()
        target = self.watch.final + CALM_BLOCKS
        with trio.move_on_after(CALM_PATIENCE_SECONDS) as patience:
            await self.wait_final(target)
        if patience.cancelled_caught:
            self._problems.append(
                f"not every node has final block {target}, {CALM_PATIENCE_SECONDS:.0f} s after the "
                "chaos"
            )
        self.phase = "running"

    def problems(self) -> list[str]:
        """Return everything that a chain must not do and this one did."""
        found = [f"{name} ended by itself: {why}" for name, why in self._failures.items()]
        found += self._problems
        found += self.providers.problems() if self.providers else []
        if self.watch.chain.disagreements:
            first = self.watch.chain.disagreements[0]
            found.append(
                f"{first.one} and {first.other} have different final blocks at {first.height}"
            )
        if self.watch.stalls:
            found.append(f"the chain stood still {self.watch.stalls} times")
        return found

    async def wait_doomed(self) -> None:
        """Wait until so many validators have ended by themselves that no block can be final."""
        voters = [node.plan.name for node in self.nodes if node.plan.is_validator]
        while 3 * len(self._failures.keys() & voters) < len(voters):  # noqa: ASYNC110 - as below
            await trio.sleep(LOOK_SECONDS)

    async def wait_final(self, height: int) -> None:
        """Wait until every node has a final block of that height."""
        while not self._all_have(height):  # noqa: ASYNC110 - what is waited for is polled anyway
            await trio.sleep(LOOK_SECONDS)

    async def _begin(self) -> None:
        """Let chaos and load begin once the chain goes on its own."""
        await self.wait_final(1)
        self.phase = "running"
        async with trio.open_nursery() as nursery:
            if self.chaos is not None:
                nursery.start_soon(self.chaos.run)
            if self.load is not None:
                nursery.start_soon(self.load.run)

    def _answering(self) -> list[NodePlan]:
        """Return the nodes that answer, the one that is furthest first."""
        sights = self.watch.sights
        able = [node.plan for node in self.nodes if sights[node.plan.name].is_answering]
        return sorted(able, key=lambda plan: -sights[plan.name].final)

    def _all_have(self, height: int) -> bool:
        return all(sight.final >= height for sight in self.watch.sights.values())

    async def _follow_failures(self) -> None:
        while True:
            self._look_for_failures()
            await trio.sleep(LOOK_SECONDS)

    def _look_for_failures(self) -> None:
        """Note the nodes that ended though nobody told them to."""
        for node in self.nodes:
            if node.condition is Condition.FAILED:
                self._failures[node.plan.name] = node.last_words()
