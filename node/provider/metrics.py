"""Metrics of the provider beside a node, from what its program says of itself."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from node.provider.supervisor import Supervisor
from node.rpc.json_types import Json

_UNITS = ("staked", "due", "live")
_LEAVES = ("leavesDone", "leavesTotal")


def provider_metrics(supervisor: Supervisor) -> Iterator[Metric]:
    """Yield every value as it is now."""
    status = supervisor.status
    yield GaugeMetricFamily(
        "loopin_provider_running", "Whether the provider's process runs.", supervisor.is_running
    )
    yield CounterMetricFamily(
        "loopin_provider_restarts", "Times that it ended by itself.", supervisor.restarts
    )
    followed = supervisor.is_running and bool(status) and status.get("trouble") is None
    yield GaugeMetricFamily(
        "loopin_provider_following", "Whether it follows the chain.", int(followed)
    )
    facts = CounterMetricFamily(
        "loopin_provider_facts", "What it told its operator.", labels=["class", "fact"]
    )
    for (class_id, fact), count in sorted(supervisor.facts.items()):
        facts.add_metric([str(class_id), fact], count)
    yield facts
    yield from _classes(status.get("classes"))


def _classes(listed: Json) -> Iterator[Metric]:
    units = GaugeMetricFamily("loopin_provider_units", "Units by state.", labels=["class", "state"])
    leaves = GaugeMetricFamily(
        "loopin_provider_leaves", "Leaves of the present proof.", labels=["class", "state"]
    )
    speed = GaugeMetricFamily(
        "loopin_provider_leaves_per_second", "Measured at the start.", labels=["class"]
    )
    penalty = GaugeMetricFamily(
        "loopin_provider_penalty", "Base units that a miss would cost now.", labels=["class"]
    )
    for item in listed if isinstance(listed, list) else []:
        if not isinstance(item, dict):
            continue
        name = str(item.get("class"))
        for state in _UNITS:
            units.add_metric([name, state], _number(item.get(state)))
        for state in _LEAVES:
            leaves.add_metric(
                [name, state.removeprefix("leaves").lower()], _number(item.get(state))
            )
        speed.add_metric([name], _number(item.get("leavesPerSecond")))
        penalty.add_metric([name], _number(item.get("penalty")))
    yield units
    yield leaves
    yield speed
    yield penalty


def _number(value: Json) -> float:
    """Return a number of the status, amounts being texts; 0 for what is none."""
    if isinstance(value, str) and value.isdecimal():
        return float(value)
    return float(value) if isinstance(value, int | float) else 0.0
