"""Opening pools, supplying them and leaving them: each call and each error."""

from dataclasses import replace
from typing import Any

import pytest

from primitives.types import AccountId, Epoch
from runtime.pools.controller import exp2
from runtime.pools.parameters import DEFAULT_CURVE, PARAMETERS, PoolParameters, parameters_of
from runtime.pools.pricing import Blocks, Units
from runtime.pools.records import DEPOSIT
from tests.runtime.pools.pool_chain import CPU, HOUR, KEY, STORAGE, PoolChain
from tests.runtime.small_chain import ALICE, BOB, CHARLIE, DAVE, EVE, FERDIE, LOOP

RULE = parameters_of(PoolParameters(DEFAULT_CURVE))


def plain(**changes: Any) -> Any:
    return PARAMETERS.to_plain(replace(RULE, **changes))


# --------------------------------------------------------------------------------------- pools


def test_anybody_opens_a_pool_with_a_deposit() -> None:
    chain = PoolChain()

    chain.do(ALICE, "pools.create_pool", 2, 4_000 << 32, plain())

    assert chain.found("PoolOpened") == [[2, 2, ALICE, (4_000 << 32).to_bytes(16, "big")]]
    assert chain.runtime.balances.held[ALICE, DEPOSIT] == 100 * LOOP
    assert chain.pools.pool_ids.get() == (0, 1, 2)
    chain.end()


@pytest.mark.parametrize(
    ("change", "value"),
    [("exponent", 4), ("target_q16", 40_000), ("burn_ppb", 0), ("lock_max", 1), ("rent_min", 0)],
)
def test_a_rule_outside_the_bounds_is_refused(change: str, value: int) -> None:
    chain = PoolChain()

    error = chain.error(ALICE, "pools.create_pool", 1, 1 << 32, plain(**{change: value}))

    assert error == "pools.ParameterOutOfRange"
    assert chain.runtime.balances.held[ALICE, DEPOSIT] == 0


def test_a_pool_of_no_class_is_refused() -> None:
    assert PoolChain().error(ALICE, "pools.create_pool", 9, 1, plain()) == "pools.UnknownClass"


def test_a_pool_starts_within_the_range_of_the_chain() -> None:
    chain = PoolChain()

    for price in (0, (10**9 << 32) + 1):
        error = chain.error(ALICE, "pools.create_pool", 1, price, plain())
        assert error == "pools.StartPriceRefused"


def test_no_pool_starts_dearer_than_its_class_is_sold() -> None:
    chain = PoolChain()
    chain.do(ALICE, "pools.create_pool", 3, 9**9 << 32, plain())
    assert exp2(chain.pool(2).octaves) > 1 << 60
    chain.do(ALICE, "pools.create_pool", 1, 9**9 << 32, plain())

    chain.prove(DAVE, 1000)
    chain.do(ALICE, "pools.create_pool", 1, 9**9 << 32, plain())
    chain.do(ALICE, "pools.create_pool", 1, 5 << 32, plain())

    for pool_id in (3, 4):
        assert 49_999 << 32 < exp2(chain.pool(pool_id).octaves) <= 50_000 << 32
    assert exp2(chain.pool(5).octaves) <= 5 << 32


def test_there_are_so_many_pools_and_no_more() -> None:
    chain = PoolChain(pools_max=2)

    assert chain.error(ALICE, "pools.create_pool", 1, 1, plain()) == "pools.TooManyPools"


def test_the_owner_of_an_empty_pool_closes_it_and_has_the_deposit_back() -> None:
    chain = PoolChain(price_period=2)
    chain.do(ALICE, "pools.create_pool", 1, 50_000 << 32, plain())
    chain.prove(DAVE, 1600, 2)
    chain.skip(3)
    chain.acquire(ALICE, 100, HOUR, 2)
    chain.skip(HOUR + 1)

    assert chain.error(BOB, "pools.close_pool", 2) == "pools.NotOwner"
    assert chain.error(ALICE, "pools.close_pool", 2) == "pools.PoolInUse"

    chain.change(DAVE, 0, reason="missed", pool_id=2)
    chain.end()
    chain.do(DAVE, "pools.leave", 2, 0)
    left, before = chain.escrow(2), chain.free(ALICE)
    chain.do(ALICE, "pools.close_pool", 2)

    assert chain.found("PoolClosed") == [[2, left]]
    assert chain.free(ALICE) == before + 100 * LOOP
    assert chain.error(ALICE, "pools.close_pool", 2) == "pools.UnknownPool"
    assert chain.pools.pool_ids.get() == (0, 1)
    assert not [key for key, _ in chain.pools.history.items() if key[0] == 2]
    chain.end()


# ----------------------------------------------------------------------------------- providers


def test_live_units_supply_a_pool() -> None:
    chain = PoolChain()

    chain.prove(DAVE, 1000)

    assert chain.pool().supply == 1000
    assert chain.found("Joined") == [[CPU, DAVE, 1000]]
    assert (1, DAVE) in chain.providers.engaged
    chain.end()


def test_who_has_proven_nothing_does_not_join() -> None:
    chain = PoolChain()

    assert chain.error(DAVE, "pools.join", CPU) == "pools.NothingProven"
    assert chain.error(DAVE, "pools.join", 9) == "pools.UnknownPool"


def test_units_of_a_class_supply_one_pool() -> None:
    chain = PoolChain()
    chain.do(ALICE, "pools.create_pool", 1, 1, plain())
    chain.prove(DAVE, 1000)

    assert chain.error(DAVE, "pools.join", 2) == "pools.AlreadyMember"
    chain.prove(DAVE, 500, STORAGE)


def test_a_pool_has_so_many_providers_and_no_more() -> None:
    chain = PoolChain(members_max=1)
    chain.prove(DAVE, 1000)
    chain.providers.units[1, EVE] = 1

    assert chain.error(EVE, "pools.join", CPU) == "pools.PoolFull"


def test_joining_again_brings_in_what_is_newly_proven() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 1000)

    chain.prove(DAVE, 1500)

    assert chain.pool().supply == 1500


def test_fewer_units_than_are_leased_wait_for_their_change() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 3200)
    chain.skip(2)
    chain.acquire(ALICE, 200)

    chain.prove(DAVE, 50)

    assert chain.member(DAVE).units == 200
    chain.end()


def test_units_leave_through_the_queue_at_the_pools_pace() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 8000)
    chain.skip(2)

    chain.do(DAVE, "pools.leave", CPU, 100)
    assert chain.found("LeaveQueued") == [[CPU, DAVE, 100]]
    assert chain.pools.supply.roster.unsold(CPU) == 7900
    # An eighth of the supply a day of 600 blocks: a hundred units take a tenth of the day.
    chain.skip(59)
    assert chain.pool().supply == 8000
    chain.skip(2)

    assert chain.pool().supply == 7900
    assert chain.member(DAVE).leaving == 0
    assert chain.pool().first_exit is None
    chain.change(DAVE, 9000)
    chain.end()
    assert chain.pool().supply == 7900
    chain.do(DAVE, "pools.join", CPU)
    assert chain.pool().supply == 9000


def test_what_has_not_left_can_stay() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 1000)
    assert chain.error(DAVE, "pools.cancel_leave", CPU) == "pools.NotLeaving"
    chain.do(DAVE, "pools.leave", CPU, 400)

    chain.do(DAVE, "pools.cancel_leave", CPU)

    assert chain.found("LeaveCanceled") == [[CPU, DAVE, 400]]
    assert chain.member(DAVE).leaving == 0
    chain.end()


@pytest.mark.parametrize("units", [0, 1001])
def test_only_units_that_are_there_leave(units: int) -> None:
    chain = PoolChain()
    chain.prove(DAVE, 1000)

    assert chain.error(DAVE, "pools.leave", CPU, units) == "pools.NotSoManyUnits"
    assert chain.error(EVE, "pools.leave", CPU, 1) == "pools.NotMember"


def test_who_is_leaving_neither_leaves_nor_joins_again() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 1000)
    chain.do(DAVE, "pools.leave", CPU, 1)

    assert chain.error(DAVE, "pools.leave", CPU, 1) == "pools.AlreadyLeaving"
    assert chain.error(DAVE, "pools.join", CPU) == "pools.AlreadyLeaving"


def test_a_leased_unit_leaves_when_its_lease_has_ended() -> None:
    chain = PoolChain(exits_max=4)
    chain.prove(DAVE, 160)
    chain.skip(2)
    lease_id = chain.acquire(ALICE, 10, 40)
    chain.do(DAVE, "pools.leave", CPU, 160)
    chain.prove(EVE, 100_000)

    for _ in range(41):
        assert chain.member(DAVE).units >= 10
        chain.end()
    assert chain.pools.lease(lease_id) is None
    chain.skip(10)

    assert chain.pools.members[CPU, DAVE] is None
    assert chain.pool().supply == 100_000
    assert (1, DAVE) not in chain.providers.engaged


def test_the_queue_is_one_of_many_who_leave_in_turn() -> None:
    chain = PoolChain(exits_max=2)
    for provider in (DAVE, EVE, FERDIE, CHARLIE):
        chain.prove(provider, 10_000)
        chain.do(provider, "pools.leave", CPU, 200)
    chain.do(EVE, "pools.cancel_leave", CPU)
    chain.do(CHARLIE, "pools.cancel_leave", CPU)
    left: list[AccountId] = []
    for _ in range(60):
        chain.end()
        left += [event[2] for event in chain.events if event[0] == "pools.UnitsLeft"]

    assert left == [DAVE, FERDIE]


def test_who_serves_only_leases_lets_others_leave_first() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 32)
    for _ in range(16):
        chain.acquire(ALICE, 2, 600)
        chain.end()
    chain.prove(EVE, 8000)
    chain.do(DAVE, "pools.leave", CPU, 32)
    chain.do(EVE, "pools.leave", CPU, 100)
    assert chain.member(DAVE).leased == 32

    chain.skip(70)

    assert chain.member(EVE).units == 7900
    assert chain.member(DAVE).units == 32


def test_what_a_fault_took_leaves_the_queue_too() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 1000)
    chain.do(DAVE, "pools.leave", CPU, 400)

    chain.change(DAVE, 0, reason="missed")
    chain.end()

    assert chain.member(DAVE).leaving == 0
    assert chain.pool().first_exit is None
    chain.do(DAVE, "pools.leave", CPU, 77)
    assert chain.found("MemberRemoved") == [[CPU, DAVE, 0]]
    chain.end()


# -------------------------------------------------------------------------------------- earning


def test_all_units_share_a_fifth_of_what_is_not_burned_and_who_serves_has_the_rest() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 1600)
    chain.skip(2)
    chain.acquire(ALICE, 100)
    chain.prove(EVE, 1600)
    paid = chain.books().paid_in
    chain.skip(HOUR + 1)

    before = chain.free(DAVE), chain.free(EVE)
    chain.do(DAVE, "pools.claim", CPU)
    chain.do(EVE, "pools.claim", CPU)

    burned = -(-paid * 2 // 10)
    served = (paid - burned) * 8 // 10
    shared = paid - burned - served
    assert chain.books().burned == burned
    assert 0 <= served + shared // 2 - (chain.free(DAVE) - before[0]) <= 1
    assert 0 <= shared // 2 - (chain.free(EVE) - before[1]) <= 1
    assert chain.error(EVE, "pools.claim", CPU) == "pools.NothingToClaim"
    assert chain.error(ALICE, "pools.claim", CPU) == "pools.NotMember"
    chain.end()


def test_what_flows_is_shared_by_those_who_are_there_while_it_flows() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 1600)
    chain.skip(2)
    chain.acquire(ALICE, 100, 2 * HOUR)
    chain.skip(HOUR)
    chain.prove(EVE, 1600)
    early = chain.member(DAVE).claim.accrued(chain.pool().reward).accrued_q64

    chain.skip(HOUR)

    late = chain.member(EVE).claim.accrued(chain.pool().reward).accrued_q64
    # For half of the time EVE has half of the units: half of what DAVE got in the first half.
    assert abs(2 * late - early) <= 3200


def test_who_is_out_has_been_paid() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 1600)
    chain.skip(2)
    chain.acquire(ALICE, 100)
    chain.skip(HOUR + 1)
    before, left = chain.free(DAVE), chain.escrow()
    chain.change(DAVE, 0)
    chain.end()

    chain.do(DAVE, "pools.leave", CPU, 0)

    assert before + left - 1 <= chain.free(DAVE) <= before + left
    chain.end()


# ------------------------------------------------------------------------------------ the market


def test_what_is_not_leased_is_lost_with_every_block() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 1600)
    chain.skip(2)
    before = chain.pool().dissipated
    chain.acquire(ALICE, 100)

    chain.skip(HOUR)

    assert chain.pool().dissipated - before == 1500 * HOUR


def test_the_price_falls_while_nobody_leases_and_rests_without_supply() -> None:
    chain = PoolChain(price_period=5)
    start = chain.pool().octaves
    chain.skip(50)
    assert chain.pool().octaves == start

    chain.prove(DAVE, 1000)
    chain.skip(51)

    assert chain.pool().octaves < start
    assert [key for key, _ in chain.pools.history.items() if key[0] == STORAGE] == []


def test_an_epochs_usage_is_weighed_by_what_the_units_are_worth() -> None:
    chain = PoolChain(epoch_length=40)
    blocks = Blocks(40)
    assert chain.pools.usage(Epoch(0), blocks) is None
    chain.prove(DAVE, 1600)
    chain.prove(EVE, 800, STORAGE)
    chain.acquire(ALICE, 100, 30)
    chain.skip(38)

    usage = chain.pools.usage(Epoch(0), blocks)

    assert usage is not None
    assert usage.supply == 2400 * 38 // 40
    assert (5_000 << 32) < usage.base_price < (50_000 << 32)
    assert 0 < usage.average_q32 < (1 << 32) // 16
    assert usage.target_q16 == DEFAULT_CURVE.target_q16
    chain.skip(2)
    cpu, storage = chain.pools.class_tallies(Epoch(0))
    assert (cpu.class_id, storage.class_id) == (1, 2)
    assert (cpu.supply, storage.supply) == (1600 * 39 // 40, 800 * 39 // 40)
    assert (48_000 << 32) < cpu.price <= (50_000 << 32)
    assert chain.pool().tally.blocks == 1


def test_class_prices_are_forgotten_when_nobody_can_ask_for_a_reward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("runtime.pools.module.TALLIES_KEPT", 3)
    chain = PoolChain(epoch_length=2)
    chain.prove(DAVE, 1600)

    chain.skip(11)

    assert [epoch for epoch, _ in chain.pools.tallies.items()] == [2, 3, 4]


def test_a_pool_holds_no_more_units_than_arithmetic_allows() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 1 << 40)

    chain.prove(EVE, 1000)

    assert chain.member(EVE).units == 0
    assert chain.pool().supply == Units(1 << 40)
    chain.end()


def test_a_key_of_a_lease_has_32_bytes() -> None:
    with pytest.raises(Exception, match="32 bytes"):
        PoolChain().error(ALICE, "pools.acquire", CPU, 1, HOUR, 1, KEY[1:])


def test_who_came_last_takes_the_place_of_who_goes() -> None:
    chain = PoolChain()
    for provider in (DAVE, EVE, FERDIE):
        chain.prove(provider, 1000)
    chain.change(DAVE, 0)
    chain.end()

    chain.do(DAVE, "pools.leave", CPU, 0)

    assert (chain.member(FERDIE).slot, chain.member(EVE).slot) == (0, 1)
    assert chain.pools.supply.roster.unsold(CPU) == 2000
    chain.end()
    for _ in range(8):
        chain.acquire(ALICE, 10)
    assert chain.member(FERDIE).leased + chain.member(EVE).leased == 80
    chain.end()
