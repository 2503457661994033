"""One class of a provider's program: a paper chain, a scripted worker, and what is sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from miner.provider_messages import Commitment, Fact, Sight, Tell
from miner.resources import Resource
from node.client.errors import ConnectionLost
from node.client.node_client import KnownHeader
from node.provider.board import Board, ClassBoard
from node.provider.program import ClassProgram, ClassTerms, Settings
from node.provider.sender import NotSent
from primitives.block import Header
from primitives.codec import Plain
from primitives.types import AccountId, Digest, Epoch, Height, Millis, View, Weight
from runtime.pocps.forward_pass import ForwardPassClass
from runtime.pocps.storage_proof import StorageClass
from tests.miner.provider_chain import PENALTY, WINDOWS, PaperChain

SCRIPT = Path(__file__).with_name("scripted_worker.py")
PATIENCE_SECONDS = 60
NETWORK = ForwardPassClass(
    class_id=7, width=64, depth=1, rows_per_unit=4, rows_per_leaf=1, samples=2, units_max=50
)
DISK = StorageClass(
    class_id=8, labels_per_chunk=4, passes=2, chunks_per_unit=4, samples=2, units_max=50,
    operations_per_unit=1000,
)  # fmt: skip


def head_at(height: int) -> KnownHeader:
    blank = Digest(bytes(32))
    header = Header(
        parent_hash=blank,
        height=Height(height),
        view=View(height),
        epoch=Epoch(0),
        timestamp=Millis(height),
        author=AccountId(bytes(32)),
        state_root=blank,
        extrinsics_root=blank,
        receipts_root=blank,
        vrf_proof=b"",
    )
    return KnownHeader(blank, header)


class PaperReader:
    """Says what the paper chain shows now."""

    def __init__(self, chain: PaperChain) -> None:
        self.chain = chain
        self.is_gone = False

    def look(self, class_id: int, head: KnownHeader) -> Sight:
        if self.is_gone:
            raise ConnectionLost("the node went away")
        return self.chain.sight()


class PaperPost:
    """Takes calls, or refuses them."""

    account = AccountId(b"p" * 32)

    def __init__(self) -> None:
        self.put, self.calls = trio.open_memory_channel[tuple[Plain, int, int]](100)
        self.refusals: list[str] = []

    async def send(self, call: Plain, valid_until: Height, *, raise_tip: int, tip_max: int) -> int:
        await trio.lowlevel.checkpoint()
        self.put.send_nowait((call, raise_tip, tip_max))
        if self.refusals:
            raise NotSent(self.refusals.pop())
        return 11

    async def wait(self) -> tuple[Plain, int, int]:
        with trio.fail_after(PATIENCE_SECONDS):
            return await self.calls.receive()


class Scene:
    """A program at work, and everything around it."""

    def __init__(
        self, folder: Path, resource: Resource, plays: tuple[str, ...], units: int | None
    ) -> None:
        self.chain = PaperChain()
        self.reader, self.post = PaperReader(self.chain), PaperPost()
        self.board = Board("address", "url")
        self.say, self.facts = trio.open_memory_channel[Fact](1000)
        self.board.on_tell.append(self._on_tell)
        worker = (str(SCRIPT), str(folder / "diary"), *plays)
        self.program = ClassProgram(
            ClassTerms(resource, "class", Weight(9)),
            WINDOWS,
            Settings(folder, units, worker=worker),
            reader=self.reader,
            post=self.post,
            board=self.board,
        )

    def _on_tell(self, _: ClassBoard, told: Tell) -> None:
        self.say.send_nowait(told.fact)

    async def wait(self, fact: Fact) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            while await self.facts.receive() is not fact:
                pass

    def advance(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.chain.make_block()
        self.program.on_head(head_at(self.chain.height))


@asynccontextmanager
async def at_work(
    folder: Path, *plays: str, resource: Resource = NETWORK, units: int | None = None
) -> AsyncIterator[Scene]:
    scene = Scene(folder, resource, plays, units)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.program.run)
        yield scene
        nursery.cancel_scope.cancel()


def commit_on_chain(scene: Scene, call: Plain) -> None:
    assert isinstance(call, list)
    units, root = call[2], call[3]
    assert isinstance(units, int)
    assert isinstance(root, bytes)
    scene.chain.commitments[0] = Commitment(units, Digest(root))


async def test_an_epoch_is_proven_committed_to_and_answered(tmp_path: Path) -> None:
    async with at_work(tmp_path) as scene:
        scene.advance()
        committed, _, _ = await scene.post.wait()
        commit_on_chain(scene, committed)
        scene.advance(10)
        responded, tip, _ = await scene.post.wait()
        scene.chain.responded.add(0)
        scene.advance()
        await scene.wait(Fact.RESPONDED)

    assert committed == ["pocps.commit", 7, 5, bytes([1, 5]) * 16]
    assert responded == ["pocps.respond", 7, [b"\xaa" * 32, b"\xaa" * 32], 9]
    assert tip == 0
    board = scene.board.classes[0]
    assert board.document()["doing"] == "proven"
    assert board.fees >= 11


async def test_a_worker_that_dies_in_the_middle_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.provider.worker_process.PAUSE_SECONDS", 0.01)
    async with at_work(tmp_path, "die") as scene:
        scene.advance()

        call, _, _ = await scene.post.wait()

    assert isinstance(call, list)
    assert call[0] == "pocps.commit"
    assert scene.board.classes[0].worker_restarts == 1


async def test_what_was_refused_is_sent_again_with_a_tip_below_the_penalty(tmp_path: Path) -> None:
    async with at_work(tmp_path) as scene:
        scene.post.refusals = ["the mempool is full"]
        scene.advance()
        await scene.post.wait()
        await scene.wait(Fact.REFUSED)
        scene.advance()

        call, raise_tip, tip_max = await scene.post.wait()

    assert isinstance(call, list)
    assert call[0] == "pocps.commit"
    assert raise_tip == 1
    assert tip_max == PENALTY // 10


async def test_a_node_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    async with at_work(tmp_path) as scene:
        scene.reader.is_gone = True
        scene.advance()
        await trio.testing.wait_all_tasks_blocked()
        scene.reader.is_gone = False
        scene.advance()

        call, _, _ = await scene.post.wait()

    assert isinstance(call, list)
    assert call[0] == "pocps.commit"


async def test_a_failed_proof_is_told(tmp_path: Path) -> None:
    async with at_work(tmp_path, "fail") as scene:
        scene.advance()
        await scene.wait(Fact.PROOF_FAILED)

    told = scene.board.classes[0].facts[-1]
    assert told.detail == "DiskFull: no room"
    assert told.cost == PENALTY


async def test_storage_is_sealed_before_it_is_staked(tmp_path: Path) -> None:
    async with at_work(tmp_path, resource=DISK, units=9) as scene:
        scene.chain.units = 0
        scene.advance()

        call, _, _ = await scene.post.wait()

    assert call == ["pocps.register", 8, 9]
    assert "seal" in (tmp_path / "diary").read_text().split()


async def test_heads_that_come_too_fast_are_dropped_and_not_waited_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path, NETWORK, (), None)

    for _ in range(1000):
        scene.advance()

    assert scene.program._queue.statistics().current_buffer_used == 256
