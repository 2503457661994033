"""The proof kind ``forward_pass``: leaves are digests of the output rows of the network."""

from collections.abc import Sequence
from functools import lru_cache

from primitives.merkle import MerkleTree
from primitives.types import AccountId, Digest, Weight
from runtime.pocps.forward_pass import ForwardPassClass, Network
from runtime.pocps.proof import (
    Claim,
    Response,
    count_leaves,
    derive_challenge,
    draw_positions,
    verify_by_recomputing,
)

NETWORKS_KEPT = 4
"""Networks a node keeps expanded; an epoch has one per class, and one class has one per epoch."""
PRODUCTS_PER_NANOSECOND = 16
"""Multiplications of a verifier's core; a third of what the reference machine was measured at."""
CALL_NANOSECONDS = 200_000
ROW_NANOSECONDS = 4_000
HASH_NANOSECONDS = 2_000


@lru_cache(maxsize=NETWORKS_KEPT)
def open_network(resource: ForwardPassClass, challenge: Digest) -> Network:
    """Return the network of a class and an epoch; expanded once, since all providers share it."""
    return Network(resource, challenge)


class ForwardPassProof:
    """Proves that a provider passed all rows of its units through the epoch's network."""

    __slots__ = ("resource",)

    name = "forward_pass"

    def __init__(self, resource: ForwardPassClass) -> None:
        self.resource = resource

    @property
    def class_id(self) -> int:
        return self.resource.class_id

    @property
    def units_max(self) -> int:
        return self.resource.units_max

    @property
    def samples(self) -> int:
        return self.resource.samples

    @property
    def operations_per_unit(self) -> int:
        return self.resource.operations_per_unit

    @property
    def verification_weight(self) -> Weight:
        """Nanoseconds, less the expansion of the weights, which an epoch pays once per class."""
        rows = self.samples * self.resource.rows_per_leaf
        products = rows * self.resource.weight_count
        depth = (self.units_max * self.resource.leaves_per_unit).bit_length()
        return Weight(
            CALL_NANOSECONDS
            + products // PRODUCTS_PER_NANOSECOND
            + rows * ROW_NANOSECONDS
            + self.samples * depth * HASH_NANOSECONDS
        )

    def count_leaves(self, units: int) -> int:
        """Return how many leaves so many units have.

        Raises: UnitsOutOfRange.
        """
        resource = self.resource
        return count_leaves(
            units, units_max=resource.units_max, leaves_per_unit=resource.leaves_per_unit
        )

    def compute_leaves(
        self, challenge: Digest, provider: AccountId, positions: tuple[int, ...]
    ) -> list[Digest]:
        """Return the provider's leaves at ``positions``."""
        network = open_network(self.resource, challenge)
        return network.compute_leaves(challenge, provider, positions)

    def challenge(self, beacon: Digest) -> Digest:
        """Return the epoch's challenge from the beacon at the epoch's start."""
        return derive_challenge(beacon)

    def commit(self, leaves: Sequence[bytes]) -> MerkleTree:
        """Return the tree over the leaves of all claimed units."""
        return MerkleTree(leaves)

    def sample(self, claim: Claim, beacon: Digest) -> tuple[int, ...]:
        """Return the drawn leaf positions.

        Raises: UnitsOutOfRange.
        """
        return draw_positions(self, claim, beacon)

    def respond(self, tree: MerkleTree, positions: Sequence[int]) -> Response:
        """Return the siblings of the leaves at ``positions``."""
        return tree.prove(*positions)

    def verify(
        self, claim: Claim, response: Response, *, challenge: Digest, beacon: Digest
    ) -> None:
        """Refuse the response unless the sampled rows, passed again, stand under the root.

        Raises: UnitsOutOfRange, WrongSiblingCount, RootMismatch.
        """
        verify_by_recomputing(self, claim, response, challenge=challenge, beacon=beacon)
