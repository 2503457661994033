"""What ``pocps_*`` answers with. Units are milli-units: 1000 are a reference device of a class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from primitives.types import AccountId, Balance, Digest, Epoch, Height, VotingPower, Weight

Step = Literal["nothing", "commit", "wait", "respond", "proven", "jailed", "late"]


@dataclass(frozen=True, slots=True)
class ForwardPassView:
    width: int
    depth: int
    rows_per_unit: int
    rows_per_leaf: int


@dataclass(frozen=True, slots=True)
class StorageView:
    labels_per_chunk: int
    passes: int
    chunks_per_unit: int
    operations_per_unit: int


@dataclass(frozen=True, slots=True)
class ClassView:
    class_id: int
    name: str
    kind: str
    forward_pass: ForwardPassView | None
    storage: StorageView | None
    samples: int
    units_min: int
    units_max: int
    providers: int
    providers_max: int
    bond_per_unit: Balance
    reward_max: Balance
    operations_per_unit: int
    response_weight: Weight
    """What a response has to allow for its verification."""
    live_units: int
    """Of all providers: proven in the epoch before, standing in this one."""
    proven_units: int
    """Of all providers, in this epoch so far."""


@dataclass(frozen=True, slots=True)
class ChallengeView:
    class_id: int
    height: Height
    epoch: Epoch
    challenge: Digest
    """What the class's work of the epoch is expanded from."""
    place: int
    """The block's place in its epoch, from 1 on; the deadlines are such places."""
    commit_deadline: int
    sample_block: int
    respond_deadline: int
    epoch_length: int
    beacon: Digest | None
    """What draws the leaves of the epoch; null before the sample block."""


@dataclass(frozen=True, slots=True)
class CommitmentView:
    units: int
    excused: int
    """Units that prove themselves by serving leases."""
    root: Digest


@dataclass(frozen=True, slots=True)
class LeavingView:
    amount: Balance
    since: Epoch
    withdrawable_from: Epoch


@dataclass(frozen=True, slots=True)
class MaintenanceView:
    first: Epoch
    end: Epoch
    """The first epoch after it."""


@dataclass(frozen=True, slots=True)
class ProviderView:
    account: AccountId
    class_id: int
    epoch: Epoch
    step: Step
    """What the provider has to do next in this epoch."""
    units: int
    due: int
    """Units that owe a proof in this epoch."""
    live: int
    proven: int
    leased: int
    is_engaged: bool
    """Whether a pool has a claim on the units, so that they cannot leave."""
    commitment: CommitmentView | None
    bond: Balance
    leaving: Sequence[LeavingView]
    withdrawable: Balance
    strikes: Sequence[Epoch]
    """Steps of the fault ladder that still count, by the epoch of their fault."""
    jailed_until: Epoch | None
    maintenance: MaintenanceView | None


@dataclass(frozen=True, slots=True)
class FaultView:
    epoch: Epoch
    height: Height
    """Of the block that found it."""
    reason: str
    step: int
    """0 for a declared absence."""
    slashed: Balance


@dataclass(frozen=True, slots=True)
class FaultCost:
    step: int
    slashed: Balance
    jails: bool
    removes: bool
    """Whether the provider loses its place in the class."""


@dataclass(frozen=True, slots=True)
class PenaltyView:
    class_id: int
    bond: Balance
    missed: FaultCost
    """If no commitment or no response comes."""
    invalid: FaultCost
    """If a response proves something else than was committed."""


@dataclass(frozen=True, slots=True)
class RewardView:
    class_id: int
    units: int
    bond: Balance
    compute_allotment: Balance
    """What all that was proven got for the last whole epoch."""
    share_ppb: int
    """What of it these units would have got, at what a unit of each class was worth then."""
    first: Balance
    """What the units earn in their first epoch."""
    whole: Balance
    """What they earn an epoch once the ramp is over."""
    ramp_epochs: int


@dataclass(frozen=True, slots=True)
class PowerEntry:
    account: AccountId
    stake: Balance
    operations: int
    """Proven in the epoch so far, with what the chain spec grants."""
    projected: VotingPower
    """Weight in the next table if the epoch ended now and the keys are in time."""
    weight: VotingPower | None
    """In the table of the present epoch; null if that does not name it."""


@dataclass(frozen=True, slots=True)
class PowerView:
    epoch: Epoch
    total_weight: VotingPower
    total_operations: int
    """Proven in the epoch so far, by everybody."""
    last_operations: int
    """Proven in the epoch before, by everybody."""
    entries: Sequence[PowerEntry]
