from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.simplex.messages import Certificate, Kind, Message, Request, Signed, bitmap
from consensus.simplex.verification import (
    BadBitmap,
    BadSignature,
    InvalidMessage,
    NoQuorum,
    UnknownSigner,
    ViewZero,
    certificate_checks,
    verify_certificate,
    verify_message,
)
from primitives.crypto import is_valid_signature
from primitives.types import Digest, Epoch, Signature, View
from tests.consensus.bench_of_four import (
    EPOCH,
    GENESIS,
    A,
    B,
    certificate,
    finalization,
    finalize,
    notarization,
    notarize,
    nullification,
    nullify,
    proposal,
    table,
)

TABLE = table()
SIGNED: tuple[Signed, ...] = (
    proposal(1, 2, A),
    notarize(1, 2, A),
    nullify(1, 2),
    finalize(1, 2, A),
)


@pytest.mark.parametrize(
    "message", [*SIGNED, notarization(1, A), nullification(1), finalization(1, A)]
)
def test_what_a_validator_signed_is_accepted(message: Message) -> None:
    verify_message(TABLE, GENESIS, message)


def test_a_request_needs_no_signature() -> None:
    verify_message(TABLE, GENESIS, Request(EPOCH, View(0), View(9)))


@pytest.mark.parametrize("message", SIGNED)
def test_a_signed_message_means_nothing_elsewhere(message: Signed) -> None:
    elsewhere = [
        replace(message, epoch=Epoch(4)),
        replace(message, view=View(3)),
        replace(message, signer=2),
    ]

    for other in elsewhere:
        with pytest.raises(BadSignature):
            verify_message(TABLE, GENESIS, other)
    with pytest.raises(BadSignature):
        verify_message(TABLE, Digest(bytes(32)), message)


@pytest.mark.parametrize("message", SIGNED)
def test_a_position_outside_the_table_is_refused(message: Signed) -> None:
    with pytest.raises(UnknownSigner):
        verify_message(TABLE, GENESIS, replace(message, signer=4))


@pytest.mark.parametrize("message", [*SIGNED, nullification(1)])
def test_view_zero_is_refused(message: Message) -> None:
    assert not isinstance(message, Request)
    with pytest.raises(ViewZero):
        verify_message(TABLE, GENESIS, replace(message, view=View(0)))


def test_two_thirds_are_no_quorum() -> None:
    heavy = table((2, 2, 1, 1))
    two_thirds = certificate([nullify(0, 1), nullify(1, 1)])
    more = certificate([nullify(0, 1), nullify(1, 1), nullify(3, 1)])

    verify_certificate(heavy, GENESIS, more)
    with pytest.raises(NoQuorum):
        verify_certificate(heavy, GENESIS, two_thirds)


def test_weight_counts_and_not_heads() -> None:
    heavy = table((100, 1, 1, 1))

    verify_certificate(heavy, GENESIS, certificate([nullify(0, 1)]))
    with pytest.raises(NoQuorum):
        verify_certificate(heavy, GENESIS, nullification(1, (1, 2, 3)))


def spoilt() -> list[tuple[Certificate, type[InvalidMessage]]]:
    good = notarization(1, A)
    first, second, third = good.signatures
    return [
        (replace(good, signers=good.signers + b"\0"), BadBitmap),
        (replace(good, signers=b""), BadBitmap),
        (replace(good, signers=b"\x1e"), BadBitmap),
        (replace(good, signers=b"\x8e"), BadBitmap),
        (replace(good, signers=b"\x0f"), BadBitmap),
        (replace(good, signatures=(first, second)), BadBitmap),
        (replace(good, signatures=(first, second, third, third)), BadBitmap),
        (replace(good, signers=bitmap([1, 2], 4), signatures=(first, second)), NoQuorum),
        (replace(good, signers=b"\0", signatures=()), NoQuorum),
        (replace(good, signatures=(second, first, third)), BadSignature),
        (replace(good, signatures=(first, first, first)), BadSignature),
        (replace(good, signatures=(first, second, Signature(bytes(64)))), BadSignature),
        (replace(good, signers=bitmap([0, 1, 2], 4)), BadSignature),
        (replace(good, kind=Kind.FINALIZE), BadSignature),
        (replace(good, kind=Kind.NULLIFY, block=None), BadSignature),
        (replace(good, block=B), BadSignature),
        (replace(good, view=View(2)), BadSignature),
        (replace(good, epoch=Epoch(2)), BadSignature),
    ]


@pytest.mark.parametrize(("bad", "error"), spoilt())
def test_a_spoilt_certificate_is_refused(bad: Certificate, error: type[InvalidMessage]) -> None:
    with pytest.raises(error):
        verify_certificate(TABLE, GENESIS, bad)


def test_the_checks_can_be_done_elsewhere() -> None:
    text, pairs = certificate_checks(TABLE, GENESIS, finalization(4, A))

    assert len(pairs) == 3
    assert all(is_valid_signature(public, text, signature) for public, signature in pairs)


@given(st.integers(0, 4 * 64 * 8 - 1))
def test_any_flipped_bit_of_a_signature_is_noticed(bit: int) -> None:
    good = notarization(1, A, (0, 1, 2, 3))
    place, bit = divmod(bit, 64 * 8)
    flipped = bytearray(good.signatures[place])
    flipped[bit // 8] ^= 1 << bit % 8
    signatures = list(good.signatures)
    signatures[place] = Signature(bytes(flipped))

    with pytest.raises(BadSignature):
        verify_certificate(TABLE, GENESIS, replace(good, signatures=tuple(signatures)))
