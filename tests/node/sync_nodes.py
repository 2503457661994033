"""Nodes that sync over a network in memory: honest ones, and ones that lie in one way each."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio

from chain.handover import Checkpoint
from chain.mempool import Mempool
from chain.snapshot_folder import SnapshotFolder
from consensus.simplex.messages import Certificate
from genesis.spec import ChainSpec
from node.chain_service import ChainService
from node.extrinsic_intake import ExtrinsicIntake, FinalizedJudge
from node.node_network import REQUESTS
from node.snapshots import Snapshots
from node.sync import Sync
from node.wire import Status, decode_frame, encode_status
from p2p.faults import RequestRefused
from p2p.identity import PeerId, peer_id_of_seed
from p2p.memory import MemoryHub, MemoryNetwork
from primitives.types import Height
from tests.chain.small_chains import SmallChain
from tests.node.small_nodes import LocalChecker

Lie = Callable[[str, int, bytes], Iterable[bytes]]
"""What a liar answers instead: the request's name, the answer's number and the true answer."""
HIGHEST = Height(1 << 40)


def peer_of(name: str) -> PeerId:
    return peer_id_of_seed(name.encode().ljust(32, b"\0"))


@dataclass
class SyncNode:
    """The part of a node that fetches its chain, and gives it to others."""

    name: str
    small: SmallChain
    service: ChainService
    network: MemoryNetwork
    sync: Sync
    snapshots: Snapshots
    lie: Lie | None = None
    claimed: Height | None = None
    certificates: list[Certificate] = field(default_factory=list)
    asked: list[tuple[PeerId, str]] = field(default_factory=list)
    is_silent: bool = False

    @classmethod
    def open(
        cls,
        hub: MemoryHub,
        folder: Path,
        spec: ChainSpec,
        name: str,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> "SyncNode":
        small = SmallChain.open(folder / name / "db", spec)
        return cls.of_chain(hub, folder, small, name, checkpoint=checkpoint)

    @classmethod
    def of_chain(
        cls,
        hub: MemoryHub,
        folder: Path,
        small: SmallChain,
        name: str,
        *,
        checkpoint: Checkpoint | None = None,
    ) -> "SyncNode":
        mempool = Mempool(FinalizedJudge(small.chain))
        intake = ExtrinsicIntake(mempool, LocalChecker(small.prefix))
        service = ChainService(small.chain, mempool, intake)
        handler = _Handler()
        network = MemoryNetwork(hub, peer_of(name), handler, REQUESTS)
        certificates: list[Certificate] = []
        genesis = small.chain.store.reads.genesis_hash
        sync = Sync(service, network, genesis, certificates.append, checkpoint)
        length = small.spec.runtime.session.epoch_length
        kept = SnapshotFolder(folder / name / "snapshots", 2)
        snapshots = Snapshots(small.chain.store, kept, length)
        node = cls(name, small, service, network, sync, snapshots, certificates=certificates)
        handler.node = node
        return node

    @property
    def height(self) -> Height:
        return self.small.chain.final.height

    def close(self) -> None:
        self.small.close()

    def tell_height(self) -> None:
        """Tell every peer how far this node is, or says it is."""
        chain = self.small.chain
        height = chain.final.height if self.claimed is None else self.claimed
        frame = encode_status(Status(height, chain.final_hash))
        self.network.broadcast("bulk", frame)

    def bans(self) -> set[PeerId]:
        """Return whom this node has banned."""
        return {ban.peer for ban in self.network.bans()}

    async def wait_height(self, height: int) -> None:
        """Wait until a block is final here."""
        with trio.fail_after(600):
            while self.height < height:  # noqa: ASYNC110  several events lead there
                await trio.sleep(0.05)


class _Handler:
    """What the network asks of one of these nodes."""

    def __init__(self) -> None:
        self.node: SyncNode | None = None

    @property
    def here(self) -> SyncNode:
        assert self.node is not None
        return self.node

    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None:
        status = decode_frame(frame)
        if isinstance(status, Status):
            self.here.sync.on_status(peer, status)

    async def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]:
        node = self.here
        node.asked.append((peer, name))
        if node.is_silent:
            await trio.sleep_forever()
        true = (
            node.sync.answer_range(payload)
            if name == "blocks"
            else node.snapshots.answer(name, payload)
        )
        for number, answer in enumerate(true):
            await trio.lowlevel.checkpoint()
            for told in [answer] if node.lie is None else node.lie(name, number, answer):
                yield told

    def on_peer_up(self, peer: PeerId) -> None:
        self.here.tell_height()

    def on_peer_down(self, peer: PeerId, reason: str) -> None:
        self.here.sync.on_peer_down(peer)

    def on_record(self, peer: PeerId, record: bytes) -> None:
        """Nothing is stated here."""

    def is_allowed(self, peer: PeerId) -> bool:
        return True


@asynccontextmanager
async def running(*nodes: SyncNode) -> AsyncIterator[trio.Nursery]:
    """Run the nodes for as long as the block."""
    async with trio.open_nursery() as nursery:
        for node in nodes:
            await nursery.start(node.network.run)
            nursery.start_soon(node.sync.run)
            nursery.start_soon(node.snapshots.run)
        for node in nodes:
            node.tell_height()
        yield nursery
        nursery.cancel_scope.cancel()


def hub() -> MemoryHub:
    return MemoryHub(Random(1))


def refuse(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    raise RequestRefused("not for you")
