from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from node.client.errors import BadAnswer, ConnectionLost
from node.devnet.measurements import Measurements, added, difference, fetch_measurements, quantile
from node.devnet.observer import look_of
from node.metrics import FINALITY_SECONDS

TEXT = """
# TYPE loopin_block_height gauge
loopin_block_height{status="best"} 9
loopin_block_height{status="finalized"} 7
# TYPE loopin_consensus_view gauge
loopin_consensus_view 11
# TYPE loopin_consensus_epoch gauge
loopin_consensus_epoch 2
# TYPE loopin_sub_libp2p_peers_count gauge
loopin_sub_libp2p_peers_count 3
# TYPE loopin_finalized_extrinsics counter
loopin_finalized_extrinsics_total 57
# TYPE loopin_finalized_blocks counter
loopin_finalized_blocks_total 7
# TYPE loopin_finality_seconds histogram
loopin_finality_seconds_bucket{origin="own",le="0.1"} 1
loopin_finality_seconds_bucket{origin="own",le="+Inf"} 2
loopin_finality_seconds_bucket{origin="peer",le="0.1"} 4
loopin_finality_seconds_bucket{origin="peer",le="+Inf"} 5
"""


def test_metrics_of_a_node_are_read() -> None:
    look = look_of(Measurements.parse(TEXT))

    assert (look.best, look.final, look.view, look.epoch, look.peers) == (9, 7, 11, 2, 3)
    assert look.extrinsics == 50
    assert look.finality == {0.1: 5, float("inf"): 7}


def test_samples_are_chosen_by_their_labels() -> None:
    measured = Measurements.parse(TEXT)

    assert measured.total("loopin_block_height", status="best") == 9
    assert measured.total("loopin_block_height") == 16
    assert measured.total("no_such_metric") == 0
    assert measured.buckets("loopin_finality_seconds", origin="own") == {0.1: 1, float("inf"): 2}


@pytest.mark.parametrize("text", ["what is this?", 'name{label="x} 1', "name one"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadAnswer):
        Measurements.parse(text)


def test_a_port_where_nobody_answers_is_a_lost_connection() -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port

    with pytest.raises(ConnectionLost):
        fetch_measurements("127.0.0.1", port, 1.0)


def test_metrics_are_fetched_over_http() -> None:
    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(TEXT.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    with HTTPServer(("127.0.0.1", 0), Exporter) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        measured = fetch_measurements("127.0.0.1", server.server_port, 5.0)
        thread.join()

    assert measured.total("loopin_consensus_view") == 11


def test_quantile_of_nothing_is_unknown() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({0.1: 0, float("inf"): 0}, 0.5) is None


def test_quantile_lies_between_the_bounds_of_its_bucket() -> None:
    buckets = {0.1: 0.0, 0.2: 10.0, 0.4: 10.0, float("inf"): 10.0}

    assert quantile(buckets, 0.5) == pytest.approx(0.15)
    assert quantile(buckets, 1.0) == pytest.approx(0.2)


def test_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert quantile({0.1: 1.0, float("inf"): 100.0}, 0.99) == 0.1


@given(
    st.lists(st.floats(0.004, 29.0), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99])
)
def test_quantile_is_as_near_as_the_buckets_are_narrow(
    seconds: list[float], fraction: float
) -> None:
    registry = CollectorRegistry()
    histogram = Histogram("h", "H.", buckets=FINALITY_SECONDS, registry=registry)
    for value in seconds:
        histogram.observe(value)
    buckets = Measurements.parse(generate_latest(registry).decode()).buckets("h")

    found = quantile(buckets, fraction)

    rank = max(1, -(-int(fraction * 1000) * len(seconds) // 1000))
    true = sorted(seconds)[rank - 1]
    upper = min(bound for bound in FINALITY_SECONDS if bound >= true)
    lower = max((bound for bound in (0.0, *FINALITY_SECONDS) if bound < true), default=0.0)
    assert found is not None
    assert lower <= found <= upper


def test_histograms_are_added_and_subtracted() -> None:
    early, late = {0.1: 1.0, 0.2: 2.0}, {0.1: 4.0, 0.2: 6.0}

    assert difference(late, early) == {0.1: 3.0, 0.2: 4.0}
    assert added([early, late]) == {0.1: 5.0, 0.2: 8.0}
    assert difference(late, {}) == late
