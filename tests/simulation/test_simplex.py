"""The simulator on Simplex: seeds, lies, liars beyond the bound, mutants, and reproducibility."""

import os
import subprocess
import sys
from argparse import ArgumentTypeError
from dataclasses import replace

import pytest

from primitives.types import Millis
from tests.simulation import byzantine
from tests.simulation.__main__ import seeds_of
from tests.simulation.byzantine import LIES, Liar
from tests.simulation.mutants import TRIALS, ForgetfulDisk, Trial
from tests.simulation.node import Node
from tests.simulation.simulator import Failure, Plan, Simulator
from tests.simulation.world import Faults

SEEDS_OF_A_MUTANT = 40


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_any_history_keeps_every_promise(first: int) -> None:
    for seed in range(first, first + 10):
        outcome = Simulator(seed).run()

        assert min(outcome.heights) > 0


@pytest.mark.slow
@pytest.mark.parametrize("first", range(30, 390, 20))
def test_hundreds_of_histories_keep_every_promise(first: int) -> None:
    for seed in range(first, first + 20):
        Simulator(seed).run()


@pytest.mark.nightly
@pytest.mark.parametrize("first", range(390, 10_390, 100))
def test_thousands_of_histories_keep_every_promise(first: int) -> None:
    for seed in range(first, first + 100):
        Simulator(seed).run()


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_below_a_third_is_harmless(lie: type[Liar]) -> None:
    for seed in range(3):
        Simulator(seed, Plan(size=4, lie=lie, liars=1)).run()


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES)
def test_every_lie_told_by_several_below_a_third_is_harmless(lie: type[Liar]) -> None:
    for seed in range(6):
        Simulator(seed, Plan(size=(7, 10)[seed % 2], lie=lie, liars=2 + seed % 2)).run()


@pytest.mark.parametrize(
    "lie",
    [
        byzantine.EquivocatingLeader,
        byzantine.DoubleVoter,
        byzantine.NullifyAndFinalize,
        byzantine.ForkAround,
    ],
)
def test_contradictions_are_reported_with_evidence_that_verifies(lie: type[Liar]) -> None:
    plan = Plan(size=4, lie=lie, liars=1, faults=Faults.none())

    reported = [Simulator(seed, plan).run().reported for seed in range(5)]

    assert sum(reported) > 0


def test_a_table_of_one_makes_blocks_by_itself() -> None:
    outcome = Simulator(1, Plan(size=1)).run()

    assert outcome.size == 1
    assert min(outcome.heights) >= 3


def test_epochs_follow_each_other_with_other_tables() -> None:
    outcome = Simulator(3, Plan(size=7, faults=Faults.none(), heal_at=3000)).run()

    assert outcome.epochs >= 3


def test_liars_of_a_third_and_more_are_noticed_by_the_checkers() -> None:
    plan = Plan(size=4, lie=byzantine.TwoFaced, liars=2, are_liars_many=True)

    failures = [_failure(seed, plan) for seed in range(10)]

    assert any("two blocks are" in failure for failure in failures)


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.mutant.__name__)
def test_a_deliberate_bug_is_noticed(trial: Trial) -> None:
    plan = trial.whole_plan

    died = next((seed for seed in range(SEEDS_OF_A_MUTANT) if _failure(seed, plan)), None)

    assert died is not None, f"{trial.mutant.__name__} lives"


def test_blocks_lost_everywhere_before_they_are_final_stop_the_chain() -> None:
    faults = replace(Faults.none(), blackout=True, downtime_max=Millis(200))
    plan = Plan(size=4, node=ForgetfulDisk, faults=faults, heal_at=1200)

    failures = [_failure(seed, plan) for seed in (2, 3, 4)]

    assert any("no progress" in failure for failure in failures)
    assert not any(_failure(seed, replace(plan, node=Node)) for seed in (2, 3, 4))


@pytest.mark.slow
@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.mutant.__name__)
def test_the_plan_of_a_mutant_is_harmless_without_it(trial: Trial) -> None:
    if trial.plan.table.__name__ != "PowerTable":
        pytest.skip("the bug is in the table")
    for seed in range(3):
        Simulator(seed, trial.plan).run()


def test_a_failure_says_how_to_see_it_again() -> None:
    trial = next(trial for trial in TRIALS if trial.mutant.__name__ == "WritesNothing")

    failure = _failure(5, trial.whole_plan)

    assert failure.endswith("make simulate SEED=5")
    assert "before it is in the journal" in failure


def test_one_seed_gives_one_history_under_any_hash_seed() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seed", "14"]
    outcomes = []
    for hash_seed in ("1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=60
        )
        outcomes.append(done.stdout)

    assert outcomes[0] == outcomes[1]
    assert Simulator(14).run().trace in outcomes[0]


@pytest.mark.parametrize("text", ["7", "7..7", "9..3", "..", "a..b", "-1..3", "1..2..3"])
def test_a_range_without_seeds_is_a_mistake_and_no_success(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="names no seeds"):
        seeds_of(text)


def test_two_seeds_give_two_histories() -> None:
    assert Simulator(14).run().trace != Simulator(15).run().trace


def _failure(seed: int, plan: Plan) -> str:
    """Return how a history fails, or an empty text."""
    try:
        Simulator(seed, plan).run()
    except Failure as failure:
        return str(failure)
    return ""
