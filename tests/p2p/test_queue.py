"""The send queue against a slow and obvious one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.queue import FrameQueue, QueueFull

operations = st.lists(
    st.one_of(
        st.tuples(st.binary(min_size=1, max_size=40), st.booleans()),
        st.integers(min_value=1, max_value=100),
    ),
    max_size=200,
)


class SlowQueue:
    """The same rules, said in the simplest way."""

    def __init__(self) -> None:
        self.frames: list[tuple[bytes, bool]] = []

    def put(self, frame: bytes, droppable: bool) -> None:
        self.frames.append((frame, droppable))
        while len(self.frames) > 10 or sum(len(f) for f, _ in self.frames) > 200:
            victims = [item for item in self.frames if item[1]]
            if not victims:
                raise QueueFull
            self.frames.remove(next(item for item in self.frames if item is victims[0]))


@given(operations)
def test_queue_drops_the_oldest_droppable_and_keeps_order(
    steps: list[tuple[bytes, bool] | int],
) -> None:
    queue, slow = FrameQueue(frames_max=10, bytes_max=200), SlowQueue()
    for step in steps:
        if isinstance(step, int):
            taken = queue.take(step) if queue else b""
            while taken:
                frame, _ = slow.frames.pop(0)
                assert taken.startswith(frame)
                taken = taken[len(frame) :]
            continue
        frame, droppable = step
        try:
            slow.put(frame, droppable)
        except QueueFull:
            with pytest.raises(QueueFull):
                queue.put(frame, droppable=droppable)
            return  # the connection is given up here
        queue.put(frame, droppable=droppable)
        assert len(queue) == len(slow.frames) <= 10
        assert queue.bytes == sum(len(f) for f, _ in slow.frames) <= 200


def test_take_joins_frames_up_to_the_size_and_always_takes_one() -> None:
    queue = FrameQueue(frames_max=10, bytes_max=1000)
    for frame in (b"a" * 300, b"b" * 20, b"c" * 30, b"d" * 60):
        queue.put(frame, droppable=False)

    assert queue.take(100) == b"a" * 300
    assert queue.take(100) == b"b" * 20 + b"c" * 30
    assert queue.take(100) == b"d" * 60
    assert len(queue) == 0


def test_droppable_frame_that_finds_no_room_is_itself_dropped() -> None:
    queue = FrameQueue(frames_max=1, bytes_max=1000)
    queue.put(b"kept", droppable=False)

    queue.put(b"late", droppable=True)

    assert (queue.take(100), queue.dropped) == (b"kept", 1)


def test_what_may_not_be_dropped_and_does_not_fit_is_said() -> None:
    queue = FrameQueue(frames_max=1, bytes_max=1000)
    queue.put(b"first", droppable=False)

    with pytest.raises(QueueFull):
        queue.put(b"second", droppable=False)
