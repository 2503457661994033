"""The canonical encoding: one form a value, limits before memory, ranges in the typed codecs."""

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from primitives.codec import (
    ACCOUNT,
    AMOUNT,
    BOOL,
    DIGEST,
    I64,
    U8,
    U16,
    U32,
    U64,
    Codec,
    Malformed,
    NotCanonical,
    OutOfRange,
    Plain,
    TooLarge,
    WrongType,
    blob,
    decode,
    decode_trusted,
    encode,
    encode_listed,
    fixed,
    listing,
    optional,
    pair,
    struct,
    text,
    tuple_of,
)
from primitives.errors import DecodeError

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "encoding.json").read_text(encoding="utf-8")
)

plains: st.SearchStrategy[Plain] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.binary(max_size=300)
    | st.text(max_size=100),
    lambda inner: st.lists(inner, max_size=20),
    max_leaves=40,
)


def from_json(value: Any) -> Plain:
    match value:
        case {"int": str(digits)}:
            return int(digits)
        case {"hex": str(digits)}:
            return bytes.fromhex(digits)
        case {"text": str(characters)}:
            return characters
        case list():
            return [from_json(item) for item in value]
    assert value is None or isinstance(value, bool)
    return value


# ------------------------------------------------------------------------------ plain values


@pytest.mark.parametrize("vector", VECTORS["accepted"], ids=lambda vector: vector["hex"][:24])
def test_frozen_values_have_their_frozen_bytes(vector: dict[str, Any]) -> None:
    value, data = from_json(vector["value"]), bytes.fromhex(vector["hex"])

    assert encode(value) == data
    assert decode(data, bytes_max=len(data)) == value


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["why"])
def test_every_other_form_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(DecodeError):
        decode(bytes.fromhex(vector["hex"]), bytes_max=1000)


@given(plains)
def test_what_is_encoded_comes_back(value: Plain) -> None:
    data = encode(value)

    assert decode(data, bytes_max=len(data), depth_max=50) == value


@given(st.binary(max_size=64))
@example(b"\xd9\x01a")
@example(b"\x92\xcc\x00\x00")
def test_bytes_that_decode_are_the_only_encoding_of_their_value(data: bytes) -> None:
    try:
        value = decode(data, bytes_max=64)
    except DecodeError:
        return

    assert encode(value) == data


@given(plains, st.data())
def test_every_truncation_and_every_added_byte_is_refused(
    value: Plain, data: st.DataObject
) -> None:
    whole = encode(value)
    cut = data.draw(st.integers(0, len(whole) - 1))
    tail = data.draw(st.binary(min_size=1, max_size=3))

    for broken in (whole[:cut], whole + tail):
        with pytest.raises(DecodeError):
            decode(broken, bytes_max=1 << 20, depth_max=50)


@given(plains, st.data())
def test_a_changed_byte_gives_an_error_or_another_value(value: Plain, data: st.DataObject) -> None:
    whole = bytearray(encode(value))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(whole), bytes_max=1 << 20, depth_max=50)
    except DecodeError:
        return

    assert encode(other) != encode(value)


def test_size_is_checked_first() -> None:
    with pytest.raises(TooLarge, match="3 bytes, at most 2"):
        decode(b"\xc1\xc1\xc1", bytes_max=2)


def test_nesting_is_followed_to_its_limit_and_no_further() -> None:
    assert decode(b"\x91\x91\x90", bytes_max=9, depth_max=3) == [[[]]]
    assert decode(b"\x05", bytes_max=9, depth_max=0) == 5
    with pytest.raises(TooLarge, match="deeper than 2"):
        decode(b"\x91\x91\x90", bytes_max=9, depth_max=2)
    with pytest.raises(TooLarge, match="deeper than 0"):
        decode(b"\x90", bytes_max=9, depth_max=0)


def test_siblings_do_not_count_as_nesting() -> None:
    data = encode([[[1], [2]], [[3]], [[4], 5]])

    assert decode(data, bytes_max=99, depth_max=3) == [[[1], [2]], [[3]], [[4], 5]]


def test_items_of_all_arrays_together_can_be_bounded() -> None:
    data = encode([[1, 2], [3]])

    assert decode(data, bytes_max=99, items_max=5) == [[1, 2], [3]]
    with pytest.raises(TooLarge, match="more than 4 items"):
        decode(data, bytes_max=99, items_max=4)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\xcc\x00", NotCanonical),
        (b"\xc1", Malformed),
        (b"\xa1\xff", Malformed),
        (b"\x00\x00", Malformed),
        (b"\xcd\x01", Malformed),
        (b"\xdd\xff\xff\xff\xff", TooLarge),
    ],
)
def test_the_error_says_what_is_wrong(data: bytes, error: type[DecodeError]) -> None:
    with pytest.raises(error):
        decode(data, bytes_max=99)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xdd\x7f\xff\xff\xff" + bytes(60_000), id="one long array"),
        pytest.param((b"\xdd\x00\x00\xe0\x00" * 16) + bytes(57_400), id="long arrays in a row"),
        pytest.param(b"\xc6\x7f\xff\xff\xff" + bytes(60_000), id="a long byte string"),
        pytest.param(b"\xdb\x7f\xff\xff\xff" + bytes(60_000), id="a long text"),
        pytest.param(b"\x91" * 65_000, id="deep nesting"),
    ],
)
def test_promises_cost_no_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            decode(data, bytes_max=1 << 16)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 100_000


def test_the_worst_valid_input_costs_a_small_multiple_of_its_size() -> None:
    data = b"\xdc\x10\x00" + b"\x90" * 0x1000
    tracemalloc.start()
    try:
        decode(data, bytes_max=1 << 16)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 100 * len(data)


def test_bytes_of_our_own_that_rot_are_malformed() -> None:
    for data in (b"", b"\x92\x00", b"\xc1", b"\xa1\xff", b"\x00\x00"):
        with pytest.raises(Malformed):
            decode_trusted(data)


def test_a_value_that_cannot_be_packed_leaves_nothing_behind() -> None:
    with pytest.raises(OverflowError):
        encode([1, 2, 2**64])

    assert encode([1]) == b"\x91\x01"


# ------------------------------------------------------------------------------ typed codecs


@pytest.mark.parametrize(
    ("codec", "lowest", "highest"),
    [
        (U8, 0, 2**8 - 1),
        (U16, 0, 2**16 - 1),
        (U32, 0, 2**32 - 1),
        (U64, 0, 2**64 - 1),
        (I64, -(2**63), 2**63 - 1),
        (AMOUNT, 0, 2**64 - 1),
    ],
)
def test_integers_keep_to_their_range(codec: Codec[int], lowest: int, highest: int) -> None:
    for value in (lowest, highest):
        assert codec.decode(codec.encode(value)) == value
    for value in (lowest - 1, highest + 1):
        with pytest.raises(OutOfRange):
            codec.encode(value)
        if -(2**63) <= value < 2**64:
            with pytest.raises(WrongType):
                codec.decode(encode(value))


def test_a_boolean_is_no_integer_and_an_integer_no_boolean() -> None:
    for codec in (U8, I64, AMOUNT):
        with pytest.raises(WrongType):
            codec.decode(b"\xc3")
        with pytest.raises(OutOfRange):
            codec.encode(True)  # type: ignore[arg-type] # what the type forbids
    for data in (b"\x00", b"\x01", b"\xc0"):
        with pytest.raises(WrongType):
            BOOL.decode(data)
    assert [BOOL.decode(BOOL.encode(value)) for value in (True, False)] == [True, False]


@pytest.mark.parametrize("codec", [ACCOUNT, DIGEST, fixed(32)])
def test_fixed_bytes_have_their_length(codec: Codec[bytes]) -> None:
    assert codec.decode(codec.encode(bytes(32))) == bytes(32)
    for length in (0, 31, 33):
        with pytest.raises(OutOfRange):
            codec.encode(bytes(length))
        with pytest.raises(DecodeError):
            codec.decode(encode(bytes(length)))
    with pytest.raises(WrongType):
        codec.decode(encode("x" * 32))


def test_blobs_and_texts_keep_to_their_length_in_bytes() -> None:
    assert blob(3).decode(blob(3).encode(b"abc")) == b"abc"
    assert text(3).decode(text(3).encode("\u6f22")) == "\u6f22"
    with pytest.raises(OutOfRange):
        blob(3).encode(b"abcd")
    with pytest.raises(OutOfRange):
        text(3).encode("\u6f22a")
    with pytest.raises(WrongType):
        blob(3).decode(encode(b"abcd"))
    with pytest.raises(WrongType):
        text(3).decode(encode("\u6f22a"))
    for codec, other in ((blob(3), "a"), (text(3), b"a"), (text(3), 1)):
        with pytest.raises(WrongType):
            codec.decode(encode(other))


def test_text_that_is_not_utf8_is_out_of_range() -> None:
    with pytest.raises(OutOfRange, match="surrogates"):
        text(9).encode("\ud800")


def test_lists_keep_to_their_length() -> None:
    codec = listing(U8, 2)

    assert codec.decode(codec.encode((1, 2))) == (1, 2)
    assert codec.decode(codec.encode(())) == ()
    with pytest.raises(OutOfRange):
        codec.encode((1, 2, 3))
    for wrong in ([1, 2, 3], [256], 1, None, "12"):
        with pytest.raises(DecodeError):
            codec.decode(encode(wrong))  # type: ignore[arg-type] # a list of mixed values


def test_nil_stands_for_none_and_for_nothing_else() -> None:
    codec = optional(U8)

    assert codec.encode(None) == b"\xc0"
    assert codec.decode(b"\xc0") is None
    assert codec.decode(codec.encode(0)) == 0
    with pytest.raises(AssertionError, match="two values"):
        optional(codec)


def test_tuples_have_one_codec_a_place() -> None:
    codec = tuple_of(U8, text(3), BOOL)

    assert codec.decode(codec.encode((1, "a", True))) == (1, "a", True)
    assert pair(U8, U8).decode(encode([1, 2])) == (1, 2)
    assert tuple_of().decode(b"\x90") == ()
    for wrong in ([1, "a"], [1, "a", True, 1], ["a", 1, True], 1):
        with pytest.raises(DecodeError):
            codec.decode(encode(wrong))  # type: ignore[arg-type] # a list of mixed values


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    start: Point
    end: Point


POINT = struct(Point, x=U8, y=I64)
LINE = struct(Line, name=text(8), start=POINT, end=POINT)


def test_a_struct_is_the_array_of_its_fields() -> None:
    line = Line("a", Point(1, -2), Point(3, 4))

    assert LINE.encode(line) == encode(["a", [1, -2], [3, 4]])
    assert LINE.decode(LINE.encode(line)) == line
    assert LINE.load(LINE.encode(line)) == line
    for wrong in (["a", [1, -2]], ["a", [1], [3, 4]], ["a", [1, 2], [3, 4], 5]):
        with pytest.raises(WrongType):
            LINE.decode(encode(wrong))  # type: ignore[arg-type] # a list of mixed values


def test_a_struct_names_all_fields_in_their_order() -> None:
    for wrong in ({"y": U8, "x": U8}, {"x": U8}, {"x": U8, "y": U8, "z": U8}):
        with pytest.raises(TypeError, match="other fields"):
            struct(Point, **wrong)


def test_a_field_keeps_its_name_beside_the_name_of_its_struct() -> None:
    start = LINE.describe()["fields"][1]

    assert (start["name"], start["type"], start["struct"]) == ("start", "struct", "Point")
    assert [field["name"] for field in start["fields"]] == ["x", "y"]


@pytest.mark.parametrize(
    ("codec", "largest"),
    [
        (U8, 255),
        (U64, 2**64 - 1),
        (I64, -(2**63)),
        (BOOL, True),
        (ACCOUNT, bytes(32)),
        (blob(300), bytes(300)),
        (blob(70_000), bytes(70_000)),
        (text(300), "x" * 300),
        (listing(U64, 20), (2**64 - 1,) * 20),
        (optional(blob(300)), bytes(300)),
        (pair(ACCOUNT, text(32)), (bytes(32), "x" * 32)),
        (LINE, Line("x" * 8, Point(255, -(2**63)), Point(255, -(2**63)))),
    ],
)
def test_the_largest_value_fits_the_stated_limits(codec: Codec[Any], largest: Any) -> None:
    data = codec.encode(largest)

    assert len(data) <= codec.bytes_max
    assert codec.decode(data) == largest


@pytest.mark.parametrize(
    "codec", [U8, ACCOUNT, text(8), blob(8), BOOL, LINE, listing(U8, 3), optional(LINE)]
)
@settings(max_examples=20)
@given(junk=plains)
def test_no_value_of_another_type_gets_through(codec: Codec[Any], junk: Plain) -> None:
    try:
        value = codec.decode(encode(junk))
    except DecodeError:
        return

    assert codec.encode(value) == encode(junk)


def test_descriptions_are_json() -> None:
    codecs: list[Callable[[], Any]] = [LINE.describe, pair(U8, optional(text(3))).describe]

    for describe in codecs:
        assert json.loads(json.dumps(describe())) == describe()


@pytest.mark.parametrize("count", [0, 1, 15, 16, 255, 256, 65_535, 65_536])
def test_array_of_encoded_items_is_the_array_encoded(count: int) -> None:
    items: list[Plain] = [number % 300 for number in range(count)]

    assert encode_listed([encode(item) for item in items]) == encode(items)
