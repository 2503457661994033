"""Blocks from peers that lie, hesitate, or have only a part."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from chain.blockchain import Imported
from node.announcements import EACH_MAX, Announcements
from node.block_exchange import BlockExchange, PlacesNotAscending, compact
from node.block_race import HESITATION
from node.node_network import REQUESTS
from node.wire import EXTRINSICS_REQUEST, CompactBlock, ExtrinsicsRequest
from p2p.faults import RequestRefused
from p2p.identity import PeerId, peer_id_of_seed
from p2p.memory import MemoryHub, MemoryNetwork
from primitives.block import Block
from primitives.types import Digest, Height
from runtime.executive import ReadyExtrinsic
from tests.chain.small_chains import small_spec
from tests.node.small_nodes import SmallNode
from tests.node.town import determined

Answer = Callable[[str, bytes], AsyncGenerator[bytes, None]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    return determined(monkeypatch)


@dataclass
class Neighbour:
    """A peer that answers as a test wants it."""

    answer: Answer
    asked: list[str] = field(default_factory=list)

    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None: ...

    async def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]:
        self.asked.append(name)
        async with aclosing(self.answer(name, payload)) as items:
            async for item in items:
                yield item

    def on_peer_up(self, peer: PeerId) -> None: ...
    def on_peer_down(self, peer: PeerId, reason: str) -> None: ...
    def on_record(self, peer: PeerId, record: bytes) -> None: ...
    def is_allowed(self, peer: PeerId) -> bool:
        return True


@dataclass
class Scene:
    """A node that wants a block, the block, and whom it can ask."""

    exchange: BlockExchange
    network: MemoryNetwork
    block: Imported
    author: SmallNode
    node: SmallNode
    peers: dict[str, PeerId]
    neighbours: dict[str, Neighbour]

    async def fetch(self) -> Block:
        with trio.fail_after(60):
            return await self.exchange.fetch(self.block.hash)

    def banned(self) -> list[str]:
        names = {peer: name for name, peer in self.peers.items()}
        return [names[ban.peer] for ban in self.network.bans()]


def honest(author: SmallNode) -> Answer:
    exchange = BlockExchange(
        author.small.chain, author.mempool, MemoryNetwork(MemoryHub(Random(1)), PeerId("x"), None),  # type: ignore[arg-type]  # it is only asked
        Random(1),
    )  # fmt: skip

    async def answer(name: str, payload: bytes) -> AsyncGenerator[bytes, None]:
        if name == "block":
            yield exchange.answer_block(payload)
        else:
            for item in exchange.answer_extrinsics(payload):
                yield item

    return answer


async def refuse(name: str, payload: bytes) -> AsyncGenerator[bytes, None]:
    if name:
        raise RequestRefused("not held")
    yield b""


async def hang(name: str, payload: bytes) -> AsyncGenerator[bytes, None]:
    await trio.Event().wait()
    yield b""


async def babble(name: str, payload: bytes, said: bytes = b"\xc1") -> AsyncGenerator[bytes, None]:
    yield said


@asynccontextmanager
async def scene(folder: Path, **answers: Answer | None) -> AsyncIterator[Scene]:
    """Set up neighbours; None is one with the block."""
    author = SmallNode.open(folder / "author", small_spec())
    parent = author.small.chain.final_hash
    transfers = [author.small.transfer("Alice", nonce, "Bob") for nonce in range(6)]
    block = author.small.build(parent, transfers)
    node = SmallNode.open(folder / "node", small_spec(), name=None)
    hub = MemoryHub(Random(3))
    peers = {name: peer_id_of_seed(name.encode().ljust(32)) for name in answers}
    own = MemoryNetwork(hub, peer_id_of_seed(bytes(32)), Neighbour(refuse), REQUESTS)
    neighbours: dict[str, Neighbour] = {}
    async with trio.open_nursery() as nursery:
        await nursery.start(own.run)
        for name, answer in answers.items():
            neighbours[name] = Neighbour(answer or honest(author))
            await nursery.start(MemoryNetwork(hub, peers[name], neighbours[name], REQUESTS).run)
        exchange = BlockExchange(node.small.chain, node.mempool, own, Random(5))
        yield Scene(exchange, own, block, author, node, peers, neighbours)
        nursery.cancel_scope.cancel()
    author.close()
    node.close()


async def test_lying_announcer_pays_and_the_block_comes_from_another(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path, honest=None, liar=None) as here:
        true = compact(here.block)
        lie = replace(true, hashes=(*true.hashes[:-1], true.hashes[1]))
        for encoded in here.block.block.extrinsics[1:]:
            here.node.mempool.submit(ReadyExtrinsic.decode(encoded))
        here.exchange.on_announced(here.peers["liar"], lie)
        here.exchange.on_announced(here.peers["honest"], true)

        block = await here.fetch()

        assert block == here.block.block
        assert here.banned() == ["liar"]


async def test_announced_block_is_asked_for_in_parts_only(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path, honest=None) as here:
        here.exchange.on_announced(here.peers["honest"], compact(here.block))

        assert await here.fetch() == here.block.block
        assert here.neighbours["honest"].asked == ["extrinsics"]


async def test_peers_that_hang_hold_nobody_up(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path, a=hang, b=hang, c=hang, honest=None) as here:
        here.exchange.on_announced(here.peers["a"], compact(here.block))
        start = trio.current_time()

        assert await here.fetch() == here.block.block

        assert trio.current_time() - start <= 4 * HESITATION + 0.5
        assert here.banned() == []
        again = trio.current_time()
        assert await here.fetch() == here.block.block
        assert trio.current_time() - again <= 2 * HESITATION + 0.1, "quick ones are asked first"


@pytest.mark.parametrize("said", [b"\xc1", b"", b"\x92\x90\x90"])
async def test_babbler_pays_and_the_next_is_asked(
    tmp_path: Path, clock: trio.testing.MockClock, said: bytes
) -> None:
    liar = partial(babble, said=said)
    async with scene(tmp_path, a=liar, b=liar, c=refuse, honest=None) as here:
        assert await here.fetch() == here.block.block
        assert "honest" not in here.banned()


async def test_another_block_than_asked_for_is_refused(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path, liar=refuse, honest=None) as here:
        other = Block(here.block.header, here.block.block.extrinsics[:-1])
        here.neighbours["liar"].answer = partial(babble, said=other.encode())

        for _ in range(8):
            assert await here.fetch() == here.block.block


async def test_many_wait_for_one_block_and_it_is_asked_for_once(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path, honest=None) as here:
        got: list[Block] = []

        async def want() -> None:
            got.append(await here.fetch())

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(want)

        assert got == [here.block.block] * 10
        assert here.neighbours["honest"].asked == ["block"]
        assert here.exchange._wanted == {}


async def test_who_asked_first_may_give_up(tmp_path: Path, clock: trio.testing.MockClock) -> None:
    async with scene(tmp_path, a=hang) as here:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.fetch)
            await trio.sleep(1)
            with trio.move_on_after(1):
                await here.fetch()
            nursery.cancel_scope.cancel()

        assert here.exchange._wanted == {}


async def test_places_asked_for_twice_are_no_request(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    """Else a few bytes would fetch one large extrinsic sixteen thousand times."""
    async with scene(tmp_path) as here:
        asked = BlockExchange(here.author.small.chain, here.author.mempool, here.network, Random())

        def ask(*places: int) -> list[bytes]:
            request = ExtrinsicsRequest(here.block.hash, places)
            return list(asked.answer_extrinsics(EXTRINSICS_REQUEST.encode(request)))

        for places in ((1, 1), (2, 1), (0, 3, 3)):
            with pytest.raises(PlacesNotAscending):
                ask(*places)
        with pytest.raises(RequestRefused):
            ask(1, 99)
        assert len(ask(1, 2, 6)) == 1
        assert ask() == []


def header_at(block: CompactBlock, height: int, number: int = 0) -> CompactBlock:
    root = Digest(number.to_bytes(32, "big"))
    header = replace(block.header, height=Height(height), extrinsics_root=root)
    return replace(block, header=header)


async def test_announcements_of_one_peer_push_out_nobody_elses(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    async with scene(tmp_path) as here:
        node = SmallNode.open(tmp_path / "third", small_spec(), name=None)
        announcements = Announcements(node.small.chain)
        true = compact(here.block)
        assert announcements.add(PeerId("honest"), true)

        for number in range(1000):
            announcements.add(PeerId("flooder"), header_at(true, 1, number))
        useless = [header_at(true, 0), header_at(true, 2**40), replace(true, inherents=())]
        taken = [announcements.add(PeerId("flooder"), block) for block in useless]

        assert taken == [False, False, False]
        assert announcements.of(here.block.hash) == [(PeerId("honest"), true)]
        assert len(announcements) == 1 + EACH_MAX
        announcements.forget_up_to(Height(1))
        assert len(announcements) == 0
        node.close()
