"""The node's end of every connection: one identity, the sockets it listens at, who may come in.

A strange socket passes four gates, each cheaper than the next: the number of handshakes under way
(in all and per network address), the time and the bytes a handshake may take, Noise, and
right after Noise whether this peer may enter through this listener. Only then it costs memory.

Validators listen at a port of their own (``Listen.is_open`` false), where only peers pass that the
gate lets through; everyone else is served at an open one, and cannot crowd out a vote.

Invariants: one process per folder (a locked file) and per port (no ``SO_REUSEPORT``); a link that
is handed to ``on_link`` is authenticated, multiplexed and allowed.
"""

import fcntl
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from weakref import WeakSet

import trio

from p2p.faults import ConnectionLost, DialFailed
from p2p.identity import (
    Address,
    PeerId,
    endpoint,
    format_address,
    key_pair_from_seed,
    peer_id_of_seed,
)
from p2p.libp2p_fixes.link import Link
from p2p.libp2p_fixes.pipe import Pipe
from p2p.libp2p_fixes.swarm import Serve, accept, dial, make_host
from primitives.errors import ConfigError

log = logging.getLogger(__name__)

DIAL_SECONDS = 10.0
HANDSHAKE_SECONDS = 5.0
LOCK_FILE = "p2p.lock"


@dataclass(frozen=True, slots=True)
class Listen:
    """A socket to listen at; port 0 takes a free one."""

    address: Address
    is_open: bool = True
    """False: for validators only."""


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    total_max: int = 64
    per_address_max: int = 16


class Handshakes:
    """The handshakes under way; when there are too many, the oldest makes room."""

    def __init__(self, limits: HandshakeLimits) -> None:
        self._limits = limits
        self._pending: dict[Pipe, str] = {}
        self.refused = 0

    @contextmanager
    def enter(self, pipe: Pipe, hostname: str) -> Iterator[None]:
        """Count one; an older one may be aborted for it. Raises: ConnectionLost."""
        if list(self._pending.values()).count(hostname) >= self._limits.per_address_max:
            self.refused += 1
            raise ConnectionLost("too many handshakes from one address")
        if len(self._pending) >= self._limits.total_max:
            # An honest handshake takes milliseconds: the oldest is the least likely to be one.
            self.refused += 1
            oldest = next(iter(self._pending))
            del self._pending[oldest]
            oldest.abort("made room for a newer handshake")
        self._pending[pipe] = hostname
        try:
            yield
        finally:
            self._pending.pop(pipe, None)


class Host:
    """Listens and dials; see the module."""

    def __init__(
        self,
        *,
        seed: bytes,
        protocols: tuple[str, ...],
        serve: Serve,
        is_allowed: Callable[[PeerId, bool], bool],
        limits: HandshakeLimits,
    ) -> None:
        self.peer = peer_id_of_seed(seed)
        self.handshakes = Handshakes(limits)
        self.addresses: tuple[Address, ...] = ()
        """Where this host listens, once it runs."""
        self._is_allowed = is_allowed
        self._dialed: WeakSet[Pipe] = WeakSet()
        self._host = make_host(key_pair_from_seed(seed), protocols, serve)

    @asynccontextmanager
    async def run(
        self,
        listen: tuple[Listen, ...],
        on_link: Callable[[Link, str], Awaitable[object]],
    ) -> AsyncIterator[None]:
        """Listen for as long as the block lasts. ``on_link`` owns its link until it returns.

        Raises: ConfigError if an address cannot be listened at.
        """
        sockets = await _open_listeners(listen)
        self.addresses = tuple(_bound_address(socket) for _, socket in sockets)
        async with self._host.run(listen_addrs=[]), trio.open_nursery() as nursery:
            for one, socket in sockets:
                admit = partial(self._admit, listen=one, on_link=on_link)
                nursery.start_soon(trio.serve_listeners, admit, [socket])
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()
                for pipe in list(self._dialed):
                    pipe.abort("host stops")

    async def dial(self, peer: PeerId, addresses: tuple[Address, ...]) -> tuple[Link, Address]:
        """Connect to a peer at the first address that leads to it. Raises: DialFailed."""
        reasons: list[str] = []
        for address in addresses:
            hostname, port = endpoint(address)
            try:
                with trio.fail_after(DIAL_SECONDS):
                    link = await dial(self._host, peer, hostname, port)
                self._dialed.add(link.pipe)
                return link, address
            except (DialFailed, trio.TooSlowError) as error:
                reasons.append(f"{address} {error!r}")
        raise DialFailed(peer, "; ".join(reasons) or "no address known")

    async def _admit(
        self,
        stream: trio.SocketStream,
        listen: Listen,
        on_link: Callable[[Link, str], Awaitable[object]],
    ) -> None:
        try:
            hostname = str(stream.socket.getpeername()[0])
        except OSError:  # gone before we looked
            await trio.aclose_forcefully(stream)
            return
        pipe = Pipe(
            stream,
            is_initiator=False,
            is_allowed=lambda peer: self._is_allowed(peer, listen.is_open),
        )
        try:
            with self.handshakes.enter(pipe, hostname), trio.fail_after(HANDSHAKE_SECONDS):
                link = await accept(self._host, pipe)
            await on_link(link, hostname)
        except (ConnectionLost, trio.TooSlowError) as error:
            log.debug("event=inbound_refused address=%s error=%r", hostname, error)
        finally:
            pipe.abort("refused")


async def _open_listeners(
    listen: tuple[Listen, ...],
) -> list[tuple[Listen, trio.SocketListener]]:
    """Open every socket or none."""
    opened: list[tuple[Listen, trio.SocketListener]] = []
    for one in listen:
        hostname, port = endpoint(one.address)
        try:
            sockets = await trio.open_tcp_listeners(port, host=hostname)
        except OSError as error:
            for _, socket in opened:
                socket.socket.close()
            raise ConfigError(
                f"cannot listen at {one.address} ({error}); "
                "stop the program that uses the port or choose another one"
            ) from error
        opened += [(one, socket) for socket in sockets]
    return opened


def _bound_address(socket: trio.SocketListener) -> Address:
    """Return the listen address with the port that was really taken."""
    name = socket.socket.getsockname()
    return format_address(str(name[0]), int(name[1]))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process alone. Raises: ConfigError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(
                f"another node runs with {folder}; stop it or use another folder"
            ) from error
        yield
