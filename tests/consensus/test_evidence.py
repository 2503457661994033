from dataclasses import replace
from itertools import combinations

import pytest

from consensus.simplex.evidence import (
    EVIDENCE,
    Evidence,
    NoContradiction,
    Offence,
    evidence_of,
    find_offence,
    verify_evidence,
)
from consensus.simplex.messages import Signed, to_plain
from consensus.simplex.verification import BadSignature
from primitives.codec import Plain, encode
from primitives.errors import DecodeError
from primitives.types import Epoch, View
from tests.consensus.bench_of_four import (
    GENESIS,
    ROOT,
    A,
    B,
    C,
    finalize,
    notarize,
    nullification,
    nullify,
    proposal,
    table,
)

CONTRADICTIONS: list[tuple[Signed, Signed, Offence]] = [
    (proposal(1, 2, A), proposal(1, 2, B), Offence.DOUBLE_PROPOSAL),
    (proposal(1, 2, A), proposal(1, 2, A, parent=C), Offence.DOUBLE_PROPOSAL),
    (proposal(1, 2, A), proposal(1, 2, A, parent_view=1), Offence.DOUBLE_PROPOSAL),
    (notarize(1, 2, A), notarize(1, 2, B), Offence.DOUBLE_NOTARIZE),
    (finalize(1, 2, A), finalize(1, 2, B), Offence.DOUBLE_FINALIZE),
    (nullify(1, 2), finalize(1, 2, B), Offence.NULLIFY_AND_FINALIZE),
]


@pytest.mark.parametrize(("first", "second", "offence"), CONTRADICTIONS)
def test_contradictions_convict_in_either_order(
    first: Signed, second: Signed, offence: Offence
) -> None:
    evidence = evidence_of(first, second)

    assert evidence == evidence_of(second, first)
    assert verify_evidence(table(), GENESIS, evidence) is offence
    assert EVIDENCE.decode(EVIDENCE.encode(evidence)) == evidence


@pytest.mark.parametrize(("first", "second", "offence"), CONTRADICTIONS)
def test_evidence_has_one_order(first: Signed, second: Signed, offence: Offence) -> None:
    evidence = evidence_of(first, second)

    with pytest.raises(NoContradiction):
        verify_evidence(table(), GENESIS, Evidence(evidence.second, evidence.first))


def test_what_an_honest_validator_may_say_is_no_evidence() -> None:
    honest: list[Signed] = [
        proposal(1, 2, A),
        notarize(1, 2, A),
        nullify(1, 2),
        finalize(1, 3, A),
        notarize(1, 3, A),
        proposal(1, 3, A),
    ]

    for first, second in combinations(honest, 2):
        assert find_offence(first, second) is None
        with pytest.raises(NoContradiction):
            verify_evidence(table(), GENESIS, evidence_of(first, second))


def test_having_notarized_another_block_than_the_certified_one_is_no_offence() -> None:
    assert find_offence(notarize(1, 2, A), finalize(1, 2, B)) is None


@pytest.mark.parametrize(
    "other", [notarize(2, 2, B), notarize(1, 3, B), notarize(1, 2, B, Epoch(4)), notarize(1, 2, A)]
)
def test_another_signer_view_or_epoch_is_no_contradiction(other: Signed) -> None:
    assert find_offence(notarize(1, 2, A), other) is None


def test_a_forged_signature_convicts_nobody() -> None:
    forged = replace(notarize(2, 2, B), signer=1)

    with pytest.raises(BadSignature):
        verify_evidence(table(), GENESIS, evidence_of(notarize(1, 2, A), forged))


@pytest.mark.parametrize(
    "plain",
    [
        [],
        [to_plain(nullify(1, 2))],
        [to_plain(nullify(1, 2)), to_plain(nullification(1))],
        [to_plain(nullify(1, 2)), 7],
    ],
)
def test_what_is_no_evidence_is_refused(plain: Plain) -> None:
    with pytest.raises(DecodeError):
        EVIDENCE.decode(encode(plain))


def test_the_parent_of_a_proposal_is_what_was_signed() -> None:
    offer = proposal(1, 2, A, parent=ROOT, parent_view=1)

    with pytest.raises(BadSignature):
        verify_evidence(table(), GENESIS, evidence_of(offer, replace(offer, parent_view=View(0))))
