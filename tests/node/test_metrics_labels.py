"""What peers can do to the metrics: count, and nothing else."""

from collections import Counter
from itertools import groupby
from pathlib import Path
from urllib.request import urlopen

import pytest
import trio
import trio.testing
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from consensus.simplex.evidence import evidence_of
from consensus.simplex.messages import Notarize
from node.evidence import EvidenceFile
from node.metrics import Metrics, Sources
from p2p.faults import Fault, NetworkFault, PeerFault
from p2p.stats import NetworkStats
from primitives.types import Digest, Epoch, Signature, View
from tests.chain.small_chains import small_spec
from tests.node.small_nodes import SmallNode
from tests.node.town import NAMES, Town, determined

FAMILIES_SERIES_MAX = 64
"""Of one name, with no peers connected; histograms have a series for each bucket."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    return determined(monkeypatch)


def metrics_of(node: SmallNode, evidence: EvidenceFile) -> Metrics:
    return Metrics(
        Sources("chain", "name", node.service, node.mempool, node.driver, None, evidence)
    )


def scraped(metrics: Metrics) -> dict[str, float]:
    text = generate_latest(metrics.registry).decode()
    return {
        sample.name + "".join(sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_faults_and_evidence_are_counted(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    node = SmallNode.open(tmp_path, small_spec())
    faults, evidence = Counter[Fault](), EvidenceFile(tmp_path / "evidence")
    metrics = metrics_of(node, evidence)
    metrics._network_stats = NetworkStats((), (), 0, {}, faults, 0)
    before = scraped(metrics)

    faults[Fault.BAD_BYTES] += 3
    first, second = (
        Notarize(Epoch(1), View(1), Digest(bytes([n]) * 32), 0, Signature(bytes(64)))
        for n in (1, 2)
    )
    evidence.add(evidence_of(first, second))

    after = scraped(metrics)
    assert before["loopin_peer_faults_totalbad bytes"] == 0
    assert after["loopin_peer_faults_totalbad bytes"] == 3
    assert (before["loopin_consensus_evidence"], after["loopin_consensus_evidence"]) == (0, 1)
    node.close()


async def test_number_of_series_does_not_grow_with_what_peers_do(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    node = SmallNode.open(tmp_path, small_spec())
    faults = Counter(dict.fromkeys(Fault, 10**6))
    metrics = metrics_of(node, EvidenceFile(tmp_path / "evidence"))
    # Reasons are kinds of failure, of which there are as many as classes.
    kinds = [*PeerFault.__subclasses__(), *NetworkFault.__subclasses__()]
    reasons = {kind.__name__: 10**6 for kind in kinds}
    metrics._network_stats = NetworkStats((), (), 10**6, reasons, faults, 10**6)

    families = list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))

    for family in families:
        samples = sorted(family.samples, key=lambda sample: sample.name)
        for name, series in groupby(samples, key=lambda sample: sample.name):
            assert len(list(series)) <= FAMILIES_SERIES_MAX, name
    assert len(reasons) <= FAMILIES_SERIES_MAX
    node.close()


async def test_scrape_of_a_busy_node_is_whole_and_only_grows(tmp_path: Path) -> None:
    """The exporter's thread reads while the event loop makes blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        node = SmallNode.open(tmp_path, small_spec(interval=5))
        metrics = metrics_of(node, EvidenceFile(tmp_path / "evidence"))
        seen: list[float] = []

        async def scrape(url: str) -> None:
            while len(seen) < 10 or seen[-1] < seen[0] + 3:
                text = await trio.to_thread.run_sync(lambda: urlopen(url, timeout=10).read())
                families = {f.name: f for f in text_string_to_metric_families(text.decode())}
                assert len(families) > 15
                seen.append(families["loopin_finalized_blocks"].samples[0].value)

        with metrics.served("127.0.0.1", 0) as port, trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.run_to, 10**6)
                await scrape(f"http://127.0.0.1:{port}/metrics")
                nursery.cancel_scope.cancel()

    assert seen == sorted(seen)
    node.close()


async def test_a_town_charges_nobody_in_its_metrics(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living(*NAMES):
        alice = town["Alice"]
        metrics = metrics_of(alice.small, alice.evidence)
        await town.wait_height(3)

        found = scraped(metrics)

        assert not alice.network.faults()
        assert found["loopin_consensus_validators"] == 4
        table = alice.small.driver.table
        assert table is not None
        assert found["loopin_consensus_validators_power"] == table.total
        assert found["loopin_consensus_evidence"] == 0
        assert found["loopin_finalized_blocks_total"] >= 3
        assert found["loopin_finality_seconds_countpeer"] >= 1
        assert metrics._arrivals.keys() <= {
            imported.hash for imported in alice.small.small.chain.imported()
        }
