"""A prover that skips work, through the chain's own draws and verifications."""

from dataclasses import replace
from fractions import Fraction

import pytest

from economics.experiments.proving import (
    DEVIATIONS_MAX,
    LEAST_SLASH,
    SAMPLES,
    SKIPPED,
    Outcome,
    count_caught,
    lazy_prover,
)
from economics.finding import Setting
from genesis.presets import small_pocps_config
from runtime.pocps.classes import ResourceClass
from runtime.pocps.proof import PPB, detection_ppb

QUIET = Setting(seed=5, prices={})


def test_a_lazy_prover_is_caught_as_often_as_the_formula_says_and_always_loses() -> None:
    """The seed is fixed; of 12 frequencies chance puts one beyond the bound in 1300 seeds."""
    outcomes = count_caught(seed=5, epochs=200, setting=QUIET, samples=(4, 16))

    assert [(one.skipped, one.samples) for one in outcomes] == [
        (f, k) for f in SKIPPED for k in (4, 16)
    ]
    assert all(abs(one.deviations) <= DEVIATIONS_MAX for one in outcomes)
    assert all(one.gain(LEAST_SLASH) < 0 for one in outcomes)


def test_another_seed_draws_other_epochs() -> None:
    counts = [
        [one.caught for one in count_caught(seed=seed, epochs=30, setting=QUIET, samples=(4,))]
        for seed in (1, 1, 2)
    ]

    assert counts[0] == counts[1] != counts[2]


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("skipped", SKIPPED)
def test_the_formula_is_the_one_the_chain_sizes_its_slash_by(skipped: float, samples: int) -> None:
    one = Outcome(skipped, samples, epochs=1, caught=0)

    exact = detection_ppb(round(skipped * PPB), samples)
    assert one.formula == pytest.approx(exact / PPB, abs=2e-9)


def test_whoever_is_never_caught_gains_what_it_skipped() -> None:
    lucky = Outcome(0.25, 4, epochs=100, caught=0)
    always = replace(lucky, caught=100)

    assert lucky.gain(LEAST_SLASH) == 0.25
    assert always.gain(LEAST_SLASH) == -LEAST_SLASH - 0.75


def test_a_frequency_that_is_not_the_formulas_fails() -> None:
    rare = Outcome(0.1, 16, epochs=10_000, caught=7_000)
    impossible = Outcome(1.0, 16, epochs=10_000, caught=9_999)

    assert abs(rare.deviations) > DEVIATIONS_MAX
    assert abs(impossible.deviations) > DEVIATIONS_MAX


@pytest.mark.parametrize("resource", small_pocps_config().classes, ids=lambda each: each.name)
def test_the_books_are_kept_with_what_chains_take_for_a_wrong_proof(
    resource: ResourceClass,
) -> None:
    ladder = small_pocps_config().ladder

    slash = Fraction(resource.bond_per_unit * ladder.second_ppb, resource.reward_max * PPB)

    assert slash == LEAST_SLASH


@pytest.mark.slow
def test_ten_thousand_epochs_agree_with_the_formula_and_every_cheat_loses() -> None:
    finding = lazy_prover(replace(QUIET, seed=1))

    assert finding.parameters["epochs"] == 10_000
    assert finding.passed, finding.criterion
