"""The server as WebSocket clients meet it, well-behaved and not."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    TextMessage,
)

from node.rpc.assembly import build_server
from node.rpc.backend import ExtrinsicStatus, StatusKind, StorageChanges
from node.rpc.limits import Limits
from node.rpc.transport.access import Access
from node.rpc.transport.server import RpcServer
from primitives.types import SpecVersion, StorageKey
from tests.node.rpc.calling import HttpClient, WebSocketClient, connected, request
from tests.node.rpc.fake_node import GARBLED, KEY, TRANSFER, FakeNode, digest


@asynccontextmanager
async def client_of(server: RpcServer) -> AsyncIterator[WebSocketClient]:
    async with connected(server) as stream:
        client = WebSocketClient(stream)
        assert isinstance(await client.shake_hands(), AcceptConnection)
        yield client


def frame(
    payload: bytes, *, opcode: int = 1, is_last: bool = True, is_masked: bool = True
) -> bytes:
    """Return one frame as a client sends it, with a mask of zeros."""
    first = bytes([opcode | (0x80 if is_last else 0)])
    mask = 0x80 if is_masked else 0
    if len(payload) < 126:
        length = bytes([mask | len(payload)])
    else:
        length = bytes([mask | 126]) + len(payload).to_bytes(2, "big")
    return first + length + (bytes(4) if is_masked else b"") + payload


async def test_call_over_websocket_is_answered() -> None:
    async with client_of(build_server(FakeNode())) as client:
        assert await client.call("system_name") == "LooPIN"
        assert await client.call("state_call", ["Core_echo", "0x01"]) == "0x01"
        await client.send([request("system_name", identity="a"), request("no_such", identity="b")])
        assert [answer["id"] for answer in await client.receive()] == ["a", "b"]


async def test_binary_and_fragmented_messages_are_read() -> None:
    text = json.dumps(request("system_name"))
    async with client_of(build_server(FakeNode())) as client:
        await client.send_event(BytesMessage(data=text.encode()))
        assert (await client.receive())["result"] == "LooPIN"
        for place, character in enumerate(text):
            is_last = place == len(text) - 1
            await client.send_event(TextMessage(data=character, message_finished=is_last))
        assert (await client.receive())["result"] == "LooPIN"


@pytest.mark.parametrize("length", [1, 30, 31, 32, 500, 32_700, 32_760, 32_800, 200_000, 500_000])
async def test_answers_of_every_length_are_framed_so_that_clients_read_them(length: int) -> None:
    data = "0x" + "ab" * length
    async with client_of(build_server(FakeNode())) as client:
        assert await client.call("state_call", ["Core_echo", data]) == data
        assert await client.call("system_name") == "LooPIN"


async def test_many_calls_are_answered_at_the_same_time() -> None:
    async with client_of(build_server(FakeNode())) as client:
        for identity in range(50):
            await client.send(request("state_call", ["Core_echo", f"0x{identity:02x}"], identity))
        answers = [await client.receive() for _ in range(50)]

    assert {answer["id"]: answer["result"] for answer in answers} == {
        identity: f"0x{identity:02x}" for identity in range(50)
    }


async def test_ping_is_answered() -> None:
    async with client_of(build_server(FakeNode())) as client:
        await client.send_event(Ping(payload=b"hello"))
        event = await client.receive_event()

    assert isinstance(event, Pong)
    assert bytes(event.payload) == b"hello"


async def test_goodbye_is_answered_and_the_connection_ends() -> None:
    server = build_server(FakeNode())
    async with client_of(server) as client:
        await client.send_event(CloseConnection(code=1000))
        assert await client.receive_close() == 1000
        assert await HttpClient(client.stream).receive_end() == b""
    assert server.connections == 0


@pytest.mark.parametrize(
    "path, headers, accepted",
    [
        ("/", {}, True),
        ("/ws", {}, True),
        ("/?token=1", {}, True),
        ("/other", {}, False),
        ("/", {"Origin": "http://localhost:3000"}, True),
        ("/", {"Origin": "https://evil.org"}, False),
    ],
)
async def test_handshake_checks_path_and_origin(
    path: str, headers: dict[str, str], accepted: bool
) -> None:
    async with connected(build_server(FakeNode())) as stream:
        event = await WebSocketClient(stream).shake_hands(path, **headers)

    assert isinstance(event, AcceptConnection) is accepted


async def test_handshake_under_a_foreign_host_name_is_refused() -> None:
    async with connected(build_server(FakeNode(), Access(hosts=("node.example",)))) as stream:
        event = await WebSocketClient(stream).shake_hands()

    assert isinstance(event, RejectConnection)
    assert event.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": "websocket", "Connection": "Upgrade"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"},
        {"Upgrade": "smoke", "Connection": "Upgrade"},
        {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec_WebSocket_Version": "7",
            "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        },
    ],
)
async def test_malformed_handshake_is_refused(headers: dict[str, str]) -> None:
    async with connected(build_server(FakeNode())) as stream:
        client = HttpClient(stream)
        await client.send(b"", method="GET", Content_Length="", **headers)
        status, _, _ = await client.receive()
        assert 400 <= status < 500
        assert await client.receive_end() == b""


@pytest.mark.parametrize(
    "data, code",
    [
        (frame(b"{}", is_masked=False), 1002),
        (frame(b"", opcode=0), 1002),
        (frame(b"{}", opcode=5), 1002),
        (frame(b"x" * 200, opcode=9), 1002),
        (frame(b"a", opcode=9, is_last=False), 1002),
        (b"\xf1\x80\0\0\0\0", 1002),
        (b"\x81\xff" + b"\xff" * 8, 1002),
        (frame(b"\xff\xfe"), 1007),
        (frame(b"a", is_last=False) + frame(b"b"), 1002),
    ],
    ids=[
        "unmasked", "continues nothing", "unknown opcode", "long ping", "fragmented ping",
        "reserved bits", "absurd length", "no utf-8", "interleaved",
    ],
)  # fmt: skip
async def test_broken_frames_end_the_connection_with_the_right_code(data: bytes, code: int) -> None:
    async with client_of(build_server(FakeNode())) as client:
        await client.stream.send_all(data)
        assert await client.receive_close() == code


async def test_message_longer_than_allowed_ends_the_connection_before_it_is_read() -> None:
    server = build_server(FakeNode(), limits=Limits(request_bytes_max=1000))
    async with client_of(server) as client:
        await client.stream.send_all(frame(b" " * 5000)[:1200])
        assert await client.receive_close() == 1009


async def test_message_that_all_memory_cannot_hold_ends_the_connection() -> None:
    server = build_server(FakeNode(), limits=Limits(bodies_bytes_max=1000))
    async with client_of(server) as client:
        await client.stream.send_all(frame(b" " * 2000))
        assert await client.receive_close() == 1013
    async with client_of(server) as client:
        assert await client.call("system_name") == "LooPIN"


async def test_message_that_never_ends_is_given_up(mock_clock: trio.testing.MockClock) -> None:
    async with client_of(build_server(FakeNode())) as client:
        await client.stream.send_all(frame(b"[", is_last=False))
        for _ in range(12):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(5)
            await client.stream.send_all(frame(b" ", opcode=0, is_last=False))
        assert await client.receive_close() == 1008


async def test_silent_client_is_pinged_and_then_dropped(
    mock_clock: trio.testing.MockClock,
) -> None:
    server = build_server(FakeNode())
    async with client_of(server) as client:
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(31)
        assert isinstance(await client.receive_event(), Ping)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(31)
        assert await client.receive_close() == 1008


async def test_client_that_answers_pings_is_kept(mock_clock: trio.testing.MockClock) -> None:
    async with client_of(build_server(FakeNode())) as client:
        for _ in range(5):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(31)
            event = await client.receive_event()
            assert isinstance(event, Ping)
            await client.send_event(event.response())
        assert await client.call("system_name") == "LooPIN"


async def test_flood_of_pings_does_not_keep_others_waiting() -> None:
    server = build_server(FakeNode())
    pings = frame(b"", opcode=9) * 20_000
    async with (
        client_of(server) as flooder,
        client_of(server) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(flooder.stream.send_all, pings)
        with trio.fail_after(5):
            assert await client.call("system_name") == "LooPIN"
        nursery.cancel_scope.cancel()


async def test_heads_are_announced_as_wallets_expect_it() -> None:
    node = FakeNode()
    async with client_of(build_server(node)) as client:
        identity = await client.call("chain_subscribeNewHeads")
        first = await client.receive()
        block = node.add_block()
        second = await client.receive()

    assert first["method"] == second["method"] == "chain_newHead"
    assert first["params"]["subscription"] == second["params"]["subscription"] == identity
    assert first["params"]["result"]["number"] == 4
    assert second["params"]["result"]["hash"] == "0x" + block.hash.hex()


async def test_final_heads_are_announced_under_their_own_name() -> None:
    node = FakeNode()
    async with client_of(build_server(node)) as client:
        await client.call("chain_subscribeFinalisedHeads")
        assert (await client.receive())["params"]["result"]["number"] == 3
        node.final_heads.publish(node.blocks[4].header)
        announced = await client.receive()

    assert announced["method"] == "chain_finalizedHead"
    assert announced["params"]["result"]["number"] == 4


async def test_unsubscribing_ends_the_announcements_and_frees_the_feed() -> None:
    node = FakeNode()
    async with client_of(build_server(node)) as client:
        identity = await client.call("chain_subscribeNewHead")
        await client.receive()
        assert len(node.new_heads) == 1
        assert await client.call("chain_unsubscribeNewHead", [identity]) is True
        assert await client.call("chain_unsubscribeNewHead", [identity]) is False
        await trio.testing.wait_all_tasks_blocked()
        assert len(node.new_heads) == 0
        node.add_block()
        assert await client.call("system_name") == "LooPIN"


async def test_subscriptions_end_with_their_connection() -> None:
    node = FakeNode()
    async with client_of(build_server(node)) as client:
        await client.call("chain_subscribeNewHeads")
        await client.receive()
    assert len(node.new_heads) == 0


async def test_subscription_in_a_batch_is_known_before_its_first_notification() -> None:
    batch = [request("chain_subscribeNewHeads"), *[request("chain_getReceipts")] * 200]
    async with client_of(build_server(FakeNode())) as client:
        await client.send(batch)
        for identity in range(5):
            await client.send(request("state_call", ["Core_echo", "0x01"], f"other {identity}"))
        seen: list[str] = []
        while True:
            message = await client.receive()
            if isinstance(message, list):
                seen.append(message[0]["result"])
            elif "method" in message:
                break
    assert seen == [message["params"]["subscription"]]


async def test_client_that_vanishes_while_it_subscribes_leaves_no_feed_behind() -> None:
    node = FakeNode()
    server = build_server(node)
    for count in range(1, 20):
        async with client_of(server) as client:
            for _ in range(count):
                await client.send(request("chain_subscribeNewHeads"))
            for _ in range(count):
                await trio.lowlevel.checkpoint()
    assert server.connections == 0
    assert len(node.new_heads) == 0


async def test_subscription_whose_answer_cannot_be_sent_leaves_no_feed_behind(
    mock_clock: trio.testing.MockClock,
) -> None:
    node = FakeNode()
    blocks = [request("chain_getReceipts")] * 1500
    server = build_server(node)
    async with client_of(server) as client:
        await client.send([*blocks, request("chain_subscribeNewHeads")])
        await trio.testing.wait_all_tasks_blocked()
        assert len(node.new_heads) == 1
        for seconds in (31, 2):
            mock_clock.jump(seconds)
            await trio.testing.wait_all_tasks_blocked()
        assert server.connections == 0
        assert len(node.new_heads) == 0


async def test_subscriptions_of_a_connection_are_limited() -> None:
    node = FakeNode()
    server = build_server(node, limits=Limits(subscriptions_per_connection_max=2))
    async with client_of(server) as client:
        first = await client.call("chain_subscribeFinalizedHeads")
        await client.receive()
        await client.call("chain_subscribeFinalizedHeads")
        await client.receive()
        assert (await client.call("chain_subscribeFinalizedHeads"))["code"] == -32006
        assert len(node.final_heads) == 2
        await client.call("chain_unsubscribeFinalizedHeads", [first])
        assert isinstance(await client.call("chain_subscribeFinalizedHeads"), str)


async def test_subscriber_that_falls_behind_is_told_and_dropped_not_buffered() -> None:
    node = FakeNode()
    server = build_server(node, limits=Limits(subscription_buffer_max=4))
    async with client_of(server) as client:
        identity = await client.call("chain_subscribeNewHeads")
        await client.receive()
        for _ in range(10):
            node.new_heads.publish(node.blocks[4].header)
        last = await client.receive()
        await trio.testing.wait_all_tasks_blocked()

        assert last["params"]["subscription"] == identity
        assert "too slow" in last["params"]["error"]
        assert len(node.new_heads) == 0
        assert await client.call("system_name") == "LooPIN"


async def test_client_that_does_not_read_its_news_is_dropped(
    mock_clock: trio.testing.MockClock,
) -> None:
    node = FakeNode()
    server = build_server(node)
    async with client_of(server) as client:
        await client.call("chain_subscribeNewHeads")
        for _ in range(1000):
            node.new_heads.publish(node.blocks[4].header)
            await trio.testing.wait_all_tasks_blocked()
        assert server.connections == 1
        for seconds in (31, 2):
            mock_clock.jump(seconds)
            await trio.testing.wait_all_tasks_blocked()
        assert server.connections == 0
        assert len(node.new_heads) == 0


async def test_storage_is_announced_when_a_watched_key_changes() -> None:
    node = FakeNode()
    key = "0x" + KEY.hex()
    async with client_of(build_server(node)) as client:
        await client.call("state_subscribeStorage", [[key, "0x00"]])
        first = await client.receive()
        node.storage_changes.publish(StorageChanges(digest(5), {StorageKey(b"other"): b"1"}))
        node.storage_changes.publish(StorageChanges(digest(6), {KEY: None}))
        second = await client.receive()

    assert first["method"] == "state_storage"
    assert first["params"]["result"]["changes"] == [[key, "0x2a"], ["0x00", None]]
    assert second["params"]["result"] == {"block": "0x" + "06" * 32, "changes": [[key, None]]}


async def test_runtime_version_is_announced_when_it_changes() -> None:
    node = FakeNode()
    async with client_of(build_server(node)) as client:
        await client.call("state_subscribeRuntimeVersion")
        assert (await client.receive())["params"]["result"]["specVersion"] == 3
        node.storage_changes.publish(StorageChanges(digest(5), {}))
        await trio.testing.wait_all_tasks_blocked()
        node.spec_version = SpecVersion(4)
        node.storage_changes.publish(StorageChanges(digest(6), {}))
        announced = await client.receive()

    assert announced["method"] == "state_runtimeVersion"
    assert announced["params"]["result"]["specVersion"] == 4


async def test_watched_extrinsic_is_followed_to_its_end() -> None:
    node = FakeNode()
    async with client_of(build_server(node)) as client:
        await client.call("author_submitAndWatchExtrinsic", ["0x" + TRANSFER.hex()])
        (feed,) = node.watched
        feed.put(ExtrinsicStatus(StatusKind.IN_BLOCK, digest(5)))
        feed.put(ExtrinsicStatus(StatusKind.FINALIZED, digest(5)))
        feed.finish()
        updates = [await client.receive() for _ in range(3)]
        assert await client.call("system_name") == "LooPIN"

    block = "0x" + "05" * 32
    assert {update["method"] for update in updates} == {"author_extrinsicUpdate"}
    assert [update["params"]["result"] for update in updates] == [
        "ready", {"inBlock": block}, {"finalized": block},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "status, shown",
    [
        (ExtrinsicStatus(StatusKind.FUTURE), "future"),
        (ExtrinsicStatus(StatusKind.DROPPED, reason="MempoolFull"), {"dropped": "MempoolFull"}),
        (ExtrinsicStatus(StatusKind.INVALID, reason="Expired"), {"invalid": "Expired"}),
        (ExtrinsicStatus(StatusKind.USURPED, digest(6)), {"usurped": "0x" + "06" * 32}),
        (ExtrinsicStatus(StatusKind.RETRACTED, digest(6)), {"retracted": "0x" + "06" * 32}),
    ],
)
async def test_watcher_is_told_why_an_extrinsic_failed(
    status: ExtrinsicStatus, shown: object
) -> None:
    node = FakeNode()
    async with client_of(build_server(node)) as client:
        await client.call("author_submitAndWatchExtrinsic", ["0x" + TRANSFER.hex()])
        await client.receive()
        node.watched[0].put(status)
        assert (await client.receive())["params"]["result"] == shown


async def test_refused_extrinsic_is_not_watched() -> None:
    async with client_of(build_server(FakeNode())) as client:
        error = await client.call("author_submitAndWatchExtrinsic", ["0x" + GARBLED.hex()])

    assert error["code"] == 1001


async def test_watching_is_refused_before_the_extrinsic_is_submitted() -> None:
    node = FakeNode()
    server = build_server(node, limits=Limits(subscriptions_per_connection_max=0))
    async with client_of(server) as client:
        error = await client.call("author_submitAndWatchExtrinsic", ["0x" + TRANSFER.hex()])

    assert error["code"] == -32006
    assert not node.waiting


async def test_half_open_connection_is_noticed() -> None:
    server = build_server(FakeNode())
    async with connected(server) as stream:
        client = WebSocketClient(stream)
        await client.shake_hands()
        await stream.send_eof()
        assert await HttpClient(stream).receive_end() == b""
        await trio.testing.wait_all_tasks_blocked()
        assert server.connections == 0
