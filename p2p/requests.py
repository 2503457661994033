"""One request, a stream of answers, each on a fresh stream of the connection.

Wire form: the asker writes one frame and says that it is finished; the answerer writes frames whose
first byte says what follows: an answer, the end, or a refusal with a reason in UTF-8. A stream that
ends without the last two was cut off: on libp2p a reset and a crash look the same as an end.

Limits, each with its own error: size of the request and of each answer (checked before a byte is
kept), number of answers, seconds between two steps, requests at once per peer on either side.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import trio

from p2p.channels import READ_BYTES
from p2p.faults import (
    BadAnswer,
    BadFrame,
    ConnectionLost,
    RequestRefused,
    RequestTimedOut,
)
from p2p.frames import FrameDecoder, encode_frame

ANSWER = b"\x00"
END = b"\x01"
REFUSED = b"\x02"
REASON_BYTES_MAX = 200


@dataclass(frozen=True, slots=True)
class RequestSpec:
    """One request protocol and its limits, the same on every node of a chain."""

    name: str
    request_bytes_max: int
    answer_bytes_max: int
    answers_max: int
    step_seconds: float = 10.0
    """Longest wait for the stream, for the next answer, and for the peer to take an answer."""


class RequestStream(Protocol):
    """What an exchange needs from a stream; raises ConnectionLost."""

    async def read(self, bytes_max: int) -> bytes: ...
    async def write(self, data: bytes) -> None: ...
    async def finish(self) -> None: ...
    async def close(self) -> None: ...
    async def give_up(self) -> None: ...


OpenStream = Callable[[], Awaitable[RequestStream]]
WriteLimit = Callable[[float, str], AbstractContextManager[None]]
"""``with limit(seconds, reason):`` cuts the connection off if the block takes longer.

A write must never be cancelled, so it cannot stand under an ordinary deadline."""


class Answers:
    """The answers to one request: ``async with`` it, then ``async for`` over it.

    Leaving the block early resets the stream, and the answerer stops. Raises: NotConnected,
    ConnectionLost, RequestTimedOut, RequestRefused, FrameTooLarge, BadFrame, BadAnswer.
    """

    def __init__(
        self,
        spec: RequestSpec,
        payload: bytes,
        open_stream: OpenStream,
        slots: trio.Semaphore,
        limit: WriteLimit,
    ) -> None:
        assert 0 < len(payload) <= spec.request_bytes_max, "larger than peers accept"
        self._spec = spec
        self._payload = payload
        self._open_stream = open_stream
        self._slots = slots
        self._limit = limit
        self._stream: RequestStream | None = None
        self._decoder = FrameDecoder(spec.answer_bytes_max + 1)
        self._frames: list[bytes] = []
        self._count = 0
        self._is_finished = False

    async def __aenter__(self) -> Self:
        with _deadline(self._spec):
            await self._slots.acquire()
        try:
            with _deadline(self._spec):
                self._stream = await self._open_stream()
            with self._limit(self._spec.step_seconds, "takes no request"):
                await self._stream.write(encode_frame(self._payload))
                await self._stream.finish()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._is_finished:
            raise StopAsyncIteration
        with _deadline(self._spec):
            frame = await self._next_frame()
        tag, body = frame[:1], frame[1:]
        if tag == ANSWER:
            self._count += 1
            if self._count > self._spec.answers_max:
                raise BadAnswer(self._spec.name, "more answers than allowed")
            return body
        await self._expect_end()
        if tag == REFUSED and len(body) <= REASON_BYTES_MAX:
            raise RequestRefused(self._spec.name, body.decode("utf-8", "replace"))
        if tag != END or body:
            raise BadFrame(self._spec.name, tag)
        raise StopAsyncIteration

    async def _next_frame(self) -> bytes:
        assert self._stream is not None
        while not self._frames:
            data = await self._stream.read(READ_BYTES)
            if not data:
                raise ConnectionLost(self._spec.name, "cut off before the end")
            self._frames = list(self._decoder.feed(data))
            self._frames.reverse()
        return self._frames.pop()

    async def _expect_end(self) -> None:
        """Let nothing follow the last frame, and the stream be closed on both sides."""
        assert self._stream is not None
        with _deadline(self._spec):
            if self._frames or self._decoder.held or await self._stream.read(READ_BYTES):
                raise BadFrame(self._spec.name, "more after the end")
        self._is_finished = True
        await self._stream.close()

    async def _leave(self) -> None:
        self._slots.release()
        if self._stream is not None and not self._is_finished:
            with trio.CancelScope(shield=True):
                await self._stream.give_up()


async def answer(
    spec: RequestSpec,
    stream: RequestStream,
    respond: Callable[[bytes], AsyncGenerator[bytes, None]],
    limit: WriteLimit,
) -> None:
    """Serve one request on a stream that the peer opened.

    ``respond`` may raise RequestRefused, before or between answers.
    Raises: FrameTooLarge, BadFrame, ConnectionLost, RequestTimedOut.
    """
    with _deadline(spec):
        payload = await _read_request(spec, stream)
    last = END
    try:
        count = 0
        async with aclosing(respond(payload)) as bodies:
            async for body in bodies:
                count += 1
                assert len(body) <= spec.answer_bytes_max, "larger than peers accept"
                assert count <= spec.answers_max, "more answers than peers accept"
                with limit(spec.step_seconds, "takes no answers"):
                    await stream.write(encode_frame(ANSWER + body))
    except RequestRefused as refusal:
        last = REFUSED + str(refusal).encode()[:REASON_BYTES_MAX]
    await _conclude(spec, stream, last, limit)


async def refuse(spec: RequestSpec, stream: RequestStream, reason: str, limit: WriteLimit) -> None:
    """Answer without reading the request: the node is busy. Raises: ConnectionLost."""
    await _conclude(spec, stream, REFUSED + reason.encode()[:REASON_BYTES_MAX], limit)


async def _conclude(
    spec: RequestSpec, stream: RequestStream, last: bytes, limit: WriteLimit
) -> None:
    with limit(spec.step_seconds, "takes no answers"):
        await stream.write(encode_frame(last))
        await stream.finish()


async def _read_request(spec: RequestSpec, stream: RequestStream) -> bytes:
    decoder = FrameDecoder(spec.request_bytes_max)
    payload: bytes | None = None
    while data := await stream.read(READ_BYTES):
        for frame in decoder.feed(data):
            if payload is not None or not frame:
                raise BadFrame(spec.name, "more than one request")
            payload = frame
    if payload is None or decoder.held:
        # Whoever loses interest resets its stream, and a reset reads as an end.
        raise ConnectionLost(spec.name, "cut off before the request was whole")
    return payload


@contextmanager
def _deadline(spec: RequestSpec) -> Iterator[None]:
    """``trio.fail_after`` with this package's error."""
    with trio.move_on_after(spec.step_seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise RequestTimedOut(spec.name, f"{spec.step_seconds:g} s")
