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
honesty with the same work is worth ``(1 - f) * r``. So cheating loses money, for this ``f``, exactly
when

    p(f) * (r + s) > f * r

``p`` is concave with ``p(0) = 0``, so ``f / p(f)`` is largest at ``f = 1``, and the inequality holds
for every ``f > 0`` when ``s > r * g**k / (1 - g**k)``. ``slash_floor`` asks for the stronger
``s >= r / (k * (1 - g))``, which still holds when a fake is only as dear as the work it saves.

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
        """Upper estimate of what ``verify`` costs a node for one claim."""

    def count_leaves(self, units: int) -> int:
        """Return how many leaves so many units have.

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


class LeafComputer(Protocol):
    """What ``verify_by_recomputing`` needs of a kind whose leaves any node can compute."""

    @property
    def class_id(self) -> int: ...

    @property
    def samples(self) -> int: ...

    def count_leaves(self, units: int) -> int: ...

    def compute_leaves(
        self, challenge: Digest, provider: AccountId, positions: tuple[int, ...]
    ) -> Sequence[Digest]: ...


def derive_challenge(beacon: Digest) -> Digest:
    """Return the challenge that every class and every provider meets in one epoch."""
    return keyed_hash(Purpose.POCPS_CHALLENGE, beacon)


def count_leaves(units: int, *, units_max: int, leaves_per_unit: int) -> int:
    """Return the leaves of ``units``.

    Raises: UnitsOutOfRange.
    """
    if not 1 <= units <= units_max:
        raise UnitsOutOfRange(units, units_max)
    return units * leaves_per_unit


def draw_positions(kind: LeafComputer, claim: Claim, beacon: Digest) -> tuple[int, ...]:
    """Return the sampled leaf positions, sorted, each once.

    ``kind.samples`` positions are drawn with repetition; the beacon is younger than the claim, and
    the root is part of the seed, so nobody can choose leaves for the positions or the reverse.
    Raises: UnitsOutOfRange.
    """
    size = kind.count_leaves(claim.units)
    seed = beacon + kind.class_id.to_bytes(4) + claim.provider + claim.root
    stream = expand(Purpose.POCPS_SAMPLE, seed, POSITION_BYTES * kind.samples)
    drawn = {
        int.from_bytes(stream[start : start + POSITION_BYTES]) % size
        for start in range(0, len(stream), POSITION_BYTES)
    }
    return tuple(sorted(drawn))


def siblings_max(kind: LeafComputer, units: int) -> int:
    """Return a number of digests that no valid response for so many units exceeds.

    Raises: UnitsOutOfRange.
    """
    return kind.samples * (kind.count_leaves(units) - 1).bit_length()


def verify_by_recomputing(
    kind: LeafComputer, claim: Claim, response: Response, *, challenge: Digest, beacon: Digest
) -> None:
    """Compute the sampled leaves again and refuse unless they stand under the committed root.

    Cheap refusals come first: nobody makes a node compute leaves for a response of a wrong size.
    Raises: UnitsOutOfRange, WrongSiblingCount, RootMismatch.
    """
    positions = draw_positions(kind, claim, beacon)
    size = kind.count_leaves(claim.units)
    needed = siblings_needed(size, positions)
    if len(response) != needed:
        raise WrongSiblingCount(len(response), needed)
    leaves = kind.compute_leaves(challenge, claim.provider, positions)
    try:
        verify_leaves(claim.root, dict(zip(positions, leaves, strict=True)), response, size=size)
    except InvalidMerkleProof as refusal:
        raise RootMismatch(claim.root.hex()) from refusal


def detection_ppb(skipped_ppb: int, samples: int) -> int:
    """Return the chance that ``samples`` draws find a fraction of skipped leaves, rounded down."""
    missed = (PPB - skipped_ppb) ** samples
    return PPB - -(-missed * PPB // PPB**samples)


def slash_floor(reward: Balance, samples: int, *, guess_ppb: int = 0) -> Balance:
    """Return the smallest slash per unit under which faking loses in every period, rounded up.

    ``reward`` is a unit's per period; ``guess_ppb`` the chance that a fake passes one sample.
    """
    assert 0 <= guess_ppb < PPB, "a kind whose every fake passes proves nothing"
    return Balance(-(-reward * PPB // (samples * (PPB - guess_ppb))))
