"""A channel against slow, silent and flooding peers, under a clock that jumps."""

from dataclasses import replace
from math import inf

import pytest
import trio
from trio.testing import MockClock

from p2p.channels import VOTE, Channel, ChannelSpec, Timing
from p2p.faults import ConnectionLost, Flooding, FrameTooLarge, PeerSilent, PeerSlow
from p2p.frames import PING, encode_frame
from tests.p2p.streams import MemoryStream, stream_pair

TIMING = Timing(ping_seconds=2.0, silent_seconds=8.0)
SMALL = ChannelSpec(
    name="small",
    frame_bytes_max=1000,
    queue_frames_max=10,
    queue_bytes_max=5000,
    frames_per_second=10,
    bytes_per_second=10_000,
)


class Inbox:
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.has_frame = trio.Event()

    async def take(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.has_frame.set()


def channel_and_peer(
    spec: ChannelSpec = SMALL, *, room: int = 1_000_000, timing: Timing = TIMING
) -> tuple[Channel, MemoryStream]:
    here, there = stream_pair(room)
    return Channel(spec, here, timing), there


async def ping_for_ever(peer: MemoryStream) -> None:
    while True:
        await peer.write(PING)
        await trio.sleep(2)


async def test_frames_arrive_whole_and_in_order_on_both_ends(autojump_clock: MockClock) -> None:
    one, other = stream_pair()
    here, there = Channel(VOTE, one, TIMING), Channel(VOTE, other, TIMING)
    inboxes = Inbox(), Inbox()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run, inboxes[0].take)
        nursery.start_soon(there.run, inboxes[1].take)
        for number in range(100):
            here.send(encode_frame(b"here %d" % number), droppable=False)
            there.send(encode_frame(b"there %d" % number), droppable=False)
        await trio.sleep(60)
        nursery.cancel_scope.cancel()

    assert inboxes[0].frames == [b"there %d" % number for number in range(100)]
    assert inboxes[1].frames == [b"here %d" % number for number in range(100)]
    assert here.stats().frames_in == here.stats().frames_out == 100
    # Idle for a minute: only pings since, one in two seconds.
    assert here.stats().bytes_in - sum(len(f) + 4 for f in inboxes[0].frames) in range(
        28 * 4, 33 * 4
    )


async def test_burst_leaves_in_few_writes() -> None:
    channel, peer = channel_and_peer(VOTE)
    writes: list[int] = []
    stream = channel._stream
    assert isinstance(stream, MemoryStream)
    plain_write = stream.write

    async def counting_write(data: bytes) -> None:
        writes.append(len(data))
        await plain_write(data)

    stream.write = counting_write  # type: ignore[method-assign]
    for _ in range(1000):
        channel.send(encode_frame(bytes(300)), droppable=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.run, Inbox().take)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert sum(writes) == len(peer.unread) == 304_000
    assert len(writes) == 6


async def test_silent_peer_is_given_up_after_the_watchdog_s_time(autojump_clock: MockClock) -> None:
    channel, _ = channel_and_peer()
    started = trio.current_time()

    with pytest.raises(PeerSilent):
        await channel.run(Inbox().take)

    assert trio.current_time() - started == pytest.approx(8.0)


async def test_without_the_watchdog_a_frozen_peer_would_never_be_noticed(
    autojump_clock: MockClock,
) -> None:
    channel, _ = channel_and_peer(timing=replace(TIMING, silent_seconds=inf))

    with trio.move_on_after(3600) as scope:
        await channel.run(Inbox().take)

    assert scope.cancelled_caught


async def test_peer_that_only_pings_is_alive(autojump_clock: MockClock) -> None:
    channel, peer = channel_and_peer()
    inbox = Inbox()
    with trio.move_on_after(600) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ping_for_ever, peer)
            await channel.run(inbox.take)

    assert scope.cancelled_caught
    assert inbox.frames == []


async def test_time_that_our_own_handler_takes_is_no_silence_of_the_peer(
    autojump_clock: MockClock,
) -> None:
    channel, peer = channel_and_peer()
    await peer.write(encode_frame(b"block"))
    handled = trio.Event()

    async def slow_handler(frame: bytes) -> None:
        await trio.sleep(30)
        handled.set()

    with trio.move_on_after(35) as scope:
        await channel.run(slow_handler)

    assert scope.cancelled_caught
    assert handled.is_set()


async def test_busy_handler_holds_the_peer_back(autojump_clock: MockClock) -> None:
    channel, peer = channel_and_peer(room=3000)
    never = trio.Event()

    async def stuck_handler(frame: bytes) -> None:
        await never.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.run, stuck_handler)
        with trio.move_on_after(60) as scope:
            for _ in range(100):
                await peer.write(encode_frame(bytes(900)))
        nursery.cancel_scope.cancel()

    assert scope.cancelled_caught
    assert channel.stats().frames_in == 1
    assert channel.stats().bytes_in <= 4000


async def test_peer_that_floods_with_frames_is_given_up() -> None:
    channel, peer = channel_and_peer()
    inbox = Inbox()
    for _ in range(101):
        await peer.write(encode_frame(b"x"))

    with pytest.raises(Flooding, match="frames"):
        await channel.run(inbox.take)

    assert len(inbox.frames) == 100


async def test_peer_that_floods_with_pings_is_given_up() -> None:
    channel, peer = channel_and_peer()
    await peer.write(PING * 101)

    with pytest.raises(Flooding, match="frames"):
        await channel.run(Inbox().take)


async def test_peer_that_floods_with_bytes_is_given_up() -> None:
    channel, peer = channel_and_peer(replace(SMALL, bytes_per_second=1000))
    for _ in range(11):
        await peer.write(encode_frame(bytes(996)))

    with pytest.raises(Flooding, match="bytes"):
        await channel.run(Inbox().take)


async def test_frame_above_the_limit_is_refused_before_it_comes() -> None:
    channel, peer = channel_and_peer()
    await peer.write((1001).to_bytes(4, "big"))

    with pytest.raises(FrameTooLarge):
        await channel.run(Inbox().take)


@pytest.mark.parametrize(("data", "detail"), [(b"", ""), (b"\0\0\0\5ab", "mid-frame")])
async def test_end_of_the_stream_is_a_lost_connection_and_nobody_s_fault(
    data: bytes, detail: str
) -> None:
    channel, peer = channel_and_peer()
    await peer.write(data)
    await peer.finish()

    with pytest.raises(ConnectionLost) as caught:
        await channel.run(Inbox().take)

    assert caught.value.args[1] == detail


async def test_peer_too_slow_for_what_may_not_be_dropped_is_given_up(
    autojump_clock: MockClock,
) -> None:
    channel, peer = channel_and_peer(room=1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ping_for_ever, peer)
        for _ in range(12):
            channel.send(encode_frame(bytes(900)), droppable=False)
        with pytest.raises(PeerSlow):
            await channel.run(Inbox().take)
        nursery.cancel_scope.cancel()


async def test_slow_peer_misses_droppable_frames_and_nothing_else(
    autojump_clock: MockClock,
) -> None:
    channel, peer = channel_and_peer(room=1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ping_for_ever, peer)
        nursery.start_soon(channel.run, Inbox().take)
        await trio.sleep(1)
        for number in range(1000):
            channel.send(encode_frame(b"gossip %d" % number), droppable=True)
        channel.send(encode_frame(b"block"), droppable=False)
        for number in range(1000):
            channel.send(encode_frame(b"gossip %d" % number), droppable=True)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()

    assert b"block" in peer.unread
    assert b"gossip 999" in peer.unread
    assert channel.stats().dropped >= 1900
    assert channel.stats().queue_frames <= SMALL.queue_frames_max


async def test_frame_larger_than_peers_accept_is_our_own_bug() -> None:
    channel, _ = channel_and_peer()

    with pytest.raises(AssertionError):
        channel.send(encode_frame(bytes(1001)), droppable=False)
