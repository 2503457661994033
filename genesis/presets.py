"""Chain specs made from a few choices: development chains, local test nets, a start for others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from genesis.spec import ChainSpec, Consensus, Endowment, Member
from primitives.derivation import derive_key_pair
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Millis,
    Operations,
    PublicKey,
    SpecVersion,
    Weight,
)
from runtime import balances, fees, multisig, offences, proxy, rewards, session, system
from runtime.jobs import records as jobs
from runtime.pocps import records as pocps
from runtime.pocps.classes import ForwardPassTerms, ResourceClass, StorageTerms
from runtime.pocps.ladder import Ladder
from runtime.pools import events as pools
from runtime.pools.events import GenesisPool
from runtime.pools.parameters import DEFAULT_CURVE, PoolParameters, parameters_of
from runtime.power import ComputeGrant
from runtime.runtime import Config
from runtime.staking import records as staking

LOOP = 10**9
"""Base units in one LOOP."""
DEV_ENDOWMENT = 1_000_000 * LOOP
DEV_BOND = 10_000 * LOOP
DEV_OPERATIONS = Operations(10**13)
"""Proven compute that every dev account and validator starts with."""
DEV_NAMES = ("Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie")
DEV_GENESIS_TIME = Millis(1_767_225_600_000)
"""2026-01-01T00:00Z."""
BLOCK_INTERVAL = Millis(1000)
EPOCH_LENGTH = 600
DEV_EPOCH_LENGTH = 60
"""What is staked can be leased after the epoch that proves it: two minutes from the start."""
DEV_RANDOMNESS = Digest(bytes(range(32)))


@dataclass(frozen=True, slots=True)
class SessionSeeds:
    """The secrets with which a validator's node votes, draws and is known."""

    consensus: bytes
    vrf: bytes
    peer: bytes


def dev_session_seeds(name: str) -> SessionSeeds:
    """Return the session secrets of ``//Alice`` and her friends, which everybody knows."""
    seeds = (derive_key_pair(f"//{name}//{role}").seed for role in ("consensus", "vrf", "peer"))
    return SessionSeeds(*seeds)


def dev_account(name: str) -> AccountId:
    """Return the account of ``//Alice`` and her friends."""
    return AccountId(derive_key_pair(f"//{name}").public)


def dev_member(name: str, bond: int = DEV_BOND) -> Member:
    """Return ``//Alice`` or a friend as a genesis validator; ``bond`` in base units."""
    seeds = dev_session_seeds(name)
    consensus, vrf, peer = (
        PublicKey(derive_key_pair("0x" + seed.hex()).public)
        for seed in (seeds.consensus, seeds.vrf, seeds.peer)
    )
    return Member(dev_account(name), consensus, vrf, peer, Balance(bond))


def small_runtime_config() -> Config:
    """Return the module parameters of development and local chains."""
    return Config(
        system=system.Config(
            spec_version=SpecVersion(1),
            block_weight_max=Weight(1_000_000_000),
            block_length_max=4 << 20,
            extrinsic_length_max=1 << 16,
            extrinsic_weight=Weight(40_000),
        ),
        balances=balances.Config(existential_deposit=Balance(LOOP // 1000)),
        fees=fees.Config(
            fee_per_weight_ppb=10**9,
            fee_per_byte=Balance(100),
            base_fee_min_ppb=10**9,
            base_fee_max_ppb=10**13,
            target_fullness_ppb=500_000_000,
            burned_ppb=500_000_000,
        ),
        session=session.Config(epoch_length=EPOCH_LENGTH),
        multisig=multisig.Config(
            deposit_base=Balance(LOOP), deposit_per_approval=Balance(LOOP // 10)
        ),
        proxy=proxy.Config(deposit_base=Balance(LOOP), deposit_per_entry=Balance(LOOP // 10)),
        staking=staking.Config(
            validator_bond_min=Balance(1000 * LOOP),
            nominator_bond_min=Balance(10 * LOOP),
            validators_max=64,
            nominators_max=32,
            chunks_max=16,
            unbonding_epochs=6,
            vesting_epochs=30,
        ),
        offences=offences.Config(
            equivocation_ppb=50_000_000, reporter_ppb=100_000_000, jail_epochs=2
        ),
        rewards=small_rewards_config(),
        pocps=small_pocps_config(),
        pools=small_pools_config(),
        jobs=small_jobs_config(),
        compute=(),
    )


def small_rewards_config() -> rewards.Config:
    """Return the rewards of development and local chains: a day's behaviour in an epoch."""
    return rewards.Config(
        pot=Balance(100_000_000 * LOOP),
        half_life_epochs=1095,
        operations_per_unit=10**9,
        supply_base=10_000,
        base_price_q32=10**6 << 32,
        target_q16=3 << 14,
        idle_ppb=500_000_000,
        value_cap_ppb=50_000_000,
        recycled_ppb=500_000_000,
        recycle_shift=10,
        author_ppb=100_000_000,
        voter_ppb=100_000_000,
        ramp_epochs=30,
    )


CPU_CLASS = ResourceClass(
    class_id=1,
    name="cpu",
    forward_pass=ForwardPassTerms(width=256, depth=4, rows_per_unit=256, rows_per_leaf=4),
    storage=None,
    samples=16,
    units_min=10,
    units_max=10_000,
    providers_max=1000,
    bond_per_unit=Balance(LOOP),
    reward_max=Balance(LOOP // 25),
)
"""Small enough for any machine: 1000 units are two seconds of one core."""
DEV_UNITS = 500
"""What a development chain's provider stakes if nothing else is said; slow machines prove it."""
STORAGE_CLASS = ResourceClass(
    class_id=2,
    name="storage",
    forward_pass=None,
    storage=StorageTerms(
        labels_per_chunk=32, passes=16, chunks_per_unit=4, operations_per_unit=10**7
    ),
    samples=8,
    units_min=10,
    units_max=10_000,
    providers_max=1000,
    bond_per_unit=Balance(LOOP // 10),
    reward_max=Balance(LOOP // 250),
)
"""A unit is 4 KiB, so that a development chain's provider seals its chunks in seconds."""


def small_pocps_config(epoch_length: int = EPOCH_LENGTH) -> pocps.Config:
    """Return the proofs of development and local chains, whose epochs stand for days."""
    commit = max(1, epoch_length // 2)
    return pocps.Config(
        classes=(CPU_CLASS, STORAGE_CLASS),
        governor=None,
        commit_deadline=commit,
        sample_block=commit + (2 if epoch_length > 20 else 1),
        respond_deadline=max(commit + 1, 3 * epoch_length // 4),
        respond_share_ppb=500_000_000,
        ladder=Ladder(
            window_epochs=7,
            first_ppb=0,
            second_ppb=500_000_000,
            third_ppb=500_000_000,
            jail_epochs=2,
        ),
        maintenance_epochs_max=3,
        chunks_max=16,
        sweep_max=64,
        grant_epochs=10**9,
        providers=(),
    )


def small_pools_config() -> pools.Config:
    """Return the pools of development and local chains: a market day passes in an epoch."""
    rule = parameters_of(PoolParameters(DEFAULT_CURVE))
    return pools.Config(
        market_interval=Millis(86_400_000 // EPOCH_LENGTH),
        price_period=5,
        average_shift=3,
        start_price_min_q32=1,
        start_price_max_q32=10**9 << 32,
        deposit=Balance(100 * LOOP),
        pools_max=32,
        members_max=256,
        shares_max=8,
        served_max=64,
        leases_of_max=256,
        ends_max=64,
        exits_max=4,
        changes_max=4,
        loss_blocks=EPOCH_LENGTH,
        history_max=1024,
        pools=(
            GenesisPool(CPU_CLASS.class_id, 50_000 << 32, rule),
            GenesisPool(STORAGE_CLASS.class_id, 5_000 << 32, rule),
        ),
    )


def small_jobs_config() -> jobs.Config:
    """Return the rules for jobs of development and local chains: a dispute ends in minutes."""
    return jobs.Config(
        answer_blocks=20,
        dispute_blocks=120,
        disputes_max=64,
        bond=Balance(10 * LOOP),
        bond_burned_ppb=500_000_000,
        slash_ppb=200_000_000,
        service_deposit=Balance(LOOP),
    )


def build_spec(  # noqa: PLR0913 - the choices
    *,
    id: str,  # noqa: A002 - the key's name in the spec
    name: str,
    chain_type: str,
    validators: Sequence[Member],
    endowed: Sequence[AccountId],
    genesis_time: Millis = DEV_GENESIS_TIME,
    randomness: Digest = DEV_RANDOMNESS,
    block_interval: Millis = BLOCK_INTERVAL,
    boot_nodes: Sequence[str] = (),
) -> ChainSpec:
    """Return the spec of a test chain whose ``endowed`` accounts hold a million LOOP each."""
    proving = sorted({*endowed, *(member.account for member in validators)})
    compute = tuple(ComputeGrant(account, DEV_OPERATIONS) for account in proving)
    return ChainSpec(
        id=id,
        name=name,
        chain_type=chain_type,
        ss58_prefix=42,
        token_symbol="LOOP",  # noqa: S106 - a currency
        token_decimals=9,
        genesis_time=genesis_time,
        genesis_randomness=randomness,
        consensus=Consensus(
            block_interval=block_interval,
            leader_timeout=Millis(block_interval + 2000),
            advance_timeout=Millis(block_interval + 3000),
            clock_drift_max=Millis(2000),
        ),
        runtime=replace(small_runtime_config(), compute=compute),
        balances=tuple(Endowment(item, Balance(DEV_ENDOWMENT)) for item in sorted(set(endowed))),
        validators=tuple(sorted(validators, key=lambda member: member.account)),
        boot_nodes=tuple(boot_nodes),
    )


def dev_spec() -> ChainSpec:
    """Return the spec of ``loopin node --dev``: //Alice alone validates, epochs are short."""
    spec = build_spec(
        id="dev",
        name="LooPIN Development",
        chain_type="development",
        validators=[dev_member("Alice")],
        endowed=[dev_account(name) for name in DEV_NAMES],
    )
    runtime = replace(
        spec.runtime,
        session=session.Config(epoch_length=DEV_EPOCH_LENGTH),
        pocps=small_pocps_config(DEV_EPOCH_LENGTH),
    )
    return replace(spec, runtime=runtime)


def local_spec() -> ChainSpec:
    """Return the spec of a chain of four validators on one machine: //Alice to //Dave."""
    return build_spec(
        id="local",
        name="LooPIN Local Testnet",
        chain_type="local",
        validators=[dev_member(name) for name in DEV_NAMES[:4]],
        endowed=[dev_account(name) for name in DEV_NAMES],
    )
