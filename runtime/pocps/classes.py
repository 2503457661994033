"""Resource classes: what one kind of hardware has to prove, on which terms, as chains record it.

Invariants: a class whose numbers contradict each other cannot be opened; a record names exactly
one kind of proof; equal records open the same kind, once.

Every kind counts in the same units, of which a thousand make one reference device of the class.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

from primitives.codec import AMOUNT, U16, U32, U64, Codec, optional, struct, text
from primitives.errors import DispatchError
from primitives.types import UINT64_MAX, Balance, Digest, Weight
from runtime.pocps.forward_pass import WEIGHTS_MAX, ForwardPassClass, InvalidForwardPassClass
from runtime.pocps.forward_pass_proof import NETWORKS_KEPT, ForwardPassWork
from runtime.pocps.proof import ProofKind, SampledProof, Work
from runtime.pocps.storage_proof import InvalidStorageClass, StorageClass, StorageWork

CLASSES_MAX = 16
PROVIDERS_MAX = 1 << 16
"""Places in a class."""
NAME_BYTES_MAX = 32
RESPOND_WEIGHT = Weight(1_000_000)
"""Upper estimate of what a response costs beside its verification, in nanoseconds."""
SIBLING_BYTES = 34
"""A digest and its length, encoded."""
ENVELOPE_BYTES = 256
"""Upper estimate of what a response is longer than its digests."""

ClassId = Annotated[int, U32]


class InvalidClass(DispatchError):
    """The numbers of a resource class contradict each other; the message says which."""


@dataclass(frozen=True, slots=True)
class ForwardPassTerms:
    """The network whose passes prove computing power; see ``ForwardPassClass``."""

    width: int
    depth: int
    rows_per_unit: int
    rows_per_leaf: int


@dataclass(frozen=True, slots=True)
class StorageTerms:
    """The sealed chunks whose keeping proves storage; see ``StorageClass``."""

    labels_per_chunk: int
    passes: int
    chunks_per_unit: int
    operations_per_unit: int


@dataclass(frozen=True, slots=True)
class ResourceClass:
    """One kind of resource and the terms on which it is proven."""

    class_id: int
    name: str
    """1 to 32 bytes."""
    forward_pass: ForwardPassTerms | None
    """Of this and the other kinds, exactly one is present."""
    storage: StorageTerms | None
    samples: int
    """Leaves drawn per provider and epoch."""
    units_min: int
    """Least units with which a provider takes a place."""
    units_max: int
    """Most units of one provider."""
    providers_max: int
    """Most providers of the class."""
    bond_per_unit: Balance
    """Held for every registered unit, in base units."""
    reward_max: Balance
    """What a unit earns in an epoch at most, by the reckoning of whoever made the class; the bond
    has to make faking lose against it."""

    @property
    def kind(self) -> str:
        """``forward_pass`` or ``storage``."""
        return kind_of(self).name


FORWARD_PASS_TERMS = struct(
    ForwardPassTerms, width=U32, depth=U32, rows_per_unit=U32, rows_per_leaf=U32
)
STORAGE_TERMS = struct(
    StorageTerms, labels_per_chunk=U32, passes=U32, chunks_per_unit=U32, operations_per_unit=U64
)
RESOURCE_CLASS: Codec[ResourceClass] = struct(
    ResourceClass,
    class_id=U32,
    name=text(NAME_BYTES_MAX),
    forward_pass=optional(FORWARD_PASS_TERMS),
    storage=optional(STORAGE_TERMS),
    samples=U16,
    units_min=U64,
    units_max=U64,
    providers_max=U32,
    bond_per_unit=AMOUNT,
    reward_max=AMOUNT,
)


def _open_work(record: ResourceClass) -> Work:
    """Return the work that the class asks for. Raises: InvalidClass."""
    try:
        if record.forward_pass is not None and record.storage is None:
            network = record.forward_pass
            return ForwardPassWork(
                ForwardPassClass(
                    class_id=record.class_id,
                    width=network.width,
                    depth=network.depth,
                    rows_per_unit=network.rows_per_unit,
                    rows_per_leaf=network.rows_per_leaf,
                    samples=record.samples,
                    units_max=record.units_max,
                )
            )
        if record.storage is not None and record.forward_pass is None:
            chunks = record.storage
            return StorageWork(
                StorageClass(
                    class_id=record.class_id,
                    labels_per_chunk=chunks.labels_per_chunk,
                    passes=chunks.passes,
                    chunks_per_unit=chunks.chunks_per_unit,
                    samples=record.samples,
                    units_max=record.units_max,
                    operations_per_unit=chunks.operations_per_unit,
                )
            )
    except (InvalidForwardPassClass, InvalidStorageClass) as error:
        raise InvalidClass(str(error)) from error
    raise InvalidClass("exactly one of forward_pass and storage has to be given")


@lru_cache(maxsize=4 * CLASSES_MAX)
def kind_of(record: ResourceClass) -> ProofKind:
    """Return the kind of proof that the class asks for. Raises: InvalidClass."""
    return SampledProof(_open_work(record))


@dataclass(frozen=True, slots=True)
class Preparation:
    """What all verifications of a class share in one epoch: for a node to compute ahead.

    Running it changes no result, and touches no state: a node does it beside its event loop as
    soon as the block that ends an epoch is known, lest a block with the first response waits.
    """

    resource: ResourceClass
    challenge: Digest

    def run(self) -> None:
        """Compute it, unless it is at hand."""
        kind_of(self.resource).prepare(self.challenge)


def response_weight(record: ResourceClass) -> Weight:
    """Return what a response has to allow for its verification, in nanoseconds."""
    return Weight(kind_of(record).verification_weight + RESPOND_WEIGHT)


def response_bytes(record: ResourceClass) -> int:
    """Return a length that no response of the class exceeds, as an extrinsic."""
    return kind_of(record).siblings_max(record.units_max) * SIBLING_BYTES + ENVELOPE_BYTES


def capacity(record: ResourceClass) -> int:
    """Return the operations per window that the class can have at most."""
    return record.providers_max * record.units_max * kind_of(record).operations_per_unit


def validate_class(record: ResourceClass) -> None:
    """Refuse a class that no chain could run. Raises: InvalidClass."""
    name = record.name.encode(errors="replace")
    _require(1 <= len(name) <= NAME_BYTES_MAX, f"name must have 1 to {NAME_BYTES_MAX} bytes")
    kind_of(record)
    ordered = 1 <= record.units_min <= record.units_max
    _require(ordered, f"units_min {record.units_min} is not in 1..{record.units_max}")
    within = 1 <= record.providers_max <= PROVIDERS_MAX
    _require(within, f"providers_max {record.providers_max} is not in 1..{PROVIDERS_MAX}")
    _require(record.bond_per_unit >= 1, "bond_per_unit is 0")
    affordable = record.units_max * record.bond_per_unit <= UINT64_MAX
    _require(affordable, f"a bond for {record.units_max} units exceeds 64 bits")


def validate_together(records: Iterable[ResourceClass], granted: int) -> None:
    """Refuse classes that are too many, or too large for a verifier's memory, or for 64 bits.

    ``granted`` operations count beside what the classes prove.
    Raises: InvalidClass.
    """
    known = list(records)
    _require(len(known) <= CLASSES_MAX, f"more than {CLASSES_MAX} classes")
    total = granted + sum(capacity(each) for each in known)
    _require(total <= UINT64_MAX, f"classes and grants together reach {total} operations")
    works = [_open_work(each) for each in known]
    networks = [work.resource for work in works if isinstance(work, ForwardPassWork)]
    _require(len(networks) <= NETWORKS_KEPT, f"more than {NETWORKS_KEPT} forward-pass classes")
    weights = sum(network.weight_count for network in networks)
    _require(weights <= WEIGHTS_MAX, f"{weights} weights in all, more than {WEIGHTS_MAX}")


def _require(condition: bool, problem: str) -> None:  # noqa: FBT001 - the condition is the point
    if not condition:
        raise InvalidClass(problem)
