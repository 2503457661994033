"""What streams cost, and what is left when their opening is given up: stock first, then ours."""

import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
import trio.testing
from libp2p.abc import INetStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.stream_muxer.yamux.yamux import TYPE_WINDOW_UPDATE, Yamux

from p2p.identity import Address, format_address
from p2p.libp2p_fixes import link as link_fixes
from p2p.libp2p_fixes import swarm as swarm_fixes
from p2p.libp2p_fixes.link import NegotiationFailed, Stream
from p2p.libp2p_fixes.swarm import swarm_of
from p2p.libp2p_fixes.yamux import FirmYamux
from tests.p2p.nodes import (
    ECHO,
    OPEN,
    Links,
    info,
    our_host,
    peer_id,
    quiet_config,
    running,
    stock_host,
)
from tests.p2p.wires import Ends, muxed_pair

pytestmark = pytest.mark.filterwarnings(
    # Stock hosts leave sockets to the garbage collector.
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

SERVER, CLIENT = 1, 2
ANSWER = bytes(range(100))


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Count the frames that multiplexers write, by their kind."""
    counted: Counter[int] = Counter()

    def count(kind: type[Yamux]) -> Callable[[Yamux, bytes], Awaitable[None]]:
        real = kind._write_frame

        async def write(muxer: Yamux, data: bytes) -> None:
            counted[data[1]] += 1
            await real(muxer, data)

        return write

    for kind in (Yamux, FirmYamux):
        monkeypatch.setattr(kind, "_write_frame", count(kind))
    return counted


@asynccontextmanager
async def answered() -> AsyncIterator[Stream]:
    """Give a stream on which ``ANSWER`` comes once something is written."""

    async def serve(muxed: FirmYamux, protocol: str, stream: Stream) -> None:
        await stream.read(1)
        await stream.write(ANSWER)

    server, client = our_host(SERVER, serve=serve), our_host(CLIENT)
    async with server.run(OPEN, Links().take), client.run((), Links().take):
        link, _ = await client.dial(peer_id(SERVER), server.addresses)
        yield await link.open_stream(ECHO)


async def test_stock_stream_answers_each_small_read_with_a_window_frame(
    frames: Counter[int],
) -> None:
    async with answered() as stream:
        frames.clear()
        await stream.write(b"x")
        for byte in ANSWER:
            assert await stream._raw.read(1) == bytes([byte])

    assert frames[TYPE_WINDOW_UPDATE] >= len(ANSWER) - 1


async def test_stream_that_reads_ahead_answers_once(frames: Counter[int]) -> None:
    async with answered() as stream:
        frames.clear()
        await stream.write(b"x")
        for byte in ANSWER:
            assert await stream.read(1) == bytes([byte])

    # One from each side: the answer came in one frame.
    assert frames[TYPE_WINDOW_UPDATE] <= 2


ENDLESS = b"\x80\x80\x80\x40"
"""A length of 128 MB, as multistream writes it."""


async def test_stranger_does_not_choose_how_much_of_a_new_stream_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(swarm_fixes, "NEGOTIATION_SECONDS", 3600)
    server, client = our_host(SERVER), our_host(CLIENT)
    async with server.run(OPEN, Links().take), client.run((), Links().take):
        link, _ = await client.dial(peer_id(SERVER), server.addresses)
        stream = Stream(await link.connection.new_stream())
        await stream.write(ENDLESS + bytes(10_000))

        # A reset reads as an end. It comes at once, or when all that was announced has come.
        with trio.fail_after(30):
            while await stream.read(1000):
                pass

        assert not link.is_closed


async def test_peer_does_not_choose_how_much_of_its_answer_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link_fixes, "NEGOTIATION_SECONDS", 3600)

    async def answer_without_end(raw: INetStream) -> None:
        with suppress(BaseLibp2pError, ValueError):
            await raw.write(ENDLESS + bytes(10_000))

    server, client = our_host(SERVER), our_host(CLIENT)
    swarm_of(server._host).set_stream_handler(answer_without_end)
    async with server.run(OPEN, Links().take), client.run((), Links().take):
        link, _ = await client.dial(peer_id(SERVER), server.addresses)

        with trio.fail_after(30), pytest.raises(NegotiationFailed):
            await link.open_stream(ECHO)

        assert not link.is_closed


async def give_up_opening(ends: Ends) -> int:
    """Cancel the opening of a stream; return how many slots that has cost."""
    before = ends.dialer.stream_backlog_semaphore.value
    async with ends.dialer.streams_lock, trio.open_nursery() as nursery:
        nursery.start_soon(ends.dialer.open_stream)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return before - ends.dialer.stream_backlog_semaphore.value


async def test_stock_multiplexer_never_gives_back_the_slot_of_an_opening_given_up() -> None:
    async with muxed_pair(Yamux) as ends:
        assert await give_up_opening(ends) == 1
        assert ends.dialer_pipe.abort_reason is None


async def test_opening_given_up_takes_the_connection_and_its_lost_slot_down() -> None:
    async with muxed_pair(FirmYamux) as ends:
        await give_up_opening(ends)

        assert ends.dialer_pipe.abort_reason == "stream opening cancelled"


@asynccontextmanager
async def knocked_at() -> AsyncIterator[tuple[Address, list[object]]]:
    """Listen as somebody whom a host might dial; give the address and who came."""
    knocks: list[object] = []

    async def take(stream: trio.SocketStream) -> None:
        async with stream:
            knocks.append(stream)
            with suppress(trio.BrokenResourceError):
                await stream.receive_some()

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, take, 0, host="127.0.0.1")
        (listener,) = await nursery.start(serve)
        yield format_address("127.0.0.1", listener.socket.getsockname()[1]), knocks
        nursery.cancel_scope.cancel()
    # Stock hosts leak sockets: let the complaint fall into the test that made them.
    gc.collect()


async def connect_as_libp2p_does_now_and_then(host: BasicHost, address: Address) -> None:
    known = info(SERVER, address)
    host.get_peerstore().add_addrs(known.peer_id, known.addrs, 60)
    with trio.move_on_after(1), suppress(BaseLibp2pError):
        await swarm_of(host).auto_connector.maybe_connect()
    await trio.testing.wait_all_tasks_blocked()


async def test_stock_connector_knocks_at_known_peers() -> None:
    client = stock_host(CLIENT, quiet_config())
    async with knocked_at() as (address, knocks), running(client):
        await connect_as_libp2p_does_now_and_then(client, address)

        assert knocks


async def test_connector_that_never_starts_knocks_at_nobody() -> None:
    client = our_host(CLIENT)
    async with knocked_at() as (address, knocks), client.run((), Links().take):
        await connect_as_libp2p_does_now_and_then(client._host, address)

        assert not knocks


async def test_host_asks_nobody_who_they_are_by_itself() -> None:
    server, client = our_host(SERVER), our_host(CLIENT)
    async with server.run(OPEN, Links().take), client.run((), Links().take):
        link, _ = await client.dial(peer_id(SERVER), server.addresses)
        await trio.testing.wait_all_tasks_blocked(0.05)

        assert link.muxed.next_stream_id == 1, "no stream was opened"
