"""Values out of a node's answers: checked, because a node may be anybody's."""

import re
from collections.abc import Mapping

from node.client.errors import BadAnswer
from node.rpc.json_types import Json
from primitives.block import Header
from primitives.errors import DecodeError
from primitives.ss58 import decode_account
from primitives.types import (
    UINT64_MAX,
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Millis,
    View,
)

_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_DIGITS = re.compile(r"[0-9]{1,20}")


def read_object(value: Json, what: str) -> Mapping[str, Json]:
    """Return a JSON object. Raises: BadAnswer."""
    if not isinstance(value, dict):
        raise BadAnswer(f"{what} is no object")
    return value


def read_list(value: Json, what: str) -> list[Json]:
    """Return a JSON array. Raises: BadAnswer."""
    if not isinstance(value, list):
        raise BadAnswer(f"{what} is no list")
    return value


def read_text(value: Json, what: str) -> str:
    """Return a text. Raises: BadAnswer."""
    if not isinstance(value, str):
        raise BadAnswer(f"{what} is no text")
    return value


def read_integer(value: Json, what: str) -> int:
    """Return an integer of 64 bits without sign. Raises: BadAnswer."""
    if type(value) is not int or not 0 <= value <= UINT64_MAX:
        raise BadAnswer(f"{what} is no integer from 0 to 2**64 - 1")
    return value


def read_amount(value: Json, what: str) -> Balance:
    """Return an amount, which JSON holds as a decimal string. Raises: BadAnswer."""
    if not isinstance(value, str) or not _DIGITS.fullmatch(value) or int(value) > UINT64_MAX:
        raise BadAnswer(f"{what} is no amount")
    return Balance(int(value))


def read_bytes(value: Json, what: str) -> bytes:
    """Return the bytes of 0x-hex. Raises: BadAnswer."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise BadAnswer(f"{what} is no 0x-hex")
    return bytes.fromhex(value[2:])


def read_digest(value: Json, what: str) -> Digest:
    """Return a hash. Raises: BadAnswer."""
    data = read_bytes(value, what)
    if len(data) != 32:
        raise BadAnswer(f"{what} has {len(data)} bytes instead of 32")
    return Digest(data)


def read_account(value: Json, prefix: int, what: str) -> AccountId:
    """Return the account of an address. Raises: BadAnswer."""
    try:
        return decode_account(read_text(value, what), prefix)
    except DecodeError as error:
        raise BadAnswer(f"{what}: {error}") from None


def read_header(value: Json, prefix: int) -> Header:
    """Return the header in the shape that ``chain_getHeader`` gives it. Raises: BadAnswer."""
    item = read_object(value, "the header")

    def digest(name: str) -> Digest:
        return read_digest(item.get(name), f"the header's {name}")

    def number(name: str) -> int:
        return read_integer(item.get(name), f"the header's {name}")

    return Header(
        parent_hash=digest("parentHash"),
        height=Height(number("number")),
        view=View(number("view")),
        epoch=Epoch(number("epoch")),
        timestamp=Millis(number("timestamp")),
        author=read_account(item.get("author"), prefix, "the header's author"),
        state_root=digest("stateRoot"),
        extrinsics_root=digest("extrinsicsRoot"),
        receipts_root=digest("receiptsRoot"),
        vrf_proof=read_bytes(item.get("vrfProof"), "the header's vrfProof"),
    )
