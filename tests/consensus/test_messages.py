from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.simplex.messages import (
    MESSAGE_BYTES_MAX,
    Certificate,
    Finalize,
    Kind,
    Message,
    Notarize,
    Nullify,
    Proposal,
    Request,
    Signed,
    bitmap,
    decode_message,
    encode_message,
    message_bytes,
    signed_bytes,
)
from primitives.codec import Plain, encode
from primitives.errors import DecodeError
from primitives.power_table import VALIDATORS_MAX
from primitives.types import UINT64_MAX, Digest, Epoch, Signature, View
from tests.consensus.bench_of_four import (
    GENESIS,
    A,
    finalization,
    finalize,
    notarize,
    nullification,
    nullify,
    proposal,
)

NUMBERS = st.integers(0, UINT64_MAX)
EPOCHS = NUMBERS.map(Epoch)
VIEWS = NUMBERS.map(View)
DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
SIGNATURES = st.binary(min_size=64, max_size=64).map(Signature)
SIGNERS = st.integers(0, 2**16 - 1)
CERTIFICATES = st.one_of(
    st.builds(
        Certificate,
        st.sampled_from([Kind.NOTARIZE, Kind.FINALIZE]),
        EPOCHS,
        VIEWS,
        DIGESTS,
        st.binary(max_size=VALIDATORS_MAX // 8),
        st.lists(SIGNATURES, max_size=5).map(tuple),
    ),
    st.builds(
        Certificate,
        st.just(Kind.NULLIFY),
        EPOCHS,
        VIEWS,
        st.none(),
        st.binary(max_size=VALIDATORS_MAX // 8),
        st.lists(SIGNATURES, max_size=5).map(tuple),
    ),
)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Proposal, EPOCHS, VIEWS, VIEWS, DIGESTS, DIGESTS, SIGNERS, SIGNATURES),
    st.builds(Notarize, EPOCHS, VIEWS, DIGESTS, SIGNERS, SIGNATURES),
    st.builds(Nullify, EPOCHS, VIEWS, SIGNERS, SIGNATURES),
    st.builds(Finalize, EPOCHS, VIEWS, DIGESTS, SIGNERS, SIGNATURES),
    CERTIFICATES,
    st.builds(Request, EPOCHS, VIEWS, VIEWS),
)


@given(MESSAGES)
def test_a_message_survives_the_wire(message: Message) -> None:
    data = encode_message(message)

    assert len(data) <= MESSAGE_BYTES_MAX
    assert decode_message(data) == message


@given(MESSAGES, st.data())
def test_a_cut_message_is_refused(message: Message, data: st.DataObject) -> None:
    whole = encode_message(message)
    cut = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(DecodeError):
        decode_message(whole[:cut])


@given(MESSAGES)
def test_bytes_behind_a_message_are_refused(message: Message) -> None:
    with pytest.raises(DecodeError):
        decode_message(encode_message(message) + b"\0")


@given(st.binary(max_size=300))
def test_any_bytes_decode_to_their_own_encoding_or_are_refused(data: bytes) -> None:
    try:
        message = decode_message(data)
    except DecodeError:
        return

    assert encode_message(message) == data


@pytest.mark.parametrize(
    "plain",
    [
        [],
        7,
        [1],
        [True, []],
        [9, []],
        ["1", []],
        [4, []],
        [4, [0, 3, 1, bytes(32), b"\x07", []]],
        [4, [True, 3, 1, bytes(32), b"\x07", []]],
        [4, [1, 3, 1, None, b"\x07", []]],
        [4, [2, 3, 1, bytes(32), b"\x07", []]],
        [4, [1, 3, 1, bytes(31), b"\x07", []]],
        [4, [1, 3, 1, bytes(32), b"\x07", [bytes(63)]]],
        [4, [1, 3, 1, bytes(32), bytes(VALIDATORS_MAX // 8 + 1), []]],
        [2, [3, -1, 0, bytes(64)]],
        [2, [3, 1, 2**16, bytes(64)]],
    ],
)
def test_what_is_no_message_is_refused(plain: Plain) -> None:
    with pytest.raises(DecodeError):
        decode_message(encode(plain))


def test_a_signature_covers_chain_epoch_kind_view_and_block() -> None:
    texts = [
        signed_bytes(genesis, kind, epoch, view, block)
        for genesis in (GENESIS, Digest(bytes(32)))
        for kind in (Kind.NOTARIZE, Kind.FINALIZE)
        for epoch in (Epoch(1), Epoch(2))
        for view in (View(1), View(2))
        for block in (A, Digest(bytes(32)))
    ]

    assert len(set(texts)) == len(texts)


def test_the_signed_texts_of_the_four_kinds_differ() -> None:
    said: list[Signed] = [proposal(0, 1, A), notarize(0, 1, A), nullify(0, 1), finalize(0, 1, A)]

    texts = [message_bytes(GENESIS, message) for message in said]

    assert len(set(texts)) == 4
    assert texts[1] == signed_bytes(GENESIS, Kind.NOTARIZE, said[1].epoch, View(1), A)


def test_a_proposal_signs_its_parent() -> None:
    offer = proposal(0, 2, A, parent_view=1)
    elsewhere = [replace(offer, parent_view=View(0)), replace(offer, parent=A)]

    texts = {message_bytes(GENESIS, message) for message in (offer, *elsewhere)}

    assert len(texts) == 3


@given(st.sets(st.integers(0, 99)))
def test_a_bitmap_names_positions_in_order(positions: set[int]) -> None:
    bits = bitmap(sorted(positions), 100)
    certificate = replace(nullification(1), signers=bits)

    assert list(certificate.positions()) == sorted(positions)


def test_the_bytes_of_messages_are_frozen() -> None:
    assert encode_message(
        Request(Epoch(1), View(2), View(300))
    ).hex() == "920593 0102cd012c".replace(" ", "")
    assert encode_message(nullify(2, 5)).hex().startswith("92029403" + "0502c440")
    assert encode_message(finalization(5, A)).hex().startswith("92049603" + "0305c420" + "61" * 32)
