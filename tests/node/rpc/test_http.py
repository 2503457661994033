"""Requests out of bytes, however the bytes come."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.limits import Limits
from node.rpc.transport.access import ByteBudget
from node.rpc.transport.http import Request, RequestParser, response

HEAD = b"POST /?x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
WITH_LENGTH = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = (
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n"
)


def new_parser(limits: Limits | None = None, budget: int = 1 << 20) -> RequestParser:
    return RequestParser(limits or Limits(), ByteBudget(budget))


@given(
    st.lists(st.sampled_from([WITH_LENGTH, CHUNKED]), min_size=1, max_size=4),
    st.lists(st.integers(1, 50), min_size=1),
)
def test_requests_are_the_same_however_the_bytes_are_cut(
    sent: list[bytes], sizes: list[int]
) -> None:
    parser = new_parser()
    data, requests, turn = b"".join(sent), list[Request](), 0
    while data:
        size = sizes[turn % len(sizes)]
        requests += parser.feed(data[:size])
        data, turn = data[size:], turn + 1

    assert parser.refused is None
    assert not parser.in_request
    assert [bytes(request.body) for request in requests] == [b"hello"] * len(sent)
    assert {(request.method, request.path) for request in requests} == {("POST", "/")}
    assert all(request.keep_alive for request in requests)


@given(st.binary(max_size=300), st.sampled_from([b"", HEAD, WITH_LENGTH, HEAD + b"\r\n", CHUNKED]))
def test_any_bytes_are_requests_or_a_refusal(noise: bytes, start: bytes) -> None:
    parser = new_parser()

    requests = parser.feed(start + noise)

    assert all(isinstance(request.method, str) for request in requests)
    assert parser.refused is None or parser.refused.status >= HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        HEAD + b"Host: other\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Bad Header: 1\r\n\r\n",
        HEAD + b" folded: 1\r\n\r\n",
        HEAD + b"Nul: \x00\r\n\r\n",
        HEAD + b"Bare: 1\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_malformed_and_ambiguous_requests_are_refused(data: bytes) -> None:
    parser = new_parser()

    parser.feed(data)

    assert parser.refused is not None
    assert parser.refused.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    "data, status",
    [
        (b"POST /" + b"x" * 20_000 + b" HTTP/1.1\r\n", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (HEAD + b"X: " + b"x" * 40_000 + b"\r\n", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (HEAD + b"X: " + b"x" * 50_000, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (
            HEAD + b"".join(b"X%d: 1\r\n" % number for number in range(70)),
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        ),
        (HEAD + b"Content-Length: 5001\r\n\r\n", HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n1389\r\n" + b"x" * 5001,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        ),
        (HEAD + b"Expect: 200-ok\r\n\r\n", HTTPStatus.EXPECTATION_FAILED),
    ],
)
def test_requests_beyond_a_limit_are_refused(data: bytes, status: HTTPStatus) -> None:
    parser = new_parser(Limits(request_bytes_max=5000))
    for start in range(0, len(data), 4096):
        parser.feed(data[start : start + 4096])
        if parser.refused is not None:
            break

    assert parser.refused is not None
    assert parser.refused.status == status


def test_trailers_without_end_are_refused() -> None:
    parser = new_parser()
    parser.feed(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
    for _ in range(100):
        parser.feed(b"Trailer: " + b"x" * 300 + b"\r\n")

    assert parser.refused is not None


def test_bodies_count_against_the_memory_that_all_share_until_released() -> None:
    parser = new_parser(budget=10)

    parser.feed(WITH_LENGTH + WITH_LENGTH)
    is_refused_with_room = parser.refused is not None
    parser.release()
    parser.feed(WITH_LENGTH + WITH_LENGTH + WITH_LENGTH)

    assert not is_refused_with_room
    assert parser.refused is not None
    assert parser.refused.status == HTTPStatus.SERVICE_UNAVAILABLE


def test_requests_before_a_bad_one_are_kept() -> None:
    parser = new_parser()

    requests = parser.feed(WITH_LENGTH + b"nonsense\r\n\r\n")

    assert [bytes(request.body) for request in requests] == [b"hello"]
    assert parser.refused is not None


def test_client_that_asks_first_is_heard() -> None:
    parser = new_parser()

    parser.feed(HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")

    assert parser.wants_continue
    assert [bytes(request.body) for request in parser.feed(b"hello")] == [b"hello"]


def test_upgrade_keeps_what_follows_it() -> None:
    parser = new_parser()
    head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    (request,) = parser.feed(head + b"frames")

    assert request.is_upgrade
    assert parser.rest == b"frames"


def test_old_client_without_keep_alive_is_let_go() -> None:
    (request,) = new_parser().feed(b"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n")

    assert not request.keep_alive


def test_response_has_length_and_says_when_it_is_the_last() -> None:
    assert response(HTTPStatus.OK, b"{}", keep_alive=False) == (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"
        b"connection: close\r\n\r\n{}"
    )
    assert response(HTTPStatus.NO_CONTENT) == b"HTTP/1.1 204 No Content\r\n\r\n"
