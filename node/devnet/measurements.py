"""A node's metrics, read over HTTP as Prometheus reads them, and percentiles of its histograms."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from node.client.errors import BadAnswer, ConnectionLost

BODY_BYTES_MAX = 4 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Measurements:
    """Everything that a node's metrics said at one time."""

    samples: Mapping[str, tuple[Sample, ...]]

    @classmethod
    def parse(cls, text: str) -> "Measurements":
        """Read the text format. Raises: BadAnswer."""
        samples: dict[str, list[Sample]] = {}
        try:
            for family in text_string_to_metric_families(text):
                for name, labels, value, *_ in family.samples:
                    samples.setdefault(name, []).append(Sample(labels, value))
        except (ValueError, IndexError) as error:
            raise BadAnswer("the metrics are not in the text format of Prometheus") from error
        return cls({name: tuple(found) for name, found in samples.items()})

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's values that have these labels; 0 if there is none."""
        return sum(
            sample.value
            for sample in self.samples.get(name, ())
            if all(sample.labels.get(key) == value for key, value in labels.items())
        )

    def buckets(self, name: str, **labels: str) -> dict[float, float]:
        """Return a histogram: how often at most each bound, over all series with these labels."""
        found: dict[float, float] = {}
        for sample in self.samples.get(f"{name}_bucket", ()):
            if all(sample.labels.get(key) == value for key, value in labels.items()):
                bound = float(sample.labels["le"])
                found[bound] = found.get(bound, 0.0) + sample.value
        return found


def fetch_measurements(host: str, port: int, timeout: float) -> Measurements:
    """Return what the metrics of a node say now. Raises: ConnectionLost, BadAnswer."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", "/metrics")
        body = connection.getresponse().read(BODY_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionLost(f"{host}:{port} serves no metrics: {error}") from error
    finally:
        connection.close()
    return Measurements.parse(body.decode(errors="replace"))


def difference(after: Mapping[float, float], before: Mapping[float, float]) -> dict[float, float]:
    """Return the histogram of what was observed between two looks."""
    return {bound: count - before.get(bound, 0.0) for bound, count in after.items()}


def added(histograms: list[dict[float, float]]) -> dict[float, float]:
    """Return the histogram of all observations of several histograms with the same bounds."""
    bounds = sorted({bound for histogram in histograms for bound in histogram})
    return {bound: sum(each.get(bound, 0.0) for each in histograms) for bound in bounds}


def quantile(buckets: Mapping[float, float], fraction: float) -> float | None:
    """Return the value below which a fraction of the observations lie; None without any.

    Between two bounds the observations are taken to be spread evenly, as Prometheus does; beyond
    the last finite bound that bound is all that is known.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    wanted = fraction * buckets[bounds[-1]]
    lower, below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= wanted and count > below:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (wanted - below) / (count - below)
        lower, below = bound, count
    return lower
