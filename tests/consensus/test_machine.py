"""What transcripts and the simulator do not show: the filter, odd inputs, bounds."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.simplex.catch_up import answer_to_ended_epoch
from consensus.simplex.config import Limits
from consensus.simplex.events import (
    Action,
    Broadcast,
    Deliver,
    Fetch,
    Fetched,
    Peer,
    Persist,
    Proposed,
    Received,
    Report,
    RequestProposal,
    RequestVerification,
    Send,
    SetTimer,
    TimerFired,
    Verified,
)
from consensus.simplex.machine import Simplex
from consensus.simplex.messages import Message, Notarize, Request
from consensus.simplex.pledges import Floor, Record
from primitives.types import Epoch, Height, Signature, View
from tests.consensus.bench_of_four import (
    EPOCH,
    ROOT,
    A,
    B,
    C,
    config,
    finalization,
    finalize,
    machine,
    notarization,
    notarize,
    nullification,
    nullify,
    proposal,
)

PEER = Peer(b"peer")


def started(own: int | None = 3, journal: tuple[Record, ...] = (), *, last: int = 103) -> Simplex:
    begun = machine(own, journal, last=last)
    begun.start()
    return begun


def receive(target: Simplex, *messages: Message) -> list[Action]:
    actions: list[Action] = []
    for message in messages:
        actions += target.step(Received(PEER, message))
    return actions


def test_messages_of_other_epochs_are_ignored() -> None:
    target = started()
    other = nullify(1, 1, Epoch(EPOCH + 1))

    assert not target.is_wanted(other)
    assert receive(target, other) == []


def test_late_answers_of_the_application_are_ignored() -> None:
    target = started(0)

    assert target.step(TimerFired(View(7))) == []
    assert target.step(Proposed(View(7), A)) == []
    assert target.step(Verified(View(7), A, is_valid=True)) == []
    assert target.step(Fetched(A, Height(101))) == []
    assert target.step(Verified(View(1), A, is_valid=True)) == []


def test_a_verdict_on_another_block_is_ignored() -> None:
    target = started()
    receive(target, proposal(0, 1, A))

    assert target.step(Verified(View(1), B, is_valid=True)) == []


def test_a_proposal_built_after_its_view_was_nullified_is_not_sent() -> None:
    target = started(0)
    target.step(TimerFired(View(1)))

    assert target.step(Proposed(View(1), A)) == []


def test_an_ended_machine_answers_and_does_nothing_else() -> None:
    target = started(3, last=101)
    receive(target, finalization(1, A))
    target.step(Fetched(A, Height(101)))
    assert target.is_ended

    assert target.is_wanted(nullify(1, 1))
    assert not target.is_wanted(nullification(9))
    assert receive(target, nullify(1, 1)) == [Send(PEER, finalization(1, A))]
    assert receive(target, nullification(9)) == []
    assert target.step(TimerFired(target.view)) == []
    assert target.step(Verified(View(2), B, is_valid=True)) == []


def test_a_restart_after_the_end_delivers_and_stays_silent() -> None:
    target = machine(3, (finalization(1, ROOT), nullify(3, 2)), last=100)

    actions = target.start()

    assert actions == [Deliver(finalization(1, ROOT))]
    assert target.is_ended


def test_a_restart_fetches_the_final_block_that_it_may_not_hold() -> None:
    target = machine(3, (finalization(4, A), nullify(3, 5)))

    actions = target.start()

    assert actions[0] == Fetch(A)
    assert target.view == 5
    assert actions[-1] == Broadcast(nullify(3, 5))


def test_own_votes_in_the_journal_complete_a_quorum_after_a_restart() -> None:
    alone = Simplex(config(0, size=1), (notarize(0, 1, A),))

    actions = alone.start()

    assert any(isinstance(a, Persist) and not isinstance(a.record, Notarize) for a in actions)
    assert alone.view == 2


def test_words_of_others_in_a_journal_do_not_bind() -> None:
    target = machine(3, (nullify(1, 1), notarize(3, 1, A, Epoch(EPOCH - 1))))

    assert target.pledges.may_notarize(View(1))


def test_a_floor_silences_up_to_its_view_and_not_beyond() -> None:
    target = started(3, (Floor(EPOCH, View(2)), Floor(Epoch(EPOCH - 1), View(9))))
    silent = target.step(TimerFired(View(1)))
    receive(target, nullification(1), nullification(2))
    spoken = target.step(TimerFired(View(3)))

    assert not any(isinstance(action, Persist) for action in silent)
    assert any(isinstance(action, Persist) for action in spoken)


def test_a_key_outside_the_table_follows() -> None:
    stranger = Simplex(config(3, size=3))

    stranger.start()

    assert stranger.position is None
    assert stranger.step(TimerFired(View(1)))[0] == SetTimer(View(1), stranger.config.timing.retry)


def test_a_duplicate_is_not_wanted_twice() -> None:
    target = started()
    messages: list[Message] = [
        proposal(0, 1, A),
        notarize(1, 1, A),
        nullify(1, 2),
        finalize(1, 2, A),
        nullification(2),
    ]

    for message in messages:
        assert target.is_wanted(message)
        receive(target, message)
        assert not target.is_wanted(message)


def test_what_contradicts_is_wanted_until_it_is_reported() -> None:
    target = started()
    receive(target, nullify(2, 1))
    assert target.is_wanted(proposal(0, 1, A))
    receive(target, proposal(0, 1, A), notarize(1, 1, A))

    for second in (proposal(0, 1, B), notarize(1, 1, B), finalize(2, 1, A)):
        assert target.is_wanted(second)
        assert any(isinstance(action, Report) for action in receive(target, second))
    for third in (proposal(0, 1, C), notarize(1, 1, C)):
        assert not target.is_wanted(third)
        assert receive(target, third) == []


def test_the_same_words_signed_in_another_way_are_not_wanted() -> None:
    target = started()
    receive(target, proposal(0, 1, A), notarize(1, 1, A))
    other = Signature(bytes(64))

    assert not target.is_wanted(replace(notarize(1, 1, A), signature=other))
    assert not target.is_wanted(replace(proposal(0, 1, A), signature=other))


def test_the_window_bounds_what_is_wanted() -> None:
    target = started()
    limit = target.config.limits.views_ahead

    assert target.is_wanted(nullify(1, 1 + limit))
    assert not target.is_wanted(nullify(1, 2 + limit))
    assert not target.is_wanted(proposal(0, 9 + limit, A))
    assert not target.is_wanted(proposal(1, 1, A))
    assert target.is_wanted(nullification(10_000))
    assert target.is_wanted(Request(EPOCH, View(1), View(2)))


def test_a_flood_of_views_fills_the_window_and_nothing_else() -> None:
    target = started()

    for view in range(1, 300):
        receive(target, nullify(1, view), notarize(1, view, A), finalize(1, view, B))

    sizes = target.buffer_sizes()
    assert sizes["votes"] <= 3 * (target.config.limits.views_ahead + 1)
    assert sizes["views"] <= target.config.limits.views_ahead + 1


def test_ballots_behind_the_window_are_forgotten() -> None:
    limits = Limits(views_ahead=2, views_behind=2)
    target = Simplex(config(3, limits=limits))
    target.start()

    for view in range(1, 30):
        receive(target, nullify(1, view), nullification(view))

    assert target.buffer_sizes()["votes"] <= 5
    assert len(target.views.certificates(View(3))) == 1


def test_a_gap_longer_than_a_request_is_asked_for_in_parts() -> None:
    limits = Limits(request_views=4)
    target = Simplex(config(0, limits=limits))
    target.start()
    leading = next(view for view in range(11, 40) if target.elector.leader(View(view)) == 0)

    actions = receive(target, nullification(leading - 1))

    first = View(leading - 5)
    request = Request(EPOCH, first, View(leading - 2))
    assert Send(PEER, request) in actions
    more = receive(target, *(nullification(view) for view in range(first, leading - 1)))
    asked = [a.message for a in more if isinstance(a, Send)]
    assert asked[-1] == Request(EPOCH, View(first - 4), View(first - 1))


def test_a_missing_certificate_is_asked_for_once() -> None:
    target = started()
    receive(target, nullification(2))

    asked = receive(target, proposal(2, 3, C, parent=A, parent_view=1))
    again = receive(target, nullification(1))

    assert asked == [Send(PEER, Request(EPOCH, View(1), View(2)))]
    assert not any(isinstance(action, Send) for action in again)


def test_a_timer_whose_nullify_completes_the_quorum_leads_on() -> None:
    target = started()
    receive(target, nullify(1, 1), nullify(2, 1))

    actions = target.step(TimerFired(View(1)))

    assert target.view == 2
    assert [a.view for a in actions if isinstance(a, SetTimer)] == [2]


def test_a_leader_whose_parent_left_the_chain_drops_its_block() -> None:
    target = started(0)
    assert target.building is not None
    target.building = (View(0), C)

    assert target.step(Proposed(View(1), A)) == []


def test_only_votes_and_requests_of_an_ended_epoch_are_answered() -> None:
    final = finalization(9, A)

    assert answer_to_ended_epoch(nullify(1, 2), final) == final
    assert answer_to_ended_epoch(Request(EPOCH, View(1), View(2)), final) == final
    assert answer_to_ended_epoch(notarization(9, A), final) is None


def test_two_conflicting_quorums_do_not_stop_the_machine() -> None:
    target = started()

    actions = receive(
        target,
        notarization(1, A),
        notarization(1, B),
        finalization(1, B),
        finalization(1, A),
        nullification(1),
    )

    assert Fetch(A) in actions
    assert target.views.final == finalization(1, B)


BLOCKS = st.sampled_from([ROOT, A, B, C])
VIEWS = st.integers(1, 6)
SIGNERS = st.integers(0, 3)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        lambda s, v, b, p, g: proposal(s, v, b, parent=p, parent_view=max(0, v - g)),
        SIGNERS,
        VIEWS,
        BLOCKS,
        BLOCKS,
        st.integers(0, 3),
    ),
    st.builds(notarize, SIGNERS, VIEWS, BLOCKS),
    st.builds(nullify, SIGNERS, VIEWS),
    st.builds(finalize, SIGNERS, VIEWS, BLOCKS),
    st.builds(notarization, VIEWS, BLOCKS),
    st.builds(nullification, VIEWS),
    st.builds(finalization, VIEWS, BLOCKS),
    st.builds(lambda a, b: Request(EPOCH, View(a), View(b)), VIEWS, VIEWS),
)
INPUTS = st.one_of(
    MESSAGES.map(lambda message: Received(PEER, message)),
    VIEWS.map(lambda view: TimerFired(View(view))),
    st.builds(lambda v, b: Proposed(View(v), b), VIEWS, BLOCKS),
    st.builds(lambda v, b, ok: Verified(View(v), b, ok), VIEWS, BLOCKS, st.booleans()),
    st.builds(lambda b, h: Fetched(b, Height(h)), BLOCKS, st.integers(100, 104)),
)


@settings(max_examples=200)
@given(st.lists(INPUTS, max_size=40), st.sampled_from([None, 0, 1, 3]))
def test_no_input_in_any_order_raises_and_what_is_unwanted_does_nothing(
    inputs: list[Received | TimerFired | Proposed | Verified | Fetched], own: int | None
) -> None:
    target = machine(own)
    journal: list[Record] = [a.record for a in target.start() if isinstance(a, Persist)]
    for event in inputs:
        is_idle = isinstance(event, Received) and not target.is_wanted(event.message)

        actions = target.step(event)

        assert not (is_idle and actions)
        journal += [action.record for action in actions if isinstance(action, Persist)]
    again = machine(own, tuple(journal))
    again.start()
    assert again.view >= min(target.view, again.view)
    assert again.views.final == target.views.final


@settings(max_examples=100)
@given(st.lists(INPUTS, max_size=40))
def test_every_own_word_is_written_down_before_it_is_sent(
    inputs: list[Received | TimerFired | Proposed | Verified | Fetched],
) -> None:
    target = machine(1)
    actions = target.start()
    for event in inputs:
        actions += target.step(event)

    written: list[Record] = []
    for action in actions:
        if isinstance(action, Persist):
            written.append(action.record)
        if isinstance(action, Broadcast) and not isinstance(action.message, Request):
            assert action.message in written


@pytest.mark.parametrize("own", [0, 3])
def test_the_same_inputs_give_the_same_actions(own: int) -> None:
    inputs = [
        Received(PEER, message)
        for message in (proposal(0, 1, A), notarize(1, 1, A), nullification(1), nullify(2, 2))
    ]

    first, second = machine(own), machine(own)

    assert [first.start(), *map(first.step, inputs)] == [second.start(), *map(second.step, inputs)]


def test_requests_to_the_application_name_heights() -> None:
    leader, voter = machine(0), started(3)

    asked = [a for a in leader.start() if isinstance(a, RequestProposal)]
    judged = receive(voter, proposal(0, 1, A))

    assert asked == [RequestProposal(View(1), ROOT, Height(101))]
    assert judged == [RequestVerification(proposal(0, 1, A), Height(101))]


def test_nobody_reports_itself() -> None:
    target = started(3)

    actions = receive(target, nullify(3, 2), finalize(3, 2, A))

    assert not any(isinstance(action, Report) for action in actions)
    assert replace(nullify(3, 2)) in target.pledges.said(View(2))
