"""The rules of JSON-RPC around the methods, for good requests, bad ones and bytes at random."""

import json
import logging
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.addresses import Ss58Addresses
from node.rpc.assembly import build_dispatcher
from node.rpc.dispatcher import BULK_LENGTH_MAX, INLINE_BYTES, Caller, Dispatcher
from node.rpc.errors import Code
from node.rpc.json_codecs import JsonCodecs
from node.rpc.limits import Limits
from node.rpc.method import method
from node.rpc.transport.access import Bucket
from tests.node.rpc.calling import ask, call, request
from tests.node.rpc.fake_node import TRANSFER, UNPAID, FakeNode

PADDING = b" " * INLINE_BYTES


class Odd:
    """Methods that do what no method should."""

    @method("odd_break")
    def break_(self) -> str:
        """Fail for a reason of our own."""
        raise KeyError("our bug")

    @method("odd_sleep")
    async def sleep(self) -> str:
        """Take for ever."""
        await trio.sleep_forever()
        raise AssertionError

    @method("odd_talk")
    def talk(self, count: int) -> str:
        """Say much."""
        return "x" * count

    @method("odd_say", bulk="say_all")
    async def say(self, what: str) -> str:
        """Repeat."""
        return what

    async def say_all(self, calls: Sequence[tuple[str]]) -> Sequence[str]:
        if any(what == "break" for (what,) in calls):
            raise KeyError("our bug")
        return [what for (what,) in calls]


def odd_dispatcher(limits: Limits | None = None) -> Dispatcher:
    return Dispatcher([Odd()], JsonCodecs(Ss58Addresses(42)), limits)


@pytest.fixture
def dispatcher() -> Dispatcher:
    return build_dispatcher(FakeNode())


async def error_code(dispatcher: Dispatcher, body: Any) -> int:
    answer = await ask(dispatcher, body)
    assert answer["jsonrpc"] == "2.0"
    code: int = answer["error"]["code"]
    return code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}',
        b'{"jsonrpc":"2.0","id":NaN}',
        b"[" * 2000,
        b"[1,]",
        b'{"id":1} x',
    ],
)
@pytest.mark.parametrize("padding", [b"", PADDING], ids=["short", "long"])
async def test_text_that_is_no_json_is_a_parse_error(
    dispatcher: Dispatcher, body: bytes, padding: bytes
) -> None:
    assert await error_code(dispatcher, body + padding) == Code.PARSE_ERROR


@pytest.mark.parametrize(
    "body",
    [
        1,
        "system_name",
        None,
        {},
        [],
        {"jsonrpc": "2.0"},
        {"jsonrpc": "1.0", "id": 1, "method": "system_name"},
        {"jsonrpc": "2.0", "id": 1, "method": 1},
        {"jsonrpc": "2.0", "id": [1], "method": "system_name"},
        {"jsonrpc": "2.0", "id": 1.5, "method": "system_name"},
        {"jsonrpc": "2.0", "id": True, "method": "system_name"},
        {"jsonrpc": "2.0", "id": "x" * 1025, "method": "system_name"},
        {"jsonrpc": "2.0", "id": 1, "method": "system_name", "params": "x"},
    ],
)
async def test_json_that_is_no_request_is_an_invalid_request(
    dispatcher: Dispatcher, body: Any
) -> None:
    assert await error_code(dispatcher, body) == Code.INVALID_REQUEST
    assert await error_code(dispatcher, json.dumps(body).encode() + PADDING) == Code.INVALID_REQUEST


@pytest.mark.parametrize("identity", [1, 0, -5, 2**63, "a", "", None])
async def test_answer_carries_the_id_of_its_request(dispatcher: Dispatcher, identity: Any) -> None:
    answer = await ask(dispatcher, request("system_name", identity=identity))

    assert answer == {"jsonrpc": "2.0", "id": identity, "result": "LooPIN"}


async def test_last_of_duplicate_keys_counts(dispatcher: Dispatcher) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"id":2,"method":"x","method":"system_name"}'

    assert await ask(dispatcher, body) == {"jsonrpc": "2.0", "id": 2, "result": "LooPIN"}


async def test_unknown_method_is_not_found(dispatcher: Dispatcher) -> None:
    assert await error_code(dispatcher, request("no_such")) == Code.METHOD_NOT_FOUND


@pytest.mark.parametrize(
    "body",
    [
        {"jsonrpc": "2.0", "method": "system_name"},
        {"jsonrpc": "2.0", "method": "no_such"},
        {"jsonrpc": "2.0", "method": "state_getStorage"},
        {"jsonrpc": "2.0", "method": "state_call", "params": ["Core_none", "0x"]},
        [{"jsonrpc": "2.0", "method": "system_name"}] * 2,
        [{"jsonrpc": "2.0", "method": "author_submitExtrinsic", "params": ["0x00"]}],
    ],
)
async def test_notifications_are_never_answered(dispatcher: Dispatcher, body: Any) -> None:
    assert await ask(dispatcher, body) is None


async def test_notification_takes_effect() -> None:
    node = FakeNode()

    await ask(
        build_dispatcher(node),
        {"jsonrpc": "2.0", "method": "author_submitExtrinsic", "params": ["0x" + TRANSFER.hex()]},
    )

    assert list(node.waiting) == [TRANSFER]


@pytest.mark.parametrize("padding", [b"", PADDING], ids=["short", "long"])
async def test_batch_answers_each_call_and_no_notification(
    dispatcher: Dispatcher, padding: bytes
) -> None:
    batch = [
        request("system_name", identity="a"),
        {"jsonrpc": "2.0", "method": "system_name"},
        7,
        request("no_such", identity="b"),
        request("state_call", ["Core_echo", "0x01"], identity="c"),
    ]

    answers = await ask(dispatcher, json.dumps(batch).encode() + padding)

    assert [answer["id"] for answer in answers] == ["a", None, "b", "c"]
    assert answers[0]["result"] == "LooPIN"
    assert [answer["error"]["code"] for answer in answers[1:3]] == [-32600, -32601]
    assert answers[3]["result"] == "0x01"


async def test_submissions_of_a_batch_are_made_together_and_answered_in_order() -> None:
    node = FakeNode()
    count = BULK_LENGTH_MAX + 3
    batch = [
        request("author_submitExtrinsic", [f"0x{number:08x}"], number) for number in range(count)
    ]
    batch[5] = request("author_submitExtrinsic", ["0x" + UNPAID.hex()], 5)
    batch[6] = request("author_submitExtrinsic", ["bad"], 6)

    answers = await ask(build_dispatcher(node), batch)

    assert sorted(answer["id"] for answer in answers) == list(range(count))
    by_id = {answer["id"]: answer for answer in answers}
    assert by_id[5]["error"]["code"] == Code.POOL_INVALID
    assert by_id[6]["error"]["code"] == Code.INVALID_PARAMS
    assert by_id[7]["result"] != by_id[8]["result"]
    assert node.submissions == [BULK_LENGTH_MAX, 2]


async def test_bulk_calls_between_others_keep_their_effects_in_order() -> None:
    node = FakeNode()
    submit = request("author_submitExtrinsic", ["0x" + TRANSFER.hex()])

    answers = await ask(
        build_dispatcher(node), [submit, request("author_pendingExtrinsics", [], 2)]
    )

    by_id = {answer["id"]: answer["result"] for answer in answers}
    assert by_id[2] == ["0x" + TRANSFER.hex()]


async def test_batch_longer_than_allowed_is_refused_whole() -> None:
    dispatcher = build_dispatcher(FakeNode(), Limits(batch_length_max=3))
    batch = [request("system_name")] * 4

    assert await error_code(dispatcher, batch) == Code.BATCH_TOO_LONG
    assert await error_code(dispatcher, json.dumps(batch).encode() + PADDING) == Code.BATCH_TOO_LONG
    assert len(await ask(dispatcher, batch[:3])) == 3


async def test_answers_longer_than_allowed_are_replaced_by_an_error() -> None:
    dispatcher = odd_dispatcher(Limits(response_bytes_max=500))

    assert await error_code(dispatcher, request("odd_talk", [600])) == Code.RESPONSE_TOO_BIG
    batch = [request("odd_talk", [300])] * 2
    assert await error_code(dispatcher, batch) == Code.BATCH_RESPONSE_TOO_BIG


@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: b"[" + text + b"]"])
async def test_calls_that_would_hold_the_parser_are_refused(wrap: Any) -> None:
    dispatcher = build_dispatcher(FakeNode(), Limits(call_bytes_max=200_000, call_values_max=1000))
    many = json.dumps(request("system_name", ["x" * 100] * 1001)).encode()
    long = json.dumps(request("system_name", ["x" * 200_000])).encode()

    assert await error_code(dispatcher, wrap(many)) == Code.REQUEST_TOO_BIG
    assert await error_code(dispatcher, wrap(long)) == Code.REQUEST_TOO_BIG


async def test_bug_in_a_method_is_an_internal_error_and_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await ask(odd_dispatcher(), request("odd_break"))

    assert answer["error"] == {"code": -32603, "message": "Internal error"}
    assert "rpc_method_failed method=odd_break" in caplog.text


async def test_bug_in_a_bulk_method_is_an_internal_error_of_each_call() -> None:
    batch = [request("odd_say", ["break"], 1), request("odd_say", ["a"], 2)]

    answers = await ask(odd_dispatcher(), batch)

    assert [answer["error"]["code"] for answer in answers] == [-32603, -32603]
    assert await call(odd_dispatcher(), "odd_say", ["a"]) == "a"


async def test_call_that_takes_too_long_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    assert await error_code(odd_dispatcher(), request("odd_sleep")) == Code.SERVER_BUSY


async def test_calls_beyond_the_rate_are_refused_and_batches_count_whole() -> None:
    now = 0.0
    caller = Caller(meter=Bucket(rate=1, burst=3, clock=lambda: now))
    dispatcher = build_dispatcher(FakeNode())
    single = request("system_name")

    refused_batch = await ask(dispatcher, [single] * 4, caller)
    answers = [await ask(dispatcher, single, caller) for _ in range(4)]
    now = 2.0
    later = await ask(dispatcher, [single] * 2, caller)

    assert refused_batch["error"]["code"] == Code.RATE_LIMITED
    assert ["error" in answer for answer in answers] == [False, False, False, True]
    assert [answer["result"] for answer in later] == ["LooPIN", "LooPIN"]


async def test_long_batches_are_counted_call_by_call() -> None:
    caller = Caller(meter=Bucket(rate=1, burst=2, clock=lambda: 0.0))
    batch = json.dumps([request("system_name")] * 3).encode() + PADDING

    answers = await ask(build_dispatcher(FakeNode()), batch, caller)

    assert ["error" in answer for answer in answers] == [False, False, True]


async def test_subscriptions_need_a_connection_that_can_be_notified(
    dispatcher: Dispatcher,
) -> None:
    for name in ("chain_subscribeNewHeads", "chain_unsubscribeNewHeads"):
        answer = await ask(dispatcher, request(name, ["x"] if "un" in name else []))
        assert answer["error"]["code"] == Code.METHOD_NOT_FOUND
        assert "WebSocket" in answer["error"]["data"]


async def test_long_batch_lets_others_run_meanwhile(dispatcher: Dispatcher) -> None:
    batch = json.dumps([request("chain_getBlock")] * 5000).encode()
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count_turns)
        answer = await dispatcher.answer(batch, Caller())
        nursery.cancel_scope.cancel()

    assert len(orjson.loads(answer)) == 5000
    assert turns > 10


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["0x", "0x00", "0x" + "00" * 32, "2.0", "system_name", "0xzz", "00"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
FUZZED = build_dispatcher(FakeNode(), Limits(call_bytes_max=100_000))
"""One for all examples: to build one takes longer than to ask it."""
NAMES = sorted(FUZZED.served)
REQUESTS = st.fixed_dictionaries(
    {
        "jsonrpc": st.just("2.0") | JSON_VALUES,
        "method": st.sampled_from(NAMES) | st.text(max_size=9),
    },
    optional={"id": JSON_VALUES, "params": JSON_VALUES},
)


def check_is_answer(answer: Any) -> None:
    """Assert that a value is a response object of JSON-RPC 2.0."""
    assert answer["jsonrpc"] == "2.0"
    assert isinstance(answer["id"], str | int | None)
    if "error" in answer:
        assert set(answer) == {"jsonrpc", "id", "error"}
        assert isinstance(answer["error"]["code"], int)
        assert isinstance(answer["error"]["message"], str)
        assert answer["error"]["code"] != Code.INTERNAL_ERROR
    else:
        assert set(answer) == {"jsonrpc", "id", "result"}


def check_any_answer(body: bytes) -> None:
    """Assert that whatever comes back for ``body`` is JSON-RPC."""
    answer = trio.run(FUZZED.answer, body, Caller(is_trusted=True))
    if answer:
        parsed = json.loads(answer)
        for item in parsed if isinstance(parsed, list) else [parsed]:
            check_is_answer(item)


@given(REQUESTS | JSON_VALUES | st.lists(REQUESTS | JSON_VALUES, max_size=5), st.booleans())
def test_any_json_gets_a_json_rpc_answer(body: Any, is_long: bool) -> None:
    check_any_answer(json.dumps(body).encode() + (PADDING if is_long else b""))


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_get_a_json_rpc_answer(body: bytes, is_long: bool) -> None:
    check_any_answer(body + (PADDING if is_long else b""))


@given(
    st.integers(1, 60_000),
    st.sampled_from(
        [b"[", b'{"a":', b'"\\', b"\\", b"[[", b"1,", b"-", b"1e9", b'"\\u', b",", b"0x"]
    ),
    st.sampled_from([b"", b"[", b'{"jsonrpc":"2.0","id":1,"method":"system_name","params":']),
)
def test_monstrous_repetition_gets_a_json_rpc_answer(
    times: int, piece: bytes, start: bytes
) -> None:
    check_any_answer(start + piece * times)


@given(
    st.sampled_from(NAMES),
    st.lists(JSON_VALUES, max_size=5)
    | st.dictionaries(
        st.sampled_from(["key", "keys", "at", "blockHash", "count", "prefix", "extrinsic", "name"]),
        JSON_VALUES,
    ),
)
def test_any_parameters_of_any_method_get_an_answer(name: str, params: Any) -> None:
    check_any_answer(json.dumps(request(name, params)).encode())
