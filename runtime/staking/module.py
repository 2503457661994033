"""Staking: bonds, who validates with them, who stands behind whom, and how they are slashed.

Stake is held in its owner's account and nowhere else. A validator's backing (its own active stake
and that of its nominators) is kept for every epoch in which evidence can still be brought, by
copying it before its first change in an epoch; nothing is copied for those who do nothing.

Invariants: what an account has on hold for staking is its active stake plus what is leaving; a
backing lists exactly the active stakes of the accounts that name the validator; stake that backed
an epoch's table can be slashed until ``unbonding_epochs`` later, wherever its owner has moved it;
what a slash takes is burned or paid to the reporter, to the base unit. Every list is bounded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from primitives.codec import ACCOUNT, AMOUNT, U32, U64, listing, optional, pair, struct
from primitives.power_table import VALIDATORS_MAX
from primitives.types import AccountId, Balance, Epoch, Signer, Weight
from runtime.currency import Holder
from runtime.module import Context, Module, StorageMap, StorageValue, call
from runtime.staking import records
from runtime.staking.ledger import BACKING, LEDGER, Backing, Ledger
from runtime.staking.records import Config, Ppb

HOLD = "staking.bond"
PPB = 1_000_000_000
UNBONDING_EPOCHS_MAX = 256
JOIN_DELAY = 2
"""Epochs from joining to the first table that may name the newcomer.

The table of e + 1 names those who joined by the end of e - 1.
"""
BACKING_WEIGHT = Weight(600_000)
"""A call that reads and writes one backing."""


class StakeLedger(Holder, Protocol):
    """What staking needs of the ledger of tokens."""

    def mint_held(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Create tokens that are held from the start. Raises: DispatchError."""

    def move_held(
        self, account: AccountId, reason: str, *, recipient: AccountId, amount: Balance
    ) -> None:
        """Give held tokens to another account, free. Raises: DispatchError."""

    def burn_held(self, account: AccountId, reason: str, amount: Balance) -> None:
        """Destroy held tokens. Raises: DispatchError."""


@dataclass(frozen=True, slots=True)
class Slash:
    """What a slash did."""

    taken: Balance
    paid: Balance
    """To the reporter; the rest was burned."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a validator chose, and since when it counts."""

    commission_ppb: int
    eligible: Epoch
    """First epoch whose table may name it."""


PREFERENCES = struct(Preferences, commission_ppb=U32, eligible=U64)


@dataclass(frozen=True, slots=True)
class GenesisBond:
    """A validator of the first epoch."""

    account: AccountId
    amount: Balance


class Staking(Module):
    """Bonds and what they are for."""

    name = "staking"
    index = 8
    events = records.EVENTS
    errors = records.ERRORS

    ledgers = StorageMap(ACCOUNT, LEDGER, default=Ledger())
    validators = StorageMap(ACCOUNT, optional(PREFERENCES), default=None)
    targets = StorageMap(ACCOUNT, optional(ACCOUNT), default=None)
    """Whom an account nominates."""
    candidates = StorageValue(listing(ACCOUNT, VALIDATORS_MAX), default=())
    """Whom the next table may name, in order."""
    stakes = StorageMap(ACCOUNT, AMOUNT, default=Balance(0))
    """The total of each backing, so that a table is made without reading the lists."""
    backings = StorageMap(ACCOUNT, BACKING, default=Backing())
    past = StorageMap(pair(ACCOUNT, U64), optional(BACKING), default=None)
    """What backed a validator in the table of an epoch, if it changed in that epoch."""
    past_epochs = StorageMap(ACCOUNT, listing(U64, UNBONDING_EPOCHS_MAX + 2), default=())
    jailed = StorageMap(ACCOUNT, optional(U64), default=None)
    """The epoch from which an account may leave jail."""

    def __init__(self, context: Context, config: Config, *, tokens: StakeLedger) -> None:
        super().__init__(context)
        self.config, self.tokens = config, tokens

    @call(0, weight=Weight(60_000))
    def bond(self, signer: Signer, amount: Balance) -> None:
        """Set ``amount`` base units at stake.

        Emits: Held, Bonded.
        Raises: AlreadyBonded, BelowMinimum, and what holding raises.
        """
        if self.ledgers[signer].active:
            raise records.AlreadyBonded(f"{self.ledgers[signer].active} are bonded")
        if amount < self.config.nominator_bond_min:
            raise records.BelowMinimum(f"{amount} of {self.config.nominator_bond_min}")
        self._bond(signer, amount)

    @call(1, weight=BACKING_WEIGHT)
    def bond_extra(self, signer: Signer, amount: Balance) -> None:
        """Add ``amount`` base units to the bond; they count from the next table on.

        Emits: Held, Bonded.
        Raises: NotBonded, and what holding raises.
        """
        if not self.ledgers[signer].active:
            raise records.NotBonded("bond first")
        self._bond(signer, amount)

    @call(2, weight=BACKING_WEIGHT)
    def unbond(self, signer: Signer, amount: Balance) -> None:
        """Let ``amount`` of the active stake leave; it can be slashed and is locked meanwhile.

        Emits: Unbonded.
        Raises: InsufficientBond, StillVesting, BelowMinimum, TooManyChunks.
        """
        ledger, now = self.ledgers[signer], self.context.block.epoch
        rest = ledger.active - amount
        if rest < 0 or not amount:
            raise records.InsufficientBond(f"{ledger.active} bonded, {amount} wanted")
        locked = ledger.locked(now, self.config.vesting_epochs)
        if rest < locked:
            raise records.StillVesting(f"{locked} of {ledger.active} have not vested")
        least = self._least_stake(signer)
        if rest < least:
            raise records.BelowMinimum(f"{rest} would be left, at least {least} are needed")
        changed = ledger.unbonded(amount, now)
        if len(changed.chunks) > self.config.chunks_max:
            raise records.TooManyChunks(f"{len(ledger.chunks)} chunks are leaving")
        self._write(signer, changed)
        self.emit(records.Unbonded(signer, amount))

    @call(3, weight=Weight(60_000))
    def withdraw(self, signer: Signer) -> None:
        """Free the stake that began to leave more than ``unbonding_epochs`` ago.

        Emits: Released, Withdrawn.
        Raises: NothingToWithdraw.
        """
        before = Epoch(max(0, self.context.block.epoch - self.config.unbonding_epochs))
        changed, amount = self.ledgers[signer].withdrawn(before)
        if not amount:
            raise records.NothingToWithdraw(f"nothing left before epoch {before}")
        self.ledgers[signer] = changed
        self.tokens.release(signer, HOLD, amount)
        self.emit(records.Withdrawn(signer, amount))

    @call(4, weight=BACKING_WEIGHT)
    def validate(self, signer: Signer, commission_ppb: Ppb) -> None:
        """Stand for the tables to come, or change the commission from the next table on.

        Who has no session keys, or has proven no compute, weighs nothing and is left out.
        Emits: ValidationStarted.
        Raises: InvalidCommission, InJail, AlreadyNominating, BelowMinimum, TooManyValidators.
        """
        if commission_ppb > PPB:
            raise records.InvalidCommission(f"{commission_ppb} of {PPB}")
        if self.jailed[signer] is not None:
            raise records.InJail(f"until epoch {self.jailed[signer]}")
        if self.targets[signer] is not None:
            raise records.AlreadyNominating("chill first")
        if self.ledgers[signer].active < self.config.validator_bond_min:
            raise records.BelowMinimum(f"{self.ledgers[signer].active} are bonded")
        known = self.validators[signer]
        if known is None:
            self._join(signer)
        eligible = known.eligible if known else Epoch(self.context.block.epoch + JOIN_DELAY)
        self._start_validating(signer, Preferences(commission_ppb, eligible))
        self.emit(records.ValidationStarted(signer, commission_ppb))

    @call(5, weight=BACKING_WEIGHT)
    def nominate(self, signer: Signer, validator: AccountId) -> None:
        """Stand behind a validator with all of the active stake, for its gains and its slashes.

        Emits: Nominated.
        Raises: AlreadyValidating, AlreadyNominating, NotValidating, BelowMinimum,
            TooManyNominators.
        """
        if self.validators[signer] is not None:
            raise records.AlreadyValidating("chill first")
        if self.targets[signer] is not None:
            raise records.AlreadyNominating("chill first")
        if self.validators[validator] is None:
            raise records.NotValidating(validator.hex())
        ledger = self.ledgers[signer]
        if ledger.active < self.config.nominator_bond_min:
            raise records.BelowMinimum(f"{ledger.active} are bonded")
        backing = self.backings[validator]
        if len(backing.backers) >= self.config.nominators_max:
            raise records.TooManyNominators(f"{len(backing.backers)} nominate it")
        self.targets[signer] = validator
        self._set_backing(validator, backing.with_backer(signer, ledger.active))
        self.emit(records.Nominated(signer, validator))

    @call(6, weight=BACKING_WEIGHT)
    def chill(self, signer: Signer) -> None:
        """Stop validating or nominating; the stake stays bonded.

        Emits: Chilled.
        Raises: NothingToChill.
        """
        if self.validators[signer] is None and self.targets[signer] is None:
            raise records.NothingToChill("neither validates nor nominates")
        self._chill(signer)

    # For other modules

    def backing(self, validator: AccountId, epoch: Epoch) -> Backing:
        """Return what backed ``validator`` in the table of ``epoch``.

        Known for the present epoch and the ``unbonding_epochs`` before it.
        """
        later = [each for each in self.past_epochs[validator] if each >= epoch]
        found = self.past[validator, later[0]] if later else None
        return self.backings[validator] if found is None else found

    def bond_reward(self, account: AccountId, amount: Balance) -> None:
        """Create a reward that counts as bond at once and vests from now on.

        Emits: Rewarded.
        Raises: IssuanceOverflow.
        """
        now, epochs = self.context.block.epoch, self.config.vesting_epochs
        self.tokens.mint_held(account, HOLD, amount)
        self._write(account, self.ledgers[account].rewarded(amount, now, epochs))
        self.emit(records.Rewarded(account, amount, Epoch(now + epochs)))

    def slash(
        self,
        validator: AccountId,
        epoch: Epoch,
        *,
        fraction_ppb: int,
        reporter: AccountId,
        reporter_ppb: int,
    ) -> Slash:
        """Take a share of what backed ``validator`` in ``epoch``, from each in proportion.

        Of each, at most what is still at stake; rounded down. The reporter's part is rounded
        down too, and the rest is burned.
        Emits: Slashed, HoldMoved, HoldBurned.
        """
        taken = paid = 0
        for backer in self.backing(validator, epoch).shares(validator):
            owed = Balance(backer.amount * fraction_ppb // PPB)
            ledger, amount = self.ledgers[backer.account].slashed(owed, since=epoch)
            if not amount:
                continue
            self._write(backer.account, ledger)
            reward = Balance(amount * reporter_ppb // PPB)
            if reward:
                self.tokens.move_held(backer.account, HOLD, recipient=reporter, amount=reward)
            self.tokens.burn_held(backer.account, HOLD, Balance(amount - reward))
            self.emit(records.Slashed(validator, backer.account, amount))
            taken, paid = taken + amount, paid + reward
        return Slash(Balance(taken), Balance(paid))

    def jail(self, validator: AccountId, until: Epoch) -> None:
        """Stop an account from validating, at least until an epoch.

        Emits: Jailed, and Chilled if it validates.
        """
        if self.validators[validator] is not None:
            self._chill(validator)
        self.jailed[validator] = max(until, self.jailed[validator] or 0)
        self.emit(records.Jailed(validator, until))

    def unjail(self, account: AccountId) -> None:
        """Let an account validate again. Raises: NotJailed, StillJailed. Emits: Unjailed."""
        until, now = self.jailed[account], self.context.block.epoch
        if until is None:
            raise records.NotJailed("the account is free")
        if now < until:
            raise records.StillJailed(f"until epoch {until}, this is {now}")
        self.jailed[account] = None
        self.emit(records.Unjailed(account))

    def standing(self, epoch: Epoch) -> list[tuple[AccountId, Balance]]:
        """Return whom the table of ``epoch`` may name, with the whole stake behind each."""
        found = []
        for account in self.candidates.get():
            chosen = self.validators[account]
            assert chosen is not None, "a candidate validates"
            if chosen.eligible <= epoch:
                found.append((account, self.stakes[account]))
        return found

    def build_genesis(self, bonds: Iterable[GenesisBond]) -> None:
        """Let the genesis validators begin with their bonds, which nobody had before."""
        for bond in bonds:
            self.tokens.mint_held(bond.account, HOLD, bond.amount)
            self.ledgers[bond.account] = Ledger(bond.amount)
            self._join(bond.account)
            self.validators[bond.account] = Preferences(0, Epoch(0))
            # Not through ``_set_backing``: the first table already has this backing.
            self.backings[bond.account] = Backing(own=bond.amount)
            self.stakes[bond.account] = bond.amount

    def check_invariants(self) -> None:
        active: dict[AccountId, Balance] = {}
        for account, ledger in self.ledgers.items():
            held = self.tokens.held_for(account, HOLD)
            self.require("ledgers_are_held", held == ledger.total)
            self.require("no_chunk_is_empty", all(chunk.amount for chunk in ledger.chunks))
            vesting = len(ledger.vesting)
            self.require("vesting_is_bounded", vesting <= self.config.vesting_epochs)
            active[account] = ledger.active
        validating = {account for account, _ in self.validators.items()}
        candidates = self.candidates.get()
        self.require("candidates_are_the_validators", list(candidates) == sorted(validating))
        self.require("validators_are_bounded", len(candidates) <= self.config.validators_max)
        jailed = {account for account, _ in self.jailed.items()}
        self.require("nobody_validates_in_jail", not validating & jailed)
        named: dict[AccountId, list[AccountId]] = {}
        for account, target in self.targets.items():
            assert target is not None
            self.require("validators_nominate_nobody", account not in validating)
            named.setdefault(target, []).append(account)
        for validator in sorted(validating | set(named)):
            self._check_backing(validator, sorted(named.get(validator, [])), active)
        for kept in (self.backings, self.stakes):
            backed = {each for each, _ in kept.items()}
            self.require("only_the_named_are_backed", backed <= validating | set(named))

    # Private

    def _check_backing(
        self, validator: AccountId, names: list[AccountId], active: dict[AccountId, Balance]
    ) -> None:
        backing = self.backings[validator]
        known = self.validators[validator]
        own = active.get(validator, 0) if known else 0
        commission = known.commission_ppb if known else 0
        is_known = (backing.own, backing.commission_ppb) == (own, commission)
        self.require("backings_have_the_validators_part", is_known)
        expected = [(account, active[account]) for account in names if active.get(account)]
        backers = [(each.account, each.amount) for each in backing.backers]
        self.require("backings_have_the_nominators_part", backers == expected)
        self.require("nominators_are_bounded", len(expected) <= self.config.nominators_max)
        self.require("stakes_are_the_backings_sums", self.stakes[validator] == backing.total)
        epochs = self.past_epochs[validator]
        known_past = all(self.past[validator, epoch] is not None for epoch in epochs)
        in_order = list(epochs) == sorted(set(epochs))
        self.require("past_backings_are_on_record", in_order and known_past)

    def _bond(self, account: AccountId, amount: Balance) -> None:
        self.tokens.hold(account, HOLD, amount)
        self._write(account, self.ledgers[account].bonded(amount))
        self.emit(records.Bonded(account, amount))

    def _least_stake(self, account: AccountId) -> int:
        """Return how much the account has to keep for what it does."""
        if self.validators[account] is not None:
            return self.config.validator_bond_min
        return 0 if self.targets[account] is None else self.config.nominator_bond_min

    def _join(self, account: AccountId) -> None:
        others = self.candidates.get()
        if len(others) >= self.config.validators_max:
            raise records.TooManyValidators(f"{len(others)} validate")
        self.candidates.set(tuple(sorted((*others, account))))

    def _start_validating(self, account: AccountId, chosen: Preferences) -> None:
        self.validators[account] = chosen
        own = self.ledgers[account].active
        backing = replace(self.backings[account], own=own, commission_ppb=chosen.commission_ppb)
        self._set_backing(account, backing)

    def _chill(self, account: AccountId) -> None:
        target = self.targets[account]
        if target is not None:
            self.targets[account] = None
            self._set_backing(target, self.backings[target].with_backer(account, Balance(0)))
        else:
            self.validators[account] = None
            rest = tuple(each for each in self.candidates.get() if each != account)
            self.candidates.set(rest)
            backing = replace(self.backings[account], own=Balance(0), commission_ppb=0)
            self._set_backing(account, backing)
        self.emit(records.Chilled(account))

    def _write(self, account: AccountId, ledger: Ledger) -> None:
        """Write a ledger, and the active stake into the backing in which it counts."""
        self.ledgers[account] = ledger
        target = self.targets[account]
        if target is not None:
            self._set_backing(target, self.backings[target].with_backer(account, ledger.active))
            if not ledger.active:
                # Its place among the nominators is free, and may be taken before it bonds again.
                self.targets[account] = None
        elif self.validators[account] is not None:
            self._set_backing(account, replace(self.backings[account], own=ledger.active))

    def _set_backing(self, validator: AccountId, backing: Backing) -> None:
        """Write a backing; what it was in this epoch's table stays on record."""
        now = self.context.block.epoch
        epochs = self.past_epochs[validator]
        if now not in epochs:
            oldest = now - self.config.unbonding_epochs
            for old in epochs:
                if old < oldest:
                    del self.past[validator, old]
            self.past[validator, now] = self.backings[validator]
            kept = tuple(each for each in epochs if each >= oldest)
            self.past_epochs[validator] = (*kept, now)
        self.backings[validator] = backing
        self.stakes[validator] = Balance(backing.total)
