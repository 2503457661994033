"""``pocps_*``: classes, challenges, what providers owe and have proven, and what faults cost.

Everything is read from the state after one block, and speaks of the epoch of that block.
"""

from collections.abc import Sequence

from node.rpc.backend import RuntimeBackend
from node.rpc.errors import invalid_parameter, require_count
from node.rpc.method import method
from node.rpc.namespaces.pocps_views import (
    ChallengeView,
    ClassView,
    CommitmentView,
    FaultCost,
    FaultView,
    ForwardPassView,
    LeavingView,
    MaintenanceView,
    PenaltyView,
    PowerEntry,
    PowerView,
    ProviderView,
    RewardView,
    Step,
    StorageView,
)
from node.rpc.slices import Slices
from primitives.types import AccountId, Balance, Digest, Epoch
from runtime.fees import PPB
from runtime.pocps.classes import ResourceClass, kind_of, response_weight
from runtime.pocps.ladder import STEPS
from runtime.pocps.module import Pocps as PocpsModule
from runtime.pocps.provider import Provider
from runtime.power import voting_power
from runtime.rewards import ramp_ppb
from runtime.runtime import Runtime

POWER_PAGE_MAX = 100
PROVIDERS_PAGE_MAX = 100
UINT32_MAX = 2**32 - 1


class Pocps:
    """Proofs of computing power."""

    def __init__(self, backend: RuntimeBackend) -> None:
        self._backend = backend

    @method("pocps_classes")
    def classes(self, at: Digest | None = None) -> Sequence[ClassView]:
        """Return every class of resources with its terms and what its providers have proven."""
        pocps = self._backend.runtime_after(at).pocps
        return [_class_view(pocps, class_id) for class_id in pocps.class_ids.get()]

    @method("pocps_challenge")
    def challenge(self, class_id: int, at: Digest | None = None) -> ChallengeView:
        """Return what a class's providers prove in the epoch, and the blocks in which they may."""
        runtime = self._backend.runtime_after(at)
        pocps, block = runtime.pocps, runtime.context.block
        kind = kind_of(pocps.standings.resource(_u32("classId", class_id)))
        drawing = pocps.drawing.get()
        is_drawn = drawing is not None and drawing.epoch == block.epoch
        return ChallengeView(
            class_id=class_id,
            height=block.height,
            epoch=block.epoch,
            challenge=kind.challenge(runtime.session.challenge_seed(block.epoch)),
            place=pocps.place,
            commit_deadline=pocps.config.commit_deadline,
            sample_block=pocps.config.sample_block,
            respond_deadline=pocps.config.respond_deadline,
            epoch_length=pocps.terms.epoch_length,
            beacon=drawing.beacon if drawing is not None and is_drawn else None,
        )

    @method("pocps_provider")
    def provider(self, account: AccountId, at: Digest | None = None) -> Sequence[ProviderView]:
        """Return what an account has in each class: units, proofs, bond, strikes, what it owes."""
        pocps = self._backend.runtime_after(at).pocps
        standings = (
            (class_id, pocps.standings.find((class_id, account)))
            for class_id in pocps.class_ids.get()
        )
        return [
            _provider_view(pocps, class_id, account, known)
            for class_id, known in standings
            if known is not None
        ]

    @method("pocps_providers")
    async def providers(
        self,
        class_id: int,
        count: int = PROVIDERS_PAGE_MAX,
        first: int = 0,
        at: Digest | None = None,
    ) -> Sequence[ProviderView]:
        """Return the providers of a class in the order of their places, from place `first` on.

        Places are not kept for ever: when one leaves, the last takes its place.
        """
        require_count(count, PROVIDERS_PAGE_MAX)
        pocps = self._backend.runtime_after(at).pocps
        places = pocps.standings.tally(_u32("classId", class_id)).places
        slices, found = Slices(), []
        for slot in range(_u32("first", first), min(places, first + count)):
            account = pocps.places[class_id, slot]
            # Settling one before may have moved the last into its place.
            known = None if account is None else pocps.standings.find((class_id, account))
            if account is not None and known is not None:
                found.append(_provider_view(pocps, class_id, account, known))
            await slices.breathe()
        return found

    @method("pocps_faults")
    def faults(
        self, account: AccountId, class_id: int, at: Digest | None = None
    ) -> Sequence[FaultView]:
        """Return what a provider failed to prove, why, and what it cost: the last 16 times.

        The newest is first.
        """
        pocps = self._backend.runtime_after(at).pocps
        key = (_u32("classId", class_id), account)
        pocps.standings.find(key)
        return [
            FaultView(each.epoch, each.height, each.reason, each.step, each.slashed)
            for each in reversed(pocps.faults[key])
        ]

    @method("pocps_estimatePenalty")
    def estimate_penalty(
        self, account: AccountId, class_id: int, at: Digest | None = None
    ) -> PenaltyView:
        """Return what a provider's next fault in a class would cost it, before it happens."""
        pocps = self._backend.runtime_after(at).pocps
        key = (_u32("classId", class_id), account)
        penalty = pocps.penalty(*key)
        return PenaltyView(
            class_id=class_id,
            bond=pocps.standings.known(key).bond,
            missed=_cost(penalty.missed_step, penalty.missed_slash, is_grave=False),
            invalid=_cost(penalty.invalid_step, penalty.invalid_slash, is_grave=True),
        )

    @method("pocps_estimateReward")
    def estimate_reward(self, class_id: int, units: int, at: Digest | None = None) -> RewardView:
        """Return what so many more units of a class would earn in an epoch, as things stand.

        What all compute is paid, and what others prove, is taken to be as in the last whole epoch.
        """
        runtime = self._backend.runtime_after(at)
        resource = runtime.pocps.standings.resource(_u32("classId", class_id))
        if not 1 <= units <= resource.units_max:
            raise invalid_parameter("units", f"expected 1 to {resource.units_max}")
        last, config = _before(runtime.context.block.epoch), runtime.rewards.config
        own, others = _weights(runtime, resource, units, last)
        allotted = runtime.rewards.allotment_of(last).compute
        share = allotted * own // max(1, own + others)
        # Units earn no more than what their bond was made for.
        whole = min(share, units * resource.reward_max)
        return RewardView(
            class_id=class_id,
            units=units,
            bond=Balance(units * resource.bond_per_unit),
            compute_allotment=allotted,
            share_ppb=own * PPB // max(1, own + others),
            first=Balance(whole * ramp_ppb(0, config.ramp_epochs) // PPB),
            whole=Balance(whole),
            ramp_epochs=config.ramp_epochs,
        )

    @method("pocps_powerTable")
    async def power_table(
        self, count: int = POWER_PAGE_MAX, after: AccountId | None = None, at: Digest | None = None
    ) -> PowerView:
        """Return stake, proven operations and weight of those who stand for the next table.

        They come in the order of their account ids, beyond `after`.
        """
        require_count(count, POWER_PAGE_MAX)
        runtime = self._backend.runtime_after(at)
        epoch = runtime.context.block.epoch
        table = runtime.session.table(epoch)
        weights = {entry.account: entry.weight for entry in table.validators}
        standing = runtime.staking.candidates.get()
        beyond = [account for account in standing if after is None or account > after][:count]
        slices, entries = Slices(), []
        for account in beyond:
            stake = runtime.staking.stakes[account]
            operations = runtime.pocps.proven_operations(account, epoch)
            projected = voting_power(stake, operations)
            weight = weights.get(account)
            entries.append(PowerEntry(account, stake, operations, projected, weight))
            await slices.breathe()
        return PowerView(
            epoch=epoch,
            total_weight=table.total,
            total_operations=runtime.pocps.total_operations(epoch),
            last_operations=runtime.pocps.total_operations(_before(epoch)),
            entries=entries,
        )


def _u32(name: str, value: int) -> int:
    if not 0 <= value <= UINT32_MAX:
        raise invalid_parameter(name, f"expected an integer from 0 to {UINT32_MAX}")
    return value


def _before(epoch: Epoch) -> Epoch:
    return Epoch(max(0, epoch - 1))


def _class_view(pocps: PocpsModule, class_id: int) -> ClassView:
    record = pocps.standings.resource(class_id)
    tally = pocps.standings.tally(class_id)
    network, chunks = record.forward_pass, record.storage
    return ClassView(
        class_id=class_id,
        name=record.name,
        kind=record.kind,
        forward_pass=None
        if network is None
        else ForwardPassView(
            network.width, network.depth, network.rows_per_unit, network.rows_per_leaf
        ),
        storage=None if chunks is None else _storage_view(record),
        samples=record.samples,
        units_min=record.units_min,
        units_max=record.units_max,
        providers=tally.places,
        providers_max=record.providers_max,
        bond_per_unit=record.bond_per_unit,
        reward_max=record.reward_max,
        operations_per_unit=kind_of(record).operations_per_unit,
        response_weight=response_weight(record),
        live_units=tally.live,
        proven_units=tally.proven,
    )


def _storage_view(record: ResourceClass) -> StorageView:
    chunks = record.storage
    assert chunks is not None, "the class is one of storage"
    sizes = (chunks.labels_per_chunk, chunks.passes, chunks.chunks_per_unit)
    return StorageView(*sizes, chunks.operations_per_unit)


def _provider_view(
    pocps: PocpsModule, class_id: int, account: AccountId, known: Provider
) -> ProviderView:
    unbonding = pocps.terms.unbonding_epochs
    committed, spell = known.commitment, known.maintenance
    return ProviderView(
        account=account,
        class_id=class_id,
        epoch=known.epoch,
        step=_step(pocps, known),
        units=known.units,
        due=known.due,
        live=known.live,
        proven=known.proven,
        leased=known.leased,
        is_engaged=known.is_engaged,
        commitment=None
        if committed is None
        else CommitmentView(committed.units, committed.excused, committed.root),
        bond=known.bond,
        leaving=[
            LeavingView(chunk.amount, chunk.since, Epoch(chunk.since + unbonding + 1))
            for chunk in known.leaving
        ],
        withdrawable=known.withdrawn(Epoch(max(0, known.epoch - unbonding)))[1],
        strikes=pocps.config.ladder.recent(known.strikes, known.epoch),
        jailed_until=known.free_from if known.is_jailed else None,
        maintenance=None if spell is None else MaintenanceView(spell.first, spell.end),
    )


def _weights(
    runtime: Runtime, resource: ResourceClass, units: int, epoch: Epoch
) -> tuple[int, int]:
    """Return what so many units would have weighed in an ended epoch's rewards, and all others."""
    pocps, prices = runtime.pocps, runtime.rewards.sources.market.prices(epoch)
    if not prices:
        operations = kind_of(resource).operations_per_unit
        return units * operations, pocps.total_operations(epoch)
    others = sum(each.price * pocps.class_units_in(each.class_id, epoch) for each in prices)
    own = sum(each.price * units for each in prices if each.class_id == resource.class_id)
    return own, others


def _step(pocps: PocpsModule, known: Provider) -> Step:
    """Return what a provider can do next in the block to come of the same epoch."""
    if known.is_jailed:
        return "jailed"
    if not known.due:
        return "nothing"
    if known.proven:
        return "proven"
    following = pocps.place + 1
    if known.commitment is None:
        return "commit" if following <= pocps.config.commit_deadline else "late"
    if following <= pocps.config.sample_block:
        # The beacon of that block is known once it is made.
        return "wait"
    return "respond" if following <= pocps.config.respond_deadline else "late"


def _cost(step: int, slashed: Balance, *, is_grave: bool) -> FaultCost:
    is_out = step == STEPS
    return FaultCost(step, slashed, jails=is_grave or is_out, removes=is_out)
