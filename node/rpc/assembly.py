"""All of the RPC put together over one node."""

from node.rpc.addresses import Ss58Addresses
from node.rpc.backend import NodeBackend
from node.rpc.dispatcher import Dispatcher
from node.rpc.json_codecs import JsonCodecs
from node.rpc.json_types import JsonObject
from node.rpc.limits import Limits
from node.rpc.namespaces.author import Author
from node.rpc.namespaces.chain import Chain
from node.rpc.namespaces.consensus import Consensus
from node.rpc.namespaces.history import History
from node.rpc.namespaces.payment import Payment
from node.rpc.namespaces.pocps import Pocps
from node.rpc.namespaces.pools import Pools
from node.rpc.namespaces.rpc import Rpc
from node.rpc.namespaces.staking import Staking
from node.rpc.namespaces.state import State
from node.rpc.namespaces.system import System
from node.rpc.rendering import Renderer
from node.rpc.transport.access import Access
from node.rpc.transport.server import RpcServer


def build_dispatcher(backend: NodeBackend, limits: Limits | None = None) -> Dispatcher:
    """Return the dispatcher of every namespace."""
    limits = limits or Limits()
    addresses = Ss58Addresses(backend.properties.ss58_format)
    codecs = JsonCodecs(addresses)
    renderer = Renderer(codecs, limits.response_bytes_max)
    buffer = limits.subscription_buffer_max
    dispatcher: Dispatcher
    namespaces = (
        System(backend),
        Chain(backend, addresses, renderer, buffer),
        State(backend, buffer),
        Author(backend, renderer),
        Payment(backend),
        History(backend, addresses),
        Consensus(backend),
        Staking(backend),
        Pocps(backend),
        Pools(backend),
        Rpc(lambda: dispatcher.served, backend.node_version),
    )
    dispatcher = Dispatcher(namespaces, codecs, limits)
    return dispatcher


def build_server(
    backend: NodeBackend, access: Access | None = None, limits: Limits | None = None
) -> RpcServer:
    """Return a server of every namespace; give its ``serve`` open listeners."""

    def health() -> JsonObject:
        health = backend.health()
        return {
            "peers": health.peers,
            "isSyncing": health.is_syncing,
            "shouldHavePeers": health.should_have_peers,
        }

    return RpcServer(build_dispatcher(backend, limits), health, access, limits)
