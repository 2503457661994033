"""Nodes for tests: stock libp2p hosts, our hosts, our networks, all on loopback."""

import gc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import trio
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.crypto.keys import KeyPair
from libp2p.host.basic_host import BasicHost
from libp2p.network.config import ConnectionConfig
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

from p2p.channels import Timing
from p2p.host import HandshakeLimits, Host, Listen
from p2p.identity import Address, PeerId, endpoint, key_pair_from_seed, libp2p_id, peer_id_of_seed
from p2p.libp2p_fixes.link import Link, Stream
from p2p.libp2p_fixes.yamux import FirmYamux
from p2p.network import Config, Network
from p2p.peers import PeerLimits
from p2p.requests import RequestSpec
from p2p.scores import Rules
from primitives.types import Digest

LOOPBACK = Address("/ip4/127.0.0.1/tcp/0")
OPEN = (Listen(LOOPBACK),)
ECHO = "/test/echo/1"
GENESIS = Digest(b"\x07" * 32)
BLOCKS = RequestSpec("blocks", 1000, 1_000_000, 10, step_seconds=2.0)


def seed(number: int) -> bytes:
    return number.to_bytes(32, "big")


def peer_id(number: int) -> PeerId:
    return peer_id_of_seed(seed(number))


def keys(number: int) -> KeyPair:
    return key_pair_from_seed(seed(number))


# ---------------------------------------------------------------------------------- stock hosts


async def echo(stream: INetStream) -> None:
    data = await stream.read(5)
    await stream.write(data)


def quiet_config(*, max_connections: int = 300) -> ConnectionConfig:
    """Ask libp2p to leave connections to us, as far as it can be asked."""
    return ConnectionConfig(
        min_connections=0,
        low_watermark=0,
        high_watermark=max_connections,
        max_connections=max_connections,
    )


def stock_host(number: int, config: ConnectionConfig | None = None) -> BasicHost:
    """Return a host as libp2p makes it by default."""
    host = new_host(key_pair=keys(number), connection_config=config)
    assert isinstance(host, BasicHost)
    return host


@asynccontextmanager
async def running(host: BasicHost, address: str = LOOPBACK) -> AsyncIterator[Multiaddr]:
    """Run a stock host; give where it listens."""
    try:
        async with host.run(listen_addrs=[Multiaddr(address)]):
            yield host.get_transport_addrs()[0]
    finally:
        # Stock hosts leak sockets: let the complaint fall into the test that made them.
        gc.collect()


def info(number: int, address: Multiaddr | Address) -> PeerInfo:
    return PeerInfo(libp2p_id(peer_id(number)), [Multiaddr(str(address))])


# ------------------------------------------------------------------------------------ our hosts


async def echo_stream(muxed: FirmYamux, protocol: str, stream: Stream) -> None:
    data = await stream.read(5)
    await stream.write(data)


class Links:
    """Takes the links of a host and keeps them until they end."""

    def __init__(self) -> None:
        self.links: list[Link] = []

    async def take(self, link: Link, hostname: str) -> None:
        self.links.append(link)
        await link.connection.event_closed.wait()


def our_host(
    number: int,
    *,
    is_allowed: Callable[[PeerId, bool], bool] = lambda _peer, _is_open: True,
    limits: HandshakeLimits | None = None,
    serve: Callable[[FirmYamux, str, Stream], Awaitable[None]] = echo_stream,
) -> Host:
    return Host(
        seed=seed(number),
        protocols=(ECHO,),
        serve=serve,
        is_allowed=is_allowed,
        limits=limits or HandshakeLimits(),
    )


def multiaddr_of(host: Host) -> Multiaddr:
    return Multiaddr(host.addresses[0])


async def raw_socket(address: Multiaddr | Address) -> trio.SocketStream:
    return await trio.open_tcp_stream(*endpoint(Address(str(address).partition("/p2p/")[0])))


# --------------------------------------------------------------------------------- our networks


class Recorder:
    """A handler that keeps what it is told."""

    def __init__(self) -> None:
        self.frames: list[tuple[PeerId, str, bytes]] = []
        self.ups: list[PeerId] = []
        self.downs: list[tuple[PeerId, str]] = []
        self.records: list[tuple[PeerId, bytes]] = []
        self.guests: set[PeerId] = set()

    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None:
        self.frames.append((peer, channel, frame))

    async def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]:
        for number in range(3):
            yield name.encode() + payload * number

    def on_peer_up(self, peer: PeerId) -> None:
        self.ups.append(peer)

    def on_peer_down(self, peer: PeerId, reason: str) -> None:
        self.downs.append((peer, reason))

    def on_record(self, peer: PeerId, record: bytes) -> None:
        self.records.append((peer, record))

    def is_allowed(self, peer: PeerId) -> bool:
        return peer in self.guests


class Node:
    """A network with its handler."""

    def __init__(
        self,
        number: int,
        folder: Path,
        *,
        handler: Recorder | None = None,
        listen: tuple[Listen, ...] = OPEN,
        boot: tuple[tuple[PeerId, Address], ...] = (),
        peer_limits: PeerLimits | None = None,
        timing: Timing | None = None,
        rules: Rules | None = None,
    ) -> None:
        self.handler = handler or Recorder()
        config = Config(
            seed=seed(number),
            genesis=GENESIS,
            folder=folder / str(number),
            listen=listen,
            boot=boot,
            requests=(BLOCKS,),
            peer_limits=peer_limits or PeerLimits(),
            timing=timing or Timing(),
            rules=rules or Rules(),
        )
        self.network = Network(config, self.handler, Random(number))

    @property
    def peer(self) -> PeerId:
        return self.network.peer

    @property
    def address(self) -> Address:
        return self.network.addresses[0]


def mesh(*nodes: Node) -> None:
    """Make validators of the nodes."""
    validators = {node.peer: node.network.addresses for node in nodes}
    for node in nodes:
        node.network.set_validators(validators)
