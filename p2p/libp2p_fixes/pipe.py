"""The socket under a libp2p connection, kept within reach.

libp2p hides the socket below four wrappers, yet the only safe way to give up on a connection is to
close the socket itself: ``Swarm.close_peer`` waits for a write that may never end, and a write that
is cancelled half-way leaves half a frame on the wire. A ``Pipe`` is libp2p's raw connection that
can be aborted at once, from anywhere, without awaiting.

Also mended here:

* *unbounded handshake*: before a peer is authenticated libp2p reads messages whose length the peer
  chooses. A pipe counts what is read until ``upgraded()`` and gives up at ``HANDSHAKE_BYTES_MAX``.
* *hundred pieces*: ``libp2p.io.utils.read_exactly`` gives up when a message comes in more than a
  hundred reads, as 64 KiB do over a link with small segments. ``read(n)`` here returns n bytes.

Waits for libp2p/py-libp2p issue 572 (limits); for the stuck ``close`` and the hundred pieces there
is none yet. Links: docs/network.md.
"""

from collections.abc import Callable
from weakref import WeakKeyDictionary

import trio
from libp2p.abc import ISecureConn
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection

from p2p.faults import Flooding
from p2p.identity import PeerId

HANDSHAKE_BYTES_MAX = 16 * 1024
"""Read before a connection is authenticated and multiplexed; an honest handshake takes 1 KiB."""
_READ_BYTES = 64 * 1024
_HANDSHAKE_READ_BYTES = 4096


class Pipe(RawConnection):
    """One TCP connection to a peer."""

    def __init__(
        self,
        socket: trio.SocketStream,
        *,
        is_initiator: bool,
        is_allowed: Callable[[PeerId], bool] = lambda _: True,
    ) -> None:
        super().__init__(TrioTCPStream(socket), is_initiator)
        self.is_allowed = is_allowed
        self.abort_reason: str | None = None
        """Why this side closed the socket; None while it has not."""
        self.bytes_read = 0
        self.bytes_written = 0
        self._socket = socket
        self._buffer = b""
        self._at = 0
        self._handshake = True

    def abort(self, reason: str) -> None:
        """Close the socket now; every read and write on it ends. The first reason is kept."""
        if self.abort_reason is None:
            self.abort_reason = reason
            self._socket.socket.close()

    def upgraded(self) -> None:
        """Note that the peer is authenticated: the limit on handshake bytes no longer holds."""
        self._handshake = False

    async def read(self, n: int | None = None) -> bytes:
        """Return exactly ``n`` bytes, or fewer at the end of the stream."""
        if n is None:
            return await self._more()
        pieces: list[bytes] = []
        missing = n
        while missing > 0:
            if self._at == len(self._buffer):
                self._buffer, self._at = await self._more(), 0
                if not self._buffer:
                    break
            piece = self._buffer[self._at : self._at + missing]
            self._at += len(piece)
            missing -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _more(self) -> bytes:
        data = await super().read(_HANDSHAKE_READ_BYTES if self._handshake else _READ_BYTES)
        self.bytes_read += len(data)
        if self._handshake and self.bytes_read > HANDSHAKE_BYTES_MAX:
            self.abort("handshake too long")
            raise Flooding("handshake", self.bytes_read)
        return data

    async def write(self, data: bytes) -> None:
        await super().write(data)
        self.bytes_written += len(data)


_pipes: WeakKeyDictionary[ISecureConn, Pipe] = WeakKeyDictionary()


def remember_pipe(secured: ISecureConn, pipe: Pipe) -> None:
    """Tie an authenticated connection to its socket."""
    _pipes[secured] = pipe


def has_pipe(secured: ISecureConn) -> bool:
    """Say whether an authenticated connection runs over a ``Pipe``."""
    return secured in _pipes


def pipe_under(secured: ISecureConn) -> Pipe:
    """Return the socket under an authenticated connection."""
    return _pipes[secured]
