"""PoCPS: who has proven how much of which resource, epoch by epoch.

An epoch's challenge is its randomness. Until the commit deadline a provider commits to the leaves
of all its units; the beacon of the sample block draws the leaves; until the respond deadline it
answers, and the answer is verified while the block executes, in exact arithmetic. Units that were
proven in an epoch are *live* in the next one: they can be leased, and they earn. What was owed and
not given is settled in the first blocks of the next epoch, a few providers a block.

A wrong proof is paid for: the extrinsic that carries it succeeds in slashing its signer. A response
with a wrong number of digests only fails, and may be sent again within the window.

When faking loses. A unit earns at most ``r`` an epoch (``reward_max``: what rewards would pay
beyond it is not paid), the bond of a unit is ``b``, ``s`` is the
share of it that a wrong proof takes, ``k`` the samples, ``f`` the fraction of leaves that were left
out, and ``p(f) = 1 - (1 - f)**k`` the chance that one of them is drawn. Then

* who answers anyway gains at most ``f * r`` and loses ``p(f) * (r + s * b)``. Genesis and
  ``create_class`` refuse a class unless ``s * b >= r / k``, with which this loses for every f > 0;
* who sees that it would fail and stays silent loses ``p(f) * r``, which is at least ``f * r``, and
  climbs the ladder: it misses more often than an honest one, and with f = 1 in every epoch.

Invariants: what an account has on hold for PoCPS is its bonds plus what leaves of them, and
every registered unit is covered; live and proven units of a class add up to its tally, operations
to the epoch's total; slashed = in ``SLASH_HOLD`` for whoever takes the change + burned, and never
more than was held; every provider with units has one place, and places have no gaps; the
responses of all places together fit into the response window.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from primitives.codec import ACCOUNT, DIGEST, U32, U64, listing, optional, pair, struct
from primitives.types import (
    GENESIS_EPOCH,
    UINT64_MAX,
    AccountId,
    Balance,
    Digest,
    Epoch,
    Operations,
    Signer,
    Weight,
)
from runtime.module import Context, Module, StorageMap, StorageValue, call
from runtime.pocps import records
from runtime.pocps.changes import QUEUE_ENDS, UNITS_CHANGE, ChangeQueue, QueueEnds
from runtime.pocps.classes import (
    CLASSES_MAX,
    RESOURCE_CLASS,
    ClassId,
    Preparation,
    ResourceClass,
    kind_of,
    response_weight,
    validate_class,
    validate_together,
)
from runtime.pocps.ladder import DECLARED, FAULTS, INVALID_PROOF, Reason
from runtime.pocps.ledger import (
    EPOCH_PROOF,
    NO_PROOF,
    NO_UNITS,
    UNIT_PROOF,
    ProofLedger,
    UnitLedger,
)
from runtime.pocps.proof import Claim, InvalidProof, WrongSiblingCount
from runtime.pocps.provider import CHUNKS_MAX, PROVIDER, Commitment, Maintenance, Provider
from runtime.pocps.records import Config, Penalty, UnitCount, UnitsChange
from runtime.pocps.room import Room, Terms
from runtime.pocps.standings import HOLD, Charge, Key, Standings, Storage
from runtime.pocps.surroundings import Chain, Tokens
from runtime.pocps.tally import SWEEP, TALLY, Sweep, Tally
from runtime.pools.pricing import Units
from runtime.power import ComputeGrant, GenesisCompute

DIGESTS_MAX = 1 << 12
"""Digests that a response can carry; a class allows fewer."""

Record = Annotated[ResourceClass, RESOURCE_CLASS]
Digests = Annotated[tuple[Digest, ...], listing(DIGEST, DIGESTS_MAX)]
EpochCount = Annotated[int, U32]


@dataclass(frozen=True, slots=True)
class Drawing:
    """The beacon that draws the positions of an epoch."""

    epoch: Epoch
    beacon: Digest


DRAWING = struct(Drawing, epoch=U64, beacon=DIGEST)


class Pocps(Module):
    """Resource classes, their providers, and what these have proven."""

    name = "pocps"
    index = 11
    events = records.EVENTS
    errors = records.ERRORS

    class_ids = StorageValue(listing(U32, CLASSES_MAX), default=())
    """In the order in which they were made."""
    classes = StorageMap(U32, optional(RESOURCE_CLASS), default=None)
    tallies = StorageMap(U32, TALLY, default=Tally())
    providers = StorageMap(pair(U32, ACCOUNT), optional(PROVIDER), default=None)
    places = StorageMap(pair(U32, U32), optional(ACCOUNT), default=None)
    """Who has which slot of a class."""
    reserved = StorageValue(U64, default=0)
    """Block space, as weight, that the responses of all places may take in an epoch."""
    faults = StorageMap(pair(U32, ACCOUNT), FAULTS, default=())
    """Newest last."""
    drawing = StorageValue(optional(DRAWING), default=None)
    sweep = StorageValue(SWEEP, default=Sweep())
    proofs = StorageMap(pair(ACCOUNT, U32), EPOCH_PROOF, default=NO_PROOF)
    """What an account proved, by epoch modulo the epochs that are kept."""
    proof_totals = StorageMap(U32, EPOCH_PROOF, default=NO_PROOF)
    unit_proofs = StorageMap(pair(pair(U32, ACCOUNT), U32), UNIT_PROOF, default=NO_UNITS)
    """The same in units of a class."""
    unit_totals = StorageMap(pair(U32, U32), UNIT_PROOF, default=NO_UNITS)
    change_ends = StorageValue(QUEUE_ENDS, default=QueueEnds())
    changes = StorageMap(U64, optional(UNITS_CHANGE), default=None)
    change_places = StorageMap(pair(U32, ACCOUNT), U64, default=0)

    def __init__(
        self,
        context: Context,
        config: Config,
        *,
        tokens: Tokens,
        chain: Chain,
        terms: Terms,
        grants: Iterable[ComputeGrant],
    ) -> None:
        super().__init__(context)
        self.config, self.tokens, self.chain, self.terms = config, tokens, chain, terms
        self.room = Room(config, terms)
        self._grants = GenesisCompute(grants, config.grant_epochs)
        # The epochs that rewards can be claimed for, the present one and one to spare.
        epochs_kept = terms.unbonding_epochs + 2
        self._ledger = ProofLedger(self.proofs, self.proof_totals, epochs_kept)
        self._units = UnitLedger(self.unit_proofs, self.unit_totals, epochs_kept)
        self._queue = ChangeQueue(self.change_ends, self.changes, self.change_places)
        self.standings = Standings(
            context,
            self.room,
            storage=Storage(
                self.classes,
                self.class_ids,
                self.tallies,
                self.providers,
                self.places,
                self.reserved,
                self.faults,
            ),
            tokens=tokens,
            ledger=self._ledger,
            units=self._units,
            queue=self._queue,
            emit=self.emit,
        )

    @call(0, weight=Weight(2_000_000))
    def create_class(self, signer: Signer, record: Record) -> None:
        """Add a class of resources. For the governor alone.

        Emits: ClassCreated.
        Raises: NotGovernor, ClassExists, InvalidClass.
        """
        if signer != self.config.governor:
            raise records.NotGovernor("the chain spec names who may")
        known = self.class_ids.get()
        if record.class_id in known:
            raise records.ClassExists(f"{record.class_id}")
        validate_class(record)
        others = [self.standings.resource(each) for each in known]
        validate_together([*others, record], self._grants.total_operations(GENESIS_EPOCH))
        self.room.validate(record)
        self._add(record)
        self.emit(records.ClassCreated(record.class_id))

    @call(1, weight=Weight(400_000))
    def register(self, signer: Signer, class_id: ClassId, units: UnitCount) -> None:
        """Bond ``units`` more of a class; they owe proofs from the next epoch on.

        Emits: Held, Registered.
        Raises: UnknownClass, InProviderJail, UnitsNotAllowed, ClassFull, and what holding raises.
        """
        resource, key = self.standings.resource(class_id), (class_id, signer)
        now = self.context.block.epoch
        known = self.standings.find(key) or Provider(now)
        if known.is_jailed:
            raise records.InProviderJail(f"until epoch {known.free_from}")
        whole = known.units + units
        if not units or not resource.units_min <= whole <= resource.units_max:
            raise records.UnitsNotAllowed(f"{whole} of {resource.units_min}..{resource.units_max}")
        if not known.units:
            known = self.standings.take_place(key, known)
        amount = Balance(units * resource.bond_per_unit)
        self.tokens.hold(signer, HOLD, amount)
        self.standings.write(key, known.registered(units, amount))
        self.emit(records.Registered(signer, class_id, units, amount, Epoch(now + 1)))

    @call(2, weight=Weight(300_000))
    def declare_maintenance(
        self, signer: Signer, class_id: ClassId, first_epoch: Epoch, epochs: EpochCount
    ) -> None:
        """Announce epochs to come in which the signer may give no proof: no slash, no reward.

        Between two absences lies at least the length of the first.
        Emits: MaintenanceDeclared.
        Raises: NotRegistered, InvalidMaintenance.
        """
        key = (class_id, signer)
        known = self.standings.known(key)
        if not 1 <= epochs <= self.config.maintenance_epochs_max:
            raise records.InvalidMaintenance(f"{epochs} epochs are none, or too many")
        if first_epoch <= known.epoch:
            raise records.InvalidMaintenance(f"epoch {first_epoch} has begun")
        last = known.maintenance
        if last is not None and first_epoch < last.end + last.epochs:
            raise records.InvalidMaintenance(f"not before epoch {last.end + last.epochs}")
        spell = Maintenance(first_epoch, epochs)
        self.standings.write(key, replace(known, maintenance=spell))
        self.emit(records.MaintenanceDeclared(signer, class_id, first_epoch, epochs))

    @call(3, weight=Weight(400_000))
    def deregister(self, signer: Signer, class_id: ClassId, units: UnitCount) -> None:
        """Give up ``units``; their bond leaves, and can be slashed until it has.

        Emits: Deregistered.
        Raises: NotRegistered, UnitsEngaged, ProofDue, UnitsNotAllowed, TooManyBondChunks.
        """
        key = (class_id, signer)
        known = self.standings.known(key)
        resource = self.standings.resource(class_id)
        if known.is_engaged:
            raise records.UnitsEngaged("a pool may have sold them")
        if not 1 <= units <= known.units:
            raise records.NotRegistered(f"{known.units} units, {units} wanted")
        is_bound = known.commitment is not None or self._is_past(self.config.commit_deadline)
        if known.shortfall not in ("", DECLARED) and is_bound:
            raise records.ProofDue(f"for epoch {known.epoch}")
        rest = known.units - units
        if 0 < rest < resource.units_min:
            raise records.UnitsNotAllowed(f"{rest} left, at least {resource.units_min} or none")
        amount = Balance(units * resource.bond_per_unit) if rest else known.bond
        changed = known.deregistered(units, amount, CHUNKS_MAX)
        if len(changed.leaving) > self.config.chunks_max:
            raise records.TooManyBondChunks(f"{len(known.leaving)} are leaving")
        self.standings.change(key, known, changed)
        self.emit(records.Deregistered(signer, class_id, units, amount))

    @call(4, weight=Weight(300_000))
    def commit(self, signer: Signer, class_id: ClassId, units: UnitCount, root: Digest) -> None:
        """Commit to the leaves of all units that owe a proof; leased ones may be left out.

        Until the deadline a later commitment takes the place of an earlier one. Units that are left
        out stand while they are leased, without a vote or a reward; with none committed, the
        commitment is the sign of life for which nothing has to be answered.
        Emits: Committed; Proven if nothing is left to answer for.
        Raises: NotRegistered, InProviderJail, NothingDue, AlreadyProven, OutsideWindow, WrongUnits.
        """
        key = (class_id, signer)
        known = self.standings.known(key)
        if known.is_jailed:
            raise records.InProviderJail(f"until epoch {known.free_from}")
        if not known.due:
            raise records.NothingDue(f"before epoch {known.epoch + 1}")
        if known.proven:
            raise records.AlreadyProven(f"in epoch {known.epoch}")
        if self._is_past(self.config.commit_deadline):
            raise records.OutsideWindow(f"block {self.place} of the epoch")
        least, most = known.claimable()
        if not least <= units <= most:
            raise records.WrongUnits(f"{units} of {least} to {most}")
        changed = replace(known, commitment=Commitment(units, most - least, root))
        self.emit(records.Committed(signer, class_id, units, root))
        if units:
            self.standings.write(key, changed)
        else:
            self.standings.prove(key, changed)

    @call(5, weight=lambda _class_id, _siblings, weight: weight)
    def respond(self, signer: Signer, class_id: ClassId, siblings: Digests, weight: Weight) -> None:
        """Answer for the drawn leaves; ``weight`` is what the signer lets verification cost.

        A wrong proof is a fault and is paid for: the call succeeds in slashing its signer.
        Emits: Proven, or Faulted.
        Raises: NotRegistered, AlreadyProven, NotCommitted, OutsideWindow, WeightTooLow,
            WrongDigestCount.
        """
        key = (class_id, signer)
        known = self.standings.known(key)
        if known.proven:
            raise records.AlreadyProven(f"in epoch {known.epoch}")
        if known.commitment is None or known.has_signed_on:
            raise records.NotCommitted(f"in epoch {known.epoch}")
        drawing = self.drawing.get()
        is_drawn = drawing is not None and drawing.epoch == known.epoch
        if drawing is None or not is_drawn or self._is_past(self.config.respond_deadline):
            raise records.OutsideWindow(f"block {self.place} of the epoch")
        least = response_weight(self.standings.resource(class_id))
        if weight < least:
            raise records.WeightTooLow(f"{weight} of {least}")
        claim = Claim(signer, known.commitment.units, known.commitment.root)
        if self._is_right(class_id, claim, siblings, drawing.beacon):
            self.standings.prove(key, known)
        else:
            charge = Charge(INVALID_PROOF, known.epoch, is_grave=True)
            self.standings.punish(key, known, charge)

    @call(6, weight=Weight(300_000))
    def withdraw(self, signer: Signer, class_id: ClassId) -> None:
        """Free the bond that began to leave more than the unbonding time ago.

        Emits: Released, Withdrawn.
        Raises: NotRegistered, BondNotFree.
        """
        key = (class_id, signer)
        known = self.standings.known(key)
        before = Epoch(max(0, known.epoch - self.terms.unbonding_epochs))
        changed, amount = known.withdrawn(before)
        if not amount:
            raise records.BondNotFree(f"nothing left before epoch {before}")
        self.tokens.release(signer, HOLD, amount)
        self.standings.write(key, changed)
        self.emit(records.Withdrawn(signer, class_id, amount))

    # For other modules

    def resource(self, class_id: int) -> ResourceClass | None:
        """Return a class, if there is one of that number."""
        return self.classes[class_id]

    def proven_units(self, class_id: int, provider: AccountId) -> Units:
        """Return a provider's units that are live now."""
        known = self.providers[class_id, provider]
        return Units(known.live_in(self.context.block.epoch) if known else 0)

    def total_units(self, class_id: int) -> Units:
        """Return the units of all providers of a class that are live now."""
        return Units(self.standings.tally(class_id).live)

    def engage(self, class_id: int, provider: AccountId) -> None:
        """Note that a pool has a claim on the provider's units. Raises: NotRegistered."""
        self._set_engaged((class_id, provider), is_engaged=True)

    def disengage(self, class_id: int, provider: AccountId) -> None:
        """Note that no pool has a claim on the provider's units. Raises: NotRegistered."""
        self._set_engaged((class_id, provider), is_engaged=False)

    def set_leased(self, class_id: int, provider: AccountId, units: Units) -> None:
        """Note how many of the units are leased: those stand for as long as they are.

        Raises: NotRegistered.
        """
        self.standings.set_leased((class_id, provider), units)

    def take_changes(self, limit: int) -> list[UnitsChange]:
        """Remove and return what became of engaged providers' units, oldest first.

        Of each change's ``slashed`` the taker disposes: it waits in ``SLASH_HOLD``.
        """
        return self._queue.take(limit)

    def punish(
        self, class_id: int, provider: AccountId, reason: Reason, *, fraction_ppb: int
    ) -> Balance:
        """Slash a provider who was proven wrong elsewhere; the ladder counts it as a wrong proof.

        The amount that is returned waits in ``SLASH_HOLD``, and the caller disposes of it; the
        pool's change names none.
        Emits: Faulted; Ejected at the last step; Released and Held.
        Raises: NotRegistered.
        """
        key = (class_id, provider)
        known = self.standings.known(key)
        charge = Charge(
            reason, known.epoch, is_grave=True, fraction_ppb=fraction_ppb, is_collected=True
        )
        return self.standings.punish(key, known, charge)

    def proven_operations(self, account: AccountId, epoch: Epoch) -> Operations:
        """Return what ``account`` proved in ``epoch``, in operations per window."""
        granted = self._grants.proven_operations(account, epoch)
        return Operations(granted + self._ledger.operations(account, epoch))

    def total_operations(self, epoch: Epoch) -> Operations:
        """Return what everybody proved in ``epoch``."""
        return Operations(self._grants.total_operations(epoch) + self._ledger.total(epoch))

    def units_in(self, class_id: int, account: AccountId, epoch: Epoch) -> int:
        """Return the units of a class that ``account`` proved in ``epoch``."""
        return self._units.of(class_id, account, epoch)

    def class_units_in(self, class_id: int, epoch: Epoch) -> int:
        """Return the units of a class that everybody proved in ``epoch``."""
        return self._units.total(class_id, epoch)

    def earnings_max(self, account: AccountId, epoch: Epoch) -> Balance:
        """Return the most that ``account`` may earn for ``epoch``: what its bonds were made for.

        What the spec grants has no bond and no limit.
        """
        if self._grants.proven_operations(account, epoch):
            return Balance(UINT64_MAX)
        earned = sum(
            self.units_in(class_id, account, epoch) * self.standings.resource(class_id).reward_max
            for class_id in self.class_ids.get()
        )
        return Balance(min(UINT64_MAX, earned))

    def proving_since(self, account: AccountId, epoch: Epoch) -> Epoch:
        """Return where the ramp of the account's reward for ``epoch`` starts."""
        if self._grants.proven_operations(account, epoch):
            return self._grants.proving_since(account, epoch)
        return self._ledger.since(account, epoch)

    def penalty(self, class_id: int, provider: AccountId) -> Penalty:
        """Return what the next fault would cost. Raises: NotRegistered, UnknownClass."""
        known = self.standings.known((class_id, provider))
        bond_per_unit = self.standings.resource(class_id).bond_per_unit
        ladder = self.config.ladder
        missed, _ = ladder.climb(known.strikes, known.epoch, is_grave=False)
        invalid, _ = ladder.climb(known.strikes, known.epoch, is_grave=True)
        missed_slash = known.slashed(ladder.fraction_ppb(missed), bond_per_unit)[1]
        invalid_slash = known.slashed(ladder.fraction_ppb(invalid), bond_per_unit)[1]
        return Penalty(missed, missed_slash, invalid, invalid_slash)

    def challenge(self, class_id: int, epoch: Epoch) -> Digest:
        """Return what a class's leaves of an epoch are made from; it has begun, or is the next one.

        Raises: UnknownClass.
        """
        kind = kind_of(self.standings.resource(class_id))
        return kind.challenge(self.chain.session.challenge_seed(epoch))

    def preparations(self, epoch: Epoch) -> tuple[Preparation, ...]:
        """Return what a node had better compute before the first response of ``epoch``."""
        resources = [self.standings.resource(class_id) for class_id in self.class_ids.get()]
        return tuple(
            Preparation(resource, self.challenge(resource.class_id, epoch))
            for resource in resources
        )

    def sums(self, class_id: int) -> tuple[int, int, int]:
        """Return the live units of a class, those proven in this epoch, and its providers."""
        tally = self.standings.tally(class_id)
        return tally.live, tally.proven, tally.places

    def power(self, epoch: Epoch, account: AccountId) -> tuple[Operations, Operations, Epoch]:
        """Return what an account and all accounts proved in ``epoch``, and its ramp's start."""
        own, total = self.proven_operations(account, epoch), self.total_operations(epoch)
        return own, total, self.proving_since(account, epoch)

    @property
    def windows(self) -> tuple[int, int, int, int]:
        """Length of an epoch, and in it the last commitments, the drawing, the last responses."""
        rules = self.config
        deadlines = rules.commit_deadline, rules.sample_block, rules.respond_deadline
        return self.terms.epoch_length, *deadlines

    @property
    def place(self) -> int:
        """The block's place in its epoch, from 1 on."""
        return (self.context.block.height - 1) % self.terms.epoch_length + 1

    # Genesis, hooks, invariants

    def build_genesis(self) -> None:
        """Write the spec's classes and its providers, whose bonds nobody had before."""
        for resource in self.config.classes:
            self._add(resource)
        for each in self.config.providers:
            key = (each.class_id, each.account)
            resource = self.standings.resource(each.class_id)
            bond = Balance(each.units * resource.bond_per_unit)
            self.tokens.mint_held(each.account, HOLD, bond)
            known = self.standings.take_place(key, Provider(GENESIS_EPOCH))
            self.standings.write(key, replace(known, units=each.units, bond=bond))

    def begin_block(self) -> None:
        epoch, class_ids = self.context.block.epoch, self.class_ids.get()
        if self.place == self.config.sample_block:
            self.drawing.set(Drawing(epoch, self.chain.session.latest_beacon()))
        if self.place == 1 and class_ids:
            self.sweep.set(Sweep(len(class_ids), self.tallies[class_ids[-1]].places))
        at = self.sweep.get()
        if at.classes_left:
            self.sweep.set(self.standings.sweep(class_ids, at))

    def check_invariants(self) -> None:
        for name, holds in self.standings.check_books(self.tokens.held_for):
            self.require(name, holds)

    # Private

    def _add(self, resource: ResourceClass) -> None:
        self.class_ids.set((*self.class_ids.get(), resource.class_id))
        self.classes[resource.class_id] = resource

    def _is_past(self, deadline: int) -> bool:
        return self.place > deadline

    def _is_right(
        self, class_id: int, claim: Claim, siblings: Sequence[Digest], beacon: Digest
    ) -> bool:
        """Return whether a response proves its claim. Raises: WrongDigestCount."""
        kind = kind_of(self.standings.resource(class_id))
        challenge = self.challenge(class_id, self.context.block.epoch)
        try:
            kind.verify(claim, siblings, challenge=challenge, beacon=beacon)
        except WrongSiblingCount as refusal:
            # Not an answer at all: nothing was computed, and it may be sent again.
            raise records.WrongDigestCount(str(refusal)) from refusal
        except InvalidProof:
            return False
        return True

    def _set_engaged(self, key: Key, *, is_engaged: bool) -> None:
        known = self.standings.known(key)
        self.standings.write(key, replace(known, is_engaged=is_engaged))
