"""Frames on a stream: four bytes of length, most significant first, then so many bytes.

A frame of length 0 is a ping: it says "still here" and is given to nobody.

Invariant: the decoder holds at most one frame of the allowed size plus one read; a length above the
limit is refused before a byte of its frame is kept.
"""

import struct
from collections.abc import Iterator

from p2p.faults import FrameTooLarge

_LENGTH = struct.Struct("!I")
LENGTH_BYTES = _LENGTH.size
PING = _LENGTH.pack(0)


def encode_frame(payload: bytes) -> bytes:
    """Return the frame of a payload of at least one byte."""
    assert payload, "an empty frame is a ping"
    return _LENGTH.pack(len(payload)) + payload


class FrameDecoder:
    """Turn bytes as they come into frames; raises FrameTooLarge and must not be fed again."""

    __slots__ = ("_buffer", "_bytes_max")

    def __init__(self, bytes_max: int) -> None:
        self._buffer = bytearray()
        self._bytes_max = bytes_max

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes; yield each frame that they complete, pings as ``b""``.

        The bytes are taken at the first ``next()``: walk the iterator to its end.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= LENGTH_BYTES:
                (length,) = _LENGTH.unpack_from(buffer, start)
                if length > self._bytes_max:
                    raise FrameTooLarge(length, self._bytes_max)
                end = start + LENGTH_BYTES + length
                if len(buffer) < end:
                    break
                with memoryview(buffer) as view:  # one copy instead of two
                    frame = bytes(view[start + LENGTH_BYTES : end])
                start = end
                yield frame
        finally:
            del buffer[:start]

    @property
    def held(self) -> int:
        """Bytes of an unfinished frame; more than 0 at the end of a stream means it was cut."""
        return len(self._buffer)
