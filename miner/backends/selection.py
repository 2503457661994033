"""Which backends this machine has, and whether they compute the bytes that the chain expects.

A wrong proof costs a provider half of its bond, so a backend is tried before it is used: against
the published vectors, and against a network whose sums are the largest that a class allows and end
one below and on every boundary of the shift.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from miner.backends.backend import BackendRejected, BackendUnavailable, Device
from miner.backends.numpy_backend import NumpyDevice
from miner.backends.torch_backend import BF16, INT8, TorchDevice
from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import (
    WIDTH_MAX,
    ForwardPassClass,
    Matrix,
    Rows,
    expand_rows,
    expand_weights,
)

EDGE_ROWS = 33
"""An odd number, so that no kernel's tile is filled."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A network, rows for it, and the output bytes of the slow reference."""

    name: str
    layers: tuple[Matrix, ...]
    rows: Rows
    expected: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one device: accepted if there is no problem."""

    device: Device
    problem: str | None


def known_devices() -> tuple[Device, ...]:
    """Return every device that this program can drive, the one that is commonly fastest first."""
    return (
        TorchDevice("cuda-int8", processor="cuda", operands=INT8, is_fused=True),
        TorchDevice("cuda-bf16", processor="cuda", operands=BF16, is_fused=True),
        TorchDevice("cuda-int8-plain", processor="cuda", operands=INT8, is_fused=False),
        TorchDevice("cuda-bf16-plain", processor="cuda", operands=BF16, is_fused=False),
        TorchDevice("torch-cpu-int8", processor="cpu", operands=INT8, is_fused=False),
        NumpyDevice(),
    )


def load_trials() -> tuple[Trial, ...]:
    """Return the vectors that are shipped with the miner, and the edge trial."""
    text = resources.files("miner").joinpath("vectors.json").read_text()
    return (*(_to_trial(vector) for vector in json.loads(text)["vectors"]), edge_trial())


def edge_trial() -> Trial:
    """Return a network of the largest width whose 64 sums meet every residue of the shift.

    Four inputs make each hidden value 31; the last layer is 31 everywhere but in one row, which
    takes ``31 * column`` off, and 31 is odd: all 64 residues occur at a magnitude near 2**24.
    """
    first = np.zeros((64, WIDTH_MAX), np.int8)
    first[:3] = -32
    first[3] = -30
    last = np.full((WIDTH_MAX, 64), 31, np.int8)
    last[-1] -= np.arange(63, -1, -1, dtype=np.int8)
    rows = np.full((EDGE_ROWS, 64), -32, np.int8)
    sums = [31 * (31 * WIDTH_MAX - 63 + column) for column in range(64)]
    row = bytes(((total >> 6) % 64 - 32) % 256 for total in sums)
    return Trial("edge", (first, last), rows, row * EDGE_ROWS)


def require_exact(device: Device, trials: Iterable[Trial]) -> None:
    """Run every trial on the device.

    Raises: BackendUnavailable, BackendRejected.
    """
    for trial in trials:
        outputs = device.open(trial.layers).submit(trial.rows)()
        if outputs != trial.expected:
            raise BackendRejected(f"{device.name} fails the trial {trial.name}")


def judge_devices(devices: Sequence[Device], trials: Sequence[Trial]) -> tuple[Verdict, ...]:
    """Return, for each device, whether it may be used and else why not."""
    verdicts = []
    for device in devices:
        try:
            require_exact(device, trials)
        except (BackendUnavailable, BackendRejected) as problem:
            verdicts.append(Verdict(device, str(problem)))
        else:
            verdicts.append(Verdict(device, None))
    return tuple(verdicts)


def _to_trial(vector: dict[str, object]) -> Trial:
    """Parse a shipped vector; the file is a part of the program and trusted like it."""
    match vector:
        case {
            "class_id": int(class_id),
            "width": int(width),
            "depth": int(depth),
            "rows_per_leaf": int(size),
            "challenge": str(challenge),
            "provider": str(provider),
            "leaf_position": int(leaf),
            "rows": list(rows),
        }:
            resource = ForwardPassClass(
                class_id=class_id,
                width=width,
                depth=depth,
                rows_per_unit=size,
                rows_per_leaf=size,
                samples=1,
                units_max=1,
            )
            seed = Digest(bytes.fromhex(challenge))
            return Trial(
                f"{width}x{depth}",
                tuple(expand_weights(resource, seed)),
                expand_rows(
                    resource,
                    seed,
                    AccountId(bytes.fromhex(provider)),
                    first=leaf * size,
                    count=size,
                ),
                b"".join(bytes.fromhex(row["output"]) for row in rows),
            )
        case _:
            raise AssertionError("miner/vectors.json is damaged: reinstall the program")
