"""What the parts of the pools module share: its tables, and how tokens move through a pool."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from primitives.types import AccountId, Balance, Height
from runtime.module import BoundMap, BoundValue, Context, Event
from runtime.pools import events
from runtime.pools.controller import Clock, Rates
from runtime.pools.memory import Memory
from runtime.pools.pricing import Blocks
from runtime.pools.providers import Beacon, PoolTokens, Providers
from runtime.pools.records import (
    ESCROW,
    PROVIDER_PPB,
    Books,
    Lease,
    Member,
    Pool,
    PoolState,
    Sample,
    pool_account,
)
from runtime.pools.settlement import REWARD_Q64, Terms


@dataclass(frozen=True, slots=True)
class Tables:
    """The storage of the module, bound to one runtime."""

    pool_ids: BoundValue[tuple[int, ...]]
    pools: BoundMap[int, Pool | None]
    states: BoundMap[int, PoolState | None]
    books: BoundMap[int, Books]
    members: BoundMap[tuple[int, AccountId], Member | None]
    engaged: BoundMap[tuple[int, AccountId], int | None]
    slots: BoundMap[tuple[int, int], AccountId | None]
    weights: BoundMap[tuple[int, int], int]
    leases: BoundMap[int, Lease | None]
    lease_count: BoundValue[int]
    leases_of: BoundMap[AccountId, tuple[int, ...]]
    ends: BoundMap[int, tuple[int, ...]]
    history: BoundMap[tuple[int, int], Sample | None]
    memory: Memory


@dataclass(frozen=True, slots=True)
class Services:
    """What the rest of the chain lends to the pools."""

    tokens: PoolTokens
    providers: Providers
    beacon: Beacon
    slash_hold: str
    """The reason under which a slash waits for those whom the fault harmed."""
    epoch_length: int
    memory_blocks: int
    """How long a share of a lease is remembered when it has ended."""


class Desk:
    """Reads and writes of single records, and payments out of a pool's account."""

    def __init__(
        self,
        context: Context,
        config: events.Config,
        tables: Tables,
        services: Services,
        emit: Callable[[Event], None],
    ) -> None:
        self.context, self.config, self.tables, self.services = context, config, tables, services
        self.clock = Clock(config.market_interval, 1)
        self.emit = emit

    @property
    def height(self) -> Height:
        return self.context.block.height

    def pool(self, pool_id: int) -> Pool:
        """Return what never changes about a pool. Raises: UnknownPool."""
        pool = self.tables.pools[pool_id]
        if pool is None:
            raise events.UnknownPool(f"pool {pool_id}")
        return pool

    def state(self, pool_id: int) -> PoolState:
        """Return what changes about a pool that exists."""
        state = self.tables.states[pool_id]
        assert state is not None, "a pool has a state"
        return state

    def member(self, pool_id: int, provider: AccountId) -> Member:
        """Return a provider of a pool. Raises: NotMember."""
        member = self.tables.members[pool_id, provider]
        if member is None:
            raise events.NotMember(f"pool {pool_id}")
        return member

    def lease(self, lease_id: int) -> Lease:
        """Return a lease that runs. Raises: UnknownLease."""
        lease = self.tables.leases[lease_id]
        if lease is None:
            raise events.UnknownLease(f"lease {lease_id}")
        return lease

    def terms(self, pool: Pool) -> Terms:
        """Return how a pool divides what its leases pay."""
        rule = pool.rule
        return Terms(
            burn_ppb=rule.burn_ppb,
            provider_ppb=PROVIDER_PPB,
            early_end_fee_ppb=rule.early_end_fee_ppb,
            rent_min=self.clock.blocks_in(rule.rent_min),
        )

    def rates(self, pool: Pool) -> Rates:
        """Return the integers of a pool's price controller."""
        return pool.rule.rates(
            self.clock,
            period=Blocks(self.config.price_period),
            average_shift=self.config.average_shift,
        )

    def take_in(self, pool_id: int, client: AccountId, amount: Balance) -> None:
        """Put a client's payment into escrow. Raises: what holding raises."""
        self.services.tokens.escrow(
            client, keeper=pool_account(pool_id), reason=ESCROW, amount=amount
        )
        books = self.tables.books[pool_id]
        self.tables.books[pool_id] = replace(books, paid_in=books.paid_in + amount)

    def burn(self, pool_id: int, amount: Balance) -> None:
        """Destroy part of a pool's escrow."""
        if not amount:
            return
        self.services.tokens.burn_held(pool_account(pool_id), ESCROW, amount)
        books = self.tables.books[pool_id]
        self.tables.books[pool_id] = replace(books, burned=books.burned + amount)

    def refund(self, pool_id: int, client: AccountId, amount: Balance) -> None:
        """Give part of a pool's escrow back to a client."""
        if not amount:
            return
        self._pay(pool_id, client, amount)
        books = self.tables.books[pool_id]
        self.tables.books[pool_id] = replace(books, refunded=books.refunded + amount)

    def pay_claim(self, pool_id: int, provider: AccountId, amount: Balance) -> None:
        """Pay what a provider has earned."""
        if not amount:
            return
        self._pay(pool_id, provider, amount)
        books = self.tables.books[pool_id]
        self.tables.books[pool_id] = replace(books, claimed=books.claimed + amount)

    def earn(self, pool_id: int, provider: AccountId, amount: Balance) -> None:
        """Let part of a pool's escrow be a provider's to claim."""
        if not amount:
            return
        member = self.member(pool_id, provider)
        accrued = member.claim.accrued_q64 + (amount << REWARD_Q64)
        claim = replace(member.claim, accrued_q64=accrued)
        self.tables.members[pool_id, provider] = replace(member, claim=claim)

    def _pay(self, pool_id: int, recipient: AccountId, amount: Balance) -> None:
        account = pool_account(pool_id)
        self.services.tokens.move_held(account, ESCROW, recipient=recipient, amount=amount)
