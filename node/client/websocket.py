"""JSON-RPC subscriptions over WebSocket: one connection, one subscription."""

import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import orjson
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from node.client.endpoint import Endpoint
from node.client.errors import BadAnswer, ConnectionLost, unreachable
from node.client.http import result_of
from node.rpc.json_types import Json

CONNECT_TIMEOUT = 10.0
SILENCE_MAX = 90.0
"""Seconds without a byte after which the node counts as gone; it pings more often than that."""
MESSAGE_BYTES_MAX = 16 << 20
_READ_BYTES = 1 << 16


class Subscription:
    """One subscription, from its opening to its end."""

    def __init__(self, endpoint: Endpoint, method: str, *parameters: Json) -> None:
        """Connect and subscribe.

        Raises: NodeUnreachable, ConnectionLost, BadAnswer, CallRefused.
        """
        self._endpoint = endpoint
        self._method = method
        self._socket = _connected(endpoint)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._events: deque[Event] = deque()
        self._text: list[str] = []
        try:
            self._shake_hands()
            request = {"jsonrpc": "2.0", "id": 0, "method": method, "params": list(parameters)}
            self._send(TextMessage(orjson.dumps(request).decode()))
            self._id = result_of(method, self._next_message())
        except BaseException:
            self._socket.close()
            raise

    def notifications(self, until: float | None = None) -> Iterator[Json]:
        """Yield what the node sends, until ``until`` on ``time.monotonic``'s clock if given.

        Raises: ConnectionLost, BadAnswer, CallRefused (the node ended the subscription).
        """
        while True:
            message = self._next_message(until)
            if message is None:
                return
            inner = message.get("params") if isinstance(message, dict) else None
            if not isinstance(inner, dict) or inner.get("subscription") != self._id:
                continue
            yield result_of(self._method, inner)

    def close(self) -> None:
        """Hang up: the node ends the subscription by itself."""
        with suppress(LocalProtocolError, ConnectionLost):
            self._send(CloseConnection(code=1000))
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _shake_hands(self) -> None:
        self._send(Request(host=self._endpoint.host_header, target=self._endpoint.path))
        deadline = time.monotonic() + CONNECT_TIMEOUT
        while True:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, AcceptConnection):
                    return
                if isinstance(event, RejectConnection):
                    raise BadAnswer(
                        f"{self._endpoint.url} refused a WebSocket (HTTP {event.status_code})"
                    )
            if not self._receive(deadline):
                raise ConnectionLost(f"{self._endpoint.url} gave no answer in time")

    def _next_message(self, until: float | None = None) -> Json:
        """Return the next message, or None if there was none until then."""
        while True:
            while self._events:
                text = self._take(self._events.popleft())
                if text is not None:
                    try:
                        message: Json = orjson.loads(text)
                    except ValueError:
                        raise BadAnswer("a WebSocket message is not JSON") from None
                    return message
            if not self._receive(until):
                return None

    def _take(self, event: Event) -> str | None:
        """Return the text of a whole message that ends with ``event``."""
        match event:
            case Ping():
                self._send(event.response())
            case CloseConnection():
                raise ConnectionLost(f"{self._endpoint.url} ended the connection: {event.reason}")
            case BytesMessage():
                raise BadAnswer("a WebSocket message is not text")
            case TextMessage():
                self._text.append(event.data)
                if sum(map(len, self._text)) > MESSAGE_BYTES_MAX:
                    raise BadAnswer(f"a message is longer than {MESSAGE_BYTES_MAX} bytes")
                if event.message_finished:
                    text = "".join(self._text)
                    self._text.clear()
                    return text
        return None

    def _send(self, event: Event) -> None:
        try:
            self._socket.sendall(self._protocol.send(event))
        except OSError as error:
            raise ConnectionLost(f"{self._endpoint.url} went away") from error

    def _receive(self, until: float | None) -> bool:
        """Take what has arrived; return whether anything did before ``until``."""
        wait = SILENCE_MAX if until is None else min(SILENCE_MAX, until - time.monotonic())
        if wait <= 0:
            return False
        self._socket.settimeout(wait)
        try:
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            if until is not None and time.monotonic() >= until:
                return False
            raise ConnectionLost(f"{self._endpoint.url} has fallen silent") from None
        except OSError as error:
            raise ConnectionLost(f"{self._endpoint.url} went away") from error
        try:
            self._protocol.receive_data(data or None)
            self._events.extend(self._protocol.events())
        except RemoteProtocolError as error:
            raise BadAnswer(f"{self._endpoint.url} breaks the WebSocket protocol") from error
        if not data:
            raise ConnectionLost(f"{self._endpoint.url} closed the connection")
        return True


def _connected(endpoint: Endpoint) -> socket.socket:
    try:
        plain = socket.create_connection((endpoint.host, endpoint.port), CONNECT_TIMEOUT)
    except OSError as error:
        raise unreachable(endpoint.url, error.strerror or str(error)) from error
    tls = endpoint.tls()
    if tls is None:
        return plain
    try:
        return tls.wrap_socket(plain, server_hostname=endpoint.host)
    except OSError as error:
        plain.close()
        raise unreachable(endpoint.url, error.strerror or str(error)) from error
