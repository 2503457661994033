"""The benchmark's arithmetic, under a clock that the test holds."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from miner.backends.backend import BackendUnavailable, Pending
from miner.backends.numpy_backend import NumpyBackend
from miner.benchmark import Measurement, measure, measure_best
from runtime.pocps.forward_pass import ForwardPassClass, Matrix, Rows

RESOURCE = ForwardPassClass(
    class_id=3, width=64, depth=1, rows_per_unit=64, rows_per_leaf=4, samples=8, units_max=1000
)
MEASUREMENT = Measurement(
    device="numpy",
    class_id=3,
    load_seconds=1.0,
    rows_per_second=1000.0,
    commit_seconds_per_unit=0.01,
    operations_per_row=500,
    rows_per_unit=90,
    units_max=1000,
)


class TickingDevice:
    """A device on which loading takes a second and each row a millisecond of its own clock."""

    def __init__(self, row_seconds: float = 0.001, name: str = "ticking") -> None:
        self.now = 100.0
        self.row_seconds = row_seconds
        self.name = name

    def clock(self) -> float:
        return self.now

    def open(self, layers: Sequence[Matrix]) -> "TickingBackend":
        self.now += 1.0
        return TickingBackend(self, layers)


class TickingBackend(NumpyBackend):
    def __init__(self, device: TickingDevice, layers: Sequence[Matrix]) -> None:
        super().__init__(layers)
        self.batch_rows = 128
        self._device = device

    __slots__ = ("_device",)

    def submit(self, rows: Rows) -> Pending:
        pending = super().submit(rows)

        def collect() -> bytes:
            self._device.now += self._device.row_seconds * len(rows)
            return pending()

        return collect


def test_a_measurement_counts_the_rows_that_were_computed() -> None:
    device = TickingDevice()

    measurement = measure(device, RESOURCE, seconds=0.5, clock=device.clock)

    assert measurement.load_seconds == pytest.approx(1.0)
    assert measurement.rows_per_second == pytest.approx(1000.0)
    assert measurement.operations_per_second == pytest.approx(1000.0 * RESOURCE.operations_per_row)
    assert measurement.commit_seconds_per_unit == 0.0
    assert measurement.device == "ticking"


def test_a_measurement_shorter_than_a_batch_still_takes_one() -> None:
    device = TickingDevice()

    assert measure(device, RESOURCE, seconds=0, clock=device.clock).rows_per_second > 0


def test_honest_units_leave_the_margin_and_the_loading_time_free() -> None:
    # 61 of 100 seconds less 1 for loading, at a tenth of a second per unit.
    assert MEASUREMENT.honest_units(100, margin_percent=39) == 600
    assert MEASUREMENT.honest_units(100, margin_percent=0) == 990


def test_honest_units_never_exceed_the_class_and_never_fall_below_none() -> None:
    assert MEASUREMENT.honest_units(1_000_000) == 1000
    assert MEASUREMENT.honest_units(1) == 0
    assert MEASUREMENT.honest_units(0) == 0


def test_a_larger_margin_never_gives_more_units() -> None:
    units = [MEASUREMENT.honest_units(60, margin_percent=margin) for margin in range(101)]

    assert units == sorted(units, reverse=True)
    assert replace(MEASUREMENT, load_seconds=2.0).honest_units(60) < MEASUREMENT.honest_units(60)


class FullDevice:
    name = "full"

    def open(self, layers: Sequence[Matrix]) -> NumpyBackend:
        raise BackendUnavailable("out of memory")


def test_the_fastest_device_that_can_hold_the_class_is_chosen() -> None:
    slow = TickingDevice(0.002, "slow")
    fast = TickingDevice(0.001, "fast")

    def clock() -> float:
        return slow.now + fast.now

    best = measure_best([FullDevice(), slow, fast, FullDevice()], RESOURCE, seconds=0, clock=clock)

    assert best.device == "fast"


def test_a_class_that_no_device_can_hold_is_said_to_be_so() -> None:
    device = TickingDevice()

    with pytest.raises(BackendUnavailable, match="out of memory"):
        measure_best([FullDevice()], RESOURCE, seconds=0, clock=device.clock)
    with pytest.raises(BackendUnavailable, match="no device"):
        measure_best([], RESOURCE, seconds=0, clock=device.clock)
