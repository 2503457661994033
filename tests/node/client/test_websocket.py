import socket
from collections.abc import Callable

import orjson
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from node.client.endpoint import Endpoint
from node.client.errors import BadAnswer, CallRefused, ConnectionLost, NodeUnreachable
from node.client.websocket import MESSAGE_BYTES_MAX, Subscription
from tests.node.client.serving import answering, serving


class Peer:
    """The node's side of one WebSocket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._protocol = WSConnection(ConnectionType.SERVER)

    def receive(self, kind: type[Event]) -> Event:
        while True:
            for event in list(self._protocol.events()):
                if isinstance(event, kind):
                    return event
            self._protocol.receive_data(self._connection.recv(65536) or None)

    def send(self, event: Event) -> None:
        self._connection.sendall(self._protocol.send(event))

    def accept(self) -> None:
        self.receive(Request)
        self.send(AcceptConnection())
        self.receive(TextMessage)

    def say(self, message: object) -> None:
        self.send(TextMessage(orjson.dumps(message).decode()))

    def notify(self, result: object, subscription: str = "s") -> None:
        params = {"subscription": subscription, "result": result}
        self.say({"jsonrpc": "2.0", "method": "n", "params": params})


def subscribed(then: Callable[[Peer], None]) -> Callable[[socket.socket], None]:
    """Return a handler that takes a subscription and goes on with ``then``."""

    def handle(connection: socket.socket) -> None:
        peer = Peer(connection)
        peer.accept()
        peer.say({"id": 0, "result": "s"})
        then(peer)

    return handle


def take(url: str, count: int) -> list[object]:
    with Subscription(Endpoint.parse(url), "m") as subscription:
        notifications = subscription.notifications()
        return [next(notifications) for _ in range(count)]


def test_notifications_come_in_order_and_others_are_passed_over() -> None:
    def then(peer: Peer) -> None:
        peer.notify(1)
        peer.notify("of another", subscription="t")
        peer.say({"jsonrpc": "2.0", "method": "odd"})
        peer.notify(2)
        peer.receive(CloseConnection)

    with serving(subscribed(then)) as url:
        assert take(url, 2) == [1, 2]


def test_message_in_parts_is_put_together() -> None:
    def then(peer: Peer) -> None:
        text = '{"params": {"subscription": "s", "result": "whole"}}'
        peer.send(TextMessage(text[:20], message_finished=False))
        peer.send(TextMessage(text[20:]))
        peer.receive(CloseConnection)

    with serving(subscribed(then)) as url:
        assert take(url, 1) == ["whole"]


def test_ping_is_answered() -> None:
    def then(peer: Peer) -> None:
        peer.send(Ping(b"are you there"))
        peer.receive(Pong)
        peer.notify("yes")
        peer.receive(CloseConnection)

    with serving(subscribed(then)) as url:
        assert take(url, 1) == ["yes"]


def test_refused_subscription_carries_the_reason() -> None:
    def handle(connection: socket.socket) -> None:
        peer = Peer(connection)
        peer.accept()
        peer.say({"id": 0, "error": {"code": 1010, "message": "Invalid", "data": "Unpaid"}})

    with serving(handle) as url, pytest.raises(CallRefused, match="Unpaid"):
        take(url, 1)


def test_subscription_that_the_node_ends_with_an_error_is_refused() -> None:
    def then(peer: Peer) -> None:
        error = {"code": -32000, "message": "too slow"}
        peer.say({"method": "n", "params": {"subscription": "s", "error": error}})

    with serving(subscribed(then)) as url, pytest.raises(CallRefused, match="too slow"):
        take(url, 1)


def test_node_that_closes_is_lost() -> None:
    with (
        serving(subscribed(lambda peer: peer.send(CloseConnection(1001, "bye")))) as url,
        pytest.raises(ConnectionLost, match="bye"),
    ):
        take(url, 1)


def test_node_that_vanishes_is_lost() -> None:
    with serving(subscribed(lambda _: None)) as url, pytest.raises(ConnectionLost):
        take(url, 1)


@pytest.mark.parametrize(
    "event", [TextMessage("not json"), BytesMessage(b"\x00"), TextMessage("[" * 100_000)]
)
def test_message_that_is_no_json_is_refused(event: Event) -> None:
    with serving(subscribed(lambda peer: peer.send(event))) as url, pytest.raises(BadAnswer):
        take(url, 1)


def test_message_without_end_is_not_kept() -> None:
    def then(peer: Peer) -> None:
        try:
            for _ in range(2 * MESSAGE_BYTES_MAX >> 20):
                peer.send(TextMessage("x" * (1 << 20), message_finished=False))
        except OSError:
            pass  # the client has gone, as it should

    with serving(subscribed(then)) as url, pytest.raises(BadAnswer, match="longer"):
        take(url, 1)


def test_server_without_websockets_is_refused() -> None:
    def handle(connection: socket.socket) -> None:
        peer = Peer(connection)
        peer.receive(Request)
        peer.send(RejectConnection(status_code=404))

    with serving(handle) as url, pytest.raises(BadAnswer, match="404"):
        take(url, 1)


@pytest.mark.parametrize("body", [b"HTTP/1.1 2", b"SSH-2.0-OpenSSH\r\n\r\n"])
def test_what_is_no_websocket_is_refused_or_lost(body: bytes) -> None:
    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(body)

    with serving(handle) as url, pytest.raises((BadAnswer, ConnectionLost)):
        take(url, 1)


def test_plain_answer_to_the_handshake_is_refused() -> None:
    with serving(answering(b"hello")) as url, pytest.raises((BadAnswer, ConnectionLost)):
        take(url, 1)


def test_nobody_there_says_how_to_start_a_node() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))

        with pytest.raises(NodeUnreachable, match="loopin node --dev"):
            take(f"http://127.0.0.1:{taken.getsockname()[1]}", 1)
