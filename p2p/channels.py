"""Long-lived streams of frames between two peers.

Each pair of connected peers shares two: ``VOTE`` for the small and urgent, ``BULK`` for all that is
large. Their libp2p protocols are ``/loopin/<first 8 hex digits of genesis>/<name>/1``.

Invariants: ``send`` never waits; a frame is whole or not there; a peer from which nothing comes for
``Timing.silent_seconds`` is given up (a ping is due every ``Timing.ping_seconds``); a peer that
sends faster than the channel's rates is given up as a flooder; a peer that reads too slowly for
what may not be dropped is given up as slow. Giving up ends ``run`` with the error that says why.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from p2p.faults import ConnectionLost, Flooding, NetworkFault, PeerFault, PeerSilent, PeerSlow
from p2p.frames import LENGTH_BYTES, PING, FrameDecoder
from p2p.queue import FrameQueue, QueueFull
from p2p.scores import RateLimit

READ_BYTES = 256 * 1024
"""Each read answers with a window frame, so reads are few and large."""
WRITE_BYTES = 60_000
"""Frames are joined up to this size: one Yamux frame, one Noise message, one system call."""


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One kind of channel and its limits, the same on every node of a chain."""

    name: str
    frame_bytes_max: int
    queue_frames_max: int
    queue_bytes_max: int
    frames_per_second: int
    """Sustained; ten times as many may come at once."""
    bytes_per_second: int
    """Sustained; ten times as many may come at once."""


VOTE = ChannelSpec(
    name="vote",
    frame_bytes_max=64 * 2**10,
    queue_frames_max=16_384,
    queue_bytes_max=4 * 2**20,
    frames_per_second=5_000,
    bytes_per_second=4 * 2**20,
)
BULK = ChannelSpec(
    name="bulk",
    frame_bytes_max=4 * 2**20,
    queue_frames_max=1024,
    queue_bytes_max=16 * 2**20,
    frames_per_second=1_000,
    bytes_per_second=64 * 2**20,
)
CHANNELS = (VOTE, BULK)
_BURST = 10


@dataclass(frozen=True, slots=True)
class Timing:
    ping_seconds: float = 2.0
    """An idle channel sends a ping this often."""
    silent_seconds: float = 8.0
    """A channel on which nothing came for so long is dead."""


@dataclass(frozen=True, slots=True)
class ChannelStats:
    frames_in: int
    bytes_in: int
    frames_out: int
    bytes_out: int
    queue_frames: int
    queue_bytes: int
    dropped: int


class ByteStream(Protocol):
    """What a channel needs from a stream; raises ConnectionLost."""

    async def read(self, bytes_max: int) -> bytes: ...
    async def write(self, data: bytes) -> None: ...


class Channel:
    """One end of a channel."""

    def __init__(self, spec: ChannelSpec, stream: ByteStream, timing: Timing) -> None:
        now = trio.current_time()
        self.spec = spec
        self._stream = stream
        self._timing = timing
        self._queue = FrameQueue(frames_max=spec.queue_frames_max, bytes_max=spec.queue_bytes_max)
        self._has_frames = trio.Event()
        self._is_overfull = trio.Event()
        self._heard = now
        self._is_reading = True
        self._frame_rate = RateLimit(
            per_second=spec.frames_per_second, burst=spec.frames_per_second * _BURST, now=now
        )
        self._byte_rate = RateLimit(
            per_second=spec.bytes_per_second, burst=spec.bytes_per_second * _BURST, now=now
        )
        self._failure: PeerFault | NetworkFault | None = None
        self._frames_in = self._bytes_in = self._frames_out = self._bytes_out = 0

    def send(self, frame: bytes, *, droppable: bool) -> None:
        """Queue an encoded frame; a peer for which it no longer fits is given up."""
        assert len(frame) <= self.spec.frame_bytes_max + LENGTH_BYTES, "larger than peers accept"
        try:
            self._queue.put(frame, droppable=droppable)
        except QueueFull:
            self._is_overfull.set()
        self._frames_out += 1
        self._has_frames.set()

    async def run(self, on_frame: Callable[[bytes], Awaitable[None]]) -> None:
        """Move frames until the channel fails; never returns.

        While ``on_frame`` waits nothing more is read, which holds the peer back.
        Raises: PeerFault, NetworkFault.
        """
        async with trio.open_nursery() as nursery:
            end = nursery.cancel_scope
            nursery.start_soon(self._until_failure, partial(self._read, on_frame), end)
            nursery.start_soon(self._until_failure, self._write, end)
            nursery.start_soon(self._until_failure, self._watch, end)
            nursery.start_soon(self._until_failure, self._watch_queue, end)
        assert self._failure is not None
        raise self._failure

    def stats(self) -> ChannelStats:
        return ChannelStats(
            frames_in=self._frames_in,
            bytes_in=self._bytes_in,
            frames_out=self._frames_out,
            bytes_out=self._bytes_out,
            queue_frames=len(self._queue),
            queue_bytes=self._queue.bytes,
            dropped=self._queue.dropped,
        )

    async def _until_failure(
        self, work: Callable[[], Awaitable[None]], end: trio.CancelScope
    ) -> None:
        try:
            await work()
        except (PeerFault, NetworkFault) as failure:
            self._failure = self._failure or failure
            end.cancel()

    async def _read(self, on_frame: Callable[[bytes], Awaitable[None]]) -> None:
        decoder = FrameDecoder(self.spec.frame_bytes_max)
        while data := await self._stream.read(READ_BYTES):
            now = self._heard = trio.current_time()
            self._bytes_in += len(data)
            if not self._byte_rate.take(len(data), now):
                raise Flooding(self.spec.name, "bytes")
            for frame in decoder.feed(data):
                if not self._frame_rate.take(1, now):
                    raise Flooding(self.spec.name, "frames")
                if frame:
                    self._frames_in += 1
                    self._is_reading = False
                    await on_frame(frame)
                    self._is_reading = True
            # Time spent with our own handler is no silence of the peer.
            self._heard = trio.current_time()
        raise ConnectionLost("closed by the peer", "mid-frame" if decoder.held else "")

    async def _write(self) -> None:
        while True:
            if not self._queue:
                self._has_frames = trio.Event()
                with trio.move_on_after(self._timing.ping_seconds):
                    await self._has_frames.wait()
            data = self._queue.take(WRITE_BYTES) if self._queue else PING
            await self._stream.write(data)
            self._bytes_out += len(data)

    async def _watch(self) -> None:
        while True:
            silent = trio.current_time() - self._heard if self._is_reading else 0.0
            if silent >= self._timing.silent_seconds:
                raise PeerSilent(self.spec.name, f"{silent:.1f} s")
            await trio.sleep(self._timing.silent_seconds - silent)

    async def _watch_queue(self) -> None:
        await self._is_overfull.wait()
        raise PeerSlow(self.spec.name, len(self._queue), self._queue.bytes)
