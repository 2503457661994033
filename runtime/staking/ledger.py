"""One account's stake, and one validator's backing: plain values and their arithmetic.

Invariants: no operation makes or loses a base unit, each says how much left; a slash takes the
same share of what is still vesting as of the rest, rounded in favour of locking less.
"""

from dataclasses import dataclass, replace

from primitives.codec import ACCOUNT, AMOUNT, U32, U64, listing, struct
from primitives.types import AccountId, Balance, Epoch

CHUNKS_MAX = 32
"""Hard limit of unbonding chunks of an account; the chain spec may set a lower one."""
VESTING_EPOCHS_MAX = 64
NOMINATORS_MAX = 64
"""Hard limit of nominators of a validator: what bounds a slash and a payout."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Stake that is leaving."""

    amount: Balance
    since: Epoch
    """When it left; it backed the tables of that epoch and those before."""


@dataclass(frozen=True, slots=True)
class Tranche:
    """A reward that vests linearly."""

    amount: Balance
    until: Epoch
    """From this epoch on, nothing of it is locked."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that one account has at stake."""

    active: Balance = Balance(0)
    """Counts as bond."""
    chunks: tuple[Chunk, ...] = ()
    """Oldest first, at most one an epoch."""
    vesting: tuple[Tranche, ...] = ()
    """Rewards within ``active`` that cannot leave yet; oldest first, at most one an epoch."""

    @property
    def total(self) -> Balance:
        """What is held: the active stake and all that is leaving."""
        return Balance(self.active + sum(chunk.amount for chunk in self.chunks))

    def bonded(self, amount: Balance) -> "Ledger":
        """Return the ledger with ``amount`` more of active stake."""
        return replace(self, active=Balance(self.active + amount))

    def rewarded(self, amount: Balance, now: Epoch, vesting_epochs: int) -> "Ledger":
        """Return the ledger with a reward that vests over the next ``vesting_epochs``."""
        until = Epoch(now + vesting_epochs)
        kept = tuple(each for each in self.vesting if each.until > now)
        if kept and kept[-1].until == until:
            amount_until = Balance(kept[-1].amount + amount)
            kept = kept[:-1]
        else:
            amount_until = amount
        tranche = Tranche(amount_until, until)
        return replace(self.bonded(amount), vesting=(*kept, tranche) if amount_until else kept)

    def locked(self, now: Epoch, vesting_epochs: int) -> Balance:
        """Return how much of the active stake has not vested, rounded up."""
        locked = sum(
            -(-each.amount * max(0, each.until - now) // vesting_epochs) for each in self.vesting
        )
        return Balance(min(self.active, locked))

    def unbonded(self, amount: Balance, now: Epoch) -> "Ledger":
        """Return the ledger after ``amount`` of active stake began to leave."""
        chunks = self.chunks
        leaving = amount
        if chunks and chunks[-1].since == now:
            leaving = Balance(chunks[-1].amount + amount)
            chunks = chunks[:-1]
        return replace(
            self, active=Balance(self.active - amount), chunks=(*chunks, Chunk(leaving, now))
        )

    def withdrawn(self, before: Epoch) -> tuple["Ledger", Balance]:
        """Return the ledger without the chunks that left before an epoch, and their sum."""
        kept = tuple(chunk for chunk in self.chunks if chunk.since >= before)
        gone = sum(chunk.amount for chunk in self.chunks if chunk.since < before)
        return replace(self, chunks=kept), Balance(gone)

    def slashed(self, owed: Balance, since: Epoch) -> tuple["Ledger", Balance]:
        """Return the ledger after a slash, and what was taken: ``owed``, or all there is.

        The active stake pays first, then what left in ``since`` or later, latest first: what had
        left before did not back the offence.
        """
        active = Balance(max(0, self.active - owed))
        left = owed - (self.active - active)
        chunks: list[Chunk] = []
        for chunk in reversed(self.chunks):
            taken = min(chunk.amount, left) if chunk.since >= since else 0
            left -= taken
            if chunk.amount > taken:
                chunks.append(replace(chunk, amount=Balance(chunk.amount - taken)))
        scaled = ((each, each.amount * active // self.active) for each in self.vesting if active)
        vesting = tuple(replace(each, amount=Balance(n)) for each, n in scaled if n)
        return Ledger(active, tuple(reversed(chunks)), vesting), Balance(owed - left)


LEDGER = struct(
    Ledger,
    active=AMOUNT,
    chunks=listing(struct(Chunk, amount=AMOUNT, since=U64), CHUNKS_MAX),
    vesting=listing(struct(Tranche, amount=AMOUNT, until=U64), VESTING_EPOCHS_MAX),
)


@dataclass(frozen=True, slots=True)
class Backer:
    """A nominator's active stake behind one validator."""

    account: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class Backing:
    """What stands behind one validator, and what it keeps of its backers' rewards."""

    own: Balance = Balance(0)
    commission_ppb: int = 0
    """Of what the nominators earn, in parts per billion."""
    backers: tuple[Backer, ...] = ()
    """In the order of their account ids."""

    @property
    def total(self) -> int:
        """The whole stake."""
        return self.own + sum(backer.amount for backer in self.backers)

    def shares(self, validator: AccountId) -> tuple[Backer, ...]:
        """Return everybody with their stake, the validator first."""
        return (Backer(validator, self.own), *self.backers)

    def with_backer(self, account: AccountId, amount: Balance) -> "Backing":
        """Return the backing in which ``account`` stands with ``amount``; 0 removes it."""
        others = [backer for backer in self.backers if backer.account != account]
        if amount:
            others.append(Backer(account, amount))
        return replace(self, backers=tuple(sorted(others, key=lambda backer: backer.account)))


BACKING = struct(
    Backing,
    own=AMOUNT,
    commission_ppb=U32,
    backers=listing(struct(Backer, account=ACCOUNT, amount=AMOUNT), NOMINATORS_MAX),
)
