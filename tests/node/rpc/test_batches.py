"""A batch cut into calls is the batch that a parser reads."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.batches import PAUSE, is_batch, split_batch
from node.rpc.errors import Code, RpcError
from node.rpc.limits import Limits

VALUES = st.recursive(
    st.none()
    | st.integers()
    | st.text()
    | st.sampled_from(['"', "\\", "\\\\", '\\"', "[", "]},{"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


def split(body: bytes, limits: Limits | None = None) -> list[bytes]:
    return [bytes(text) for text in split_batch(body, limits or Limits()) if text is not PAUSE]


@given(st.lists(VALUES, max_size=8), st.sampled_from([None, 1, "\t"]))
def test_elements_are_those_of_the_array(values: list[object], indent: int | str | None) -> None:
    body = json.dumps(values, indent=indent).encode()

    assert [json.loads(text) for text in split(body)] == values


@given(
    st.lists(VALUES, min_size=1, max_size=4)
    .map(json.dumps)
    .flatmap(lambda text: st.tuples(st.just(text), st.integers(1, len(text) - 1)))
)
def test_truncated_array_is_refused(case: tuple[str, int]) -> None:
    text, cut = case

    with pytest.raises((RpcError, json.JSONDecodeError)):
        [json.loads(element) for element in split(text[:cut].encode())]


def test_long_elements_and_many_of_them_leave_places_to_pause() -> None:
    many = b"[" + b"{}," * 10_000 + b"{}]"
    long = b'["' + b'\\"' * 10_000 + b'"]'

    assert list(split_batch(many, Limits())).count(PAUSE) > 50
    assert list(split_batch(long, Limits())).count(PAUSE) > 20


@given(st.text(alphabet='[]{}",\\ a1', max_size=30))
def test_splitting_accepts_no_array_that_the_parser_refuses(text: str) -> None:
    body = b"[" + text.encode() + b"]"
    try:
        expected = orjson.loads(body)
    except orjson.JSONDecodeError:
        expected = None

    try:
        found = [orjson.loads(element) for element in split(body)]
    except (RpcError, orjson.JSONDecodeError):
        found = None

    assert found == expected


@pytest.mark.parametrize("body", [b"[", b"[1", b'["', b"[1,,2]", b"[,]", b"[1]]", b"[1}", b"[1] 2"])
def test_malformed_array_is_a_parse_error(body: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        split(body)

    assert caught.value.code == Code.PARSE_ERROR


def test_empty_array_has_no_elements() -> None:
    assert split(b" [ \n ] ") == []


@pytest.mark.parametrize("filler", [b"1", b'"', b'\\"', b"[", b" ", b"{"])
def test_element_longer_than_allowed_is_refused_before_its_end(filler: bytes) -> None:
    body = b'["' + filler * 300_000 + b'"]' if filler == b'\\"' else b"[" + filler * 300_000

    with pytest.raises(RpcError) as caught:
        split(body, Limits(call_bytes_max=1000))

    assert caught.value.code in {Code.REQUEST_TOO_BIG, Code.PARSE_ERROR}


def test_strings_full_of_backslashes_end_where_they_do() -> None:
    values = ["\\" * count for count in range(70)]

    assert [json.loads(text) for text in split(json.dumps(values).encode())] == values


@pytest.mark.parametrize(
    "body, answer", [(b" \n[", True), (b"{}", False), (b"", False), (b"\xef\xbb\xbf[", False)]
)
def test_batch_is_told_by_its_first_character(body: bytes, answer: bool) -> None:
    assert is_batch(body) is answer
