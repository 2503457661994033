"""The real runtime on an overlay, with providers whose proofs are whatever a test says."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from chain.equivocation import JUDGE
from primitives.errors import DispatchError
from primitives.types import AccountId, Balance, Epoch, Height, Millis, PublicKey, Signer, View
from runtime.module import BlockInfo, Context
from runtime.overlay import DictState, Overlay
from runtime.pools.controller import log2
from runtime.pools.pricing import PriceQ32, Units
from runtime.pools.records import ESCROW, Books, Lease, Member, PoolState, pool_account
from runtime.runtime import Config, Runtime
from runtime.session import epoch_of
from tests.runtime.small_chain import (
    ALICE,
    AUTHOR,
    BOB,
    CHARLIE,
    DAVE,
    EVE,
    FERDIE,
    GENESIS,
    SPEC,
    decode_call,
    genesis_state,
)

CPU, STORAGE = 0, 1
"""The pools of genesis, of the classes 1 and 2."""
CLIENTS = (ALICE, BOB, CHARLIE)
PROVIDERS = (DAVE, EVE, FERDIE)
KEY = PublicKey(bytes([7]) * 32)
HOUR = 25
"""Blocks of a market hour: the shortest lease."""
SLASH = "pocps.slash"


@dataclass(frozen=True, slots=True)
class Change:
    class_id: int
    provider: AccountId
    units: Units
    slashed: Balance
    reason: str


class FakeProviders:
    """Proven units without proofs; keeps what the pools tell it."""

    def __init__(self) -> None:
        self.units: dict[tuple[int, AccountId], int] = {}
        self.engaged: set[tuple[int, AccountId]] = set()
        self.leased: dict[tuple[int, AccountId], int] = {}
        self.queue: list[Change] = []

    def proven_units(self, class_id: int, provider: AccountId) -> Units:
        return Units(self.units.get((class_id, provider), 0))

    def resource(self, class_id: int) -> object | None:
        return {1: "cpu", 2: "storage", 3: "never sold"}.get(class_id)

    def engage(self, class_id: int, provider: AccountId) -> None:
        self.engaged.add((class_id, provider))

    def disengage(self, class_id: int, provider: AccountId) -> None:
        self.engaged.remove((class_id, provider))

    def set_leased(self, class_id: int, provider: AccountId, units: Units) -> None:
        self.leased[class_id, provider] = units

    def take_changes(self, limit: int) -> Sequence[Change]:
        taken, self.queue = self.queue[:limit], self.queue[limit:]
        return taken


class PoolChain:
    """Blocks of free calls; after each block every invariant of every module is checked."""

    def __init__(self, epoch_length: int = 600, **changes: Any) -> None:
        """``changes`` replace parameters of the pools."""
        pools = replace(SPEC.runtime.pools, **changes)
        session = replace(SPEC.runtime.session, epoch_length=epoch_length)
        self.config: Config = replace(SPEC.runtime, pools=pools, session=session)
        self.state = DictState(genesis_state(self.config))
        self.height = Height(0)
        self.providers = FakeProviders()
        self.events: list[Any] = []
        self.begin()

    def begin(self) -> None:
        """Begin the next block."""
        self.height = Height(self.height + 1)
        info = BlockInfo(
            height=self.height,
            parent_hash=GENESIS,
            view=View(self.height),
            epoch=Epoch(epoch_of(self.height, self.config.session.epoch_length)),
            timestamp=Millis(SPEC.genesis_time + 1000 * self.height),
            author=AUTHOR,
            vrf_output=self.height.to_bytes(64, "big"),
        )
        self.overlay = Overlay(self.state)
        self.runtime = Runtime(Context(self.overlay, info), self.config, JUDGE)
        self.pools = self.runtime.pools
        services = replace(self.pools.services, providers=self.providers)
        self.pools.services = self.pools.desk.services = services
        for module in self.runtime.modules:
            module.begin_block()
        self.runtime.put_in(decode_call(["timestamp.set", info.timestamp]))

    def end(self) -> None:
        """End the block, check everything and begin the next one."""
        for module in self.runtime.modules:
            module.end_block()
        for module in self.runtime.modules:
            module.check_invariants()
        self.events = list(self.runtime.context.events)
        self.state.apply(self.overlay.writes)
        self.begin()

    def skip(self, blocks: int) -> None:
        for _ in range(blocks):
            self.end()

    def error(self, signer: AccountId, *call: Any) -> str:
        """Make a call and return the name of what it failed with, or nothing."""
        known = set(self.providers.engaged), dict(self.providers.leased)
        try:
            self.runtime.dispatch(Signer(signer), decode_call(call))
        except DispatchError as error:
            # What the real proofs know lies in the state, whose writes are undone.
            self.providers.engaged, self.providers.leased = known
            return self.runtime.error_name(error)
        return ""

    def do(self, signer: AccountId, *call: Any) -> None:
        """Make a call, which must succeed."""
        assert self.error(signer, *call) == ""

    # What the proofs say

    def prove(self, provider: AccountId, units: int, pool_id: int = CPU) -> None:
        """Let a provider have so many live units, and supply a pool with them."""
        self.providers.units[self.class_of(pool_id), provider] = units
        self.do(provider, "pools.join", pool_id)

    def change(
        self,
        provider: AccountId,
        units: int,
        *,
        slashed: int = 0,
        reason: str = "",
        pool_id: int = CPU,
    ) -> None:
        """Let a provider's live units change, with what it is slashed; the next block knows."""
        key = (self.class_of(pool_id), provider)
        self.providers.units[key] = units
        if slashed:
            self.runtime.balances.hold(provider, SLASH, Balance(slashed))
        self.providers.queue.append(Change(*key, Units(units), Balance(slashed), reason))

    # What can be seen

    def class_of(self, pool_id: int) -> int:
        return self.pools.desk.pool(pool_id).class_id

    def pool(self, pool_id: int = CPU) -> PoolState:
        return self.pools.desk.state(pool_id)

    def books(self, pool_id: int = CPU) -> Books:
        return self.pools.books[pool_id]

    def member(self, provider: AccountId, pool_id: int = CPU) -> Member:
        return self.pools.desk.member(pool_id, provider)

    def lease(self, lease_id: int) -> Lease:
        return self.pools.desk.lease(lease_id)

    def free(self, account: AccountId) -> int:
        return self.runtime.balances.free[account]

    def escrow(self, pool_id: int = CPU) -> int:
        return self.runtime.balances.held[pool_account(pool_id), ESCROW]

    def found(self, name: str) -> list[list[Any]]:
        """Return the fields of the present block's events of a name, so far."""
        plain = [list(event) for event in self.runtime.context.events if isinstance(event, list)]
        return [event[1:] for event in plain if event[0] == f"pools.{name}"]

    def acquire(
        self, client: AccountId, units: int, duration: int = HOUR, pool_id: int = CPU
    ) -> int:
        """Lease units and return the lease's number."""
        self.do(client, "pools.acquire", pool_id, units, duration, 10**17, KEY)
        return self.pools.lease_count.get() - 1

    def set_price(self, price: int, pool_id: int = CPU) -> None:
        """Let the base price of a pool be what a test wants."""
        state = replace(self.pool(pool_id), octaves=log2(PriceQ32(price << 32)))
        self.pools.states[pool_id] = state
