"""The server as HTTP clients meet it, well-behaved and not."""

import json

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.assembly import build_server
from node.rpc.limits import Limits
from node.rpc.transport.access import Access, MethodPolicy
from tests.node.rpc.calling import HttpClient, connected, request
from tests.node.rpc.fake_node import FakeNode

NAME = json.dumps(request("system_name")).encode()
DEFAULT = Limits()


async def post(body: bytes, limits: Limits = DEFAULT, **headers: str) -> tuple[int, bytes]:
    async with connected(build_server(FakeNode(), limits=limits)) as stream:
        client = HttpClient(stream)
        await client.send(body, **headers)
        status, _, answer = await client.receive()
        return status, answer


async def test_call_is_answered_and_the_connection_kept() -> None:
    async with connected(build_server(FakeNode())) as stream:
        client = HttpClient(stream)
        for _ in range(3):
            await client.send(NAME)
            status, headers, body = await client.receive()
            assert status == 200
            assert headers["content-type"] == "application/json"
            assert json.loads(body)["result"] == "LooPIN"


async def test_pipelined_calls_are_answered_in_order() -> None:
    async with connected(build_server(FakeNode())) as stream:
        client = HttpClient(stream)
        with trio.fail_after(5):
            for identity in range(20):
                await client.send(json.dumps(request("system_name", identity=identity)).encode())
            answers = [json.loads((await client.receive())[2])["id"] for _ in range(20)]

    assert answers == list(range(20))


async def test_chunked_body_is_read() -> None:
    async with connected(build_server(FakeNode())) as stream:
        client = HttpClient(stream)
        chunks = b"5\r\n" + NAME[:5] + b"\r\n%x\r\n" % len(NAME[5:]) + NAME[5:] + b"\r\n0\r\n\r\n"
        await client.send(chunks, Transfer_Encoding="chunked", Content_Length="")
        status, _, body = await client.receive()

    assert (status, json.loads(body)["result"]) == (200, "LooPIN")


async def test_notification_gets_an_empty_answer() -> None:
    status, body = await post(b'{"jsonrpc":"2.0","method":"system_name"}')

    assert (status, body) == (204, b"")


async def test_client_that_waits_for_leave_gets_it() -> None:
    async with connected(build_server(FakeNode())) as stream:
        client = HttpClient(stream)
        await client.send(b"", Expect="100-continue", Content_Length=str(len(NAME)))
        assert (await client.receive())[0] == 100
        await stream.send_all(NAME)
        assert (await client.receive())[0] == 200


async def test_last_request_ends_the_connection() -> None:
    async with connected(build_server(FakeNode())) as stream:
        client = HttpClient(stream)
        await client.send(NAME, Connection="close")
        assert b"connection: close" in await client.receive_end()


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": ""}, 415),
        ({"Content_Type": "application/json; charset=utf-8"}, 200),
        ({"Host": "evil.org"}, 403),
        ({"Host": "localhost"}, 200),
        ({"Origin": "https://evil.org"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"method": "PUT"}, 405),
        ({"path": "/admin"}, 404),
        ({"path": "/?token=1"}, 200),
        ({"Upgrade": "h2c", "Connection": "Upgrade"}, 200),
    ],
)
async def test_only_requests_that_no_foreign_page_can_send_are_served(
    headers: dict[str, str], status: int
) -> None:
    assert (await post(NAME, DEFAULT, **headers))[0] == status


async def test_page_of_an_allowed_origin_may_read_the_answer() -> None:
    async with connected(build_server(FakeNode())) as stream:
        client = HttpClient(stream)
        await client.send(NAME, Origin="http://localhost:3000")
        _, headers, _ = await client.receive()
        await client.send(b"", method="OPTIONS", Origin="http://localhost:3000")
        status, preflight, _ = await client.receive()

    assert headers["access-control-allow-origin"] == "http://localhost:3000"
    assert headers["vary"] == "Origin"
    assert status == 204
    assert preflight["access-control-allow-headers"] == "content-type"
    assert "POST" in preflight["access-control-allow-methods"]


async def test_health_tells_peers_and_readiness_tells_balancers() -> None:
    node = FakeNode()
    async with connected(build_server(node)) as stream:
        client = HttpClient(stream)
        await client.send(b"", method="GET", path="/health")
        status, _, body = await client.receive()
        assert status == 200
        assert json.loads(body) == {"peers": 2, "isSyncing": False, "shouldHavePeers": True}
        for is_syncing, expected in ((False, 200), (True, 503), (False, 200)):
            node.is_syncing = is_syncing
            await client.send(b"", method="GET", path="/health/readiness")
            assert (await client.receive())[0] == expected


@pytest.mark.parametrize(
    "headers, policy, works",
    [
        ({}, MethodPolicy.AUTO, True),
        ({"X_Forwarded_For": "10.0.0.1"}, MethodPolicy.AUTO, False),
        ({"Forwarded": "for=10.0.0.1"}, MethodPolicy.AUTO, False),
        ({}, MethodPolicy.SAFE, False),
        ({"X_Forwarded_For": "10.0.0.1"}, MethodPolicy.UNSAFE, True),
    ],
)
async def test_unsafe_methods_answer_on_loopback_but_not_through_a_proxy(
    headers: dict[str, str], policy: MethodPolicy, works: bool
) -> None:
    server = build_server(FakeNode(), Access(methods=policy))
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, listeners)
        async with await trio.testing.open_stream_to_socket_listener(listeners[0]) as stream:
            client = HttpClient(stream)
            await client.send(
                json.dumps(request("author_rotateKeys", ["0x" + "01" * 32])).encode(), **headers
            )
            answer = json.loads((await client.receive())[2])
        nursery.cancel_scope.cancel()

    assert ("result" in answer) is works


async def test_body_longer_than_allowed_is_refused() -> None:
    status, _ = await post(b"x" * 2000, Limits(request_bytes_max=1000))

    assert status == 413


async def test_client_in_the_middle_of_a_long_body_learns_why_it_is_refused() -> None:
    server = build_server(FakeNode(), limits=Limits(request_bytes_max=1000))
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, listeners)
        async with await trio.testing.open_stream_to_socket_listener(listeners[0]) as stream:
            client = HttpClient(stream)
            await client.send(b"x" * 1_000_000)
            assert (await client.receive())[0] == 413
        nursery.cancel_scope.cancel()


async def test_body_that_all_memory_cannot_hold_is_refused_until_there_is_room() -> None:
    server = build_server(FakeNode(), limits=Limits(bodies_bytes_max=1000))
    async with connected(server) as greedy, connected(server) as modest:
        await HttpClient(greedy).send(b"x" * 950, Content_Length="2000")
        await trio.testing.wait_all_tasks_blocked()
        client = HttpClient(modest)
        await client.send(NAME + b" " * 100)
        assert (await client.receive())[0] == 503
    async with connected(server) as stream:
        client = HttpClient(stream)
        await client.send(NAME)
        assert (await client.receive())[0] == 200


async def test_answer_that_memory_cannot_hold_is_refused() -> None:
    body = json.dumps([request("chain_getBlock")] * 10).encode()

    status, _ = await post(body, Limits(bodies_bytes_max=3000))

    assert status == 503


@pytest.mark.parametrize(
    "start, seconds",
    [(b"", 10), (b"POST /", 10), (b"POST / HTTP/1.1\r\nHost: localhost\r\nX: ", 10)],
)
async def test_client_that_does_not_finish_its_headers_is_dropped(
    start: bytes, seconds: float, mock_clock: trio.testing.MockClock
) -> None:
    server = build_server(FakeNode())
    async with connected(server) as stream:
        if start:
            await stream.send_all(start)
        for _ in range(int(seconds) - 1):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(1)
            if start:
                await stream.send_all(b"x")
        await trio.testing.wait_all_tasks_blocked()
        assert server.connections == 1
        mock_clock.jump(2)
        end = await HttpClient(stream).receive_end()

    assert end.startswith(b"HTTP/1.1 408") or not (start or end)
    assert server.connections == 0


async def test_client_that_trickles_its_body_is_dropped(
    mock_clock: trio.testing.MockClock,
) -> None:
    server = build_server(FakeNode(), limits=Limits(body_timeout=20))
    async with connected(server) as stream:
        client = HttpClient(stream)
        await client.send(b"x", Content_Length="1000")
        for _ in range(21):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(1)
        assert (await client.receive())[0] == 408
        assert await client.receive_end() == b""


async def test_idle_connection_is_closed_without_a_word(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with connected(build_server(FakeNode())) as stream:
        client = HttpClient(stream)
        await client.send(NAME)
        await client.receive()
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(80)
        assert await client.receive_end() == b""


async def test_client_that_does_not_read_is_dropped(mock_clock: trio.testing.MockClock) -> None:
    server = build_server(FakeNode(), limits=Limits(request_bytes_max=1 << 22))
    batch = json.dumps([request("chain_getBlock")] * 5000).encode()
    async with connected(server) as stream:
        client = HttpClient(stream)
        await client.send(batch)
        await trio.testing.wait_all_tasks_blocked()
        assert server.connections == 1
        for seconds in (31, 2):
            mock_clock.jump(seconds)
            await trio.testing.wait_all_tasks_blocked()
        assert server.connections == 0


async def test_connections_beyond_the_limit_are_told_so() -> None:
    server = build_server(FakeNode(), limits=Limits(connections_per_address_max=1))
    async with connected(server) as first:
        client = HttpClient(first)
        await client.send(NAME)
        await client.receive()
        async with connected(server) as second:
            assert (await HttpClient(second).receive_end()).startswith(b"HTTP/1.1 503")
        await client.send(NAME)
        assert (await client.receive())[0] == 200
    async with connected(server) as again:
        client = HttpClient(again)
        await client.send(NAME)
        assert (await client.receive())[0] == 200


async def test_rate_is_shared_by_the_connections_of_an_address() -> None:
    server = build_server(FakeNode(), limits=Limits(rate_per_second=1, rate_burst=2))
    codes = []
    for _ in range(3):
        async with connected(server) as stream:
            client = HttpClient(stream)
            await client.send(NAME)
            answer = json.loads((await client.receive())[2])
            codes.append(answer.get("error", {}).get("code"))

    assert codes == [None, None, -32999]


@pytest.mark.parametrize(
    "noise",
    [
        b"\x16\x03\x01\x02\x00",
        b"\0" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_noise_gets_a_refusal_and_an_end(noise: bytes) -> None:
    async with connected(build_server(FakeNode())) as stream:
        await stream.send_all(noise)
        assert (await HttpClient(stream).receive_end()).startswith(b"HTTP/1.1 400")


async def test_client_that_hangs_up_in_the_middle_leaves_nothing_behind() -> None:
    server = build_server(FakeNode())
    async with connected(server) as stream:
        await HttpClient(stream).send(NAME[:5], Content_Length="1000")

    assert server.connections == 0


PIECES = st.sampled_from(
    [
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ),
        b"Content-Length: %d\r\n\r\n" % len(NAME) + NAME,
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"Expect: 100-continue\r\n",
        b"\x81\x80\0\0\0\0",
        b"\x89\x80\0\0\0\0",
        b"\x01\x82\0\0\0\0[1",
        b"\x80\x81\0\0\0\0]",
        b"\x88\x80\0\0\0\0",
        b"\r\n\r\n",
    ]
) | st.binary(max_size=20)


@given(st.lists(PIECES, max_size=8))
def test_any_conversation_ends_and_leaves_nothing_behind(pieces: list[bytes]) -> None:
    server_connections = []

    async def talk() -> None:
        server = build_server(FakeNode())
        with trio.fail_after(20):
            async with connected(server) as stream:
                for piece in pieces:
                    try:
                        await stream.send_all(piece)
                    except trio.BrokenResourceError:
                        break
                    await trio.testing.wait_all_tasks_blocked()
                await stream.send_eof()
                await HttpClient(stream).receive_end()
        server_connections.append(server.connections)

    trio.run(talk)

    assert server_connections == [0]
