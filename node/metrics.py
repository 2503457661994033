"""Metrics for Prometheus, under the names that operators of Substrate and CometBFT look for.

Most values are read from the node's parts when they are asked for, in the exporter's thread, so
that nothing has to be kept up to date; the durations are observed as they happen.
"""

from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass

import trio
from prometheus_client import CollectorRegistry, GCCollector, Histogram, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import start_http_server

from chain.blockchain import Finalized
from chain.mempool import Mempool
from node.chain_service import ChainService, NewBest
from node.consensus_driver import ConsensusDriver
from node.provider.metrics import provider_metrics
from node.provider.supervisor import Supervisor
from node.rpc.backend import SyncState
from node.silence import Reason
from node.version import VERSION
from p2p.faults import Fault
from p2p.network import Network
from p2p.stats import NetworkStats
from primitives.errors import ConfigError

LOOK_SECONDS = 1.0
FINALITY_SECONDS = (
    *(0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3),
    *(0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0),
)
"""Buckets so narrow that a percentile read off them is within a fifth."""


class MetricsPortTaken(ConfigError):
    """The port of the metrics is in use: choose another with ``--prometheus-port``."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the values come from."""

    chain_name: str
    node_name: str
    service: ChainService
    mempool: Mempool
    driver: ConsensusDriver
    network: Network | None
    evidence: Sized = ()
    """Proofs against validators that wait to be reported."""
    sync_state: Callable[[], SyncState | None] = lambda: None
    """How far catching up is; None when nothing has to be caught up."""


class Metrics:
    """The metrics of one node; a collector of its own registry."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._finality_time = Histogram(
            "loopin_finality_seconds",
            "From a block's first sight here (own: built, peer: executed) to its finality.",
            labelnames=["origin"],
            buckets=FINALITY_SECONDS,
            registry=self.registry,
        )
        self.provider: Supervisor | None = None
        """The provider beside the node, if there is one."""
        self._extrinsics = 0
        self._blocks = 0
        self._arrivals: dict[bytes, float] = {}
        for origin in ("own", "peer"):
            self._finality_time.labels(origin)
        self._network_stats: NetworkStats | None = None
        sources.service.on_new_best.append(self._on_new_best)
        sources.service.on_final.append(self._on_final)
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield every value as it is now; for the exporter."""
        yield from self._chain()
        yield from self._consensus()
        if self.provider is not None:
            yield from provider_metrics(self.provider)
        if self._network_stats is not None:
            yield from self._network(self._network_stats)

    async def run(self) -> None:
        """Look at the network now and then: its parts are no business of another thread."""
        network = self._sources.network
        while network is not None:
            self._network_stats = network.stats()
            await trio.sleep(LOOK_SECONDS)

    @contextmanager
    def served(self, host: str, port: int) -> Iterator[int]:
        """Serve the metrics at ``/metrics`` and give the port. Raises: MetricsPortTaken."""
        try:
            server, thread = start_http_server(port, host, self.registry)
        except OSError as error:
            raise MetricsPortTaken(f"{host}:{port}: {error.strerror}") from error
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _chain(self) -> Iterator[Metric]:
        sources, chain = self._sources, self._sources.service.chain
        about = {"name": sources.node_name, "version": VERSION, "chain": sources.chain_name}
        yield InfoMetricFamily("loopin_build", "What runs here.", about)
        heights = GaugeMetricFamily("loopin_block_height", "Height.", labels=["status"])
        best = chain.find_imported(sources.service.best)
        heights.add_metric(["best"], best.header.height if best else chain.final.height)
        heights.add_metric(["finalized"], chain.final.height)
        sync = sources.sync_state()
        target = chain.final.height if sync is None else sync.highest_block
        heights.add_metric(["sync_target"], target)
        yield heights
        yield GaugeMetricFamily(
            "loopin_sub_libp2p_is_major_syncing", "1 while catching up.", int(sync is not None)
        )
        yield GaugeMetricFamily(
            "loopin_ready_transactions_number",
            "Extrinsics that wait and could be included.",
            sources.mempool.ready_count,
        )
        yield GaugeMetricFamily(
            "loopin_future_transactions_number",
            "Extrinsics that wait for others with lower nonces.",
            sources.mempool.future_count,
        )
        yield GaugeMetricFamily("loopin_mempool_size_bytes", "Waiting.", sources.mempool.size)
        yield GaugeMetricFamily(
            "loopin_unfinalized_blocks", "Executed, not final.", len(chain.unfinalized)
        )
        yield GaugeMetricFamily("loopin_state_entries", "Storage items.", len(chain.tree.tree))
        yield CounterMetricFamily(
            "loopin_finalized_blocks", "Blocks made final since the start.", self._blocks
        )
        yield CounterMetricFamily(
            "loopin_finalized_extrinsics", "Extrinsics in them.", self._extrinsics
        )

    def _consensus(self) -> Iterator[Metric]:
        driver = self._sources.driver
        yield GaugeMetricFamily("loopin_consensus_view", "View of the epoch.", driver.view)
        yield GaugeMetricFamily("loopin_consensus_epoch", "Epoch.", driver.epoch)
        table = driver.table
        yield GaugeMetricFamily(
            "loopin_consensus_validators", "Validators of the epoch.", len(table) if table else 0
        )
        yield GaugeMetricFamily(
            "loopin_consensus_validators_power", "Their weight.", table.total if table else 0
        )
        silent = GaugeMetricFamily(
            "loopin_consensus_silent", "Why this node does not vote: 1 for that.", labels=["reason"]
        )
        now = driver.silence
        for reason in Reason:
            silent.add_metric([reason], int(reason is now))
        yield silent
        yield GaugeMetricFamily(
            "loopin_consensus_evidence",
            "Proofs that validators signed two things, not reported yet.",
            len(self._sources.evidence),
        )

    def _network(self, stats: NetworkStats) -> Iterator[Metric]:
        yield GaugeMetricFamily("loopin_sub_libp2p_peers_count", "Peers.", len(stats.peers))
        yield GaugeMetricFamily("loopin_known_peers", "Addresses known.", stats.known_peers)
        yield GaugeMetricFamily("loopin_banned_peers", "Peers banned.", len(stats.bans))
        ended = CounterMetricFamily(
            "loopin_disconnects", "Connections ended, by reason.", labels=["reason"]
        )
        for reason, count in stats.disconnects.items():
            ended.add_metric([reason], count)
        yield ended
        charged = CounterMetricFamily(
            "loopin_peer_faults", "What peers were charged for.", labels=["fault"]
        )
        for fault in Fault:
            charged.add_metric([fault.label], stats.faults.get(fault, 0))
        yield charged
        traffic = CounterMetricFamily(
            "loopin_peer_bytes", "Bytes of a connection.", labels=["peer", "direction"]
        )
        trips = GaugeMetricFamily(
            "loopin_peer_round_trip_seconds", "Round trip, smoothed.", labels=["peer"]
        )
        for peer in stats.peers:
            traffic.add_metric([peer.peer, "in"], peer.bytes_read)
            traffic.add_metric([peer.peer, "out"], peer.bytes_written)
            trips.add_metric([peer.peer], peer.round_trip_seconds)
        yield traffic
        yield trips
        yield from self._channels(stats)

    def _channels(self, stats: NetworkStats) -> Iterator[Metric]:
        """Yield what goes over each channel, all present connections together."""
        labels = ["channel", "direction"]
        frames = CounterMetricFamily("loopin_channel_frames", "Frames, by channel.", labels=labels)
        sizes = CounterMetricFamily("loopin_channel_bytes", "Their bytes.", labels=labels)
        dropped = CounterMetricFamily(
            "loopin_channel_dropped_frames", "Not sent: the peer is too slow.", labels=["channel"]
        )
        for name in sorted({name for peer in stats.peers for name in peer.channels}):
            each = [peer.channels[name] for peer in stats.peers if name in peer.channels]
            frames.add_metric([name, "in"], sum(channel.frames_in for channel in each))
            frames.add_metric([name, "out"], sum(channel.frames_out for channel in each))
            sizes.add_metric([name, "in"], sum(channel.bytes_in for channel in each))
            sizes.add_metric([name, "out"], sum(channel.bytes_out for channel in each))
            dropped.add_metric([name], sum(channel.dropped for channel in each))
        yield frames
        yield sizes
        yield dropped

    def _on_new_best(self, news: NewBest) -> None:
        self._arrivals[news.imported.hash] = trio.current_time()
        for gone in news.retracted:
            self._arrivals.pop(gone, None)

    def _on_final(self, finalized: Finalized) -> None:
        self._blocks += 1
        self._extrinsics += len(finalized.extrinsic_hashes)
        arrival = self._arrivals.pop(finalized.hash, None)
        if arrival is not None:
            voter = self._sources.driver.voter
            is_own = voter is not None and finalized.header.author == voter.account
            waited = self._finality_time.labels("own" if is_own else "peer")
            waited.observe(trio.current_time() - arrival)
        for gone in finalized.abandoned:
            self._arrivals.pop(gone, None)
