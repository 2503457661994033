"""What this machine can honestly stake, for every class and with every device.

Judged devices first: a figure of a device whose bytes differ would be worth nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from miner.backends.backend import BackendUnavailable
from miner.backends.selection import Verdict
from miner.benchmark import MARGIN_PERCENT, Clock, measure
from miner.prover import StorageSource
from miner.resources import Resource, proof_kind
from primitives.merkle import MerkleTree
from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import ForwardPassClass
from runtime.pocps.storage_proof import StorageClass, seal_chunk

CHALLENGE = Digest(b"benchmark challenge, any will do")
PROVIDER = AccountId(b"benchmark provider, any will do.")
DISK = "disk"
BATCH_CHUNKS = 64


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One class on one device."""

    class_id: int
    kind: str
    device: str
    problem: str | None
    """Why there are no figures; None if there are."""
    leaves_per_second: float = 0.0
    rows_per_second: float = 0.0
    """Of a network; 0 for storage."""
    operations_per_second: float = 0.0
    load_seconds: float = 0.0
    honest_units: int = 0
    units_max: int = 0
    seal_seconds_per_unit: float = 0.0
    """Once, before a unit is staked; 0 for a network."""
    bytes_per_unit: int = 0
    """On the disk; 0 for a network."""


def bench(
    resources: Sequence[Resource],
    verdicts: Sequence[Verdict],
    *,
    window_seconds: float,
    seconds: float,
    clock: Clock,
    margin_percent: int = MARGIN_PERCENT,
) -> Iterator[BenchRow]:
    """Yield a row for each class and device, ``seconds`` of work for each."""
    for resource in resources:
        if isinstance(resource, ForwardPassClass):
            yield from _bench_network(
                resource, verdicts, window_seconds, seconds, clock, margin_percent
            )
        else:
            yield _bench_storage(resource, window_seconds, seconds, clock, margin_percent)


def best_of(rows: Iterable[BenchRow]) -> dict[int, BenchRow]:
    """Return, for each class, the row with which most can be staked."""
    best: dict[int, BenchRow] = {}
    for row in rows:
        known = best.get(row.class_id)
        if row.problem is None and (known is None or row.honest_units > known.honest_units):
            best[row.class_id] = row
    return best


def _bench_network(
    resource: ForwardPassClass,
    verdicts: Sequence[Verdict],
    window_seconds: float,
    seconds: float,
    clock: Clock,
    margin_percent: int,
) -> Iterator[BenchRow]:
    kind = proof_kind(resource).name
    for verdict in verdicts:
        name, problem = verdict.device.name, verdict.problem
        if problem is None:
            try:
                found = measure(verdict.device, resource, seconds=seconds, clock=clock)
            except BackendUnavailable as refusal:
                problem = str(refusal)
            else:
                yield BenchRow(
                    class_id=resource.class_id,
                    kind=kind,
                    device=name,
                    problem=None,
                    leaves_per_second=found.rows_per_second / resource.rows_per_leaf,
                    rows_per_second=found.rows_per_second,
                    operations_per_second=found.operations_per_second,
                    load_seconds=found.load_seconds,
                    honest_units=found.honest_units(window_seconds, margin_percent),
                    units_max=resource.units_max,
                )
                continue
        yield BenchRow(resource.class_id, kind, name, problem)


def _bench_storage(
    resource: StorageClass, window_seconds: float, seconds: float, clock: Clock, margin_percent: int
) -> BenchRow:
    """Time hashing and the tree, and the sealing of one chunk; the disk itself is not read."""
    chunk = bytes(resource.chunk_bytes)
    source = StorageSource(CHALLENGE, lambda _: chunk)
    source.submit(0, BATCH_CHUNKS)()
    done = 0
    begun = now = clock()
    leaves: list[Digest] = []
    while done == 0 or now - begun < seconds:
        leaves = source.submit(done, BATCH_CHUNKS)()
        MerkleTree(leaves)
        done += BATCH_CHUNKS
        now = clock()
    leaves_per_second = done / max(now - begun, 1e-9)
    sealing = clock()
    seal_chunk(resource, PROVIDER, 0)
    seal_seconds = clock() - sealing
    usable = window_seconds * (100 - margin_percent) / 100
    units = int(usable * leaves_per_second / resource.chunks_per_unit)
    return BenchRow(
        class_id=resource.class_id,
        kind=proof_kind(resource).name,
        device=DISK,
        problem=None,
        leaves_per_second=leaves_per_second,
        honest_units=min(units, resource.units_max),
        units_max=resource.units_max,
        seal_seconds_per_unit=seal_seconds * resource.chunks_per_unit,
        bytes_per_unit=resource.bytes_per_unit,
    )
