from consensus.simplex.config import Timing
from consensus.simplex.timers import Timers
from primitives.types import Millis
from tests.consensus.bench_of_four import TIMING


def test_delays_grow_only_after_patience_is_over() -> None:
    timers = Timers(TIMING, patience=2)

    delays = [timers.begin(idle) for idle in range(8)]

    assert delays == [1000, 1000, 1000, 1000, 2000, 3000, 4000, 4000]


def test_the_advance_timer_ends_where_it_would_without_a_proposal() -> None:
    timers = Timers(TIMING, patience=0)

    usual = timers.begin(0) + timers.rest()
    grown = timers.begin(2) + timers.rest()
    longest = timers.begin(1000) + timers.rest()

    assert usual == 1500
    assert grown == 3000
    assert longest == 4500


def test_retries_double_up_to_the_limit() -> None:
    timers = Timers(TIMING, patience=0)
    timers.begin(0)

    pauses = []
    for _ in range(40):
        timers.fire()
        pauses.append(timers.retry())

    assert pauses[:5] == [500, 1000, 2000, 4000, 4000]
    assert pauses[-1] == 4000


def test_a_base_above_the_limit_stays() -> None:
    timing = Timing(leader=Millis(9), advance=Millis(12), retry=Millis(1), delay_max=Millis(5))
    timers = Timers(timing, patience=0)

    assert timers.begin(3) == 9
    assert timers.rest() == 3
