"""Chain values shown by their descriptions."""

from typing import Any

import pytest

from node.rpc.addresses import Ss58Addresses
from node.rpc.plain_json import fields_to_json, plain_to_json
from primitives.codec import (
    ACCOUNT,
    AMOUNT,
    BOOL,
    DIGEST,
    I64,
    U64,
    Codec,
    blob,
    listing,
    optional,
    text,
    tuple_of,
)
from primitives.ss58 import encode_address
from tests.node.rpc.fake_node import ALICE

ADDRESSES = Ss58Addresses(42)


@pytest.mark.parametrize(
    "codec, value, shown",
    [
        (AMOUNT, 2**60, str(2**60)),
        (AMOUNT, 0, "0"),
        (ACCOUNT, ALICE, encode_address(ALICE)),
        (DIGEST, b"\1" * 32, "0x" + "01" * 32),
        (blob(4), b"\xff", "0xff"),
        (text(9), "hello", "hello"),
        (BOOL, True, True),
        (U64, 7, 7),
        (U64, 2**63, str(2**63)),
        (I64, -5, -5),
        (optional(AMOUNT), None, None),
        (optional(AMOUNT), 5, "5"),
        (listing(ACCOUNT, 3), (ALICE,), [encode_address(ALICE)]),
        (tuple_of(U64, AMOUNT), (1, 2), [1, "2"]),
        (listing(tuple_of(BOOL, AMOUNT), 2), ((False, 2),), [[False, "2"]]),
    ],
)
def test_value_is_shown_as_its_type_says(codec: Codec[Any], value: Any, shown: Any) -> None:
    assert plain_to_json(codec.to_plain(value), codec.description, ADDRESSES) == shown


def test_value_of_an_unknown_type_is_shown_as_it_is() -> None:
    shown = plain_to_json(["a.b", b"\1", [2**60]], {"type": "call"}, ADDRESSES)

    assert shown == ["a.b", "0x01", [str(2**60)]]


def test_fields_are_named_in_camel_case() -> None:
    fields = [{"name": "new_owner", **ACCOUNT.description}, {"name": "of_what", **U64.description}]

    assert fields_to_json([ALICE, 3], fields, ADDRESSES) == {
        "newOwner": encode_address(ALICE),
        "ofWhat": 3,
    }
