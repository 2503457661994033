"""Connections for tests: authenticated pairs over a socket pair, stock or mended multiplexer."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from libp2p.abc import ISecureConn
from libp2p.stream_muxer.yamux.yamux import Yamux

from p2p.identity import key_pair_from_seed, libp2p_id, peer_id_of_seed
from p2p.libp2p_fixes import yamux
from p2p.libp2p_fixes.noise import GatedNoise
from p2p.libp2p_fixes.pipe import Pipe

yamux.install()

DIALER_SEED = b"d" * 32
LISTENER_SEED = b"l" * 32


@dataclass
class Ends:
    """Both ends of one connection."""

    dialer: Yamux
    listener: Yamux
    dialer_pipe: Pipe
    listener_pipe: Pipe


async def both(*tasks: Callable[[], Awaitable[None]]) -> None:
    """Run tasks side by side to their end."""
    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(task)


async def until(condition: Callable[[], bool]) -> None:
    """Look again each time the loop has gone round; the caller sets the deadline."""
    while not condition():  # noqa: ASYNC110  what is awaited is inside libp2p and has no event
        await trio.sleep(0.001)


async def noise_pair(
    *, buffer_bytes: int | None = None
) -> tuple[Pipe, ISecureConn, Pipe, ISecureConn]:
    """Return two authenticated ends of a socket pair, with small buffers if asked for."""
    pipes = []
    for is_initiator, end in zip((True, False), trio.socket.socketpair(), strict=True):
        if buffer_bytes is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        pipes.append(Pipe(trio.SocketStream(end), is_initiator=is_initiator))
    dialer, listener = pipes
    secured: dict[str, ISecureConn] = {}

    async def dial() -> None:
        noise = GatedNoise(key_pair_from_seed(DIALER_SEED))
        secured["d"] = await noise.secure_outbound(
            dialer, libp2p_id(peer_id_of_seed(LISTENER_SEED))
        )

    async def listen() -> None:
        noise = GatedNoise(key_pair_from_seed(LISTENER_SEED))
        secured["l"] = await noise.secure_inbound(listener)

    await both(dial, listen)
    dialer.upgraded()
    listener.upgraded()
    return dialer, secured["d"], listener, secured["l"]


@asynccontextmanager
async def muxed_pair(kind: type[Yamux], *, buffer_bytes: int | None = None) -> AsyncIterator[Ends]:
    """Run two multiplexers of a kind against each other."""
    dialer_pipe, dialer, listener_pipe, listener = await noise_pair(buffer_bytes=buffer_bytes)
    ends = Ends(
        dialer=kind(dialer, dialer.get_remote_peer(), is_initiator=True),
        listener=kind(listener, listener.get_remote_peer(), is_initiator=False),
        dialer_pipe=dialer_pipe,
        listener_pipe=listener_pipe,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.dialer.start)
        nursery.start_soon(ends.listener.start)
        await ends.dialer.event_started.wait()
        await ends.listener.event_started.wait()
        try:
            yield ends
        finally:
            dialer_pipe.abort("test over")
            listener_pipe.abort("test over")
            nursery.cancel_scope.cancel()
