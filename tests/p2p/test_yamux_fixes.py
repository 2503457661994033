"""Each defect of the stock multiplexer, shown on it, and gone in ours."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.lowlevel
from libp2p.abc import IMuxedStream
from libp2p.exceptions import BaseLibp2pError
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamError
from libp2p.stream_muxer.yamux.yamux import (
    FLAG_SYN,
    TYPE_DATA,
    TYPE_PING,
    TYPE_WINDOW_UPDATE,
    YAMUX_HEADER_FORMAT,
    Yamux,
)
from trio.testing import wait_all_tasks_blocked
from trio_typing import TaskStatus

from p2p.libp2p_fixes import yamux
from p2p.libp2p_fixes.yamux import FirmYamux
from tests.p2p.wires import Ends, both, muxed_pair, noise_pair, until

SMALL = 8 * 1024


def frame(kind: int, flags: int, stream: int, length: int) -> bytes:
    return struct.pack(YAMUX_HEADER_FORMAT, 0, kind, flags, stream, length)


async def exchange_while_both_directions_are_full(ends: Ends) -> None:
    """Send 200 KB each way over a link that holds 8 KB, with pings in between."""
    here = await ends.dialer.open_stream()
    there = await ends.listener.accept_stream()
    payload = bytes(200_000)

    async def write(stream: IMuxedStream) -> None:
        await stream.write(payload)

    async def ping(muxer: Yamux) -> None:
        for number in range(50):
            await muxer._write_frame(frame(TYPE_PING, FLAG_SYN, 0, number))

    async def read(stream: IMuxedStream) -> None:
        got = 0
        while got < len(payload):
            got += len(await stream.read(65536))

    async with trio.open_nursery() as nursery:
        for muxer, stream in ((ends.dialer, here), (ends.listener, there)):
            nursery.start_soon(write, stream)
            nursery.start_soon(ping, muxer)
            nursery.start_soon(read, stream)


async def test_stock_reader_that_awaits_its_own_writes_hangs_for_ever() -> None:
    async with muxed_pair(Yamux, buffer_bytes=SMALL) as ends:
        with trio.move_on_after(1) as scope:
            await exchange_while_both_directions_are_full(ends)

        assert scope.cancelled_caught


async def test_replies_by_their_own_task_keep_both_full_directions_moving() -> None:
    async with muxed_pair(FirmYamux, buffer_bytes=SMALL) as ends:
        with trio.fail_after(30):
            await exchange_while_both_directions_are_full(ends)


async def cancel_a_write_half_way(ends: Ends) -> None:
    stream = await ends.dialer.open_stream()
    await ends.listener.accept_stream()
    async with trio.open_nursery() as nursery, ends.listener.streams_lock:
        # The other side's reader stops at the lock, so the write cannot end.
        nursery.start_soon(stream.write, bytes(200_000))
        await wait_all_tasks_blocked(0.05)
        nursery.cancel_scope.cancel()


async def test_stock_connection_goes_on_corrupted_after_a_cancelled_write() -> None:
    async with muxed_pair(Yamux, buffer_bytes=SMALL) as ends:
        await cancel_a_write_half_way(ends)

        assert ends.dialer_pipe.abort_reason is None
        assert not ends.dialer.event_shutting_down.is_set()
        with trio.move_on_after(0.5) as scope:
            stream = await ends.dialer.open_stream()
            await stream.write(b"hello")
            other = await ends.listener.accept_stream()
            assert await other.read(5) == b"hello"
        # What arrives is no longer what was sent: it hangs or ends, but hello never comes.
        assert scope.cancelled_caught or ends.listener.event_shutting_down.is_set()


async def test_cancelled_write_closes_the_connection_at_once() -> None:
    async with muxed_pair(FirmYamux, buffer_bytes=SMALL) as ends:
        await cancel_a_write_half_way(ends)

        assert ends.dialer_pipe.abort_reason == "write cancelled half-way"
        with trio.fail_after(30):
            await ends.listener.event_closed.wait()


async def overrun(ends: Ends, total: int) -> None:
    """Send data on one stream as if windows did not exist; nobody reads it."""
    stream = await ends.dialer.open_stream()
    await ends.listener.accept_stream()
    chunk = bytes(60_000)
    header = frame(TYPE_DATA, 0, stream.stream_id, len(chunk))
    for _ in range(total // len(chunk)):
        await ends.dialer._write_frame(header + chunk)


def unread_bytes(muxer: Yamux) -> int:
    return sum(map(len, muxer.stream_buffers.values()))


async def test_stock_connection_buffers_whatever_overruns_its_window() -> None:
    async with muxed_pair(Yamux) as ends:
        await overrun(ends, 6_000_000)
        with trio.fail_after(30):
            await until(lambda: unread_bytes(ends.listener) > 6_000_000 - 120_000)

        assert not ends.listener.event_shutting_down.is_set()


async def test_connection_with_too_many_unread_bytes_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(yamux, "UNREAD_BYTES_MAX", 2_000_000)
    monkeypatch.setattr(yamux, "UNREAD_CHECK_BYTES", 250_000)
    most = 0
    async with muxed_pair(FirmYamux) as ends:
        listener = ends.listener
        assert isinstance(listener, FirmYamux)

        async def watch() -> None:
            nonlocal most
            while not listener.event_closed.is_set():
                most = max(most, listener.unread_bytes())
                await trio.lowlevel.checkpoint()

        async def attack() -> None:
            with pytest.raises(BaseLibp2pError):  # the socket goes away under it
                await overrun(ends, 50_000_000)

        with trio.fail_after(30):
            await both(watch, attack)

        assert listener.flood == "more than 2000000 unread bytes"
        assert 1_000_000 < most <= 2_000_000 + 250_000 + 60_000


async def test_frame_larger_than_the_window_is_refused_unread() -> None:
    async with muxed_pair(FirmYamux) as ends:
        stream = await ends.dialer.open_stream()
        await ends.dialer._write_frame(
            frame(TYPE_DATA, 0, stream.stream_id, yamux.WINDOW_BYTES_MAX + 1)
        )

        with trio.fail_after(30):
            await ends.listener.event_closed.wait()


async def open_many(ends: Ends, count: int) -> None:
    for number in range(count):
        await ends.dialer._write_frame(frame(TYPE_WINDOW_UPDATE, FLAG_SYN, 1001 + 2 * number, 0))


async def test_stock_multiplexer_takes_streams_without_number() -> None:
    async with muxed_pair(Yamux) as ends:

        async def accept() -> None:
            for _ in range(600):
                await ends.listener.accept_stream()

        with trio.fail_after(30):
            await both(accept, lambda: open_many(ends, 600))

        assert len(ends.listener.streams) == 600


async def test_streams_beyond_the_limit_are_reset_and_a_flood_of_them_is_cut_off() -> None:
    async with muxed_pair(FirmYamux) as ends:
        listener = ends.listener
        assert isinstance(listener, FirmYamux)
        accepted = 0

        async def accept_all() -> None:
            nonlocal accepted
            while True:
                await listener.accept_stream()
                accepted += 1

        async def accept() -> None:
            with pytest.raises(MuxedConnUnavailable):
                await accept_all()

        async def attack() -> None:
            with pytest.raises(BaseLibp2pError):  # the socket goes away under it
                await open_many(ends, 20_000)

        with trio.fail_after(30):
            await both(accept, attack)
            await listener.event_closed.wait()

        assert accepted <= yamux.INBOUND_STREAMS_MAX
        assert listener.flood == "opens too many streams"


async def test_honest_streams_beyond_the_limit_are_reset_without_harm() -> None:
    async with muxed_pair(FirmYamux) as ends:
        accepted = []

        async def accept() -> None:
            while True:
                accepted.append(await ends.listener.accept_stream())

        listener = ends.listener
        assert isinstance(listener, FirmYamux)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(accept)
                await open_many(ends, yamux.INBOUND_STREAMS_MAX + 10)
                await until(lambda: listener._refused_streams == 10)
                nursery.cancel_scope.cancel()

        assert len(accepted) == yamux.INBOUND_STREAMS_MAX
        assert not ends.listener.event_shutting_down.is_set()


async def test_stock_multiplexer_waits_for_ever_when_its_slots_are_gone() -> None:
    async with muxed_pair(Yamux) as ends:
        ends.dialer.stream_backlog_semaphore = trio.Semaphore(0)

        with trio.move_on_after(0.2) as scope:
            await ends.dialer.open_stream()

        assert scope.cancelled_caught


async def test_opening_a_stream_without_slots_fails_at_once() -> None:
    async with muxed_pair(FirmYamux) as ends:
        ends.dialer.stream_backlog_semaphore = trio.Semaphore(0)

        with trio.fail_after(30), pytest.raises(MuxedStreamError):
            await ends.dialer.open_stream()


@asynccontextmanager
async def stuck_writer(muxer: Yamux) -> AsyncIterator[None]:
    """Hold a multiplexer in the middle of a write that its peer does not take."""

    async def hold(task_status: TaskStatus[None]) -> None:
        async with muxer._write_lock:
            task_status.started()
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        await nursery.start(hold)
        yield
        nursery.cancel_scope.cancel()


async def test_stock_close_waits_for_a_write_that_never_ends() -> None:
    async with muxed_pair(Yamux) as ends, stuck_writer(ends.dialer):
        with trio.move_on_after(0.2) as scope:
            await ends.dialer.close()

        assert scope.cancelled_caught


async def test_abort_ends_a_connection_whose_writer_is_stuck() -> None:
    async with muxed_pair(FirmYamux) as ends, stuck_writer(ends.dialer):
        ends.dialer_pipe.abort("enough")

        with trio.fail_after(30):
            await ends.listener.event_closed.wait()
        assert ends.dialer_pipe.abort_reason == "enough"


async def test_peer_that_makes_us_answer_and_does_not_read_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(yamux, "REPLIES_MAX", 100)
    async with muxed_pair(FirmYamux) as ends, stuck_writer(ends.listener):
        listener = ends.listener
        assert isinstance(listener, FirmYamux)

        with suppress(BaseLibp2pError):  # the socket may go away before the last one is sent
            for number in range(200):
                await ends.dialer._write_frame(frame(TYPE_PING, FLAG_SYN, 0, number))

        with trio.fail_after(30):
            await ends.dialer.event_closed.wait()
        assert listener.flood == "makes us answer and does not read"


async def test_crash_in_the_multiplexer_ends_one_connection_and_not_its_caller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def crash(self: Yamux) -> None:
        raise ValueError("a bug of libp2p")

    monkeypatch.setattr(Yamux, "handle_incoming", crash)

    dialer_pipe, secured, listener_pipe, _ = await noise_pair()
    muxer = FirmYamux(secured, secured.get_remote_peer(), is_initiator=True)
    await muxer.start()

    assert dialer_pipe.abort_reason == "multiplexer failed"
    listener_pipe.abort("test over")
