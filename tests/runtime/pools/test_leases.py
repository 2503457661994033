"""Buying, extending, settling and ending leases: each call and each error, by hand."""

from dataclasses import replace
from typing import Any

import pytest

from runtime.pools.pricing import Blocks, cost
from runtime.pools.records import LEASE
from runtime.pools.settlement import extension_cost
from tests.runtime.pools.pool_chain import CPU, HOUR, KEY, STORAGE, PoolChain
from tests.runtime.small_chain import ALICE, BOB, CHARLIE, DAVE, EVE, FERDIE, LOOP

MUCH = 10**17


def chain_with_supply(units: int = 1600, **changes: Any) -> PoolChain:
    """Return a chain on which DAVE supplies the compute pool."""
    chain = PoolChain(**changes)
    chain.prove(DAVE, units)
    chain.skip(2)
    return chain


def price_of(chain: PoolChain, units: int, duration: int) -> int:
    pool = chain.pools.desk.pool(CPU)
    return cost(pool.rule.curve, chain.pool().market, units, Blocks(duration))  # type: ignore[arg-type] # a test's number


# --------------------------------------------------------------------------------------- buying


def test_a_lease_costs_what_the_curve_says_and_no_more_than_its_client_would_pay() -> None:
    chain = chain_with_supply()
    price, before = price_of(chain, 100, HOUR), chain.free(ALICE)

    error = chain.error(ALICE, "pools.acquire", CPU, 100, HOUR, price - 1, KEY)
    assert error == "pools.CostsMore"
    chain.do(ALICE, "pools.acquire", CPU, 100, HOUR, price, KEY)

    lease = chain.lease(0)
    assert before - chain.free(ALICE) == chain.escrow() == price
    assert [(each.provider, each.units) for each in lease.shares] == [(DAVE, 100)]
    assert (lease.client, lease.key, lease.ends) == (ALICE, KEY, chain.height + HOUR)
    assert chain.pools.leases_of[ALICE] == (0,)
    assert chain.pool().leased == chain.member(DAVE).leased == 100
    assert chain.providers.leased[1, DAVE] == 100
    assert chain.pools.lease(0) == lease
    chain.end()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ([9, 1, HOUR], "pools.UnknownPool"),
        ([CPU, 0, HOUR], "pools.ParameterOutOfRange"),
        ([CPU, 1, HOUR - 1], "pools.ParameterOutOfRange"),
        ([CPU, 1, 601], "pools.ParameterOutOfRange"),
        ([CPU, 101, HOUR], "pools.SaleLimitReached"),
        ([CPU, 1601, HOUR], "pools.NotEnoughSupply"),
        ([STORAGE, 1, HOUR], "pools.NoSupply"),
    ],
)
def test_what_cannot_be_sold_is_refused_with_a_reason(call: list[int], error: str) -> None:
    chain = chain_with_supply()
    before = dict(chain.overlay.writes)

    assert chain.error(ALICE, "pools.acquire", *call, MUCH, KEY) == error

    assert dict(chain.overlay.writes) == before


def test_a_price_beyond_all_amounts_is_refused() -> None:
    chain = chain_with_supply()
    chain.set_price(1 << 55)

    assert chain.error(ALICE, "pools.acquire", CPU, 100, 600, MUCH, KEY) == "pools.QuoteOverflow"


def test_who_cannot_pay_gets_nothing() -> None:
    chain = chain_with_supply()
    chain.set_price(10**12)

    error = chain.error(ALICE, "pools.acquire", CPU, 100, 600, 2**63, KEY)

    assert error == "balances.InsufficientBalance"
    assert chain.pool().leased == 0


def test_a_block_sells_a_sixteenth_of_the_supply() -> None:
    chain = chain_with_supply()
    chain.acquire(ALICE, 60)

    assert chain.error(BOB, "pools.acquire", CPU, 41, HOUR, MUCH, KEY) == "pools.SaleLimitReached"
    chain.acquire(BOB, 40)
    chain.end()
    chain.acquire(BOB, 100)


def test_units_that_are_leaving_are_not_sold() -> None:
    chain = chain_with_supply()
    chain.do(DAVE, "pools.leave", CPU, 1550)

    assert chain.error(ALICE, "pools.acquire", CPU, 51, HOUR, MUCH, KEY) == "pools.NotEnoughSupply"
    chain.acquire(ALICE, 50)


def test_a_block_ends_so_many_leases_and_no_more() -> None:
    chain = chain_with_supply(ends_max=2)
    chain.acquire(ALICE, 1)
    chain.acquire(BOB, 1)

    assert chain.error(BOB, "pools.acquire", CPU, 1, HOUR, MUCH, KEY) == "pools.LeaseSlotFull"
    chain.acquire(BOB, 1, HOUR + 1)
    chain.skip(HOUR + 1)

    assert [number for number, _ in chain.pools.leases.items()] == [2]


def test_a_client_has_so_many_leases_and_no_more() -> None:
    chain = chain_with_supply(leases_of_max=1)
    chain.acquire(ALICE, 1)

    assert chain.error(ALICE, "pools.acquire", CPU, 1, HOUR, MUCH, KEY) == "pools.TooManyLeases"


def test_a_large_lease_is_served_by_several() -> None:
    chain = PoolChain()
    for provider in (DAVE, EVE, FERDIE):
        chain.prove(provider, 100)
        chain.do(provider, "pools.leave", CPU, 94)
    chain.skip(2)

    lease_id = chain.acquire(ALICE, 18)

    lease = chain.lease(lease_id)
    assert sorted((each.provider, each.units) for each in lease.shares) == sorted(
        [(DAVE, 6), (EVE, 6), (FERDIE, 6)]
    )
    assert sum(each.total for each in lease.shares) == chain.books().paid_in
    assert len(chain.found("ShareAssigned")) == 3
    chain.end()


def test_a_lease_is_served_by_so_many_and_no_more() -> None:
    chain = PoolChain(shares_max=2)
    for provider in (DAVE, EVE, FERDIE):
        chain.prove(provider, 100)
        chain.do(provider, "pools.leave", CPU, 94)
    chain.skip(2)

    assert chain.error(ALICE, "pools.acquire", CPU, 18, HOUR, MUCH, KEY) == "pools.TooScattered"
    assert len(chain.lease(chain.acquire(ALICE, 12)).shares) == 2


def test_a_provider_serves_so_many_leases_and_no_more() -> None:
    chain = chain_with_supply(served_max=2)
    chain.acquire(ALICE, 1)
    # Its last place is not for a tiny lease while it has much to sell.
    assert chain.error(ALICE, "pools.acquire", CPU, 1, HOUR, MUCH, KEY) == "pools.TooScattered"
    chain.do(DAVE, "pools.leave", CPU, 1597)
    chain.acquire(ALICE, 2)

    assert chain.error(ALICE, "pools.acquire", CPU, 1, HOUR, MUCH, KEY) == "pools.NotEnoughSupply"
    chain.do(DAVE, "pools.cancel_leave", CPU)
    assert chain.error(ALICE, "pools.acquire", CPU, 1, HOUR, MUCH, KEY) == "pools.NotEnoughSupply"
    chain.do(DAVE, "pools.leave", CPU, 1597)
    chain.do(ALICE, "pools.terminate", 0)
    chain.acquire(ALICE, 1)
    chain.end()


def test_providers_are_drawn_by_what_they_have_to_sell() -> None:
    chain = PoolChain(served_max=256, ends_max=1024, leases_of_max=1024)
    for provider, units in ((DAVE, 3000), (EVE, 1000), (FERDIE, 0)):
        if units:
            chain.prove(provider, units)
    for number in range(200):
        chain.acquire((ALICE, BOB, CHARLIE)[number % 3], 1, 600)

    assert 125 < chain.member(DAVE).leased < 175
    assert chain.member(DAVE).leased + chain.member(EVE).leased == 200


def test_a_basket_is_bought_whole_or_not_at_all() -> None:
    chain = chain_with_supply()
    chain.prove(EVE, 320, STORAGE)
    good = [[CPU, 50, HOUR, MUCH, KEY], [STORAGE, 20, 2 * HOUR, MUCH, KEY]]
    bad = [good[0], [STORAGE, 21, HOUR, MUCH, KEY]]
    before = dict(chain.overlay.writes)

    assert chain.error(ALICE, "pools.acquire_basket", bad) == "pools.SaleLimitReached"
    assert dict(chain.overlay.writes) == before
    chain.do(ALICE, "pools.acquire_basket", good)

    assert [chain.lease(number).pool_id for number in (0, 1)] == [CPU, STORAGE]
    chain.end()


# ------------------------------------------------------------------------------------- the end


def test_a_lease_ends_by_itself_in_its_block_and_all_of_it_has_streamed() -> None:
    chain = chain_with_supply()
    lease_id = chain.acquire(ALICE, 100)
    paid = chain.books().paid_in
    chain.skip(HOUR)
    assert chain.pools.lease(lease_id) is not None

    chain.end()

    assert chain.pools.lease(lease_id) is None
    books = chain.books()
    assert (books.burned, books.refunded) == (-(-paid // 5), 0)
    assert chain.pool().leased == chain.pool().flow_q64 == 0
    assert chain.pools.leases_of[ALICE] == ()
    assert ["pools.LeaseEnded", lease_id, CPU, 0, "time"] in chain.events


def test_ending_early_refunds_what_is_unused_and_worth_it_less_the_fee() -> None:
    chain = chain_with_supply()
    lease_id = chain.acquire(ALICE, 100, 100)
    paid, before = chain.books().paid_in, chain.free(ALICE)
    chain.set_price(10**9)
    chain.skip(40)

    chain.do(ALICE, "pools.terminate", lease_id)

    refund = chain.free(ALICE) - before
    # The base price is far above what was paid, so all that is unused is worth it.
    assert abs(refund - paid * 60 // 100 * 95 // 100) <= 3
    assert chain.books().refunded == refund
    assert chain.found("LeaseEnded") == [[lease_id, CPU, refund, "client"]]
    chain.end()


def test_a_refund_is_no_more_than_the_units_are_worth() -> None:
    chain = chain_with_supply()
    lease_id = chain.acquire(ALICE, 100, 100)
    before = chain.free(ALICE)
    chain.skip(40)
    chain.set_price(1_000)
    pool, lease = chain.pools.desk.pool(CPU), chain.lease(lease_id)
    again = extension_cost(pool.rule.curve, chain.pool().market, lease.units, Blocks(60))

    chain.do(ALICE, "pools.terminate", lease_id)

    assert abs(chain.free(ALICE) - before - again * 95 // 100) <= 3
    chain.end()


def test_the_shortest_rent_is_paid_however_early_a_lease_ends() -> None:
    chain = chain_with_supply()
    chain.set_price(50_000)
    lease_id = chain.acquire(ALICE, 100, 100)
    paid, before = chain.books().paid_in, chain.free(ALICE)

    chain.do(ALICE, "pools.terminate", lease_id)

    assert chain.free(ALICE) - before <= paid * 75 // 100
    chain.end()


def test_in_its_last_block_a_lease_refunds_nothing() -> None:
    chain = chain_with_supply()
    lease_id = chain.acquire(ALICE, 100)
    chain.skip(HOUR)
    before = chain.free(ALICE)

    chain.do(ALICE, "pools.terminate", lease_id)

    assert chain.free(ALICE) == before
    chain.end()


def test_only_its_client_ends_extends_or_sets_a_lease() -> None:
    chain = chain_with_supply()
    lease_id = chain.acquire(ALICE, 1)

    for call in (["terminate"], ["extend", 1, MUCH], ["set_auto_extend", None]):
        name, *rest = call
        assert chain.error(BOB, f"pools.{name}", lease_id, *rest) == "pools.NotYourLease"
        assert chain.error(BOB, f"pools.{name}", 7, *rest) == "pools.UnknownLease"


def test_anybody_settles_a_lease() -> None:
    chain = chain_with_supply()
    lease_id = chain.acquire(ALICE, 100, 100)
    paid = chain.books().paid_in
    chain.skip(50)

    chain.do(BOB, "pools.settle", lease_id)

    burned = chain.books().burned
    assert abs(burned - paid // 10) <= 1
    (settled,) = chain.found("Settled")
    assert settled[1] == burned
    assert chain.lease(lease_id).settled == chain.height
    chain.do(BOB, "pools.settle", lease_id)
    assert chain.books().burned == burned
    assert chain.error(BOB, "pools.settle", 9) == "pools.UnknownLease"
    chain.skip(51)
    assert chain.books().burned == -(-paid // 5)


# ----------------------------------------------------------------------------------- extending


def test_extending_costs_what_giving_back_and_leasing_again_would() -> None:
    chain = chain_with_supply()
    lease_id = chain.acquire(ALICE, 100)
    chain.skip(10)
    pool = chain.pools.desk.pool(CPU)
    wanted = extension_cost(pool.rule.curve, chain.pool().market, chain.pool().leased, Blocks(40))
    before, ends = chain.free(ALICE), chain.lease(lease_id).ends

    assert chain.error(ALICE, "pools.extend", lease_id, 40, wanted - 1) == "pools.CostsMore"
    chain.do(ALICE, "pools.extend", lease_id, 40, wanted)

    lease = chain.lease(lease_id)
    assert before - chain.free(ALICE) == wanted
    assert (lease.ends, lease.since, lease.term) == (ends + 40, chain.height, 40)
    assert chain.found("Extended") == [[lease_id, ends + 40, wanted]]
    chain.skip(lease.ends - chain.height + 1)
    assert chain.pools.lease(lease_id) is None
    books = chain.books()
    assert 0 <= books.burned - -(-books.paid_in // 5) <= 2


def test_until_its_end_a_lease_can_be_extended_in_a_full_pool() -> None:
    chain = chain_with_supply(16)
    for _ in range(16):
        chain.acquire(ALICE, 1, HOUR)
        chain.end()
    lease_id = chain.pools.leases_of[ALICE][0]
    chain.skip(chain.lease(lease_id).ends - chain.height)
    assert chain.error(BOB, "pools.acquire", CPU, 1, HOUR, MUCH, KEY) == "pools.NotEnoughSupply"

    chain.do(ALICE, "pools.extend", lease_id, HOUR, MUCH)
    chain.end()

    assert chain.lease(lease_id).units == 1


@pytest.mark.parametrize("duration", [0, 576])
def test_no_lease_runs_for_longer_than_its_price_may_be_locked(duration: int) -> None:
    chain = chain_with_supply()
    lease_id = chain.acquire(ALICE, 100)

    error = chain.error(ALICE, "pools.extend", lease_id, duration, MUCH)

    assert error == "pools.ParameterOutOfRange"


def test_an_extension_needs_a_place_in_the_block_of_its_end() -> None:
    chain = chain_with_supply(ends_max=1)
    lease_id = chain.acquire(ALICE, 1)
    chain.acquire(ALICE, 1, HOUR + 5)

    assert chain.error(ALICE, "pools.extend", lease_id, 5, MUCH) == "pools.LeaseSlotFull"


def test_a_lease_extends_itself_up_to_a_ceiling() -> None:
    chain = chain_with_supply()
    lease_id = chain.acquire(ALICE, 100)
    chain.do(ALICE, "pools.set_auto_extend", lease_id, 125 * LOOP)
    assert chain.found("AutoExtendSet") == [[lease_id, 125 * LOOP]]
    ends = chain.lease(lease_id).ends

    chain.skip(HOUR + 1)

    assert chain.lease(lease_id).ends == ends + HOUR
    chain.do(ALICE, "pools.set_auto_extend", lease_id, 1)
    chain.skip(HOUR)
    assert chain.pools.lease(lease_id) is None


def test_who_cannot_pay_an_extension_by_itself_has_its_lease_ended_on_time() -> None:
    chain = chain_with_supply()
    lease_id = chain.acquire(ALICE, 100)
    chain.do(ALICE, "pools.set_auto_extend", lease_id, 2**60)
    chain.do(ALICE, "balances.transfer_all", BOB, True)

    chain.skip(HOUR + 1)

    assert chain.pools.lease(lease_id) is None
    assert not [event for event in chain.events if event[0] == "pools.Extended"]


def test_a_lease_is_stored_as_it_is_read() -> None:
    chain = chain_with_supply()
    lease = replace(chain.lease(chain.acquire(ALICE, 100)), ceiling=None)

    assert LEASE.decode(LEASE.encode(lease)) == lease
