"""Every method: what it answers, and which parameter it says is bad."""

from typing import Any

import pytest
import trio

from node.rpc.assembly import build_dispatcher
from node.rpc.dispatcher import Caller, Dispatcher
from node.rpc.limits import Limits
from primitives.crypto import Purpose, keyed_hash
from primitives.ss58 import encode_address
from primitives.types import StorageKey
from tests.node.rpc.calling import call, fail
from tests.node.rpc.fake_node import (
    ALICE,
    BOB,
    FINAL,
    GARBLED,
    KEY,
    NODE_KEY,
    TRANSFER,
    UNPAID,
    VALUE,
    FakeNode,
    digest,
)

TRUSTED = Caller(is_trusted=True)
UNKNOWN = "0x" + "ee" * 32
PLAIN_RESULTS = {
    "system_name": "LooPIN",
    "system_version": "0.1.0",
    "system_chain": "Development",
    "system_chainType": "Development",
    "system_properties": {"ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "LOOP"},
    "system_health": {"peers": 2, "isSyncing": False, "shouldHavePeers": True},
    "system_localPeerId": "12D3KooWExample",
    "system_localListenAddresses": ["/ip4/127.0.0.1/tcp/30333"],
    "system_nodeRoles": ["Authority"],
    "system_syncState": {"startingBlock": 0, "currentBlock": 4, "highestBlock": 4},
    "state_getMetadata": {"modules": []},
    "author_pendingExtrinsics": [],
    "state_getRuntimeVersion": {
        "specName": "loopin",
        "specVersion": 3,
        "transactionVersion": 1,
        "implName": "loopin-py",
        "implVersion": "0.1.0",
    },
}


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def dispatcher(node: FakeNode) -> Dispatcher:
    return build_dispatcher(node)


@pytest.mark.parametrize("method", PLAIN_RESULTS)
async def test_method_without_parameters_answers(dispatcher: Dispatcher, method: str) -> None:
    assert await call(dispatcher, method) == PLAIN_RESULTS[method]


async def test_next_index_takes_an_address_by_name_or_position(dispatcher: Dispatcher) -> None:
    alice = encode_address(ALICE)

    assert await call(dispatcher, "system_accountNextIndex", [alice]) == 7
    assert await call(dispatcher, "system_accountNextIndex", {"account": alice}) == 7
    assert await call(dispatcher, "account_nextIndex", [hexed(BOB)]) == 0


@pytest.mark.parametrize(
    "account",
    [
        "5Grw",
        "",
        7,
        None,
        "0x00",
        encode_address(ALICE, 0),
        encode_address(ALICE)[:-1] + "1",
        "x" * 5000,
        ["a"],
    ],
)
async def test_next_index_refuses_what_is_no_address_here(
    dispatcher: Dispatcher, account: Any
) -> None:
    error = await fail(dispatcher, "system_accountNextIndex", [account])

    assert error["code"] == -32602
    assert error["data"]["parameter"] == "account"


async def test_peers_are_told_to_trusted_callers_only(
    dispatcher: Dispatcher, node: FakeNode
) -> None:
    peers = await call(dispatcher, "system_peers", caller=TRUSTED)
    error = await fail(dispatcher, "system_peers")

    best = hexed(node.best_hash())
    assert peers == [
        {"peerId": "12D3KooWOther", "roles": "Authority", "bestHash": best, "bestNumber": 4}
    ]
    assert error["code"] == -32601
    assert error["message"] == "RPC call is unsafe to be called externally"


async def test_header_of_a_hash_or_of_the_best_block(
    dispatcher: Dispatcher, node: FakeNode
) -> None:
    first = await call(dispatcher, "chain_getHeader", [hexed(node.blocks[0].hash)])
    best = await call(dispatcher, "chain_getHeader")

    assert first == {
        "hash": hexed(node.blocks[0].hash),
        "parentHash": hexed(digest(0)),
        "number": 0,
        "view": 1,
        "epoch": 0,
        "timestamp": 1_700_000_000_000,
        "author": encode_address(ALICE),
        "stateRoot": hexed(digest(7)),
        "extrinsicsRoot": hexed(digest(8)),
        "receiptsRoot": hexed(digest(9)),
        "vrfProof": hexed(b"\x01" * 80),
    }
    assert best["number"] == 4
    assert await call(dispatcher, "chain_getHeader", [UNKNOWN]) is None


async def test_block_is_header_extrinsics_and_hash(dispatcher: Dispatcher, node: FakeNode) -> None:
    block = await call(dispatcher, "chain_getBlock", {"blockHash": hexed(node.blocks[2].hash)})

    assert block["hash"] == hexed(node.blocks[2].hash)
    assert block["header"]["number"] == 2
    assert block["extrinsics"] == [hexed(TRANSFER)]
    assert await call(dispatcher, "chain_getBlock", [UNKNOWN]) is None


async def test_block_hash_of_a_number_in_decimal_or_hex(
    dispatcher: Dispatcher, node: FakeNode
) -> None:
    second = hexed(node.blocks[2].hash)

    assert await call(dispatcher, "chain_getBlockHash", [2]) == second
    assert await call(dispatcher, "chain_getBlockHash", ["0x02"]) == second
    assert await call(dispatcher, "chain_getBlockHash", [99]) is None
    assert await call(dispatcher, "chain_getHead") == hexed(node.best_hash())


@pytest.mark.parametrize("number", [-1, 2**64, 1.5, "2", "0x", "0xg", True, [1], {}])
async def test_block_hash_refuses_what_is_no_number(dispatcher: Dispatcher, number: Any) -> None:
    error = await fail(dispatcher, "chain_getBlockHash", [number])

    assert (error["code"], error["data"]["parameter"]) == (-32602, "blockNumber")


async def test_finality_is_shown_by_head_and_certificate(
    dispatcher: Dispatcher, node: FakeNode
) -> None:
    final = hexed(node.blocks[FINAL].hash)

    assert await call(dispatcher, "chain_getFinalizedHead") == final
    shown = {"block": final, "certificate": hexed(b"certificate")}
    assert await call(dispatcher, "chain_getFinalization") == shown
    assert await call(dispatcher, "chain_getFinalization", [hexed(node.best_hash())]) is None


async def test_receipts_are_decoded_by_the_metadata(dispatcher: Dispatcher) -> None:
    before, transfer, after = await call(dispatcher, "chain_getReceipts")

    assert (before["phase"], before["error"], before["extrinsicIndex"]) == (
        "beginBlock",
        None,
        None,
    )
    assert transfer == {
        "phase": "applyExtrinsic",
        "extrinsicIndex": 0,
        "error": "balances.InsufficientBalance",
        "fee": str(2**60),
        "weight": 20,
        "events": [
            {
                "name": "balances.Transferred",
                "fields": {
                    "sender": encode_address(ALICE),
                    "recipientAccount": encode_address(BOB),
                    "amount": str(2**60),
                },
            }
        ],
    }
    assert after["phase"] == "endBlock"
    assert await call(dispatcher, "chain_getReceipts", [UNKNOWN]) is None


@pytest.mark.parametrize(
    "method",
    ["chain_getHeader", "chain_getBlock", "chain_getFinalization", "chain_getReceipts"],
)
@pytest.mark.parametrize("block", ["0x", "0x12", "ee" * 32, "0x" + "ee" * 33, 5, "0x" + "zz" * 32])
async def test_block_methods_refuse_what_is_no_hash(
    dispatcher: Dispatcher, method: str, block: Any
) -> None:
    error = await fail(dispatcher, method, [block])

    assert (error["code"], error["data"]["parameter"]) == (-32602, "blockHash")


async def test_storage_is_read_by_key(dispatcher: Dispatcher, node: FakeNode) -> None:
    key, best = hexed(KEY), hexed(node.best_hash())

    assert await call(dispatcher, "state_getStorage", [key]) == hexed(VALUE)
    assert await call(dispatcher, "state_getStorage", [key, best]) == hexed(VALUE)
    assert await call(dispatcher, "state_getStorageAt", [key, None]) == hexed(VALUE)
    assert await call(dispatcher, "state_getStorage", ["0x00"]) is None
    assert await call(dispatcher, "state_getStorageSize", [key]) == 1
    assert await call(dispatcher, "state_getStorageSize", ["0x00"]) is None
    value_hash = hexed(keyed_hash(Purpose.STATE_VALUE, VALUE))
    assert await call(dispatcher, "state_getStorageHash", [key]) == value_hash
    assert await call(dispatcher, "state_getStorageHash", ["0x00"]) is None


async def test_keys_come_in_pages(dispatcher: Dispatcher, node: FakeNode) -> None:
    node.state = {StorageKey(b"a.%d" % number): b"" for number in range(5)}

    first = await call(dispatcher, "state_getKeysPaged", [hexed(b"a."), 3])
    rest = await call(dispatcher, "state_getKeysPaged", [hexed(b"a."), 3, first[-1]])

    assert first == [hexed(b"a.%d" % number) for number in range(3)]
    assert rest == [hexed(b"a.%d" % number) for number in (3, 4)]
    error = await fail(dispatcher, "state_getKeysPaged", ["0x", 1001])
    assert error["data"]["parameter"] == "count"


async def test_several_keys_are_read_at_one_block(dispatcher: Dispatcher, node: FakeNode) -> None:
    best = hexed(node.best_hash())

    sets = await call(dispatcher, "state_queryStorageAt", [[hexed(KEY), "0x00"]])

    assert sets == [{"block": best, "changes": [[hexed(KEY), hexed(VALUE)], ["0x00", None]]}]


async def test_read_proof_has_one_proof_for_each_key(
    dispatcher: Dispatcher, node: FakeNode
) -> None:
    proof = await call(dispatcher, "state_getReadProof", [[hexed(KEY), "0x00"]])

    assert proof == {
        "at": hexed(node.best_hash()),
        "proof": [hexed(b"proof of " + KEY), hexed(b"proof of \0")],
    }
    error = await fail(dispatcher, "state_getReadProof", [["0x00"] * 257])
    assert error["data"]["parameter"] == "keys"


@pytest.mark.parametrize("keys", ["0x00", [5], ["00"], ["0x0"], ["0x0 0"], ["0x00"] * 1025, {}])
async def test_key_lists_are_checked(dispatcher: Dispatcher, keys: Any) -> None:
    error = await fail(dispatcher, "state_queryStorageAt", {"keys": keys})

    assert (error["code"], error["data"]["parameter"]) == (-32602, "keys")


async def test_runtime_is_called_read_only(dispatcher: Dispatcher) -> None:
    assert await call(dispatcher, "state_call", ["Core_echo", "0xbeef"]) == "0xbeef"
    error = await fail(dispatcher, "state_call", ["Core_none", "0x"])
    assert (error["code"], error["data"]) == (-32000, "UnknownCall: Core_none")


@pytest.mark.parametrize(
    "method, params",
    [
        ("state_getStorage", ["0x00", UNKNOWN]),
        ("state_getKeysPaged", ["0x", 1, None, UNKNOWN]),
        ("state_getReadProof", [["0x00"], UNKNOWN]),
        ("state_queryStorageAt", [["0x00"], UNKNOWN]),
        ("state_getRuntimeVersion", [UNKNOWN]),
        ("state_getMetadata", [UNKNOWN]),
        ("state_call", ["Core_echo", "0x", UNKNOWN]),
        ("payment_queryInfo", ["0x00", UNKNOWN]),
    ],
)
async def test_state_of_an_unknown_block_is_a_told_error(
    dispatcher: Dispatcher, method: str, params: list[Any]
) -> None:
    error = await fail(dispatcher, method, params)

    assert error["code"] == -32000
    assert error["data"].startswith("UnknownBlock: eeee")


async def test_pruned_state_is_a_told_error(dispatcher: Dispatcher, node: FakeNode) -> None:
    error = await fail(dispatcher, "state_getStorage", ["0x00", hexed(node.blocks[0].hash)])

    assert error["data"].startswith("StatePruned: ")


async def test_extrinsic_is_submitted_and_waits(dispatcher: Dispatcher, node: FakeNode) -> None:
    submitted = await call(dispatcher, "author_submitExtrinsic", [hexed(TRANSFER)])

    assert submitted == hexed(keyed_hash(Purpose.EXTRINSIC, TRANSFER))
    assert await call(dispatcher, "author_pendingExtrinsics") == [hexed(TRANSFER)]


@pytest.mark.parametrize(
    "extrinsic, code, data",
    [
        (GARBLED, 1001, "DecodeError: truncated"),
        (UNPAID, 1010, "Unpaid: 5"),
        (TRANSFER, 1013, f"AlreadyKnown: {TRANSFER.hex()}"),
    ],
)
async def test_refused_extrinsic_gets_the_code_that_wallets_know(
    dispatcher: Dispatcher, node: FakeNode, extrinsic: bytes, code: int, data: str
) -> None:
    node.waiting[TRANSFER] = digest(1)

    error = await fail(dispatcher, "author_submitExtrinsic", [hexed(extrinsic)])

    assert (error["code"], error["data"]) == (code, data)


async def test_keystore_answers_trusted_callers_only(dispatcher: Dispatcher) -> None:
    key = [hexed(NODE_KEY), "cons"]

    assert await call(dispatcher, "author_rotateKeys", [hexed(BOB)], TRUSTED) == hexed(
        NODE_KEY + BOB
    )
    assert await call(dispatcher, "author_hasKey", key, TRUSTED) is True
    assert await call(dispatcher, "author_hasKey", [hexed(ALICE), "cons"], TRUSTED) is False
    assert (await fail(dispatcher, "author_rotateKeys", [hexed(BOB)]))["code"] == -32601
    assert (await fail(dispatcher, "author_hasKey", key))["code"] == -32601
    bad = await fail(dispatcher, "author_hasKey", ["0x00", "cons"], TRUSTED)
    assert bad["data"]["parameter"] == "publicKey"


async def test_fee_is_told_before_an_extrinsic_is_sent(dispatcher: Dispatcher) -> None:
    info = await call(dispatcher, "payment_queryInfo", [hexed(TRANSFER)])

    assert info == {"weight": 20, "length": len(TRANSFER), "partialFee": str(2**60)}
    assert (await fail(dispatcher, "payment_queryInfo", [hexed(GARBLED)]))["code"] == 1001


async def test_every_parameter_of_every_method_is_named_when_it_is_bad(
    dispatcher: Dispatcher,
) -> None:
    for name, method in dispatcher.served.items():
        for parameter in method.parameters:
            error = await fail(dispatcher, name, {parameter.name: {"a": []}}, TRUSTED)
            if method.needs_websocket:
                assert error["code"] == -32601
                continue
            assert error["code"] == -32602, name
            first_required = next((p.name for p in method.parameters if p.required), None)
            assert error["data"]["parameter"] in {parameter.name, first_required}, name


async def test_missing_and_unknown_and_surplus_parameters_are_refused(
    dispatcher: Dispatcher,
) -> None:
    missing = await fail(dispatcher, "state_getStorage")
    unknown = await fail(dispatcher, "state_getStorage", {"key": "0x", "block": 1})
    surplus = await fail(dispatcher, "system_name", [1])

    assert missing["data"] == {"parameter": "key", "reason": "is required"}
    assert unknown["data"]["parameter"] == "block"
    assert surplus["data"] == {"reason": "at most 0 parameters, 1 given"}


async def test_methods_lists_every_name_that_answers(dispatcher: Dispatcher) -> None:
    methods = (await call(dispatcher, "rpc_methods"))["methods"]

    assert methods == sorted(methods)
    assert {"chain_getBlock", "chain_getHead", "chain_unsubscribeNewHeads"} <= set(methods)
    for name in methods:
        error = await fail(dispatcher, name, ["bad", "bad", "bad", "bad", "bad"], TRUSTED)
        assert error["message"] != "Method not found" or "WebSocket" in error["data"]


async def test_lists_that_would_make_too_long_an_answer_are_given_up_early() -> None:
    node = FakeNode()
    block = node.add_block(tuple(b"%d" % number for number in range(1000)))
    node.waiting = dict.fromkeys(block.extrinsics, digest(1))
    dispatcher = build_dispatcher(node, Limits(response_bytes_max=2000))

    for method in ("chain_getBlock", "author_pendingExtrinsics"):
        assert (await fail(dispatcher, method))["code"] == -32008


async def test_receipts_of_a_full_block_let_others_run_meanwhile() -> None:
    node = FakeNode()
    node.receipts_per_block = 5000
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count_turns)
        receipts = await call(build_dispatcher(node), "chain_getReceipts")
        nursery.cancel_scope.cancel()

    assert len(receipts) == 5000
    assert turns > 5


async def test_evidence_is_listed_as_it_is_reported(dispatcher: Dispatcher) -> None:
    assert await call(dispatcher, "consensus_evidence") == [
        {
            "offence": "double_notarize",
            "epoch": 3,
            "view": 5,
            "signer": 1,
            "evidence": hexed(b"two votes"),
        }
    ]
