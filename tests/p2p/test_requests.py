"""Requests against peers that answer wrong, late, too much or not at all."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import pytest
import trio
from trio.testing import MockClock

from p2p.deadlines import Deadlines
from p2p.faults import (
    BadAnswer,
    BadFrame,
    ConnectionLost,
    FrameTooLarge,
    RequestRefused,
    RequestTimedOut,
)
from p2p.frames import encode_frame
from p2p.requests import ANSWER, END, REFUSED, Answers, RequestSpec, answer, refuse
from tests.p2p.streams import MemoryStream, stream_pair

SPEC = RequestSpec("blocks", request_bytes_max=100, answer_bytes_max=1000, answers_max=5)


@contextmanager
def no_limit(seconds: float, reason: str) -> Iterator[None]:
    yield


class Asker:
    """Asks once over a stream in memory."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.here, self.there = stream_pair(room)
        self.slots = trio.Semaphore(1)
        self.answers = Answers(SPEC, b"from 7", self._open, self.slots, no_limit)

    async def _open(self) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        return self.here

    async def collect(self) -> list[bytes]:
        async with self.answers as answers:
            return [body async for body in answers]


async def reply(asker: Asker, *frames: bytes, finish: bool = True) -> None:
    """Be the other side: write these frames."""
    for frame in frames:
        await asker.there.write(encode_frame(frame))
    if finish:
        await asker.there.finish()


async def respond_thrice(payload: bytes) -> AsyncGenerator[bytes, None]:
    for number in range(3):
        yield payload + bytes([number])


async def test_answers_come_in_order_and_both_sides_finish() -> None:
    asker = Asker()
    got: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, SPEC, asker.there, respond_thrice, no_limit)
        got = await asker.collect()

    assert got == [b"from 7\0", b"from 7\1", b"from 7\2"]
    assert asker.here.is_finished
    assert asker.there.is_finished
    assert asker.here.is_closed
    assert not asker.here.is_reset
    assert asker.slots.value == 1


async def test_empty_answer_is_an_answer() -> None:
    asker = Asker()
    await reply(asker, ANSWER, END)

    assert await asker.collect() == [b""]


async def test_refusal_says_why() -> None:
    asker = Asker()
    await refuse(SPEC, asker.there, "busy", no_limit)

    with pytest.raises(RequestRefused, match="busy"):
        await asker.collect()


async def test_responder_may_refuse_between_answers() -> None:
    asker = Asker()

    async def respond(payload: bytes) -> AsyncGenerator[bytes, None]:
        yield b"one"
        raise RequestRefused("pruned")

    got = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, SPEC, asker.there, respond, no_limit)
        async with asker.answers as answers:
            got.append(await anext(answers))
            with pytest.raises(RequestRefused, match="pruned"):
                await anext(answers)

    assert got == [b"one"]


@pytest.mark.parametrize("frames", [(), (ANSWER + b"one",)])
async def test_answers_cut_off_are_no_end(frames: tuple[bytes, ...]) -> None:
    asker = Asker()
    await reply(asker, *frames)

    with pytest.raises(ConnectionLost, match="before the end"):
        await asker.collect()

    assert asker.here.is_reset


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ((b"\x07",), BadFrame),
        ((END + b"x",), BadFrame),
        ((END, ANSWER), BadFrame),
        ((ANSWER + bytes(1001),), FrameTooLarge),
        ((ANSWER,) * 6, BadAnswer),
        ((REFUSED + bytes(201),), BadFrame),
    ],
)
async def test_answers_that_break_the_rules_are_the_peer_s_fault(
    frames: tuple[bytes, ...], error: type[Exception]
) -> None:
    asker = Asker()
    await reply(asker, *frames)

    with pytest.raises(error):
        await asker.collect()

    assert asker.here.is_reset or asker.here.is_closed
    assert asker.slots.value == 1


async def test_reason_that_is_no_text_is_still_a_refusal() -> None:
    asker = Asker()
    await reply(asker, REFUSED + b"\xff\xfe")

    with pytest.raises(RequestRefused):
        await asker.collect()


async def test_peer_that_never_answers_is_waited_for_only_so_long(
    autojump_clock: MockClock,
) -> None:
    asker = Asker()
    started = trio.current_time()

    with pytest.raises(RequestTimedOut):
        await asker.collect()

    assert trio.current_time() - started == pytest.approx(SPEC.step_seconds)
    assert asker.here.is_reset


async def test_half_open_stream_after_the_end_is_waited_for_only_so_long(
    autojump_clock: MockClock,
) -> None:
    asker = Asker()
    await reply(asker, ANSWER + b"one", END, finish=False)

    with pytest.raises(RequestTimedOut):
        await asker.collect()

    assert asker.here.is_reset


async def test_third_request_waits_for_a_place_only_so_long(autojump_clock: MockClock) -> None:
    asker = Asker()
    await asker.slots.acquire()

    with pytest.raises(RequestTimedOut):
        await asker.collect()


async def test_leaving_early_resets_the_stream_and_gives_back_the_place() -> None:
    asker = Asker()
    await reply(asker, ANSWER + b"one", ANSWER + b"two", END)

    async with asker.answers as answers:
        assert await anext(answers) == b"one"

    assert asker.here.is_reset
    assert asker.slots.value == 1


@pytest.mark.parametrize(
    "wire",
    [
        encode_frame(b"one") + encode_frame(b"two"),
        b"\0\0\0\0",
    ],
)
async def test_stream_without_exactly_one_request_is_the_peer_s_fault(wire: bytes) -> None:
    here, there = stream_pair()
    await here.write(wire)
    await here.finish()

    with pytest.raises(BadFrame):
        await answer(SPEC, there, respond_thrice, no_limit)


@pytest.mark.parametrize("wire", [b"", b"\0\0", b"\0\0\0\5ab"])
async def test_asker_that_gives_up_half_way_is_not_to_blame(wire: bytes) -> None:
    here, there = stream_pair()
    await here.write(wire)
    await here.finish()

    with pytest.raises(ConnectionLost):
        await answer(SPEC, there, respond_thrice, no_limit)


async def test_request_above_the_limit_is_refused_by_its_length() -> None:
    here, there = stream_pair()
    await here.write((101).to_bytes(4, "big"))

    with pytest.raises(FrameTooLarge):
        await answer(SPEC, there, respond_thrice, no_limit)


async def test_half_open_request_is_waited_for_only_so_long(autojump_clock: MockClock) -> None:
    here, there = stream_pair()
    await here.write(encode_frame(b"request"))

    with pytest.raises(RequestTimedOut):
        await answer(SPEC, there, respond_thrice, no_limit)


async def test_asker_that_takes_no_answers_costs_it_the_connection(
    autojump_clock: MockClock,
) -> None:
    asker = Asker(room=1000)
    reasons: list[str] = []

    def abort(reason: str) -> None:
        reasons.append(reason)
        asker.here.break_off()

    deadlines = Deadlines(abort)

    async def respond(payload: bytes) -> AsyncGenerator[bytes, None]:
        for _ in range(5):
            yield bytes(1000)

    await asker.here.write(encode_frame(b"request"))
    await asker.here.finish()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        with pytest.raises(ConnectionLost):
            await answer(SPEC, asker.there, respond, deadlines.limit)

    assert reasons == ["takes no answers"]


async def test_deadline_that_is_met_harms_nobody(autojump_clock: MockClock) -> None:
    reasons: list[str] = []
    deadlines = Deadlines(reasons.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        for seconds in (5, 1, 3):
            with deadlines.limit(seconds, "late"):
                await trio.sleep(seconds / 2)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()

    assert reasons == []


def test_request_larger_than_peers_accept_is_our_own_bug() -> None:
    with pytest.raises(AssertionError):
        Answers(SPEC, bytes(101), Asker._open, None, no_limit)  # type: ignore[arg-type]
