"""Chain values as JSON, by the description that the metadata gives of their type."""

from collections.abc import Sequence
from typing import Any

from node.rpc.json_codecs import AddressFormat, camel_case, hex_of
from node.rpc.json_types import Json
from primitives.codec import Description, Plain
from primitives.types import AccountId

_EXACT_MAX = 2**53 - 1
"""Largest integer that every JSON reader holds exactly."""


def plain_to_json(plain: Plain, kind: Description, addresses: AddressFormat) -> Json:
    """Return ``plain`` as JSON; what the description does not say is shown as the bytes it is."""
    inner: Any = kind.get("of")
    match kind.get("type"), plain:
        case "amount", int():
            return str(plain)
        case "account", bytes() if len(plain) == 32:
            return addresses.encode(AccountId(plain))
        case "option", value if value is not None:
            return plain_to_json(value, inner, addresses)
        case "list", list() | tuple():
            return [plain_to_json(item, inner, addresses) for item in plain]
        case "tuple", (list() | tuple()) if isinstance(inner, Sequence) and len(inner) == len(
            plain
        ):
            pairs = zip(plain, inner, strict=True)
            return [plain_to_json(item, part, addresses) for item, part in pairs]
        case "struct", (list() | tuple()) if len(plain) == len(kind["fields"]):
            return fields_to_json(plain, kind["fields"], addresses)
    return _untyped(plain)


def fields_to_json(
    plain: Sequence[Plain], fields: Sequence[Description], addresses: AddressFormat
) -> dict[str, Json]:
    """Return the fields of a struct, an event or a call by name."""
    return {
        camel_case(str(field["name"])): plain_to_json(value, field, addresses)
        for value, field in zip(plain, fields, strict=True)
    }


def _untyped(plain: Plain) -> Json:
    match plain:
        case bytes():
            return hex_of(plain)
        case list() | tuple():
            return [_untyped(item) for item in plain]
        case int() if abs(plain) > _EXACT_MAX:
            return str(plain)
    return plain
