"""Cutting the text of a long batch into its calls without parsing it whole.

A parser that reads 15 MiB in one go holds the event loop for hundreds of milliseconds. Here only
brackets and strings are looked at, a window at a time; each call is then parsed by itself and is
small. What is not well-formed inside a call is found when the call is parsed.
"""

import re
from collections.abc import Iterator
from typing import TypeAlias

from node.rpc.errors import Code, RpcError
from node.rpc.limits import Limits

Body: TypeAlias = bytes | bytearray
"""JSON text as it came; not copied, since to copy 15 MiB takes longer than anyone should wait."""

WHITE = b" \t\r\n"
_WINDOW_BYTES = 1 << 16
_PLAIN = re.compile(rb'[^\[\]{}",]*+')
_WHITE = re.compile(rb"[ \t\r\n]*+")
STEPS_PER_PAUSE = 256
PAUSE = b""
"""No element is empty."""


def is_batch(body: Body) -> bool:
    """Return whether the JSON text is an array, by its first character."""
    return body[:_WINDOW_BYTES].lstrip(WHITE)[:1] == b"["


def require_simple(call: Body, limits: Limits) -> None:
    """Refuse the text of a call that would take the parser long. Raises: RpcError."""
    if len(call) > limits.call_bytes_max:
        raise RpcError(Code.REQUEST_TOO_BIG, f"one call has at most {limits.call_bytes_max} bytes")
    if call.count(b",") > limits.call_values_max:
        raise RpcError(
            Code.REQUEST_TOO_BIG, f"one call has at most {limits.call_values_max} values"
        )


def split_batch(body: Body, limits: Limits) -> Iterator[Body]:
    """Yield the text of each element of a JSON array. Raises: RpcError.

    Between them it now and then yields ``PAUSE``: a place for the caller to let others run.
    """
    scanner = _Scanner(body)
    steps = 0
    while not scanner.done:
        steps += 1
        if steps % STEPS_PER_PAUSE == 0:
            yield PAUSE
        element = scanner.step()
        if element:
            yield element
        elif scanner.position - scanner.element_start > limits.call_bytes_max:
            raise RpcError(
                Code.REQUEST_TOO_BIG, f"one call has at most {limits.call_bytes_max} bytes"
            )


class _Scanner:
    """Walks over an array, one structural character or one window at a time."""

    __slots__ = ("_body", "_count", "_depth", "_in_string", "done", "element_start", "position")

    def __init__(self, body: Body) -> None:
        self._body = body
        self.position = body.index(b"[") + 1
        self.element_start = self.position
        self._depth = 0
        self._count = 0
        self._in_string = False
        self.done = False

    def step(self) -> Body | None:
        """Move on; return the text of the element that ended here, empty if the array is.

        Raises: RpcError.
        """
        if self._in_string:
            self._find_quote()
            return None
        found = _PLAIN.match(self._body, self.position, self.position + _WINDOW_BYTES)
        assert found is not None, "the pattern matches the empty text"
        position = found.end()
        self.position = position + 1
        match self._body[position : position + 1]:
            case b"{" | b"[":
                self._depth += 1
            case b'"':
                self._in_string = True
            case b"]" | b"}" as bracket:
                self._depth -= 1
                if self._depth < 0:
                    return self._end_of_array(bracket, position)
            case b"," if self._depth == 0:
                return self._element(position)
            case b"":
                raise RpcError(Code.PARSE_ERROR, "the text ends inside the batch")
        return None

    def _find_quote(self) -> None:
        """Move behind the next quote; the string goes on if that one is escaped."""
        end = self._body.find(b'"', self.position)
        if end < 0:
            raise RpcError(Code.PARSE_ERROR, "a string does not end")
        self._in_string = self._backslashes_before(end) % 2 == 1
        self.position = end + 1

    def _backslashes_before(self, end: int) -> int:
        width = 16
        while True:
            start = max(self.element_start, end - width)
            before = self._body[start:end]
            count = len(before) - len(before.rstrip(b"\\"))
            if count < len(before) or start == self.element_start:
                return count
            width *= 2

    def _end_of_array(self, character: Body, position: int) -> Body:
        if character != b"]":
            raise RpcError(Code.PARSE_ERROR, "brackets do not match")
        tail = _WHITE.match(self._body, position + 1)
        assert tail is not None, "the pattern matches the empty text"
        if tail.end() != len(self._body):
            raise RpcError(Code.PARSE_ERROR, "something follows the batch")
        self.done = True
        if self._count == 0 and not self._body[self.element_start : position].strip(WHITE):
            return b""
        return self._element(position)

    def _element(self, end: int) -> Body:
        element = self._body[self.element_start : end].strip(WHITE)
        if not element:
            raise RpcError(Code.PARSE_ERROR, "an element of the batch is missing")
        self._count += 1
        self.element_start = self.position
        return element
