"""Headers, extrinsics and events as people read them and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import orjson

from node.cli.amounts import format_amount
from node.cli.pool_orders import HOUR_MILLIS, market_interval
from node.cli.times import shown_time
from node.client.answers import read_amount, read_bytes, read_list, read_object, read_text
from node.client.errors import BadAnswer
from node.client.node_client import KnownHeader, NodeClient, Token, hex_of
from node.client.wallet import extrinsic_hash
from node.rpc.addresses import Ss58Addresses
from node.rpc.json_types import Json, JsonObject
from node.rpc.plain_json import plain_to_json
from primitives.block import IMMORTAL, Extrinsic, Header
from primitives.codec import Description, Plain
from primitives.errors import DecodeError

_SHOWN_CHARS_MAX = 200
_DEVICE = 1000
"""Units of a pool in a reference device."""
_POOL_PRICES = {"price", "basePrice"}


class Shown:
    """The ways of one chain: its addresses, its token, its calls."""

    def __init__(self, client: NodeClient) -> None:
        self._client = client
        self._metadata = client.metadata
        self._token = client.token
        self._addresses = Ss58Addresses(client.token.ss58_prefix)

    def header(self, header: Header) -> JsonObject:
        """Return a header as ``chain_getHeader`` does, without its hash."""
        return {
            "parentHash": hex_of(header.parent_hash),
            "number": header.height,
            "view": header.view,
            "epoch": header.epoch,
            "timestamp": header.timestamp,
            "author": self._addresses.encode(header.author),
            "stateRoot": hex_of(header.state_root),
            "extrinsicsRoot": hex_of(header.extrinsics_root),
            "receiptsRoot": hex_of(header.receipts_root),
            "vrfProof": hex_of(header.vrf_proof),
        }

    def header_facts(self, known: KnownHeader) -> Mapping[str, str]:
        """Return what people want to know of a header."""
        header = known.header
        return {
            "block": f"{header.height} {hex_of(known.hash)}",
            "parent": hex_of(header.parent_hash),
            "time": f"{shown_time(header.timestamp)} (epoch {header.epoch}, view {header.view})",
            "author": self._addresses.encode(header.author),
            "state root": hex_of(header.state_root),
        }

    def extrinsic(self, encoded: bytes) -> JsonObject:
        """Return an extrinsic with its call's arguments by name. Raises: BadAnswer."""
        try:
            extrinsic = Extrinsic.decode(encoded)
        except DecodeError as error:
            raise BadAnswer(f"a block holds what is no extrinsic: {error}") from None
        signer = extrinsic.signer
        document: JsonObject = {
            "hash": hex_of(extrinsic_hash(encoded)),
            "signer": None if signer is None else self._addresses.encode(signer),
        }
        if signer is not None:
            immortal = extrinsic.valid_until == IMMORTAL
            document["nonce"] = extrinsic.nonce
            document["tip"] = str(extrinsic.tip)
            document["validUntil"] = None if immortal else extrinsic.valid_until
        shown = self._metadata.show_call(extrinsic.call, self._addresses)
        return {**document, **(shown if isinstance(shown, dict) else {"call": shown})}

    def entry(self, answer: Json) -> JsonObject:
        """Return one entry of a history with its extrinsic decoded. Raises: BadAnswer."""
        item = dict(read_object(answer, "the entry"))
        encoded = read_bytes(item.pop("extrinsic", None), "the extrinsic")
        return {**item, **self.extrinsic(encoded)}

    def entry_facts(self, entry: JsonObject) -> Mapping[str, str]:
        """Return what people want to know of an extrinsic that is final."""
        facts = {
            "extrinsic": str(entry["hash"]),
            "block": f"{entry.get('number')} {entry.get('block')}, "
            f"extrinsic {entry.get('extrinsicIndex')}",
            "call": self.call_text(entry),
            "signer": str(entry["signer"] or "none, put in by the block's author"),
            "fee": self.amount(read_amount(entry.get("fee"), "the fee")),
            "result": str(entry.get("error") or "ok"),
        }
        events = [self.event_text(event) for event in read_list(entry.get("events"), "events")]
        return {**facts, "events": "\n".join(events) or "none"}

    def block_lines(
        self, extrinsics: Sequence[JsonObject], receipts: Sequence[Mapping[str, Json]]
    ) -> Iterator[str]:
        """Yield the lines that tell what each phase of a block did."""
        yield from self._events("before the extrinsics", receipts[0])
        for number, (extrinsic, receipt) in enumerate(zip(extrinsics, receipts[1:-1], strict=True)):
            yield f"\nextrinsic {number}  {extrinsic['hash']}"
            yield f"  {self.call_text(extrinsic)}"
            if extrinsic["signer"] is not None:
                fee = self.amount(read_amount(receipt.get("fee"), "the fee"))
                yield f"  signed by {extrinsic['signer']}, nonce {extrinsic['nonce']}, fee {fee}"
            if receipt.get("error") is not None:
                yield f"  failed: {receipt['error']}"
            for event in read_list(receipt.get("events"), "events"):
                yield f"  -> {self.event_text(event)}"
        yield from self._events("\nafter the extrinsics", receipts[-1])

    def call_text(self, extrinsic: JsonObject) -> str:
        """Return a call on one line."""
        name, arguments = extrinsic.get("call"), extrinsic.get("arguments")
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return _shortened(name)
        return f"{name}({self._fields(arguments, self._metadata.calls.get(name, ()))})"

    def event_text(self, event: Json) -> str:
        """Return an event on one line."""
        item = read_object(event, "an event")
        name = read_text(item.get("name"), "an event's name")
        fields = read_object(item.get("fields"), "an event's fields")
        if name.startswith("pools."):
            prices = {each: self._price(fields[each]) for each in _POOL_PRICES & fields.keys()}
            fields = {**fields, **prices}
        return f"{name}({self._fields(fields, self._metadata.events.get(name, ()))})"

    def value_text(self, value: Plain, kind: Description) -> str:
        """Return a stored value on one line."""
        if kind.get("type") == "amount" and isinstance(value, int):
            return self.amount(value)
        return _shortened(plain_to_json(value, kind, self._addresses))

    def amount(self, units: int) -> str:
        """Return an amount with its symbol."""
        return f"{format_amount(units, self._token.decimals)} {self._token.symbol}"

    def _price(self, value: Json) -> str:
        """Return a pool's price, of a unit and block in Q32, as people compare them."""
        price = int.from_bytes(read_bytes(value, "a price"), "big")
        blocks = -(-HOUR_MILLIS // market_interval(self._client))
        units = price * _DEVICE * blocks >> 32
        return f"{short_amount(units, self._token)} {self._token.symbol} for a device and hour"

    def _events(self, when: str, receipt: Mapping[str, Json]) -> Iterator[str]:
        events = read_list(receipt.get("events"), "events")
        if events:
            yield when
        for event in events:
            yield f"  -> {self.event_text(event)}"

    def _fields(self, values: Mapping[str, Json], kinds: Sequence[Description]) -> str:
        """Return named values on one line; the metadata says which of them are amounts."""
        types = [_kind_of(kind) for kind in kinds]
        if len(types) != len(values):
            types = [None] * len(values)
        parts = []
        for (name, value), kind in zip(values.items(), types, strict=True):
            is_amount = kind == "amount" and isinstance(value, str) and value.isdigit()
            text = self.amount(int(str(value)[:20])) if is_amount else _shortened(value)
            parts.append(f"{name}={text}")
        return ", ".join(parts)


def short_amount(units: int, token: Token) -> str:
    """Return an amount with four significant digits, for prices."""
    whole = Decimal(units).scaleb(-token.decimals)
    if not whole:
        return "0"
    places = max(0, 3 - whole.adjusted())
    return f"{whole:.{places}f}"


def _kind_of(described: Description) -> object:
    """Return the name of a type, of an option that of what it may hold."""
    inner = described.get("of")
    is_option = described.get("type") == "option" and isinstance(inner, Mapping)
    return inner.get("type") if is_option and isinstance(inner, Mapping) else described.get("type")


def _shortened(value: Json) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "…"
