"""Prices, bans and limits of the score book."""

from hypothesis import given
from hypothesis import strategies as st

from p2p.faults import Fault
from p2p.identity import PeerId
from p2p.scores import Ban, RateLimit, Rules, Scores

BAD, OTHER = PeerId("bad"), PeerId("other")
RULES = Rules(
    threshold=100, points_per_minute=60, ban_seconds=10.0, ban_seconds_max=35.0, peers_max=20
)


def test_grave_fault_bans_at_once_with_its_reason() -> None:
    scores = Scores(RULES)

    ban = scores.charge(BAD, Fault.INVALID_BLOCK, "height 7", now=5.0)

    assert ban == Ban(BAD, 15.0, "invalid block: height 7")
    assert scores.is_banned(BAD, 14.9)
    assert not scores.is_banned(BAD, 15.0)
    assert not scores.is_banned(OTHER, 5.0)
    assert scores.bans(14.9) == (ban,)


def test_small_faults_add_up() -> None:
    scores = Scores(RULES)

    bans = [scores.charge(BAD, Fault.USELESS_ANSWER, "", now=1.0) for _ in range(5)]

    assert bans[:4] == [None] * 4
    assert bans[4] == Ban(BAD, 11.0, "useless answer")
    assert scores.faults(BAD) == {Fault.USELESS_ANSWER: 5}


def test_faults_of_all_are_counted_also_of_those_who_are_forgotten() -> None:
    scores = Scores(RULES)
    scores.charge(BAD, Fault.LYING, "", now=1.0)
    scores.charge(OTHER, Fault.LYING, "", now=1.0)

    scores.pardon(BAD)

    assert scores.totals == {Fault.LYING: 2}


def test_points_melt_away() -> None:
    scores = Scores(RULES)
    scores.charge(BAD, Fault.FLOODING, "", now=0.0)

    assert scores.points(BAD, 0.0) == 50
    assert scores.points(BAD, 30.0) == 20
    assert scores.points(BAD, 1000.0) == 0
    assert scores.charge(BAD, Fault.FLOODING, "", now=30.0) is None


def test_each_further_ban_is_twice_as_long_up_to_the_longest() -> None:
    scores = Scores(RULES)
    now, lengths = 0.0, []
    for _ in range(4):
        ban = scores.charge(BAD, Fault.LYING, "", now)
        assert ban is not None
        lengths.append(ban.until - now)
        now = ban.until + 1

    assert lengths == [10.0, 20.0, 35.0, 35.0]


def test_faults_during_a_ban_do_not_prolong_it() -> None:
    scores = Scores(RULES)
    scores.charge(BAD, Fault.LYING, "", 0.0)

    assert scores.charge(BAD, Fault.LYING, "", 1.0) is None
    assert not scores.is_banned(BAD, 10.0)


def test_pardon_forgets_everything() -> None:
    scores = Scores(RULES)
    scores.charge(BAD, Fault.LYING, "", 0.0)

    scores.pardon(BAD)

    assert not scores.is_banned(BAD, 0.0)
    assert scores.faults(BAD) == {}


def test_memory_is_bounded_and_forgets_the_banned_last() -> None:
    scores = Scores(RULES)
    scores.charge(BAD, Fault.LYING, "", 0.0)

    for number in range(1000):
        scores.charge(PeerId(f"peer {number}"), Fault.USELESS_FRAME, "", 1.0)

    assert len(scores._records) <= RULES.peers_max
    assert scores.is_banned(BAD, 2.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 20)), max_size=100))
def test_rate_limit_never_lets_more_through_than_burst_and_rate(
    requests: list[tuple[float, float]],
) -> None:
    limit = RateLimit(per_second=10.0, burst=30.0, now=0.0)
    now = taken = 0.0
    for pause, amount in requests:
        now += pause
        if limit.take(amount, now):
            taken += amount
        assert taken <= 30.0 + 10.0 * now + 1e-6


def test_rate_limit_refills_and_a_refusal_takes_nothing() -> None:
    limit = RateLimit(per_second=10.0, burst=30.0, now=0.0)

    assert limit.take(30, 0.0)
    assert not limit.take(1, 0.05)
    assert limit.take(1, 0.1)
    assert not limit.take(31, 100.0)
    assert limit.take(30, 100.0)
