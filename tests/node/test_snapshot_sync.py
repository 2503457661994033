"""Beginning with a snapshot: over honest peers, lying ones, restarts, and on to live blocks."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

import chain.snapshot
from chain.handover import HANDOVER, Checkpoint, TableChain
from chain.snapshot import MANIFEST, Manifest
from chain.snapshot_download import SnapshotDownload
from chain.store import Store
from chain.store_schema import Head
from chain.store_writes import SnapshotStart
from genesis.spec import ChainSpec
from node.config import NetworkConfig, NodeConfig, SyncWay
from node.node_network import REQUESTS
from node.progress import NoView
from node.service import NothingToSyncFrom, run_node
from node.snapshot_start import WrongCheckpoint, table_chain
from node.snapshot_sync import SnapshotSync
from node.wire import (
    CHUNKS_REQUEST,
    HANDOVERS_REQUEST,
    MANIFEST_REQUEST,
    OFFERS_REQUEST,
    SNAPSHOT_OFFER,
    ChunksRequest,
    HandoversRequest,
    SnapshotOffer,
)
from p2p.faults import RequestRefused
from p2p.memory import MemoryHub, MemoryNetwork
from primitives.errors import DecodeError
from primitives.types import Digest, Epoch, Height
from tests.chain.certified_chains import checkpoint_at, grow, tables_of
from tests.chain.small_chains import SmallChain, genesis_of, small_spec
from tests.node.sync_nodes import Lie, SyncNode, hub, peer_of, refuse, running
from tests.node.town import determined

EPOCH = 4
HEIGHT = 2 * EPOCH
CHUNKS_MIN = 4


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    monkeypatch.setattr(chain.snapshot, "CHUNK_BYTES_GOAL", 400)
    monkeypatch.setattr("node.snapshots.PAUSE_SECONDS", 0)
    return determined(monkeypatch)


@pytest.fixture
def world() -> MemoryHub:
    return hub()


def spec() -> ChainSpec:
    return small_spec(epoch_length=EPOCH)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a chain whose last epoch has just ended."""
    path = tmp_path_factory.mktemp("source") / "db"
    small = SmallChain.open(path, spec())
    grow(small, HEIGHT)
    small.close()
    return path


@pytest.fixture
def server(world: MemoryHub, source: Path, tmp_path: Path) -> Iterator[SyncNode]:
    yield from opened(world, source, tmp_path, "server")


@pytest.fixture
def other(world: MemoryHub, source: Path, tmp_path: Path) -> Iterator[SyncNode]:
    yield from opened(world, source, tmp_path, "other")


def opened(world: MemoryHub, source: Path, tmp_path: Path, name: str) -> Iterator[SyncNode]:
    shutil.copytree(source, tmp_path / name / "db")
    node = SyncNode.open(world, tmp_path, spec(), name)
    yield node
    node.close()


async def wait_snapshots(*nodes: SyncNode) -> None:
    for node in nodes:
        while not list(node.snapshots.answer("snapshots", OFFERS_REQUEST)):  # noqa: ASYNC110
            await trio.sleep(0.05)


class Beginner:
    """A node that has nothing yet."""

    def __init__(self, world: MemoryHub, tmp_path: Path, tables: TableChain) -> None:
        self.download = SnapshotDownload(tmp_path / "download", tables)
        self.sync = SnapshotSync(self.download, NoView())
        self.network = MemoryNetwork(world, peer_of("beginner"), self.sync, REQUESTS)
        self.sync.attach(self.network)
        self.charged: list[str] = []
        charge = self.network.report

        def report(peer, fault, detail=""):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  the network's
            self.charged.append(peer)
            charge(peer, fault, detail)

        self.network.report = report  # type: ignore[method-assign]  # to hear of it

    async def run(self) -> bool:
        async with trio.open_nursery() as nursery:
            await nursery.start(self.network.run)
            found = await self.sync.run()
            nursery.cancel_scope.cancel()
        return found

    def make_store(self, path: Path) -> Store:
        header = self.download.header
        head = Head(header.height, header.hash, header.state_root)
        handovers, entries = self.download.handovers(), self.download.entries()
        start = SnapshotStart(head, handovers, entries, b"{}", 256)
        return Store.create_from_snapshot(path, genesis_of(spec()), start)


async def test_new_node_begins_with_a_snapshot_and_goes_on_by_blocks(
    world: MemoryHub, server: SyncNode, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    beginner = Beginner(world, tmp_path, tables_of(server.small))
    async with running(server):
        await wait_snapshots(server)
        grow(server.small, EPOCH + 2)
        assert await beginner.run()
        assert len(beginner.download) >= CHUNKS_MIN
        beginner.make_store(tmp_path / "new" / "db").close()

        new = SyncNode.open(world, tmp_path, spec(), "new")
        assert new.height == HEIGHT
        async with running(new):
            await new.wait_height(HEIGHT + EPOCH + 2)
            grow(server.small, 5)
            server.tell_height()
            await new.wait_height(HEIGHT + EPOCH + 7)

    assert new.small.chain.tree.tree.root == server.small.chain.final.state_root
    assert new.small.chain.final_hash == server.small.chain.final_hash
    assert beginner.charged == []
    new.close()


async def test_node_that_began_with_a_snapshot_gives_snapshots_itself(
    world: MemoryHub, server: SyncNode, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    first = Beginner(world, tmp_path / "first", tables_of(server.small))
    async with running(server):
        await wait_snapshots(server)
        assert await first.run()
    first.make_store(tmp_path / "new" / "db").close()
    new = SyncNode.open(world, tmp_path, spec(), "new")

    second = Beginner(world, tmp_path / "second", tables_of(server.small))
    async with running(new):
        await wait_snapshots(new)
        assert await second.run()

    assert second.download.header == first.download.header
    new.close()


async def test_chunks_come_from_several_peers(
    world: MemoryHub,
    server: SyncNode,
    other: SyncNode,
    tmp_path: Path,
    clock: trio.testing.MockClock,
) -> None:
    beginner = Beginner(world, tmp_path, tables_of(server.small))
    async with running(server, other):
        await wait_snapshots(server, other)
        assert await beginner.run()

    for node in (server, other):
        assert "chunks" in [name for _, name in node.asked]


def forge_handover(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    if name != "handovers" or number != 1:
        return [answer]
    item = HANDOVER.decode(answer)
    return [answer.replace(item.table[-8:], bytes(8))]


def hide_handovers(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [] if name == "handovers" else [answer]


def forge_skeleton(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    if name != "manifest":
        return [answer]
    item = MANIFEST.decode(answer)
    forged = item.digests[:5] + bytes([item.digests[5] ^ 1]) + item.digests[6:]
    return [MANIFEST.encode(Manifest(item.epoch, item.height, item.depths, forged))]


def garble_skeleton(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [answer[:-1]] if name == "manifest" else [answer]


def hide_skeleton(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [] if name == "manifest" else [answer]


def forge_chunk(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [answer[:-1] + bytes([answer[-1] ^ 1])] if name == "chunks" else [answer]


def hide_chunks(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [] if name == "chunks" else [answer]


def repeat_chunks(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [answer] * 2 if name == "chunks" else [answer]


def offer_the_future(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    if name != "snapshots":
        return [answer]
    return [SNAPSHOT_OFFER.encode(SnapshotOffer(Epoch(1 << 40), Height(1 << 50)))]


def garble_offers(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [b"\x00"] if name == "snapshots" else [answer]


LIES: list[Lie] = [
    forge_handover,
    hide_handovers,
    forge_skeleton,
    garble_skeleton,
    hide_skeleton,
    forge_chunk,
    hide_chunks,
    repeat_chunks,
    offer_the_future,
    garble_offers,
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
async def test_liar_is_charged_and_the_snapshot_comes_from_others(
    lie: Lie,
    world: MemoryHub,
    server: SyncNode,
    other: SyncNode,
    tmp_path: Path,
    clock: trio.testing.MockClock,
) -> None:
    beginner = Beginner(world, tmp_path, tables_of(server.small))
    other.lie = lie
    async with running(other):
        await wait_snapshots(other)
        with trio.move_on_after(5):
            await beginner.run()
        assert set(beginner.charged) == {peer_of("other")}
        async with running(server):
            await wait_snapshots(server)
            assert await beginner.run()

    assert beginner.download.header == server.small.chain.final
    entries = dict(beginner.download.entries())
    assert entries == dict(server.small.chain.store.reads.items())
    assert set(beginner.charged) == {peer_of("other")}


@pytest.mark.parametrize("is_silent", [True, False])
async def test_silent_or_refusing_peer_is_left_alone_and_not_charged(
    is_silent: bool,
    world: MemoryHub,
    server: SyncNode,
    other: SyncNode,
    tmp_path: Path,
    clock: trio.testing.MockClock,
) -> None:
    beginner = Beginner(world, tmp_path, tables_of(server.small))
    async with running(other, server):
        await wait_snapshots(other, server)
        other.is_silent = is_silent
        other.lie = None if is_silent else refuse
        assert await beginner.run()

    assert beginner.charged == []


async def test_download_that_was_cut_off_goes_on_with_what_is_missing(
    world: MemoryHub, server: SyncNode, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    given = 0

    def fail_after_two(name: str, number: int, answer: bytes) -> Iterable[bytes]:
        nonlocal given
        given += name == "chunks"
        if name == "chunks" and given == 3:
            raise RequestRefused("enough")
        return [answer]

    beginner = Beginner(world, tmp_path, tables_of(server.small))
    server.lie = fail_after_two
    async with running(server):
        await wait_snapshots(server)
        with trio.move_on_after(5):
            await beginner.run()
        assert len(beginner.download.missing) == len(beginner.download) - 2
        server.asked.clear()

        beginner = Beginner(world, tmp_path, tables_of(server.small))
        assert beginner.download.tables.epoch == 2
        assert await beginner.run()

    assert given == 1 + len(beginner.download)
    assert "handovers" not in [name for _, name in server.asked]


async def test_without_a_snapshot_anywhere_blocks_have_to_do(
    world: MemoryHub, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    small = SmallChain.open(tmp_path / "young" / "db", spec())
    young = SyncNode.of_chain(world, tmp_path, small, "young")
    beginner = Beginner(world, tmp_path, tables_of(small))
    async with running(young):
        assert not await beginner.run()
    young.close()


async def test_snapshot_of_a_chain_that_misses_the_checkpoint_is_refused(
    world: MemoryHub, server: SyncNode, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    trusted = Checkpoint(Height(EPOCH), Digest(bytes(32)))
    beginner = Beginner(world, tmp_path, tables_of(server.small, trusted))
    async with running(server):
        await wait_snapshots(server)
        with trio.move_on_after(30):
            await beginner.run()

    assert set(beginner.charged) == {peer_of("server")}
    assert beginner.download.tables.epoch == 0


async def test_snapshot_before_the_checkpoint_is_waited_past(
    world: MemoryHub,
    server: SyncNode,
    source: Path,
    tmp_path: Path,
    clock: trio.testing.MockClock,
) -> None:
    shutil.copytree(source, tmp_path / "ahead")
    ahead = SmallChain.open(tmp_path / "ahead", spec())
    grow(ahead, EPOCH)
    beginner = Beginner(world, tmp_path, tables_of(ahead, checkpoint_at(ahead, 3 * EPOCH)))
    async with running(server):
        await wait_snapshots(server)
        with trio.move_on_after(30):
            await beginner.run()
        assert beginner.download.manifest is None
        grow(server.small, EPOCH)
        server.snapshots._plan()
        assert await beginner.run()

    assert beginner.download.header.height == 3 * EPOCH
    ahead.close()


async def test_beginner_refuses_what_it_is_asked(
    world: MemoryHub, server: SyncNode, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    beginner = Beginner(world, tmp_path, tables_of(server.small))

    with pytest.raises(RequestRefused):
        async for _ in beginner.sync.on_request(peer_of("server"), "blocks", b"\x00"):
            pass


async def test_requests_beyond_what_is_kept_are_refused(
    server: SyncNode, clock: trio.testing.MockClock
) -> None:
    async with running(server):
        await wait_snapshots(server)
        answer = server.snapshots.answer
        for first in (2, 1 << 63, (1 << 64) - 1):
            request = HandoversRequest(Epoch(first), 9)
            assert list(answer("handovers", HANDOVERS_REQUEST.encode(request))) == []
        with pytest.raises(RequestRefused):
            answer("manifest", MANIFEST_REQUEST.encode(Epoch(7)))
        for epoch, numbers in ((7, (0,)), (1, (60_000,))):
            request_ = CHUNKS_REQUEST.encode(ChunksRequest(Epoch(epoch), numbers))
            with pytest.raises(RequestRefused):
                list(answer("chunks", request_))
        with pytest.raises(RequestRefused):
            answer("unheard of", b"\x00")
        for name in ("handovers", "snapshots", "manifest", "chunks"):
            with pytest.raises(DecodeError):
                answer(name, b"\xc1")


def test_checkpoint_inside_an_epoch_is_a_mistake_of_the_operator() -> None:
    with pytest.raises(WrongCheckpoint, match="multiple of 4"):
        table_chain(spec(), genesis_of(spec()).hash, Checkpoint(Height(5), Digest(bytes(32))))


@pytest.mark.parametrize("kind", ["alone", "archive"])
async def test_snapshot_cannot_be_had_alone_or_by_an_archive(tmp_path: Path, kind: str) -> None:
    network = None if kind == "alone" else NetworkConfig(listen=())
    config = NodeConfig(
        base_path=tmp_path,
        name="new",
        is_validator=False,
        keep_blocks=None if kind == "archive" else 256,
        network=network,
        sync=SyncWay.SNAPSHOT,
        signature_workers=1,
    )

    with pytest.raises(NothingToSyncFrom):
        await run_node(config, spec())
