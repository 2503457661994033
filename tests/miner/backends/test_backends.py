"""Every backend that this machine has gives the bytes of the vectors, and no other gets through."""

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import pytest

from miner.backends.backend import BackendRejected, BackendUnavailable, Pending
from miner.backends.numpy_backend import NumpyBackend, NumpyDevice
from miner.backends.selection import (
    edge_trial,
    judge_devices,
    known_devices,
    load_trials,
    require_exact,
)
from miner.backends.torch_backend import BF16, INT8, TorchDevice
from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import (
    ForwardPassClass,
    Matrix,
    Network,
    Rows,
    expand_rows,
    expand_weights,
)

TRIALS = load_trials()
CHALLENGE = Digest(b"c" * 32)
PROVIDER = AccountId(b"p" * 32)
SMALL = ForwardPassClass(
    class_id=7, width=128, depth=2, rows_per_unit=8, rows_per_leaf=2, samples=4, units_max=100
)
TORCH_CPU = TorchDevice("torch-cpu-int8", processor="cpu", operands=INT8, is_fused=False)

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


def devices_here() -> list[object]:
    return [
        NumpyDevice(),
        pytest.param(TORCH_CPU, marks=needs_torch),
    ]


each_device = pytest.mark.parametrize("device", devices_here(), ids=lambda device: device.name)


@each_device
def test_a_backend_of_this_machine_passes_every_trial(device: NumpyDevice) -> None:
    require_exact(device, TRIALS)


@each_device
@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 1300])
def test_any_number_of_rows_gives_as_many_outputs(device: NumpyDevice, count: int) -> None:
    layers = list(expand_weights(SMALL, CHALLENGE))
    rows = expand_rows(SMALL, CHALLENGE, PROVIDER, first=0, count=count)

    outputs = device.open(layers).submit(rows)()

    assert outputs == Network(layers).run(rows).tobytes()


@each_device
def test_batches_that_are_submitted_before_others_are_collected_stay_apart(
    device: NumpyDevice,
) -> None:
    layers = list(expand_weights(SMALL, CHALLENGE))
    backend = device.open(layers)
    batches = [
        expand_rows(SMALL, CHALLENGE, PROVIDER, first=300 * index, count=300) for index in range(4)
    ]

    pending = [backend.submit(batch) for batch in batches]

    for batch, collect in zip(batches, pending, strict=True):
        assert collect() == Network(layers).run(batch).tobytes()


def test_the_edge_trial_meets_every_residue_near_the_largest_exact_sum() -> None:
    trial = edge_trial()
    hidden = ((trial.rows.astype(np.int64) @ trial.layers[0] >> 6) & 63) - 32
    sums = hidden @ trial.layers[1].astype(np.int64)

    assert sums.min() > 15_700_000
    assert {int(total) % 64 for total in sums[0]} == set(range(64))
    assert np.array_equal(
        ((sums >> 6) & 63) - 32, np.frombuffer(trial.expected, np.int8).reshape(-1, 64)
    )


class CoarseDevice:
    """Adds in float32 but rounds sums to twenty bits, as some matrix units do."""

    name = "coarse"

    def open(self, layers: Sequence[Matrix]) -> "CoarseBackend":
        return CoarseBackend(layers)


class CoarseBackend(NumpyBackend):
    def submit(self, rows: Rows) -> Pending:
        values = rows.astype(np.int64)
        for layer in self._network._layers:
            sums = values @ layer.astype(np.int64)
            sums = np.where(np.abs(sums) >= 2**20, (sums + 8) >> 4 << 4, sums)
            values = ((sums >> 6) & 63) - 32
        return lambda: values.astype(np.int8).tobytes()


class SaturatingDevice:
    """Lets sums stop at 16 bits, as cheap int8 units do."""

    name = "saturating"

    def open(self, layers: Sequence[Matrix]) -> "SaturatingBackend":
        return SaturatingBackend(layers)


class SaturatingBackend(NumpyBackend):
    def submit(self, rows: Rows) -> Pending:
        values = rows.astype(np.int64)
        for layer in self._network._layers:
            sums = np.clip(values @ layer.astype(np.int64), -32_768, 32_767)
            values = ((sums >> 6) & 63) - 32
        return lambda: values.astype(np.int8).tobytes()


class OffByOneDevice:
    """Gives one wrong bit in the last row."""

    name = "off by one"

    def open(self, layers: Sequence[Matrix]) -> "OffByOneBackend":
        return OffByOneBackend(layers)


class OffByOneBackend(NumpyBackend):
    def submit(self, rows: Rows) -> Pending:
        outputs = bytearray(super().submit(rows)())
        outputs[-1] ^= 1
        return lambda: bytes(outputs)


@pytest.mark.parametrize(
    "device", [SaturatingDevice(), OffByOneDevice()], ids=lambda device: device.name
)
def test_a_backend_that_computes_other_bytes_is_rejected(device: OffByOneDevice) -> None:
    with pytest.raises(BackendRejected, match=device.name):
        require_exact(device, TRIALS)


def test_sums_of_too_few_bits_pass_random_vectors_but_not_the_edge_trial() -> None:
    require_exact(CoarseDevice(), TRIALS[:1])

    with pytest.raises(BackendRejected, match="edge"):
        require_exact(CoarseDevice(), [edge_trial()])


def test_each_device_is_judged_by_itself_and_told_why_it_is_refused() -> None:
    class Absent:
        name = "absent"

        def open(self, layers: Sequence[Matrix]) -> NumpyBackend:
            raise BackendUnavailable("no such hardware")

    verdicts = judge_devices([Absent(), OffByOneDevice(), NumpyDevice()], TRIALS)

    assert [verdict.device.name for verdict in verdicts] == ["absent", "off by one", "numpy"]
    assert verdicts[0].problem == "no such hardware"
    assert "off by one" in str(verdicts[1].problem)
    assert verdicts[2].problem is None


def test_numpy_is_always_among_the_known_devices_and_always_accepted() -> None:
    devices = known_devices()

    assert len({device.name for device in devices}) == len(devices)
    assert judge_devices(devices[-1:], TRIALS)[0].problem is None


@pytest.mark.parametrize("operands", [INT8, BF16])
def test_a_gpu_that_is_not_there_is_unavailable(
    operands: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Torch:
        class cuda:  # noqa: N801 - torch's name
            @staticmethod
            def is_available() -> bool:
                return False

    monkeypatch.setattr("miner.backends.torch_backend.import_module", lambda _: Torch)
    device = TorchDevice("gpu", processor="cuda", operands=operands, is_fused=True)

    with pytest.raises(BackendUnavailable, match="no CUDA device"):
        device.open(TRIALS[0].layers)


def test_a_machine_without_torch_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("miner.backends.torch_backend.import_module", absent)

    with pytest.raises(BackendUnavailable, match="pip install torch"):
        TORCH_CPU.open(TRIALS[0].layers)
