"""Small classes, and provers that do the work in the plainest way, honest ones and not."""

from collections.abc import Sequence
from dataclasses import dataclass

from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import ForwardPassClass
from runtime.pocps.forward_pass_proof import ForwardPassWork
from runtime.pocps.proof import Claim, ProofKind, Response, SampledProof, Work
from runtime.pocps.storage_proof import StorageClass, StorageWork

ALICE = AccountId(b"a" * 32)
BOB = AccountId(b"b" * 32)
START = Digest(b"1" * 32)
"""The beacon at the start of the epoch."""
LATER = Digest(b"2" * 32)
"""The beacon after the commit deadline."""

FORWARD_PASS = ForwardPassClass(
    class_id=1, width=64, depth=2, rows_per_unit=8, rows_per_leaf=2, samples=5, units_max=50
)
STORAGE = StorageClass(
    class_id=2,
    labels_per_chunk=4,
    passes=3,
    chunks_per_unit=6,
    samples=5,
    units_max=50,
    operations_per_unit=1000,
)
WORKS: tuple[Work, ...] = (ForwardPassWork(FORWARD_PASS), StorageWork(STORAGE))


@dataclass(frozen=True)
class Attempt:
    """Everything that one provider sends in one epoch."""

    claim: Claim
    response: Response
    challenge: Digest


def compute_all(work: Work, challenge: Digest, provider: AccountId, units: int) -> list[Digest]:
    positions = tuple(range(units * work.leaves_per_unit))
    return list(work.compute_leaves(challenge, provider, positions))


def answer(
    kind: ProofKind,
    leaves: Sequence[bytes],
    *,
    provider: AccountId = ALICE,
    units: int,
    start: Digest = START,
    later: Digest = LATER,
) -> Attempt:
    """Commit to whatever leaves are given and answer the samples."""
    tree = kind.commit(leaves)
    claim = Claim(provider, units, tree.root)
    response = kind.respond(tree, kind.sample(claim, later))
    return Attempt(claim, response, kind.challenge(start))


def prove(work: Work, *, provider: AccountId = ALICE, units: int = 3) -> Attempt:
    """Do all the work and answer honestly."""
    kind = SampledProof(work)
    leaves = compute_all(work, kind.challenge(START), provider, units)
    return answer(kind, leaves, provider=provider, units=units)


def check(work: Work, attempt: Attempt, *, later: Digest = LATER) -> None:
    SampledProof(work).verify(
        attempt.claim, attempt.response, challenge=attempt.challenge, beacon=later
    )
