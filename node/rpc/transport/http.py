"""HTTP/1.1 as bytes: requests out of a stream of them, responses into one. No I/O.

The parser is llhttp (through ``httptools``) without any of its leniencies; what it does not bound
is bounded here. docs/adr/ says why this library.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import httptools

from node.rpc.limits import Limits
from node.rpc.transport.access import ByteBudget
from primitives.errors import LoopinError

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Headers that may come once only: with two, a proxy before us and we might believe different ones.
_SINGLE = frozenset({"host", "origin", "content-type", "content-length", "sec-websocket-key"})


class Refused(LoopinError):
    """The request cannot be served; it is answered with ``status`` and the connection ends."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


@dataclass(slots=True)
class Request:
    """One HTTP request, whole."""

    method: str = ""
    target: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    keep_alive: bool = True
    is_upgrade: bool = False

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.split(b"?", 1)[0].decode("latin-1")


class RequestParser:
    """Collects requests from the bytes of one connection."""

    def __init__(self, limits: Limits, budget: ByteBudget) -> None:
        self._limits = limits
        self._budget = budget
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        self._complete: list[Request] = []
        self._head_bytes = 0
        self._head_bytes_fed = 0
        self._held = 0
        self.refused: Refused | None = None
        """Why the connection must end once the requests before are answered."""
        self.rest = b""
        """What followed an upgrade."""
        self.in_request = False
        """Whether a request has begun and not ended."""
        self.in_body = False
        """Whether the headers of a request have ended and its body has not."""
        self.wants_continue = False
        """Whether the client waits for leave to send the body."""

    def feed(self, data: bytes) -> list[Request]:
        """Take bytes and return the requests that are now whole."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if self.refused is None:
                self.refused = Refused(HTTPStatus.BAD_REQUEST, str(error))
        if self.in_request and not self.in_body:
            # The parser keeps a header without end to itself, so what it is fed counts as well.
            self._head_bytes_fed += len(data)
            if self._head_bytes_fed > self._limits.head_bytes_max + len(data):
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers too long")
        complete, self._complete = self._complete, []
        return complete

    def release(self) -> None:
        """Give back the memory of the bodies; call it when the requests are answered."""
        self._budget.give_back(self._held)
        self._held = 0

    def _refuse(self, status: HTTPStatus, detail: str) -> Refused:
        self.refused = Refused(status, detail)
        return self.refused

    # What follows is called by the parser.

    def on_message_begin(self) -> None:
        self._request = Request()
        self._head_bytes = self._head_bytes_fed = 0
        self.in_request = True

    def on_url(self, url: bytes) -> None:
        self._request.target += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value) + 4)
        key = name.decode("latin-1").lower()
        headers = self._request.headers
        if key in headers and key in _SINGLE:
            raise self._refuse(HTTPStatus.BAD_REQUEST, f"two {key} headers")
        if len(headers) >= self._limits.headers_max:
            raise self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers")
        text = value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        request = self._request
        request.method = self._parser.get_method().decode("latin-1")
        request.keep_alive = self._parser.should_keep_alive()
        request.is_upgrade = self._parser.should_upgrade()
        if "host" not in request.headers and self._parser.get_http_version() == "1.1":
            raise self._refuse(HTTPStatus.BAD_REQUEST, "no Host header")
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._limits.request_bytes_max:
            raise self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body too long")
        expected = request.headers.get("expect")
        if expected is not None and expected.lower() != "100-continue":
            raise self._refuse(HTTPStatus.EXPECTATION_FAILED, "unknown expectation")
        self.wants_continue = expected is not None
        self.in_body = True

    def on_body(self, body: bytes) -> None:
        request = self._request
        if len(request.body) + len(body) > self._limits.request_bytes_max:
            raise self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body too long")
        if not self._budget.take(len(body)):
            raise self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many long bodies")
        self._held += len(body)
        request.body += body

    def on_message_complete(self) -> None:
        self._complete.append(self._request)
        self.in_request = self.in_body = self.wants_continue = False

    def _count_head(self, count: int) -> None:
        self._head_bytes += count
        if self._head_bytes > self._limits.head_bytes_max:
            raise self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers too long")


_STATUS_LINES = {
    status: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


def response(
    status: HTTPStatus,
    body: bytes = b"",
    *,
    content_type: bytes = b"application/json",
    headers: Mapping[bytes, bytes] | None = None,
    keep_alive: bool = True,
) -> bytes:
    """Return the bytes of a response."""
    head = response_head(
        status, len(body), content_type=content_type, headers=headers, keep_alive=keep_alive
    )
    return head + body


def response_head(
    status: HTTPStatus,
    length: int,
    *,
    content_type: bytes = b"application/json",
    headers: Mapping[bytes, bytes] | None = None,
    keep_alive: bool = True,
) -> bytes:
    """Return what comes before a body of ``length`` bytes."""
    parts = [_STATUS_LINES[status]]
    if status != HTTPStatus.NO_CONTENT:
        parts.append(b"content-type: %b\r\ncontent-length: %d\r\n" % (content_type, length))
    for name, value in (headers or {}).items():
        parts.append(b"%b: %b\r\n" % (name, value))
    parts.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    return b"".join(parts)


def refusal(refused: Refused) -> bytes:
    """Return the response to a request that cannot be served."""
    return response(
        refused.status, refused.detail.encode(), content_type=b"text/plain", keep_alive=False
    )
