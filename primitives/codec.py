"""The one canonical encoding: a subset of MessagePack in which a value has exactly one form.

Values are arrays, integers from -2**63 to 2**64-1 in their shortest form, byte strings, UTF-8
strings, booleans and nil. There are no maps, floats or extension types.

Invariants: ``encode(decode(data)) == data`` for everything that decodes; and before anything is
allocated, the size, the nesting depth and the number of items that the bytes promise are checked
against limits, so that no input costs more memory than a small multiple of its own length.

``Codec`` puts types and ranges on top of that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, cast

import msgpack

from primitives.errors import DecodeError, DispatchError
from primitives.types import UINT64_MAX, AccountId, Balance, Digest

Plain: TypeAlias = int | bytes | str | bool | list["Plain"] | tuple["Plain", ...] | None
"""What the encoding can express. Decoding gives lists, never tuples."""

Description: TypeAlias = dict[str, Any]
"""A codec as JSON, from which a wallet builds and reads values; ``Any`` because JSON is."""

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
DEPTH_MAX = 16
"""Deepest nesting of arrays that ``decode`` follows unless told otherwise."""


class NotCanonical(DecodeError):
    """The bytes encode a value, but not in its only allowed form."""


class TooLarge(DecodeError):
    """The bytes exceed, or promise to exceed, a limit on size, depth or number of items."""


class Malformed(DecodeError):
    """The bytes are truncated, carry a type that is not allowed, or hold more than one value."""


class WrongType(DecodeError):
    """A decoded value is not of the wanted type, or out of its range."""


class OutOfRange(DispatchError):
    """A value to be encoded does not fit its type; a call that computes one fails as a whole."""


_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack
"""Writes a value in its shortest form; it holds no state between two calls."""


def encode(plain: Plain) -> bytes:
    """Return the canonical bytes of ``plain``, which must be one of the allowed types."""
    return cast(bytes, _pack(plain))


def encode_listed(encoded: Sequence[bytes]) -> bytes:
    """Return the bytes of the array whose items have these encodings."""
    count = len(encoded)
    if count < 16:
        head = bytes([0x90 | count])
    elif count < 1 << 16:
        head = b"\xdc" + count.to_bytes(2, "big")
    else:
        head = b"\xdd" + count.to_bytes(4, "big")
    return head + b"".join(encoded)


def decode(
    data: bytes, *, bytes_max: int, depth_max: int = DEPTH_MAX, items_max: int | None = None
) -> Plain:
    """Return the one value that ``data`` encodes canonically.

    ``items_max`` bounds the items of all arrays together; without it their bytes alone do.
    Raises: TooLarge, Malformed, NotCanonical.
    """
    if len(data) > bytes_max:
        raise TooLarge(f"{len(data)} bytes, at most {bytes_max} allowed")
    _check_shape(data, depth_max, len(data) if items_max is None else items_max)
    plain = decode_trusted(data)
    if encode(plain) != data:
        raise NotCanonical(f"not the shortest form: {data[:16].hex()}")
    return plain


def decode_trusted(data: bytes) -> Plain:
    """Return the value of bytes that this node encoded itself, without checking their form.

    Raises: Malformed.
    """
    try:
        return cast(Plain, msgpack.unpackb(data, raw=False))
    except (ValueError, msgpack.UnpackException) as error:
        raise Malformed(str(error) or type(error).__name__) from error


_ARRAY_FIX, _FORBIDDEN = 0, -1
_BIN8, _BIN16, _BIN32, _ARRAY16, _ARRAY32 = -2, -3, -4, -5, -6


def _steps() -> tuple[int, ...]:
    """For each first byte: the length of the whole item, or what else has to be read."""
    steps = [_FORBIDDEN] * 256
    for byte in [*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3]:
        steps[byte] = 1
    for byte in range(0x90, 0xA0):
        steps[byte] = _ARRAY_FIX
    for byte in range(0xA0, 0xC0):
        steps[byte] = 1 + (byte & 0x1F)
    for position, byte in enumerate([0xCC, 0xCD, 0xCE, 0xCF]):
        steps[byte] = steps[byte + 4] = 1 + 2**position
    for first in (0xC4, 0xD9):
        steps[first], steps[first + 1], steps[first + 2] = _BIN8, _BIN16, _BIN32
    steps[0xDC], steps[0xDD] = _ARRAY16, _ARRAY32
    return tuple(steps)


_STEPS = _steps()
_WIDTHS = {_BIN8: 1, _BIN16: 2, _BIN32: 4, _ARRAY16: 2, _ARRAY32: 4}


def _check_shape(data: bytes, depth_max: int, items_max: int) -> None:
    """Walk the item headers and refuse what a decoder should not even start on."""
    end = len(data)
    position = items = 0
    left = 1
    outer: list[int] = []
    while True:
        while left == 0:
            if not outer:
                if position != end:
                    raise Malformed(f"{end} bytes, the value has {position}")
                return
            left = outer.pop()
        left -= 1
        if position >= end:
            raise Malformed("truncated")
        first = data[position]
        step = _STEPS[first]
        if step > 0:
            position += step
            continue
        if step == _FORBIDDEN:
            raise Malformed(f"type byte {first:#04x} is not allowed")
        width = _WIDTHS.get(step, 0)
        start = position + 1
        position = start + width
        count = int.from_bytes(data[start:position], "big") if width else first & 0x0F
        if count > end - position:
            raise TooLarge(f"{count} promised, {max(0, end - position)} bytes left")
        if step in (_BIN8, _BIN16, _BIN32):
            position += count
            continue
        items += count
        if items > items_max:
            raise TooLarge(f"more than {items_max} items promised")
        if len(outer) >= depth_max:
            raise TooLarge(f"nested deeper than {depth_max}")
        outer.append(left)
        left = count


@dataclass(frozen=True, slots=True, eq=False)
class Codec(Generic[T]):
    """How values of one type are written, read and described.

    ``to_plain`` raises ``OutOfRange``, ``from_plain`` raises ``WrongType``.
    """

    description: Description
    bytes_max: int
    """No valid encoding is longer."""
    depth: int
    """Nesting depth of arrays."""
    to_plain: Callable[[T], Plain]
    from_plain: Callable[[Plain], T]

    def encode(self, value: T) -> bytes:
        """Return the canonical bytes of ``value``. Raises: OutOfRange."""
        packed: bytes = _pack(self.to_plain(value))
        return packed

    def decode(self, data: bytes) -> T:
        """Return the value of untrusted ``data``. Raises: DecodeError."""
        return self.from_plain(decode(data, bytes_max=self.bytes_max, depth_max=self.depth))

    def load(self, data: bytes) -> T:
        """Return the value of ``data`` that this node wrote itself."""
        return self.from_plain(decode_trusted(data))

    def describe(self) -> Description:
        """Return the shape of the values as JSON."""
        return self.description


def integer(kind: str, lowest: int, highest: int) -> Codec[int]:
    """Return the codec of the integers from ``lowest`` to ``highest``."""

    def to_plain(value: int) -> Plain:
        if not lowest <= value <= highest or value is True or value is False:
            raise OutOfRange(f"{value} is not a {kind}")
        return value

    def from_plain(plain: Plain) -> int:
        # Not isinstance: True is an int to Python and a boolean to the encoding.
        if type(plain) is not int or not lowest <= plain <= highest:
            raise WrongType(f"not a {kind}: {plain!r:.40}")
        return plain

    return Codec({"type": kind}, 9, 0, to_plain, from_plain)


def fixed(length: int, kind: str = "bytes") -> Codec[bytes]:
    """Return the codec of byte strings of exactly ``length`` bytes."""

    def to_plain(value: bytes) -> Plain:
        if len(value) != length:
            raise OutOfRange(f"{len(value)} bytes where {length} are wanted")
        return bytes(value)

    def from_plain(plain: Plain) -> bytes:
        if not isinstance(plain, bytes) or len(plain) != length:
            raise WrongType(f"not {length} bytes: {plain!r:.40}")
        return plain

    return Codec({"type": kind, "length": length}, length + 5, 0, to_plain, from_plain)


def blob(length_max: int) -> Codec[bytes]:
    """Return the codec of byte strings of at most ``length_max`` bytes."""

    def to_plain(value: bytes) -> Plain:
        if len(value) > length_max:
            raise OutOfRange(f"{len(value)} bytes, at most {length_max} allowed")
        return bytes(value)

    def from_plain(plain: Plain) -> bytes:
        if not isinstance(plain, bytes) or len(plain) > length_max:
            raise WrongType(f"not at most {length_max} bytes: {plain!r:.40}")
        return plain

    description = {"type": "bytes", "length_max": length_max}
    return Codec(description, length_max + 5, 0, to_plain, from_plain)


def text(length_max: int) -> Codec[str]:
    """Return the codec of strings of at most ``length_max`` bytes of UTF-8."""

    def to_plain(value: str) -> Plain:
        try:
            length = len(value.encode())
        except UnicodeEncodeError as error:
            raise OutOfRange(f"not UTF-8: {error.reason}") from error
        if length > length_max:
            raise OutOfRange(f"{length} bytes of text, at most {length_max} allowed")
        return value

    def from_plain(plain: Plain) -> str:
        if not isinstance(plain, str) or len(plain.encode()) > length_max:
            raise WrongType(f"not a text of at most {length_max} bytes: {plain!r:.40}")
        return plain

    description = {"type": "text", "length_max": length_max}
    return Codec(description, length_max + 5, 0, to_plain, from_plain)


def _boolean(plain: Plain) -> bool:
    if not isinstance(plain, bool):
        raise WrongType(f"not a boolean: {plain!r:.40}")
    return plain


def listing(item: Codec[T], length_max: int) -> Codec[tuple[T, ...]]:
    """Return the codec of sequences of at most ``length_max`` items."""

    def to_plain(values: tuple[T, ...]) -> Plain:
        if len(values) > length_max:
            raise OutOfRange(f"{len(values)} items, at most {length_max} allowed")
        return [item.to_plain(value) for value in values]

    def from_plain(plain: Plain) -> tuple[T, ...]:
        if not isinstance(plain, list) or len(plain) > length_max:
            raise WrongType(f"not a list of at most {length_max} items: {plain!r:.40}")
        return tuple([item.from_plain(value) for value in plain])

    description = {"type": "list", "of": item.description, "length_max": length_max}
    bytes_max = 5 + length_max * item.bytes_max
    return Codec(description, bytes_max, item.depth + 1, to_plain, from_plain)


def optional(item: Codec[T]) -> Codec[T | None]:
    """Return the codec of a value that may be missing; nil stands for None."""
    assert item.description["type"] != "option", "nil would stand for two values"

    def to_plain(value: T | None) -> Plain:
        return None if value is None else item.to_plain(value)

    def from_plain(plain: Plain) -> T | None:
        return None if plain is None else item.from_plain(plain)

    description = {"type": "option", "of": item.description}
    return Codec(description, item.bytes_max, item.depth, to_plain, from_plain)


def tuple_of(*items: Codec[Any]) -> Codec[tuple[Any, ...]]:
    """Return the codec of tuples with one codec a place; ``Any`` as places differ in type."""

    def to_plain(values: tuple[Any, ...]) -> Plain:
        return [item.to_plain(value) for item, value in zip(items, values, strict=True)]

    def from_plain(plain: Plain) -> tuple[Any, ...]:
        return tuple(_each(items, plain))

    description = {"type": "tuple", "of": [item.description for item in items]}
    return Codec(description, *_extent(items), to_plain, from_plain)


def pair(first: Codec[T], second: Codec[U]) -> Codec[tuple[T, U]]:
    """Return the codec of tuples of two."""
    return cast("Codec[tuple[T, U]]", tuple_of(first, second))


def struct(cls: type[V], **fields: Codec[Any]) -> Codec[V]:
    """Return the codec of a dataclass as an array of its fields, in the order of the keywords.

    The keywords must be the fields of ``cls`` in their order; ``Any`` as fields differ in type.
    """
    codecs = tuple(fields.values())
    names = tuple(fields)
    if names != tuple(cls.__dataclass_fields__):  # type: ignore[attr-defined] # of a dataclass
        raise TypeError(f"{cls.__name__} has other fields than {names}")

    def to_plain(value: V) -> Plain:
        return [codec.to_plain(getattr(value, name)) for name, codec in fields.items()]

    def from_plain(plain: Plain) -> V:
        return cls(*_each(codecs, plain))

    description = {
        "type": "struct",
        "struct": cls.__name__,
        "fields": [{"name": name, **codec.description} for name, codec in fields.items()],
    }
    return Codec(description, *_extent(codecs), to_plain, from_plain)


def _each(items: tuple[Codec[Any], ...], plain: Plain) -> list[Any]:
    if not isinstance(plain, list) or len(plain) != len(items):
        raise WrongType(f"not {len(items)} values: {plain!r:.40}")
    return [item.from_plain(value) for item, value in zip(items, plain, strict=True)]


def _extent(items: tuple[Codec[Any], ...]) -> tuple[int, int]:
    """Largest size in bytes and nesting depth of an array of ``items``."""
    depth = 1 + max((item.depth for item in items), default=0)
    return 5 + sum(item.bytes_max for item in items), depth


U8 = integer("u8", 0, 2**8 - 1)
U16 = integer("u16", 0, 2**16 - 1)
U32 = integer("u32", 0, 2**32 - 1)
U64 = integer("u64", 0, UINT64_MAX)
I64 = integer("i64", INT64_MIN, INT64_MAX)
AMOUNT = cast("Codec[Balance]", integer("amount", 0, UINT64_MAX))
BOOL = Codec({"type": "bool"}, 1, 0, lambda value: value, _boolean)
ACCOUNT = cast("Codec[AccountId]", fixed(32, "account"))
DIGEST = cast("Codec[Digest]", fixed(32, "digest"))
