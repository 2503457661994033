"""What a lying or broken node answers is refused, whatever it is."""

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.presets import dev_spec
from node.client.answers import read_header
from node.client.endpoint import Endpoint
from node.client.errors import BadAnswer
from node.client.metadata import Metadata
from node.client.node_client import NodeClient
from node.client.wallet import (
    IncompatibleChain,
    NotIncluded,
    Terms,
    find_inclusion,
    sign,
    submit_and_follow,
)
from node.rpc.addresses import Ss58Addresses
from primitives.block import Header
from primitives.codec import encode
from primitives.crypto import KeyPair
from primitives.ss58 import encode_address
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Millis,
    Nonce,
    StorageKey,
    View,
)
from runtime.metadata import describe_runtime
from tests.node.client.serving import read_request, serving

ZERO = "0x" + "00" * 32
PROPERTIES = {"tokenSymbol": "LOOP", "tokenDecimals": 9, "ss58Format": 42}
METADATA = describe_runtime(dev_spec().runtime)
ADDRESSES = Ss58Addresses(42)
HEADER = Header(
    parent_hash=Digest(bytes(32)),
    height=Height(7),
    view=View(9),
    epoch=Epoch(0),
    timestamp=Millis(1_800_000_000_000),
    author=AccountId(bytes(32)),
    state_root=Digest(bytes(32)),
    extrinsics_root=Digest(bytes(32)),
    receipts_root=Digest(bytes(32)),
    vrf_proof=bytes(80),
)
SHOWN: dict[str, Any] = {
    "hash": "0x" + HEADER.hash.hex(),
    "parentHash": ZERO,
    "number": 7,
    "view": 9,
    "epoch": 0,
    "timestamp": 1_800_000_000_000,
    "author": encode_address(AccountId(bytes(32))),
    "stateRoot": ZERO,
    "extrinsicsRoot": ZERO,
    "receiptsRoot": ZERO,
    "vrfProof": "0x" + "00" * 80,
}
RECEIPT: dict[str, Any] = {"error": None, "fee": "5", "events": []}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["name", "type", "of", "fields", "modules", "calls", "events", "storage",
                         "arguments", "prefix", "key", "value", "number", "hash", "author"]),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


def asked(answers: dict[str, Any], question: Callable[[NodeClient], object]) -> object:
    """Return what ``question`` makes of a node that gives these answers by method."""

    def handle(connection: socket.socket) -> None:
        while True:
            try:
                method = orjson.loads(read_request(connection))["method"]
            except (OSError, ValueError):
                return
            body = orjson.dumps({"result": {"system_properties": PROPERTIES, **answers}[method]})
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with serving(handle) as url, NodeClient(Endpoint.parse(url)) as client:
        return question(client)


def test_header_is_taken_with_its_hash() -> None:
    known: Any = asked({"chain_getHeader": SHOWN}, lambda client: client.header(HEADER.hash))

    assert known.header == HEADER


@pytest.mark.parametrize("part", [part for part in SHOWN if part != "author"])
def test_header_that_does_not_have_its_hash_is_refused(part: str) -> None:
    value = SHOWN[part]
    changed = value + 1 if isinstance(value, int) else value[:-1] + "1"

    with pytest.raises(BadAnswer):
        asked({"chain_getHeader": {**SHOWN, part: changed}}, NodeClient.header)


def test_header_of_another_block_is_refused() -> None:
    with pytest.raises(BadAnswer):
        asked({"chain_getHeader": SHOWN}, lambda client: client.header(Digest(bytes(32))))


def test_block_that_the_node_named_must_exist() -> None:
    with pytest.raises(BadAnswer):
        asked({"chain_getHeader": None}, NodeClient.header)


@pytest.mark.parametrize(
    "wrong",
    [{"tokenDecimals": 99}, {"ss58Format": 99999}, {"tokenSymbol": 5}, {"tokenDecimals": -1}],
)
def test_properties_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        asked({"system_properties": {**PROPERTIES, **wrong}}, lambda client: client.token)


@pytest.mark.parametrize("value", ["0x", "0xc3", "0x" + "ff" * 9, "0xzz", 5])
def test_balance_that_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(BadAnswer):
        asked({"state_getStorage": value}, lambda client: client.balance(AccountId(bytes(32))))


@pytest.mark.parametrize("keys", ["0x", ["0x00"], ["0x" + (b"x" * 60).hex()], [7]])
def test_holds_that_are_none_are_refused(keys: object) -> None:
    with pytest.raises(BadAnswer):
        asked(
            {"state_getKeysPaged": keys, "state_getStorage": "0x05"},
            lambda client: client.held(AccountId(bytes(32)), Digest(bytes(32))),
        )


@pytest.mark.parametrize("answer", [{}, {"proof": []}, {"proof": ["0x", "0x"]}, {"proof": [1]}])
def test_read_proof_is_one(answer: object) -> None:
    with pytest.raises(BadAnswer):
        asked(
            {"state_getReadProof": answer},
            lambda client: client.read_proof(StorageKey(b"k"), Digest(bytes(32))),
        )


def test_extrinsic_must_be_in_the_block_that_is_said_to_hold_it() -> None:
    answers = {
        "chain_getBlock": {"header": SHOWN, "extrinsics": ["0x01"]},
        "chain_getReceipts": [RECEIPT, RECEIPT, RECEIPT],
    }

    found: Any = asked(answers, lambda client: find_inclusion(client, b"\x01", HEADER.hash))

    assert (found.position, found.fee) == (0, 5)
    with pytest.raises(BadAnswer):
        asked(answers, lambda client: find_inclusion(client, b"\x02", HEADER.hash))
    fewer = {**answers, "chain_getReceipts": [RECEIPT]}
    with pytest.raises(BadAnswer):
        asked(fewer, lambda client: find_inclusion(client, b"\x01", HEADER.hash))


@pytest.mark.parametrize(
    ("part", "value"), [("version", 2), ("signing_prefix", ZERO), ("hash_key", None)]
)
def test_chain_that_signs_in_another_way_gets_no_signature(part: str, value: object) -> None:
    described = {**METADATA["extrinsic"], part: value}
    answers = {"state_getMetadata": {**METADATA, "extrinsic": described}}
    terms = Terms(Nonce(0), Height(9), Balance(0))

    with pytest.raises(IncompatibleChain):
        asked(answers, lambda client: sign(client, KeyPair(bytes(32)), ["system.remark"], terms))


class Told:
    """A client whose subscription tells prepared statuses."""

    def __init__(self, *statuses: object) -> None:
        self._statuses = statuses

    def subscribe(self, method: str, *parameters: object) -> "Told":
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def notifications(self) -> object:
        yield from self._statuses


def follow(*statuses: object) -> list[tuple[str, str]]:
    told: Any = Told(*statuses)
    return list(submit_and_follow(told, b""))


def test_statuses_are_told_until_the_extrinsic_is_final() -> None:
    told = follow("ready", {"inBlock": ZERO}, {"finalized": ZERO}, "never reached")

    assert told == [("ready", ""), ("inBlock", ZERO), ("finalized", ZERO)]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"usurped": ZERO}, "replaced"),
        ({"dropped": "AccountFull"}, "AccountFull"),
        ({"invalid": "Expired: 9"}, "Expired"),
    ],
)
def test_extrinsic_that_will_never_be_included_says_why(status: object, said: str) -> None:
    with pytest.raises(NotIncluded, match=said):
        follow("ready", status)


@pytest.mark.parametrize(
    "status", [7, {}, {"inBlock": ZERO, "finalized": ZERO}, {"inBlock": "0x"}, {"dropped": 1}]
)
def test_status_that_is_none_is_refused(status: object) -> None:
    with pytest.raises(BadAnswer):
        follow(status)


def test_metadata_of_the_runtime_describes_its_calls() -> None:
    metadata = Metadata.parse(METADATA)

    shown: Any = metadata.show_call(
        ["utility.batch", [["balances.transfer", bytes(32), 5], ["system.remark", b"\x01"]]],
        ADDRESSES,
    )

    inner = shown["arguments"]["calls"]
    assert inner[0]["call"] == "balances.transfer"
    assert inner[0]["arguments"]["amount"] == "5"


@pytest.mark.parametrize(
    "call", [[], 5, [5], ["no.such", 1], ["balances.transfer"], ["balances.transfer", 1, 2, 3]]
)
def test_call_that_the_metadata_does_not_know_is_shown_raw(call: Any) -> None:
    assert Metadata.parse(METADATA).show_call(call, ADDRESSES) is not None


@given(document=JSON)
def test_any_metadata_is_read_or_refused(document: Any) -> None:
    call = {"name": "m.c", "arguments": [document]}
    module = {"name": "m", "calls": [call], "events": [], "storage": []}
    candidates: list[Any] = [document, {"modules": [document]}, {"modules": [module]}]
    for candidate in candidates:
        try:
            metadata = Metadata.parse(candidate)
        except BadAnswer:
            continue
        metadata.show_call(["m.c", [1, b"x", [2]]], ADDRESSES)


@given(document=JSON, part=st.sampled_from(list(SHOWN)))
def test_any_header_is_read_or_refused(document: Any, part: str) -> None:
    for candidate in (document, {**SHOWN, part: document}):
        try:
            header = read_header(candidate, 42)
        except BadAnswer:
            continue
        assert encode([header.height])
        assert replace(header) == header
