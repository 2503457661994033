"""A market of real processes: two kinds of capacity, bought in one extrinsic, used, ended early.

What the client pays, gets back, and what becomes of the rest is computed here by hand, from the
rule as docs/pools.md writes it, and has to agree to the last base unit.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from math import ceil, floor
from pathlib import Path

import numpy as np
import pytest
import trio

from genesis.presets import CPU_CLASS, LOOP, STORAGE_CLASS, small_pocps_config
from genesis.spec import ChainSpec
from node.client.endpoint import Endpoint
from node.client.node_client import NodeClient
from node.client.wallet import Inclusion, Terms, find_inclusion, sign, submit_and_follow
from node.lease.chain import JobChain
from primitives.codec import ACCOUNT, AMOUNT, U32, U64, Plain, optional, pair
from primitives.crypto import KeyPair
from primitives.derivation import derive_key_pair
from primitives.types import AccountId, Balance, Digest, Height, Nonce, StorageKey
from runtime.balances import HOLD_REASON
from runtime.pocps.provider import PROVIDER
from runtime.pools.controller import exp2
from runtime.pools.records import (
    BOOKS,
    ESCROW,
    LEASE,
    POOL,
    POOL_STATE,
    Books,
    Lease,
    Pool,
    PoolState,
    pool_account,
)
from runtime.session import Config as SessionConfig
from tests.e2e.chain_of_processes import running_chain, wait_until
from tests.node.cli.running import invoke
from tests.runtime.jobs.world import make_network, make_rows

pytestmark = pytest.mark.e2e

CPU, STORAGE = 0, 1
"""The pools that development chains begin with."""
SELLERS = (("Bob", CPU_CLASS.class_id, CPU), ("Charlie", STORAGE_CLASS.class_id, STORAGE))
CLIENT = derive_key_pair("//Dave")
NETWORK, ROWS = make_network([32, 64, 16], shift=9), make_rows(300, 32)
"""The job that the client has the provider of compute do."""
EPOCH_LENGTH = 30
SUPPLIED = 160
BOUGHT = 10
"""A sixteenth of what is supplied: as much as one block sells."""
DURATION = 200
KEPT = 28
"""Blocks after which the client ends its leases: a little more than the shortest lease."""
FOR_EVER = Height(2**63)
PPB = 10**9


def with_short_epochs(spec: ChainSpec) -> ChainSpec:
    pocps = small_pocps_config(EPOCH_LENGTH)
    runtime = replace(spec.runtime, session=SessionConfig(epoch_length=EPOCH_LENGTH), pocps=pocps)
    return replace(spec, runtime=runtime)


# ------------------------------------------------------------------------- the rule, by hand


@dataclass(frozen=True)
class Division:
    """What becomes of base units that are paid out: burned, the server's, all units'."""

    burned: int
    server: int
    units: int


def divide(pool: Pool, amount: int) -> Division:
    """A fifth is burned, rounded up; four fifths of the rest are the server's, rounded down."""
    burned = ceil(Fraction(amount * pool.parameters.burn_ppb, PPB))
    server = floor(Fraction((amount - burned) * 4, 5))
    return Division(burned, server, amount - burned - server)


def area(pool: Pool, state: PoolState, start: int, units: int) -> Fraction:
    """Return the integral of the marginal price over ``units``, for a base price of one."""
    rule = pool.parameters
    floor_share, target = Fraction(rule.floor_q16, 2**16), Fraction(rule.target_q16, 2**16)
    at = start + floor(target * rule.virtual_depth)
    power = rule.exponent + 1
    depth = target * (state.priced_supply + rule.virtual_depth)
    rising = Fraction((at + units) ** power - at**power) / (power * depth**rule.exponent)
    return floor_share * units + (1 - floor_share) * rising


def cost_by_hand(pool: Pool, state: PoolState, *, leased: int, units: int, blocks: int) -> int:
    """Return what ``units`` beyond ``leased`` ones cost, rounded up twice."""
    weighted = ceil(area(pool, state, leased, units) * 2**32)
    return ceil(Fraction(exp2(state.octaves) * blocks * weighted, 2**64))


def worth_by_hand(pool: Pool, state: PoolState, *, leased: int, units: int, blocks: int) -> int:
    """Return what the last ``units`` of ``leased`` ones are worth, rounded down twice."""
    weighted = floor(area(pool, state, leased - units, units) * 2**32)
    return floor(Fraction(exp2(state.octaves) * blocks * weighted, 2**64))


def left_by_hand(pool: Pool, paid: int, elapsed: int) -> int:
    """Return what has not streamed of a lease after ``elapsed`` blocks of it."""
    whole = divide(pool, paid)
    burned = ceil(Fraction(whole.burned * elapsed, DURATION))
    server = floor(Fraction(whole.server * elapsed, DURATION))
    flow = floor(Fraction(whole.units << 64, DURATION))
    return paid - burned - server - ceil(Fraction(flow * elapsed, 2**64))


# ------------------------------------------------------------------------- the client


class Trader:
    """Signs for dev accounts and reads the chain's own records, after blocks that are final."""

    def __init__(self, client: NodeClient) -> None:
        self.client = client

    def send(self, pair: KeyPair, *call: Plain) -> Inclusion:
        """Have a call included, final and successful."""
        account = "0x" + pair.public.hex()
        nonce = self.client.call("system_accountNextIndex", account)
        assert isinstance(nonce, int)
        terms = Terms(Nonce(nonce), FOR_EVER, Balance(0))
        extrinsic = sign(self.client, pair, list(call), terms)
        *_, (kind, block) = submit_and_follow(self.client, extrinsic)
        assert kind == "finalized"
        found = find_inclusion(self.client, extrinsic, Digest(bytes.fromhex(block[2:])))
        assert found.error is None, found.error
        return found

    def read(self, item: str, key: bytes, at: Digest) -> bytes | None:
        return self.client.storage(StorageKey(f"{item}:".encode() + key), at)

    def pool(self, pool_id: int, at: Digest) -> tuple[Pool, PoolState, Books]:
        key = U32.encode(pool_id)
        pool = optional(POOL).load(self.read("pools.pools", key, at) or b"")
        state = optional(POOL_STATE).load(self.read("pools.states", key, at) or b"")
        books = self.read("pools.books", key, at)
        assert pool is not None
        assert state is not None
        return pool, state, Books() if books is None else BOOKS.load(books)

    def lease(self, lease_id: int, at: Digest) -> Lease | None:
        data = self.read("pools.leases", U64.encode(lease_id), at)
        return None if data is None else optional(LEASE).load(data)

    def free(self, account: bytes, at: Digest) -> int:
        data = self.read("balances.free", ACCOUNT.encode(AccountId(account)), at)
        return 0 if data is None else AMOUNT.load(data)

    def escrow(self, pool_id: int, at: Digest) -> int:
        key = pair(ACCOUNT, HOLD_REASON).encode((pool_account(pool_id), ESCROW))
        data = self.read("balances.held", key, at)
        return 0 if data is None else AMOUNT.load(data)

    def live_units(self, name: str, class_id: int) -> int:
        """Return a provider's live units after the last final block."""
        at = self.client.final_hash()
        account = AccountId(derive_key_pair(f"//{name}").public)
        data = self.read("pocps.providers", pair(U32, ACCOUNT).encode((class_id, account)), at)
        known = None if data is None else optional(PROVIDER).load(data)
        return 0 if known is None else known.live_in(self.client.header(at).header.epoch)


def buy(trader: Trader) -> Inclusion:
    """Lease compute and storage in one extrinsic."""
    limit = Balance(100 * LOOP)
    orders: list[Plain] = [
        [pool_id, BOUGHT, DURATION, limit, CLIENT.public] for pool_id in (CPU, STORAGE)
    ]
    return trader.send(CLIENT, "pools.acquire_basket", orders)


def run_job(url: str, folder: Path, lease_id: int) -> None:
    """Have the lease's provider compute rows, and check them all."""
    network, rows, output = (folder / name for name in ("network.bin", "rows.npy", "out.npy"))
    network.write_bytes(NETWORK.encode())
    np.save(rows, ROWS)
    told = invoke(
        "job", "run", "--lease", lease_id, "--from", "//Dave", "--network", network,
        "--rows", rows, "--output", output, "--sample", len(ROWS), "--url", url, "--json",
    ).json  # fmt: skip
    assert told["wrongRow"] is None
    assert len(told["sampled"]) == len(ROWS)
    assert (np.load(output) == NETWORK.run(ROWS)).all()


def check_purchase(trader: Trader, bought: Inclusion) -> dict[int, int]:
    """Return what each lease cost, having computed it by hand."""
    parent, now = bought.header.parent_hash, bought.block
    paid = {}
    for lease_id, pool_id in enumerate((CPU, STORAGE)):
        pool, state, books = trader.pool(pool_id, now)
        lease = trader.lease(lease_id, now)
        assert lease is not None
        assert (lease.pool_id, lease.units, lease.started) == (
            pool_id,
            BOUGHT,
            bought.header.height,
        )
        paid[pool_id] = cost_by_hand(
            pool, state, leased=state.leased - BOUGHT, units=BOUGHT, blocks=DURATION
        )
        assert books.paid_in == paid[pool_id] == trader.escrow(pool_id, now) > 0
    before, after = trader.free(CLIENT.public, parent), trader.free(CLIENT.public, now)
    assert before - after == sum(paid.values()) + bought.fee
    return paid


def check_refund(trader: Trader, pool_id: int, ended: Inclusion, *, paid: int, start: int) -> None:
    """Compare a refund with the one computed by hand, and the books with what was paid."""
    pool, state, books = trader.pool(pool_id, ended.block)
    elapsed = ended.header.height - start
    left = left_by_hand(pool, paid, elapsed)
    # The state after the block: the price is that of the ending, the units are given back.
    worth = worth_by_hand(
        pool, state, leased=state.leased + BOUGHT, units=BOUGHT, blocks=DURATION - elapsed
    )
    refund = floor(Fraction(min(left, worth) * (PPB - pool.parameters.early_end_fee_ppb), PPB))
    parent = ended.header.parent_hash
    before, after = trader.free(CLIENT.public, parent), trader.free(CLIENT.public, ended.block)
    assert after - before + ended.fee == refund == books.refunded > 0
    streamed, forfeited = divide(pool, paid), divide(pool, left - refund)
    burned = ceil(Fraction(streamed.burned * elapsed, DURATION)) + forfeited.burned
    assert books.burned == burned


def check_books(trader: Trader, at: Digest, paid: dict[int, int]) -> None:
    """Burned + paid + refunded + in escrow = what was paid in, to the last base unit."""
    for pool_id, amount in paid.items():
        _, _, books = trader.pool(pool_id, at)
        escrow = trader.escrow(pool_id, at)
        assert books.burned + books.claimed + books.refunded + escrow == books.paid_in == amount


def trade(url: str, folder: Path) -> None:
    """Let both providers supply their pools, and the client buy, have work done and end early."""
    with NodeClient(Endpoint.parse(url)) as client:
        trader = Trader(client)
        for name, _, pool_id in SELLERS:
            trader.send(derive_key_pair(f"//{name}"), "pools.join", pool_id)
        bought = buy(trader)
        paid = check_purchase(trader, bought)
        check_books(trader, bought.block, paid)
        start = bought.header.height
        run_job(url, folder, lease_id=0)
        with client.subscribe("chain_subscribeFinalizedHeads") as heads:
            for _ in heads.notifications():
                if client.header(client.final_hash()).header.height >= start + KEPT:
                    break
        for lease_id, pool_id in enumerate((CPU, STORAGE)):
            ended = trader.send(CLIENT, "pools.terminate", lease_id)
            assert ended.header.height < start + DURATION
            check_refund(trader, pool_id, ended, paid=paid[pool_id], start=start)
            check_books(trader, ended.block, {pool_id: paid[pool_id]})
        for name, _, pool_id in SELLERS:
            claimed = trader.send(derive_key_pair(f"//{name}"), "pools.claim", pool_id)
            check_books(trader, claimed.block, paid)
            # What is left are fractions of a base unit that nobody can be paid yet.
            assert trader.escrow(pool_id, claimed.block) <= 2


def is_selling(url: str, sellers: Sequence[tuple[str, int, int]]) -> bool:
    with NodeClient(Endpoint.parse(url)) as client:
        trader = Trader(client)
        server = AccountId(derive_key_pair(f"//{sellers[CPU][0]}").public)
        return JobChain(client).service(server) is not None and all(
            trader.live_units(name, class_id) == SUPPLIED for name, class_id, _ in sellers
        )


async def test_a_client_buys_compute_and_storage_at_once_uses_it_and_ends_both_early(
    tmp_path: Path,
) -> None:
    async with running_chain(
        tmp_path, validators=2, interval=400, change=with_short_epochs
    ) as chain:
        url = f"http://127.0.0.1:{chain.nodes[-1].plan.rpc_port}"
        async with trio.open_nursery() as nursery:
            for name, class_id, _ in SELLERS:
                program = [sys.executable, "-m", "node.cli.main", "provider", "run", "--key"]
                program += [f"//{name}", "--class", str(class_id), "--units", str(SUPPLIED)]
                program += ["--folder", str(tmp_path / name), "--url", url]
                if class_id == CPU_CLASS.class_id:
                    program += ["--serve", "/ip4/127.0.0.1/tcp/0"]
                nursery.start_soon(partial(trio.run_process, program, check=False, stdin=b""))

            async def selling() -> bool:
                return await trio.to_thread.run_sync(is_selling, url, SELLERS)

            await wait_until(selling, "both providers have proven what they staked")
            await trio.to_thread.run_sync(trade, url, tmp_path)

            nursery.cancel_scope.cancel()
