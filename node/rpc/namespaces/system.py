"""``system_*``: what this node is, on which chain, and how it does."""

from collections.abc import Sequence

from node.rpc.backend import ChainProperties, Health, PeerInfo, SyncState, SystemBackend
from node.rpc.method import method
from primitives.types import AccountId, Nonce


class System:
    """The node itself."""

    def __init__(self, backend: SystemBackend) -> None:
        self._backend = backend

    @method("system_name")
    def name(self) -> str:
        """Return the name of the node's implementation."""
        return self._backend.node_name

    @method("system_version")
    def version(self) -> str:
        """Return the version of the node's implementation."""
        return self._backend.node_version

    @method("system_chain")
    def chain(self) -> str:
        """Return the name of the chain."""
        return self._backend.chain_name

    @method("system_chainType")
    def chain_type(self) -> str:
        """Return the type of the chain: Development, Local or Live."""
        return self._backend.chain_type

    @method("system_properties")
    def properties(self) -> ChainProperties:
        """Return what a wallet must know to show amounts and addresses."""
        return self._backend.properties

    @method("system_health")
    def health(self) -> Health:
        """Return how many peers the node has and whether it is syncing."""
        return self._backend.health()

    @method("system_localPeerId")
    def local_peer_id(self) -> str:
        """Return the node's identity on the network."""
        return self._backend.local_peer_id()

    @method("system_localListenAddresses")
    def local_listen_addresses(self) -> Sequence[str]:
        """Return the addresses at which peers reach the node."""
        return self._backend.listen_addresses()

    @method("system_peers", safe=False)
    def peers(self) -> Sequence[PeerInfo]:
        """Return the peers that the node is connected to."""
        return self._backend.peers()

    @method("system_nodeRoles")
    def node_roles(self) -> Sequence[str]:
        """Return the roles of the node: Authority if it votes, else Full."""
        return self._backend.roles()

    @method("system_syncState")
    def sync_state(self) -> SyncState:
        """Return where the node began to sync, where it is and where its peers are."""
        return self._backend.sync_state()

    @method("system_accountNextIndex", aliases=("account_nextIndex",))
    def account_next_index(self, account: AccountId) -> Nonce:
        """Return the nonce of the account's next extrinsic, behind those that wait already."""
        return self._backend.next_nonce(account)
