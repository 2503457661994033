"""The chain at a glance: its modules, in the order in which their hooks run."""

from dataclasses import dataclass

from primitives.codec import OutOfRange
from primitives.errors import DispatchError
from primitives.types import Signer
from runtime import (
    balances,
    fees,
    multisig,
    offences,
    proxy,
    rewards,
    session,
    system,
)
from runtime.availability import IdleMarket
from runtime.balances import Balances
from runtime.call_table import CallTable
from runtime.fees import BlockLimits, Fees
from runtime.jobs import records as jobs
from runtime.jobs.market import Market
from runtime.jobs.module import Jobs
from runtime.jobs.surroundings import Surroundings
from runtime.module import Call, Context, Module
from runtime.multisig import Multisig
from runtime.offences import EvidenceJudge, Offences, Reach
from runtime.pocps import records as pocps
from runtime.pocps.module import Pocps
from runtime.pocps.room import Terms
from runtime.pocps.standings import SLASH_HOLD
from runtime.pools import events as pools
from runtime.pools.desk import Services
from runtime.pools.market import PoolMarket
from runtime.pools.module import Pools
from runtime.power import ComputeGrant, ProvenStake
from runtime.proxy import Proxy
from runtime.rewards import Rewards, Sources
from runtime.session import Session
from runtime.staking import records as staking
from runtime.staking.module import Staking
from runtime.system import System
from runtime.timestamp import Timestamp
from runtime.utility import Utility

MODULES: tuple[type[Module], ...] = (
    System,
    Timestamp,
    Balances,
    Fees,
    Session,
    Utility,
    Multisig,
    Proxy,
    Staking,
    Offences,
    Rewards,
    Pocps,
    Pools,
    Jobs,
)
CALLS = CallTable(MODULES)
ERROR_NAMES = {
    error: f"{module.name}.{error.__name__}" for module in MODULES for error in module.errors
}


class NotSigned(DispatchError):
    """An inherent cannot be made by an account."""


RUNTIME_ERRORS: tuple[type[DispatchError], ...] = (NotSigned, OutOfRange)
"""What any call may fail with, beside its module's own errors."""


@dataclass(frozen=True, slots=True)
class Config:
    """The parameters of every module, from the chain spec."""

    system: system.Config
    balances: balances.Config
    fees: fees.Config
    session: session.Config
    multisig: multisig.Config
    proxy: proxy.Config
    staking: staking.Config
    offences: offences.Config
    rewards: rewards.Config
    pocps: pocps.Config
    pools: pools.Config
    jobs: jobs.Config
    compute: tuple[ComputeGrant, ...]
    """What counts as proven in the first ``pocps.grant_epochs`` epochs; sorted by account."""


def proof_terms(config: Config) -> Terms:
    """Return what the other modules' parameters mean for proofs of computing power."""
    return Terms(
        epoch_length=config.session.epoch_length,
        unbonding_epochs=config.staking.unbonding_epochs,
        extrinsic_length_max=config.system.extrinsic_length_max,
        limits=BlockLimits(config.system.block_weight_max, config.system.block_length_max),
    )


class Runtime:
    """Every module of the chain over one state."""

    def __init__(self, context: Context, config: Config, judge: EvidenceJudge) -> None:
        unbonding = config.staking.unbonding_epochs
        limits = BlockLimits(config.system.block_weight_max, config.system.block_length_max)
        self.context = context
        self.config = config
        self.system = System(context, config.system)
        self.timestamp = Timestamp(context)
        self.balances = Balances(context, config.balances)
        self.fees = Fees(context, config.fees, limits=limits, currency=self.balances)
        self.staking = Staking(context, config.staking, tokens=self.balances)
        self.pocps = Pocps(
            context,
            config.pocps,
            tokens=self.balances,
            chain=self,
            terms=proof_terms(config),
            grants=config.compute,
        )
        self.session = Session(
            context,
            config.session,
            power=ProvenStake(self.staking, self.pocps),
            # The epochs that can still be judged and paid, the present one and the next.
            tables_kept=unbonding + 2,
        )
        self.utility = Utility(context, dispatcher=self)
        self.multisig = Multisig(context, config.multisig, holder=self.balances, dispatcher=self)
        self.proxy = Proxy(context, config.proxy, holder=self.balances, dispatcher=self)
        self.rewards = self._make_rewards()
        reach = Reach(self.session, self.staking, self.rewards, unbonding)
        self.offences = Offences(context, config.offences, reach=reach, judge=judge)
        self.pools = self._open_pools()
        self.jobs = self._make_jobs()
        self.modules: tuple[Module, ...] = (
            self.system,
            self.timestamp,
            self.balances,
            self.fees,
            self.session,
            self.utility,
            self.multisig,
            self.proxy,
            self.staking,
            self.offences,
            self.rewards,
            self.pocps,
            self.pools,
            self.jobs,
        )
        self._by_name = {module.name: module for module in self.modules}

    def dispatch(self, signer: Signer, call: Call) -> None:
        """Make ``call`` as ``signer``; if it fails, its writes and events are undone.

        Raises: DispatchError.
        """
        entry = call.entry
        if entry.is_inherent:
            raise NotSigned(f"{entry.name} is for block authors")
        with self.context.transaction():
            entry.function(self._by_name[entry.module], signer, *call.arguments)

    def put_in(self, call: Call) -> None:
        """Make an inherent ``call`` for the block's author. Raises: DispatchError."""
        with self.context.transaction():
            call.entry.function(self._by_name[call.entry.module], *call.arguments)

    def error_name(self, error: DispatchError) -> str:
        """Return ``module.ErrorName``; errors of no module belong to ``runtime``."""
        return ERROR_NAMES.get(type(error)) or f"runtime.{error.reason}"

    def _make_rewards(self) -> Rewards:
        config = self.config
        sources = Sources(
            issuer=self.balances,
            stake=self.staking,
            tables=self.session,
            compute=self.pocps,
            market=PoolMarket(self, IdleMarket(config.rewards.spec_price(), self.pocps)),
            epoch_length=config.session.epoch_length,
            epochs_kept=config.staking.unbonding_epochs,
        )
        return Rewards(self.context, config.rewards, sources=sources)

    def _open_pools(self) -> Pools:
        services = Services(
            tokens=self.balances,
            providers=self.pocps,
            beacon=self.session.latest_beacon,
            slash_hold=SLASH_HOLD,
            epoch_length=self.config.session.epoch_length,
            memory_blocks=self.config.jobs.dispute_blocks,
        )
        return Pools(self.context, self.config.pools, services=services)

    def _make_jobs(self) -> Jobs:
        market = Market(self.pools, self.pocps)
        around = Surroundings(leases=market, bonds=market, tokens=self.balances, chain=self.session)
        return Jobs(self.context, self.config.jobs, around=around)
