"""The proof kind ``forward_pass``: a leaf is the digest of some output rows of the network."""

from functools import lru_cache

from primitives.types import AccountId, Digest, Weight
from runtime.pocps.forward_pass import ForwardPassClass, Network, compute_leaves

NETWORKS_KEPT = 4
"""Networks a node keeps expanded: one per class and epoch."""
PRODUCTS_PER_NANOSECOND = 16
"""Multiplications of a verifier; a quarter of what one core was measured at in small batches."""
ROW_WEIGHT = 5_000
"""Upper estimate of what a row costs beside its multiplications, in nanoseconds."""
EXPANSION_WEIGHT = 15
"""Upper estimate of expanding one weight into fresh memory, in nanoseconds."""


@lru_cache(maxsize=NETWORKS_KEPT)
def open_network(resource: ForwardPassClass, challenge: Digest) -> Network:
    """Return the network of a class and an epoch; expanded once, since all providers share it."""
    return Network.expand(resource, challenge)


class ForwardPassWork:
    """Passing all rows of the staked units through the epoch's network."""

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
    def leaves_per_unit(self) -> int:
        return self.resource.leaves_per_unit

    @property
    def samples(self) -> int:
        return self.resource.samples

    @property
    def operations_per_unit(self) -> int:
        return self.resource.operations_per_unit

    @property
    def preparation_weight(self) -> Weight:
        return Weight(self.resource.weight_count * EXPANSION_WEIGHT)

    def prepare(self, challenge: Digest) -> None:
        """Expand the epoch's network."""
        open_network(self.resource, challenge)

    @property
    def leaf_weight(self) -> Weight:
        """Nanoseconds, less the expansion of the weights, which an epoch pays once per class."""
        products = self.resource.weight_count // PRODUCTS_PER_NANOSECOND
        return Weight(self.resource.rows_per_leaf * (products + ROW_WEIGHT))

    def compute_leaves(
        self, challenge: Digest, provider: AccountId, positions: tuple[int, ...]
    ) -> list[Digest]:
        """Return the provider's leaves at ``positions``."""
        network = open_network(self.resource, challenge)
        return compute_leaves(network, self.resource, challenge, provider, positions)
