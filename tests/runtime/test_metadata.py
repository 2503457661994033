"""Metadata: a wallet that has read nothing but the JSON builds and reads everything.

``Wallet`` knows MessagePack and the words of the metadata. It imports nothing of the chain.
"""

import json
from dataclasses import fields, replace
from typing import Any

import msgpack
import pytest
from blake3 import blake3

from chain.equivocation import JUDGE
from primitives.crypto import KeyPair
from primitives.power_table import PowerTable
from primitives.types import AccountId, Digest, Epoch, SpecVersion
from runtime.annotations import field_codecs
from runtime.executive import ReadyExtrinsic
from runtime.metadata import describe_runtime
from runtime.module import Context, Event, Module
from runtime.multisig import hash_call, multisig_account
from runtime.overlay import Overlay
from runtime.queries import QUERIES
from runtime.runtime import CALLS, MODULES, Runtime
from tests.runtime.small_chain import (
    ALICE,
    BOB,
    CHARLIE,
    LOOP,
    SPEC,
    SmallChain,
    decode_call,
    event_names,
)

GENESIS = Digest(bytes([5]) * 32)
INTEGERS = {
    "u8": (0, 2**8 - 1),
    "u16": (0, 2**16 - 1),
    "u32": (0, 2**32 - 1),
    "u64": (0, 2**64 - 1),
    "i64": (-(2**63), 2**63 - 1),
    "amount": (0, 2**64 - 1),
}


class Wallet:
    """Builds and reads values by their descriptions."""

    def __init__(self, text: str) -> None:
        self.metadata = json.loads(text)
        modules = self.metadata["modules"]
        self.calls = {call["name"]: call for module in modules for call in module["calls"]}
        self.events = {event["name"]: event for module in modules for event in module["events"]}
        self.errors = {error["name"] for module in modules for error in module["errors"]}
        self.errors |= {error["name"] for error in self.metadata["errors"]}
        self.storage = {
            f"{module['name']}.{item['name']}": item
            for module in modules
            for item in module["storage"]
        }

    def check(self, kind: dict[str, Any], value: Any) -> None:
        """Assert that ``value`` is one that ``kind`` describes."""
        match kind["type"]:
            case "bool":
                assert isinstance(value, bool)
            case "text":
                assert len(value.encode()) <= kind["length_max"]
            case "bytes" | "account" | "digest" | "public key" | "signature":
                assert isinstance(value, bytes)
                shortest = kind.get("length", 0)
                assert shortest <= len(value) <= kind.get("length_max", shortest)
            case "option":
                self.check_all(*([], []) if value is None else ([kind["of"]], [value]))
            case "list":
                assert len(value) <= kind["length_max"]
                self.check_all([kind["of"]] * len(value), value)
            case "tuple":
                self.check_all(kind["of"], value)
            case "struct":
                self.check_all(kind["fields"], value)
            case "call":
                self.check_call(value)
            case integer:
                low, high = INTEGERS[integer]
                assert isinstance(value, int)
                assert low <= value <= high

    def check_all(self, kinds: list[dict[str, Any]], values: list[Any]) -> None:
        for kind, value in zip(kinds, values, strict=True):
            self.check(kind, value)

    def check_call(self, value: Any) -> None:
        name, *arguments = value
        self.check_all(self.calls[name]["arguments"], arguments)

    def example(self, kind: dict[str, Any]) -> Any:
        """Return some value of ``kind``."""
        match kind["type"]:
            case "bool":
                return True
            case "text":
                return "x" * kind["length_max"]
            case "bytes" | "account" | "digest" | "public key" | "signature":
                return b"\x07" * kind.get("length", kind.get("length_max", 0))
            case "option":
                return self.example(kind["of"])
            case "list":
                return [self.example(kind["of"])] * min(2, kind["length_max"])
            case "tuple":
                return [self.example(part) for part in kind["of"]]
            case "struct":
                return [self.example(part) for part in kind["fields"]]
            case "call":
                return ["system.remark", b"hello"]
            case integer:
                return INTEGERS[integer][1]

    def sign(self, pair: KeyPair, nonce: int, call: list[Any]) -> bytes:
        """Return a signed extrinsic."""
        self.check_call(call)
        rules = self.metadata["extrinsic"]
        values = [rules["version"], bytes(pair.public), nonce, 2**64 - 1, 0, call, bytes(64)]
        for kind, value in zip(rules["fields"], values, strict=True):
            self.check(kind, value)
        blank = pack(values)
        version = self.metadata["spec_version"].to_bytes(4, "big")
        payload = unhex(rules["signing_prefix"]) + GENESIS + version + blank[:-66]
        return pack([*values[:-1], bytes(pair.sign(payload))])

    def storage_key(self, name: str, key: Any = None) -> bytes:
        item = self.storage[name]
        if "key" not in item:
            return unhex(item["prefix"])
        self.check(item["key"], key)
        return unhex(item["prefix"]) + pack(key)

    def read(self, name: str, data: bytes | None) -> Any:
        item = self.storage[name]
        value = msgpack.unpackb(unhex(item["default"]) if data is None else data)
        self.check(item["value"], value)
        return value


def pack(value: Any) -> bytes:
    packed = msgpack.packb(value)
    assert isinstance(packed, bytes)
    return packed


def unhex(text: str) -> bytes:
    assert text.startswith("0x")
    return bytes.fromhex(text[2:])


@pytest.fixture(scope="module")
def wallet() -> Wallet:
    return Wallet(json.dumps(describe_runtime(SPEC.runtime)))


def test_a_wallet_builds_every_call(wallet: Wallet) -> None:
    pair = KeyPair(bytes(32))
    assert set(wallet.calls) == set(CALLS.entries)
    for name, described in wallet.calls.items():
        call = [name, *(wallet.example(argument) for argument in described["arguments"])]

        ready = ReadyExtrinsic.decode(wallet.sign(pair, 3, call))

        assert ready.call.name == name
        assert msgpack.unpackb(pack(ready.call.to_plain())) == msgpack.unpackb(pack(call))
        assert described["number"] == CALLS.entries[name].number
        assert described["is_inherent"] == (name in wallet.metadata["extrinsic"]["inherents"])
        assert described["docs"]


def test_a_call_the_wallet_signed_is_made(wallet: Wallet) -> None:
    chain = SmallChain()
    pair = KeyPair(bytes(31) + b"\x01")
    chain.call(ALICE, "balances.transfer", pair.public, 50 * LOOP)
    encoded = wallet.sign(pair, 0, ["balances.transfer", BOB, LOOP])
    execution = chain.start()

    receipt = execution.apply(ReadyExtrinsic.decode(encoded))

    assert receipt.error == ""
    (event,) = receipt.events
    assert isinstance(event, list)
    name, *values = event
    assert isinstance(name, str)
    for kind, value in zip(wallet.events[name]["fields"], values, strict=True):
        wallet.check(kind, value)
    assert values == [pair.public, BOB, LOOP]


def test_a_wallet_verifies_what_the_chain_hashes(wallet: Wallet) -> None:
    hashes = wallet.metadata["hashes"]
    call = ["balances.transfer", BOB, LOOP]
    members = sorted([ALICE, BOB, CHARLIE])

    def keyed(name: str, data: bytes) -> bytes:
        return blake3(data, key=unhex(hashes[name]["key"])).digest()

    assert keyed("call", pack(call)) == hash_call(decode_call(call))
    assert keyed("multisig_account", pack([members, 2])) == multisig_account(tuple(members), 2)
    encoded = wallet.sign(KeyPair(bytes(32)), 0, call)
    key = unhex(wallet.metadata["extrinsic"]["hash_key"])
    assert blake3(encoded, key=key).digest() == ReadyExtrinsic.decode(encoded).extrinsic.hash


def test_a_wallet_reads_every_event(wallet: Wallet) -> None:
    for module in MODULES:
        for event in module.events:
            described = wallet.events[f"{module.name}.{event.__name__}"]
            assert [part["name"] for part in described["fields"]] == [
                part.name for part in fields(event)
            ]
            plain = _emit(module, event, wallet, described)
            for kind, value in zip(described["fields"], plain[1:], strict=True):
                wallet.check(kind, value)


def _emit(
    module: type[Module], event: type[Event], wallet: Wallet, described: dict[str, Any]
) -> Any:
    runtime = SmallChain().runtime
    values = [wallet.example(part) for part in described["fields"]]
    codecs = field_codecs(event).values()
    typed = [codec.from_plain(value) for codec, value in zip(codecs, values, strict=True)]
    instance = next(each for each in runtime.modules if type(each) is module)
    instance.emit(event(*typed))
    return msgpack.unpackb(pack(runtime.context.events[-1]))


UNTOUCHED = {
    "balances.burned",
    "session.origins",
    "staking.jailed",
    "offences.punished",
    "rewards.issued",
    "rewards.recycled",
    "rewards.allotments",
    "rewards.settled",
    "rewards.claimed",
    "pocps.faults",
    "pocps.drawing",
    "pocps.sweep",
    "pocps.proofs",
    "pocps.proof_totals",
    "pocps.change_ends",
    "pocps.changes",
    "pocps.change_places",
    "pocps.unit_proofs",
    "pocps.unit_totals",
    "pools.books",
    "pools.members",
    "pools.engaged",
    "pools.slots",
    "pools.weights",
    "pools.leases",
    "pools.lease_count",
    "pools.leases_of",
    "pools.ends",
    "pools.history",
    "pools.past_shares",
    "pools.past_queue",
    "pools.past_ends",
    "pools.tallies",
    "jobs.last_dispute",
    "jobs.disputes",
    "jobs.revealed",
    "jobs.disputed",
    "jobs.waiting",
}
"""Storage that a chain has only once an epoch has ended, or somebody has offended or traded."""


def test_a_wallet_reads_every_storage_item(wallet: Wallet) -> None:
    chain = SmallChain()
    members = sorted([BOB, CHARLIE])
    chain.block(
        (ALICE, ["proxy.add_proxy", BOB, 0, 1]),
        (BOB, ["proxy.announce", ALICE, bytes(32)]),
        (ALICE, ["multisig.approve_as_multi", 2, members, None, bytes(32)]),
        (BOB, ["staking.bond", 20 * LOOP]),
        (BOB, ["staking.nominate", ALICE]),
        (CHARLIE, ["pocps.register", 1, 10]),
        (CHARLIE, ["jobs.announce", bytes(32), ["/ip4/192.0.2.1/tcp/30400"]]),
    )
    multisig = multisig_account(tuple(sorted([ALICE, BOB, CHARLIE])), 2)
    keys: dict[str, Any] = {
        "system.nonces": ALICE,
        "balances.free": ALICE,
        "balances.held": [ALICE, "proxy.delegates"],
        "session.tables": 0,
        "session.randomness": 0,
        "session.keys": ALICE,
        "session.key_owners": SPEC.validators[0].vrf_key,
        "staking.ledgers": BOB,
        "staking.validators": ALICE,
        "staking.targets": BOB,
        "staking.stakes": ALICE,
        "staking.backings": ALICE,
        "staking.past": [ALICE, 0],
        "staking.past_epochs": ALICE,
        "rewards.authored": [0, chain.author],
        "pocps.classes": 1,
        "pocps.tallies": 1,
        "pocps.providers": [1, CHARLIE],
        "pocps.places": [1, 0],
        "pools.pools": 0,
        "pools.states": 0,
        "jobs.services": CHARLIE,
        "multisig.operations": [multisig, bytes(32)],
        "proxy.delegations": ALICE,
        "proxy.announcements": BOB,
    }
    read = {}
    for name in wallet.storage:
        if name in UNTOUCHED:
            wallet.read(name, None)
            continue
        full = wallet.storage_key(name, keys.get(name))
        assert chain.state.get(full) is not None, name
        read[name] = wallet.read(name, chain.state.get(full))

    assert read["system.nonces"] == 2
    assert read["balances.held"] == LOOP + LOOP // 10
    assert read["proxy.delegations"] == [[BOB, 0, 1]]
    assert read["multisig.operations"][3] == [ALICE]
    assert read["session.tables"][0][0] == ALICE
    assert read["staking.backings"][2] == [[BOB, 20 * LOOP]]
    prefixes = [unhex(item["prefix"]) for item in wallet.storage.values()]
    for key in chain.state.values:
        assert (
            sum(key == one or (one[-1:] == b":" and key.startswith(one)) for one in prefixes) == 1
        )


def test_what_is_not_stored_has_the_described_default(wallet: Wallet) -> None:
    nobody = AccountId(bytes(32))

    assert wallet.read("balances.free", None) == 0
    assert wallet.read("proxy.delegations", None) == []
    assert wallet.read("multisig.operations", None) is None
    assert SmallChain().state.get(wallet.storage_key("balances.free", nobody)) is None


def test_a_wallet_knows_every_error_that_a_receipt_can_name(wallet: Wallet) -> None:
    chain = SmallChain()
    failing: list[list[Any]] = [
        ["balances.transfer", BOB, 2**64 - 1],
        ["utility.batch", []],
        ["utility.batch_all", [["timestamp.set", 1]]],
        ["proxy.proxy", BOB, None, ["system.remark", b""]],
    ]

    names = {chain.call(ALICE, *call).error for call in failing}

    assert len(names) == 4
    assert names <= wallet.errors
    assert "runtime.OutOfRange" in wallet.errors


def test_the_fields_of_a_struct_keep_their_names(wallet: Wallet) -> None:
    described = wallet.events["multisig.OperationApproved"]["fields"]

    assert [part["name"] for part in described] == [
        "member",
        "timepoint",
        "multisig",
        "call_hash",
    ]
    arguments = wallet.calls["multisig.cancel_as_multi"]["arguments"]
    assert [part["name"] for part in arguments] == [
        "threshold",
        "others",
        "timepoint",
        "call_hash",
    ]


def test_constants_are_those_of_the_chain_and_amounts_are_texts(wallet: Wallet) -> None:
    constants = {m["name"]: m["constants"] for m in wallet.metadata["modules"]}
    config = SPEC.runtime

    assert constants["balances"] == {
        "existential_deposit": str(config.balances.existential_deposit)
    }
    assert constants["session"] == {"epoch_length": config.session.epoch_length}
    assert constants["utility"] == {}
    assert constants["fees"]["target_fullness_ppb"] == config.fees.target_fullness_ppb


def test_the_metadata_follows_the_rules_version() -> None:
    config = replace(SPEC.runtime, system=replace(SPEC.runtime.system, spec_version=SpecVersion(7)))

    assert describe_runtime(config)["spec_version"] == 7


NEED_A_TRADE = {"pools.quote", "pools.lease", "pools.member"}
"""Asked in ``tests/runtime/pools/test_views.py``, of a chain on which somebody trades."""


def test_a_wallet_asks_every_query(wallet: Wallet) -> None:
    chain = SmallChain()
    assert chain.call(ALICE, "pocps.register", 1, 10).error == ""
    runtime = Runtime(Context(Overlay(chain.state), chain.next_info()), chain.config, JUDGE)
    described = {query["name"]: query for query in wallet.metadata["queries"]}
    assert set(described) == set(QUERIES)
    examples: dict[str, Any] = {"account": ALICE, "u64": 0, "u32": 1}
    for name, query in described.items():
        kind = query["argument"]
        argument = (
            [examples[part["type"]] for part in kind["of"]]
            if kind["type"] == "tuple"
            else examples.get(kind["type"])
        )
        wallet.check(kind, argument)
        if name in NEED_A_TRADE:
            continue

        answer = msgpack.unpackb(QUERIES[name].run(runtime, pack(argument)))

        wallet.check(query["answer"], answer)
    table: PowerTable = runtime.session.table(Epoch(0))
    assert len(table) == 1


def test_every_event_name_of_a_block_is_described(wallet: Wallet) -> None:
    chain = SmallChain()
    execution = chain.start()
    receipts = chain.finish(execution)

    for receipt in receipts:
        assert set(event_names(receipt)) <= set(wallet.events)
