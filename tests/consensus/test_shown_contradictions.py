"""Contradictions between what a validator said to us and what a certificate shows it said."""

from collections.abc import Sequence

import pytest

from consensus.simplex.events import Peer, Received, Report
from consensus.simplex.evidence import Evidence, Offence, verify_evidence
from consensus.simplex.messages import Message
from tests.consensus.bench_of_four import (
    GENESIS,
    A,
    B,
    finalization,
    finalize,
    machine,
    notarization,
    notarize,
    nullification,
    nullify,
    proposal,
    table,
)


def reported(*messages: Message, own: int | None = 0) -> list[Evidence]:
    """Return what a machine reports when it hears these messages."""
    target = machine(own)
    target.start()
    found: list[Evidence] = []
    for message in messages:
        assert target.is_wanted(message)
        actions = target.step(Received(Peer(b"peer"), message))
        found += [action.evidence for action in actions if isinstance(action, Report)]
    return found


@pytest.mark.parametrize(
    ("messages", "offence"),
    [
        ((notarize(3, 1, B), notarization(1, A)), Offence.DOUBLE_NOTARIZE),
        ((notarization(1, A), notarize(3, 1, B)), Offence.DOUBLE_NOTARIZE),
        ((finalize(3, 1, A), nullification(1)), Offence.NULLIFY_AND_FINALIZE),
        ((nullification(1), finalize(3, 1, A)), Offence.NULLIFY_AND_FINALIZE),
        ((nullify(3, 1), finalization(1, A)), Offence.NULLIFY_AND_FINALIZE),
        ((finalize(3, 1, B), finalization(1, A)), Offence.DOUBLE_FINALIZE),
    ],
    ids=[
        "vote, then notarization",
        "notarization, then vote",
        "finalize, then nullification",
        "nullification, then finalize",
        "nullify, then finalization",
        "finalize, then another finalization",
    ],
)
def test_who_says_one_thing_to_us_and_another_to_a_quorum_is_convicted(
    messages: Sequence[Message], offence: Offence
) -> None:
    (evidence,) = reported(*messages)

    assert evidence.first.signer == 3
    assert verify_evidence(table(), GENESIS, evidence) is offence


def test_two_quorums_that_contradict_each_other_convict_all_who_are_in_both() -> None:
    found = reported(nullification(1, (1, 2, 3)), finalization(1, A, (0, 2, 3)), own=None)

    assert [evidence.first.signer for evidence in found] == [2, 3]
    for evidence in found:
        assert verify_evidence(table(), GENESIS, evidence) is Offence.NULLIFY_AND_FINALIZE


def test_what_honest_validators_say_in_a_view_convicts_nobody() -> None:
    target = machine(0)
    leader = target.elector.leader(target.view)
    first = proposal(leader, 1, A)
    said: list[Message] = [first, *(notarize(n, 1, A) for n in (1, 2, 3)), notarization(1, A)]
    late: list[Message] = [*(nullify(n, 1) for n in (1, 2)), finalize(3, 1, A)]
    late.append(nullification(1, (0, 1, 2)))

    found: list[Evidence] = []
    for message in (*said, *late):
        actions = target.step(Received(Peer(b"peer"), message))
        found += [action.evidence for action in actions if isinstance(action, Report)]

    assert found == []


def test_nobody_is_reported_twice_for_a_view() -> None:
    found = reported(notarize(3, 1, B), notarization(1, A), nullification(1))

    assert len(found) == 1


def test_our_own_key_is_not_reported() -> None:
    found = reported(notarize(0, 1, B), notarization(1, A, (0, 1, 2)))

    assert found == []


def test_a_certificate_gives_back_the_votes_that_make_it() -> None:
    votes = [notarize(signer, 1, A) for signer in (1, 2, 3)]

    shown = notarization(1, A)

    assert list(shown.votes()) == votes
    assert shown.vote_of(2) == votes[1]
    assert [shown.holds(position) for position in range(4)] == [False, True, True, True]
    assert list(nullification(1).votes()) == [nullify(signer, 1) for signer in (1, 2, 3)]
    assert list(finalization(1, B).votes()) == [finalize(signer, 1, B) for signer in (1, 2, 3)]
