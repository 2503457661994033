"""Feeds: order, bounds and ends."""

import pytest
import trio
import trio.testing

from node.rpc.feeds import Broadcast, Feed, Lagged


async def test_feed_gives_what_was_put_in_order_and_then_ends() -> None:
    feed = Feed[int](3)
    for value in (1, 2, 3):
        feed.put(value)
    feed.finish()

    assert [value async for value in feed] == [1, 2, 3]


async def test_feed_that_overflows_forgets_everything_and_says_so() -> None:
    feed = Feed[int](3)
    for value in range(4):
        feed.put(value)

    with pytest.raises(Lagged):
        await anext(feed)
    feed.put(5)
    with pytest.raises(Lagged):
        await anext(feed)


async def test_reader_that_waits_is_woken() -> None:
    feed = Feed[int](1)
    seen: list[int] = []

    async def read() -> None:
        seen.extend([value async for value in feed])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        feed.put(1)
        await trio.testing.wait_all_tasks_blocked()
        feed.put(2)
        feed.finish()

    assert seen == [1, 2]


async def test_broadcast_reaches_every_open_feed_and_forgets_closed_ones() -> None:
    broadcast = Broadcast[str]()
    with broadcast.subscribe(2) as first:
        second = broadcast.subscribe(2)
        broadcast.publish("a")
        second.close()
        second.close()
        broadcast.publish("b")
        assert len(broadcast) == 1
        first.finish()
        heard = [value async for value in first]

    assert heard == ["a", "b"]
    assert [value async for value in second] == []
    assert len(broadcast) == 0


async def test_slow_reader_does_not_hold_up_the_others() -> None:
    broadcast = Broadcast[int]()
    slow, quick = broadcast.subscribe(1), broadcast.subscribe(10)

    for value in range(5):
        broadcast.publish(value)
    quick.finish()

    assert [value async for value in quick] == [0, 1, 2, 3, 4]
    with pytest.raises(Lagged):
        await anext(slow)
