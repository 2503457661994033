"""What ``staking_*`` answers with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from primitives.types import AccountId, Balance, Digest, Epoch, PublicKey, VotingPower

Role = Literal["validator", "nominator", "none"]


@dataclass(frozen=True, slots=True)
class Backer:
    account: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class ValidatorSummary:
    account: AccountId
    commission_ppb: int
    eligible_since: Epoch
    """First epoch whose table may name it."""
    own_stake: Balance
    total_stake: Balance
    nominators: int
    weight: VotingPower | None
    """In the table of the present epoch; null if that does not name it."""


@dataclass(frozen=True, slots=True)
class ValidatorView:
    account: AccountId
    commission_ppb: int
    eligible_since: Epoch
    own_stake: Balance
    total_stake: Balance
    nominators: Sequence[Backer]
    weight: VotingPower | None
    position: int | None
    """In the table of the present epoch."""


@dataclass(frozen=True, slots=True)
class UnbondingView:
    amount: Balance
    since: Epoch
    withdrawable_from: Epoch


@dataclass(frozen=True, slots=True)
class VestingView:
    amount: Balance
    until: Epoch


@dataclass(frozen=True, slots=True)
class LedgerView:
    account: AccountId
    epoch: Epoch
    """The present one."""
    role: Role
    active: Balance
    total: Balance
    """With what is leaving."""
    locked: Balance
    """Part of the active stake that has not vested."""
    least: Balance
    """What must stay bonded for the account's role."""
    withdrawable: Balance
    unbonding: Sequence[UnbondingView]
    vesting: Sequence[VestingView]
    nominates: AccountId | None
    jailed_until: Epoch | None


@dataclass(frozen=True, slots=True)
class NominationView:
    validator: AccountId
    amount: Balance
    validator_stake: Balance
    """All that is behind the validator."""


@dataclass(frozen=True, slots=True)
class TableEntry:
    position: int
    account: AccountId
    weight: VotingPower
    consensus_key: PublicKey
    vrf_key: PublicKey
    peer_key: PublicKey | None


@dataclass(frozen=True, slots=True)
class TableView:
    epoch: Epoch
    made_for: Epoch
    """Earlier than the epoch if too little compute was proven since, and the table stayed."""
    root: Digest
    randomness: Digest
    total: VotingPower
    size: int
    validators: Sequence[TableEntry]


@dataclass(frozen=True, slots=True)
class PayoutDue:
    validator: AccountId
    total: Balance
    commission: Balance
    own: Balance
    """The account's part of the total."""


@dataclass(frozen=True, slots=True)
class ClaimDue:
    amount: Balance
    withheld: Balance
    """What a newcomer's ramp keeps back."""


@dataclass(frozen=True, slots=True)
class RewardsDue:
    epoch: Epoch
    payout: PayoutDue | None
    claim: ClaimDue | None


@dataclass(frozen=True, slots=True)
class RewardsPage:
    rewards: Sequence[RewardsDue]
    """Newest epoch first; epochs for which nothing is due are left out."""
    next: Epoch | None
    """What to give as ``before`` for what is older; null at the end of the record."""


@dataclass(frozen=True, slots=True)
class SessionKeys:
    consensus: PublicKey
    vrf: PublicKey
    peer: PublicKey


@dataclass(frozen=True, slots=True)
class KeysView:
    keys: SessionKeys
    counts_from: Epoch
    """First epoch whose table may name these keys."""
    previous: SessionKeys | None
    """What the tables before that may name."""


@dataclass(frozen=True, slots=True)
class SlashEstimate:
    fraction_ppb: int
    total: Balance
    own: Balance
    nominators: Sequence[Backer]
    """What each of them would lose."""
    jail_epochs: int
