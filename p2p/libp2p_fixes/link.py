"""One authenticated connection to a peer, and the streams on it.

* *window frames for single bytes*: each ``read`` on a Yamux stream answers with a window frame, and
  the negotiation of a protocol reads byte by byte: 54 frames a request. ``Stream`` reads ahead.
* *negotiation without limit*: a length that the peer chooses is read before the protocol of a
  stream is known. ``Sip`` lets only ``NEGOTIATION_BYTES_MAX`` through.
* *reset and crash read as an end*: neither can be told from a proper end here, so everything above
  prefixes lengths and says when it is done.

Waits for libp2p/py-libp2p issues 572 (limits) and 1270 (window frames). Links: docs/network.md.
"""

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.io.abc import ReadWriteCloser
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.net_stream import NetStream
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

from p2p.faults import ConnectionLost, Flooding, NetworkFault
from p2p.identity import PeerId
from p2p.libp2p_fixes.pipe import Pipe
from p2p.libp2p_fixes.yamux import FirmYamux

NEGOTIATION_BYTES_MAX = 1024
"""Read on a new stream before its protocol is agreed."""
NEGOTIATION_SECONDS = 10
GIVE_UP_SECONDS = 2
READ_BYTES_MIN = 16 * 1024


class NegotiationFailed(NetworkFault):
    """The other side does not speak this protocol, or said nothing in time."""


class Link:
    """One authenticated connection to a peer, either way round."""

    def __init__(self, pipe: Pipe, connection: SwarmConn, host: BasicHost) -> None:
        muxed = connection.muxed_conn
        assert isinstance(muxed, FirmYamux)
        self.peer = PeerId(muxed.peer_id.to_base58())
        self.pipe = pipe
        self.muxed = muxed
        self.connection = connection
        self._host = host

    @property
    def is_dialer(self) -> bool:
        """True when this side made the connection."""
        return self.pipe.is_initiator

    @property
    def is_closed(self) -> bool:
        return self.pipe.abort_reason is not None or self.connection.is_closed

    def abort(self, reason: str) -> None:
        """Close the socket now; the first reason is kept."""
        self.pipe.abort(reason)

    async def open_stream(self, protocol: str) -> "Stream":
        """Open a stream and agree on its protocol; the caller sets the deadline.

        Raises: ConnectionLost, NegotiationFailed.
        """
        try:
            raw = await self.connection.new_stream()
        except BaseLibp2pError as error:
            raise ConnectionLost(str(error)) from error
        stream = Stream(raw)
        try:
            await self._host.multiselect_client.select_one_of(
                [TProtocol(protocol)], MultiselectCommunicator(Sip(stream)), NEGOTIATION_SECONDS
            )
        except (BaseLibp2pError, UnicodeDecodeError, Flooding, ConnectionLost) as error:
            await stream.give_up()
            raise NegotiationFailed(protocol, str(error)) from error
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await stream.give_up()
            raise
        return stream


class Stream:
    """Bytes to and from a peer, with this package's errors."""

    def __init__(self, raw: INetStream) -> None:
        assert isinstance(raw, NetStream)
        self._raw = raw
        self._buffer = b""

    async def read(self, bytes_max: int) -> bytes:
        """Return what came, at most ``bytes_max``; ``b""`` at the end. Raises: ConnectionLost."""
        if not self._buffer:
            try:
                # Yamux answers each read with a window frame: never read byte by byte below.
                self._buffer = await self._raw.read(max(bytes_max, READ_BYTES_MIN))
            except EOFError:
                return b""
            except (BaseLibp2pError, ValueError) as error:
                raise ConnectionLost(str(error)) from error
        data = self._buffer[:bytes_max]
        self._buffer = self._buffer[bytes_max:]
        return data

    async def write(self, data: bytes) -> None:
        """Write everything. To give up, abort the link: never cancel. Raises: ConnectionLost."""
        try:
            await self._raw.write(data)
        except (BaseLibp2pError, ValueError) as error:
            raise ConnectionLost(str(error)) from error

    async def finish(self) -> None:
        """Say that nothing more will be written. Raises: ConnectionLost."""
        try:
            await self._raw.close_write()
        except (BaseLibp2pError, ValueError) as error:
            raise ConnectionLost(str(error)) from error

    async def close(self) -> None:
        """Forget a stream that both sides have finished. Raises: ConnectionLost."""
        try:
            await self._raw.close()
        except (BaseLibp2pError, ValueError) as error:
            raise ConnectionLost(str(error)) from error

    async def give_up(self) -> None:
        """Reset the stream; if even that cannot be written in 2 s, the link goes down."""
        with trio.move_on_after(GIVE_UP_SECONDS):
            await self._raw.reset()


class Sip(ReadWriteCloser):
    """A stream from which only a little may be read: what negotiation may cost."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = NEGOTIATION_BYTES_MAX

    async def read(self, n: int | None = None) -> bytes:
        if n is None or n > self._left:
            raise Flooding("stream negotiation", n)
        self._left -= n
        return await self._stream.read(n)

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)

    async def close(self) -> None:
        await self._stream.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return None
