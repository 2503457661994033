"""Proof of computing power: what a proof costs its maker and what it costs each verifier.

``OPENBLAS_NUM_THREADS=1 python -m benchmarks.pocps`` prints the tables: the classes of development
and local chains (``devnet``, ``storage``), and some for faster hardware. All times are seconds
of one core's work, so that other programs on the machine do not count. Where proving all units
would take longer than ``PROVE_SECONDS_MAX`` the time is extrapolated from the rows per second of a
run that long, and marked with ``~``; so is sealing more chunks than were timed.
"""

import os
import time
from collections.abc import Callable
from functools import partial

from genesis.presets import CPU_CLASS, STORAGE_CLASS
from miner.backends.numpy_backend import NumpyBackend
from miner.prover import ForwardPassSource, Prover
from primitives.merkle import siblings_needed
from primitives.types import AccountId, Digest
from runtime.pocps.classes import ResourceClass, kind_of
from runtime.pocps.forward_pass import ForwardPassClass, expand_weights
from runtime.pocps.forward_pass_proof import ForwardPassWork, open_network
from runtime.pocps.proof import Claim, RootMismatch, SampledProof
from runtime.pocps.storage_proof import StorageClass, StorageWork, leaf_digest, seal_chunk

PROVE_SECONDS_MAX = 6.0
VERIFY_ROUNDS = 20
UNITS = (1, 100, 10_000)
PROVIDER = AccountId(b"p" * 32)
START = Digest(b"1" * 32)
LATER = Digest(b"2" * 32)


def forward_pass_class(record: ResourceClass) -> ForwardPassClass:
    """Return the network that a chain's record describes."""
    kind = kind_of(record)
    assert isinstance(kind, SampledProof)
    assert isinstance(kind.work, ForwardPassWork)
    return kind.work.resource


def storage_class(record: ResourceClass) -> StorageClass:
    """Return the chunks that a chain's record describes."""
    kind = kind_of(record)
    assert isinstance(kind, SampledProof)
    assert isinstance(kind.work, StorageWork)
    return kind.work.resource


CLASSES = {
    "devnet": forward_pass_class(CPU_CLASS),
    "cpu": ForwardPassClass(
        class_id=101, width=1024, depth=8, rows_per_unit=64, rows_per_leaf=2, samples=16,
        units_max=10_000,
    ),
    "gpu": ForwardPassClass(
        class_id=102, width=4096, depth=8, rows_per_unit=64, rows_per_leaf=2, samples=16,
        units_max=10_000,
    ),
}  # fmt: skip
STORAGE_CLASSES = {
    "storage": storage_class(STORAGE_CLASS),
    "storage, 1 MiB a unit": StorageClass(
        class_id=103, labels_per_chunk=32, passes=16, chunks_per_unit=1024, samples=8,
        units_max=10_000, operations_per_unit=1,
    ),
}  # fmt: skip
SEALED = 200
"""Chunks that are sealed for the time of one."""
HASHED_MAX = 100_000
"""Leaves that are hashed, at most, for the time of all."""


def seconds_of(action: Callable[[], object]) -> float:
    """Return the processor time of one call."""
    start = time.process_time()
    action()
    return time.process_time() - start


def verify(kind: SampledProof, claim: Claim, challenge: Digest) -> tuple[float, int]:
    """Return the median seconds of a verification, and the bytes of the proof.

    The root is not the right one: every step runs all the same, and the last comparison refuses.
    """
    positions = kind.sample(claim, LATER)
    count = siblings_needed(kind.count_leaves(claim.units), positions)
    response = [Digest(bytes(32))] * count

    def run() -> None:
        try:
            kind.verify(claim, response, challenge=challenge, beacon=LATER)
        except RootMismatch:
            return
        raise AssertionError("a proof of nothing was believed")

    run()
    times = sorted(seconds_of(run) for _ in range(VERIFY_ROUNDS))
    return times[VERIFY_ROUNDS // 2], 32 * count


def prove(prover: Prover) -> tuple[float, bool]:
    """Return the seconds of a whole proof, and whether they had to be extrapolated."""
    start = time.process_time()
    while True:
        progress = prover.step()
        spent = time.process_time() - start
        if progress.is_complete:
            prover.commit()
            prover.respond(LATER)
            return time.process_time() - start, False
        if spent > PROVE_SECONDS_MAX:
            return spent * progress.leaves_total / progress.leaves_done, True


def report_forward_pass() -> None:
    print("| class | width x depth | units | prove, s | verify, ms | proof, bytes | ratio |")
    print("|---|---|---|---|---|---|---|")
    notes = []
    for name, resource in CLASSES.items():
        kind = SampledProof(ForwardPassWork(resource))
        challenge = kind.challenge(START)
        expanding = seconds_of(partial(open_network, resource, challenge))
        backend = NumpyBackend(list(expand_weights(resource, challenge)))
        source = ForwardPassSource(resource, challenge, PROVIDER, backend)
        source.submit(0, 64)()
        checking = 0.0
        for units in UNITS:
            prover = Prover(kind, source, challenge=challenge, provider=PROVIDER, units=units)
            proving, is_extrapolated = prove(prover)
            checking, size = verify(kind, Claim(PROVIDER, units, Digest(bytes(32))), challenge)
            mark = "~" if is_extrapolated else ""
            print(
                f"| {name} | {resource.width} x {resource.depth} | {units} | {mark}{proving:.4g}"
                f" | {checking * 1e3:.2f} | {size} | {mark}{proving / checking:,.0f} |"
            )
        whole = expanding + 1000 * checking
        notes.append(
            f"{name}: weights {expanding * 1e3:.0f} ms once per epoch; 1000 providers"
            f" {whole:.1f} s of one core per epoch; charged {kind.verification_weight / 1e6:.1f} ms"
            f" each; {resource.operations_per_unit / 1e9:.2f} G operations per unit"
        )
    print()
    print("\n".join(notes))


def report_storage() -> None:
    print()
    print(
        "| class | units | MiB | seal once, s | prove from disk, s | verify, ms | proof, bytes"
        " | ratio |"
    )
    print("|---|---|---|---|---|---|---|---|")
    notes = []
    for name, resource in STORAGE_CLASSES.items():
        kind = SampledProof(StorageWork(resource))
        challenge = kind.challenge(START)
        sealing = seconds_of(partial(seal_some, resource))
        chunk = seal_chunk(resource, PROVIDER, 0)
        checking = 0.0
        for units in UNITS:
            chunks = kind.count_leaves(units)
            done = min(chunks, HASHED_MAX)
            proving = (
                seconds_of(partial(prove_stored, kind, challenge, chunk, done)) * chunks / done
            )
            claim = Claim(PROVIDER, units, Digest(bytes(32)))
            checking, size = verify(kind, claim, challenge)
            mark = "~" if done < chunks else ""
            print(
                f"| {name} | {units} | {units * resource.bytes_per_unit / 2**20:.4g}"
                f" | ~{chunks * sealing / SEALED:.4g} | {mark}{proving:.4g}"
                f" | {checking * 1e3:.2f} | {size} | {mark}{proving / checking:,.0f} |"
            )
        notes.append(
            f"{name}: 1000 providers {1000 * checking:.1f} s of one core per epoch; charged"
            f" {kind.verification_weight / 1e6:.1f} ms each"
        )
    print()
    print("\n".join(notes))


def seal_some(resource: StorageClass) -> None:
    for position in range(SEALED):
        seal_chunk(resource, PROVIDER, position)


def prove_stored(kind: SampledProof, challenge: Digest, chunk: bytes, leaves: int) -> None:
    """Hash so many chunks under the epoch's key, commit to them and answer; the disk is free."""
    tree = kind.commit([leaf_digest(challenge, chunk) for _ in range(leaves)])
    units = leaves // kind.work.leaves_per_unit
    kind.respond(tree, kind.sample(Claim(PROVIDER, units, tree.root), LATER))


def main() -> None:
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "unset")
    print(f"OPENBLAS_NUM_THREADS={threads}; processor time of one process\n")
    report_forward_pass()
    report_storage()


if __name__ == "__main__":
    main()
