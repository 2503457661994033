"""What happens to a pool when a provider's proven units change, and to whom a slash goes.

Invariant: of a slash, what clients get and what is burned add up to it; no client gets more than
it lost.
"""

from primitives.types import AccountId, Balance
from runtime.pools import events
from runtime.pools.desk import Desk
from runtime.pools.leases import Leases, Loss
from runtime.pools.pricing import Units
from runtime.pools.providers import UnitsChange
from runtime.pools.supply import Supply


class Faults:
    """Takes in what the proofs say of the providers of pools."""

    def __init__(self, desk: Desk, supply: Supply, leases: Leases) -> None:
        self.desk, self.supply, self.leases = desk, supply, leases

    def take(self, change: UnitsChange) -> None:
        """Let a provider's units be what it has proven; leases that they no longer bear move on."""
        pool_id = self.desk.tables.engaged[change.class_id, change.provider]
        losses: list[Loss] = []
        if pool_id is not None:
            losses = self._resize(pool_id, change)
        self.compensate(change.provider, change.slashed, losses)

    def compensate(self, provider: AccountId, slashed: Balance, losses: list[Loss]) -> None:
        """Pay losses out of what a provider was slashed, in proportion, and burn the rest."""
        tokens, reason = self.desk.services.tokens, self.desk.services.slash_hold
        lost, left = sum(loss.amount for loss in losses), slashed
        for loss in losses:
            amount = Balance(loss.amount * min(slashed, lost) // lost) if lost else Balance(0)
            if amount:
                tokens.move_held(provider, reason, recipient=loss.client, amount=amount)
                left = Balance(left - amount)
                self.desk.emit(events.Compensated(loss.lease_id, provider, loss.client, amount))
        if left:
            tokens.burn_held(provider, reason, left)

    def _resize(self, pool_id: int, change: UnitsChange) -> list[Loss]:
        """Set a member's units; the leases it served last lose their shares first."""
        losses: list[Loss] = []
        member = self.desk.member(pool_id, change.provider)
        # What is live now, not what was when the news was put into the queue.
        live = self.desk.services.providers.proven_units(change.class_id, change.provider)
        before, units = member.units, self.supply.capped(pool_id, member, live)
        while member.leased > units:
            lease_id = member.served[-1]
            reason = change.reason or "units gone"
            losses.append(self.leases.fail(lease_id, change.provider, reason, may_move=True))
            member = self.desk.member(pool_id, change.provider)
        self.supply.resize(pool_id, change.provider, member, Units(units))
        if units != before:
            changed = events.UnitsChanged(pool_id, change.provider, Units(units), change.reason)
            self.desk.emit(changed)
        return losses
