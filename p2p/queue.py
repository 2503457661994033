"""The bounded queue between a sender that never waits and a stream that sometimes does.

Invariants: never more than ``frames_max`` frames or ``bytes_max`` bytes; frames leave in the order
in which they came; only frames that were put as droppable are ever dropped, the oldest first.
"""

from collections import deque


class QueueFull(Exception):
    """What may not be dropped no longer fits: the peer is too slow."""


class FrameQueue:
    """Frames that wait to be written to one peer on one channel."""

    __slots__ = ("_droppable", "_frames", "bytes", "bytes_max", "dropped", "frames_max")

    def __init__(self, *, frames_max: int, bytes_max: int) -> None:
        self.frames_max = frames_max
        self.bytes_max = bytes_max
        self.bytes = 0
        self.dropped = 0
        self._frames: deque[tuple[bytes, bool]] = deque()
        self._droppable = 0

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: bytes, *, droppable: bool) -> None:
        """Add a frame, dropping the oldest droppable ones (perhaps this one) to make room.

        Raises: QueueFull when the frame may not be dropped and nothing else can be.
        """
        self._frames.append((frame, droppable))
        self._droppable += droppable
        self.bytes += len(frame)
        while self._is_over() and self._droppable:
            self._drop_oldest_droppable()
        if self._is_over():
            raise QueueFull

    def take(self, bytes_max: int) -> bytes:
        """Remove frames from the front and join them, at least one, up to about ``bytes_max``."""
        taken: list[bytes] = []
        size = 0
        while self._frames and (not taken or size + len(self._frames[0][0]) <= bytes_max):
            frame, droppable = self._frames.popleft()
            self._droppable -= droppable
            taken.append(frame)
            size += len(frame)
        self.bytes -= size
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _is_over(self) -> bool:
        return len(self._frames) > self.frames_max or self.bytes > self.bytes_max

    def _drop_oldest_droppable(self) -> None:
        # Linear, but the droppable kind is at the front of a full queue: what cannot be dropped
        # is rare on bulk and there is nothing droppable on vote.
        index = next(i for i, (_, droppable) in enumerate(self._frames) if droppable)
        frame, _ = self._frames[index]
        del self._frames[index]
        self._droppable -= 1
        self.bytes -= len(frame)
        self.dropped += 1
