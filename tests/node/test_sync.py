"""Catching up by blocks: over honest peers, lying ones, silent ones, and restarts."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

import node.sync
from chain.handover import Checkpoint
from chain.store_check import check_store
from consensus.simplex.messages import CERTIFICATE
from genesis.spec import ChainSpec
from node import wire
from node.sync import CannotFollow, Progress
from node.wire import FINAL_BLOCK, FinalBlock
from p2p.faults import Fault
from p2p.identity import PeerId
from p2p.memory import MemoryHub
from primitives.block import Block, Header
from primitives.types import Digest, Epoch, Height, Millis, Weight
from tests.chain.certified_chains import checkpoint_at, grow
from tests.chain.small_chains import SmallChain, small_spec
from tests.node.small_nodes import SmallNode
from tests.node.sync_nodes import HIGHEST, Lie, SyncNode, hub, peer_of, refuse, running
from tests.node.town import determined

EPOCH = 8
BLOCKS = 30


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a chain with blocks to fetch; only some have their own certificates."""
    path = tmp_path_factory.mktemp("source") / "db"
    small = SmallChain.open(path, spec())
    grow(small, BLOCKS, certified_every=3)
    small.close()
    return path


def spec() -> ChainSpec:
    return small_spec(epoch_length=EPOCH)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    return determined(monkeypatch)


@pytest.fixture
def world() -> MemoryHub:
    return hub()


@pytest.fixture
def server(world: MemoryHub, source: Path, tmp_path: Path) -> Iterator[SyncNode]:
    yield from opened(world, source, tmp_path, "server")


@pytest.fixture
def other(world: MemoryHub, source: Path, tmp_path: Path) -> Iterator[SyncNode]:
    yield from opened(world, source, tmp_path, "other")


@pytest.fixture
def new(world: MemoryHub, tmp_path: Path) -> Iterator[SyncNode]:
    node_ = SyncNode.open(world, tmp_path, spec(), "new")
    yield node_
    node_.close()


def opened(world: MemoryHub, source: Path, tmp_path: Path, name: str) -> Iterator[SyncNode]:
    shutil.copytree(source, tmp_path / name / "db")
    node_ = SyncNode.open(world, tmp_path, spec(), name)
    yield node_
    node_.close()


def assert_same_chain(new: SyncNode, server: SyncNode) -> None:
    assert new.small.chain.final_hash == server.small.chain.final_hash
    assert new.small.chain.tree.tree.root == server.small.chain.final.state_root
    reads, theirs = new.small.chain.store.reads, server.small.chain.store.reads
    assert dict(reads.items()) == dict(theirs.items())
    for epoch in range(BLOCKS // EPOCH):
        assert reads.find_handover(Epoch(epoch)) == theirs.find_handover(Epoch(epoch))
    with new.small.chain.store.snapshot() as reader:
        assert check_store(reader, lambda _: None) == []


async def test_new_node_gets_the_whole_chain_and_follows_it(
    new: SyncNode, server: SyncNode, clock: trio.testing.MockClock
) -> None:
    shown: list[int] = []
    new.sync.on_progress = lambda progress: shown.append(progress.current if progress else -1)

    async with running(server, new):
        await new.wait_height(BLOCKS)
        assert_same_chain(new, server)
        grow(server.small, 10)
        server.tell_height()
        await new.wait_height(BLOCKS + 10)
        await trio.sleep(1)

    assert_same_chain(new, server)
    assert new.sync.progress is None
    assert shown[-1] == -1
    assert shown[0] == 0
    assert {EPOCH, 2 * EPOCH, 3 * EPOCH, BLOCKS} <= set(shown)
    told = [(c.epoch, c.block) for c in new.certificates]
    assert (0, new.small.chain.final_header_at(Height(EPOCH)).hash) in told
    assert new.service.best == new.small.chain.final_hash


async def test_progress_and_rate_are_told(
    new: SyncNode,
    server: SyncNode,
    clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "node.sync")
    seen: list[tuple[float, Progress]] = []

    def note(progress: Progress | None) -> None:
        if progress is not None:
            seen.append((trio.current_time(), progress))

    new.sync.on_progress = note
    async with running(server, new):
        await new.wait_height(BLOCKS)
        await trio.sleep(1)

    began = seen[0][0]
    later = [(now - began, progress) for now, progress in seen if now > began]
    assert {progress.highest for _, progress in later} == {BLOCKS}
    for seconds, progress in later:
        assert progress.blocks_per_second == pytest.approx(progress.current / seconds, rel=0.01)
    assert later[-1][1].current == BLOCKS
    (end,) = [line for line in caplog.messages if "event=synced" in line]
    rate = later[-1][1].blocks_per_second
    assert end == f"height={BLOCKS} event=synced of={BLOCKS} blocks_per_second={rate:.0f}"


async def test_ranges_come_from_several_peers(
    new: SyncNode, server: SyncNode, other: SyncNode, clock: trio.testing.MockClock
) -> None:
    async with running(server, other, new):
        await new.wait_height(BLOCKS)

    assert_same_chain(new, server)
    assert len(server.asked) >= 2
    assert len(other.asked) >= 2


async def test_sync_goes_on_where_a_restart_cut_it_off(
    world: MemoryHub, server: SyncNode, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    new = SyncNode.open(world, tmp_path, spec(), "new")
    is_under_way = trio.Event()
    new.sync.on_progress = lambda now: is_under_way.set() if now and now.current else None
    async with running(server, new):
        await is_under_way.wait()
    reached = new.height
    new.close()
    assert EPOCH <= reached < BLOCKS
    asked = len(server.asked)

    new = SyncNode.open(world, tmp_path, spec(), "new")
    assert new.height == reached
    async with running(server, new):
        await new.wait_height(BLOCKS)

    assert_same_chain(new, server)
    assert len(server.asked) - asked <= 5
    new.close()


def changed(answer: bytes, header: Header | None = None, body: tuple[bytes, ...] = ()) -> bytes:
    item = FINAL_BLOCK.decode(answer)
    block = Block.decode(item.block)
    made = Block(header or block.header, body or block.extrinsics)
    return FINAL_BLOCK.encode(FinalBlock(made.encode(), item.certificate))


def forge_header(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    header = Block.decode(FINAL_BLOCK.decode(answer).block).header
    return [changed(answer, replace(header, timestamp=Millis(header.timestamp + 1)))]


def forge_body(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [changed(answer, body=(b"\x01",))]


def forge_certificate(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    item = FINAL_BLOCK.decode(answer)
    if not item.certificate:
        return [answer]
    certificate = CERTIFICATE.decode(item.certificate)
    forged = replace(certificate, signatures=certificate.signatures[::-1], signers=b"\x00")
    return [FINAL_BLOCK.encode(FinalBlock(item.block, CERTIFICATE.encode(forged)))]


def drop_certificates(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [FINAL_BLOCK.encode(FinalBlock(FINAL_BLOCK.decode(answer).block, b""))]


def cut_short(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [answer] if number < 2 else []


def leave_one_out(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [] if number == 1 else [answer]


def repeat(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [answer] * 2


def never_end(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    while True:
        yield answer


def say_nothing(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return []


def garble(name: str, number: int, answer: bytes) -> Iterable[bytes]:
    return [answer[:-1]]


LIES: list[Lie] = [
    forge_header,
    forge_body,
    forge_certificate,
    drop_certificates,
    cut_short,
    leave_one_out,
    repeat,
    never_end,
    say_nothing,
    garble,
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
async def test_liar_is_charged_and_the_chain_comes_from_others(
    lie: Lie, new: SyncNode, server: SyncNode, other: SyncNode, clock: trio.testing.MockClock
) -> None:
    other.lie = lie
    faults: list[tuple[str, str]] = []
    charge = new.network.report

    def report(peer: PeerId, fault: Fault, detail: str = "") -> None:
        faults.append((peer, detail))
        charge(peer, fault, detail)

    new.network.report = report  # type: ignore[method-assign]  # to hear of it

    async with running(other, new):
        await trio.sleep(3)
        assert new.height == 0
        async with running(server):
            await new.wait_height(BLOCKS)

    assert_same_chain(new, server)
    assert {peer for peer, _ in faults} == {peer_of("other")}
    assert all(detail for _, detail in faults)
    assert sum(new.network.faults().values()) == len(faults), "and it is in the metrics"


@pytest.mark.parametrize("kind", ["silent", "refusing", "boasting"])
async def test_peer_that_is_of_no_use_is_left_alone_and_not_charged(
    kind: str, new: SyncNode, server: SyncNode, other: SyncNode, clock: trio.testing.MockClock
) -> None:
    if kind == "silent":
        other.is_silent = True
    elif kind == "refusing":
        other.lie = refuse
    else:
        other.claimed = HIGHEST
    async with running(other, server, new):
        await new.wait_height(BLOCKS)
        await trio.sleep(5)

    assert_same_chain(new, server)
    assert new.bans() == set()
    assert new.sync.progress is None or kind != "boasting"


async def test_peer_that_trickles_is_too_slow_for_a_range(
    new: SyncNode, server: SyncNode, other: SyncNode, world: MemoryHub,
    clock: trio.testing.MockClock,
) -> None:  # fmt: skip
    world.rules(other.network.peer, new.network.peer).delay_seconds = 9.0
    world.rules(new.network.peer, other.network.peer).delay_seconds = 9.0
    async with running(other, new):
        await trio.sleep(node.sync.RANGE_SECONDS + 40)
        assert new.height == 0
        async with running(server):
            await new.wait_height(BLOCKS)

    assert_same_chain(new, server)
    assert new.bans() == set()


async def test_chain_that_misses_the_checkpoint_is_refused(
    world: MemoryHub, server: SyncNode, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    trusted = Checkpoint(Height(2 * EPOCH), Digest(bytes(32)))
    new = SyncNode.open(world, tmp_path, spec(), "new", checkpoint=trusted)
    async with running(server, new):
        await trio.sleep(5)

    assert new.height == EPOCH
    assert new.bans() == {server.network.peer}
    new.close()


async def test_chain_through_the_checkpoint_is_taken(
    world: MemoryHub, server: SyncNode, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    trusted = checkpoint_at(server.small, 2 * EPOCH)
    new = SyncNode.open(world, tmp_path, spec(), "new", checkpoint=trusted)
    async with running(server, new):
        await new.wait_height(BLOCKS)

    assert_same_chain(new, server)
    new.close()


async def test_final_block_that_is_invalid_here_stops_the_node_and_blames_nobody(
    new: SyncNode, server: SyncNode, monkeypatch: pytest.MonkeyPatch, clock: trio.testing.MockClock
) -> None:
    """As when the chain has gone on with rules that this program does not have."""
    rules = new.small.chain.config
    heavier = Weight(rules.system.extrinsic_weight + 1)
    new.small.chain.config = replace(rules, system=replace(rules.system, extrinsic_weight=heavier))

    with pytest.raises(BaseExceptionGroup) as caught:
        async with running(server, new):
            await new.wait_height(BLOCKS)

    assert caught.group_contains(CannotFollow)
    assert new.bans() == set()


async def test_range_that_grew_large_ends_with_a_certificate(
    new: SyncNode, server: SyncNode, monkeypatch: pytest.MonkeyPatch, clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(node.sync, "RANGE_BYTES_GOAL", 1)
    request = wire.RANGE_REQUEST.encode(wire.RangeRequest(Height(1), 64))

    answers = [FINAL_BLOCK.decode(each) for each in server.sync.answer_range(request)]

    assert [bool(each.certificate) for each in answers] == [False, False, True]
    async with running(server, new):
        await new.wait_height(BLOCKS)
    assert_same_chain(new, server)


async def test_prunes_as_it_catches_up(
    new: SyncNode, server: SyncNode, clock: trio.testing.MockClock
) -> None:
    new.small.chain.store.set_keep_blocks(7)
    async with running(server, new):
        await new.wait_height(BLOCKS)

    reads = new.small.chain.store.reads
    assert reads.pruned_below == BLOCKS + 1 - 7
    with new.small.chain.store.snapshot() as reader:
        assert check_store(reader, lambda _: None) == []


async def test_consensus_leaves_epochs_behind_as_sync_passes_them(
    server: SyncNode, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    follower = SmallNode.open(tmp_path / "follower", spec(), name=None)
    chain = follower.small.chain

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.driver.run)
        await trio.testing.wait_all_tasks_blocked()
        assert follower.driver.epoch == 0
        certificate = b""
        while chain.final.height < BLOCKS:
            request = wire.RangeRequest(Height(chain.final.height + 1), 64)
            payload = wire.RANGE_REQUEST.encode(request)
            items = [FINAL_BLOCK.decode(each) for each in server.sync.answer_range(payload)]
            blocks = [Block.decode(item.block) for item in items]
            certificate = items[-1].certificate
            await follower.service.take_final(blocks, certificate)
        # Of all the epochs' ends the machine hears of none, only of the newest final block.
        follower.driver.offer(CERTIFICATE.decode(certificate))
        await trio.sleep(1)

        assert follower.driver.epoch == BLOCKS // EPOCH
        assert follower.driver.view > chain.final.view
        nursery.cancel_scope.cancel()
    follower.close()
