"""``pools_*`` over a real dispatcher and the real rules of a chain whose proofs are given."""

from dataclasses import replace
from typing import Any

import pytest

from chain.equivocation import JUDGE
from node.rpc.assembly import build_dispatcher
from node.rpc.dispatcher import Dispatcher
from primitives.types import Epoch, Height
from runtime.module import Context
from runtime.overlay import Overlay
from runtime.pools.pricing import Blocks, Units, cost
from runtime.pools.settlement import extension_cost, sale_max
from runtime.runtime import Runtime
from runtime.session import epoch_of
from tests.node.rpc.calling import call, fail
from tests.node.rpc.fake_node import FakeNode
from tests.node.rpc.runtime_served import address
from tests.runtime.pools.pool_chain import CPU, HOUR, KEY, STORAGE, PoolChain
from tests.runtime.small_chain import ALICE, BOB, DAVE, EVE


def served(chain: PoolChain) -> Dispatcher:
    """Return the RPC over the state after the block before the one that is being made."""

    def runtime() -> Runtime:
        height = Height(chain.height - 1)
        epoch = Epoch(max(0, epoch_of(height, chain.config.session.epoch_length)))
        info = replace(chain.runtime.context.block, height=height, epoch=epoch)
        made = Runtime(Context(Overlay(chain.state), info), chain.config, JUDGE)
        services = replace(made.pools.services, providers=chain.providers)
        made.pools.services = made.pools.desk.services = services
        return made

    return build_dispatcher(FakeNode(runtime=runtime))


@pytest.fixture
def chain() -> PoolChain:
    """Dave and Eve supply the first pool with 32 devices."""
    chain = PoolChain()
    chain.prove(DAVE, 20_000)
    chain.prove(EVE, 12_000)
    chain.skip(4)
    return chain


async def test_pools_are_listed_with_supply_use_and_price(chain: PoolChain) -> None:
    chain.acquire(ALICE, 1000)
    chain.end()

    first, second = await call(served(chain), "pools_list")

    state = chain.pool()
    assert first["poolId"] == CPU
    assert (first["classId"], first["className"]) == (1, "cpu")
    assert (first["supply"], first["leased"], first["unsold"]) == (32_000, 1000, 31_000)
    assert first["providers"] == state.members == 2
    assert 0 < first["averagePpb"] < 10**9
    assert int(first["price"]["priceQ32"]) < 2 * int(first["basePrice"]["priceQ32"])
    assert int(first["price"]["deviceHour"]) == int(first["price"]["priceQ32"]) * 1000 * HOUR >> 32
    assert (second["poolId"], second["supply"], second["providers"]) == (STORAGE, 0, 0)
    assert second["price"] == second["basePrice"], "nothing counts for a price yet"
    assert await call(served(chain), "pools_list", [1]) == [first]
    assert await call(served(chain), "pools_list", {"after": CPU}) == [second]


async def test_a_pool_is_shown_with_its_rule_and_its_books(chain: PoolChain) -> None:
    lease = chain.acquire(ALICE, 1000)
    chain.skip(3)
    chain.do(ALICE, "pools.settle", lease)
    chain.end()

    found = await call(served(chain), "pools_get", [CPU])

    books = chain.books()
    assert found["rule"]["burnPpb"] == chain.pools.desk.pool(CPU).rule.burn_ppb
    assert (found["rule"]["rentMinBlocks"], found["rule"]["exponent"]) == (HOUR, 2)
    assert found["saleMax"] == sale_max(Units(32_000))
    assert found["books"]["paidIn"] == str(books.paid_in)
    assert found["books"]["burned"] == str(books.burned) != "0"
    assert found["books"]["kept"] == str(books.kept) == str(chain.escrow())
    assert found["books"]["leases"] == 1
    assert int(found["books"]["dissipated"]) > 0


async def test_a_quote_is_what_the_next_lease_costs_and_does_to_the_price(chain: PoolChain) -> None:
    rpc = served(chain)

    found = await call(rpc, "pools_quote", [CPU, 1500, HOUR])
    before = chain.free(ALICE)
    chain.acquire(ALICE, 1500)
    chain.end()
    after = (await call(served(chain), "pools_list"))[0]["price"]

    assert before - chain.free(ALICE) == int(found["cost"])
    assert int(found["worstCase"]) > int(found["cost"])
    assert (found["fitsInABlock"], found["mayEndThen"]) == (True, True)
    assert found["ends"] == chain.lease(0).ends
    assert int(found["priceBefore"]["priceQ32"]) < int(found["priceAfter"]["priceQ32"])
    assert after == found["priceAfter"]


async def test_the_worst_case_of_a_quote_is_the_clamp_of_the_price_rule(chain: PoolChain) -> None:
    rpc = served(chain)

    now = await call(rpc, "pools_quote", {"poolId": CPU, "units": 100, "duration": 50, "within": 0})
    soon = await call(
        rpc, "pools_quote", {"poolId": CPU, "units": 100, "duration": 50, "within": 60}
    )

    assert now["worstCase"] == now["cost"] == soon["cost"]
    assert int(soon["worstCase"]) > int(soon["cost"])
    pool, state = chain.pools.desk.pool(CPU), chain.pool()
    assert now["cost"] == str(cost(pool.rule.curve, state.market, Units(100), Blocks(50)))


async def test_more_than_a_block_sells_is_quoted_and_said(chain: PoolChain) -> None:
    found = await call(served(chain), "pools_quote", [CPU, 20_000, HOUR])

    assert found["fitsInABlock"] is False


async def test_a_lease_is_shown_with_what_ending_it_would_refund(chain: PoolChain) -> None:
    lease_id = chain.acquire(ALICE, 1500, 2 * HOUR)
    chain.skip(HOUR + 5)
    rpc = served(chain)

    found = await call(rpc, "pools_lease", [lease_id])
    same = await call(rpc, "pools_lease", [lease_id])

    lease = chain.lease(lease_id)
    assert found == same, "what was tried is taken back"
    assert found["client"] == address(ALICE)
    assert (found["units"], found["poolId"], found["key"]) == (1500, CPU, "0x" + KEY.hex())
    assert (found["started"], found["ends"], found["term"]) == (lease.started, lease.ends, 2 * HOUR)
    assert found["left"] == lease.ends - (chain.height - 1)
    assert 0 < int(found["streamed"]) < chain.books().paid_in
    assert sum(each["units"] for each in found["shares"]) == 1500
    assert sum(int(each["total"]) for each in found["shares"]) == chain.books().paid_in
    before = chain.free(ALICE)
    chain.do(ALICE, "pools.terminate", lease_id)
    assert chain.free(ALICE) - before == int(found["refund"]) > 0
    chain.end()
    assert await call(served(chain), "pools_lease", [lease_id]) is None


async def test_an_extension_is_quoted_at_what_it_then_costs(chain: PoolChain) -> None:
    lease_id = chain.acquire(ALICE, 1500)
    chain.end()
    rpc = served(chain)

    found = await call(rpc, "pools_quoteExtension", [lease_id, HOUR])

    pool, state = chain.pools.desk.pool(CPU), chain.pool()
    exact = extension_cost(pool.rule.curve, state.market, Units(1500), Blocks(HOUR))
    assert found["ends"] == chain.lease(lease_id).ends + HOUR
    assert found["cost"] == str(exact)
    assert int(found["worstCase"]) > int(found["cost"])


async def test_the_leases_of_a_client_come_in_pages(chain: PoolChain) -> None:
    ids = [chain.acquire(ALICE, 100), chain.acquire(ALICE, 100), chain.acquire(BOB, 100)]
    chain.do(ALICE, "pools.set_auto_extend", ids[0], 10**9)
    chain.end()
    rpc = served(chain)

    mine = await call(rpc, "pools_leases", [address(ALICE)])
    second = await call(rpc, "pools_leases", {"account": address(ALICE), "after": ids[0]})

    assert [each["leaseId"] for each in mine] == ids[:2]
    assert (mine[0]["ceiling"], mine[1]["ceiling"]) == (str(10**9), None)
    assert second == mine[1:]
    assert await call(rpc, "pools_leases", [address(DAVE)]) == []


async def test_history_is_the_prices_of_the_last_periods_oldest_first(chain: PoolChain) -> None:
    chain.skip(20)
    rpc = served(chain)

    whole = await call(rpc, "pools_history", [CPU])
    last = await call(rpc, "pools_history", [CPU, 2])

    period = chain.config.pools.price_period
    heights = [each["height"] for each in whole["samples"]]
    assert whole["period"] == period
    assert heights == list(range(heights[0], chain.height, period))
    assert last["samples"] == whole["samples"][-2:]
    assert all(each["supply"] == 32_000 for each in last["samples"])
    assert (await call(rpc, "pools_history", [STORAGE]))["samples"] == []


async def test_history_reaches_back_as_far_as_its_ring() -> None:
    chain = PoolChain(history_max=4)
    chain.prove(DAVE, 5000)
    chain.skip(30)

    samples = (await call(served(chain), "pools_history", [CPU]))["samples"]

    period = chain.config.pools.price_period
    newest = (chain.height - 1) // period * period
    assert [each["height"] for each in samples] == [newest - n * period for n in (3, 2, 1, 0)]


async def test_a_provider_sees_what_it_supplies_and_may_claim(chain: PoolChain) -> None:
    lease_id = chain.acquire(ALICE, 2000)
    chain.skip(10)
    chain.do(ALICE, "pools.settle", lease_id)
    chain.do(DAVE, "pools.leave", CPU, 500)
    chain.end()
    rpc = served(chain)

    (found,) = await call(rpc, "pools_memberships", [address(DAVE)])

    member = chain.member(DAVE)
    assert (found["poolId"], found["classId"], found["units"]) == (CPU, 1, member.units)
    assert (found["leased"], found["leaving"]) == (member.leased, member.leaving)
    assert int(found["claimable"]) > 0
    assert await call(rpc, "pools_memberships", [address(ALICE)]) == []
    before = chain.free(DAVE)
    chain.do(DAVE, "pools.claim", CPU)
    assert chain.free(DAVE) - before >= int(found["claimable"])


@pytest.mark.parametrize(
    ("method", "params", "parameter"),
    [
        ("pools_list", [0], "count"),
        ("pools_list", [101], "count"),
        ("pools_get", [-1], "poolId"),
        ("pools_get", [], "poolId"),
        ("pools_get", ["first"], "poolId"),
        ("pools_quote", [CPU, 100], "duration"),
        ("pools_quote", [CPU, 100, HOUR, -1], "within"),
        ("pools_quote", [CPU, 100, HOUR, 10**6], "within"),
        ("pools_lease", [2**64], "leaseId"),
        ("pools_leases", ["nobody"], "account"),
        ("pools_history", [CPU, 513], "count"),
    ],
)
async def test_a_bad_parameter_is_named(
    chain: PoolChain, method: str, params: list[Any], parameter: str
) -> None:
    error = await fail(served(chain), method, params)

    assert (error["code"], error["data"]["parameter"]) == (-32602, parameter)


@pytest.mark.parametrize(
    ("method", "params", "reason"),
    [
        ("pools_get", [9], "UnknownPool"),
        ("pools_history", [9], "UnknownPool"),
        ("pools_quote", [CPU, 100, 1], "ParameterOutOfRange: duration"),
        ("pools_quote", [CPU, 0, HOUR], "ParameterOutOfRange: units"),
        ("pools_quote", [CPU, -5, HOUR], "ParameterOutOfRange: units"),
        ("pools_quote", [CPU, 2**62, HOUR], "ParameterOutOfRange: units"),
        ("pools_quote", [CPU, 32_001, HOUR], "NotEnoughSupply"),
        ("pools_quote", [STORAGE, 1, HOUR], "NoSupply"),
        ("pools_quoteExtension", [7, HOUR], "UnknownLease"),
    ],
)
async def test_what_the_chain_would_refuse_is_told_by_its_error(
    chain: PoolChain, method: str, params: list[Any], reason: str
) -> None:
    error = await fail(served(chain), method, params)

    assert error["code"] == -32000
    assert error["data"].startswith(reason)


async def test_units_that_are_leaving_are_not_quoted(chain: PoolChain) -> None:
    chain.do(DAVE, "pools.leave", CPU, 20_000)
    chain.end()

    error = await fail(served(chain), "pools_quote", [CPU, 13_000, HOUR])

    assert error["data"].startswith("NotEnoughSupply")
