"""Chaos: nodes of a devnet are killed, paused and started again at random, reproducibly.

Invariant: at most ``faulty_max`` nodes are in trouble at a time, so that the others go on; one
validator alone is tormented too, and its chain waits for it.
"""

import logging
from collections.abc import Sequence
from random import Random
from typing import Protocol

import trio

from node.devnet.plan import NodePlan
from node.devnet.processes import Condition

CALM_SECONDS = (2.0, 8.0)
"""Between two troubles."""
DOWN_SECONDS = (1.0, 12.0)

_log = logging.getLogger(__name__)


class Victim(Protocol):
    """A node that can be tormented."""

    @property
    def plan(self) -> NodePlan: ...
    @property
    def condition(self) -> Condition: ...
    async def start(self) -> None: ...
    async def kill(self) -> None: ...
    def pause(self) -> None: ...
    def go_on(self) -> None: ...


class Chaos:
    """Torments the nodes of a devnet."""

    def __init__(self, nodes: Sequence[Victim], *, seed: int, faulty_max: int) -> None:
        self._nodes = list(nodes)
        self._random = Random(seed)  # noqa: S311 - to be reproduced, not to be secret
        self._faulty_max = max(1, faulty_max)
        self._scope = trio.CancelScope()
        self._is_over = trio.Event()
        self._now: dict[str, str] = {}
        self.troubles = 0

    @property
    def status(self) -> str:
        """What is going on, in words."""
        return ", ".join(self._now[name] for name in sorted(self._now)) or "calm"

    async def run(self) -> None:
        """Make trouble until told to calm down."""
        try:
            with self._scope:
                while True:
                    await trio.sleep(self._random.uniform(*CALM_SECONDS))
                    await self._torment()
        finally:
            self._is_over.set()

    async def calm_down(self) -> None:
        """Make no more trouble, and have every node run again."""
        self._scope.cancel()
        await self._is_over.wait()
        for node in self._nodes:
            if node.condition is Condition.KILLED:
                await node.start()

    async def _torment(self) -> None:
        count = self._random.randint(1, self._faulty_max)
        victims = self._random.sample(self._nodes, count)
        plans = [(self._random.choice(["kill", "pause"]), self._random.uniform(*DOWN_SECONDS))
                 for _ in victims]  # fmt: skip
        async with trio.open_nursery() as nursery:
            for victim, (kind, seconds) in zip(victims, plans, strict=True):
                nursery.start_soon(self._trouble, victim, kind, seconds)

    async def _trouble(self, victim: Victim, kind: str, seconds: float) -> None:
        if victim.condition is not Condition.RUNNING:
            return
        name = victim.plan.name
        self.troubles += 1
        self._now[name] = f"{kind} {name} for {seconds:.0f} s"
        _log.info(
            "event=trouble number=%d kind=%s node=%s seconds=%.1f",
            self.troubles,
            kind,
            name,
            seconds,
        )
        try:
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
        finally:
            del self._now[name]
