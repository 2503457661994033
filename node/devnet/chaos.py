"""Chaos: nodes of a devnet are killed, paused and started again at random, reproducibly.

Invariant: at most ``faulty_max`` validators are down at a time, so that the others go on.
"""

import logging
from random import Random

import trio

from node.devnet.processes import Condition, NodeProcess

CALM_SECONDS = (2.0, 8.0)
"""Between two troubles."""
DOWN_SECONDS = (1.0, 12.0)

_log = logging.getLogger(__name__)


class Chaos:
    """Torments the nodes of a devnet."""

    def __init__(self, nodes: list[NodeProcess], *, seed: int, faulty_max: int) -> None:
        self._nodes = nodes
        self._random = Random(seed)  # noqa: S311 - to be reproduced, not to be secret
        self._faulty_max = faulty_max
        self.troubles = 0
        self.latest = "calm"

    async def run(self) -> None:
        """Make trouble for ever."""
        while True:
            self.latest = "calm"
            await trio.sleep(self._random.uniform(*CALM_SECONDS))
            count = self._random.randint(1, max(1, self._faulty_max))
            victims = self._random.sample(self._nodes, count)
            async with trio.open_nursery() as nursery:
                for victim in victims:
                    kind = self._random.choice(["kill", "pause"])
                    seconds = self._random.uniform(*DOWN_SECONDS)
                    nursery.start_soon(self._trouble, victim, kind, seconds)

    async def _trouble(self, victim: NodeProcess, kind: str, seconds: float) -> None:
        if victim.condition is not Condition.RUNNING:
            return
        self.troubles += 1
        self.latest = f"{kind} {victim.plan.name} for {seconds:.0f} s"
        _log.info("trouble=%d %s", self.troubles, self.latest)
        if kind == "kill":
            await victim.kill()
            await trio.sleep(seconds)
            await victim.start()
        else:
            victim.pause()
            try:
                await trio.sleep(seconds)
            finally:
                victim.go_on()
