"""Faults of providers: leases move or are refunded, clients are compensated, the rest burns."""

from dataclasses import replace
from typing import Any

import pytest

from primitives.types import Balance
from tests.runtime.pools.pool_chain import CPU, HOUR, SLASH, PoolChain
from tests.runtime.small_chain import ALICE, BOB, DAVE, EVE, FERDIE, LOOP


def leased(*others: Any, units: int = 100, **changes: Any) -> PoolChain:
    """Return a chain on which DAVE alone serves a lease of ALICE, and others have joined since."""
    chain = PoolChain(**changes)
    chain.prove(DAVE, 1600)
    chain.skip(2)
    chain.acquire(ALICE, units, 100)
    for provider, supply in others:
        chain.prove(provider, supply)
    chain.skip(20)
    return chain


def test_a_lease_moves_to_a_provider_with_free_units() -> None:
    chain = leased((EVE, 1600))
    before, books = chain.free(ALICE), chain.books()

    chain.change(DAVE, 0, reason="missed proof")
    chain.end()

    lease = chain.lease(0)
    assert [(share.provider, share.units) for share in lease.shares] == [(EVE, 100)]
    assert lease.since == chain.height - 1 or lease.since == chain.height
    assert chain.free(ALICE) == before
    assert chain.books().refunded == books.refunded
    assert chain.found("ShareLost") == [[0, DAVE, 100, 0, "missed proof"]]
    assert chain.found("UnitsChanged") == [[CPU, DAVE, 0, "missed proof"]]
    assert chain.providers.leased == {(1, DAVE): 0, (1, EVE): 100}
    chain.end()


def test_what_nobody_can_take_over_is_refunded_without_a_fee() -> None:
    chain = leased()
    before, paid = chain.free(ALICE), chain.books().paid_in

    chain.change(DAVE, 0, reason="missed proof")
    chain.end()

    # 21 of 100 blocks have been served.
    assert abs(chain.free(ALICE) - before - paid * 79 // 100) <= 3
    assert chain.pools.lease(0) is None
    assert chain.pool().leased == chain.pool().supply == 0
    chain.end()


def test_a_part_moves_and_the_rest_is_refunded() -> None:
    chain = leased((EVE, 30))
    before, paid = chain.free(ALICE), chain.books().paid_in

    chain.change(DAVE, 0, reason="missed proof")
    chain.end()

    lease = chain.lease(0)
    assert [(share.provider, share.units) for share in lease.shares] == [(EVE, 30)]
    assert lease.units == chain.pool().leased == 30
    assert abs(chain.free(ALICE) - before - paid * 79 * 70 // 10_000) <= 3
    chain.skip(100)
    assert chain.pools.lease(0) is None


def test_fewer_units_cost_the_leases_that_came_last() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 1600)
    for _ in range(3):
        chain.acquire(ALICE, 100, 100)
        chain.end()

    chain.change(DAVE, 250)
    chain.end()

    assert [number for number, _ in chain.pools.leases.items()] == [0, 1]
    assert chain.member(DAVE).units == 250
    assert [fields[4] for fields in chain.found("ShareLost")] == ["units gone"]
    chain.end()


def test_what_moves_to_who_serves_a_part_already_is_one_share() -> None:
    chain = PoolChain()
    for provider in (DAVE, EVE):
        chain.prove(provider, 1600)
        chain.do(provider, "pools.leave", CPU, 1590)
    chain.acquire(ALICE, 15, 100)
    assert len(chain.lease(0).shares) == 2
    chain.do(EVE, "pools.cancel_leave", CPU)
    before = sum(share.total for share in chain.lease(0).shares)

    chain.change(DAVE, 0)
    chain.end()

    (share,) = chain.lease(0).shares
    assert (share.provider, share.units) == (EVE, 15)
    assert before - share.total <= before // 50
    assert chain.member(EVE).served == (0,)
    chain.end()


def test_a_client_is_paid_its_loss_out_of_the_slash_and_the_rest_burns() -> None:
    chain = leased(loss_blocks=10)
    paid, before = chain.books().paid_in, chain.free(ALICE)
    issuance = chain.runtime.balances.total_issuance.get()

    chain.change(DAVE, 0, slashed=LOOP, reason="wrong proof")
    chain.end()

    (compensated,) = chain.found("Compensated")
    assert compensated[:3] == [0, DAVE, ALICE]
    # What it paid in the last ten blocks; leasing again would have cost about what is refunded.
    assert paid // 10 <= compensated[3] <= paid // 8
    assert chain.free(ALICE) - before == chain.books().refunded + compensated[3]
    burned = chain.books().burned + LOOP - compensated[3]
    assert chain.runtime.balances.total_issuance.get() == issuance - burned
    assert chain.runtime.balances.held[DAVE, SLASH] == 0
    chain.end()


def test_dearer_units_elsewhere_are_a_loss_too() -> None:
    chain = leased(loss_blocks=0)
    chain.set_price(100_000)
    refundable = chain.books().paid_in * 79 // 100

    chain.change(DAVE, 0, slashed=10 * LOOP, reason="wrong proof")
    chain.end()

    (compensated,) = chain.found("Compensated")
    assert refundable * 9 // 10 < compensated[3] < refundable * 11 // 10
    chain.end()


def test_a_slash_that_is_too_small_is_shared_in_proportion() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 1600)
    chain.acquire(ALICE, 75, 100)
    chain.acquire(BOB, 25, 100)
    chain.skip(20)

    chain.change(DAVE, 0, slashed=10**6, reason="wrong proof")
    chain.end()

    found = {fields[2]: fields[3] for fields in chain.found("Compensated")}
    assert 10**6 - 2 <= found[ALICE] + found[BOB] <= 10**6
    assert 2.9 < found[ALICE] / found[BOB] < 3.1


def test_a_slash_that_harmed_no_client_burns() -> None:
    chain = leased()
    issuance = chain.runtime.balances.total_issuance.get()

    chain.change(EVE, 0, slashed=LOOP, reason="wrong proof")
    chain.end()

    assert chain.runtime.balances.held[EVE, SLASH] == 0
    assert chain.runtime.balances.total_issuance.get() == issuance - LOOP
    assert chain.found("Compensated") == []


def test_in_the_last_block_of_a_lease_a_fault_changes_nothing_for_it() -> None:
    chain = leased()
    chain.skip(chain.lease(0).ends - chain.height - 1)
    before = chain.free(ALICE)

    chain.change(DAVE, 0, reason="missed proof")
    chain.end()

    assert chain.pools.lease(0) is None
    assert chain.free(ALICE) == before
    chain.end()


def test_a_block_takes_in_so_many_changes() -> None:
    chain = PoolChain(changes_max=1)
    chain.prove(DAVE, 100)
    chain.prove(EVE, 100)
    chain.change(DAVE, 50)
    chain.change(EVE, 50)

    chain.end()
    assert chain.pool().supply == 150
    chain.end()
    assert chain.pool().supply == 100


def test_a_loss_that_no_amount_can_hold_is_none() -> None:
    chain = leased(loss_blocks=0)
    chain.set_price(1 << 55)

    chain.change(DAVE, 0, slashed=LOOP, reason="wrong proof")
    chain.end()

    assert chain.found("Compensated") == []
    assert chain.pools.lease(0) is None
    chain.end()


# -------------------------------------------------------------------------- failures of a service


def test_a_share_that_was_served_wrongly_is_refunded_and_does_not_move() -> None:
    chain = leased((EVE, 1600), loss_blocks=100)
    before, paid = chain.free(ALICE), chain.books().paid_in
    chain.runtime.balances.hold(DAVE, SLASH, Balance(LOOP))

    chain.pools.fail_share(0, DAVE, "wrong rows", slashed=Balance(LOOP))

    # All that it has paid, and what leasing again would cost more.
    assert chain.free(ALICE) - before >= paid - 3
    assert chain.pools.lease(0) is None
    assert chain.runtime.balances.held[DAVE, SLASH] == 0
    assert chain.found("ShareLost")[0][4] == "wrong rows"
    chain.end()


def test_other_shares_of_the_lease_run_on() -> None:
    chain = PoolChain()
    for provider in (DAVE, EVE):
        chain.prove(provider, 1600)
        chain.do(provider, "pools.leave", CPU, 1590)
    chain.acquire(ALICE, 15, 100)
    chain.skip(10)
    first, second = chain.lease(0).shares

    chain.pools.fail_share(0, first.provider, "wrong rows", slashed=Balance(0))

    (left,) = chain.lease(0).shares
    assert (left.provider, left.units) == (second.provider, second.units)
    assert chain.lease(0).units == second.units
    chain.skip(91)
    assert chain.pools.lease(0) is None


def test_only_a_share_that_exists_fails() -> None:
    chain = leased((EVE, 1600))

    with pytest.raises(Exception, match="lease 0"):
        chain.pools.fail_share(0, EVE, "wrong rows", slashed=Balance(0))
    with pytest.raises(Exception, match="lease 5"):
        chain.pools.fail_share(5, EVE, "wrong rows", slashed=Balance(0))
    assert chain.lease(0).ends == 3 + 100
    assert HOUR == 25


def test_in_its_last_block_shares_of_a_lease_fail_one_by_one_and_the_rest_ends_on_time() -> None:
    chain = PoolChain()
    for provider in (DAVE, EVE, FERDIE):
        chain.prove(provider, 1600)
        chain.do(provider, "pools.leave", CPU, 1590)
    chain.acquire(ALICE, 25, 100)
    chain.skip(100)
    before, shares = chain.free(ALICE), chain.lease(0).shares

    for share in shares[:2]:
        chain.pools.fail_share(0, share.provider, "wrong rows", slashed=Balance(0))

    assert chain.lease(0).shares == (replace(shares[2], total=Balance(0)),)
    chain.end()
    assert chain.pools.lease(0) is None
    assert chain.free(ALICE) == before
