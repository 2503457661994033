"""The frame decoder against every way of cutting, and against bytes that are no frames."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.faults import FrameTooLarge
from p2p.frames import LENGTH_BYTES, PING, FrameDecoder, encode_frame

BYTES_MAX = 100

payloads = st.lists(st.binary(min_size=1, max_size=BYTES_MAX), max_size=20)
cuts = st.lists(st.integers(min_value=1, max_value=150), min_size=1, max_size=50)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut data into pieces of these sizes, over and over."""
    result: list[bytes] = []
    at = 0
    while at < len(data):
        size = sizes[len(result) % len(sizes)]
        result.append(data[at : at + size])
        at += size
    return result


@given(payloads, cuts)
def test_frames_survive_every_way_of_cutting_the_stream(
    frames: list[bytes], sizes: list[int]
) -> None:
    decoder = FrameDecoder(BYTES_MAX)
    wire = b"".join(map(encode_frame, frames))

    got = [frame for piece in pieces(wire, sizes) for frame in decoder.feed(piece)]

    assert got == frames
    assert decoder.held == 0


@given(st.binary(max_size=2000), cuts)
def test_garbage_never_makes_the_decoder_hold_more_than_a_frame(
    garbage: bytes, sizes: list[int]
) -> None:
    decoder = FrameDecoder(BYTES_MAX)
    try:
        for piece in pieces(garbage, sizes):
            for frame in decoder.feed(piece):
                assert len(frame) <= BYTES_MAX
            assert decoder.held <= BYTES_MAX + LENGTH_BYTES
    except FrameTooLarge:
        return  # refused by its length; nothing more is fed


@pytest.mark.parametrize("length", [BYTES_MAX + 1, 2**31, 2**32 - 1])
def test_length_above_the_limit_is_refused_before_its_bytes_come(length: int) -> None:
    decoder = FrameDecoder(BYTES_MAX)

    with pytest.raises(FrameTooLarge):
        list(decoder.feed(struct.pack("!I", length)))


def test_frame_of_exactly_the_limit_passes() -> None:
    assert list(FrameDecoder(BYTES_MAX).feed(encode_frame(bytes(BYTES_MAX)))) == [bytes(BYTES_MAX)]


def test_ping_is_an_empty_frame() -> None:
    assert list(FrameDecoder(BYTES_MAX).feed(PING + encode_frame(b"a") + PING)) == [b"", b"a", b""]


def test_empty_payload_is_our_own_bug() -> None:
    with pytest.raises(AssertionError):
        encode_frame(b"")


def test_cut_frame_is_seen_at_the_end() -> None:
    decoder = FrameDecoder(BYTES_MAX)

    assert list(decoder.feed(encode_frame(b"whole") + encode_frame(b"cut")[:-1])) == [b"whole"]
    assert decoder.held == LENGTH_BYTES + 2
