"""The provider's side of a proof, without clock, network or disk: compute, commit, respond.

``Prover.step`` computes one batch and returns how far it is; whoever drives it decides when to go
on. The next batch is submitted before the last is hashed, so that a GPU and the processor work at
the same time. Memory is bounded: the prover keeps 32 bytes per leaf while it computes, and the
Merkle tree's 64 per leaf from the commitment on; rows live as long as their batch.

Invariant: no commitment is made over leaves that were never compared with the verifier's own. The
first and the last leaf of each claim are computed a second time in the way the chain will do it;
a backend that gives other bytes is an error here and would be a slash there.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, overload

from miner.backends.backend import Backend, BackendRejected
from primitives.errors import LoopinError
from primitives.merkle import MerkleTree
from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import ForwardPassClass, expand_rows, leaf_digests
from runtime.pocps.proof import Claim, Response, SampledProof
from runtime.pocps.storage_proof import epoch_key, leaf_digest

DIGEST_BYTES = 32
STORAGE_BATCH = 256
"""Chunks per step."""

PendingLeaves = Callable[[], list[Digest]]
"""Waits for a batch and returns its leaves; called once."""
ReadChunk = Callable[[int], bytes]
"""Returns the sealed chunk at a position, from wherever the provider keeps it."""


class ProverUnfinished(LoopinError):
    """Not all leaves are computed yet: call ``step`` until the progress is complete."""


class UnusableCheckpoint(LoopinError):
    """The saved digests are not those of a whole number of leaves of this claim: start anew."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a proof is."""

    leaves_done: int
    leaves_total: int

    @property
    def is_complete(self) -> bool:
        return self.leaves_done == self.leaves_total


class LeafSource(Protocol):
    """Computes leaves of one provider for one challenge."""

    @property
    def batch_leaves(self) -> int:
        """Leaves per batch with which this source is fast."""

    def submit(self, first: int, count: int) -> PendingLeaves:
        """Start to compute ``count`` leaves from position ``first`` on."""


class ForwardPassSource:
    """Leaves of the forward pass, from a backend that holds the epoch's network."""

    __slots__ = ("_backend", "_challenge", "_provider", "_resource", "batch_leaves")

    def __init__(
        self,
        resource: ForwardPassClass,
        challenge: Digest,
        provider: AccountId,
        backend: Backend,
    ) -> None:
        self._resource = resource
        self._challenge = challenge
        self._provider = provider
        self._backend = backend
        self.batch_leaves = max(1, backend.batch_rows // resource.rows_per_leaf)

    def submit(self, first: int, count: int) -> PendingLeaves:
        """Expand the rows and hand them to the backend."""
        size = self._resource.rows_per_leaf
        rows = expand_rows(
            self._resource, self._challenge, self._provider, first=first * size, count=count * size
        )
        pending = self._backend.submit(rows)
        return lambda: leaf_digests(pending(), size)


class StorageSource:
    """Leaves of the storage proof, from sealed chunks that the caller reads."""

    __slots__ = ("_key", "_read_chunk", "batch_leaves")

    def __init__(self, challenge: Digest, read_chunk: ReadChunk) -> None:
        self._key = epoch_key(challenge)
        self._read_chunk = read_chunk
        self.batch_leaves = STORAGE_BATCH

    def submit(self, first: int, count: int) -> PendingLeaves:
        """Read the chunks when the leaves are asked for."""
        return lambda: [
            leaf_digest(self._key, self._read_chunk(position))
            for position in range(first, first + count)
        ]


class PackedDigests(Sequence[Digest]):
    """Digests side by side in one buffer: a third of the memory of as many objects."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes | bytearray) -> None:
        self._octets = octets

    def __len__(self) -> int:
        return len(self._octets) // DIGEST_BYTES

    @overload
    def __getitem__(self, index: int) -> Digest: ...
    @overload
    def __getitem__(self, index: slice) -> list[Digest]: ...
    def __getitem__(self, index: int | slice) -> Digest | list[Digest]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        start = range(len(self))[index] * DIGEST_BYTES
        return Digest(bytes(self._octets[start : start + DIGEST_BYTES]))

    def __iter__(self) -> Iterator[Digest]:
        view = memoryview(self._octets)
        for start in range(0, len(view), DIGEST_BYTES):
            yield Digest(bytes(view[start : start + DIGEST_BYTES]))


class Prover:
    """One provider's proof of one class in one epoch."""

    def __init__(
        self,
        kind: SampledProof,
        source: LeafSource,
        *,
        challenge: Digest,
        provider: AccountId,
        units: int,
        checkpoint: bytes = b"",
    ) -> None:
        """Start a proof, or go on from the ``checkpoint`` of one with the same arguments.

        Raises: UnitsOutOfRange, UnusableCheckpoint.
        """
        self._kind = kind
        self._source = source
        self._challenge = challenge
        self._provider = provider
        self._units = units
        self._total = kind.count_leaves(units)
        if len(checkpoint) % DIGEST_BYTES or len(checkpoint) > self._total * DIGEST_BYTES:
            raise UnusableCheckpoint(len(checkpoint), self._total)
        self._leaves = bytearray(checkpoint)
        self._submitted = len(checkpoint) // DIGEST_BYTES
        self._pending: PendingLeaves | None = None
        self._tree: MerkleTree | None = None

    @property
    def progress(self) -> Progress:
        return Progress(len(self._leaves) // DIGEST_BYTES, self._total)

    def save(self, first: int = 0) -> bytes:
        """Return a checkpoint: the digests of the leaves computed so far, from ``first`` on."""
        return bytes(memoryview(self._leaves)[first * DIGEST_BYTES :])

    def step(self) -> Progress:
        """Compute one batch, having submitted the next.

        After a failure the prover stands where it stood, and may try again or be saved.
        Raises: BackendUnavailable, or what reading a chunk raises.
        """
        try:
            pending = self._pending or self._submit()
            self._pending = self._submit()
            leaves = pending() if pending is not None else []
        except BaseException:
            self._pending = None
            self._submitted = self.progress.leaves_done
            raise
        self._leaves += b"".join(leaves)
        return self.progress

    def run(self, on_progress: Callable[[Progress], None]) -> None:
        """Compute all leaves, telling the caller after each batch."""
        while not self.progress.is_complete:
            on_progress(self.step())

    def commit(self) -> Claim:
        """Return the claim to put on chain.

        Raises: ProverUnfinished, BackendRejected.
        """
        if not self.progress.is_complete:
            raise ProverUnfinished(self.progress)
        if self._tree is None:
            leaves = PackedDigests(self._leaves)
            self._compare(leaves)
            self._tree = self._kind.commit(leaves)
        return Claim(self._provider, self._units, self._tree.root)

    def respond(self, beacon: Digest) -> Response:
        """Return the response to the positions that ``beacon`` draws from the claim.

        Raises: ProverUnfinished, BackendRejected.
        """
        positions = self._kind.sample(self.commit(), beacon)
        assert self._tree is not None, "a commitment has a tree"
        return self._kind.respond(self._tree, positions)

    def _submit(self) -> PendingLeaves | None:
        """Submit the next batch, or nothing when all are."""
        first = self._submitted
        count = min(self._source.batch_leaves, self._total - first)
        if count == 0:
            return None
        self._submitted = first + count
        return self._source.submit(first, count)

    def _compare(self, leaves: PackedDigests) -> None:
        ends = tuple(sorted({0, self._total - 1}))
        expected = self._kind.work.compute_leaves(self._challenge, self._provider, ends)
        if [leaves[position] for position in ends] != list(expected):
            raise BackendRejected("the first or the last leaf is not what the chain computes")
