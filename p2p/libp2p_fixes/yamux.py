"""Yamux that cannot be wedged, filled up or corrupted.

What the stock multiplexer of py-libp2p 0.8.1 does, and what this one does instead:

* *reader awaits its own writes*: acknowledgements and pongs are written by the task that reads.
  With both directions full, each side waits for the other to read, for ever. Here they go through
  a queue with a writer of its own; a peer that makes the queue overflow while it reads nothing is
  cut off.
* *half a frame*: a write cancelled half-way leaves half a frame on the wire and the connection
  goes on. Here it closes the socket.
* *flow control is not enforced*: unread bytes pile up without limit. Here the connection is cut
  off above ``UNREAD_BYTES_MAX`` (and a frame above ``WINDOW_BYTES_MAX`` is refused unread).
* *streams without number*: every stream a peer opens gets a task. Here each above
  ``INBOUND_STREAMS_MAX`` is reset unseen, and too many of those cut the connection off.
* *slots that leak*: opening a stream waits for ever once 256 slots are gone. Here it fails at once.
* *a crash takes the host along*: an exception in ``start`` ends the whole swarm. Here it ends this
  connection.

``MuxerMultistream`` ignores the class that is given in ``muxer_opt`` and makes its own ``Yamux``:
``install`` puts this class in its place.

Waits for libp2p/py-libp2p issues 572 (limits), 1270 (windows) and 1285 (slots); for the deadlock,
cancelled writes and the ignored ``muxer_opt`` there is none yet. Links: docs/network.md.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from libp2p.abc import IMuxedStream, ISecureConn
from libp2p.peer.id import ID
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux import yamux
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

from p2p.libp2p_fixes.pipe import Pipe, has_pipe, pipe_under

log = logging.getLogger(__name__)

WINDOW_BYTES_MAX = 2 * 2**20
"""Largest receive window of one stream, and largest data frame."""
UNREAD_BYTES_MAX = 32 * 2**20
"""Received and not yet read, over all streams of a connection."""
UNREAD_CHECK_BYTES = 2**20
"""How many bytes may come between two looks at the sum: the error of the limit above."""
INBOUND_STREAMS_MAX = 64
"""Open at once by the peer on one connection: two channels and its requests."""
REFUSED_STREAMS_MAX = 512
"""Streams beyond the limit after which the peer is taken for a flooder."""
REPLIES_MAX = 4096
"""Control frames that wait to be written, 12 bytes each."""


class TooManyUnreadBytes(trio.TooSlowError):
    """The peer overran the receive buffers; libp2p ends the connection on its base class."""


class FirmYamux(Yamux):
    """See the module; used through ``install``."""

    flood: str | None = None
    """Why this side cut the connection off, if the peer overran a limit."""

    _reader: trio.lowlevel.Task | None = None

    @property
    def pipe(self) -> Pipe:
        return pipe_under(self.secured_conn)

    def kill(self, reason: str, *, is_flood: bool = False) -> None:
        """Close the socket; libp2p notices and cleans up by itself."""
        if is_flood and self.flood is None:
            self.flood = reason
        self.pipe.abort(reason)

    async def start(self) -> None:
        self.pipe.upgraded()
        try:
            await super().start()
        except Exception:
            log.debug("event=yamux_ended peer=%s", self.peer_id, exc_info=True)
            self.kill("multiplexer failed")
            self.event_started.set()

    # ------------------------------------------------------------- replies by their own task

    async def _handle_incoming_with_ready_signal(
        self,
        task_status: Any = trio.TASK_STATUS_IGNORED,  # noqa: ANN401  libp2p's
    ) -> None:
        self._replies: deque[bytes] = deque()
        self._has_replies = trio.Event()
        self._unread_since_check = 0
        self._refused_streams = 0
        self._reader = trio.lowlevel.current_task()
        assert self._nursery is not None
        self._nursery.start_soon(self._write_replies)
        await super()._handle_incoming_with_ready_signal(task_status)

    async def _write_replies(self) -> None:
        while True:
            await self._has_replies.wait()
            self._has_replies = trio.Event()
            frames = b"".join(self._replies)
            self._replies.clear()
            await self._write_whole(frames)

    async def _write_frame(self, data: bytes) -> None:
        if trio.lowlevel.current_task() is not self._reader:
            await self._write_whole(data)
        elif len(self._replies) >= REPLIES_MAX:
            self.kill("makes us answer and does not read", is_flood=True)
        else:
            self._replies.append(data)
            self._has_replies.set()

    async def _write_whole(self, data: bytes) -> None:
        async with self._write_lock:
            try:
                await self.secured_conn.write(data)
            except trio.Cancelled:
                self.kill("write cancelled half-way")
                raise

    # ------------------------------------------------------------------------------- limits

    async def _read_data_body(self, length: int) -> bytes:
        self._unread_since_check += length
        if self._unread_since_check >= UNREAD_CHECK_BYTES:
            self._unread_since_check = 0
            if self.unread_bytes() > UNREAD_BYTES_MAX:
                self.kill(f"more than {UNREAD_BYTES_MAX} unread bytes", is_flood=True)
                raise TooManyUnreadBytes
        return await super()._read_data_body(length)

    def unread_bytes(self) -> int:
        """Return how many received bytes wait for a reader."""
        return sum(map(len, self.stream_buffers.values()))

    async def open_stream(self) -> YamuxStream:
        if self.stream_backlog_semaphore.value == 0:
            raise MuxedStreamError("all stream slots are in use")
        try:
            return await super().open_stream()
        except trio.Cancelled:
            self.kill("stream opening cancelled")
            raise

    async def accept_stream(self) -> IMuxedStream:
        while True:
            stream = await super().accept_stream()
            if self.inbound_streams() <= INBOUND_STREAMS_MAX:
                return stream
            self._refused_streams += 1
            if self._refused_streams > REFUSED_STREAMS_MAX:
                self.kill("opens too many streams", is_flood=True)
            await stream.reset()

    def inbound_streams(self) -> int:
        """Return how many streams of the peer's making exist."""
        return sum(not stream.is_initiator for stream in self.streams.values())


def _choose(
    secured: ISecureConn,
    peer: ID,
    *,
    is_initiator: bool,
    on_close: Callable[[], Awaitable[Any]],
) -> Yamux:
    """Stand where libp2p expects the class: connections over a ``Pipe`` get the firm one."""
    kind = FirmYamux if has_pipe(secured) else Yamux
    return kind(secured, peer, is_initiator=is_initiator, on_close=on_close)


def install() -> None:
    """Make libp2p use ``FirmYamux`` over pipes, and smaller windows in the whole process."""
    setattr(muxer_multistream, "Yamux", _choose)  # noqa: B010  replaced on purpose
    setattr(yamux, "MAX_WINDOW_SIZE", WINDOW_BYTES_MAX)  # noqa: B010
