"""What nodes say to each other: one encoding, limits, and a typed error for everything else."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.wire import (
    BATCH_BYTES_MAX,
    BATCH_EXTRINSICS_MAX,
    BLOCK_REQUEST,
    EXTRINSICS_ANSWER,
    EXTRINSICS_REQUEST,
    FINAL_BLOCK,
    RANGE_REQUEST,
    CompactBlock,
    Extrinsics,
    ExtrinsicsRequest,
    FinalBlock,
    RangeRequest,
    Status,
    decode_frame,
    encode_compact,
    encode_extrinsics,
    encode_status,
    split_batch,
)
from primitives.block import EXTRINSIC_BYTES_MAX, Header
from primitives.codec import Codec, encode
from primitives.errors import DecodeError
from primitives.types import AccountId, Digest, Epoch, Height, Millis, View

DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
U64S = st.integers(0, 2**64 - 1)
HEADER = Header(
    parent_hash=Digest(bytes(32)),
    height=Height(7),
    view=View(9),
    epoch=Epoch(1),
    timestamp=Millis(1_700_000_000_000),
    author=AccountId(bytes([1]) * 32),
    state_root=Digest(bytes([2]) * 32),
    extrinsics_root=Digest(bytes([3]) * 32),
    receipts_root=Digest(bytes([4]) * 32),
    vrf_proof=bytes(80),
)
FRAMES = [
    encode_extrinsics([b"one", b"two"]),
    encode_compact(CompactBlock(HEADER, (Digest(bytes(32)),), (b"inherent",))),
    encode_status(Status(Height(3), Digest(bytes(32)))),
]
CODECS: list[Codec[object]] = [
    EXTRINSICS_REQUEST,  # type: ignore[list-item]  # of different things
    EXTRINSICS_ANSWER,  # type: ignore[list-item]
    RANGE_REQUEST,  # type: ignore[list-item]
    FINAL_BLOCK,  # type: ignore[list-item]
    BLOCK_REQUEST,  # type: ignore[list-item]
]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_batches_come_back_as_they_were(items: list[bytes]) -> None:
    assert decode_frame(encode_extrinsics(items)) == Extrinsics(tuple(items))


@given(height=U64S, digest=DIGESTS)
def test_status_comes_back_as_it_was(height: int, digest: Digest) -> None:
    status = Status(Height(height), digest)

    assert decode_frame(encode_status(status)) == status


@given(hashes=st.lists(DIGESTS, max_size=30), view=U64S)
def test_announcement_comes_back_as_it_was(hashes: list[Digest], view: int) -> None:
    block = CompactBlock(replace(HEADER, view=View(view)), tuple(hashes), (b"inherent",))

    assert decode_frame(encode_compact(block)) == block


@given(st.binary(max_size=400))
def test_any_bytes_are_a_frame_or_a_decode_error(data: bytes) -> None:
    try:
        frame = decode_frame(data)
    except DecodeError:
        return
    match frame:
        case Extrinsics(items):
            assert encode_extrinsics(items) == data
        case CompactBlock():
            assert encode_compact(frame) == data
        case Status():
            assert encode_status(frame) == data


@given(st.sampled_from(FRAMES), st.data())
def test_frame_that_is_changed_anywhere_is_another_or_a_decode_error(
    frame: bytes, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(frame) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != frame[place]))
    changed = frame[:place] + bytes([byte]) + frame[place + 1 :]

    with suppress(DecodeError):
        assert decode_frame(changed) != decode_frame(frame)


@pytest.mark.parametrize("frame", FRAMES)
def test_frame_that_is_cut_short_or_goes_on_is_none(frame: bytes) -> None:
    for length in range(len(frame)):
        with pytest.raises(DecodeError):
            decode_frame(frame[:length])
    with pytest.raises(DecodeError):
        decode_frame(frame + b"\0")


@pytest.mark.parametrize(
    "plain",
    [
        [],
        1,
        [1],
        [0, [[]]],
        [4, [[]]],
        [True, [[]]],
        ["1", [[]]],
        [1, [[1]]],
        [1, [[b""], []]],
        [1, [[b"x" * (EXTRINSIC_BYTES_MAX + 1)]]],
        [1, [[b""] * (BATCH_EXTRINSICS_MAX + 1)]],
        [3, [-1, bytes(32)]],
        [3, [1, bytes(31)]],
        [2, [[], [], []]],
    ],
)
def test_frame_beyond_the_limits_is_a_decode_error(plain: object) -> None:
    with pytest.raises(DecodeError):
        decode_frame(encode(plain))  # type: ignore[arg-type]  # whatever encodes


@given(st.binary(max_size=200), st.sampled_from(CODECS))
def test_any_bytes_are_a_request_an_answer_or_a_decode_error(
    data: bytes, codec: Codec[object]
) -> None:
    try:
        value = codec.decode(data)
    except DecodeError:
        return
    assert codec.encode(value) == data


def test_requests_and_answers_come_back_as_they_were() -> None:
    asked = ExtrinsicsRequest(Digest(bytes(32)), (0, 5, 16_383))
    wanted = RangeRequest(Height(2**63), 64)
    held = FinalBlock(b"block", b"")

    assert EXTRINSICS_REQUEST.decode(EXTRINSICS_REQUEST.encode(asked)) == asked
    assert RANGE_REQUEST.decode(RANGE_REQUEST.encode(wanted)) == wanted
    assert FINAL_BLOCK.decode(FINAL_BLOCK.encode(held)) == held


@given(st.lists(st.integers(0, EXTRINSIC_BYTES_MAX), max_size=40))
def test_batches_keep_to_the_limits_and_lose_nothing(sizes: list[int]) -> None:
    items = [bytes(size) for size in sizes]

    batches = split_batch(items)

    assert [item for batch in batches for item in batch] == items
    assert all(sum(map(len, batch)) <= BATCH_BYTES_MAX for batch in batches)
    assert all(0 < len(batch) <= BATCH_EXTRINSICS_MAX for batch in batches)


def test_many_tiny_extrinsics_are_cut_by_their_number() -> None:
    batches = split_batch([b""] * (2 * BATCH_EXTRINSICS_MAX + 1))

    assert [len(batch) for batch in batches] == [BATCH_EXTRINSICS_MAX] * 2 + [1]
