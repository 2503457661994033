"""What a network tells about itself: for metrics and status screens."""

from collections.abc import Mapping
from dataclasses import dataclass

from p2p.channels import ChannelStats
from p2p.faults import Fault
from p2p.identity import PeerId
from p2p.scores import Ban


@dataclass(frozen=True, slots=True)
class PeerStats:
    peer: PeerId
    hostname: str
    is_dialer: bool
    """True when this node made the connection."""
    connected_seconds: float
    round_trip_seconds: float
    """Smoothed; 0 until it has been measured."""
    bytes_read: int
    bytes_written: int
    points: float
    channels: Mapping[str, ChannelStats]


@dataclass(frozen=True, slots=True)
class NetworkStats:
    peers: tuple[PeerStats, ...]
    bans: tuple[Ban, ...]
    known_peers: int
    disconnects: Mapping[str, int]
    """How often a connection ended, by kind of failure."""
    faults: Mapping[Fault, int]
    """How often peers were charged for what, by the network or by upper layers."""
    refused_handshakes: int
