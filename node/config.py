"""The settings of one node: what its operator chooses, and no rule of the chain."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from chain.handover import Checkpoint
from chain.mempool import Limits as MempoolLimits
from node.provider.supervisor import ProviderConfig
from node.rpc.limits import Limits as RpcLimits
from node.rpc.transport.access import Access
from p2p.identity import Address, PeerId

DEFAULT_RPC_PORT = 9944
DEFAULT_PORT = 30333
DEFAULT_PROMETHEUS_PORT = 9615
DEFAULT_KEEP_BLOCKS = 256


@dataclass(frozen=True, slots=True)
class RpcConfig:
    """Where and to whom the RPC answers."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_RPC_PORT
    """0 lets the system choose."""
    access: Access = field(default_factory=Access)
    limits: RpcLimits = field(default_factory=RpcLimits)


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Where peers find this node, and where it finds its first ones."""

    listen: tuple[Address, ...]
    announce: tuple[Address, ...] = ()
    """Addresses to tell others; by default those listened at."""
    boot_nodes: tuple[tuple[PeerId, Address], ...] = ()


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """Where Prometheus finds this node's metrics."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PROMETHEUS_PORT


class SyncWay(StrEnum):
    """How a node without a chain gets one."""

    FULL = "full"
    """Every block from genesis on."""
    SNAPSHOT = "snapshot"
    """A proven state of the last epochs, and the blocks after it."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """All settings of a node."""

    base_path: Path
    name: str
    is_validator: bool
    keep_blocks: int | None = DEFAULT_KEEP_BLOCKS
    """Final blocks kept whole; None keeps them all, an archive."""
    signature_workers: int | None = None
    """Processes that check signatures; by default one a processor, but one."""
    network: NetworkConfig | None = None
    """None for a node that makes its chain alone."""
    sync: SyncWay = SyncWay.FULL
    checkpoint: Checkpoint | None = None
    """A block that the chain must go through, whatever others prove."""
    check_invariants: bool | None = None
    """Whether what always holds is checked after every block; by default not on a live chain."""
    provider: ProviderConfig | None = None
    """None for a node that proves no computing power."""
    metrics: MetricsConfig | None = None
    """None for a node without metrics."""
    rpc: RpcConfig = field(default_factory=RpcConfig)
    mempool: MempoolLimits = field(default_factory=MempoolLimits)
