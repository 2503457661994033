"""When cyclic garbage is looked for in a node, and what does not wait for that."""

import gc
import time

import pytest
import trio
import trio.testing

from node.collector import PAUSE_MIN, PAUSE_SHARE, collect_now_and_then, pause_after


def test_collections_take_a_small_share_of_the_time_however_long_one_takes() -> None:
    assert pause_after(0.0) == PAUSE_MIN
    assert pause_after(PAUSE_MIN / PAUSE_SHARE / 2) == PAUSE_MIN
    assert pause_after(0.1) == 0.1 * PAUSE_SHARE > PAUSE_MIN


async def test_everything_is_collected_again_and_again(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    collected: list[float] = []
    monkeypatch.setattr(gc, "collect", lambda: collected.append(trio.current_time()))
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    started = trio.current_time()

    with trio.move_on_after(3.5 * PAUSE_MIN):
        await collect_now_and_then()

    assert [when - started for when in collected] == [PAUSE_MIN, 2 * PAUSE_MIN, 3 * PAUSE_MIN]
