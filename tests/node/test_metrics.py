"""The metrics: what they say of a node, and that the dashboard asks for nothing else."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
import trio
from prometheus_client import generate_latest

from genesis.presets import dev_spec
from node.devnet.measurements import Measurements
from node.metrics import Metrics, MetricsPortTaken, Sources
from node.rpc.backend import SyncState
from p2p.channels import ChannelStats
from p2p.identity import peer_id_of_seed
from p2p.stats import NetworkStats, PeerStats
from primitives.types import Height
from tests.node.small_nodes import SmallNode

BOARD = Path(__file__).resolve().parents[2] / "docker" / "grafana" / "loopin.json"


def metrics_of(node: SmallNode) -> Metrics:
    return Metrics(
        Sources(
            chain_name="dev",
            node_name="alice",
            service=node.service,
            mempool=node.mempool,
            driver=node.driver,
            network=None,
        )
    )


def measured(metrics: Metrics) -> Measurements:
    return Measurements.parse(generate_latest(metrics.registry).decode())


def two_peers() -> NetworkStats:
    """Return what a network of two peers says; the second one is slow."""

    def channel(dropped: int) -> ChannelStats:
        return ChannelStats(3, 300, 5, 500, queue_frames=0, queue_bytes=0, dropped=dropped)

    peers = tuple(
        PeerStats(
            peer=peer_id_of_seed(bytes([number]) * 32),
            hostname="127.0.0.1",
            is_dialer=True,
            connected_seconds=1.0,
            round_trip_seconds=0.25,
            bytes_read=1000,
            bytes_written=2000,
            points=0.0,
            channels={"vote": channel(0), "bulk": channel(number)},
        )
        for number in (0, 7)
    )
    return NetworkStats(
        peers, (), known_peers=9, disconnects={"silent": 2}, faults={}, refused_handshakes=0
    )


@pytest.fixture
async def node(tmp_path: Path) -> SmallNode:
    return SmallNode.open(tmp_path, dev_spec())


async def test_heights_and_finality_follow_the_chain(node: SmallNode) -> None:
    metrics = metrics_of(node)

    await node.run_to(3)

    found = measured(metrics)
    final = node.small.chain.final.height
    assert found.total("loopin_block_height", status="finalized") == final >= 3
    assert found.total("loopin_block_height", status="best") >= final
    assert found.total("loopin_finalized_blocks_total") == final
    assert found.total("loopin_consensus_validators") == 1
    assert found.total("loopin_consensus_view") >= final
    node.close()


async def test_finality_of_own_blocks_is_told_apart(node: SmallNode) -> None:
    metrics = metrics_of(node)

    await node.run_to(3)

    found = measured(metrics)
    assert found.total("loopin_finality_seconds_count", origin="own") >= 3
    assert found.total("loopin_finality_seconds_count", origin="peer") == 0
    node.close()


async def test_a_network_is_told_by_channel_and_by_peer(node: SmallNode) -> None:
    metrics = metrics_of(node)
    metrics._network_stats = two_peers()

    found = measured(metrics)

    assert found.total("loopin_sub_libp2p_peers_count") == 2
    assert found.total("loopin_channel_frames_total", channel="vote", direction="in") == 6
    assert found.total("loopin_channel_bytes_total", channel="bulk", direction="out") == 1000
    assert found.total("loopin_channel_dropped_frames_total", channel="bulk") == 7
    assert found.total("loopin_peer_bytes_total", direction="out") == 4000
    assert found.total("loopin_disconnects_total", reason="silent") == 2
    node.close()


async def test_catching_up_is_told_with_its_target(node: SmallNode) -> None:
    metrics, state = metrics_of(node), SyncState(Height(1), Height(2), Height(900))
    before = measured(metrics)
    metrics._sources = replace(metrics._sources, sync_state=lambda: state)

    found = measured(metrics)

    assert before.total("loopin_sub_libp2p_is_major_syncing") == 0
    assert before.total("loopin_block_height", status="sync_target") == 0
    assert found.total("loopin_sub_libp2p_is_major_syncing") == 1
    assert found.total("loopin_block_height", status="sync_target") == 900
    node.close()


async def test_metrics_are_served_and_a_taken_port_is_told(node: SmallNode) -> None:
    metrics = metrics_of(node)
    with metrics.served("127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        text = await trio.to_thread.run_sync(lambda: urlopen(url, timeout=10).read().decode())
        with (
            pytest.raises(MetricsPortTaken, match=str(port)),
            metrics_of(node).served("127.0.0.1", port),
        ):
            pass

    assert 'loopin_build_info{chain="dev",name="alice"' in text
    node.close()


def expressions(document: object) -> Iterator[str]:
    """Yield every PromQL expression and variable query of a dashboard."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in {"expr", "query", "definition"} and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(document, list):
        for item in document:
            yield from expressions(item)


async def test_dashboard_asks_for_metrics_that_the_node_has(node: SmallNode) -> None:
    metrics = metrics_of(node)
    metrics._network_stats = two_peers()
    served = set(measured(metrics).samples)
    asked = {
        name
        for expression in expressions(json.loads(BOARD.read_text(encoding="utf-8")))
        for name in re.findall(r"\b(?:loopin|process|python)_\w+", expression)
    }

    assert asked - served == set()
    assert {"loopin_block_height", "loopin_finality_seconds_bucket"} <= asked
    node.close()
