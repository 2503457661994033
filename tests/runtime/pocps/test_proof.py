"""The five steps, for every kind of proof, and the sums behind the slash."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.merkle import siblings_needed
from primitives.types import Balance, Digest
from runtime.pocps.forward_pass_proof import ForwardPassWork
from runtime.pocps.proof import (
    PPB,
    Claim,
    InvalidProof,
    ProofKind,
    RootMismatch,
    SampledProof,
    UnitsOutOfRange,
    Work,
    WrongSiblingCount,
    detection_ppb,
    slash_floor,
)
from tests.runtime.pocps.provers import (
    ALICE,
    BOB,
    FORWARD_PASS,
    LATER,
    START,
    WORKS,
    check,
    compute_all,
    prove,
)

each_work = pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)


@each_work
@pytest.mark.parametrize("units", [1, 3, 50])
def test_an_honest_provider_is_believed(work: Work, units: int) -> None:
    attempt = prove(work, units=units)

    check(work, attempt)

    kind: ProofKind = SampledProof(work)
    assert len(attempt.response) <= kind.siblings_max(units)
    assert len(attempt.response) <= kind.siblings_max(kind.units_max)


@each_work
def test_a_response_with_one_changed_bit_is_refused(work: Work) -> None:
    attempt = prove(work)
    for index, sibling in enumerate(attempt.response):
        changed = list(attempt.response)
        changed[index] = Digest(bytes([sibling[0] ^ 1]) + sibling[1:])

        with pytest.raises(RootMismatch) as refusal:
            check(work, replace(attempt, response=changed))

        assert refusal.value.reason == "RootMismatch"


@each_work
def test_a_response_with_a_sibling_too_many_or_too_few_is_refused_before_any_work(
    work: Work,
) -> None:
    class Idle(type(work)):  # type: ignore[misc] # the class of the work under test
        def compute_leaves(self, *arguments: object) -> list[Digest]:
            raise AssertionError("a leaf was computed for a response of a wrong size")

    attempt = prove(work)
    idle = Idle(work.resource)  # type: ignore[attr-defined] # every work here has a resource
    siblings = list(attempt.response)

    for response in ([], siblings[:-1], [*siblings, siblings[0]], siblings * 1000):
        with pytest.raises(WrongSiblingCount):
            check(idle, replace(attempt, response=response))


@each_work
def test_a_sibling_of_another_length_is_refused(work: Work) -> None:
    attempt = prove(work)
    response = [Digest(b"short"), *attempt.response[1:]]

    with pytest.raises(InvalidProof):
        check(work, replace(attempt, response=response))


@each_work
@pytest.mark.parametrize("units", [-1, 0, 51, 2**64])
def test_a_claim_outside_the_class_is_refused(work: Work, units: int) -> None:
    attempt = prove(work)
    claim = replace(attempt.claim, units=units)

    with pytest.raises(UnitsOutOfRange):
        check(work, replace(attempt, claim=claim))


@each_work
def test_more_units_cannot_be_claimed_than_the_root_covers(work: Work) -> None:
    attempt = prove(work, units=3)
    kind = SampledProof(work)
    leaves = compute_all(work, attempt.challenge, ALICE, 3)
    claim = replace(attempt.claim, units=6)
    tree = kind.commit([*leaves, *leaves])
    response = kind.respond(tree, kind.sample(claim, LATER))

    with pytest.raises(InvalidProof):
        check(work, replace(attempt, claim=claim, response=response))


@each_work
def test_a_response_answers_one_beacon_and_one_challenge_only(work: Work) -> None:
    attempt = prove(work)

    with pytest.raises(InvalidProof):
        check(work, attempt, later=Digest(b"3" * 32))
    with pytest.raises(RootMismatch):
        check(work, replace(attempt, challenge=Digest(b"3" * 32)))


@each_work
@settings(deadline=None)
@given(
    units=st.integers(-(2**64), 2**64),
    root=st.binary(min_size=32, max_size=32),
    seed=st.binary(max_size=4),
    sizes=st.lists(st.integers(0, 64), max_size=60),
)
def test_whatever_a_stranger_sends_is_refused_with_a_reason(
    work: Work, *, units: int, root: bytes, seed: bytes, sizes: list[int]
) -> None:
    kind = SampledProof(work)
    response = [Digest((seed * 64 or bytes(64))[:size]) for size in sizes]
    for claimed in (units, 1 + units % kind.units_max):
        with pytest.raises(InvalidProof) as refusal:
            kind.verify(
                Claim(ALICE, claimed, Digest(root)), response, challenge=START, beacon=LATER
            )

        assert refusal.value.reason in {"UnitsOutOfRange", "WrongSiblingCount", "RootMismatch"}


@each_work
def test_the_five_steps_are_pure_functions(work: Work) -> None:
    assert prove(work) == prove(work)
    assert SampledProof(work).challenge(START) != SampledProof(work).challenge(LATER)


@each_work
def test_positions_change_with_beacon_provider_and_root(work: Work) -> None:
    kind = SampledProof(work)
    claim = Claim(ALICE, 50, Digest(b"r" * 32))

    drawn = {
        kind.sample(claim, START),
        kind.sample(claim, LATER),
        kind.sample(replace(claim, provider=BOB), START),
        kind.sample(replace(claim, root=Digest(b"s" * 32)), START),
    }

    assert len(drawn) == 4


@each_work
def test_positions_are_sorted_distinct_and_inside_the_tree(work: Work) -> None:
    kind = SampledProof(work)
    for units in range(1, 51):
        positions = kind.sample(Claim(ALICE, units, Digest(b"r" * 32)), LATER)

        assert list(positions) == sorted(set(positions))
        assert 1 <= len(positions) <= kind.samples
        assert 0 <= positions[0] <= positions[-1] < kind.count_leaves(units)


def test_every_leaf_is_drawn_equally_often() -> None:
    kind = SampledProof(WORKS[0])
    counts = [0] * kind.count_leaves(2)
    for epoch in range(4000):
        beacon = Digest(epoch.to_bytes(32))
        for position in kind.sample(Claim(ALICE, 2, Digest(b"r" * 32)), beacon):
            counts[position] += 1

    # A leaf is drawn at least once in 5 of 8 with chance 1 - (7/8)**5.
    expected = 4000 * (1 - (7 / 8) ** 5)
    assert all(abs(count - expected) < 5 * expected**0.5 for count in counts)


@each_work
@given(units=st.integers(1, 50), beacon=st.binary(min_size=32, max_size=32))
def test_no_draw_needs_more_siblings_than_the_bound(
    work: Work, *, units: int, beacon: bytes
) -> None:
    kind = SampledProof(work)
    positions = kind.sample(Claim(ALICE, units, Digest(bytes(32))), Digest(beacon))

    assert siblings_needed(kind.count_leaves(units), positions) <= kind.siblings_max(units)


def test_a_single_sample_of_a_full_tree_needs_exactly_the_bound() -> None:
    kind = SampledProof(ForwardPassWork(replace(FORWARD_PASS, samples=1)))
    positions = kind.sample(Claim(ALICE, 16, Digest(bytes(32))), LATER)

    assert kind.count_leaves(16) == 64
    assert siblings_needed(64, positions) == kind.siblings_max(16) == 6


@each_work
def test_the_weight_of_a_verification_grows_with_the_samples(work: Work) -> None:
    resource = work.resource  # type: ignore[attr-defined] # every work here has a resource
    twice = type(work)(replace(resource, samples=2 * resource.samples))  # type: ignore[call-arg]

    assert SampledProof(twice).verification_weight > SampledProof(work).verification_weight > 0


@each_work
def test_preparing_an_epoch_changes_no_verdict(work: Work) -> None:
    kind = SampledProof(work)
    attempt = prove(work)

    kind.prepare(attempt.challenge)

    check(work, attempt)
    assert kind.preparation_weight >= 0


fractions = st.integers(1, PPB).map(lambda ppb: Fraction(ppb, PPB))
samples = st.integers(1, 256)


def detection(skipped: Fraction, count: int, guess: Fraction) -> Fraction:
    return 1 - (1 - skipped * (1 - guess)) ** count


@given(skipped=fractions, count=samples)
def test_detection_in_parts_per_billion_is_the_formula_rounded_down(
    skipped: Fraction, count: int
) -> None:
    exact = detection(skipped, count, Fraction(0)) * PPB

    assert detection_ppb(int(skipped * PPB), count) == exact.numerator // exact.denominator


@given(
    reward=st.integers(1, 2**64 - 1),
    skipped=fractions,
    count=samples,
    guess_ppb=st.integers(0, PPB - 1),
)
def test_a_slash_at_the_floor_makes_faking_any_fraction_lose(
    reward: int, skipped: Fraction, count: int, guess_ppb: int
) -> None:
    slash = slash_floor(Balance(reward), count, guess_ppb=guess_ppb)
    caught = detection(skipped, count, Fraction(guess_ppb, PPB))

    faking = (1 - caught) * reward - caught * slash
    honest_with_the_same_work = (1 - skipped) * reward

    assert faking < honest_with_the_same_work


@given(reward=st.integers(1, 2**64 - 1), count=samples, guess_ppb=st.integers(0, PPB - 1))
def test_the_floor_is_never_below_the_bound_that_the_inequality_needs(
    reward: int, count: int, guess_ppb: int
) -> None:
    guess = Fraction(guess_ppb, PPB)

    needed = reward * guess**count / (1 - guess**count)

    assert slash_floor(Balance(reward), count, guess_ppb=guess_ppb) > needed


@given(
    reward=st.integers(1, 10**12),
    skipped=fractions,
    count=samples,
    guess_ppb=st.integers(1, PPB - 1),
)
def test_without_a_slash_some_fakes_would_pay(
    reward: int, skipped: Fraction, count: int, guess_ppb: int
) -> None:
    caught = detection(Fraction(1), count, Fraction(guess_ppb, PPB))

    faking_everything = (1 - caught) * reward

    assert faking_everything > 0
