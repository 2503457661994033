"""A hostile peer against a whole node: what it does costs it the connection, and the node little.

The hostile peer holds a valid identity, speaks libp2p well, and has an honest neighbour in the same
mesh whose votes must go on. Stated bounds: at most ``UNREAD_BYTES_MAX`` unread bytes per connection
and ``INBOUND_STREAMS_MAX`` streams, one unfinished frame per channel, ``REQUESTS_MAX`` requests.
"""

import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.stream_muxer.yamux.yamux import (
    FLAG_SYN,
    TYPE_DATA,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    YAMUX_HEADER_FORMAT,
)

from p2p.channels import BULK, VOTE, Timing
from p2p.faults import BadAnswer, ConnectionLost
from p2p.frames import encode_frame
from p2p.host import Host
from p2p.libp2p_fixes import yamux
from p2p.libp2p_fixes.link import Link, NegotiationFailed, Stream
from p2p.requests import ANSWER, END
from p2p.session import Protocols
from tests.p2p.nodes import BLOCKS, GENESIS, Links, Node, our_host, peer_id
from tests.p2p.wires import until

HOSTILE = 66
PROTOCOLS = Protocols.of_chain(GENESIS, (BLOCKS,))
CHANNEL = {name: protocol for protocol, name in PROTOCOLS.channels.items()}
BLOCKS_PROTOCOL = PROTOCOLS.of_request("blocks")[0]
VOTES = 20
VOTE_SECONDS_MAX = 3.0
"""One core, perhaps a busy one, runs all three nodes and the attack; alone it takes 0.1 s."""
QUICK = Timing(ping_seconds=0.2, silent_seconds=1.0)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", "p2p.network")
    return caplog


@dataclass
class Scene:
    """A victim with an honest neighbour, and a hostile peer that is connected to the victim."""

    victim: Node
    neighbour: Node
    host: Host
    link: Link
    streams: dict[str, Stream]

    def frame(self, kind: int, flags: int, stream: int, length: int) -> bytes:
        return struct.pack(YAMUX_HEADER_FORMAT, 0, kind, flags, stream, length)


@asynccontextmanager
async def scene(folder: Path, *, timing: Timing | None = None) -> AsyncGenerator[Scene, None]:
    victim = Node(1, folder, timing=timing)
    neighbour = Node(2, folder, timing=timing)
    host = our_host(HOSTILE)
    with trio.fail_after(60):
        async with host.run((), Links().take), trio.open_nursery() as nursery:
            await nursery.start(victim.network.run)
            await nursery.start(neighbour.network.run)
            validators = {
                victim.peer: victim.network.addresses,
                neighbour.peer: neighbour.network.addresses,
                peer_id(HOSTILE): (),
            }
            victim.network.set_validators(validators)
            neighbour.network.set_validators(validators)
            link, _ = await host.dial(victim.peer, victim.network.addresses)
            streams = {name: await link.open_stream(CHANNEL[name]) for name in ("vote", "bulk")}
            await until(lambda: len(victim.network.connected()) == 2)
            await until(lambda: bool(neighbour.network.connected()))
            yield Scene(victim, neighbour, host, link, streams)
            link.abort("test over")
            nursery.cancel_scope.cancel()


async def votes_go_on(here: Scene) -> float:
    """Send votes from the neighbour; return the longest that one took to arrive."""
    slowest = 0.0
    for number in range(VOTES):
        before = len(here.victim.handler.frames)
        started = trio.current_time()
        here.neighbour.network.broadcast("vote", b"vote %d" % number)
        await until(
            lambda before=before: any(  # type: ignore[misc]
                peer == here.neighbour.peer for peer, _, _ in here.victim.handler.frames[before:]
            )
        )
        slowest = max(slowest, trio.current_time() - started)
    return slowest


async def attack_while_votes_go_on(
    here: Scene, attack: Callable[[Scene], Awaitable[None]]
) -> float:
    slowest = 0.0

    async def vote() -> None:
        nonlocal slowest
        slowest = await votes_go_on(here)

    async def attack_until_thrown_out() -> None:
        with suppress(BaseLibp2pError, ConnectionLost, NegotiationFailed):
            await attack(here)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(vote)
        nursery.start_soon(attack_until_thrown_out)
    return slowest


async def thrown_out(here: Scene, log: pytest.LogCaptureFixture) -> str:
    """Wait until the victim has closed the connection; return the reason that it gives.

    The log tells the same reason, and the metrics its kind.
    """
    await until(lambda: any(peer == peer_id(HOSTILE) for peer, _ in here.victim.handler.downs))
    (reason,) = (why for peer, why in here.victim.handler.downs if peer == peer_id(HOSTILE))
    assert here.victim.network.connected() == (here.neighbour.peer,)
    assert f"event=peer_down peer={peer_id(HOSTILE)} reason={reason!r}" in log.messages
    assert here.victim.network.stats().disconnects == {reason.partition(":")[0]: 1}
    return reason


# ------------------------------------------------------------------------------------- attacks


async def send_a_huge_length(here: Scene) -> None:
    await here.streams["vote"].write((VOTE.frame_bytes_max + 1).to_bytes(4, "big"))


async def send_garbage(here: Scene) -> None:
    await here.streams["bulk"].write(b"\xff" * 100_000)


async def flood_with_tiny_frames(here: Scene) -> None:
    frames = encode_frame(b"x") * 10_000
    for _ in range(20):
        await here.streams["vote"].write(frames)


async def flood_with_pings_of_the_multiplexer(here: Scene) -> None:
    for number in range(50_000):
        await here.link.muxed._write_frame(here.frame(TYPE_PING, FLAG_SYN, 0, number))


async def open_twenty_thousand_streams(here: Scene) -> None:
    for number in range(20_000):
        await here.link.muxed._write_frame(
            here.frame(TYPE_WINDOW_UPDATE, FLAG_SYN, 10_001 + 2 * number, 0)
        )


async def open_a_channel_twice(here: Scene) -> None:
    await here.link.open_stream(CHANNEL["vote"])


async def flood_with_requests(here: Scene) -> None:
    async def ask() -> None:
        while not here.link.is_closed:
            # One exchange may fail on a busy machine; the attack goes on.
            with suppress(BaseLibp2pError, ConnectionLost, NegotiationFailed):
                stream = await here.link.open_stream(BLOCKS_PROTOCOL)
                await stream.write(encode_frame(b"x"))
                await stream.finish()
                while await stream.read(1000):
                    pass
                await stream.close()

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(ask)


async def send_two_requests_on_one_stream(here: Scene) -> None:
    stream = await here.link.open_stream(BLOCKS_PROTOCOL)
    await stream.write(encode_frame(b"one") + encode_frame(b"two"))


async def overrun_an_unread_stream(here: Scene) -> None:
    """Write past every window into a stream that the victim does not read: a third channel."""
    chunk = bytes(60_000)
    await here.link.muxed._write_frame(here.frame(TYPE_WINDOW_UPDATE, FLAG_SYN, 10_001, 0))
    data = here.frame(TYPE_DATA, 0, 10_001, len(chunk)) + chunk
    for _ in range(1000):
        await here.link.muxed._write_frame(data)


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (send_a_huge_length, "FrameTooLarge"),
        (send_garbage, "FrameTooLarge"),
        (flood_with_tiny_frames, "Flooding: vote frames"),
        (open_twenty_thousand_streams, "Flooding: opens too many streams"),
        (open_a_channel_twice, "BadFrame: vote a second stream"),
        (send_two_requests_on_one_stream, "BadFrame: blocks more than one request"),
        (overrun_an_unread_stream, "Flooding: more than"),
    ],
)
async def test_hostile_peer_is_thrown_out_with_its_reason_while_votes_go_on(
    attack: Callable[[Scene], Awaitable[None]],
    reason: str,
    tmp_path: Path,
    log: pytest.LogCaptureFixture,
) -> None:
    async with scene(tmp_path) as here:
        muxed = here.victim.network._sessions[peer_id(HOSTILE)].link.muxed

        slowest = await attack_while_votes_go_on(here, attack)

        assert (await thrown_out(here, log)).startswith(reason)
        assert slowest < VOTE_SECONDS_MAX
        assert muxed.unread_bytes() <= yamux.UNREAD_BYTES_MAX + yamux.UNREAD_CHECK_BYTES
        stats = here.victim.network.stats()
        assert stats.faults == here.victim.network._peers.scores.faults(peer_id(HOSTILE)) != {}


async def test_flood_of_requests_is_thrown_out_while_votes_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("p2p.session.REQUESTS_BURST", 20)
    # However slow the machine is today, the attack is faster than this.
    monkeypatch.setattr("p2p.session.REQUESTS_PER_SECOND", 0.1)
    async with scene(tmp_path) as here:
        slowest = await attack_while_votes_go_on(here, flood_with_requests)

        assert (await thrown_out(here, log)).startswith("Flooding: requests")
        assert slowest < VOTE_SECONDS_MAX


@pytest.mark.slow
async def test_multiplexer_pings_are_answered_and_hold_nobody_up(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        with trio.move_on_after(1):
            await flood_with_pings_of_the_multiplexer(here)

        assert await votes_go_on(here) < VOTE_SECONDS_MAX


async def test_replayed_frames_reach_the_node_which_may_charge_for_them(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        for _ in range(100):
            await here.streams["vote"].write(encode_frame(b"the same vote"))
        await until(lambda: len(here.victim.handler.frames) == 100)

        assert set(here.victim.handler.frames) == {(peer_id(HOSTILE), "vote", b"the same vote")}


async def test_silent_peer_is_dropped_without_blame(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    async with scene(tmp_path, timing=QUICK) as here:
        await until(lambda: bool(here.victim.handler.downs))

        assert (await thrown_out(here, log)).startswith("PeerSilent")
        assert here.victim.network.stats().bans == ()
        assert here.victim.network._peers.scores.faults(peer_id(HOSTILE)) == {}


async def test_peer_that_does_not_read_is_dropped_without_blame(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    async with scene(tmp_path) as here:
        frame = bytes(1_000_000)

        async def ping() -> None:
            with suppress(BaseLibp2pError, ConnectionLost):
                while True:
                    await here.streams["vote"].write(b"\0\0\0\0")
                    await here.streams["bulk"].write(b"\0\0\0\0")
                    await trio.sleep(0.2)

        async def send() -> None:
            while not here.victim.handler.downs:
                here.victim.network.send(peer_id(HOSTILE), "bulk", frame)
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ping)
            nursery.start_soon(send)

        assert (await thrown_out(here, log)).startswith("PeerSlow: bulk")
        assert here.victim.network.stats().bans == ()
        assert BULK.queue_bytes_max == 16 * 2**20


async def test_half_open_request_streams_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path) as here:
        muxed = here.victim.network._sessions[peer_id(HOSTILE)].link.muxed

        async def open_for_ever() -> None:
            with suppress(BaseLibp2pError, ConnectionLost, NegotiationFailed):
                while True:
                    await here.link.open_stream(BLOCKS_PROTOCOL)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_for_ever)
            slowest = await votes_go_on(here)
            nursery.cancel_scope.cancel()

        assert slowest < VOTE_SECONDS_MAX
        assert muxed.inbound_streams() <= yamux.INBOUND_STREAMS_MAX + 1


async def test_lying_answers_cost_the_liar_and_not_the_asker(tmp_path: Path) -> None:
    async def lie(muxed: object, protocol: str, stream: Stream) -> None:
        if protocol == BLOCKS_PROTOCOL:
            await stream.write(encode_frame(ANSWER) * (BLOCKS.answers_max + 1) + encode_frame(END))
            await stream.finish()

    victim = Node(1, tmp_path)
    liar = Host(
        seed=HOSTILE.to_bytes(32, "big"),
        protocols=PROTOCOLS.names,
        serve=lie,
        is_allowed=lambda _peer, _is_open: True,
        limits=our_host(1).handshakes._limits,
    )
    with trio.fail_after(60):
        async with liar.run((), Links().take), trio.open_nursery() as nursery:
            await nursery.start(victim.network.run)
            link, _ = await liar.dial(victim.peer, victim.network.addresses)
            for name in ("vote", "bulk"):
                await link.open_stream(CHANNEL[name])
            await until(lambda: bool(victim.network.connected()))

            async def ask() -> None:
                async with victim.network.request(liar.peer, "blocks", b"7") as answers:
                    async for _ in answers:
                        pass

            for _ in range(6):
                with pytest.raises(BadAnswer, match=r"more answers") as caught:
                    await ask()
                victim.network.report(liar.peer, caught.value.fault, "blocks")
            await until(lambda: not victim.network.connected())

            assert victim.network.stats().bans[0].reason == "useless answer: blocks"
            nursery.cancel_scope.cancel()
