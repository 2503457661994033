"""Whether the forward pass is exact on a GPU, and what share of the card's peak it reaches.

``python -m benchmarks.pocps_gpu [--out results.json]`` tries every backend of this machine against
the shipped vectors and against the verifier's own leaves, then measures, for each width, the
matrix work alone (``device``) and the prover's whole loop with hashing (``loop``). Needs torch;
without a GPU it measures what is there.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from miner.backends.backend import Backend, Device
from miner.backends.selection import judge_devices, known_devices, load_trials
from miner.benchmark import measure
from miner.prover import ForwardPassSource
from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import ForwardPassClass, expand_rows, expand_weights
from runtime.pocps.forward_pass_proof import ForwardPassWork

PROVIDER = AccountId(b"p" * 32)
CHALLENGE = Digest(b"c" * 32)
DEVICE_SECONDS = 1.0
LOOP_SECONDS = 2.0

SHAPES = ((256, 4), (512, 8), (1024, 8), (2048, 8), (4096, 8), (8192, 6))
SHAPES_WITHOUT_GPU = ((256, 4), (1024, 4))

# Dense tera-operations per second of int8 and of bf16, from the makers' data sheets.
PEAKS = {
    "H100 80GB HBM3": (1979.0, 989.5),
    "H200": (1979.0, 989.5),
    "A100": (624.0, 312.0),
}


@dataclass(frozen=True)
class Result:
    device: str
    width: int
    depth: int
    batch_rows: int
    is_exact: bool
    device_rows_per_second: float
    device_tops: float
    peak_share: float | None
    loop_rows_per_second: float
    loop_tops: float
    load_seconds: float


def gpu_name() -> str | None:
    """Return the name of the first GPU, if torch and a GPU are there."""
    try:
        import torch  # noqa: PLC0415 - optional
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    name: str = torch.cuda.get_device_name(0)
    return name


def peak_of(device: str, gpu: str | None) -> float | None:
    """Return the peak that the data sheet gives for the operands of this backend."""
    if gpu is None or not device.startswith("cuda"):
        return None
    for name, (int8, bf16) in PEAKS.items():
        if name in gpu:
            return int8 if "int8" in device else bf16
    return None


def class_of(width: int, depth: int) -> ForwardPassClass:
    return ForwardPassClass(
        class_id=width, width=width, depth=depth, rows_per_unit=64, rows_per_leaf=4, samples=4,
        units_max=100_000,
    )  # fmt: skip


def is_exact(resource: ForwardPassClass, backend: Backend) -> bool:
    """Compare leaves over a whole batch with those that the chain computes."""
    source = ForwardPassSource(resource, CHALLENGE, PROVIDER, backend)
    count = source.batch_leaves
    leaves = source.submit(0, count)()
    positions = tuple(sorted({0, 1, count // 3, count // 2, count - 1}))
    expected = ForwardPassWork(resource).compute_leaves(CHALLENGE, PROVIDER, positions)
    return [leaves[position] for position in positions] == expected


def device_rate(resource: ForwardPassClass, backend: Backend) -> float:
    """Return rows per second of the matrix work alone, two batches in flight."""
    rows = expand_rows(resource, CHALLENGE, PROVIDER, first=0, count=backend.batch_rows)
    backend.submit(rows)()
    start = now = time.perf_counter()
    done = 0
    pending = backend.submit(rows)
    while now - start < DEVICE_SECONDS:
        upcoming = backend.submit(rows)
        pending()
        pending = upcoming
        done += len(rows)
        now = time.perf_counter()
    pending()
    return (done + len(rows)) / (time.perf_counter() - start)


def run(device: Device, width: int, depth: int, gpu: str | None) -> Result:
    resource = class_of(width, depth)
    backend = device.open(list(expand_weights(resource, CHALLENGE)))
    exact = is_exact(resource, backend)
    rate = device_rate(resource, backend)
    loop = measure(device, resource, seconds=LOOP_SECONDS, clock=time.perf_counter)
    tops = rate * resource.operations_per_row / 1e12
    peak = peak_of(device.name, gpu)
    return Result(
        device=device.name,
        width=width,
        depth=depth,
        batch_rows=backend.batch_rows,
        is_exact=exact,
        device_rows_per_second=rate,
        device_tops=tops,
        peak_share=None if peak is None else tops / peak,
        loop_rows_per_second=loop.rows_per_second,
        loop_tops=loop.operations_per_second / 1e12,
        load_seconds=loop.load_seconds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write the results there as JSON")
    arguments = parser.parse_args()
    gpu = gpu_name()
    print(f"GPU: {gpu}")
    results: list[Result] = []
    for verdict in judge_devices(known_devices(), load_trials()):
        print(f"{verdict.device.name}: {verdict.problem or 'accepted'}", flush=True)
        # Beside a GPU only its backends are of interest.
        is_measured = gpu is None or verdict.device.name.startswith("cuda")
        if verdict.problem is not None or not is_measured:
            continue
        for width, depth in SHAPES if gpu else SHAPES_WITHOUT_GPU:
            result = run(verdict.device, width, depth, gpu)
            results.append(result)
            share = "" if result.peak_share is None else f" ({result.peak_share:.0%} of peak)"
            print(
                f"  {width}x{depth}: exact={result.is_exact}"
                f" device {result.device_rows_per_second:,.0f} rows/s"
                f" {result.device_tops:,.3f} TOP/s{share};"
                f" loop {result.loop_rows_per_second:,.0f} rows/s {result.loop_tops:,.3f} TOP/s;"
                f" batch {result.batch_rows}, loaded in {result.load_seconds:.1f} s",
                flush=True,
            )
            if arguments.out:
                arguments.out.write_text(
                    json.dumps({"gpu": gpu, "results": [asdict(r) for r in results]}, indent=1)
                )


if __name__ == "__main__":
    main()
