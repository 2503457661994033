"""``staking_*``: who validates with what behind it, what an account has at stake and has earned.

Everything is read from the state after one block; where epochs are named as *now*, that is the
epoch of the block to come.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from node.rpc.backend import RuntimeBackend
from node.rpc.errors import invalid_parameter, require_count
from node.rpc.method import method
from node.rpc.namespaces.staking_views import (
    Backer,
    ClaimDue,
    KeysView,
    LedgerView,
    NominationView,
    PayoutDue,
    RewardsDue,
    RewardsPage,
    Role,
    SessionKeys,
    SlashEstimate,
    TableEntry,
    TableView,
    UnbondingView,
    ValidatorSummary,
    ValidatorView,
    VestingView,
)
from node.rpc.slices import Slices
from primitives.errors import DispatchError
from primitives.power_table import PowerTable
from primitives.types import AccountId, Balance, Digest, Epoch, Height, VotingPower
from runtime.runtime import Runtime
from runtime.session import epoch_of
from runtime.session_keys import SessionKeys as KeyTriple
from runtime.staking.ledger import Backing
from runtime.staking.module import PPB

VALIDATORS_PAGE_MAX = 100
TABLE_PAGE_MAX = 256
REWARDS_PAGE_MAX = 32


class Staking:
    """Stake, tables and rewards."""

    def __init__(self, backend: RuntimeBackend) -> None:
        self._backend = backend

    @method("staking_validators")
    async def validators(
        self, count: int = 50, after: AccountId | None = None, at: Digest | None = None
    ) -> Sequence[ValidatorSummary]:
        """Return who validates, in the order of their account ids, beyond `after`."""
        require_count(count, VALIDATORS_PAGE_MAX)
        runtime = self._backend.runtime_after(at)
        candidates = runtime.staking.candidates.get()
        beyond = [account for account in candidates if after is None or account > after][:count]
        weights = {entry.account: entry.weight for entry in _present_table(runtime).validators}
        slices, found = Slices(), []
        for account in beyond:
            found.append(_summary(runtime, account, weights.get(account)))
            await slices.breathe()
        return found

    @method("staking_validator")
    def validator(self, account: AccountId, at: Digest | None = None) -> ValidatorView | None:
        """Return a validator with all its nominators; null if the account does not validate."""
        runtime = self._backend.runtime_after(at)
        chosen = runtime.staking.validators[account]
        if chosen is None:
            return None
        backing = runtime.staking.backings[account]
        table = _present_table(runtime)
        position = _position_of(table, account)
        return ValidatorView(
            account=account,
            commission_ppb=chosen.commission_ppb,
            eligible_since=chosen.eligible,
            own_stake=backing.own,
            total_stake=Balance(backing.total),
            nominators=[Backer(backer.account, backer.amount) for backer in backing.backers],
            weight=None if position is None else table[position].weight,
            position=position,
        )

    @method("staking_ledger")
    def ledger(self, account: AccountId, at: Digest | None = None) -> LedgerView:
        """Return what an account has at stake, what is leaving, and what it does with it."""
        runtime = self._backend.runtime_after(at)
        staking, now = runtime.staking, _now(runtime)
        held, unbonding = staking.ledgers[account], staking.config.unbonding_epochs
        before = Epoch(max(0, now - unbonding))
        role = _role(runtime, account)
        least = {
            "validator": staking.config.validator_bond_min,
            "nominator": staking.config.nominator_bond_min,
            "none": Balance(0),
        }
        return LedgerView(
            account=account,
            epoch=now,
            role=role,
            active=held.active,
            total=held.total,
            locked=held.locked(now, staking.config.vesting_epochs),
            least=least[role],
            withdrawable=held.withdrawn(before)[1],
            unbonding=[
                UnbondingView(chunk.amount, chunk.since, Epoch(chunk.since + unbonding + 1))
                for chunk in held.chunks
            ],
            vesting=[VestingView(each.amount, each.until) for each in held.vesting],
            nominates=staking.targets[account],
            jailed_until=_epoch_or_none(staking.jailed[account]),
        )

    @method("staking_nominations")
    def nominations(self, account: AccountId, at: Digest | None = None) -> NominationView | None:
        """Return whom an account nominates and with how much; null if nobody."""
        runtime = self._backend.runtime_after(at)
        validator = runtime.staking.targets[account]
        if validator is None:
            return None
        active = runtime.staking.ledgers[account].active
        return NominationView(validator, active, runtime.staking.stakes[validator])

    @method("staking_powerTable")
    async def power_table(
        self,
        epoch: Epoch | None = None,
        first: int = 0,
        count: int = TABLE_PAGE_MAX,
        at: Digest | None = None,
    ) -> TableView:
        """Return who votes in an epoch, the present one by default, from position `first` on."""
        require_count(count, TABLE_PAGE_MAX)
        if first < 0:
            raise invalid_parameter("first", "expected a position, from 0")
        runtime = self._backend.runtime_after(at)
        number = _now(runtime) if epoch is None else epoch
        table = runtime.session.table(number)
        entries = list(enumerate(table.validators))[first : first + count]
        slices, found = Slices(), []
        for position, entry in entries:
            keys = (entry.consensus_key, entry.vrf_key, entry.peer_key)
            found.append(TableEntry(position, entry.account, entry.weight, *keys))
            await slices.breathe()
        return TableView(
            epoch=number,
            made_for=runtime.session.origin(number),
            root=table.root,
            randomness=runtime.session.randomness[number],
            total=table.total,
            size=len(table),
            validators=found,
        )

    @method("staking_pendingRewards")
    async def pending_rewards(
        self,
        account: AccountId,
        count: int = 8,
        before: Epoch | None = None,
        at: Digest | None = None,
    ) -> RewardsPage:
        """Return what an account may still ask for, of up to `count` epochs below `before`.

        A payout is what `rewards.payout` would divide for the validator that the account is or
        nominates now; a claim is what `rewards.claim` would bond for the account's own compute.
        """
        require_count(count, REWARDS_PAGE_MAX)
        runtime = self._backend.runtime_after(at)
        now, kept = _now(runtime), runtime.rewards.sources.epochs_kept
        first = min(now, now if before is None else before) - 1
        last = max(0, now - kept, first - count + 1)
        validator = runtime.staking.targets[account] or account
        slices, found = Slices(), []
        for number in range(first, last - 1, -1):
            epoch = Epoch(number)
            payout = _payout_due(runtime, account, validator, epoch)
            claim = _claim_due(runtime, account, epoch)
            if payout is not None or claim is not None:
                found.append(RewardsDue(epoch, payout, claim))
            await slices.breathe()
        is_last = last <= max(0, now - kept)
        return RewardsPage(found, None if is_last else Epoch(last))

    @method("staking_sessionKeys")
    def session_keys(self, account: AccountId, at: Digest | None = None) -> KeysView | None:
        """Return the keys with which an account votes; null if it has registered none."""
        record = self._backend.runtime_after(at).session.keys[account]
        if record is None:
            return None
        is_from_genesis = record.previous == record.keys
        return KeysView(
            keys=_keys(record.keys),
            counts_from=Epoch(0 if is_from_genesis else record.registered + 2),
            previous=None if record.previous is None else _keys(record.previous),
        )

    @method("staking_estimateSlash")
    def estimate_slash(self, account: AccountId, at: Digest | None = None) -> SlashEstimate | None:
        """Return what it would cost if a validator signed two things in the present epoch.

        Null if nothing stands behind the account.
        """
        runtime = self._backend.runtime_after(at)
        ppb = runtime.offences.config.equivocation_ppb
        backing = runtime.staking.backing(account, _now(runtime))
        if not backing.total:
            return None
        own, *others = _losses(backing, account, ppb)
        total = own.amount + sum(each.amount for each in others)
        jail = runtime.offences.config.jail_epochs
        return SlashEstimate(ppb, Balance(total), own.amount, others, jail)


def _now(runtime: Runtime) -> Epoch:
    height = Height(runtime.context.block.height + 1)
    return epoch_of(height, runtime.session.config.epoch_length)


def _present_table(runtime: Runtime) -> PowerTable:
    return runtime.session.table(_now(runtime))


def _position_of(table: PowerTable, account: AccountId) -> int | None:
    places = (place for place, entry in enumerate(table.validators) if entry.account == account)
    return next(places, None)


def _epoch_or_none(number: int | None) -> Epoch | None:
    return None if number is None else Epoch(number)


def _role(runtime: Runtime, account: AccountId) -> Role:
    if runtime.staking.validators[account] is not None:
        return "validator"
    return "none" if runtime.staking.targets[account] is None else "nominator"


def _summary(runtime: Runtime, account: AccountId, weight: VotingPower | None) -> ValidatorSummary:
    chosen, backing = runtime.staking.validators[account], runtime.staking.backings[account]
    assert chosen is not None, "a candidate validates"
    return ValidatorSummary(
        account=account,
        commission_ppb=chosen.commission_ppb,
        eligible_since=chosen.eligible,
        own_stake=backing.own,
        total_stake=Balance(backing.total),
        nominators=len(backing.backers),
        weight=weight,
    )


def _payout_due(
    runtime: Runtime, account: AccountId, validator: AccountId, epoch: Epoch
) -> PayoutDue | None:
    with suppress(DispatchError):
        commission, parts = runtime.rewards.payout_due(validator, epoch)
        own = sum(part for owner, part in parts if owner == account)
        total = sum(part for _, part in parts)
        return PayoutDue(validator, Balance(total), commission, Balance(own))
    return None


def _claim_due(runtime: Runtime, account: AccountId, epoch: Epoch) -> ClaimDue | None:
    with suppress(DispatchError):
        return ClaimDue(*runtime.rewards.claim_due(account, epoch))
    return None


def _keys(keys: KeyTriple) -> SessionKeys:
    return SessionKeys(keys.consensus, keys.vrf, keys.peer)


def _losses(backing: Backing, validator: AccountId, fraction_ppb: int) -> Iterator[Backer]:
    for backer in backing.shares(validator):
        yield Backer(backer.account, Balance(backer.amount * fraction_ppb // PPB))
