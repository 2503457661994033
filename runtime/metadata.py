"""Metadata: the whole runtime as JSON, made from the code.

From it and nothing else a wallet builds and reads every call, event, error and storage item: the
canonical encoding of a value follows from its description. The descriptions' types are

``u8 u16 u32 u64 i64 amount``  an integer; ``amount`` counts base units of the token
``bool text bytes``            a boolean, UTF-8, a byte string (``length``, or ``length_max``); a
                               number of more than 64 bits is one, its highest byte first
``account digest public key``  32 bytes
``list tuple struct option``   an array of ``of``; of each of ``of``; of ``fields``; nil or ``of``
``call``                       ``["module.method", argument, ...]``

A call or event is the array of its full name and its values. A storage key is ``prefix`` for a
value, and ``prefix`` followed by the encoded map key for a map; a value that is not stored has
its default. Constants that are amounts are decimal strings, since they may exceed 2**53.
"""

from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from primitives.block import EXTRINSIC_VERSION
from primitives.codec import ACCOUNT, AMOUNT, U8, U64, fixed
from primitives.crypto import SIGNATURE_BYTES, Purpose
from primitives.errors import DispatchError
from primitives.types import Balance
from runtime.annotations import field_codecs
from runtime.executive import INHERENTS, OPTIONAL_INHERENTS
from runtime.module import Module, StorageMap, StorageValue
from runtime.queries import QUERIES
from runtime.runtime import CALLS, MODULES, RUNTIME_ERRORS, Config

METADATA_VERSION = 1

Json = dict[str, Any]
"""``Any`` because JSON is."""


def describe_runtime(config: Config) -> Json:
    """Return the metadata of the runtime under one chain's parameters."""
    return {
        "metadata_version": METADATA_VERSION,
        "spec_version": config.system.spec_version,
        "extrinsic": {
            "version": EXTRINSIC_VERSION,
            "fields": [
                {"name": "version", **U8.describe()},
                {"name": "signer", **ACCOUNT.describe()},
                {"name": "nonce", **U64.describe()},
                {"name": "valid_until", **U64.describe()},
                {"name": "tip", **AMOUNT.describe()},
                {"name": "call", **CALLS.codec.describe()},
                {"name": "signature", **fixed(SIGNATURE_BYTES).describe()},
            ],
            "inherents": [*INHERENTS, *OPTIONAL_INHERENTS],
            "unsigned": "signer and signature of an inherent are empty, its numbers 0",
            "signing_prefix": "0x" + Purpose.EXTRINSIC_SIGNING.hex(),
            "signing": "ed25519 over signing_prefix, genesis hash, spec_version as 4 bytes big "
            "endian, and the encoded extrinsic without its last 66 bytes",
            "hash": "BLAKE3 keyed with hash_key over the encoded extrinsic",
            "hash_key": "0x" + Purpose.EXTRINSIC.hex(),
        },
        "hashes": {
            "call": {
                "key": "0x" + Purpose.CALL.hex(),
                "over": "the encoded call: what multisig and proxy know a call by",
            },
            "multisig_account": {
                "key": "0x" + Purpose.ACCOUNT_MULTISIG.hex(),
                "over": "the encoded [sorted members, threshold]",
            },
            "remark": {"key": "0x" + Purpose.REMARK.hex(), "over": "the bytes of the remark"},
        },
        "errors": [_describe_error("runtime", error) for error in RUNTIME_ERRORS],
        "queries": [
            {
                "name": name,
                "argument": query.argument.describe(),
                "answer": query.answer.describe(),
                "docs": query.summary,
            }
            for name, query in QUERIES.items()
        ],
        "modules": [_describe_module(module, config) for module in MODULES],
    }


def _describe_module(module: type[Module], config: Config) -> Json:
    parameters = getattr(config, module.name, None)
    return {
        "name": module.name,
        "index": module.index,
        "docs": _summary(module),
        "constants": _constants(parameters),
        "calls": [
            {
                "name": entry.name,
                "number": entry.number,
                "is_inherent": entry.is_inherent,
                "arguments": [
                    {"name": name, **codec.describe()}
                    for name, codec in zip(entry.parameters, entry.codecs, strict=True)
                ],
                "docs": entry.summary,
            }
            for entry in CALLS.entries.values()
            if entry.module == module.name
        ],
        "events": [
            {
                "name": f"{module.name}.{event.__name__}",
                "fields": [
                    {"name": name, **codec.describe()}
                    for name, codec in field_codecs(event).items()
                ],
                "docs": _summary(event),
            }
            for event in module.events
        ],
        "errors": [_describe_error(module.name, error) for error in module.errors],
        "storage": [
            _describe_item(module, name, item)
            for name, item in vars(module).items()
            if isinstance(item, StorageValue | StorageMap)
        ],
    }


def _constants(parameters: object) -> Json:
    """Return a module's configuration by name; a module without one has no constants."""
    if not is_dataclass(parameters):
        return {}
    kinds = get_type_hints(type(parameters))
    values = {field.name: getattr(parameters, field.name) for field in fields(parameters)}
    return {name: str(v) if kinds[name] is Balance else _constant(v) for name, v in values.items()}


def _constant(value: object) -> object:
    """Return a parameter as JSON; bytes, such as accounts, as hex digits."""
    if is_dataclass(value):
        return _constants(value)
    if isinstance(value, tuple):
        return [_constant(item) for item in value]
    return "0x" + value.hex() if isinstance(value, bytes) else value


def _describe_error(owner: str, error: type[DispatchError]) -> Json:
    return {"name": f"{owner}.{error.__name__}", "docs": _summary(error)}


def _describe_item(
    module: type[Module], name: str, item: StorageValue[Any] | StorageMap[Any, Any]
) -> Json:
    described: Json = {"name": name, "value": item.codec.describe()}
    key = f"{module.name}.{name}"
    if isinstance(item, StorageMap):
        key += ":"
        described["key"] = item.key_codec.describe()
    described["prefix"] = "0x" + key.encode().hex()
    described["default"] = "0x" + item.codec.encode(item.default).hex()
    return described


def _summary(documented: type[Any]) -> str:
    text = (documented.__doc__ or "").strip().split("\n")[0]
    # A dataclass without a docstring is given its own signature for one.
    return "" if text.startswith(f"{documented.__name__}(") else text
