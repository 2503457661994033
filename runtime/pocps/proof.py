"""What a proof of a resource is: challenge, commit, sample, respond, verify; each a pure function.

A provider computes many leaves and commits to all of them by one Merkle root. Only after the last
block in which it could commit does the beacon draw ``samples`` positions; the provider answers with
the Merkle siblings of these leaves and nothing else, because the verifier recomputes the leaves
themselves. A class of resources names its kind of proof, and whoever keeps the score (bonds,
faults, rewards) sees nothing but ``ProofKind``.

Detection. A provider that left out a fraction ``f`` of its leaves, and passes a leaf it did not
compute with chance ``g``, is caught with probability ``p(f) = 1 - (1 - f * (1 - g))**k`` for ``k``
samples. Positions are drawn with repetition, so this is exact. (For both kinds here ``g`` is the
chance of guessing a 256-bit digest: zero for every purpose.)

Slash. Let ``r`` be the reward of a unit per period and ``s`` the slash of a unit for a wrong proof,
which also forfeits the reward. Faking ``f`` of the units is worth ``(1 - p) * r - p * s`` where
honesty with the same work is worth ``(1 - f) * r``. So cheating with this ``f`` loses money exactly
when

    p(f) * (r + s) > f * r

``p`` is concave with ``p(0) = 0``, so ``f / p(f)`` is largest at ``f = 1``, and the inequality is
true for every ``f > 0`` as soon as ``s > r * g**k / (1 - g**k)``. ``slash_floor`` asks for
``s >= r / (k * (1 - g))``, which is never below that bound.

Source: docs/pocps.md, "The argument".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from primitives.crypto import Purpose, expand, keyed_hash
from primitives.errors import DispatchError
from primitives.merkle import InvalidMerkleProof, MerkleTree, siblings_needed, verify_leaves
from primitives.types import AccountId, Balance, Digest, Weight

PPB = 10**9
"""Fractions are in parts per billion."""
POSITION_BYTES = 16
"""Bytes of the beacon's stream per position: the remainder's bias is below 2**-100."""

CALL_WEIGHT = Weight(200_000)
"""Upper estimate of what ``verify`` costs beside leaves and siblings, in nanoseconds."""
SIBLING_WEIGHT = Weight(6_000)
"""Upper estimate of one level of one sampled path, in nanoseconds."""

Response = Sequence[Digest]
"""Merkle siblings, in the order of ``MerkleTree.prove``."""


class InvalidProof(DispatchError):
    """The response does not prove the claim; the class of the error is the reason on record."""


class UnitsOutOfRange(InvalidProof):
    """The claim is of no unit, or of more than the class lets one provider stake."""


class WrongSiblingCount(InvalidProof):
    """The response has not the number of siblings that the drawn positions need: resend it."""


class RootMismatch(InvalidProof):
    """The sampled leaves, computed again, do not stand under the root that was committed."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a provider committed itself to: so many units of the class, proven under this root."""

    provider: AccountId
    units: int
    root: Digest


class ProofKind(Protocol):
    """One way to prove one class of resources; stateless, the same on every machine."""

    @property
    def name(self) -> str:
        """The kind as the chain spec and RPC write it."""

    @property
    def class_id(self) -> int: ...

    @property
    def units_max(self) -> int:
        """Units that one provider may stake in this class."""

    @property
    def samples(self) -> int: ...

    @property
    def operations_per_unit(self) -> int:
        """What a proven unit counts for in the power table."""

    @property
    def verification_weight(self) -> Weight:
        """Upper estimate of what ``verify`` costs a node for one claim, in nanoseconds."""

    def count_leaves(self, units: int) -> int:
        """Return how many leaves so many units have.

        Raises: UnitsOutOfRange.
        """

    @property
    def preparation_weight(self) -> Weight:
        """Upper estimate of what ``prepare`` costs a node once per epoch, in nanoseconds."""

    def prepare(self, challenge: Digest) -> None:
        """Compute what all verifications under a challenge share; else the first one pays for it.

        A node calls it off its event loop as soon as the challenge is known. It changes no result.
        """

    def siblings_max(self, units: int) -> int:
        """Return a number of digests that no valid response for so many units exceeds.

        Raises: UnitsOutOfRange.
        """

    def challenge(self, beacon: Digest) -> Digest:
        """Return the epoch's challenge from the beacon at the epoch's start."""

    def commit(self, leaves: Sequence[bytes]) -> MerkleTree:
        """Return the tree over all leaves of all claimed units; its root goes into the claim."""

    def sample(self, claim: Claim, beacon: Digest) -> tuple[int, ...]:
        """Return the leaf positions that a beacon from after the commit deadline draws.

        Raises: UnitsOutOfRange.
        """

    def respond(self, tree: MerkleTree, positions: Sequence[int]) -> Response:
        """Return what proves the leaves at ``positions``."""

    def verify(
        self, claim: Claim, response: Response, *, challenge: Digest, beacon: Digest
    ) -> None:
        """Refuse the response unless it proves the claim.

        Raises: InvalidProof, one of its subclasses.
        """


class Work(Protocol):
    """A resource whose leaves any node can compute; ``SampledProof`` makes a proof kind of it."""

    @property
    def name(self) -> str: ...

    @property
    def class_id(self) -> int: ...

    @property
    def units_max(self) -> int: ...

    @property
    def leaves_per_unit(self) -> int: ...

    @property
    def samples(self) -> int: ...

    @property
    def operations_per_unit(self) -> int: ...

    @property
    def leaf_weight(self) -> Weight:
        """Upper estimate of what computing one leaf costs a node."""

    @property
    def preparation_weight(self) -> Weight: ...

    def prepare(self, challenge: Digest) -> None: ...

    def compute_leaves(
        self, challenge: Digest, provider: AccountId, positions: tuple[int, ...]
    ) -> Sequence[Digest]:
        """Return the provider's leaves at the sorted ``positions``."""


class SampledProof:
    """The proof kind of any ``Work``: commit to all leaves, recompute the few that are drawn."""

    __slots__ = ("work",)

    def __init__(self, work: Work) -> None:
        self.work = work

    @property
    def name(self) -> str:
        return self.work.name

    @property
    def class_id(self) -> int:
        return self.work.class_id

    @property
    def units_max(self) -> int:
        return self.work.units_max

    @property
    def samples(self) -> int:
        return self.work.samples

    @property
    def operations_per_unit(self) -> int:
        return self.work.operations_per_unit

    @property
    def verification_weight(self) -> Weight:
        return Weight(
            CALL_WEIGHT
            + self.samples * self.work.leaf_weight
            + self.siblings_max(self.units_max) * SIBLING_WEIGHT
        )

    @property
    def preparation_weight(self) -> Weight:
        return self.work.preparation_weight

    def prepare(self, challenge: Digest) -> None:
        """Compute what all verifications under ``challenge`` share."""
        self.work.prepare(challenge)

    def count_leaves(self, units: int) -> int:
        """Return how many leaves so many units have.

        Raises: UnitsOutOfRange.
        """
        if not 1 <= units <= self.units_max:
            raise UnitsOutOfRange(units, self.units_max)
        return units * self.work.leaves_per_unit

    def siblings_max(self, units: int) -> int:
        """Return a number of digests that no valid response for so many units exceeds.

        Raises: UnitsOutOfRange.
        """
        return self.samples * (self.count_leaves(units) - 1).bit_length()

    def challenge(self, beacon: Digest) -> Digest:
        """Return the epoch's challenge, which all classes and all providers share."""
        return keyed_hash(Purpose.POCPS_CHALLENGE, beacon)

    def commit(self, leaves: Sequence[bytes]) -> MerkleTree:
        """Return the tree over all leaves of all claimed units."""
        return MerkleTree(leaves)

    def sample(self, claim: Claim, beacon: Digest) -> tuple[int, ...]:
        """Return the drawn leaf positions, sorted, each once though drawn with repetition.

        The beacon is younger than the claim and the root is part of the seed: nobody can choose
        leaves for the positions, or positions for the leaves.
        Raises: UnitsOutOfRange.
        """
        size = self.count_leaves(claim.units)
        seed = beacon + self.class_id.to_bytes(4) + claim.provider + claim.root
        stream = expand(Purpose.POCPS_SAMPLE, seed, POSITION_BYTES * self.samples)
        drawn = {
            int.from_bytes(stream[start : start + POSITION_BYTES]) % size
            for start in range(0, len(stream), POSITION_BYTES)
        }
        return tuple(sorted(drawn))

    def respond(self, tree: MerkleTree, positions: Sequence[int]) -> Response:
        """Return the Merkle siblings of the leaves at ``positions``."""
        return tree.prove(*positions)

    def verify(
        self, claim: Claim, response: Response, *, challenge: Digest, beacon: Digest
    ) -> None:
        """Refuse the response unless the sampled leaves, computed again, stand under the root.

        Cheap refusals come first: no response of a wrong size makes a node compute leaves.
        Raises: UnitsOutOfRange, WrongSiblingCount, RootMismatch.
        """
        positions = self.sample(claim, beacon)
        size = self.count_leaves(claim.units)
        needed = siblings_needed(size, positions)
        if len(response) != needed:
            raise WrongSiblingCount(len(response), needed)
        leaves = self.work.compute_leaves(challenge, claim.provider, positions)
        try:
            verify_leaves(
                claim.root, dict(zip(positions, leaves, strict=True)), response, size=size
            )
        except InvalidMerkleProof as refusal:
            raise RootMismatch(claim.root.hex()) from refusal


def detection_ppb(skipped_ppb: int, samples: int) -> int:
    """Return the chance that ``samples`` draws find a fraction of skipped leaves, rounded down."""
    everything: int = PPB**samples
    missed: int = (PPB - skipped_ppb) ** samples
    return (everything - missed) * PPB // everything


def slash_floor(reward: Balance, samples: int, *, guess_ppb: int = 0) -> Balance:
    """Return the slash per unit from which on faking loses in every period, rounded up.

    ``reward`` is a unit's per period; ``guess_ppb`` the chance that a fake passes one sample.
    """
    assert 0 <= guess_ppb < PPB, "a kind whose every fake passes proves nothing"
    return Balance(-(-reward * PPB // (samples * (PPB - guess_ppb))))
