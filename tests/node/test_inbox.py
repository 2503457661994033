"""The machine's inbox: bounded for each peer, fair between them, ours first."""

import pytest
import trio
import trio.testing

from consensus.simplex.events import Peer, Received, TimerFired
from consensus.simplex.messages import Request
from node.inbox import EACH_MAX, PEERS_MAX, Inbox
from primitives.types import Epoch, View


def heard(peer: Peer, number: int) -> Received:
    return Received(peer, Request(Epoch(0), View(number), View(number)))


A, B, C = Peer(b"a"), Peer(b"b"), Peer(b"c")


def test_flooder_delays_the_others_by_one_input_a_turn() -> None:
    inbox = Inbox()
    taken = [inbox.offer(A, heard(A, number)) for number in range(2 * EACH_MAX)]
    for number in range(3):
        assert inbox.offer(B, heard(B, number))
    assert inbox.offer(C, heard(C, 0))

    first = [inbox.take_nowait() for _ in range(7)]

    assert sum(taken) == EACH_MAX
    assert first == [
        heard(A, 0),
        heard(B, 0),
        heard(C, 0),
        heard(A, 1),
        heard(B, 1),
        heard(A, 2),
        heard(B, 2),
    ]


def test_own_inputs_go_first_and_always_have_room() -> None:
    inbox = Inbox()
    for number in range(PEERS_MAX):
        inbox.offer(Peer(b"%d" % (number % 64)), heard(A, number))
    assert not inbox.offer(Peer(b"new"), heard(A, 0))

    inbox.put(TimerFired(View(7)))

    assert inbox.from_peers <= PEERS_MAX
    assert inbox.take_nowait() == TimerFired(View(7))


def test_all_of_it_comes_out_once_and_leaves_nothing() -> None:
    inbox = Inbox()
    given = [heard(Peer(b"%d" % (number % 5)), number) for number in range(100)]
    for item in given:
        assert inbox.offer(item.sender, item)

    taken = [inbox.take_nowait() for _ in range(len(inbox))]

    assert len(taken) == len(given)
    assert all(item in taken for item in given)
    assert len(inbox) == 0
    assert inbox._peers == {}
    with pytest.raises(IndexError):
        inbox.take_nowait()


async def test_taker_waits_for_the_next_input() -> None:
    inbox = Inbox()
    taken: list[object] = []

    async def take() -> None:
        taken.append(await inbox.take())

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            await trio.testing.wait_all_tasks_blocked()
            assert taken == []
            inbox.put(TimerFired(View(1)))

    assert taken == [TimerFired(View(1))]
