"""A wallet written from docs/wallets.md alone, against a running node."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from node.rpc.json_codecs import camel_case
from primitives.derivation import derive_key_pair
from primitives.ss58 import encode_address
from primitives.types import AccountId
from tests.interop.wallet import (
    Node,
    Types,
    Wallet,
    hash_header,
    pack,
    proven_hash,
    unhex,
)
from tests.node.cli.running import quick_spec, running_node

SCRIPT = Path(__file__).with_name("wallet.py")
BOB = derive_key_pair("//Bob")
CHARLIE = AccountId(derive_key_pair("//Charlie").public)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("node"), quick_spec()) as url:
        yield Node(url)


@pytest.fixture
def wallet(node: Node) -> Wallet:
    return Wallet(node, BOB.seed)


def receipts_of(node: Node, block: str) -> list[Any]:
    receipts: list[Any] = node.call("chain_getReceipts", block)
    return receipts


def test_the_wallet_imports_nothing_of_the_node() -> None:
    tree = ast.parse(SCRIPT.read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
        )
    }

    assert imported - set(sys.stdlib_module_names) == {"msgpack", "blake3", "nacl"}


def test_given_only_the_address_of_a_node_it_sends_and_reads(node: Node) -> None:
    to = encode_address(CHARLIE)

    done = subprocess.run(
        [sys.executable, SCRIPT, node.url, BOB.seed.hex(), to, "1500000000"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["error"] is None
    assert report["recipient"]["after"] - report["recipient"]["before"] == 1_500_000_000
    assert report["extrinsic"]["call"] == {
        "call": "balances.transfer",
        "recipient": "0x" + CHARLIE.hex(),
        "amount": 1_500_000_000,
    }
    assert report["events"] == [
        {
            "name": "balances.Transferred",
            "fields": {
                "sender": encode_address(AccountId(BOB.public)),
                "recipient": to,
                "amount": "1500000000",
            },
        }
    ]
    assert report["transferred_has"] == ["sender", "recipient", "amount"]


def test_calls_inside_calls_are_built_and_read(node: Node, wallet: Wallet) -> None:
    inner = wallet.build("balances.transfer_keep_alive", recipient=CHARLIE, amount=10**9)
    too_much = wallet.build("balances.transfer", recipient=CHARLIE, amount=2**64 - 1)
    found = wallet.send(wallet.build("utility.batch", calls=[inner, too_much]))

    shown = wallet.decode(unhex(found["extrinsic"]))["call"]
    assert [call["call"] for call in shown["calls"]] == [
        "balances.transfer_keep_alive",
        "balances.transfer",
    ]
    (receipt,) = [
        receipt
        for receipt in receipts_of(node, found["block"])
        if receipt["extrinsicIndex"] == found["extrinsicIndex"]
    ]
    interrupted = receipt["events"][-1]
    assert interrupted["name"] == "utility.BatchInterrupted"
    assert wallet.types.errors[interrupted["fields"]["error"]]


def test_a_header_is_hashed_and_a_value_proven_under_it(node: Node, wallet: Wallet) -> None:
    header = node.call("chain_getHeader", node.call("chain_getFinalizedHead"))
    lie = {**header, "stateRoot": "0x" + "00" * 32}

    assert hash_header(header) == unhex(header["hash"])
    assert wallet.prove("balances.free", AccountId(BOB.public), header) > 0
    assert wallet.prove("balances.free", AccountId(bytes(32)), header) == 0
    assert hash_header(lie) != unhex(header["hash"])


def test_a_value_or_a_proof_that_was_changed_is_refused(node: Node, wallet: Wallet) -> None:
    header = node.call("chain_getHeader", node.call("chain_getFinalizedHead"))
    key = unhex(wallet.types.storage["balances.free"]["prefix"]) + pack(bytes(BOB.public))
    answer = node.call("state_getReadProof", ["0x" + key.hex()], header["hash"])
    proof = bytearray(unhex(answer["proof"][0]))
    proof[-1] ^= 1

    with pytest.raises(ValueError, match="does not lead"):
        proven_hash(unhex(header["stateRoot"]), key, bytes(proof))


def test_every_event_of_the_chain_has_the_fields_that_the_metadata_names(
    node: Node, wallet: Wallet
) -> None:
    found = wallet.send(wallet.build("proxy.add_proxy", delegate=CHARLIE, kind=0, delay=0))
    names = set()
    for number in range(int(found["number"]) + 1):
        for receipt in receipts_of(node, node.call("chain_getBlockHash", number)):
            for event in receipt["events"]:
                names.add(event["name"])
                fields = wallet.types.events[event["name"]]
                assert list(event["fields"]) == [camel_case(field["name"]) for field in fields]

    assert {"balances.Transferred", "fees.FeesShared", "proxy.DelegateAdded"} <= names


def test_every_key_and_value_of_the_state_is_read_by_the_metadata(node: Node) -> None:
    types = Types(node.call("state_getMetadata"))
    seen: dict[str, int] = {}
    for name, item in types.storage.items():
        for key in node.call("state_getKeysPaged", item["prefix"], 1000):
            rest = unhex(key)[len(unhex(item["prefix"])) :]
            if "key" in item:
                types.check(item["key"], msgpack.unpackb(rest))
            elif rest:
                continue  # a longer name that begins with this one
            types.check(item["value"], msgpack.unpackb(unhex(node.call("state_getStorage", key))))
            seen[name] = seen.get(name, 0) + 1

    assert seen["balances.free"] >= 3
    assert sum(seen.values()) == len(node.call("state_getKeysPaged", "0x", 1000))


def test_what_does_not_fit_is_refused_before_it_is_signed(wallet: Wallet) -> None:
    for arguments in (
        {"recipient": CHARLIE, "amount": -1},
        {"recipient": CHARLIE, "amount": 2**64},
        {"recipient": CHARLIE[:-1], "amount": 1},
        {"recipient": CHARLIE, "amount": 1, "memo": "hello"},
    ):
        with pytest.raises(ValueError, match=r"is no|no argument"):
            wallet.build("balances.transfer", **arguments)
