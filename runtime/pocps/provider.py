"""One provider's standing in one class, as of one epoch: a plain value and its arithmetic.

Invariants: ``fresh <= units``; what is live or proven never exceeds the units, nor what was worked
for and what is leased together; no operation makes or loses a base unit, each says how much left;
a slash takes the same share of what is leaving as of the bond, and afterwards no unit is left that
the bond does not cover.
"""

from dataclasses import dataclass, replace

from primitives.codec import AMOUNT, BOOL, DIGEST, U32, U64, listing, optional, struct
from primitives.types import Balance, Digest, Epoch
from runtime.pocps.ladder import DECLARED, MISSED_COMMITMENT, MISSED_RESPONSE, STEPS
from runtime.pocps.proof import PPB

CHUNKS_MAX = 32
"""Hard limit of bond chunks that leave; the chain spec may set a lower one."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bond that is leaving, and can be slashed until it has left."""

    amount: Balance
    since: Epoch


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a provider will answer for in the epoch."""

    units: int
    """Units that the root covers."""
    excused: int
    """Units that prove themselves by serving."""
    root: Digest


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Epochs without a proof that were announced ahead."""

    first: Epoch
    epochs: int

    @property
    def end(self) -> Epoch:
        """The first epoch after it."""
        return Epoch(self.first + self.epochs)


@dataclass(frozen=True, slots=True)
class Provider:
    """What a class knows of one account."""

    epoch: Epoch
    """Of which all that belongs to an epoch here speaks."""
    slot: int = 0
    """Its place in the class, while it has units."""
    units: int = 0
    fresh: int = 0
    """Those of the units that were registered in ``epoch``, and owe nothing in it."""
    bond: Balance = Balance(0)
    leaving: tuple[Chunk, ...] = ()
    """Oldest first, at most one an epoch."""
    live: int = 0
    """Units that were proven or served in the epoch before, and stand in this one."""
    worked: int = 0
    """Those of the live units that were proven by work."""
    proven: int = 0
    """Units that were proven or are served in this epoch, and stand in the next."""
    commitment: Commitment | None = None
    leased: int = 0
    excused: int = 0
    """Units that have been leased without a break since the epoch began."""
    is_engaged: bool = False
    """Whether a pool has a claim on the units."""
    strikes: tuple[Epoch, ...] = ()
    """Epochs of the last faults, as many entries as steps were climbed."""
    free_from: Epoch = Epoch(0)
    """The first epoch outside jail."""
    maintenance: Maintenance | None = None

    @property
    def due(self) -> int:
        """Units that owe a proof in ``epoch``."""
        return 0 if self.is_jailed else self.units - self.fresh

    @property
    def is_jailed(self) -> bool:
        return self.epoch < self.free_from

    @property
    def is_absent(self) -> bool:
        """Whether the epoch lies within declared maintenance."""
        spell = self.maintenance
        return spell is not None and spell.first <= self.epoch < spell.end

    @property
    def held(self) -> Balance:
        """All that is held: the bond and what is leaving."""
        return Balance(self.bond + sum(chunk.amount for chunk in self.leaving))

    @property
    def counted(self) -> int:
        """Units that were proven in this epoch by work: those that vote and are rewarded."""
        return min(self.proven, self.commitment.units) if self.commitment else 0

    @property
    def has_signed_on(self) -> bool:
        """Whether the provider, all of whose units were leased, has given its sign of life."""
        return self.commitment is not None and not self.commitment.units

    @property
    def shortfall(self) -> str:
        """What the provider owes for ``epoch`` if nothing more comes: a reason, or nothing."""
        if not self.due or self.proven or self.has_signed_on:
            return ""
        if self.is_absent:
            return DECLARED
        return MISSED_RESPONSE if self.commitment else MISSED_COMMITMENT

    def live_in(self, now: Epoch) -> int:
        """Return the units that stand in ``now``, this epoch or a later one."""
        return self.live if now == self.epoch else self.rolled(now).live

    def rolled(self, now: Epoch) -> "Provider":
        """Return the standing at the start of ``now``; faults are for the caller to judge."""
        if now == self.epoch:
            return self
        return replace(
            self,
            epoch=now,
            fresh=0,
            live=self.proven if now == self.epoch + 1 else 0,
            worked=self.counted if now == self.epoch + 1 else 0,
            proven=0,
            commitment=None,
            excused=self.leased,
        )

    def claimable(self) -> tuple[int, int]:
        """Return how many units a commitment may cover, at least and at most."""
        return max(0, self.due - self.excused), self.due

    def with_leased(self, units: int) -> "Provider":
        """Return the standing with another number of leased units.

        What stands because it is served, and not by work, stands no longer than it is served.
        """
        return replace(
            self,
            leased=units,
            excused=min(self.excused, units),
            live=min(self.live, self.worked + units),
            proven=min(self.proven, self.counted + units),
        )

    def registered(self, units: int, amount: Balance) -> "Provider":
        """Return the standing with more units, which owe nothing before the next epoch."""
        return replace(
            self,
            units=self.units + units,
            fresh=self.fresh + units,
            bond=Balance(self.bond + amount),
        )

    def deregistered(self, units: int, amount: Balance, chunks_max: int) -> "Provider":
        """Return the standing with fewer units, ``amount`` of whose bond leaves from now on.

        Units that were not due go first. Beyond ``chunks_max`` the newest chunk grows.
        """
        rest = self.units - units
        fresh = max(0, self.fresh - units)
        chunks = list(self.leaving)
        if amount and chunks and (chunks[-1].since == self.epoch or len(chunks) >= chunks_max):
            amount = Balance(amount + chunks.pop().amount)
        chunk = (Chunk(amount, self.epoch),) if amount else ()
        bond = Balance(self.held - sum(each.amount for each in (*chunks, *chunk)))
        return replace(
            self,
            units=rest,
            fresh=fresh,
            bond=bond,
            leaving=(*chunks, *chunk),
            live=min(self.live, rest - fresh),
            worked=min(self.worked, rest - fresh),
            proven=min(self.proven, rest - fresh),
        )

    def withdrawn(self, before: Epoch) -> tuple["Provider", Balance]:
        """Return the standing without what began to leave before an epoch, and how much it was."""
        kept = tuple(chunk for chunk in self.leaving if chunk.since >= before)
        amount = sum(chunk.amount for chunk in self.leaving if chunk.since < before)
        return replace(self, leaving=kept), Balance(amount)

    def slashed(self, fraction_ppb: int, bond_per_unit: Balance) -> tuple["Provider", Balance]:
        """Return the standing without a share of all that is held, and how much it was.

        Of each part, rounded down. Units that the rest does not cover are gone.
        """
        bond = Balance(self.bond - self.bond * fraction_ppb // PPB)
        chunks = tuple(
            Chunk(Balance(chunk.amount - chunk.amount * fraction_ppb // PPB), chunk.since)
            for chunk in self.leaving
        )
        rest = min(self.units, bond // bond_per_unit)
        changed = replace(
            self, bond=bond, leaving=tuple(chunk for chunk in chunks if chunk.amount), units=rest
        )
        return replace(changed, fresh=min(self.fresh, rest)), Balance(self.held - changed.held)

    def dropped(self) -> "Provider":
        """Return the standing with nothing live and nothing proven in this epoch."""
        return replace(self, live=0, worked=0, proven=0, commitment=None)


CHUNK = struct(Chunk, amount=AMOUNT, since=U64)
COMMITMENT = struct(Commitment, units=U64, excused=U64, root=DIGEST)
MAINTENANCE = struct(Maintenance, first=U64, epochs=U32)
PROVIDER = struct(
    Provider,
    epoch=U64,
    slot=U32,
    units=U64,
    fresh=U64,
    bond=AMOUNT,
    leaving=listing(CHUNK, CHUNKS_MAX),
    live=U64,
    worked=U64,
    proven=U64,
    commitment=optional(COMMITMENT),
    leased=U64,
    excused=U64,
    is_engaged=BOOL,
    strikes=listing(U64, STEPS),
    free_from=U64,
    maintenance=optional(MAINTENANCE),
)
