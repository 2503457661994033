"""The table between annotations and JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.addresses import Ss58Addresses
from node.rpc.json_codecs import BadValue, JsonCodecs, camel_case
from primitives.types import AccountId, Balance, Digest, Height, StorageKey

CODECS = JsonCodecs(Ss58Addresses(42))
UINT64 = st.integers(0, 2**64 - 1)
DIGESTS = st.binary(min_size=32, max_size=32)


@given(
    st.one_of(
        st.tuples(st.just(Balance), UINT64),
        st.tuples(st.just(Height), UINT64),
        st.tuples(st.just(Digest), DIGESTS),
        st.tuples(st.just(AccountId), DIGESTS),
        st.tuples(st.just(StorageKey), st.binary()),
        st.tuples(st.just(bytes), st.binary()),
        st.tuples(st.just(str), st.text(max_size=50)),
        st.tuples(st.just(bool), st.booleans()),
        st.tuples(st.just(list[Balance]), st.lists(UINT64, max_size=4)),
        st.tuples(st.just(Balance | None), st.none() | UINT64),
    )
)
def test_what_is_written_is_read_back(case: tuple[Any, Any]) -> None:
    annotation, value = case
    codec = CODECS.of(annotation)

    written = json.loads(json.dumps(codec.to_json(value)))

    assert codec.from_json(written) == value


@pytest.mark.parametrize(
    "annotation, value",
    [
        (Balance, "-1"),
        (Balance, "1_0"),
        (Balance, " 1"),
        (Balance, "²"),
        (Balance, "٣"),
        (Balance, str(2**64)),
        (Balance, "1" * 5000),
        (Balance, 1.0),
        (Balance, True),
        (Balance, -1),
        (Height, "0x1_0"),
        (Height, "0x" + "f" * 17),
        (Height, "-0x1"),
        (Height, 2**64),
        (bytes, "0X00"),
        (bytes, "0x0"),
        (bytes, "0x 0 0"),
        (bytes, "0x00 00 "),
        (bytes, "0x\uff10\uff10"),
        (bytes, "00"),
        (bytes, b""),
        (bool, 1),
        (bool, "true"),
        (int, True),
        (int, "1"),
        (str, 1),
        (str, "x" * 1025),
        (list[bytes], "0x"),
    ],
)
def test_value_in_another_form_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(BadValue):
        CODECS.of(annotation).from_json(value)


@pytest.mark.parametrize("annotation", [float, set[int], int | str, dict[int, str], object])
def test_annotation_without_a_json_form_is_our_own_mistake(annotation: Any) -> None:
    with pytest.raises(TypeError):
        CODECS.of(annotation)


@pytest.mark.parametrize(
    "name, shown", [("a", "a"), ("block_hash", "blockHash"), ("ss58_format", "ss58Format")]
)
def test_names_are_spelled_as_javascript_does(name: str, shown: str) -> None:
    assert camel_case(name) == shown
