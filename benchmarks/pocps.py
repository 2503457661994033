"""Proof of computing power: what a proof costs its maker and what it costs each verifier.

``OPENBLAS_NUM_THREADS=1 python -m benchmarks.pocps`` prints both tables. All times are seconds of
one core's work, so that other programs on the machine do not count. Where proving all units would
take longer than ``PROVE_SECONDS_MAX`` the time is extrapolated from the rows per second of a run
that long, and marked with ``~``.
"""

import os
import time
from collections.abc import Callable
from functools import partial

from miner.backends.numpy_backend import NumpyBackend
from miner.prover import ForwardPassSource, Prover
from primitives.merkle import siblings_needed
from primitives.types import AccountId, Digest
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

CLASSES = {
    "devnet": ForwardPassClass(
        class_id=1, width=256, depth=4, rows_per_unit=256, rows_per_leaf=4, samples=16,
        units_max=10_000,
    ),
    "cpu": ForwardPassClass(
        class_id=2, width=1024, depth=8, rows_per_unit=64, rows_per_leaf=2, samples=16,
        units_max=10_000,
    ),
    "gpu": ForwardPassClass(
        class_id=3, width=4096, depth=8, rows_per_unit=64, rows_per_leaf=2, samples=16,
        units_max=10_000,
    ),
}  # fmt: skip
STORAGE = StorageClass(
    class_id=4, labels_per_chunk=32, passes=16, chunks_per_unit=1024, samples=8, units_max=10_000,
    operations_per_unit=1,
)  # fmt: skip


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
    kind = SampledProof(StorageWork(STORAGE))
    challenge = kind.challenge(START)
    rounds = 200
    sealing = seconds_of(lambda: [seal_chunk(STORAGE, PROVIDER, i) for i in range(rounds)]) / rounds
    chunk = seal_chunk(STORAGE, PROVIDER, 0)
    hashing = seconds_of(lambda: [leaf_digest(challenge, chunk) for _ in range(50_000)]) / 50_000
    tree = seconds_of(lambda: kind.commit([bytes(32)] * 100_000)) / 100_000
    print()
    print("| units | MiB | seal all, s | prove from disk, s | verify, ms | proof, bytes |")
    print("|---|---|---|---|---|---|")
    for units in UNITS:
        chunks = kind.count_leaves(units)
        checking, size = verify(kind, Claim(PROVIDER, units, Digest(bytes(32))), challenge)
        mark = "" if units == 1 else "~"
        print(
            f"| {units} | {units * STORAGE.bytes_per_unit >> 20} | {mark}{chunks * sealing:.4g}"
            f" | {mark}{chunks * (hashing + tree):.4g} | {checking * 1e3:.2f} | {size} |"
        )


def main() -> None:
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "unset")
    print(f"OPENBLAS_NUM_THREADS={threads}; processor time of one process\n")
    report_forward_pass()
    report_storage()


if __name__ == "__main__":
    main()
