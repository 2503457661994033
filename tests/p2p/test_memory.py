"""The network in memory keeps the promises that tests of upper layers rely on."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from trio.testing import MockClock

from p2p.faults import (
    BadAnswer,
    ConnectionLost,
    Fault,
    FrameTooLarge,
    NotConnected,
    RequestRefused,
    RequestTimedOut,
)
from p2p.identity import PeerId
from p2p.memory import MemoryHub, MemoryNetwork
from p2p.network import NetworkApi
from tests.p2p.nodes import BLOCKS, Recorder, peer_id


class Responder(Recorder):
    """Answers as the request asks it to."""

    async def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]:
        match payload:
            case b"refuse":
                raise RequestRefused("pruned")
            case b"sleep":
                await trio.sleep(3600)
            case b"huge":
                yield bytes(BLOCKS.answer_bytes_max + 1)
            case b"endless":
                while True:
                    yield b"more"
            case _:
                yield payload
                yield payload * 2


class World:
    def __init__(self, count: int, delay_seconds: float = 0.1) -> None:
        self.hub = MemoryHub(Random(7), delay_seconds)
        self.handlers = [Responder() for _ in range(count)]
        self.nodes = [
            MemoryNetwork(self.hub, peer_id(number), handler, (BLOCKS,))
            for number, handler in enumerate(self.handlers)
        ]


@asynccontextmanager
async def world(count: int) -> AsyncGenerator[World, None]:
    made = World(count)
    async with trio.open_nursery() as nursery:
        for node in made.nodes:
            await nursery.start(node.run)
        yield made
        nursery.cancel_scope.cancel()


async def test_everybody_meets_and_frames_take_their_time(autojump_clock: MockClock) -> None:
    async with world(4) as made:
        here, there = made.nodes[0], made.handlers[1]
        api: NetworkApi = here
        assert api.broadcast("vote", b"one") == 3
        assert api.send(made.nodes[1].peer, "bulk", b"two")

        await trio.sleep(0.099)
        assert there.frames == []
        await trio.sleep(0.002)

        assert sorted(there.frames) == [(here.peer, "bulk", b"two"), (here.peer, "vote", b"one")]
        assert here.connected() == tuple(sorted(node.peer for node in made.nodes[1:]))
        assert made.handlers[0].ups == [node.peer for node in made.nodes[1:]]


async def test_frames_of_one_channel_keep_their_order(autojump_clock: MockClock) -> None:
    async with world(2) as made:
        for number in range(100):
            made.nodes[0].broadcast("vote", b"%d" % number)
        await trio.sleep(1)

        assert [frame for _, _, frame in made.handlers[1].frames] == [
            b"%d" % number for number in range(100)
        ]


async def test_cut_pair_is_told_and_meets_again_when_healed(autojump_clock: MockClock) -> None:
    async with world(2) as made:
        here, there = made.nodes
        here.broadcast("vote", b"lost on the way")
        made.hub.cut(here.peer, there.peer)
        await trio.sleep(1)

        assert made.handlers[1].frames == []
        assert here.connected() == ()
        assert not here.send(there.peer, "vote", b"nobody")
        assert made.handlers[0].downs == [(there.peer, "cut")]
        assert [peer for peer, _ in made.handlers[1].downs] == [here.peer]

        made.hub.heal(here.peer, there.peer)
        here.broadcast("vote", b"again")
        await trio.sleep(1)

        assert made.handlers[1].frames == [(here.peer, "vote", b"again")]


async def test_partition_leaves_groups_whole(autojump_clock: MockClock) -> None:
    async with world(4) as made:
        peers = [node.peer for node in made.nodes]
        made.hub.partition(set(peers[:2]), set(peers[2:]))

        assert [node.connected() for node in made.nodes] == [
            (peers[1],),
            (peers[0],),
            (peers[3],),
            (peers[2],),
        ]
        made.hub.heal_all()
        assert all(len(node.connected()) == 3 for node in made.nodes)


async def test_lost_frames_follow_the_seed(autojump_clock: MockClock) -> None:
    counts = []
    for _ in range(2):
        async with world(2) as made:
            made.hub.rules(made.nodes[0].peer, made.nodes[1].peer).lost_ppb = 300_000_000
            for number in range(1000):
                made.nodes[0].broadcast("vote", b"%d" % number)
            await trio.sleep(1)
            counts.append(len(made.handlers[1].frames))

    assert counts[0] == counts[1]
    assert 650 < counts[0] < 750


async def test_answers_come_as_over_the_wire(autojump_clock: MockClock) -> None:
    async with world(2) as made:
        here, there = made.nodes
        async with here.request(there.peer, "blocks", b"ab") as answers:
            assert [body async for body in answers] == [b"ab", b"abab"]
        assert trio.current_time() >= 0.3


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"refuse", RequestRefused),
        (b"sleep", RequestTimedOut),
        (b"huge", FrameTooLarge),
        (b"endless", BadAnswer),
    ],
)
async def test_requests_fail_as_over_the_wire(
    payload: bytes, error: type[Exception], autojump_clock: MockClock
) -> None:
    async with world(2) as made:
        here, there = made.nodes

        async def ask() -> None:
            async with here.request(there.peer, "blocks", payload) as answers:
                [body async for body in answers]

        with pytest.raises(error):
            await ask()


async def test_request_over_a_cut_link_is_lost(autojump_clock: MockClock) -> None:
    async with world(2) as made:
        here, there = made.nodes

        async def ask() -> None:
            async with here.request(there.peer, "blocks", b"ab") as answers:
                made.hub.cut(here.peer, there.peer)
                await anext(answers)

        with pytest.raises(ConnectionLost):
            await ask()
        with pytest.raises(NotConnected):
            async with here.request(there.peer, "blocks", b"ab"):
                pass


async def test_banned_peer_is_gone_and_stays_away(autojump_clock: MockClock) -> None:
    async with world(2) as made:
        here, there = made.nodes
        here.report(there.peer, Fault.INVALID_BLOCK, "height 1")
        made.hub.meet()

        assert here.connected() == there.connected() == ()
        assert made.handlers[0].downs == [(there.peer, "Banned: invalid block: height 1")]
        assert [ban.peer for ban in here.bans()] == [there.peer]
        await trio.sleep(601)
        made.hub.meet()
        assert here.connected() == (there.peer,)


async def test_node_that_stops_is_seen_to_go_and_may_come_back(autojump_clock: MockClock) -> None:
    made = World(2)
    here, there = made.nodes
    async with trio.open_nursery() as nursery:
        await nursery.start(here.run)
        async with trio.open_nursery() as inner:
            await inner.start(there.run)
            assert here.connected() == (there.peer,)
            inner.cancel_scope.cancel()
        assert here.connected() == ()
        await nursery.start(there.run)
        assert here.connected() == (there.peer,)
        nursery.cancel_scope.cancel()


async def test_full_queue_drops_gossip_and_costs_the_connection_otherwise(
    autojump_clock: MockClock,
) -> None:
    async with world(2) as made:
        here, there = made.nodes
        for _ in range(5000):
            here.broadcast("bulk", b"gossip", droppable=True)
        # One more than the queue holds may already be in the receiver's hands.
        assert here.dropped in {5000 - 4096, 5000 - 4097}
        assert here.connected() == (there.peer,)

        here.broadcast("bulk", b"block")

        assert here.connected() == ()
        assert made.handlers[0].downs == [(there.peer, "PeerSlow")]
