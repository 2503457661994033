"""Faults: what is owed and not given, what it costs, who hears of it, and the way back."""

from dataclasses import replace
from typing import Any

import pytest

from primitives.types import AccountId, Balance, Digest, Epoch
from runtime.pocps.ladder import FAULTS_KEPT
from runtime.pocps.module import Pocps
from runtime.pocps.records import UnitsChange
from runtime.pocps.standings import HOLD, SLASH_HOLD
from runtime.pools.pricing import Units
from tests.runtime.pocps.proof_chain import (
    LADDER,
    LENGTH,
    POCPS,
    SAMPLE,
    ProofChain,
    genesis_providers,
)
from tests.runtime.small_chain import ALICE, BOB, LOOP, find_event

ROOT = Digest(bytes(32))
ONE = replace(POCPS, providers=genesis_providers(ALICE))


def fake(chain: ProofChain) -> None:
    """Let //Alice commit to nothing and answer with as many digests as are wanted."""
    units = chain.provider(ALICE).due
    lies = [bytes([each]) * 32 for each in range(2 * units)]
    chain.do(ALICE, *chain.commit_call(ALICE, units, leaves=lies))
    chain.to_place(SAMPLE)
    receipt = chain.do(ALICE, *chain.respond_call(ALICE, leaves=lies))
    assert find_event([receipt], "pocps.Faulted")[3] == "invalid_proof"


def reasons(chain: ProofChain) -> list[tuple[str, int, int]]:
    return [(each.reason, each.step, each.slashed) for each in chain.faults(ALICE)]


# ---------------------------------------------------------------------------------- the ladder


def test_a_first_miss_costs_the_epochs_reward_and_nothing_of_the_bond() -> None:
    chain = ProofChain(ONE)
    chain.prove(ALICE)
    chain.next_epoch()
    assert chain.live(ALICE) == 4
    issuance = chain.runtime.balances.total_issuance.get()

    chain.next_epoch()

    assert reasons(chain) == [("missed_commitment", 1, 0)]
    assert chain.live(ALICE) == 0
    assert chain.provider(ALICE).units == 4
    assert chain.runtime.pocps.proven_operations(ALICE, Epoch(1)) == 0
    chain.block()
    assert chain.held(ALICE, HOLD) == 4 * LOOP
    assert chain.runtime.balances.total_issuance.get() == issuance


def test_who_commits_and_does_not_respond_has_missed_too() -> None:
    chain = ProofChain(ONE)
    chain.do(ALICE, *chain.commit_call(ALICE, 4))
    chain.next_epoch()

    assert reasons(chain) == [("missed_response", 1, 0)]


def test_the_second_miss_slashes_and_the_third_ejects() -> None:
    chain = ProofChain(ONE)
    issuance = chain.runtime.balances.total_issuance.get()
    for _ in range(2):
        chain.next_epoch()
    chain.block()

    assert reasons(chain)[1] == ("missed_commitment", 2, 2 * LOOP)
    assert chain.provider(ALICE).units == 2
    assert chain.held(ALICE, HOLD) == 2 * LOOP
    assert chain.runtime.balances.total_issuance.get() == issuance - 2 * LOOP
    chain.next_epoch()
    receipts = chain.finish(chain.start())

    assert find_event(receipts, "pocps.Ejected") == [ALICE, 1, LOOP]
    known = chain.provider(ALICE)
    assert (known.units, known.bond, known.held) == (0, 0, LOOP)
    assert chain.runtime.pocps.sums(1) == (0, 0, 0)
    assert chain.error(ALICE, "pocps.register", 1, 2) == "pocps.InProviderJail"
    assert chain.error(ALICE, "pocps.commit", 1, 2, ROOT) == "pocps.InProviderJail"
    chain.next_epoch()
    chain.next_epoch()
    assert chain.error(ALICE, "pocps.register", 1, 2) == ""
    assert chain.runtime.pocps.penalty(1, ALICE).missed_step == 2


def test_misses_far_apart_do_not_add_up() -> None:
    chain = ProofChain(ONE)
    chain.next_epoch()
    for _ in range(LADDER.window_epochs - 1):
        chain.prove(ALICE)
        chain.next_epoch()
    chain.next_epoch()

    assert reasons(chain) == [("missed_commitment", 1, 0)] * 2


def test_a_wrong_proof_is_the_second_step_at_once_and_its_extrinsic_succeeds() -> None:
    chain = ProofChain(ONE)
    chain.prove(ALICE)
    chain.next_epoch()
    assert chain.live(ALICE) == 4
    issuance = chain.runtime.balances.total_issuance.get()
    bond = chain.held(ALICE, HOLD)

    fake(chain)

    assert reasons(chain) == [("invalid_proof", 2, 2 * LOOP)]
    assert chain.held(ALICE, HOLD) == bond // 2
    assert chain.runtime.balances.total_issuance.get() < issuance - 2 * LOOP
    assert chain.live(ALICE) == 0
    assert chain.runtime.pocps.sums(1) == (0, 0, 1)
    assert chain.error(ALICE, "pocps.commit", 1, 2, ROOT) == "pocps.InProviderJail"


def test_jail_ends_by_itself_and_who_then_proves_is_back() -> None:
    chain = ProofChain(ONE)
    fake(chain)
    known = chain.provider(ALICE)
    assert (known.units, known.free_from) == (2, 1 + LADDER.jail_epochs)
    chain.next_epoch()
    assert chain.error(ALICE, "pocps.commit", 1, 2, ROOT) == "pocps.InProviderJail"
    chain.next_epoch()
    assert len(chain.faults(ALICE)) == 1

    chain.prove(ALICE)
    chain.next_epoch()

    assert chain.live(ALICE) == 2


def test_a_wrong_proof_after_two_misses_ejects() -> None:
    chain = ProofChain(replace(ONE, providers=genesis_providers(ALICE, units=16)))
    for _ in range(2):
        chain.next_epoch()
    assert chain.provider(ALICE).units == 8

    fake(chain)

    assert reasons(chain)[-1] == ("invalid_proof", 3, 4 * LOOP)
    assert chain.provider(ALICE).units == 0


def test_what_is_leaving_is_slashed_in_the_same_proportion() -> None:
    chain = ProofChain(replace(ONE, providers=genesis_providers(ALICE, units=10)))
    chain.do(ALICE, "pocps.deregister", 1, 2)
    fake(chain)

    known = chain.provider(ALICE)
    assert (known.bond, [each.amount for each in known.leaving]) == (4 * LOOP, [LOOP])
    assert known.units == 4


def test_a_provider_whose_whole_bond_is_lost_is_gone() -> None:
    everything = replace(LADDER, second_ppb=10**9, third_ppb=10**9)
    chain = ProofChain(replace(ONE, ladder=everything))
    fake(chain)

    assert chain.held(ALICE, HOLD) == 0
    assert chain.provider(ALICE).units == 0
    assert chain.runtime.pocps.sums(1) == (0, 0, 0)


def test_the_penalty_is_known_before_the_fault() -> None:
    chain = ProofChain(ONE)
    penalty = chain.runtime.pocps.penalty(1, ALICE)
    assert (penalty.missed_step, penalty.missed_slash) == (1, 0)
    assert (penalty.invalid_step, penalty.invalid_slash) == (2, 2 * LOOP)

    chain.next_epoch()
    penalty = chain.runtime.pocps.penalty(1, ALICE)
    chain.next_epoch()

    assert reasons(chain)[-1][1:] == (penalty.missed_step, penalty.missed_slash) == (2, 2 * LOOP)


def test_only_the_last_faults_stay_on_record() -> None:
    gentle = replace(LADDER, window_epochs=1, first_ppb=0)
    chain = ProofChain(replace(ONE, ladder=gentle))
    for _ in range(FAULTS_KEPT + 2):
        chain.next_epoch()

    assert [each.epoch for each in chain.faults(ALICE)] == [*range(2, FAULTS_KEPT + 2)]


# --------------------------------------------------------------------------------- maintenance


def test_a_declared_absence_earns_nothing_and_costs_nothing() -> None:
    chain = ProofChain(ONE)
    chain.do(ALICE, "pocps.declare_maintenance", 1, 1, 2)
    chain.prove(ALICE)
    chain.next_epoch()
    assert chain.live(ALICE) == 4
    for _ in range(2):
        chain.next_epoch()
        assert chain.live(ALICE) == 0

    assert reasons(chain) == [("declared", 0, 0)] * 2
    chain.prove(ALICE)
    # The ramp went on by as much as was missed: three epochs proven or begun, two of them absent.
    assert chain.runtime.pocps.proving_since(ALICE, Epoch(3)) == 2
    assert chain.runtime.pocps.proven_operations(ALICE, Epoch(2)) == 0
    chain.next_epoch()
    assert chain.live(ALICE) == 4


def test_who_proves_although_absent_is_live() -> None:
    chain = ProofChain(ONE)
    chain.do(ALICE, "pocps.declare_maintenance", 1, 1, 1)
    chain.next_epoch()
    chain.prove(ALICE)
    chain.next_epoch()

    assert chain.live(ALICE) == 4
    assert [each[0] for each in reasons(chain)] == ["missed_commitment"]


# ------------------------------------------------------------------------- pools and their news


def changes(chain: ProofChain) -> list[UnitsChange]:
    taken: list[UnitsChange] = chain.as_pool(lambda pocps: pocps.take_changes(9))
    return taken


def keep_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody but the test take changes: the chain's own pools would."""
    taking = Pocps.take_changes
    monkeypatch.setattr(
        Pocps, "take_changes", lambda self, limit: taking(self, min(limit, 9)) if limit == 9 else []
    )


def test_a_pool_hears_of_units_that_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_changes(monkeypatch)
    chain = ProofChain(replace(POCPS, providers=genesis_providers(ALICE, BOB)))
    chain.as_pool(lambda pocps: pocps.engage(1, ALICE))
    chain.prove(ALICE, BOB)
    chain.next_epoch()
    chain.block()

    assert changes(chain) == [UnitsChange(1, ALICE, Units(4), Balance(0), "")]
    chain.prove(ALICE)
    chain.next_epoch()
    chain.block()
    assert changes(chain) == []
    chain.next_epoch()
    chain.block()
    assert changes(chain) == [UnitsChange(1, ALICE, Units(0), Balance(0), "missed_commitment")]


def test_news_that_nobody_took_grow_in_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_changes(monkeypatch)
    chain = ProofChain(replace(ONE, providers=genesis_providers(ALICE, units=16)))
    chain.as_pool(lambda pocps: pocps.engage(1, ALICE))
    for _ in range(3):
        chain.next_epoch()
    chain.block()

    (change,) = changes(chain)

    assert change == UnitsChange(1, ALICE, Units(0), Balance(12 * LOOP), "missed_commitment")
    assert chain.held(ALICE, SLASH_HOLD) == 12 * LOOP
    assert chain.held(ALICE, HOLD) == 4 * LOOP


def test_the_slash_of_a_provider_without_a_pool_is_burned() -> None:
    chain = ProofChain(ONE)
    fake(chain)

    assert chain.held(ALICE, SLASH_HOLD) == 0
    assert changes(chain) == []


def test_a_lost_dispute_is_slashed_like_a_wrong_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_changes(monkeypatch)
    chain = ProofChain(replace(ONE, providers=genesis_providers(ALICE, units=10)))
    chain.as_pool(lambda pocps: pocps.engage(1, ALICE))
    chain.prove(ALICE)

    def act(pocps: Pocps) -> Any:
        return pocps.punish(1, ALICE, "wrong_result", fraction_ppb=200_000_000)

    assert chain.as_pool(act) == 2 * LOOP
    assert chain.held(ALICE, SLASH_HOLD) == 2 * LOOP
    assert reasons(chain) == [("wrong_result", 2, 2 * LOOP)]
    known = chain.provider(ALICE)
    assert (known.units, known.proven, known.is_jailed) == (8, 0, True)
    assert chain.runtime.pocps.sums(1) == (0, 0, 1)
    # The grants of epoch 0 are still there, its proof is not.
    granted = sum(grant.operations for grant in chain.config.compute)
    assert chain.runtime.pocps.total_operations(Epoch(0)) == granted
    assert changes(chain) == [UnitsChange(1, ALICE, Units(0), Balance(0), "wrong_result")]


# ------------------------------------------------------------------------------ leased units


def test_leased_units_are_excused_in_proportion() -> None:
    chain = ProofChain(replace(ONE, providers=genesis_providers(ALICE, units=10)))
    chain.as_pool(lambda pocps: pocps.set_leased(1, ALICE, Units(6)))
    # Leased since this epoch's middle, they are owed once more.
    assert chain.provider(ALICE).claimable() == (10, 10)
    chain.prove(ALICE)
    chain.next_epoch()
    assert chain.provider(ALICE).claimable() == (4, 10)
    chain.do(ALICE, *chain.commit_call(ALICE, 4))
    chain.to_place(SAMPLE)

    chain.do(ALICE, *chain.respond_call(ALICE))

    chain.next_epoch()
    assert chain.live(ALICE) == 10
    assert chain.faults(ALICE) == ()


def test_units_that_are_all_leased_need_but_a_sign_of_life() -> None:
    chain = ProofChain(ONE)
    chain.as_pool(lambda pocps: pocps.set_leased(1, ALICE, Units(4)))
    chain.prove(ALICE)
    chain.next_epoch()

    receipt = chain.do(ALICE, "pocps.commit", 1, 0, ROOT)

    assert find_event([receipt], "pocps.Proven") == [ALICE, 1, 1, 4]
    chain.next_epoch()
    assert chain.live(ALICE) == 4
    # A lease that ended meanwhile excuses nothing.
    chain.as_pool(lambda pocps: pocps.set_leased(1, ALICE, Units(0)))
    assert chain.error(ALICE, "pocps.commit", 1, 0, ROOT) == "pocps.WrongUnits"


# --------------------------------------------------------------------------------- the sweep


def test_the_sweep_settles_a_few_providers_a_block_and_passes_nobody_over() -> None:
    crowd = [AccountId(bytes([each]) * 32) for each in range(1, 5)]
    providers = genesis_providers(*crowd, ALICE, BOB)
    chain = ProofChain(replace(POCPS, sweep_max=4, providers=providers))
    chain.next_epoch()

    def settled() -> int:
        epochs = [each.epoch for each in chain.runtime.pocps.providers.values() if each]
        return sum(epoch == 1 for epoch in epochs)

    counts = []
    for _ in range(3):
        chain.block()
        counts.append(settled())

    # A step of the first block goes from the second class, which is empty, to the first.
    assert counts == [3, 6, 6]
    assert chain.runtime.pocps.sweep.get().classes_left == 0


def test_who_leaves_during_a_sweep_takes_nobody_out_of_it() -> None:
    crowd = [AccountId(bytes([each]) * 32) for each in range(1, 4)]
    providers = genesis_providers(*crowd, ALICE, BOB)
    chain = ProofChain(replace(POCPS, sweep_max=3, providers=providers))
    for _ in range(2):
        chain.next_epoch()
    chain.do(ALICE, "pocps.deregister", 1, 2)

    chain.to_place(LENGTH)

    standings = dict(chain.runtime.pocps.providers.items())
    assert {each.epoch for each in standings.values() if each} == {2}
    assert {len(chain.runtime.pocps.faults[key]) for key in standings} == {2}
    assert chain.runtime.pocps.sums(1)[2] == 4
