"""What staking tells the world: its parameters, its events and its errors."""

from dataclasses import dataclass
from typing import Annotated

from primitives.codec import U32
from primitives.errors import DispatchError
from primitives.types import AccountId, Balance, Epoch
from runtime.module import Event

Ppb = Annotated[int, U32]
"""A share in parts per billion."""


@dataclass(frozen=True, slots=True)
class Config:
    validator_bond_min: Balance
    """Least own stake of a validator, in base units."""
    nominator_bond_min: Balance
    """Least stake of anybody."""
    validators_max: int
    """Most accounts that validate at one time."""
    nominators_max: int
    """Most nominators of one validator."""
    chunks_max: int
    """Most unbonding chunks of one account."""
    unbonding_epochs: int
    """How long stake that leaves can still be slashed, and evidence be brought."""
    vesting_epochs: int
    """How long the bonded part of a reward takes to vest."""


@dataclass(frozen=True, slots=True)
class Bonded(Event):
    account: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class Rewarded(Event):
    """A reward came into being as active stake; it vests until an epoch."""

    account: AccountId
    amount: Balance
    until: Epoch


@dataclass(frozen=True, slots=True)
class Unbonded(Event):
    account: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class Withdrawn(Event):
    account: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class ValidationStarted(Event):
    """The account validates, or changed its commission."""

    validator: AccountId
    commission_ppb: Ppb


@dataclass(frozen=True, slots=True)
class Nominated(Event):
    nominator: AccountId
    validator: AccountId


@dataclass(frozen=True, slots=True)
class Chilled(Event):
    """The account neither validates nor nominates any more; its stake stays bonded."""

    account: AccountId


@dataclass(frozen=True, slots=True)
class Slashed(Event):
    """``amount`` was taken from the stake of ``account`` for what ``validator`` did."""

    validator: AccountId
    account: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class Jailed(Event):
    validator: AccountId
    until: Epoch


@dataclass(frozen=True, slots=True)
class Unjailed(Event):
    validator: AccountId


class AlreadyBonded(DispatchError):
    """The account has a bond; add to it with ``bond_extra``."""


class NotBonded(DispatchError):
    """The account has no active stake."""


class BelowMinimum(DispatchError):
    """The active stake would be too small for what the account does; chill it first."""


class InsufficientBond(DispatchError):
    """Less is bonded than is to leave."""


class StillVesting(DispatchError):
    """Part of what is to leave is a reward that has not vested."""


class TooManyChunks(DispatchError):
    """Withdraw what has left before more can leave."""


class NothingToWithdraw(DispatchError):
    """No stake of the account has been leaving for long enough."""


class InvalidCommission(DispatchError):
    """A commission is at most the whole: 10**9."""


class TooManyValidators(DispatchError):
    """All places for validators are taken."""


class TooManyNominators(DispatchError):
    """That validator has as many nominators as it may."""


class NotValidating(DispatchError):
    """That account is no validator."""


class AlreadyValidating(DispatchError):
    """A validator nominates nobody; chill it first."""


class AlreadyNominating(DispatchError):
    """A nominator does not validate, and names a validator once; chill it first."""


class NothingToChill(DispatchError):
    """The account neither validates nor nominates."""


class InJail(DispatchError):
    """The account was jailed; see ``offences.unjail``."""


class NotJailed(DispatchError):
    """The account is not in jail."""


class StillJailed(DispatchError):
    """The delay before the account may leave jail is not over."""


EVENTS: tuple[type[Event], ...] = (
    Bonded,
    Rewarded,
    Unbonded,
    Withdrawn,
    ValidationStarted,
    Nominated,
    Chilled,
    Slashed,
    Jailed,
    Unjailed,
)
ERRORS: tuple[type[DispatchError], ...] = (
    AlreadyBonded,
    NotBonded,
    BelowMinimum,
    InsufficientBond,
    StillVesting,
    TooManyChunks,
    NothingToWithdraw,
    InvalidCommission,
    TooManyValidators,
    TooManyNominators,
    NotValidating,
    AlreadyValidating,
    AlreadyNominating,
    NothingToChill,
    InJail,
    NotJailed,
    StillJailed,
)
