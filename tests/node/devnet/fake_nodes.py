"""Nodes of a devnet without processes."""

from pathlib import Path

import trio

from node.client.errors import ConnectionLost
from node.devnet.final_chain import FinalChain
from node.devnet.plan import NodePlan
from node.devnet.processes import Condition
from node.devnet.watch import Look
from primitives.block import Block
from primitives.types import Digest, Height


def plan_of(name: str, *, is_validator: bool = True) -> NodePlan:
    """Return the plan of a node that never runs."""
    home = Path("/nowhere") / name
    return NodePlan(name, home, 1, 2, 3, is_validator, home / "node.log")


def look_at(height: int, **other: int) -> Look:
    """Return what a node says that is at some height."""
    known = {"best": height, "final": height, "view": height, "epoch": 0, "peers": 3}
    return Look(**{**known, **other}, extrinsics=0.0, finality={})


class FakeNode:
    """Does what it is told, and keeps a diary."""

    def __init__(self, name: str) -> None:
        self.plan = plan_of(name)
        self.condition = Condition.RUNNING
        self.process_id = 0
        self.diary: list[str] = []

    async def start(self) -> None:
        assert self.condition is Condition.KILLED
        self._become(Condition.RUNNING, "start")

    async def kill(self) -> None:
        assert self.condition is Condition.RUNNING
        self._become(Condition.KILLED, "kill")

    def pause(self) -> None:
        assert self.condition is Condition.RUNNING
        self._become(Condition.PAUSED, "pause")

    def go_on(self) -> None:
        assert self.condition is Condition.PAUSED
        self._become(Condition.RUNNING, "go on")

    def _become(self, condition: Condition, what: str) -> None:
        self.condition = condition
        self.diary.append(what)


class FakeObserver:
    """Says what the test wants a node to say; None for a node that does not answer."""

    def __init__(self, answer: Look | None) -> None:
        self.answer = answer

    async def look(self, chain: FinalChain) -> Look:
        await trio.lowlevel.checkpoint()
        if self.answer is None:
            raise ConnectionLost("nobody there")
        return self.answer


class FakeBlocks:
    """A chain of blocks without contents but one; ``name`` tells forks apart."""

    def __init__(self, name: bytes, blocks: dict[Digest, Block] | None = None) -> None:
        self.name = name
        self.blocks = blocks or {}
        self.asked: list[Height] = []

    def hash_at(self, height: Height) -> Digest | None:
        self.asked.append(height)
        return Digest((self.name + bytes([height])).rjust(32, b"\0"))

    def find_block(self, block: Digest) -> Block | None:
        return self.blocks.get(block)
