"""Every decoder of the chain takes whatever a stranger may send: a value, or a typed refusal.

The codecs are found, not listed: one that is added tomorrow is tried too. What is tried is noise,
values of the right shape with wrong parts, and good encodings of which a few bytes were changed.
What is taken must be the one encoding of its value.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import journal
from consensus.journal import decode_record, encode_record
from consensus.simplex import messages
from consensus.simplex.messages import CERTIFICATE, decode_message, encode_message
from node import wire
from p2p.address_book import AddressBook, BadAddressBook
from p2p.identity import parse_address, parse_peer_address, parse_peer_id
from primitives.block import HEADER, Block, Extrinsic, decode_receipts, encode_receipts
from primitives.codec import Codec, Description, Plain, encode
from primitives.errors import DecodeError, LoopinError
from runtime.executive import ReadyExtrinsic
from runtime.module import StorageMap, StorageValue
from runtime.queries import QUERIES
from runtime.runtime import CALLS, MODULES

PACKAGES = ("primitives", "runtime", "consensus", "chain", "p2p", "node")
ITEMS_MAX = 3
EXAMPLES = settings().max_examples // 2
"""For each codec; there are many."""
BOUNDS = {"u8": 2**8, "u16": 2**16, "u32": 2**32, "u64": 2**64, "amount": 2**64}


def codecs_of_the_code() -> Iterator[tuple[str, Codec[Any]]]:
    """Yield every codec that a module of ours keeps, and those of the runtime's storage."""
    for package in PACKAGES:
        root = importlib.import_module(package)
        for found in pkgutil.walk_packages(root.__path__, f"{package}."):
            if found.name.endswith("__main__"):
                continue
            for name, value in vars(importlib.import_module(found.name)).items():
                if isinstance(value, Codec):
                    yield f"{found.name}.{name}", value
    for module in MODULES:
        for name, item in vars(module).items():
            if isinstance(item, StorageValue | StorageMap):
                yield f"{module.name}.{name}", item.codec
            if isinstance(item, StorageMap):
                yield f"{module.name}.{name} key", item.key_codec
    for name, query in QUERIES.items():
        yield f"{name} argument", query.argument
    yield "a call", CALLS.codec


def distinct_codecs() -> dict[str, Codec[Any]]:
    """Return each codec once, under the first of its names."""
    named: dict[int, tuple[str, Codec[Any]]] = {}
    for name, codec in codecs_of_the_code():
        named.setdefault(id(codec), (name, codec))
    return dict(named.values())


ANYTHING: st.SearchStrategy[Plain] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.binary(max_size=40)
    | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


def shaped(kind: Description, depth: int = 0) -> st.SearchStrategy[Plain]:
    """Return values that a description allows, and now and then one that it does not."""
    return st.one_of(*[_allowed(kind, depth)] * 15, ANYTHING)


def _allowed(kind: Description, depth: int) -> st.SearchStrategy[Plain]:
    inner: Any = kind.get("of")
    match kind["type"]:
        case "bool":
            return st.booleans()
        case "i64":
            return st.integers(-(2**63), 2**63 - 1)
        case integer if integer in BOUNDS:
            return st.integers(0, BOUNDS[integer] - 1) | st.integers(0, 9)
        case "text":
            return st.text(max_size=min(40, kind["length_max"]))
        case "option":
            return st.none() | shaped(inner, depth)
        case "list":
            return st.lists(shaped(inner, depth), max_size=min(ITEMS_MAX, kind["length_max"]))
        case "tuple":
            return st.tuples(*[shaped(part, depth) for part in inner])
        case "struct":
            return st.tuples(*[shaped(part, depth) for part in kind["fields"]])
        case "call" if depth < 2:
            return st.sampled_from(sorted(CALLS.entries)).flatmap(lambda name: _call(name, depth))
    if "length" in kind:
        return st.binary(min_size=kind["length"], max_size=kind["length"])
    return st.binary(max_size=min(60, kind.get("length_max", 60)))


def _call(name: str, depth: int) -> st.SearchStrategy[Plain]:
    arguments = [shaped(codec.describe(), depth + 1) for codec in CALLS.entries[name].codecs]
    return st.tuples(st.just(name), *arguments)


@st.composite
def hostile(draw: st.DrawFn, values: st.SearchStrategy[Plain]) -> bytes:
    """Return the encoding of a value, as it is or with a few bytes changed; or noise."""
    data = bytearray(encode(draw(values)))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(data)


@pytest.mark.parametrize("name, codec", distinct_codecs().items(), ids=distinct_codecs())
def test_a_codec_reads_the_one_encoding_of_a_value_or_refuses(name: str, codec: Codec[Any]) -> None:
    @settings(max_examples=EXAMPLES)
    @given(data=hostile(shaped(codec.describe())) | st.binary(max_size=80))
    def read(data: bytes) -> None:
        try:
            value = codec.decode(data)
        except DecodeError:
            return
        assert codec.encode(value) == data
        assert len(data) <= codec.bytes_max

    read()


def encode_frame(frame: wire.Frame) -> bytes:
    match frame:
        case wire.Extrinsics(items):
            return wire.encode_extrinsics(items)
        case wire.CompactBlock():
            return wire.encode_compact(frame)
        case wire.Status():
            return wire.encode_status(frame)


def tagged(codecs: Mapping[int, Codec[Any]]) -> st.SearchStrategy[Plain]:
    """Return ``[tag, content]``, mostly with the content that the tag promises."""
    return st.one_of(
        *[
            st.tuples(st.sampled_from([int(tag), int(tag), int(tag) + 1, True]), content_of(codec))
            for tag, codec in codecs.items()
        ]
    )


def content_of(codec: Codec[Any]) -> st.SearchStrategy[Plain]:
    if codec is not CERTIFICATE:
        return shaped(codec.describe())
    return st.tuples(
        st.integers(0, 6) | st.booleans(),
        st.integers(0, 9),
        st.integers(0, 9),
        st.none() | st.binary(min_size=32, max_size=32),
        st.binary(max_size=4),
        st.lists(st.binary(min_size=64, max_size=64), max_size=3),
    )


FRAMES = tagged({1: wire._EXTRINSICS, 2: wire._COMPACT, 3: wire._STATUS})
MESSAGES = tagged({kind: codec for kind, (_, codec) in messages._CODECS.items()})
RECORDS = MESSAGES | tagged({journal._FLOOR_TAG: journal._FLOOR})
CALL = shaped(CALLS.codec.describe())
EXTRINSIC = st.tuples(
    st.sampled_from([0, 1, 1, 1, 2]),
    st.sampled_from([b"", bytes(32)]),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    CALL,
    st.sampled_from([b"", bytes(64)]),
)
RECEIPTS = st.lists(
    st.tuples(
        st.text(max_size=9), st.integers(0, 9), st.integers(0, 9), st.lists(CALL, max_size=2)
    ),
    max_size=3,
)
BLOCK = st.tuples(shaped(HEADER.describe()), st.lists(st.binary(max_size=9), max_size=3))
FUNCTIONS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes], Any]] = {
    "a block": (Block.decode, Block.encode, BLOCK),
    "an extrinsic": (Extrinsic.decode, lambda extrinsic: extrinsic.encoded, EXTRINSIC),
    "an extrinsic and its call": (
        ReadyExtrinsic.decode,
        lambda ready: ready.extrinsic.encoded,
        EXTRINSIC,
    ),
    "receipts": (decode_receipts, encode_receipts, RECEIPTS),
    "a consensus message": (decode_message, encode_message, MESSAGES),
    "a journal record": (decode_record, encode_record, RECORDS),
    "a frame between peers": (wire.decode_frame, encode_frame, FRAMES),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_decoder_reads_the_one_encoding_of_a_value_or_refuses(name: str) -> None:
    decode, encode_again, values = FUNCTIONS[name]

    @given(data=hostile(values) | st.binary(max_size=80))
    def read(data: bytes) -> None:
        try:
            value = decode(data)
        except DecodeError:
            return
        assert encode_again(value) == data

    read()


@given(noise=st.binary(max_size=200))
def test_a_file_of_addresses_is_read_or_refused(noise: bytes) -> None:
    for data in (noise, AddressBook().encode() + noise):
        try:
            AddressBook.decode(data)
        except BadAddressBook:
            continue
        assert data == AddressBook().encode()


@given(
    text=st.text(max_size=80)
    | st.from_regex(r"\A/ip[46]/[0-9a-f.:]{0,20}/tcp/\d{0,6}(/p2p/\w{0,60})?\Z")
)
def test_addresses_of_peers_are_read_or_refused(text: str) -> None:
    for parse in (parse_peer_id, parse_address, parse_peer_address):
        with suppress(LoopinError):
            parse(text)
