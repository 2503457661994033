"""A wallet that knows one thing about the chain: the address of a node.

    python wallet.py http://127.0.0.1:9944 SEED RECIPIENT AMOUNT

Sends AMOUNT base units from the account of SEED (32 bytes in hex) to RECIPIENT (an SS58 address)
and prints, as one JSON document, what it built and what it read back. What a call, an event, an
error or a storage item looks like it learns from ``state_getMetadata``; docs/wallets.md explains
each step. It imports nothing of the node: only msgpack, blake3 and PyNaCl.
"""

import hashlib
import json
import sys
import time
import urllib.request
from typing import Any

import msgpack
from blake3 import blake3
from nacl.signing import SigningKey

Json = Any
Value = Any
"""What the encoding can express: whole numbers, booleans, texts, bytes, lists, None."""

INTEGERS = {
    "u8": (0, 2**8 - 1),
    "u16": (0, 2**16 - 1),
    "u32": (0, 2**32 - 1),
    "u64": (0, 2**64 - 1),
    "i64": (-(2**63), 2**63 - 1),
    "amount": (0, 2**64 - 1),
}
LIFETIME_BLOCKS = 64
PATIENCE_SECONDS = 60
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class Node:
    """A node, asked over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, *parameters: Json) -> Json:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        request = urllib.request.Request(
            self.url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            document = json.load(answer)
        if "error" in document:
            raise SystemExit(f"{method}: {document['error']}")
        return document["result"]


class Types:
    """Reads and writes values by their descriptions in the metadata."""

    def __init__(self, metadata: Json) -> None:
        modules = metadata["modules"]
        self.calls = {call["name"]: call["arguments"] for m in modules for call in m["calls"]}
        self.events = {event["name"]: event["fields"] for m in modules for event in m["events"]}
        self.errors = {
            e["name"]: e["docs"] for owner in (metadata, *modules) for e in owner["errors"]
        }
        self.storage = {
            f"{m['name']}.{item['name']}": item for m in modules for item in m["storage"]
        }

    def check(self, kind: Json, value: Value) -> Value:
        """Return ``value`` if it is one that ``kind`` describes, else raise ValueError."""
        word, inner = kind["type"], kind.get("of")
        if word in INTEGERS:
            low, high = INTEGERS[word]
            fits = type(value) is int and low <= value <= high
        elif word == "bool":
            fits = type(value) is bool
        elif word == "text":
            fits = isinstance(value, str) and len(value.encode()) <= kind["length_max"]
        elif word in ("bytes", "account", "digest", "public key"):
            fits = isinstance(value, bytes)
            fits = fits and kind.get("length", len(value)) == len(value)
            fits = fits and len(value) <= kind.get("length_max", len(value))
        elif word == "option":
            fits = value is None or self.check(inner, value) is not None
        elif word == "list":
            fits = len(self.check_all([inner] * len(value), value)) <= kind["length_max"]
        elif word in ("tuple", "struct"):
            fits = self.check_all(inner or kind["fields"], value) is value
        elif word == "call":
            fits = self.check_all(self.calls[value[0]], value[1:]) is not None
        else:
            raise ValueError(f"the metadata speaks of {word!r}, which this wallet does not know")
        if not fits:
            raise ValueError(f"{value!r} is no {word}")
        return value

    def check_all(self, kinds: list[Json], values: list[Value]) -> list[Value]:
        for kind, value in zip(kinds, values, strict=True):
            self.check(kind, value)
        return values

    def show(self, kind: Json, value: Value) -> Json:
        """Return a value for people: fields and arguments by name, bytes as hex."""
        word, inner = kind["type"], kind.get("of")
        if isinstance(value, bytes):
            return "0x" + value.hex()
        if word == "call":
            return {"call": value[0], **self.show_all(self.calls[value[0]], value[1:])}
        if word == "struct":
            return self.show_all(kind["fields"], value)
        if word == "list":
            return [self.show(inner, item) for item in value]
        if word == "tuple":
            return [self.show(part, item) for part, item in zip(inner, value, strict=True)]
        if word == "option" and value is not None:
            return self.show(inner, value)
        return value

    def show_all(self, kinds: list[Json], values: list[Value]) -> Json:
        named = zip(kinds, values, strict=True)
        return {kind["name"]: self.show(kind, value) for kind, value in named}


class Wallet:
    """One account on the chain of one node."""

    def __init__(self, node: Node, seed: bytes) -> None:
        self.node = node
        self.key = SigningKey(seed)
        self.account = bytes(self.key.verify_key)
        self.metadata = node.call("state_getMetadata")
        self.types = Types(self.metadata)
        self.genesis = unhex(node.call("chain_getBlockHash", 0))

    def build(self, name: str, **arguments: Value) -> list[Value]:
        """Return a call, its arguments in the order and of the types that the chain wants."""
        kinds = self.types.calls[name]
        call = [name, *(arguments.pop(kind["name"]) for kind in kinds)]
        if arguments:
            raise ValueError(f"{name} has no argument {', '.join(arguments)}")
        return list(self.types.check({"type": "call"}, call))

    def sign(self, call: list[Value], *, nonce: int, valid_until: int, tip: int = 0) -> bytes:
        """Return the signed extrinsic."""
        rules = self.metadata["extrinsic"]
        values = {
            "version": rules["version"],
            "signer": self.account,
            "nonce": nonce,
            "valid_until": valid_until,
            "tip": tip,
            "call": call,
            "signature": bytes(64),
        }
        ordered = [self.types.check(field, values[field["name"]]) for field in rules["fields"]]
        spec_version = self.metadata["spec_version"].to_bytes(4, "big")
        unsigned = pack(ordered)[:-66]
        payload = unhex(rules["signing_prefix"]) + self.genesis + spec_version + unsigned
        return unsigned + pack(self.key.sign(payload).signature)

    def read(self, name: str, key: Value = None) -> Value:
        """Return what a storage item holds after the best block."""
        item = self.types.storage[name]
        full = unhex(item["prefix"])
        if "key" in item:
            full += pack(self.types.check(item["key"], key))
        stored = self.node.call("state_getStorage", "0x" + full.hex())
        value = msgpack.unpackb(unhex(item["default"] if stored is None else stored))
        return self.types.check(item["value"], value)

    def prove(self, name: str, key: Value, header: Json) -> Value:
        """Return what an item holds after the block of ``header``, which alone is believed."""
        item = self.types.storage[name]
        full = unhex(item["prefix"]) + pack(self.types.check(item["key"], key))
        block = "0x" + hash_header(header).hex()
        stored = self.node.call("state_getStorage", "0x" + full.hex(), block)
        (proof,) = self.node.call("state_getReadProof", ["0x" + full.hex()], block)["proof"]
        claimed = None if stored is None else hash_for("state value", unhex(stored))
        if proven_hash(unhex(header["stateRoot"]), full, unhex(proof)) != claimed:
            raise ValueError("the node lies about the value")
        value = msgpack.unpackb(unhex(item["default"] if stored is None else stored))
        return self.types.check(item["value"], value)

    def decode(self, extrinsic: bytes) -> Json:
        """Return an extrinsic by the names of its fields."""
        fields = self.metadata["extrinsic"]["fields"]
        return self.types.show_all(fields, msgpack.unpackb(extrinsic))

    def send(self, call: list[Value]) -> Json:
        """Sign and submit a call, wait until it is final, return where it is and what it did."""
        address = "0x" + self.account.hex()
        nonce = self.node.call("system_accountNextIndex", address)
        best = self.node.call("chain_getHeader")["number"]
        extrinsic = self.sign(call, nonce=nonce, valid_until=best + LIFETIME_BLOCKS)
        told = self.node.call("author_submitExtrinsic", "0x" + extrinsic.hex())
        key = unhex(self.metadata["extrinsic"]["hash_key"])
        if unhex(told) != blake3(extrinsic, key=key).digest():
            raise ValueError("the node took something else than what was sent")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = self.node.call("chain_getExtrinsic", told)
            if found is not None:
                return found
            time.sleep(0.1)
        raise SystemExit("the extrinsic is not final yet; ask for its hash later: " + told)


def pack(value: Value) -> bytes:
    """Return the canonical bytes: MessagePack in its shortest form."""
    return bytes(msgpack.packb(value))


def unhex(text: str) -> bytes:
    """Return the bytes of 0x-hex."""
    return bytes.fromhex(text.removeprefix("0x"))


def account_of(address: str) -> bytes:
    """Return the 32 bytes in an SS58 address."""
    number = 0
    for letter in address:
        number = number * 58 + BASE58.index(letter)
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    raw = bytes(len(address) - len(address.lstrip("1"))) + raw
    body, checksum = raw[:-2], raw[-2:]
    if len(body) not in (33, 34) or hashlib.blake2b(b"SS58PRE" + body).digest()[:2] != checksum:
        raise ValueError(f"not an address: {address}")
    return body[-32:]


def hash_for(purpose: str, data: bytes) -> bytes:
    """Return the hash of ``data`` for one purpose."""
    return blake3(data, key=blake3(f"loopin/{purpose}/1".encode()).digest()).digest()


def hash_header(header: Json) -> bytes:
    """Return the block's hash, computed from the header's fields."""
    numbers = [header[name] for name in ("number", "view", "epoch", "timestamp")]
    roots = [unhex(header[name]) for name in ("stateRoot", "extrinsicsRoot", "receiptsRoot")]
    author, vrf_proof = account_of(header["author"]), unhex(header["vrfProof"])
    return hash_for(
        "header", pack([unhex(header["parentHash"]), *numbers, author, *roots, vrf_proof])
    )


def proven_hash(root: bytes, key: bytes, proof: bytes) -> bytes | None:
    """Return the hash of the value that ``key`` has under a state root, None if it has none."""
    siblings, entries = msgpack.unpackb(proof)
    key_hash = hash_for("state key", key)
    digest = hash_for("state leaf", entries) if entries else bytes(32)
    for level in reversed(range(len(siblings) // 192)):
        nibble = key_hash[level // 2] >> (0 if level % 2 else 4) & 15
        group, children = siblings[level * 192 :][:96], siblings[level * 192 + 96 :][:96]
        for around, place in ((children, nibble % 4), (group, nibble // 4)):
            digest = hash_for("state node", around[: place * 32] + digest + around[place * 32 :])
    if digest != root:
        raise ValueError("the proof does not lead to the state root")
    found = [entries[at : at + 64] for at in range(0, len(entries), 64)]
    return next((entry[32:] for entry in found if entry[:32] == key_hash), None)


def main() -> None:
    url, seed, recipient, amount = sys.argv[1:]
    wallet = Wallet(Node(url), unhex(seed))
    to = account_of(recipient)
    before = wallet.read("balances.free", to)
    call = wallet.build("balances.transfer", recipient=to, amount=int(amount))
    found = wallet.send(call)
    names = [field["name"] for field in wallet.types.events["balances.Transferred"]]
    report = {
        "block": found["block"],
        "fee": found["fee"],
        "error": found["error"] and wallet.types.errors[found["error"]],
        "extrinsic": wallet.decode(unhex(found["extrinsic"])),
        "events": found["events"],
        "transferred_has": names,
        "recipient": {"before": before, "after": wallet.read("balances.free", to)},
        "nonce": wallet.read("system.nonces", wallet.account),
    }
    print(json.dumps(report, indent=2))  # noqa: T201 - its whole purpose


if __name__ == "__main__":
    main()
