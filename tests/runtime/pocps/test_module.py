"""Proofs in the chain: classes, places, windows, and what is live after them."""

from dataclasses import replace

from tests.runtime.pocps.proof_chain import POCPS, ProofChain, genesis_providers
from tests.runtime.small_chain import ALICE, BOB, CHARLIE


def test_what_is_proven_in_an_epoch_is_live_in_the_next() -> None:
    chain = ProofChain(replace(POCPS, providers=genesis_providers(ALICE, BOB)))
    assert chain.live(ALICE) == 0

    chain.prove(ALICE, BOB)
    assert chain.live(ALICE) == 0
    chain.next_epoch()

    assert (chain.live(ALICE), chain.live(BOB)) == (4, 4)
    assert chain.runtime.pocps.total_units(1) == 8
    chain.prove(ALICE)
    chain.next_epoch()
    assert (chain.live(ALICE), chain.live(BOB)) == (4, 0)
    assert chain.runtime.pocps.total_units(1) == 4
    chain.next_epoch()
    assert (chain.live(ALICE), chain.live(BOB)) == (0, 0)


def test_registered_units_owe_and_prove_from_the_next_epoch_on() -> None:
    chain = ProofChain()
    chain.do(CHARLIE, "pocps.register", 1, 5)
    assert chain.error(CHARLIE, "pocps.commit", 1, 5, bytes(32)) == "pocps.NothingDue"
    chain.next_epoch()

    chain.prove(CHARLIE)
    chain.next_epoch()

    assert chain.live(CHARLIE) == 5
    assert chain.faults(CHARLIE) == ()
