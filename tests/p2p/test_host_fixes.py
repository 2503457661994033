"""Each defect of the stock host, shown on it, and gone in ours."""

from pathlib import Path

import pytest
import trio
import trio.testing
from libp2p.abc import ISecureTransport
from libp2p.crypto.ed25519 import Ed25519PrivateKey
from libp2p.crypto.keys import KeyPair, PublicKey
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519_key_pair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.host.basic_host import BasicHost
from libp2p.io.exceptions import IncompleteReadError
from libp2p.io.trio import TrioTCPStream
from libp2p.io.utils import read_exactly
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID as PLAINTEXT
from libp2p.security.insecure.transport import InsecureTransport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import background_trio_service
from libp2p.transport.exceptions import SecurityUpgradeFailure
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr

from p2p.faults import DialFailed
from p2p.host import HandshakeLimits, Host, Listen, locked
from p2p.identity import Address, libp2p_id
from p2p.libp2p_fixes.pipe import HANDSHAKE_BYTES_MAX, Pipe
from p2p.libp2p_fixes.swarm import swarm_of
from primitives.errors import ConfigError
from tests.p2p.nodes import (
    ECHO,
    LOOPBACK,
    OPEN,
    Links,
    echo,
    info,
    keys,
    multiaddr_of,
    our_host,
    peer_id,
    quiet_config,
    raw_socket,
    running,
    stock_host,
)
from tests.p2p.wires import until

pytestmark = pytest.mark.filterwarnings(
    # Stock hosts leave sockets to the garbage collector.
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

VICTIM, SERVER, STRANGER, FRIEND = 1, 2, 3, 4
ROOT = Path(__file__).resolve().parents[2]


class ForgedKey(Ed25519PrivateKey):
    """A private key that shows the victim's public key and signs with its own."""

    def get_public_key(self) -> PublicKey:
        return keys(VICTIM).public_key


def impostor(protocol: TProtocol) -> TransportUpgrader:
    """Return the means to claim the victim's identity without having its private key."""
    own = keys(STRANGER).private_key
    assert isinstance(own, Ed25519PrivateKey)
    forged = KeyPair(ForgedKey(own.impl), keys(VICTIM).public_key)
    security: dict[TProtocol, ISecureTransport] = {PLAINTEXT: InsecureTransport(forged)}
    if protocol == NOISE:
        security = {NOISE: NoiseTransport(forged, create_x25519_key_pair().private_key)}
    return TransportUpgrader(security, {TProtocol(YAMUX): Yamux})


async def claim_identity(protocol: TProtocol, number: int, address: Multiaddr) -> bool:
    """Connect as the victim; say whether the server went along until both were multiplexed."""
    upgrader = impostor(protocol)
    raw = RawConnection(TrioTCPStream(await raw_socket(address)), True)
    server = libp2p_id(peer_id(number))
    try:
        with trio.move_on_after(1):
            secured = await upgrader.upgrade_security(raw, True, server)
            await upgrader.upgrade_connection(secured, server)
            return True
    except (BaseLibp2pError, SecurityUpgradeFailure):
        pass
    finally:
        await raw.close()
    return False


async def test_stock_host_believes_a_stranger_who_claims_an_identity_in_plaintext() -> None:
    server = stock_host(SERVER, quiet_config())
    async with running(server) as address:
        assert await claim_identity(PLAINTEXT, SERVER, address)

        with trio.fail_after(30):
            await until(lambda: libp2p_id(peer_id(VICTIM)) in swarm_of(server).connections)


@pytest.mark.parametrize("protocol", [PLAINTEXT, NOISE])
async def test_host_refuses_plaintext_and_a_forged_identity(protocol: TProtocol) -> None:
    server, links = our_host(SERVER), Links()
    async with server.run(OPEN, links.take):
        assert not await claim_identity(protocol, SERVER, multiaddr_of(server))

    assert links.links == []


async def send_a_protocol_name_that_is_no_text(client: BasicHost, number: int) -> None:
    stream = await client.get_network().new_stream(libp2p_id(peer_id(number)))
    await stream.write(b"\x13/multistream/1.0.0\n\x03\xff\xfe\n")


async def run_stock_server(server: BasicHost, started: trio.Event, where: list[Multiaddr]) -> None:
    async with running(server) as address:
        where.append(address)
        started.set()
        await trio.sleep_forever()


async def test_stock_host_dies_of_a_protocol_name_that_is_no_text() -> None:
    server, client = stock_host(SERVER, quiet_config()), stock_host(FRIEND, quiet_config())
    started = trio.Event()
    where: list[Multiaddr] = []

    async def attack() -> None:
        await started.wait()
        async with running(client):
            await client.connect(info(SERVER, where[0]))
            await send_a_protocol_name_that_is_no_text(client, SERVER)
            await trio.sleep_forever()

    async def both_run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(attack)
            await run_stock_server(server, started, where)

    with trio.fail_after(30), pytest.raises(ExceptionGroup) as caught:
        await both_run()

    assert caught.group_contains(UnicodeDecodeError)


async def test_host_survives_a_protocol_name_that_is_no_text() -> None:
    server, links = our_host(SERVER), Links()
    client = stock_host(FRIEND, quiet_config())
    client_links = our_host(VICTIM)
    async with (
        server.run(OPEN, links.take),
        running(client),
        client_links.run((), Links().take),
    ):
        await client.connect(info(SERVER, multiaddr_of(server)))
        await send_a_protocol_name_that_is_no_text(client, SERVER)

        with trio.fail_after(30):
            link, _ = await client_links.dial(peer_id(SERVER), server.addresses)
            stream = await link.open_stream(ECHO)
            await stream.write(b"hello")
            assert await stream.read(5) == b"hello"


async def test_stock_gossipsub_dies_of_one_garbage_frame() -> None:
    protocol = TProtocol("/meshsub/1.1.0")
    server, client = stock_host(SERVER, quiet_config()), stock_host(FRIEND, quiet_config())
    pubsub = Pubsub(server, GossipSub([protocol], 3, 2, 4))

    async def attack() -> None:
        async with (
            running(server) as address,
            running(client),
            background_trio_service(pubsub),
        ):
            await pubsub.wait_until_ready()
            await client.connect(info(SERVER, address))
            stream = await client.new_stream(libp2p_id(peer_id(SERVER)), [protocol])
            await stream.write(b"\x04\xff\xff\xff\xff")
            await trio.sleep_forever()

    with trio.fail_after(30), pytest.raises(ExceptionGroup):
        await attack()


@pytest.mark.parametrize("package", ["p2p", "node"])
def test_nothing_here_uses_pubsub(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))

    assert files
    assert [file for file in files if "pubsub" in file.read_text(encoding="utf-8")] == []


async def test_stock_host_has_no_gate_on_peer_ids() -> None:
    server, stranger = stock_host(SERVER, quiet_config()), stock_host(STRANGER, quiet_config())
    async with running(server) as address, running(stranger):
        await stranger.connect(info(SERVER, address))

        with trio.fail_after(30):
            await until(lambda: libp2p_id(peer_id(STRANGER)) in swarm_of(server).connections)


async def test_gate_lets_friends_through_the_validators_port_and_nobody_else() -> None:
    asked: list[bool] = []

    def is_allowed(peer: str, is_open: bool) -> bool:
        asked.append(is_open)
        return is_open or peer == peer_id(FRIEND)

    server, links = our_host(SERVER, is_allowed=is_allowed), Links()
    friend, stranger = our_host(FRIEND), our_host(STRANGER)
    listen = (Listen(LOOPBACK, is_open=False), Listen(LOOPBACK, is_open=True))
    async with (
        server.run(listen, links.take),
        friend.run((), Links().take),
        stranger.run((), Links().take),
    ):
        guarded, public = server.addresses
        with trio.fail_after(30):
            await friend.dial(peer_id(SERVER), (guarded,))
            # Noise itself succeeds for the dialer; the gate closes right after it.
            with pytest.raises(DialFailed):
                await stranger.dial(peer_id(SERVER), (guarded,))
            await stranger.dial(peer_id(SERVER), (public,))
            await until(lambda: len(links.links) == 2)

    assert [link.peer for link in links.links] == [peer_id(FRIEND), peer_id(STRANGER)]
    assert asked == [False, False, True]


async def test_stock_host_with_many_idle_sockets_lets_nobody_in() -> None:
    # As many places as the idle sockets of this test; the default is 300.
    server = stock_host(SERVER, quiet_config(max_connections=40))
    client = stock_host(FRIEND, quiet_config())
    async with running(server) as address, running(client):
        idle = [await raw_socket(address) for _ in range(40)]
        await until(lambda: swarm_of(server)._inbound_limiter.available_tokens == 0)

        with pytest.raises(SwarmException):
            await client.connect(info(SERVER, address))

        for socket in idle:
            await socket.aclose()


@pytest.mark.parametrize("count", [100, pytest.param(400, marks=pytest.mark.slow)])
async def test_honest_peer_gets_in_past_hundreds_of_idle_sockets(count: int) -> None:
    server, links = our_host(SERVER, limits=HandshakeLimits(64, count)), Links()
    client = our_host(FRIEND)
    async with server.run(OPEN, links.take), client.run((), Links().take):
        idle = [await raw_socket(server.addresses[0]) for _ in range(count)]

        with trio.fail_after(30):
            await client.dial(peer_id(SERVER), server.addresses)

        assert len(server.handshakes._pending) <= 64
        assert server.handshakes.refused >= count - 64
        for socket in idle:
            await trio.aclose_forcefully(socket)


async def test_handshakes_from_one_address_are_limited() -> None:
    server = our_host(SERVER, limits=HandshakeLimits(64, 8))
    async with server.run(OPEN, Links().take):
        idle = [await raw_socket(server.addresses[0]) for _ in range(20)]

        with trio.fail_after(30):
            await until(lambda: server.handshakes.refused == 12)
            assert await idle[-1].receive_some() == b""
        for socket in idle:
            await trio.aclose_forcefully(socket)


async def reconnect(client: BasicHost, server: BasicHost, address: Multiaddr) -> None:
    await client.connect(info(SERVER, address))
    await client.disconnect(libp2p_id(peer_id(SERVER)))
    with trio.fail_after(30):
        await until(lambda: not swarm_of(server).connections)


async def test_stock_host_never_gives_back_the_place_of_a_closed_connection() -> None:
    # One place; the default is 300.
    server = stock_host(SERVER, quiet_config(max_connections=1))
    client = stock_host(FRIEND, quiet_config())
    async with running(server) as address, running(client):
        await reconnect(client, server, address)

        with pytest.raises(SwarmException):
            await client.connect(info(SERVER, address))


async def test_host_gives_back_the_place_of_a_closed_connection() -> None:
    server, links, client = our_host(SERVER), Links(), our_host(FRIEND)
    async with server.run(OPEN, links.take), client.run((), Links().take):
        for _ in range(5):
            link, _ = await client.dial(peer_id(SERVER), server.addresses)
            link.abort("enough")
        with trio.fail_after(30):
            await until(lambda: len(links.links) == 5)
            await until(lambda: all(link.is_closed for link in links.links))
            await until(lambda: not server.handshakes._pending)
            await until(lambda: not swarm_of(server._host).connections)

        assert swarm_of(server._host)._inbound_limiter.borrowed_tokens == 0


async def free_port() -> Multiaddr:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    return Multiaddr(f"/ip4/127.0.0.1/tcp/{port}")


async def test_stock_host_refuses_to_dial_again_after_a_failed_dial() -> None:
    address = await free_port()
    server, client = stock_host(SERVER, quiet_config()), stock_host(FRIEND, quiet_config())
    async with running(client):
        with pytest.raises(SwarmException):
            await client.connect(info(SERVER, address))

        async with running(server, str(address)):
            with pytest.raises(SwarmException, match="negative cache"):
                await client.connect(info(SERVER, address))


async def test_dial_right_after_a_failed_dial_succeeds() -> None:
    address = Address(str(await free_port()))
    server, client = our_host(SERVER), our_host(FRIEND)
    async with client.run((), Links().take):
        with pytest.raises(DialFailed):
            await client.dial(peer_id(SERVER), (address,))

        async with server.run((Listen(address),), Links().take):
            link, where = await client.dial(peer_id(SERVER), (address,))

    assert (link.peer, where) == (peer_id(SERVER), address)


async def test_dial_tries_every_address_and_refuses_another_identity() -> None:
    server, client = our_host(SERVER), our_host(FRIEND)
    closed = Address(str(await free_port()))
    async with server.run(OPEN, Links().take), client.run((), Links().take):
        _, where = await client.dial(peer_id(SERVER), (closed, *server.addresses))
        with pytest.raises(DialFailed):
            await client.dial(peer_id(VICTIM), server.addresses)

    assert where == server.addresses[0]


async def test_stock_new_stream_dials_by_itself() -> None:
    server, client = stock_host(SERVER, quiet_config()), stock_host(FRIEND, quiet_config())
    server.set_stream_handler(TProtocol(ECHO), echo)
    async with running(server) as address, running(client):
        known = info(SERVER, address)
        client.get_peerstore().add_addrs(known.peer_id, known.addrs, 60)

        await client.new_stream(known.peer_id, [TProtocol(ECHO)])

        assert known.peer_id in swarm_of(client).connections


async def test_stock_host_dials_known_peers_although_it_was_told_to_keep_none() -> None:
    server, client = stock_host(SERVER, quiet_config()), stock_host(FRIEND, quiet_config())
    async with running(server) as address:
        known = info(SERVER, address)
        client.get_peerstore().add_addrs(known.peer_id, known.addrs, 60)

        async with running(client):
            with trio.fail_after(30):
                await until(lambda: known.peer_id in swarm_of(client).connections)


async def test_stock_hosts_share_one_port_in_silence() -> None:
    one, two = stock_host(SERVER, quiet_config()), stock_host(FRIEND, quiet_config())
    port = str(await free_port())
    async with running(one, port) as address, running(two, port) as other:
        assert str(address).startswith(port)
        assert str(other).startswith(port)


async def test_second_host_on_one_port_is_refused_with_advice() -> None:
    one, two = our_host(SERVER), our_host(FRIEND)
    async with one.run(OPEN, Links().take):
        with pytest.raises(ConfigError, match="choose another"):
            await start_and_stop(two, (Listen(one.addresses[0]),))


async def start_and_stop(host: Host, listen: tuple[Listen, ...]) -> None:
    async with host.run(listen, Links().take):
        pass


def test_second_node_in_one_folder_is_refused_with_advice(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ConfigError, match="another node"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


async def pipes_and_peer() -> tuple[Pipe, RawConnection, trio.SocketStream, trio.SocketStream]:
    mended, first = trio.socket.socketpair()
    stock, second = trio.socket.socketpair()
    return (
        Pipe(trio.SocketStream(mended), is_initiator=False),
        RawConnection(TrioTCPStream(trio.SocketStream(stock)), False),
        trio.SocketStream(first),
        trio.SocketStream(second),
    )


async def trickle(socket: trio.SocketStream, count: int) -> None:
    for _ in range(count):
        await socket.send_all(b"x")
        await trio.testing.wait_all_tasks_blocked()


async def test_message_in_many_pieces_breaks_stock_reading_and_not_ours() -> None:
    mended, stock, first, second = await pipes_and_peer()
    got: list[bytes] = []

    async def read_mended() -> None:
        got.append(await read_exactly(mended, 300))

    async def read_stock() -> None:
        with pytest.raises(IncompleteReadError):
            await read_exactly(stock, 300)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_mended)
        nursery.start_soon(trickle, first, 300)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_stock)
        nursery.start_soon(trickle, second, 300)

    assert got == [b"x" * 300]
    for stream in (first, second):
        await stream.aclose()
    mended.abort("test over")
    await stock.close()


ENDLESS = b"\x80\x80\x80\x40"
"""A length of 128 MB, as multistream writes it."""


async def flood_handshake(address: Multiaddr | Address, bytes_max: int) -> int:
    """Announce an endless message before any key is shown; return how much was taken."""
    socket = await raw_socket(address)
    sent = 0
    async with socket:
        await socket.send_all(ENDLESS)
        try:
            while sent < bytes_max:
                with trio.fail_after(1):
                    await socket.send_all(bytes(65536))
                sent += 65536
        except (trio.BrokenResourceError, trio.TooSlowError):
            pass
    return sent


async def test_stock_host_reads_a_stranger_s_message_without_limit() -> None:
    server = stock_host(SERVER, quiet_config())
    async with running(server) as address:
        assert await flood_handshake(address, 20 * 2**20) > 4 * 2**20


async def test_stranger_s_handshake_is_cut_off_at_its_limit() -> None:
    server = our_host(SERVER)
    async with server.run(OPEN, Links().take):
        sent = await flood_handshake(server.addresses[0], 20 * 2**20)

    # More than the limit was sent, into the kernel's buffers; it was not read.
    assert HANDSHAKE_BYTES_MAX < sent < 2**20
