"""The proof kind ``storage``: the provider keeps sealed chunks that are dear to make again.

A chunk is a list of 32-byte labels. It starts as a stream seeded by class, provider and position,
and is then sealed: pass after pass, label by label, each label becomes the hash of its left
neighbour, of itself and of a third label that the neighbour's bytes choose. A leaf is the digest of
a chunk under a key that the epoch's challenge gives. A verifier seals the few sampled chunks anew.

Invariants:

* A leaf needs every byte of its chunk after the challenge is known: the key enters each block of
  the hash, so that no digest of a part can be kept in place of the part.
* Within a chunk nothing is saved by keeping less: the last pass needs the labels of the pass before
  it, which were overwritten, and so back to the first. Keeping an older label in place of a newer
  one saves no byte; keeping neither costs the whole chain of ``passes * labels`` hashes, one after
  the other.
* No two providers share a chunk, nor do two positions.

A provider that keeps a fraction ``1 - f`` must seal ``f`` of all its chunks in each commit window,
the verifier only ``samples`` of them. What this costs against a disk: docs/pocps.md, "Storage".
"""

from dataclasses import dataclass

from primitives.crypto import Purpose, expand, keyed_hash
from primitives.errors import ConfigError
from primitives.types import AccountId, Digest, Weight

LABEL_BYTES = 32
LABELS_MIN = 2
LABELS_MAX = 2**15
"""A chunk has at most 1 MiB."""
PASSES_MAX = 2**12
SEAL_HASHES_MAX = 2**20
"""Hashes that the verification of one provider may cost: about a second."""
CHUNKS_MAX = 2**24
SAMPLES_MAX = 256
OPERATIONS_MAX = 2**63
LABEL_WEIGHT = 2_500
"""Upper estimate of sealing one label once, in nanoseconds."""


class InvalidStorageClass(ConfigError):
    """The numbers of a storage class contradict each other; the message says which and why."""


def _require(condition: bool, problem: str) -> None:  # noqa: FBT001 - the condition is the point
    if not condition:
        raise InvalidStorageClass(problem)


@dataclass(frozen=True, slots=True)
class StorageClass:
    """One grade of storage: how large a chunk is and how slowly it is sealed."""

    class_id: int
    """0 to 2**32 - 1; part of every seed."""
    labels_per_chunk: int
    passes: int
    """How often each label is rewritten; the price of a chunk in hashes is passes * labels."""
    chunks_per_unit: int
    samples: int
    """Chunks drawn per provider and epoch."""
    units_max: int
    operations_per_unit: int
    """What a proven unit counts for in the power table, set by governance."""

    def __post_init__(self) -> None:
        _require(0 <= self.class_id < 2**32, f"class_id {self.class_id} is no 32-bit integer")
        _require(
            LABELS_MIN <= self.labels_per_chunk <= LABELS_MAX,
            f"labels_per_chunk {self.labels_per_chunk} is not in {LABELS_MIN}..{LABELS_MAX}",
        )
        _require(1 <= self.passes <= PASSES_MAX, f"passes {self.passes} is not in 1..{PASSES_MAX}")
        _require(self.chunks_per_unit >= 1, f"chunks_per_unit {self.chunks_per_unit} is below 1")
        _require(
            1 <= self.samples <= SAMPLES_MAX, f"samples {self.samples} is not in 1..{SAMPLES_MAX}"
        )
        _require(
            self.units_max >= 1 and self.units_max * self.chunks_per_unit <= CHUNKS_MAX,
            f"units_max {self.units_max} gives no number of chunks in 1..{CHUNKS_MAX}",
        )
        _require(
            1 <= self.operations_per_unit < OPERATIONS_MAX,
            f"operations_per_unit {self.operations_per_unit} is not in 1..{OPERATIONS_MAX - 1}",
        )
        hashes = self.samples * self.hashes_per_chunk
        _require(
            hashes <= SEAL_HASHES_MAX,
            f"checking one provider takes {hashes} hashes, more than {SEAL_HASHES_MAX}",
        )

    @property
    def chunk_bytes(self) -> int:
        return LABEL_BYTES * self.labels_per_chunk

    @property
    def hashes_per_chunk(self) -> int:
        """Hashes, one after the other, that sealing a chunk costs."""
        return self.passes * self.labels_per_chunk

    @property
    def bytes_per_unit(self) -> int:
        return self.chunks_per_unit * self.chunk_bytes


def seal_chunk(resource: StorageClass, provider: AccountId, position: int) -> bytes:
    """Return the provider's sealed chunk at ``position``; slow on purpose."""
    count = resource.labels_per_chunk
    seed = resource.class_id.to_bytes(4) + provider + position.to_bytes(8)
    stream = expand(Purpose.STORAGE_SEAL, seed, resource.chunk_bytes)
    labels = [stream[start : start + LABEL_BYTES] for start in range(0, len(stream), LABEL_BYTES)]
    purpose = Purpose.STORAGE_LABEL
    left = labels[-1]
    for _ in range(resource.passes):
        for index in range(count):
            # Which label comes third is known only when its left neighbour is.
            third = labels[int.from_bytes(left[:4]) % count]
            left = keyed_hash(purpose, left + labels[index] + third)
            labels[index] = left
    return b"".join(labels)


def epoch_key(challenge: Digest) -> Digest:
    """Return the key under which this epoch's leaves are hashed."""
    return keyed_hash(Purpose.STORAGE_LEAF, challenge)


def leaf_digest(key: Digest, chunk: bytes) -> Digest:
    """Return the leaf of a sealed chunk under an ``epoch_key``."""
    return keyed_hash(key, chunk)


class StorageWork:
    """Keeping the sealed chunks of the staked units."""

    __slots__ = ("resource",)

    name = "storage"

    def __init__(self, resource: StorageClass) -> None:
        self.resource = resource

    @property
    def class_id(self) -> int:
        return self.resource.class_id

    @property
    def units_max(self) -> int:
        return self.resource.units_max

    @property
    def leaves_per_unit(self) -> int:
        return self.resource.chunks_per_unit

    @property
    def samples(self) -> int:
        return self.resource.samples

    @property
    def operations_per_unit(self) -> int:
        return self.resource.operations_per_unit

    @property
    def leaf_weight(self) -> Weight:
        return Weight(self.resource.hashes_per_chunk * LABEL_WEIGHT)

    @property
    def preparation_weight(self) -> Weight:
        return Weight(0)

    def prepare(self, challenge: Digest) -> None:
        """Do nothing: providers share no part of the work."""

    def compute_leaves(
        self, challenge: Digest, provider: AccountId, positions: tuple[int, ...]
    ) -> list[Digest]:
        """Seal the provider's chunks at ``positions`` anew and return their leaves."""
        key = epoch_key(challenge)
        return [
            leaf_digest(key, seal_chunk(self.resource, provider, position))
            for position in positions
        ]
