"""What a hostile owner of pools, provider or client tries against the market."""

from dataclasses import replace

from runtime.pools.controller import exp2
from runtime.pools.parameters import DEFAULT_CURVE, PARAMETERS, PoolParameters, parameters_of
from tests.runtime.pocps.proof_chain import POCPS, ProofChain, genesis_providers
from tests.runtime.pools.pool_chain import CPU, HOUR, KEY, PoolChain
from tests.runtime.small_chain import ALICE, BOB, CHARLIE, DAVE, SPEC

STORAGE_CLASS = 2
MUCH = 10**17


def rule() -> object:
    return PARAMETERS.to_plain(parameters_of(PoolParameters(DEFAULT_CURVE)))


def test_units_that_were_given_up_do_not_come_back_by_news_that_is_late() -> None:
    providers = genesis_providers(BOB, CHARLIE, DAVE, units=8)
    cheat, *others = (each.account for each in providers)
    chain = ProofChain(
        replace(POCPS, providers=providers), pools=replace(SPEC.runtime.pools, changes_max=1)
    )
    chain.prove(cheat, *others)
    chain.next_epoch()
    chain.block(*((who, ["pools.join", CPU]) for who in (cheat, *others)))
    chain.prove(*others)
    chain.next_epoch()
    # The cheat has missed and is in the pool without a unit; now it proves, and the others miss.
    chain.prove(cheat)
    chain.next_epoch()
    receipts = chain.block(
        (cheat, ["pools.leave", CPU, 1]),
        (cheat, ["pocps.deregister", 1, 6]),
        (cheat, ["pools.join", CPU]),
    )
    assert [receipt.error for receipt in receipts] == ["", "", ""]
    assert chain.live(cheat) == 2

    for _ in range(3):
        # What is told of the cheat is from before it gave units up.
        chain.block()

    member = chain.runtime.pools.desk.member(CPU, cheat)
    assert chain.live(cheat) == 2
    assert member.units == 2


def test_a_class_that_nobody_supplies_yet_has_the_price_of_its_pools() -> None:
    chain = PoolChain()

    chain.do(ALICE, "pools.create_pool", STORAGE_CLASS, 9**9 << 32, rule())

    first = chain.pools.desk.state(1)
    assert chain.pool(2).octaves == first.octaves
    assert exp2(chain.pool(2).octaves) <= 5_000 << 32


def test_the_first_pool_of_a_class_names_its_price() -> None:
    chain = PoolChain()

    chain.do(ALICE, "pools.create_pool", 3, 9**9 << 32, rule())

    assert exp2(chain.pool(2).octaves) > 9**9 << 31


def test_tiny_leases_do_not_shut_a_provider() -> None:
    chain = PoolChain()
    chain.prove(DAVE, 10_000)
    chain.skip(70)
    errors = set()
    for number in range(80):
        errors.add(chain.error(BOB, "pools.acquire", CPU, 1, HOUR + number, MUCH, KEY))
    leased = chain.pool().leased

    assert chain.error(ALICE, "pools.acquire", CPU, 500, HOUR, MUCH, KEY) == ""
    assert leased < 80
    assert len(errors) == 2
