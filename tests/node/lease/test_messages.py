"""Lease messages: each has one encoding, and what is none is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.lease.messages import (
    ANSWERS,
    LEASE_REQUEST,
    REQUESTS,
    Answer,
    Challenge,
    CommandOutput,
    Done,
    Exited,
    Granted,
    Knock,
    OutputRows,
    Progress,
    Prove,
    Received,
    Request,
    RunCommand,
    RunNetwork,
    Upload,
    access_message,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
    parts_of,
)
from p2p.identity import PeerId
from primitives.errors import DecodeError
from primitives.types import AccountId, Digest, Height, Signature
from runtime.jobs.commitment import Commitment

ZERO = Digest(bytes(32))
SIGNATURE = Signature(bytes(64))
COMMITMENT = Commitment(1, AccountId(bytes(32)), ZERO, ZERO, ZERO, 3, Height(4))
EACH_REQUEST: list[Request] = [
    Knock(7),
    Prove(7, SIGNATURE),
    Upload(7, ZERO, 10, 4, b"data"),
    RunNetwork(7, ZERO, ZERO),
    RunCommand(7, "render", ("a", "b c"), None),
    RunCommand(7, "render", (), ZERO),
]
EACH_ANSWER: list[Answer] = [
    Challenge(AccountId(bytes(32)), bytes(32)),
    Granted(("one", "two")),
    Received(9),
    Progress(is_waiting=True, rows=0),
    OutputRows(b"rows"),
    Done(COMMITMENT, SIGNATURE),
    CommandOutput(is_error=False, data=b"text"),
    Exited(-9, "time"),
]
noise = st.binary(max_size=80) | st.builds(
    lambda tag, rest: bytes([tag]) + rest, st.integers(0, 9), st.binary(max_size=80)
)


def test_every_kind_reads_what_it_writes() -> None:
    assert [decode_request(encode_request(each)) for each in EACH_REQUEST] == EACH_REQUEST
    assert [decode_answer(encode_answer(each)) for each in EACH_ANSWER] == EACH_ANSWER
    assert {type(each) for each in EACH_REQUEST} == {kind for kind, _ in REQUESTS.values()}
    assert {type(each) for each in EACH_ANSWER} == {kind for kind, _ in ANSWERS.values()}


@given(data=noise)
def test_noise_is_refused_or_is_the_one_encoding_of_its_message(data: bytes) -> None:
    try:
        request = decode_request(data)
    except DecodeError:
        pass
    else:
        assert encode_request(request) == data
    try:
        answer = decode_answer(data)
    except DecodeError:
        pass
    else:
        assert encode_answer(answer) == data


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x63\x90", bytes(2 << 20)])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_request(data)
    with pytest.raises(DecodeError):
        decode_answer(data)


def test_the_largest_message_fits_the_protocol() -> None:
    part = parts_of(bytes(3 << 20))[0][1]

    assert len(encode_request(Upload(7, ZERO, 3 << 20, 0, part))) <= LEASE_REQUEST.request_bytes_max
    assert len(encode_answer(OutputRows(part))) <= LEASE_REQUEST.answer_bytes_max


def test_an_empty_blob_has_one_part() -> None:
    assert parts_of(b"") == [(0, b"")]


def test_what_a_leases_key_signs_names_chain_lease_nonce_and_both_ends() -> None:
    one, two = PeerId("A" * 52), PeerId("B" * 52)
    messages = {
        access_message(ZERO, 1, b"n", client=one, server=two),
        access_message(Digest(b"1" * 32), 1, b"n", client=one, server=two),
        access_message(ZERO, 2, b"n", client=one, server=two),
        access_message(ZERO, 1, b"m", client=one, server=two),
        access_message(ZERO, 1, b"n", client=two, server=one),
    }

    assert len(messages) == 5
