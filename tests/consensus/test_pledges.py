from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from consensus.simplex.evidence import find_offence
from consensus.simplex.messages import Notarize, Nullify, Signed
from consensus.simplex.pledges import Pledges
from primitives.types import View
from tests.consensus.bench_of_four import A, B, finalize, notarize, nullify, proposal


def test_a_notarize_forbids_another_and_allows_the_rest() -> None:
    pledges = Pledges()
    pledges.record(notarize(0, 5, A))

    assert not pledges.may_notarize(View(5))
    assert not pledges.may_propose(View(5))
    assert pledges.may_nullify(View(5))
    assert pledges.may_finalize(View(5))
    assert pledges.may_notarize(View(6))


def test_a_nullify_forbids_everything_else() -> None:
    pledges = Pledges()
    pledges.record(nullify(0, 5))

    assert not pledges.may_propose(View(5))
    assert not pledges.may_notarize(View(5))
    assert not pledges.may_nullify(View(5))
    assert not pledges.may_finalize(View(5))
    assert pledges.has_nullified(View(5))


def test_a_finalize_forbids_nullify() -> None:
    pledges = Pledges()
    pledges.record(finalize(0, 5, A))

    assert not pledges.may_nullify(View(5))
    assert not pledges.may_finalize(View(5))


def test_a_proposal_forbids_another_but_not_its_own_notarize() -> None:
    pledges = Pledges()
    pledges.record(proposal(0, 5, A))

    assert not pledges.may_propose(View(5))
    assert pledges.may_notarize(View(5))


def test_nothing_may_be_said_at_or_below_the_floor() -> None:
    pledges = Pledges()
    pledges.record(notarize(0, 5, A))
    pledges.raise_floor(View(7))
    pledges.raise_floor(View(6))

    for view in (View(5), View(7)):
        assert not pledges.may_propose(view)
        assert not pledges.may_notarize(view)
        assert not pledges.may_nullify(view)
        assert not pledges.may_finalize(view)
    assert pledges.may_notarize(View(8))
    assert pledges.views() == []


def test_the_first_word_of_a_kind_stays() -> None:
    pledges = Pledges()
    pledges.record(notarize(0, 5, A))
    pledges.record(notarize(0, 5, B))

    assert pledges.said(View(5)) == [notarize(0, 5, A)]
    assert not pledges.is_news(notarize(0, 5, B))
    assert pledges.is_news(finalize(0, 5, A))


WORDS = st.tuples(st.sampled_from("pnuf"), st.integers(1, 4), st.sampled_from([A, B]))


@given(st.lists(st.one_of(WORDS, st.just(None)), max_size=40))
def test_whoever_asks_before_speaking_never_contradicts_itself(
    wishes: list[tuple[str, int, bytes] | None],
) -> None:
    pledges = Pledges()
    said: list[Signed] = []
    for wish in wishes:
        if wish is None:  # a crash: only the journal is left
            pledges = Pledges()
            for word in said:
                pledges.record(word)
            continue
        kind, view, block = wish
        name = A if block == A else B
        asked: dict[str, tuple[Callable[[View], bool], Signed]] = {
            "p": (pledges.may_propose, proposal(0, view, name)),
            "n": (pledges.may_notarize, notarize(0, view, name)),
            "u": (pledges.may_nullify, nullify(0, view)),
            "f": (pledges.may_finalize, finalize(0, view, name)),
        }
        may, message = asked[kind]
        if may(View(view)):
            assert all(find_offence(earlier, message) is None for earlier in said)
            is_late = isinstance(message, Notarize) and any(
                isinstance(earlier, Nullify) and earlier.view == view for earlier in said
            )
            assert not is_late
            said.append(message)
            pledges.record(message)
