"""Watching a devnet: what each node says of itself, and whether they all agree.

Invariant: a disagreement on a final block, once seen, is never forgotten.
"""

from collections import deque
from dataclasses import dataclass

import trio

from node.client.endpoint import Endpoint
from node.client.http import HttpClient
from node.client.node_client import NodeClient
from node.devnet.plan import LOOPBACK
from node.devnet.processes import Condition, NodeProcess
from primitives.errors import LoopinError
from primitives.types import Digest, Height

POLL_SECONDS = 0.5
CALL_SECONDS = 3.0
RATE_SECONDS = 10.0
"""Window over which transactions a second are averaged."""
BLOCKS_PER_POLL = 32


@dataclass(frozen=True, slots=True)
class Sight:
    """What was last seen of a node."""

    condition: Condition
    is_answering: bool
    best: int
    final: int
    view: int
    epoch: int
    peers: int


@dataclass(slots=True)
class Disagreement:
    """Two nodes with different final blocks at one height."""

    height: Height
    one: str
    other: str


class Watch:
    """Polls every node and compares their final blocks."""

    def __init__(self, nodes: list[NodeProcess]) -> None:
        self.nodes = nodes
        self.sights: dict[str, Sight] = {}
        self.disagreements: list[Disagreement] = []
        self.extrinsics = 0
        """Signed extrinsics in the final chain."""
        self._finals: dict[Height, tuple[Digest, str]] = {}
        self._checked: dict[str, Height] = {node.plan.name: Height(0) for node in nodes}
        self._counted = Height(0)
        self._counts: deque[tuple[float, int]] = deque()

    @property
    def final(self) -> int:
        """The highest final height that any node has shown."""
        return max((sight.final for sight in self.sights.values()), default=0)

    def rate(self) -> float:
        """Return the final transactions a second of the last seconds."""
        if len(self._counts) < 2:
            return 0.0
        (start, first), (end, last) = self._counts[0], self._counts[-1]
        return (last - first) / max(0.001, end - start)

    async def run(self) -> None:
        """Poll for ever."""
        async with trio.open_nursery() as nursery:
            for node in self.nodes:
                nursery.start_soon(self._follow, node)

    async def _follow(self, node: NodeProcess) -> None:
        endpoint = Endpoint.parse(f"http://{LOOPBACK}:{node.plan.rpc_port}")
        http = HttpClient(endpoint, CALL_SECONDS)
        client = NodeClient(endpoint)
        while True:
            sight = None
            if node.condition is Condition.RUNNING:
                sight = await trio.to_thread.run_sync(self._look, node, http, client)
            self.sights[node.plan.name] = sight or self._unseen(node)
            await trio.sleep(POLL_SECONDS)

    def _unseen(self, node: NodeProcess) -> Sight:
        before = self.sights.get(node.plan.name)
        best, final = (before.best, before.final) if before else (0, 0)
        view, epoch = (before.view, before.epoch) if before else (0, 0)
        return Sight(node.condition, False, best, final, view, epoch, 0)

    def _look(self, node: NodeProcess, http: HttpClient, client: NodeClient) -> Sight | None:
        """Ask one node how it is; None if it does not answer. Runs in a thread."""
        try:
            best = client.header().header
            health = http.call("system_health")
            final = client.header(client.final_hash()).header
            peers = health.get("peers") if isinstance(health, dict) else None
            self._compare(node.plan.name, client, final.height)
        except LoopinError:
            return None
        count = peers if isinstance(peers, int) else 0
        return Sight(node.condition, True, best.height, final.height, best.view, best.epoch, count)

    def _compare(self, name: str, client: NodeClient, final: Height) -> None:
        """Compare the node's final blocks with what others have shown, a few at a time."""
        first = self._checked[name] + 1
        for height in range(first, min(final, first + BLOCKS_PER_POLL - 1) + 1):
            at = Height(height)
            block_hash = client.hash_at(at)
            if block_hash is None:
                return
            known = self._finals.setdefault(at, (block_hash, name))
            if known[0] != block_hash:
                self.disagreements.append(Disagreement(at, known[1], name))
            self._checked[name] = at
            self._count(client, at, block_hash)

    def _count(self, client: NodeClient, height: Height, block_hash: Digest) -> None:
        """Count the extrinsics of each final block once, whichever node shows it first."""
        if height != self._counted + 1:
            return
        self._counted = height
        block = client.find_block(block_hash)
        if block is not None:
            self.extrinsics += len(block.extrinsics) - 1
        now = trio.from_thread.run_sync(trio.current_time)
        self._counts.append((now, self.extrinsics))
        while now - self._counts[0][0] > RATE_SECONDS:
            self._counts.popleft()
