"""What was proven in which epoch, by class: the weights of the availability reward."""

from dataclasses import replace

from primitives.types import Epoch
from tests.runtime.pocps.proof_chain import POCPS, UNBONDING, ProofChain, genesis_providers
from tests.runtime.small_chain import ALICE, BOB


def test_units_of_an_epoch_are_on_record_as_long_as_they_may_be_asked_for() -> None:
    chain = ProofChain(replace(POCPS, providers=genesis_providers(ALICE, BOB)))
    chain.prove(ALICE, BOB)
    chain.next_epoch()
    chain.prove(ALICE)

    for _ in range(UNBONDING):
        chain.next_epoch()
        pocps = chain.runtime.pocps
        assert pocps.units_in(1, ALICE, Epoch(0)) == pocps.units_in(1, BOB, Epoch(0)) == 4
        assert pocps.class_units_in(1, Epoch(0)) == 8
        assert (pocps.units_in(1, ALICE, Epoch(1)), pocps.units_in(1, BOB, Epoch(1))) == (4, 0)
        assert pocps.class_units_in(1, Epoch(1)) == 4
        assert pocps.class_units_in(2, Epoch(0)) == 0


def test_units_of_another_epoch_do_not_show_through() -> None:
    chain = ProofChain(replace(POCPS, providers=genesis_providers(ALICE)))
    chain.prove(ALICE)
    ring = UNBONDING + 2

    pocps = chain.runtime.pocps

    assert pocps.units_in(1, ALICE, Epoch(0)) == 4
    assert pocps.units_in(1, ALICE, Epoch(ring)) == pocps.class_units_in(1, Epoch(ring)) == 0


def test_units_that_are_proven_wrong_in_their_epoch_do_not_count() -> None:
    chain = ProofChain(replace(POCPS, providers=genesis_providers(ALICE, BOB)))
    chain.prove(ALICE, BOB)
    execution = chain.start()
    execution.runtime.pocps.punish(1, ALICE, "wrong_rows", fraction_ppb=10**8)
    chain.finish(execution)

    pocps = chain.runtime.pocps

    assert pocps.units_in(1, ALICE, Epoch(0)) == 0
    assert pocps.class_units_in(1, Epoch(0)) == pocps.units_in(1, BOB, Epoch(0)) == 4
