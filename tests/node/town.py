"""Whole nodes in one process: real chains, drivers and relays over a network in memory.

Threads are called in place and the clock jumps, so a run is as quick as its arithmetic, and the
same every time.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from chain.snapshot_folder import SnapshotFolder
from genesis.presets import dev_session_seeds
from genesis.spec import ChainSpec
from node.block_exchange import BlockExchange
from node.consensus_driver import ConsensusDriver
from node.evidence import EvidenceFile
from node.evidence_reports import EvidenceReports
from node.extrinsic_relay import ExtrinsicRelay
from node.node_network import REQUESTS, NodeNetwork, Parts
from node.snapshots import Snapshots
from node.sync import Sync
from p2p.identity import PeerId, peer_id_of_seed
from p2p.memory import MemoryHub, MemoryNetwork
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import LoopinError
from primitives.types import Digest, Height, Millis
from tests.node.small_nodes import SmallNode, assert_no_contradiction, records_of

NAMES = ("Alice", "Bob", "Charlie", "Dave")
PATIENCE = 900.0
"""Seconds of the mock clock for anything to happen."""


def determined(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    """Call threads in place, wake tasks in an order that is the same every time, and jump."""

    async def run_in_place(work: Callable[..., object], *arguments: object, **_: object) -> object:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_in_place)
    monkeypatch.setattr("trio._core._run._r", Random(7))
    # What a crash of the machine does is not the matter here.
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr("os.fdatasync", lambda _: None)
    return trio.testing.MockClock(autojump_threshold=0)


@dataclass
class TownNode:
    """One whole node, of a validator or of nobody."""

    name: str
    folder: Path
    small: SmallNode
    network: MemoryNetwork
    parts: Parts
    handler: NodeNetwork
    evidence: EvidenceFile
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    @property
    def peer(self) -> PeerId:
        return self.network.peer

    @property
    def height(self) -> int:
        return self.small.small.chain.final.height

    async def run(self) -> None:
        with self.scope:
            try:
                async with trio.open_nursery() as nursery:
                    await self.small.service.restore()
                    await nursery.start(self.network.run)
                    nursery.start_soon(self.handler.run)
                    nursery.start_soon(self.small.driver.run)
            finally:
                self.small.close()

    async def submit(self, *extrinsics: bytes) -> list[Digest]:
        answers = await self.small.service.intake.submit(extrinsics)
        assert answers == [keyed_hash(Purpose.EXTRINSIC, encoded) for encoded in extrinsics]
        return [answer for answer in answers if not isinstance(answer, LoopinError)]

    def has_final(self, extrinsic: Digest) -> bool:
        return self.small.small.chain.store.reads.find_extrinsic(extrinsic) is not None


class Town:
    """Nodes that live together."""

    def __init__(self, folder: Path, spec: ChainSpec, seed: int = 1) -> None:
        self.spec = spec
        self.hub = MemoryHub(Random(seed))
        self.nodes: dict[str, TownNode] = {}
        self._folder = folder
        self._nursery: trio.Nursery | None = None

    def __getitem__(self, name: str) -> TownNode:
        return self.nodes[name]

    @asynccontextmanager
    async def living(self, *names: str) -> AsyncIterator["Town"]:
        """Let the nodes of ``names`` run; at the end no two of them disagree on anything."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for name in names:
                self.open(name)
            with trio.fail_after(PATIENCE):
                yield self
            self.assert_agreement()
            nursery.cancel_scope.cancel()
        for journal in self._folder.glob("*/journal"):
            assert_no_contradiction(records_of(journal))

    def open(self, name: str) -> TownNode:
        """Open and run a validator, or a follower if it has no such name."""
        assert self._nursery is not None
        node = self.nodes[name] = self.made(name)
        self._nursery.start_soon(node.run)
        return node

    async def stop(self, name: str) -> None:
        """End a node as a crash would: nothing is told to anybody."""
        self.nodes.pop(name).scope.cancel()
        await trio.testing.wait_all_tasks_blocked()

    async def wait_height(self, height: int, *names: str) -> None:
        for name in names or tuple(self.nodes):
            await self.wait(lambda name=name: self[name].height >= height)  # type: ignore[misc]

    async def wait(self, holds: Callable[[], bool]) -> None:
        while not holds():  # noqa: ASYNC110  what is waited for tells nobody
            await trio.sleep(0.05)

    def partition(self, *groups: Sequence[str]) -> None:
        self.hub.partition(*({self[name].peer for name in group} for group in groups))

    def lose(self, ppb: int) -> None:
        """Let every link lose a share of its frames."""
        for one in self.nodes.values():
            for other in self.nodes.values():
                self.hub.rules(one.peer, other.peer).lost_ppb = ppb

    def assert_agreement(self) -> None:
        chains = [node.small.small.chain for node in self.nodes.values()]
        for height in range(1, min(chain.final.height for chain in chains) + 1):
            assert len({chain.final_header_at(Height(height)).hash for chain in chains}) == 1

    def made(self, name: str, house: str | None = None) -> TownNode:
        """Return a node that does not run yet: by default in the house of its own name."""
        folder = self._folder / (house or name)
        is_validator = name in NAMES
        small = SmallNode.open(folder, self.spec, name=name if is_validator else None)
        service, mempool = small.service, small.mempool
        handler = NodeNetwork(service=service, mempool=mempool, intake=service.intake)
        peer = peer_id_of_seed(dev_session_seeds(house or name).peer)
        network = MemoryNetwork(self.hub, peer, handler, REQUESTS)
        evidence = EvidenceFile(folder / "evidence")
        reports = EvidenceReports(evidence, service.chain)
        service.find_evidence = reports.find
        service.on_final.append(reports.on_final)
        start = self.spec.genesis_time + 10_000
        settings = replace(
            small.driver.settings,
            wall_clock=lambda: Millis(start + int(1000 * trio.current_time())),
        )
        small.driver = ConsensusDriver(
            service,
            small.journal,
            settings,
            network=handler,
            voters=small.driver.voters,
            on_evidence=evidence.add,
            on_table=handler.on_table,
        )
        relay = ExtrinsicRelay(network, mempool.entries)
        service.intake.on_accepted = relay.on_accepted
        parts = Parts(
            network=network,
            driver=small.driver,
            exchange=BlockExchange(service.chain, mempool, network, Random(name)),
            relay=relay,
            sync=Sync(service, network, settings.genesis, small.driver.offer),
            snapshots=Snapshots(
                service.chain.store,
                SnapshotFolder(folder / "snapshots", kept=1),
                self.spec.runtime.session.epoch_length,
            ),
            addresses={},
        )
        handler.attach(parts)
        return TownNode(name, folder, small, network, parts, handler, evidence)
