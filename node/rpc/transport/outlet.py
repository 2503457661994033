"""Bytes to and from one connection: one writer at a time, and no client is waited for for ever."""

import trio

from node.rpc.limits import KIB, Limits
from primitives.errors import LoopinError

SEND_BYTES = 256 * KIB
RECEIVE_BYTES = 16 * KIB
"""Small enough that parsing the worst of it takes about two milliseconds."""


class ClientGone(LoopinError):
    """The client hung up, broke the connection or stopped reading."""


class Outlet:
    """The sending side of a stream."""

    def __init__(self, stream: trio.SocketStream, limits: Limits) -> None:
        self._stream = stream
        self._timeout = limits.send_timeout
        self._turn = trio.Lock()

    async def send(self, data: bytes) -> None:
        """Send all of ``data``, in pieces that each must go out in time. Raises: ClientGone."""
        async with self._turn:
            view = memoryview(data)
            for start in range(0, len(data), SEND_BYTES):
                with trio.move_on_after(self._timeout) as patience:
                    try:
                        await self._stream.send_all(view[start : start + SEND_BYTES])
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        raise ClientGone("the connection broke") from None
                if patience.cancelled_caught:
                    raise ClientGone("the client does not read")


async def receive_some(stream: trio.SocketStream) -> bytes:
    """Return what has come; empty if the client hung up or the connection broke."""
    try:
        return bytes(await stream.receive_some(RECEIVE_BYTES))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return b""
