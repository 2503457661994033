"""Back-off without a clock."""

from random import Random

from p2p.dialing import FIRST_SECONDS, STABLE_SECONDS, VALIDATOR_SECONDS_MAX, BackOff
from p2p.identity import PeerId

PEER = PeerId("peer")


def pauses(back_off: BackOff, count: int, *, lasted: float = 0.0) -> list[float]:
    result = []
    now = 100.0
    for _ in range(count):
        back_off.ended(PEER, lasted=lasted, is_validator=True, now=now)
        result.append(back_off.next_at(PEER) - now)
        now = back_off.next_at(PEER)
    return result


def test_pause_doubles_up_to_its_limit_and_never_ends() -> None:
    lengths = pauses(BackOff(Random(1)), 60)

    for number, length in enumerate(lengths):
        expected = min(FIRST_SECONDS * 2**number, VALIDATOR_SECONDS_MAX)
        assert 0.5 * expected <= length <= 1.5 * expected


def test_connection_that_lasted_starts_the_pauses_anew() -> None:
    back_off = BackOff(Random(1))
    pauses(back_off, 10)

    assert pauses(back_off, 1, lasted=STABLE_SECONDS)[0] <= 1.5 * FIRST_SECONDS


def test_two_nodes_do_not_keep_the_same_time() -> None:
    assert pauses(BackOff(Random(1)), 5) != pauses(BackOff(Random(2)), 5)


def test_unknown_peer_may_be_dialed_now_and_unwanted_ones_are_forgotten() -> None:
    back_off = BackOff(Random(1))
    pauses(back_off, 3)

    back_off.keep(set())

    assert back_off.next_at(PEER) == 0.0
