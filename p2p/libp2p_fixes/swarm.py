"""A libp2p host that does nothing by itself and survives everything that a peer sends.

* *plaintext by default*: ``new_host()`` also accepts the plaintext security transport, over which
  anybody may claim any peer id. ``make_host`` offers Noise and Yamux, nothing else.
* *an uncaught exception in a stream handler ends the host* (a protocol name that is no UTF-8 is
  enough): ``_guarded`` ends the stream instead.
* *the host dials, identifies and prunes by itself*: the automatic connector, automatic identify,
  identify push, ping and the resource manager are off; the node decides whom to know.
* *each inbound connection takes one of a fixed number of places until the host stops*, also after
  it is long closed; idle sockets hold all places; ``SO_REUSEPORT`` lets a second node share the
  port. ``listen`` and ``accept`` replace the listener: an own accept loop, an own socket.
* *negative cache*: after a failed dial libp2p refuses to dial for 60 s; it drops loopback addresses
  when a public one is known and tries at most two. ``dial`` opens the socket itself.
* *new_stream picks any connection, also a stale one, or dials*: ``Link.open_stream`` (``link.py``)
  is asked of one connection.

Waits for libp2p/py-libp2p issues 417 (exceptions), 572 (limits), 1451 (dialing and the connector)
and 606 (the port is shared on purpose); for plaintext by default and the places that are never
given back there is none yet. Links: docs/network.md.
"""

import logging
from collections.abc import Awaitable, Callable

import trio
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.crypto.keys import KeyPair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.host.ping import ID as PING
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify_push.identify_push import ID_PUSH as IDENTIFY_PUSH
from libp2p.network.config import ConnectionConfig
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from multiaddr import Multiaddr

from p2p.faults import ConnectionLost, DialFailed
from p2p.identity import PeerId, libp2p_id
from p2p.libp2p_fixes import yamux
from p2p.libp2p_fixes.link import NEGOTIATION_SECONDS, Link, Sip, Stream
from p2p.libp2p_fixes.noise import GatedNoise
from p2p.libp2p_fixes.pipe import Pipe
from p2p.libp2p_fixes.yamux import FirmYamux

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 1024
"""libp2p's own limit; the network layer stays far below it."""
_IMPOSSIBLE_ADDRESS = Multiaddr("/ip4/0.0.0.0/tcp/0")


Serve = Callable[[FirmYamux, str, Stream], Awaitable[None]]
"""Handles an inbound stream of the agreed protocol, until it is done with it."""


def make_host(key_pair: KeyPair, protocols: tuple[str, ...], serve: Serve) -> BasicHost:
    """Return a host that listens nowhere and does nothing until it is told to."""
    yamux.install()
    host = new_host(
        key_pair=key_pair,
        sec_opt={NOISE: GatedNoise(key_pair)},
        muxer_opt={TProtocol(YAMUX): FirmYamux},
        connection_config=ConnectionConfig(
            max_connections=CONNECTIONS_MAX,
            high_watermark=CONNECTIONS_MAX,
            min_connections=0,
            low_watermark=0,
            # Two may live side by side for a moment; more never get past the node's own limits.
            max_connections_per_peer=8,
        ),
        announce_addrs=[],
        disable_identify_address_discovery=True,
    )
    assert isinstance(host, BasicHost)
    swarm = swarm_of(host)
    swarm.set_resource_manager(None)
    # Zero watermarks do not stop the connector: it dials half of high_watermark from the peerstore.
    setattr(swarm.auto_connector, "start", _do_nothing)  # noqa: B010  libp2p has no switch
    setattr(host, "_should_identify_peer", lambda _: False)  # noqa: B010  libp2p has no switch
    for unwanted in (PING, IDENTIFY_PUSH):
        host.remove_stream_handler(unwanted)
    for protocol in protocols:
        host.set_stream_handler(TProtocol(protocol), _never_called)
    swarm.set_stream_handler(_guarded(host, serve))
    return host


def swarm_of(host: BasicHost) -> Swarm:
    """Return the connections and streams under a host."""
    swarm = host.get_network()
    assert isinstance(swarm, Swarm)
    return swarm


async def _do_nothing() -> None:
    pass


async def _never_called(stream: INetStream) -> None:
    raise AssertionError(stream.get_protocol())


def _guarded(host: BasicHost, serve: Serve) -> Callable[[INetStream], Awaitable[None]]:
    """Return a stream handler that nothing a peer sends can make raise."""

    async def handle(raw: INetStream) -> None:
        stream = Stream(raw)
        try:
            agreed, handler = await host.multiselect.negotiate(
                MultiselectCommunicator(Sip(stream)), NEGOTIATION_SECONDS
            )
            if agreed == IDENTIFY and handler is not None:
                with trio.fail_after(NEGOTIATION_SECONDS):
                    await handler(raw)
                return
            muxed = raw.muxed_conn
            assert isinstance(muxed, FirmYamux)
            await serve(muxed, str(agreed), stream)
        except Exception as error:  # noqa: BLE001  libp2p's nursery must never see one
            log.debug("event=inbound_stream_failed peer=%s error=%r", raw.muxed_conn.peer_id, error)
            await stream.give_up()

    return handle


async def accept(host: BasicHost, pipe: Pipe) -> Link:
    """Authenticate and multiplex an inbound socket; the caller sets the deadline.

    Raises: ConnectionLost for everything that the other side may do wrong before it is known.
    """
    swarm = swarm_of(host)
    try:
        muxed = await swarm.upgrade_inbound_raw_conn(pipe, _IMPOSSIBLE_ADDRESS)
    except Exception as error:  # a stranger's garbage surfaces as anything at all
        raise ConnectionLost("handshake", repr(error)) from error
    for connection in swarm.get_connections(muxed.peer_id):
        if connection.muxed_conn is muxed and isinstance(connection, SwarmConn):
            return Link(pipe, connection, host)
    raise ConnectionLost("closed after the handshake")


async def dial(host: BasicHost, peer: PeerId, hostname: str, port: int) -> Link:
    """Connect to a peer at one address; the caller sets the deadline. Raises: DialFailed."""
    try:
        socket = await trio.open_tcp_stream(hostname, port)
    except OSError as error:
        raise DialFailed(peer, str(error)) from error
    pipe = Pipe(socket, is_initiator=True)
    try:
        connection = await swarm_of(host).upgrade_outbound_raw_conn(pipe, libp2p_id(peer))
    except Exception as error:  # whoever answers there may send anything
        pipe.abort("handshake failed")
        raise DialFailed(peer, repr(error)) from error
    except BaseException:
        pipe.abort("dial given up")
        raise
    return Link(pipe, connection, host)
