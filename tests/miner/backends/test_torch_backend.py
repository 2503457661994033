"""The CUDA backend's logic, against a stand-in for the device; its kernels need a real one."""

from itertools import product

import pytest

from miner.backends.backend import BackendUnavailable
from miner.backends.selection import edge_trial, load_trials, require_exact
from miner.backends.torch_backend import BF16, INT8, TorchBackend, TorchDevice
from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import ForwardPassClass, Network, expand_rows, expand_weights
from tests.miner.backends.fake_torch import FakeTorch

CHALLENGE = Digest(b"c" * 32)
PROVIDER = AccountId(b"p" * 32)
SMALL = ForwardPassClass(
    class_id=7, width=128, depth=2, rows_per_unit=8, rows_per_leaf=2, samples=4, units_max=100
)
LAYERS = tuple(expand_weights(SMALL, CHALLENGE))

Operands = pytest.mark.parametrize("operands", [INT8, BF16])


@pytest.fixture(autouse=True)
def small_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.backends.torch_backend.SLABS", (32, 64))
    monkeypatch.setattr("miner.backends.torch_backend.TUNING_SECONDS", 0)


def install(monkeypatch: pytest.MonkeyPatch, torch: FakeTorch) -> None:
    monkeypatch.setattr("miner.backends.torch_backend.import_module", lambda _: torch)


def open_backend(operands: str, *, is_fused: bool = True) -> TorchBackend:
    device = TorchDevice("cuda-test", processor="cuda", operands=operands, is_fused=is_fused)
    return device.open(LAYERS)


@Operands
@pytest.mark.parametrize("can_compile, can_record", list(product([True, False], repeat=2)))
def test_a_gpu_gives_the_vectors_with_and_without_compiler_and_graphs(
    operands: str, monkeypatch: pytest.MonkeyPatch, *, can_compile: bool, can_record: bool
) -> None:
    torch = FakeTorch(can_compile=can_compile, can_record=can_record)
    install(monkeypatch, torch)
    device = TorchDevice("cuda-test", processor="cuda", operands=operands, is_fused=True)

    require_exact(device, load_trials()[:3])

    assert (torch.compiled_calls > 0) == can_compile
    assert any(graph.replays for graph in torch.cuda.graphs) == can_record


@Operands
def test_the_plain_variant_neither_compiles_nor_records(
    operands: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = FakeTorch(can_compile=False, can_record=False)
    install(monkeypatch, torch)
    device = TorchDevice("cuda-test", processor="cuda", operands=operands, is_fused=False)

    require_exact(device, [*load_trials()[:2], edge_trial()])

    assert torch.cuda.graphs == []


@Operands
@pytest.mark.parametrize("count", [1, 31, 32, 33, 200])
def test_any_number_of_rows_is_padded_to_slabs_and_cut_again(
    operands: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeTorch())
    backend = open_backend(operands)
    rows = expand_rows(SMALL, CHALLENGE, PROVIDER, first=0, count=count)

    outputs = backend.submit(rows)()

    assert outputs == Network(LAYERS).run(rows).tobytes()


@Operands
def test_batches_in_flight_do_not_overwrite_each_other(
    operands: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeTorch())
    backend = open_backend(operands)
    batches = [
        expand_rows(SMALL, CHALLENGE, PROVIDER, first=70 * index, count=70) for index in range(3)
    ]

    pending = [backend.submit(batch) for batch in batches]

    for batch, collect in reversed(list(zip(batches, pending, strict=True))):
        assert collect() == Network(LAYERS).run(batch).tobytes()


def test_a_batch_is_a_whole_number_of_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeTorch())

    assert open_backend(INT8).batch_rows in {8 * 32, 8 * 64}


def test_a_slab_whose_sums_would_fill_the_device_is_not_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, FakeTorch())
    monkeypatch.setattr("miner.backends.torch_backend.SLAB_SUMS_MAX", 1)

    assert open_backend(INT8).batch_rows == 8 * 32


def test_a_library_without_the_product_makes_the_device_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Older(FakeTorch):
        def mm(self, *_: object, **options: object) -> None:  # type: ignore[override] # as older
            raise TypeError(f"mm() got an unexpected keyword argument {next(iter(options))}")

    install(monkeypatch, Older())

    with pytest.raises(BackendUnavailable, match="cuda-test: mm"):
        open_backend(BF16)


def test_a_device_that_runs_out_of_memory_later_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = FakeTorch()
    install(monkeypatch, torch)
    backend = open_backend(INT8)

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(torch, "empty", full)

    with pytest.raises(BackendUnavailable, match="out of memory"):
        backend.submit(expand_rows(SMALL, CHALLENGE, PROVIDER, first=0, count=3))
