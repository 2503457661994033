"""Lines of a child process, one after the other, none longer than it may be."""

from collections.abc import AsyncGenerator

import trio

from node.client.errors import BadAnswer

LINE_BYTES_MAX = 4 << 20
"""A response has at most 256 paths of 24 digests."""
READ_BYTES = 1 << 16


async def read_lines(stream: trio.abc.ReceiveStream) -> AsyncGenerator[bytes, None]:
    """Yield the lines of a stream; what follows the last line break is dropped.

    Raises: BadAnswer.
    """
    rest = bytearray()
    while data := await stream.receive_some(READ_BYTES):
        rest += data
        *lines, last = rest.split(b"\n")
        rest = bytearray(last)
        if len(rest) > LINE_BYTES_MAX:
            raise BadAnswer("a line of a child process has no end")
        for line in lines:
            yield bytes(line)
