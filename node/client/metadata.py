"""The chain's own description of its calls, storage and events, read from a node.

Invariant: what a node describes wrongly is shown raw or refused, never guessed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from node.client.answers import read_list, read_object, read_text
from node.client.errors import BadAnswer
from node.rpc.json_codecs import AddressFormat
from node.rpc.json_types import Json
from node.rpc.plain_json import fields_to_json, plain_to_json
from primitives.codec import Description, Plain
from primitives.errors import ConfigError

DEPTH_MAX = 16


class UnknownItem(ConfigError):
    """The chain has no storage item of that name; the message lists what it has."""


@dataclass(frozen=True, slots=True)
class StorageItem:
    """Where an item of the state lies, and the types of its key and value."""

    name: str
    prefix: bytes
    key: Description | None
    value: Description


@dataclass(frozen=True, slots=True)
class Metadata:
    """The description of a runtime."""

    document: Json
    """As the node gave it."""
    calls: Mapping[str, Sequence[Description]]
    """Arguments by the call's full name."""
    events: Mapping[str, Sequence[Description]]
    """Fields by the event's full name."""
    storage: Mapping[str, StorageItem]

    @classmethod
    def parse(cls, document: Json) -> "Metadata":
        """Read the answer of ``state_getMetadata``. Raises: BadAnswer."""
        calls: dict[str, Sequence[Description]] = {}
        events: dict[str, Sequence[Description]] = {}
        storage: dict[str, StorageItem] = {}
        root = read_object(document, "the metadata")
        for entry in read_list(root.get("modules"), "the modules"):
            module = read_object(entry, "a module")
            module_name = read_text(module.get("name"), "a module's name")
            calls.update(_named(module, "calls", "arguments"))
            events.update(_named(module, "events", "fields"))
            for item in read_list(module.get("storage"), "the storage"):
                found = _storage_item(module_name, item)
                storage[found.name] = found
        return cls(document, calls, events, storage)

    def find_storage(self, name: str) -> StorageItem:
        """Return the item called ``module.item``. Raises: UnknownItem."""
        item = self.storage.get(name)
        if item is None:
            known = ", ".join(sorted(self.storage))
            raise UnknownItem(f"this chain has no storage item {name!r:.80}; it has {known}")
        return item

    def show_call(self, call: Plain, addresses: AddressFormat) -> Json:
        """Return a call as ``{"call": name, "arguments": {...}}``, its bytes where unknown."""
        if not isinstance(call, list | tuple) or not call:
            return plain_to_json(call, {}, addresses)
        name, *values = call
        if not isinstance(name, str):
            return plain_to_json(call, {}, addresses)
        fields = self.calls.get(name)
        if fields is None or len(fields) != len(values):
            return {"call": name, "arguments": plain_to_json(values, {}, addresses)}
        shown = fields_to_json(values, fields, addresses)
        for value, field, key in zip(values, fields, list(shown), strict=True):
            # Calls inside calls: batches, multisig and proxy carry them.
            if field.get("type") == "call":
                shown[key] = self.show_call(value, addresses)
            elif _holds_calls(field) and isinstance(value, list | tuple):
                shown[key] = [self.show_call(item, addresses) for item in value]
        return {"call": name, "arguments": shown}


def _holds_calls(field: Description) -> bool:
    inner = field.get("of")
    return field.get("type") == "list" and isinstance(inner, dict) and inner.get("type") == "call"


def _named(
    module: Mapping[str, Json], kind: str, parts: str
) -> Iterator[tuple[str, Sequence[Description]]]:
    """Yield the full names of a module's calls or events, and the types of their parts."""
    for entry in read_list(module.get(kind), kind):
        item = read_object(entry, kind)
        name = read_text(item.get("name"), f"a name among the {kind}")
        fields = [_description(part) for part in read_list(item.get(parts), parts)]
        for field in fields:
            read_text(field.get("name"), "a field's name")
        yield name, fields


def _storage_item(module: str, value: Json) -> StorageItem:
    item = read_object(value, "a storage item")
    prefix, key = read_text(item.get("prefix"), "a prefix"), item.get("key")
    try:
        start = bytes.fromhex(prefix.removeprefix("0x"))
    except ValueError:
        raise BadAnswer("a storage item's prefix is no 0x-hex") from None
    return StorageItem(
        name=f"{module}.{read_text(item.get('name'), 'an item name')}",
        prefix=start,
        key=None if key is None else _description(key),
        value=_description(item.get("value")),
    )


def _description(value: Json, depth: int = 0) -> Description:
    """Return the description of a type, its parts checked as far as they are read here."""
    item = dict(read_object(value, "a type"))
    item["type"] = read_text(item.get("type"), "a type's name")
    if depth == DEPTH_MAX:
        raise BadAnswer("a type is nested too deeply")
    inner = item.get("of")
    if item["type"] in ("list", "option") or isinstance(inner, dict):
        item["of"] = _description(inner, depth + 1)
    elif item["type"] == "tuple" or inner is not None:
        item["of"] = [_description(part, depth + 1) for part in read_list(inner, "a tuple's types")]
    if item["type"] == "struct" or "fields" in item:
        fields = read_list(item.get("fields"), "a struct's fields")
        item["fields"] = [_description(field, depth + 1) for field in fields]
        for field in fields:
            read_text(read_object(field, "a field").get("name"), "a field's name")
    return item
