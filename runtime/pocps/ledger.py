"""Who proved how much in which epoch: what power tables and rewards are made of.

Invariants: every account and every total has one record per slot of a ring that is as long as
epochs are asked about, so nothing has to be forgotten and nothing grows; the operations of all
accounts in an epoch add up to its total.

A newcomer's reward ramps up. The ramp belongs to the operations, not to the name: whoever proves
more than before moves its start forward in proportion, so that an old name is worth nothing to new
hardware. A declared absence moves it by its own length; any other break begins it anew.
"""

from dataclasses import dataclass, replace

from primitives.codec import U64, struct
from primitives.types import AccountId, Epoch, Operations
from runtime.module import BoundMap


@dataclass(frozen=True, slots=True)
class EpochProof:
    """What one account, or all together, proved in an epoch."""

    epoch: Epoch = Epoch(0)
    operations: Operations = Operations(0)
    since: Epoch = Epoch(0)
    """Where the ramp starts."""
    ramped: Operations = Operations(0)
    """The operations of which ``since`` speaks: these, or those before an absence."""


@dataclass(frozen=True, slots=True)
class UnitProof:
    """Units of one class that an account, or all together, proved in an epoch."""

    epoch: Epoch = Epoch(0)
    units: int = 0


UNIT_PROOF = struct(UnitProof, epoch=U64, units=U64)
NO_UNITS = UnitProof()
EPOCH_PROOF = struct(EpochProof, epoch=U64, operations=U64, since=U64, ramped=U64)
NO_PROOF = EpochProof()


class ProofLedger:
    """The records of proven operations; the module that owns the storage lends it."""

    def __init__(
        self,
        accounts: BoundMap[tuple[AccountId, int], EpochProof],
        totals: BoundMap[int, EpochProof],
        epochs_kept: int,
    ) -> None:
        """``epochs_kept`` epochs, the present one among them, can be asked about; at least 2."""
        self._accounts, self._totals, self._size = accounts, totals, epochs_kept

    def of(self, account: AccountId, epoch: Epoch) -> EpochProof | None:
        """Return what ``account`` proved in ``epoch``, if it is on record."""
        found = self._accounts[account, epoch % self._size]
        return found if found.epoch == epoch and found.ramped else None

    def operations(self, account: AccountId, epoch: Epoch) -> Operations:
        """Return the operations that ``account`` proved in ``epoch``."""
        found = self.of(account, epoch)
        return found.operations if found else Operations(0)

    def total(self, epoch: Epoch) -> Operations:
        """Return the operations that all accounts proved in ``epoch``."""
        found = self._totals[epoch % self._size]
        return found.operations if found.epoch == epoch else Operations(0)

    def since(self, account: AccountId, epoch: Epoch) -> Epoch:
        """Return where the ramp of what ``account`` proved in ``epoch`` starts."""
        found = self.of(account, epoch)
        return found.since if found else epoch

    def add(self, account: AccountId, epoch: Epoch, operations: int) -> None:
        """Count operations, which may be negative, as proven in ``epoch``."""
        slot = epoch % self._size
        whole = Operations(self.operations(account, epoch) + operations)
        before = self.of(account, Epoch(epoch - 1)) if epoch else None
        record = EpochProof(epoch, whole, ramp_start(before, epoch, whole), whole)
        self._accounts[account, slot] = record
        total = Operations(self.total(epoch) + operations)
        self._totals[slot] = EpochProof(epoch, total)

    def pause(self, account: AccountId, epoch: Epoch) -> None:
        """Let a declared absence in ``epoch`` move the ramp on instead of breaking it."""
        before = self.of(account, Epoch(epoch - 1)) if epoch else None
        if before is not None and self.of(account, epoch) is None:
            moved = replace(
                before, epoch=epoch, operations=Operations(0), since=Epoch(before.since + 1)
            )
            self._accounts[account, epoch % self._size] = moved


class UnitLedger:
    """The same by class and in units, for rewards that weigh classes by their price."""

    def __init__(
        self,
        accounts: BoundMap[tuple[tuple[int, AccountId], int], UnitProof],
        totals: BoundMap[tuple[int, int], UnitProof],
        epochs_kept: int,
    ) -> None:
        self._accounts, self._totals, self._size = accounts, totals, epochs_kept

    def of(self, class_id: int, account: AccountId, epoch: Epoch) -> int:
        """Return the units of a class that ``account`` proved in ``epoch``."""
        found = self._accounts[(class_id, account), epoch % self._size]
        return found.units if found.epoch == epoch else 0

    def total(self, class_id: int, epoch: Epoch) -> int:
        """Return the units of a class that all accounts proved in ``epoch``."""
        found = self._totals[class_id, epoch % self._size]
        return found.units if found.epoch == epoch else 0

    def add(self, class_id: int, account: AccountId, epoch: Epoch, units: int) -> None:
        """Count units, which may be negative, as proven in ``epoch``."""
        slot = epoch % self._size
        own = UnitProof(epoch, self.of(class_id, account, epoch) + units)
        self._accounts[(class_id, account), slot] = own
        self._totals[class_id, slot] = UnitProof(epoch, self.total(class_id, epoch) + units)


def ramp_start(before: EpochProof | None, epoch: Epoch, operations: Operations) -> Epoch:
    """Return where the ramp of ``operations`` in ``epoch`` starts, rounded to be later."""
    if before is None:
        return epoch
    if operations <= before.ramped:
        return before.since
    old, new = before.since * before.ramped, epoch * (operations - before.ramped)
    return Epoch(-(-(old + new) // operations))
