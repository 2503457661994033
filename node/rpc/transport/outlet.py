"""Bytes to and from one connection: one writer at a time, and no client is waited for for ever."""

from math import inf

import trio

from node.rpc.limits import KIB, Limits
from primitives.errors import LoopinError

SEND_BYTES = 256 * KIB
LINGER_SECONDS = 1.0
RECEIVE_BYTES = 16 * KIB
"""Small enough that parsing the worst of it takes about two milliseconds."""


class ClientGone(LoopinError):
    """The client hung up, broke the connection or stopped reading."""


class Outlet:
    """The sending side of a stream, shared by the tasks of one connection."""

    def __init__(self, stream: trio.SocketStream, limits: Limits, scope: trio.CancelScope) -> None:
        """``scope`` surrounds the connection; its deadline is the outlet's while it sends.

        A scope for each send would cost as much as parsing the request that is answered.
        """
        self._stream = stream
        self._timeout = limits.send_timeout
        self._scope = scope
        self._turn = trio.Lock()

    async def send(self, *parts: bytes | bytearray) -> None:
        """Send all of ``parts`` with nothing between them; one that takes too long ends it all.

        Long parts are not joined: to copy 15 MiB takes longer than anyone should wait.
        Raises: ClientGone.
        """
        if len(parts) > 1 and len(parts[-1]) <= SEND_BYTES:
            parts = (b"".join(parts),)
        try:
            self._turn.acquire_nowait()
        except trio.WouldBlock:
            await self._turn.acquire()
        try:
            for data in parts:
                view = memoryview(data)
                for start in range(0, len(data), SEND_BYTES):
                    await self._send(view[start : start + SEND_BYTES])
        finally:
            self._scope.deadline = inf
            self._turn.release()

    async def _send(self, data: memoryview) -> None:
        self._scope.deadline = trio.current_time() + self._timeout
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ClientGone("the connection broke") from None


async def send_last_word(stream: trio.SocketStream, limits: Limits, data: bytes) -> None:
    """Send ``data`` outside of any conversation. Raises: ClientGone."""
    with trio.CancelScope() as scope:
        await Outlet(stream, limits, scope).send(data)


async def say_goodbye(stream: trio.SocketStream) -> None:
    """End a connection so that the client gets to read the last word.

    To close a socket with unread bytes resets the connection, and the reset overtakes what was
    sent: a client in the middle of a long body would never learn why it was refused.
    """
    with trio.move_on_after(LINGER_SECONDS):
        try:
            await stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        while await receive_some(stream):
            pass


async def receive_some(stream: trio.SocketStream) -> bytes:
    """Return what has come; empty if the client hung up or the connection broke."""
    try:
        return bytes(await stream.receive_some(RECEIVE_BYTES))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return b""
