"""Providers' standings as the state has them: rolled from epoch to epoch, judged, slashed, placed.

Whoever touches a provider first settles its last epoch; the sweep of the module does so for all
that nobody touched. Either way each epoch of a provider is settled once, in the one after it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from primitives.types import AccountId, Balance, Epoch
from runtime.module import BoundMap, BoundValue, Context, Event
from runtime.pocps import records
from runtime.pocps.changes import ChangeQueue
from runtime.pocps.classes import ResourceClass, kind_of
from runtime.pocps.ladder import DECLARED, FAULTS_KEPT, STEPS, Fault
from runtime.pocps.ledger import ProofLedger, UnitLedger
from runtime.pocps.provider import Provider
from runtime.pocps.records import UnitsChange
from runtime.pocps.room import Room
from runtime.pocps.tally import Sweep, Tally
from runtime.pools.pricing import Units

HOLD = "pocps.bond"
SLASH_HOLD = "pocps.slash"
"""Slashed bond of a provider whose units a pool had sold, until clients are paid out of it."""

Key = tuple[int, AccountId]
"""A class and a provider in it."""


class Slasher(Protocol):
    """What a slash needs of the ledger of tokens."""

    def burn_held(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Destroy held tokens. Raises: DispatchError."""

    def rename_hold(self, account: AccountId, reason: str, new: str, amount: Balance) -> None:
        """Hold for another reason what is held already. Raises: DispatchError."""


@dataclass(frozen=True, slots=True)
class Storage:
    """The stored items of the module on which standings are kept."""

    classes: BoundMap[int, ResourceClass | None]
    class_ids: BoundValue[tuple[int, ...]]
    tallies: BoundMap[int, Tally]
    providers: BoundMap[Key, Provider | None]
    places: BoundMap[tuple[int, int], AccountId | None]
    reserved: BoundValue[int]
    faults: BoundMap[Key, tuple[Fault, ...]]


@dataclass(frozen=True, slots=True)
class Charge:
    """What a provider is found to have done."""

    reason: str
    epoch: Epoch
    is_grave: bool = False
    """Whether it is the second step at once, and jail."""
    fraction_ppb: int | None = None
    """Share of the bond that it costs, if the ladder is not to say so."""
    is_collected: bool = False
    """Whether whoever brings the charge takes the slash out of ``SLASH_HOLD``."""


class Standings:
    """The providers of all classes."""

    def __init__(
        self,
        context: Context,
        room: Room,
        *,
        storage: Storage,
        tokens: Slasher,
        ledger: ProofLedger,
        units: UnitLedger,
        queue: ChangeQueue,
        emit: Callable[[Event], None],
    ) -> None:
        self._context, self._room, self._emit = context, room, emit
        self._config = room.config
        self._storage, self._tokens, self._queue = storage, tokens, queue
        self._ledger, self._units = ledger, units

    def resource(self, class_id: int) -> ResourceClass:
        """Return a class. Raises: UnknownClass."""
        found = self._storage.classes[class_id]
        if found is None:
            raise records.UnknownClass(f"{class_id}")
        return found

    def tally(self, class_id: int) -> Tally:
        """Return what all providers of a class have now."""
        return self._storage.tallies[class_id].rolled(self._context.block.epoch)

    def find(self, key: Key) -> Provider | None:
        """Return a provider's standing now, after settling its last epoch."""
        known = self._storage.providers[key]
        if known is None or known.epoch == self._context.block.epoch:
            return known
        return self._roll(key, known)

    def known(self, key: Key) -> Provider:
        """Return a provider's standing now. Raises: NotRegistered."""
        found = self.find(key)
        if found is None:
            raise records.NotRegistered(f"in class {key[0]}")
        return found

    def write(self, key: Key, provider: Provider) -> None:
        """Write a standing of which live and proven units have not changed."""
        is_blank = not (provider.units or provider.held or provider.is_engaged)
        if is_blank and not provider.is_jailed and not self._recent(provider):
            del self._storage.providers[key]
            del self._storage.faults[key]
        else:
            self._storage.providers[key] = provider

    def change(self, key: Key, before: Provider, after: Provider) -> None:
        """Write a standing, and what its live and proven units add to the sums."""
        resource, now = self.resource(key[0]), self._context.block.epoch
        live, proven = after.live - before.live, after.proven - before.proven
        if live or proven:
            self._storage.tallies[key[0]] = self.tally(key[0]).changed(live=live, proven=proven)
        counted = after.counted - before.counted
        if counted:
            self._ledger.add(key[1], now, counted * kind_of(resource).operations_per_unit)
            self._units.add(*key, now, counted)
        if before.units and not after.units:
            self._leave_place(resource, after.slot)
        self.write(key, after)

    def prove(self, key: Key, provider: Provider) -> None:
        """Count what a provider committed itself to as proven; what it serves stands beside it.

        Only what was proven by work votes and is rewarded: a provider can lease its units to
        itself for as long as the commitments are open, and need not have them.
        Emits: Proven.
        """
        committed = provider.commitment
        assert committed is not None, "what is proven was committed"
        # A lease that ended after the commitment excuses nothing any more.
        excused = min(committed.excused, provider.excused)
        units = min(provider.due, committed.units + excused)
        self.change(key, provider, replace(provider, proven=units))
        self._emit(records.Proven(key[1], key[0], provider.epoch, units))

    def set_leased(self, key: Key, units: Units) -> None:
        """Note how many units serve clients; what stood only by serving stands no longer."""
        before = self.known(key)
        after = before.with_leased(units)
        self.change(key, before, after)
        if after.is_engaged and after.live != before.live:
            self._queue.put(UnitsChange(*key, Units(after.live), Balance(0), ""))

    def punish(self, key: Key, provider: Provider, charge: Charge) -> Balance:
        """Let a provider climb the ladder and return what that took of its bond.

        Emits: Faulted; Ejected at the last step; HoldBurned, or Released and Held.
        """
        ladder, now = self._config.ladder, self._context.block.epoch
        step, strikes = ladder.climb(provider.strikes, charge.epoch, is_grave=charge.is_grave)
        share = charge.fraction_ppb
        share = ladder.fraction_ppb(step) if share is None else share
        after, taken = provider.dropped().slashed(share, self.resource(key[0]).bond_per_unit)
        is_out = step == STEPS
        if charge.is_grave or is_out:
            after = replace(after, free_from=Epoch(now + 1 + ladder.jail_epochs))
        after = replace(after, strikes=strikes)
        left = after.bond
        if is_out:
            after = after.deregistered(after.units, left, self._config.chunks_max)
        self._collect(key, provider, charge, taken)
        self.change(key, provider, after)
        self._note(key, charge, step, taken, after.free_from)
        if is_out:
            self._emit(records.Ejected(key[1], key[0], left))
        return taken

    def take_place(self, key: Key, provider: Provider) -> Provider:
        """Return a newcomer's standing with a place. Raises: ClassFull."""
        resource, tally = self.resource(key[0]), self.tally(key[0])
        reserved = self._storage.reserved.get() + self._room.cost(resource)
        others = sum(self._storage.tallies[each].places for each in self._storage.class_ids.get())
        if tally.places >= resource.providers_max:
            raise records.ClassFull(f"{tally.places} places are taken")
        if reserved > self._room.window_weight:
            room = self._room.window_weight
            raise records.ClassFull(f"responses would take {reserved} of {room}")
        if others >= self._room.places_max:
            raise records.ClassFull(f"{others} providers are as many as an epoch can settle")
        self._storage.reserved.set(reserved)
        self._storage.places[key[0], tally.places] = key[1]
        self._storage.tallies[key[0]] = replace(tally, places=tally.places + 1)
        return replace(provider, slot=tally.places)

    def sweep(self, class_ids: Sequence[int], at: Sweep) -> Sweep:
        """Settle the last epoch of the next few providers, and return where that stands then."""
        for _ in range(self._config.sweep_max):
            class_id = class_ids[at.classes_left - 1]
            slots = min(at.slots_left, self._storage.tallies[class_id].places)
            if slots:
                provider = self._storage.places[class_id, slots - 1]
                assert provider is not None, "places have no gaps"
                self.find((class_id, provider))
                at = Sweep(at.classes_left, slots - 1)
            elif at.classes_left > 1:
                following = class_ids[at.classes_left - 2]
                at = Sweep(at.classes_left - 1, self._storage.tallies[following].places)
            else:
                return Sweep()
        return at

    def check_books(
        self, held_for: Callable[[AccountId, str], Balance]
    ) -> Iterator[tuple[str, bool]]:
        """Yield what always holds between blocks, by name, and whether it does."""
        held, reserved = dict[AccountId, int](), 0
        everybody = self._everybody()
        for class_id in self._storage.class_ids.get():
            resource, tally = self.resource(class_id), self.tally(class_id)
            providers = everybody.get(class_id, {})
            placed = sorted((p.slot, account) for account, p in providers.items() if p.units)
            slots = [(slot, self._storage.places[class_id, slot]) for slot in range(tally.places)]
            yield "places_have_no_gaps", placed == slots
            live = sum(each.live for each in providers.values())
            proven = sum(each.proven for each in providers.values())
            yield "tallies_are_sums", (tally.live, tally.proven) == (live, proven)
            for account, each in providers.items():
                yield "units_exist", max(each.live, each.proven, each.fresh) <= each.units
                yield "served_units_are_leased", each.live <= each.worked + each.leased
                yield "units_are_covered", each.units * resource.bond_per_unit <= each.bond
                yield "chunks_are_bounded", len(each.leaving) <= self._config.chunks_max
                held[account] = held.get(account, 0) + each.held
            reserved += tally.places * self._room.cost(resource)
        for account, amount in held.items():
            yield "bonds_are_held", held_for(account, HOLD) == amount
        yield "responses_have_room", reserved == self._storage.reserved.get()

    def _everybody(self) -> dict[int, dict[AccountId, Provider]]:
        """Return all providers by class, as of the present epoch."""
        found: dict[int, dict[AccountId, Provider]] = {}
        for (class_id, account), provider in self._storage.providers.items():
            assert provider is not None, "an absent record is not stored"
            rolled = provider.rolled(self._context.block.epoch)
            found.setdefault(class_id, {})[account] = rolled
        return found

    def _leave_place(self, resource: ResourceClass, slot: int) -> None:
        """Give a place back; the last one's holder moves into it."""
        class_id, tally = resource.class_id, self.tally(resource.class_id)
        last = tally.places - 1
        if slot != last:
            mover = self._storage.places[class_id, last]
            assert mover is not None, "places have no gaps"
            moved = self._storage.providers[class_id, mover]
            assert moved is not None, "a place has a holder"
            self._storage.places[class_id, slot] = mover
            self._storage.providers[class_id, mover] = replace(moved, slot=slot)
        del self._storage.places[class_id, last]
        self._storage.tallies[class_id] = replace(tally, places=last)
        self._storage.reserved.set(self._storage.reserved.get() - self._room.cost(resource))

    def _roll(self, key: Key, before: Provider) -> Provider | None:
        """Judge a provider's last epoch and return its standing in the present one."""
        rolled, reason = before.rolled(self._context.block.epoch), before.shortfall
        if reason not in ("", DECLARED):
            self.punish(key, rolled, Charge(reason, before.epoch))
            return self._storage.providers[key]
        self.write(key, rolled)
        if reason:
            self._ledger.pause(key[1], before.epoch)
            self._note(key, Charge(reason, before.epoch), 0, Balance(0), rolled.free_from)
        if rolled.is_engaged and rolled.live != before.live:
            change = UnitsChange(*key, Units(rolled.live), Balance(0), reason)
            self._queue.put(change)
        return self._storage.providers[key]

    def _collect(self, key: Key, provider: Provider, charge: Charge, taken: Balance) -> None:
        """Put a slash where it belongs, and tell the pool."""
        if taken and (provider.is_engaged or charge.is_collected):
            self._tokens.rename_hold(key[1], HOLD, SLASH_HOLD, taken)
        elif taken:
            self._tokens.burn_held(key[1], HOLD, taken)
        if provider.is_engaged:
            slashed = Balance(0) if charge.is_collected else taken
            self._queue.put(UnitsChange(*key, Units(0), slashed, charge.reason))

    def _note(
        self, key: Key, charge: Charge, step: int, slashed: Balance, free_from: Epoch
    ) -> None:
        height = self._context.block.height
        fault = Fault(charge.epoch, height, charge.reason, step, slashed)
        if self._storage.providers[key] is not None:
            self._storage.faults[key] = (*self._storage.faults[key], fault)[-FAULTS_KEPT:]
        event = records.Faulted(
            key[1], key[0], charge.epoch, charge.reason, step, slashed, free_from
        )
        self._emit(event)

    def _recent(self, provider: Provider) -> bool:
        return bool(self._config.ladder.recent(provider.strikes, provider.epoch))
