"""What anybody may ask about pools, as a wallet asks it: by name, in canonical encoding."""

from dataclasses import replace
from typing import Any

import pytest

from primitives.codec import encode
from primitives.errors import DispatchError
from runtime.pools.controller import highest_octaves
from runtime.pools.parameters import DEFAULT_CURVE, PARAMETERS, PoolParameters, parameters_of
from runtime.pools.pricing import Blocks, spot_price
from runtime.pools.records import Sample
from runtime.pools.views import LeaseView, MemberView, PoolView, QuoteView
from runtime.queries import QUERIES
from tests.runtime.pools.pool_chain import CPU, HOUR, KEY, STORAGE, PoolChain
from tests.runtime.small_chain import ALICE, BOB, DAVE, EVE


def ask(chain: PoolChain, name: str, *argument: Any) -> Any:
    query = QUERIES[name]
    plain = list(argument) if query.argument.description["type"] == "tuple" else argument[0]
    return query.answer.decode(query.run(chain.runtime, encode(plain)))


def traded() -> PoolChain:
    chain = PoolChain()
    chain.prove(DAVE, 1600)
    chain.skip(2)
    chain.acquire(ALICE, 100, 100)
    chain.skip(10)
    return chain


def test_a_quote_is_what_the_lease_then_costs() -> None:
    chain = traded()

    quote: QuoteView = ask(chain, "pools.quote", CPU, 40, HOUR, 1)
    before = chain.free(BOB)
    chain.acquire(BOB, 40)

    assert before - chain.free(BOB) == quote.cost
    (leased,) = chain.found("Leased")
    assert leased[6] == quote.price_after.to_bytes(16, "big")
    assert quote.price_before < quote.price_after
    assert (quote.sale_left, quote.unsold) == (100, 1500)
    assert quote.ends == chain.height + HOUR
    assert quote.ends_free == chain.config.pools.ends_max


def test_the_worst_case_of_a_quote_bounds_the_cost_until_then() -> None:
    chain = traded()
    quote: QuoteView = ask(chain, "pools.quote", CPU, 40, HOUR, 10)
    rates = chain.pools.desk.rates(chain.pools.desk.pool(CPU))
    worst = highest_octaves(rates, chain.pool().octaves, Blocks(10))

    chain.skip(9)
    later: QuoteView = ask(chain, "pools.quote", CPU, 40, HOUR, 0)

    assert quote.worst_case is not None
    assert later.worst_case == later.cost
    assert quote.cost < quote.worst_case
    assert later.cost <= quote.worst_case
    assert chain.pool().octaves <= worst


def test_a_worst_case_that_nobody_can_pay_is_none() -> None:
    chain = traded()

    quote: QuoteView = ask(chain, "pools.quote", CPU, 100, 600, 2**32 - 1)

    assert quote.worst_case is None


def test_what_cannot_be_had_has_no_quote() -> None:
    chain = traded()

    for pool_id, units, duration in (
        (9, 1, HOUR),
        (CPU, 1, 1),
        (STORAGE, 1, HOUR),
        (CPU, 1501, 25),
    ):
        with pytest.raises(DispatchError):
            ask(chain, "pools.quote", pool_id, units, duration, 1)


def test_a_pool_says_what_it_sells_at_which_price() -> None:
    chain = traded()

    view: PoolView = ask(chain, "pools.pool", CPU)

    assert (view.pool_id, view.class_id) == (CPU, 1)
    assert (view.leased, view.supply, view.unsold, view.members) == (100, 1600, 1500, 1)
    assert view.price == spot_price(DEFAULT_CURVE, chain.pool().market)
    assert view.books == chain.books()
    assert view.dissipated == chain.pool().dissipated
    assert [each.pool_id for each in ask(chain, "pools.list")] == [CPU, STORAGE]
    assert ask(chain, "pools.list")[0] == view


def test_a_lease_says_what_has_streamed_and_what_ending_it_would_refund() -> None:
    chain = traded()
    paid = chain.books().paid_in
    chain.set_price(10**9)

    view: LeaseView = ask(chain, "pools.lease", 0)
    before = chain.free(ALICE)
    chain.do(ALICE, "pools.terminate", 0)

    assert view.lease.client == ALICE
    assert abs(view.streamed - paid // 10) <= 2
    assert chain.free(ALICE) - before == view.refund
    assert ask(chain, "pools.leases_of", ALICE) == ()


def test_in_its_last_block_all_of_a_lease_has_streamed() -> None:
    chain = traded()
    chain.skip(chain.lease(0).ends - chain.height)

    view: LeaseView = ask(chain, "pools.lease", 0)

    assert view.streamed == chain.books().paid_in
    assert view.refund == 0
    assert ask(chain, "pools.leases_of", ALICE) == (0,)


def test_a_refund_beyond_all_amounts_is_none() -> None:
    chain = traded()
    chain.set_price(1 << 55)

    assert ask(chain, "pools.lease", 0).refund is None
    assert chain.error(ALICE, "pools.terminate", 0) == "pools.QuoteOverflow"


def test_a_provider_sees_what_it_has_in_a_pool() -> None:
    chain = traded()
    chain.prove(EVE, 100)
    chain.do(EVE, "pools.leave", CPU, 30)
    chain.do(ALICE, "pools.settle", 0)

    view: MemberView = ask(chain, "pools.member", CPU, DAVE)
    before = chain.free(DAVE)
    chain.do(DAVE, "pools.claim", CPU)

    assert (view.units, view.leased, view.leaving, view.served) == (1600, 100, 0, (0,))
    assert chain.free(DAVE) - before == view.claimable
    assert ask(chain, "pools.member", CPU, EVE).leaving == 30
    assert ask(chain, "pools.supplies", 1, DAVE) == CPU
    assert ask(chain, "pools.supplies", 2, DAVE) is None


def test_the_history_is_a_ring_of_price_periods() -> None:
    chain = PoolChain(price_period=2, history_max=4)
    chain.prove(DAVE, 1600)
    chain.acquire(ALICE, 100, 100)
    chain.skip(15)

    samples: tuple[Sample, ...] = ask(chain, "pools.history", CPU, 100)

    assert [each.height for each in samples] == [10, 12, 14, 16]
    assert [each.height for each in ask(chain, "pools.history", CPU, 2)] == [14, 16]
    assert ask(chain, "pools.history", STORAGE, 4) == ()
    assert samples[-1].leased == 100
    assert samples[-1].base_price < samples[0].base_price


def test_a_period_without_supply_leaves_a_gap_in_the_history() -> None:
    chain = PoolChain(price_period=2, history_max=4)
    chain.prove(DAVE, 1600)
    chain.skip(6)
    chain.change(DAVE, 0)
    chain.skip(6)

    assert [each.height for each in ask(chain, "pools.history", CPU, 4)] == [6, 8]


def test_without_anything_that_counts_for_it_the_price_is_the_base_price() -> None:
    chain = PoolChain()
    rule = replace(parameters_of(PoolParameters(DEFAULT_CURVE)), virtual_depth=0)
    chain.do(ALICE, "pools.create_pool", 1, 50_000 << 32, PARAMETERS.to_plain(rule))

    view: PoolView = ask(chain, "pools.pool", 2)

    assert view.price == view.base_price > 0
    assert chain.error(ALICE, "pools.acquire", 2, 1, HOUR, 1, KEY) == "pools.NoSupply"
