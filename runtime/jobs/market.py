"""The market and the proofs of computing power, as disputes reach into them."""

from primitives.types import AccountId, Balance
from runtime.jobs.surroundings import Served
from runtime.pocps.module import Pocps
from runtime.pocps.records import NotRegistered
from runtime.pools.module import Pools


class Market:
    """Leases of the pools, bonds of the providers."""

    def __init__(self, pools: Pools, pocps: Pocps) -> None:
        self._pools, self._pocps = pools, pocps

    def served(self, lease_id: int, provider: AccountId) -> Served | None:
        """Return the lease of which ``provider`` serves a share, or did until lately; or None."""
        lease = self._pools.lease(lease_id)
        if lease is None or lease.share_of(provider) is None:
            past = self._pools.past_share(lease_id, provider)
            return None if past is None else Served(past.client, past.class_id)
        pool = self._pools.pools[lease.pool_id]
        assert pool is not None, "a pool with a lease is not closed"
        return Served(lease.client, pool.class_id)

    def fail_share(
        self, lease_id: int, provider: AccountId, reason: str, *, slashed: Balance
    ) -> None:
        """End the provider's share of the lease by its fault."""
        self._pools.fail_share(lease_id, provider, reason, slashed=slashed)

    def punish(
        self, class_id: int, provider: AccountId, reason: str, *, fraction_ppb: int
    ) -> Balance:
        """Slash the provider's bond, if any of it is left; return how much was taken."""
        try:
            return self._pocps.punish(class_id, provider, reason, fraction_ppb=fraction_ppb)
        except NotRegistered:
            return Balance(0)
