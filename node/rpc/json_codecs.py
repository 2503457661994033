"""From Python annotations to JSON and back: one small table for parameters and results.

How values look: bytes as 0x-hex, hashes as 0x-hex of 32 bytes, accounts as SS58 addresses, amounts
as decimal strings (they exceed what JavaScript's numbers hold exactly), other integers as numbers,
dataclasses as objects with their fields in camelCase.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NewType,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import orjson

from node.rpc.json_types import Json, JsonObject
from primitives.errors import DecodeError, LoopinError
from primitives.types import (
    UINT64_MAX,
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Millis,
    Nonce,
    PublicKey,
    Signature,
    SpecVersion,
    StorageKey,
    View,
    VotingPower,
    Weight,
)

T = TypeVar("T")
BigInteger = NewType("BigInteger", int)
"""A whole number that may exceed 64 bits: in JSON a decimal string."""

LIST_LENGTH_MAX = 1024
"""Elements of a list that is a parameter."""
TEXT_LENGTH_MAX = 1024
"""Characters of a text that is a parameter."""


class BadValue(LoopinError):
    """The JSON value is not what the parameter takes; the message says what it takes."""


class AddressFormat(Protocol):
    """How accounts are written for people."""

    def encode(self, account: AccountId) -> str:
        """Return the address of ``account``."""
        ...

    def decode(self, address: str) -> AccountId:
        """Return the account of an address. Raises: DecodeError."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """In ``Annotated[object, Schema({...})]``: the schema of a value that is passed as it is."""

    schema: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Rendered(Generic[T]):
    """A value of type ``T`` that is JSON text already."""

    fragment: orjson.Fragment


@dataclass(frozen=True, slots=True)
class JsonCodec:
    """How values of one type are read, written and described."""

    from_json: Callable[[Json], Any]
    """Raises BadValue."""
    to_json: Callable[[Any], Json]
    schema: JsonObject


def camel_case(name: str) -> str:
    """Return a Python name as JSON spells it."""
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def hex_of(data: bytes) -> str:
    """Return bytes as 0x-hex."""
    return "0x" + data.hex()


def _identity(value: Any) -> Any:  # noqa: ANN401 - JSON values pass through
    return value


def _read_bytes(value: Json) -> bytes:
    if not isinstance(value, str) or value[:2] != "0x":
        raise BadValue("expected bytes as 0x-hex")
    digits = value[2:]
    # bytes.fromhex forgives white space between bytes; a canonical reader does not.
    if len(digits) % 2 or not digits.isascii() or (not digits.isalnum() and digits):
        raise BadValue("expected an even number of hex digits after 0x")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise BadValue("expected hex digits after 0x") from None


def _fixed_bytes(length: int) -> JsonCodec:
    def read(value: Json) -> bytes:
        data = _read_bytes(value)
        if len(data) != length:
            raise BadValue(f"expected {length} bytes as 0x-hex, not {len(data)}")
        return data

    return JsonCodec(
        read, hex_of, {"type": "string", "pattern": f"^0x[0-9a-fA-F]{{{2 * length}}}$"}
    )


def _read_unsigned(value: Json) -> int:
    if isinstance(value, str) and value[:2] == "0x" and 2 < len(value) <= 18:
        digits = value[2:]
        if digits.isalnum() and digits.isascii():
            try:
                return int(digits, 16)
            except ValueError:
                pass
    elif type(value) is int and 0 <= value <= UINT64_MAX:
        return value
    raise BadValue("expected an integer from 0 to 2^64-1, or its 0x-hex")


def _read_amount(value: Json) -> int:
    if type(value) is int and 0 <= value <= UINT64_MAX:
        return value
    # int() takes underscores, white space and the digits of other scripts; an amount does not.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        amount = int(value)
        if amount <= UINT64_MAX:
            return amount
    raise BadValue("expected an amount in base units as a decimal string, at most 2^64-1")


def _read_text(value: Json) -> str:
    if not isinstance(value, str):
        raise BadValue("expected a text")
    if len(value) > TEXT_LENGTH_MAX:
        raise BadValue(f"expected at most {TEXT_LENGTH_MAX} characters")
    return value


def _read_bool(value: Json) -> bool:
    if not isinstance(value, bool):
        raise BadValue("expected true or false")
    return value


def _read_integer(value: Json) -> int:
    if type(value) is not int:
        raise BadValue("expected an integer")
    return value


def _read_null(value: Json) -> None:
    if value is not None:
        raise BadValue("expected null")


def _not_a_parameter(_: Json) -> Any:  # noqa: ANN401 - it never returns
    raise BadValue("this type is only ever a result")


_UNSIGNED = JsonCodec(
    _read_unsigned, _identity, {"type": "integer", "minimum": 0, "maximum": UINT64_MAX}
)
_HEX: JsonObject = {"type": "string", "pattern": "^0x([0-9a-fA-F]{2})*$"}
_PLAIN_CODECS: dict[Any, JsonCodec] = {
    None: JsonCodec(_read_null, _identity, {"type": "null"}),
    types.NoneType: JsonCodec(_read_null, _identity, {"type": "null"}),
    bool: JsonCodec(_read_bool, _identity, {"type": "boolean"}),
    int: JsonCodec(_read_integer, _identity, {"type": "integer"}),
    str: JsonCodec(_read_text, _identity, {"type": "string"}),
    bytes: JsonCodec(_read_bytes, hex_of, _HEX),
    StorageKey: JsonCodec(_read_bytes, hex_of, _HEX),
    Digest: _fixed_bytes(32),
    PublicKey: _fixed_bytes(32),
    Signature: _fixed_bytes(64),
    BigInteger: JsonCodec(_not_a_parameter, str, {"type": "string", "pattern": "^[0-9]{1,78}$"}),
    Balance: JsonCodec(_read_amount, str, {"type": "string", "pattern": "^[0-9]{1,20}$"}),
    **dict.fromkeys(
        (Height, View, Epoch, Nonce, Millis, Weight, VotingPower, SpecVersion), _UNSIGNED
    ),
}


class JsonCodecs:
    """The table, for one way of writing addresses."""

    def __init__(self, addresses: AddressFormat) -> None:
        self._addresses = addresses
        self._made: dict[Any, JsonCodec] = dict(_PLAIN_CODECS)
        self._made[AccountId] = JsonCodec(
            self._read_account, addresses.encode, {"type": "string", "title": "SS58 address"}
        )

    def of(self, annotation: Any) -> JsonCodec:  # noqa: ANN401 - annotations have no common type
        """Return the codec for an annotation. Raises: TypeError if there is none."""
        codec = self._made.get(annotation)
        if codec is None:
            codec = self._made[annotation] = self._make(annotation)
        return codec

    def _make(self, annotation: Any) -> JsonCodec:  # noqa: ANN401 - as above
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            for note in annotation.__metadata__:
                if isinstance(note, Schema):
                    return JsonCodec(_identity, _identity, dict(note.schema))
            return self.of(arguments[0])
        if origin in (Union, types.UnionType):
            return self._union(arguments)
        if origin is Literal:
            return _one_of(arguments)
        if origin in (list, Sequence) or (origin is tuple and arguments[1:] == (...,)):
            return self._list(arguments[0])
        if origin is Rendered:
            schema = self.of(arguments[0]).schema
            return JsonCodec(_not_a_parameter, lambda value: value.fragment, schema)
        if origin in (dict, Mapping) and arguments[0] is str:
            return self._mapping(arguments[1])
        if dataclasses.is_dataclass(annotation):
            return self._object(annotation)
        raise TypeError(f"no JSON form is known for {annotation!r}")

    def _read_account(self, value: Json) -> AccountId:
        if not isinstance(value, str) or len(value) > TEXT_LENGTH_MAX:
            raise BadValue("expected an SS58 address")
        if value[:2] == "0x":
            data = _read_bytes(value)
            if len(data) == 32:
                return AccountId(data)
            raise BadValue("expected an SS58 address, or 32 bytes as 0x-hex")
        try:
            return self._addresses.decode(value)
        except DecodeError as error:
            raise BadValue(f"expected an SS58 address: {error}") from None

    def _union(self, arguments: tuple[Any, ...]) -> JsonCodec:
        members = [self.of(member) for member in arguments if member is not types.NoneType]
        is_optional = len(members) < len(arguments)
        if len(members) != 1:
            raise TypeError(f"a union of {arguments!r} has no one JSON form")
        (inner,) = members

        def read(value: Json) -> Any:  # noqa: ANN401 - the union's own type
            return None if value is None else inner.from_json(value)

        def write(value: Any) -> Json:  # noqa: ANN401 - the union's own type
            return None if value is None else inner.to_json(value)

        assert is_optional, "a union of one member is that member"
        return JsonCodec(read, write, {"oneOf": [inner.schema, {"type": "null"}]})

    def _list(self, element: Any) -> JsonCodec:  # noqa: ANN401 - an annotation
        inner = self.of(element)

        def read(value: Json) -> list[Any]:
            if not isinstance(value, list):
                raise BadValue("expected a list")
            if len(value) > LIST_LENGTH_MAX:
                raise BadValue(f"expected at most {LIST_LENGTH_MAX} elements")
            return [inner.from_json(item) for item in value]

        def write(values: Sequence[Any]) -> Json:
            return [inner.to_json(value) for value in values]

        return JsonCodec(read, write, {"type": "array", "items": inner.schema})

    def _mapping(self, element: Any) -> JsonCodec:  # noqa: ANN401 - an annotation
        inner = self.of(element)

        def write(values: Mapping[str, Any]) -> Json:
            return {name: inner.to_json(value) for name, value in values.items()}

        schema: JsonObject = {"type": "object", "additionalProperties": inner.schema}
        return JsonCodec(_not_a_parameter, write, schema)

    def _object(self, shape: Any) -> JsonCodec:  # noqa: ANN401 - a dataclass
        hints = get_type_hints(shape, include_extras=True)
        fields = [
            (camel_case(field.name), field.name, self.of(hints[field.name]))
            for field in dataclasses.fields(shape)
        ]

        def write(value: Any) -> Json:  # noqa: ANN401 - an instance of shape
            return {name: codec.to_json(getattr(value, attr)) for name, attr, codec in fields}

        schema: JsonObject = {
            "type": "object",
            "title": shape.__name__,
            "properties": {name: codec.schema for name, _, codec in fields},
            "required": [name for name, _, _ in fields],
        }
        return JsonCodec(_not_a_parameter, write, schema)


def _one_of(choices: tuple[Any, ...]) -> JsonCodec:
    def read(value: Json) -> str:
        if not isinstance(value, str) or value not in choices:
            raise BadValue(f"expected one of {', '.join(map(str, choices))}")
        return value

    return JsonCodec(read, _identity, {"type": "string", "enum": list(choices)})
