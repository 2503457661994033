"""Who supplies a pool, and a draw among them that weighs each by the units it has to sell.

The providers of a pool have places 0, 1, 2, ... without a gap. Over the places stands a binary tree
of sums, so that one draw and one change of a weight take as many steps as the tree has levels.

Invariant: each node of the tree is the sum of the two below; a place without a provider weighs 0.
"""

from primitives.crypto import Purpose, keyed_hash
from primitives.types import AccountId, Digest
from runtime.module import BoundMap
from runtime.pools.pricing import Units


class Roster:
    """Places and weights of all pools; ``places`` is the same for each, rounded to a power of 2."""

    def __init__(
        self,
        slots: BoundMap[tuple[int, int], AccountId | None],
        weights: BoundMap[tuple[int, int], int],
        places: int,
    ) -> None:
        self._slots, self._weights = slots, weights
        self._first_leaf = 1 << (places - 1).bit_length()

    def unsold(self, pool_id: int) -> Units:
        """Return how many units all providers of a pool have to sell."""
        return Units(self._weights[pool_id, 1])

    def weigh(self, pool_id: int, slot: int, units: Units) -> None:
        """Set what the provider at a place has to sell."""
        node = self._first_leaf + slot
        change = units - self._weights[pool_id, node]
        while change and node:
            self._weights[pool_id, node] += change
            node >>= 1

    def draw(self, pool_id: int, seed: Digest) -> AccountId:
        """Return a provider, each with a probability in proportion to what it has to sell.

        Something must be for sale. The remainder of 256 random bits is as good as uniform.
        """
        point = int.from_bytes(keyed_hash(Purpose.LEASE_DRAW, seed), "big")
        point %= self._weights[pool_id, 1]
        node = 1
        while node < self._first_leaf:
            node *= 2
            left = self._weights[pool_id, node]
            if point >= left:
                point, node = point - left, node + 1
        provider = self._slots[pool_id, node - self._first_leaf]
        assert provider is not None, "who has something to sell has a place"
        return provider

    def add(self, pool_id: int, slot: int, provider: AccountId) -> None:
        """Give a provider the first place that is free."""
        self._slots[pool_id, slot] = provider

    def remove(self, pool_id: int, slot: int, *, last: int) -> AccountId | None:
        """Free a place and return who moves there from the ``last`` one, if that is another."""
        self.weigh(pool_id, slot, Units(0))
        if slot == last:
            del self._slots[pool_id, slot]
            return None
        mover = self._slots[pool_id, last]
        self.weigh(pool_id, last, Units(0))
        self._slots[pool_id, slot] = mover
        del self._slots[pool_id, last]
        return mover

    def weighs(self, pool_id: int, weights: dict[int, Units]) -> bool:
        """Return whether the invariant holds of a pool whose places should weigh ``weights``."""
        expected: dict[int, int] = {}
        for slot, units in weights.items():
            node = self._first_leaf + slot
            while units and node:
                expected[node] = expected.get(node, 0) + units
                node >>= 1
        tree = {node: units for (pool, node), units in self._weights.items() if pool == pool_id}
        places = {slot for (pool, slot), _ in self._slots.items() if pool == pool_id}
        return tree == expected and places == set(weights)
