"""A pair of streams in memory, with the surface of ``libp2p_fixes.swarm.Stream``."""

import trio

from p2p.faults import ConnectionLost


class MemoryStream:
    """One end; ``room`` bytes may wait unread before a writer waits."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.other: MemoryStream
        self.unread = bytearray()
        self.is_finished = False
        self.is_reset = False
        self.is_closed = False
        self.changed = trio.Event()

    def _change(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def read(self, bytes_max: int) -> bytes:
        while not self.unread and not self.other.is_finished:
            if self.is_reset:
                raise ConnectionLost("reset")
            await self.changed.wait()
        await trio.lowlevel.checkpoint()
        data = bytes(self.unread[:bytes_max])
        del self.unread[:bytes_max]
        self._change()
        return data

    async def write(self, data: bytes) -> None:
        for at in range(0, len(data), 1000):
            while len(self.other.unread) >= self.room and not self.is_reset:
                await self.other.changed.wait()
            if self.is_reset:
                raise ConnectionLost("reset")
            self.other.unread += data[at : at + 1000]
            self.other._change()
        await trio.lowlevel.checkpoint()

    async def finish(self) -> None:
        self.is_finished = True
        self.other._change()
        await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        self.is_closed = True
        await trio.lowlevel.checkpoint()

    async def give_up(self) -> None:
        self.break_off()
        await trio.lowlevel.checkpoint()

    def break_off(self) -> None:
        """Reset both ends."""
        for end in (self, self.other):
            end.is_reset = True
            end._change()


def stream_pair(room: int = 1_000_000) -> tuple[MemoryStream, MemoryStream]:
    one, other = MemoryStream(room), MemoryStream(room)
    one.other, other.other = other, one
    return one, other
