"""Blocks, extrinsics and receipts: what decodes, what is refused, what a signature covers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.block import (
    BLOCK_BYTES_MAX,
    EXTRINSIC_BYTES_MAX,
    EXTRINSICS_MAX,
    HEADER,
    IMMORTAL,
    Block,
    Extrinsic,
    Header,
    Receipt,
    WrongVersion,
    body_from_plain,
    decode_receipts,
    encode_inherent,
    encode_receipts,
    encode_signed,
    signing_payload,
    signing_prefix,
)
from primitives.codec import Malformed, Plain, TooLarge, WrongType, encode
from primitives.crypto import KeyPair, Purpose, is_valid_signature, keyed_hash
from primitives.errors import DecodeError
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Millis,
    Nonce,
    Signature,
    SpecVersion,
    View,
    Weight,
)

ALICE = KeyPair(bytes([1]) * 32)
GENESIS = Digest(bytes([9]) * 32)
REMARK: Plain = ["system.remark", b"hello"]

digests = st.binary(min_size=32, max_size=32).map(Digest)
u64 = st.integers(0, 2**64 - 1)
headers = st.builds(
    Header,
    parent_hash=digests,
    height=u64.map(Height),
    view=u64.map(View),
    epoch=u64.map(Epoch),
    timestamp=u64.map(Millis),
    author=digests.map(AccountId),
    state_root=digests,
    extrinsics_root=digests,
    receipts_root=digests,
    vrf_proof=st.binary(max_size=80),
)


def signed(call: Plain = REMARK, **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "signer": AccountId(ALICE.public),
        "nonce": Nonce(3),
        "valid_until": IMMORTAL,
        "tip": Balance(7),
        "call": call,
        **changes,
    }
    blank = encode_signed(**fields, signature=Signature(bytes(64)))
    payload = signing_payload(signing_prefix(GENESIS, SpecVersion(1)), blank)
    return encode_signed(**fields, signature=ALICE.sign(payload))


# ----------------------------------------------------------------------------------- blocks


@given(headers, st.lists(st.binary(max_size=50), max_size=5).map(tuple))
def test_a_block_comes_back_from_its_bytes(header: Header, body: tuple[bytes, ...]) -> None:
    block = Block(header, body)

    again = Block.decode(block.encode())

    assert again == block
    assert again.hash == block.hash == keyed_hash(Purpose.HEADER, header.encode())


@given(headers, headers)
def test_different_headers_have_different_hashes(one: Header, two: Header) -> None:
    assert (one == two) == (one.hash == two.hash)


def header() -> Header:
    return Header(
        GENESIS, Height(1), View(1), Epoch(0), Millis(1), AccountId(ALICE.public),
        GENESIS, GENESIS, GENESIS, bytes(80),
    )  # fmt: skip


@pytest.mark.parametrize(
    "plain",
    [
        7,
        [],
        [HEADER.to_plain(header())],
        [HEADER.to_plain(header()), [], []],
        [HEADER.to_plain(header()), 5],
        [HEADER.to_plain(header()), ["text"]],
        [HEADER.to_plain(header()), [5]],
        [[], []],
        [None, []],
    ],
)
def test_what_is_no_block_is_refused(plain: Plain) -> None:
    with pytest.raises(DecodeError):
        Block.decode(encode(plain))


def test_a_proof_longer_than_a_proof_is_no_header() -> None:
    plain = HEADER.to_plain(header())
    assert isinstance(plain, list)

    with pytest.raises(WrongType):
        HEADER.decode(encode([*plain[:-1], bytes(81)]))


def test_a_block_holds_only_so_many_extrinsics() -> None:
    full = Block(header(), (b"",) * EXTRINSICS_MAX)

    assert Block.decode(full.encode()) == full
    with pytest.raises(TooLarge):
        Block.decode(Block(header(), (b"",) * (EXTRINSICS_MAX + 1)).encode())
    with pytest.raises(TooLarge):
        body_from_plain([b""] * (EXTRINSICS_MAX + 1))


def test_a_block_of_millions_of_items_is_refused_before_they_are_read() -> None:
    data = b"\x92" + HEADER.encode(header()) + b"\xdd\x00\x7f\xf0\x00" + bytes(0x7FF000)

    with pytest.raises(TooLarge, match="items promised"):
        Block.decode(data)


def test_a_block_has_only_so_many_bytes() -> None:
    with pytest.raises(TooLarge):
        Block.decode(Block(header(), (bytes(BLOCK_BYTES_MAX),)).encode())


# ------------------------------------------------------------------------------- extrinsics


def test_a_signed_extrinsic_comes_back_and_its_signature_holds() -> None:
    data = signed()

    extrinsic = Extrinsic.decode(data)

    assert extrinsic.signer == AccountId(ALICE.public)
    assert (extrinsic.nonce, extrinsic.tip) == (3, 7)
    assert extrinsic.call == REMARK
    assert extrinsic.encoded == data
    assert extrinsic.hash == keyed_hash(Purpose.EXTRINSIC, data)
    payload = signing_payload(signing_prefix(GENESIS, SpecVersion(1)), extrinsic.encoded)
    assert extrinsic.signature is not None
    assert is_valid_signature(ALICE.public, payload, extrinsic.signature)


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": Nonce(4)},
        {"valid_until": Height(9)},
        {"tip": Balance(8)},
        {"call": ["system.remark", b"hellp"]},
        {"signer": AccountId(KeyPair(bytes([2]) * 32).public)},
    ],
)
def test_the_signature_covers_every_field(changes: dict[str, Any]) -> None:
    one, other = Extrinsic.decode(signed()), Extrinsic.decode(signed(**changes))

    payload = signing_payload(signing_prefix(GENESIS, SpecVersion(1)), other.encoded)

    assert one.signature is not None
    assert not is_valid_signature(ALICE.public, payload, one.signature)


def test_the_signature_covers_the_chain_and_its_rules() -> None:
    data = signed()

    payloads = {
        signing_payload(signing_prefix(GENESIS, SpecVersion(1)), data),
        signing_payload(signing_prefix(Digest(bytes(32)), SpecVersion(1)), data),
        signing_payload(signing_prefix(GENESIS, SpecVersion(2)), data),
    }

    assert len(payloads) == 3
    assert all(payload.startswith(Purpose.EXTRINSIC_SIGNING) for payload in payloads)


def test_the_signature_does_not_cover_itself() -> None:
    extrinsic = Extrinsic.decode(signed())
    other = extrinsic.encoded[:-64] + bytes(64)

    payload = signing_payload(signing_prefix(GENESIS, SpecVersion(1)), extrinsic.encoded)

    assert payload == signing_payload(signing_prefix(GENESIS, SpecVersion(1)), other)


def test_what_is_too_short_to_be_signed_has_no_payload() -> None:
    with pytest.raises(Malformed):
        signing_payload(b"", bytes(66))


def test_an_inherent_has_no_signer() -> None:
    extrinsic = Extrinsic.decode(encode_inherent(["timestamp.set", 5]))

    assert (extrinsic.signer, extrinsic.signature, extrinsic.call) == (
        None,
        None,
        ["timestamp.set", 5],
    )


@pytest.mark.parametrize(
    ("plain", "error"),
    [
        (5, WrongType),
        ([], WrongType),
        ([1, b"", 0, 0, 0, ["a.b"]], WrongType),
        ([2, b"", 0, 0, 0, ["a.b"], b""], WrongVersion),
        ([True, b"", 0, 0, 0, ["a.b"], b""], WrongVersion),
        ([1, b"", 0, 0, 0, [], b""], WrongType),
        ([1, b"", 0, 0, 0, [5], b""], WrongType),
        ([1, b"", 0, 0, 0, "a.b", b""], WrongType),
        ([1, b"", 1, 0, 0, ["a.b"], b""], WrongType),
        ([1, b"", 0, 1, 0, ["a.b"], b""], WrongType),
        ([1, b"", 0, 0, 1, ["a.b"], b""], WrongType),
        ([1, b"", False, 0, 0, ["a.b"], b""], WrongType),
        ([1, b"", 0, 0, 0, ["a.b"], bytes(64)], WrongType),
        ([1, bytes(32), 0, 0, 0, ["a.b"], b""], WrongType),
        ([1, bytes(32), 0, 0, 0, ["a.b"], bytes(63)], WrongType),
        ([1, bytes(32), 0, 0, 0, ["a.b"], "x" * 64], WrongType),
        ([1, bytes(31), 0, 0, 0, ["a.b"], bytes(64)], WrongType),
        ([1, bytes(32), -1, 0, 0, ["a.b"], bytes(64)], WrongType),
        ([1, bytes(32), 0, None, 0, ["a.b"], bytes(64)], WrongType),
        ([1, bytes(32), 0, 0, "1", ["a.b"], bytes(64)], WrongType),
    ],
)
def test_what_is_no_extrinsic_is_refused(plain: Plain, error: type[DecodeError]) -> None:
    with pytest.raises(error):
        Extrinsic.decode(encode(plain))


def test_an_extrinsic_has_only_so_many_bytes() -> None:
    with pytest.raises(TooLarge):
        Extrinsic.decode(signed(["system.remark", bytes(EXTRINSIC_BYTES_MAX)]))


@given(st.binary(max_size=200))
def test_junk_is_a_decode_error(junk: bytes) -> None:
    for decoder in (Block.decode, Extrinsic.decode, decode_receipts):
        try:
            decoder(junk)
        except DecodeError:
            continue
        assert decoder is decode_receipts
        assert junk == b"\x90"


# --------------------------------------------------------------------------------- receipts


def test_receipts_come_back_from_their_bytes() -> None:
    receipts = (
        Receipt("", Balance(0), Weight(0), ()),
        Receipt("balances.InsufficientBalance", Balance(5), Weight(6), (["a.B", bytes(32), 1],)),
    )

    assert decode_receipts(encode_receipts(receipts)) == receipts
    assert len({receipt.encode() for receipt in receipts}) == 2


@pytest.mark.parametrize(
    "plain",
    [7, [7], [["", 0, 0]], [[0, 0, 0, []]], [["", -1, 0, []]], [["", 0, "", []]], [["", 0, 0, 0]]],
)
def test_what_are_no_receipts_is_refused(plain: Plain) -> None:
    with pytest.raises(WrongType):
        decode_receipts(encode(plain))
