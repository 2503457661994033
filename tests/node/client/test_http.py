import socket

import orjson
import pytest

from node.client.endpoint import DEFAULT_URL, Endpoint
from node.client.errors import BadAnswer, CallRefused, ConnectionLost, InvalidUrl, NodeUnreachable
from node.client.http import ANSWER_BYTES_MAX, HttpClient
from tests.node.client.serving import answering, read_request, serving


def call(url: str) -> object:
    with HttpClient(Endpoint.parse(url)) as client:
        return client.call("m", 1, "two")


def test_call_sends_its_parameters_and_returns_the_result() -> None:
    seen: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        seen.append(read_request(connection))
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"result": 7}')

    with serving(handle) as url:
        assert call(url) == 7

    assert orjson.loads(seen[0]) == {
        "jsonrpc": "2.0", "id": 0, "method": "m", "params": [1, "two"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"7", b"{}", b'{"id": 1}', b'{"error": "text"}', b"\xff"]
)
def test_answer_that_is_no_response_is_refused(body: bytes) -> None:
    with serving(answering(body)) as url, pytest.raises(BadAnswer):
        call(url)


def test_error_of_the_node_carries_its_reason() -> None:
    body = b'{"error": {"code": 1010, "message": "Invalid Transaction", "data": "NonceTooLow: 3"}}'

    with serving(answering(body)) as url, pytest.raises(CallRefused, match="NonceTooLow") as caught:
        call(url)

    assert caught.value.code == 1010


def test_error_about_a_parameter_names_it() -> None:
    body = b'{"error": {"code": -32602, "message": "Invalid params: at", "data": {"reason": "no"}}}'

    with serving(answering(body)) as url, pytest.raises(CallRefused, match="no"):
        call(url)


def test_being_asked_too_often_is_said_so() -> None:
    with (
        serving(answering(b"slow down", b"429 Too Many Requests")) as url,
        pytest.raises(CallRefused, match="too often"),
    ):
        call(url)


def test_nobody_there_says_how_to_start_a_node() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(NodeUnreachable, match="loopin node --dev"):
            call(url)


def test_node_that_hangs_up_is_lost() -> None:
    with serving(lambda _: None, connections=2) as url:
        with pytest.raises(ConnectionLost):
            call(url)
        with pytest.raises(ConnectionLost):
            call(url)


def test_answer_cut_off_in_the_middle_is_lost() -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"res')

    with serving(handle) as url, pytest.raises(ConnectionLost):
        call(url)


def test_what_is_no_http_is_refused() -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"SSH-2.0-OpenSSH\r\n")

    with serving(handle) as url, pytest.raises(BadAnswer, match="HTTP"):
        call(url)


def test_answer_without_end_is_not_read_to_the_end() -> None:
    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            for _ in range(2 * ANSWER_BYTES_MAX >> 20):
                connection.sendall(bytes(1 << 20))
        except OSError:
            pass  # the client has gone, as it should

    with serving(handle) as url, pytest.raises(BadAnswer, match="longer"):
        call(url)


def test_connection_that_the_node_closed_meanwhile_is_opened_again() -> None:
    with (
        serving(answering(b'{"result": 1}'), connections=2) as url,
        HttpClient(Endpoint.parse(url)) as client,
    ):
        assert client.call("m") == 1
        assert client.call("m") == 1


def test_node_that_hangs_up_on_a_kept_connection_and_on_the_next_is_lost() -> None:
    answers = [answering(b'{"result": 1}')]

    def answer_once(connection: socket.socket) -> None:
        if answers:
            answers.pop()(connection)

    with (
        serving(answer_once, connections=2) as url,
        HttpClient(Endpoint.parse(url)) as client,
    ):
        assert client.call("m") == 1
        with pytest.raises(ConnectionLost):
            client.call("m")


def test_batch_is_answered_in_the_order_of_the_calls() -> None:
    body = b'[{"id": 1, "result": "b"}, {"id": 0, "result": "a"}]'

    with serving(answering(body)) as url, HttpClient(Endpoint.parse(url)) as client:
        assert client.call_many([("m", []), ("n", [1])]) == ["a", "b"]


@pytest.mark.parametrize("body", [b"[]", b'[{"id": 0, "result": 1}, 2]', b'{"result": 1}'])
def test_batch_with_missing_answers_is_refused(body: bytes) -> None:
    with (
        serving(answering(body)) as url,
        HttpClient(Endpoint.parse(url)) as client,
        pytest.raises(BadAnswer),
    ):
        client.call_many([("m", []), ("n", [])])


def test_empty_batch_asks_nobody() -> None:
    assert HttpClient(Endpoint.parse(DEFAULT_URL)).call_many([]) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://localhost:9944", "http://localhost:9944"),
        ("ws://localhost:1", "http://localhost:1"),
        ("wss://node.example/rpc?key=1", "https://node.example:443/rpc?key=1"),
        ("http://[::1]:80/", "http://[::1]:80"),
    ],
)
def test_addresses_of_http_and_websocket_mean_the_same_node(url: str, shown: str) -> None:
    assert Endpoint.parse(url).url == shown


@pytest.mark.parametrize(
    "url",
    ["", "localhost:9944", "ftp://h", "http://", "http://h:99999", "http://h/a b", "http://u:p@h"],
)
def test_what_is_no_address_is_refused_and_its_password_not_repeated(url: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        Endpoint.parse(url)

    assert "u:p" not in str(caught.value)


def test_line_breaks_of_an_address_reach_no_request() -> None:
    endpoint = Endpoint.parse("http://h/\r\nX: y".replace(" ", ""))

    assert endpoint.path == "/X:y"
