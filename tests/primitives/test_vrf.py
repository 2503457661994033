"""The VRF against the RFC's vectors, an independent integer reference, and hostile input."""

import json
from hashlib import sha512
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.crypto import KeyPair
from primitives.errors import DecodeError
from primitives.types import PublicKey
from primitives.vrf import (
    OUTPUT_BYTES,
    PROOF_BYTES,
    InvalidVrfKey,
    InvalidVrfProof,
    VrfProof,
    _interpret_as_point,
    proof_to_hash,
    prove,
    validate_public_key,
    verify,
)

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "vrf_rfc9381.json").read_text(encoding="utf-8")
)["vectors"]

# ------------------------------------------------ the RFC in plain integers, slow and obvious

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def slow_add(left: Point, right: Point) -> Point:
    (x1, y1), (x2, y2) = left, right
    k = D * x1 * x2 * y1 * y2 % P
    inverse = pow((1 + k) * (1 - k), -1, P)  # of both denominators at once
    x = (x1 * y2 + x2 * y1) * (1 - k) * inverse % P
    y = (y1 * y2 + x1 * x2) * (1 + k) * inverse % P
    return x, y


def slow_multiply(scalar: int, point: Point) -> Point:
    result = IDENTITY
    while scalar:
        if scalar & 1:
            result = slow_add(result, point)
        point = slow_add(point, point)
        scalar >>= 1
    return result


def slow_negate(point: Point) -> Point:
    return -point[0] % P, point[1]


def slow_encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def slow_decode(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    odd, y = number >> 255, number & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or x * x % P != square or (x == 0 and odd):
        return None
    return (x if x & 1 == odd else P - x), y


BASE = slow_decode((4 * pow(5, -1, P) % P).to_bytes(32, "little")) or IDENTITY


def slow_encode_to_curve(public: bytes, alpha: bytes) -> Point:
    for counter in range(256):
        hashed = sha512(b"\x03\x01" + public + alpha + bytes([counter]) + b"\x00").digest()
        point = slow_decode(hashed[:32])
        if point is not None and slow_multiply(8, point) != IDENTITY:
            return slow_multiply(8, point)
    raise AssertionError


def slow_challenge(*points: Point) -> int:
    joined = b"".join(slow_encode(point) for point in points)
    return int.from_bytes(sha512(b"\x03\x02" + joined + b"\x00").digest()[:16], "little")


def slow_secret(seed: bytes) -> int:
    return int.from_bytes(sha512(seed).digest()[:32], "little") & (2**254 - 8) | 2**254


def slow_prove(seed: bytes, alpha: bytes) -> bytes:
    secret = slow_secret(seed)
    public = slow_multiply(secret, BASE)
    point = slow_encode_to_curve(slow_encode(public), alpha)
    hashed = sha512(sha512(seed).digest()[32:] + slow_encode(point)).digest()
    nonce = int.from_bytes(hashed, "little") % Q
    return slow_prove_with(secret, public, point, nonce, IDENTITY)


def slow_prove_with(
    secret: int, public: Point, point: Point, nonce: int, small_part: Point
) -> bytes:
    gamma = slow_add(slow_multiply(secret, point), small_part)
    u, v = slow_multiply(nonce, BASE), slow_multiply(nonce, point)
    c = slow_challenge(public, point, gamma, u, v)
    s = (nonce + c * secret) % Q
    return slow_encode(gamma) + c.to_bytes(16, "little") + s.to_bytes(32, "little")


def slow_verify(public: bytes, alpha: bytes, proof: bytes) -> bytes | None:
    key, gamma = slow_decode(public), slow_decode(proof[:32])
    c, s = int.from_bytes(proof[32:48], "little"), int.from_bytes(proof[48:], "little")
    if key is None or slow_multiply(8, key) == IDENTITY or gamma is None or s >= Q:
        return None
    point = slow_encode_to_curve(public, alpha)
    u = slow_add(slow_multiply(s, BASE), slow_negate(slow_multiply(c, key)))
    v = slow_add(slow_multiply(s, point), slow_negate(slow_multiply(c, gamma)))
    if slow_challenge(key, point, gamma, u, v) != c:
        return None
    return sha512(b"\x03\x03" + slow_encode(slow_multiply(8, gamma)) + b"\x00").digest()


def small_order_points() -> list[Point]:
    """The eight points whose eightfold is the identity, in the order k times a generator."""
    number = 2
    while True:
        point = slow_decode(number.to_bytes(32, "little"))
        generator = slow_multiply(Q, point) if point is not None else IDENTITY
        if slow_multiply(4, generator) != IDENTITY:
            return [slow_multiply(k, generator) for k in range(8)]
        number += 1


SMALL_ORDER = small_order_points()
NON_CANONICAL = [
    (P).to_bytes(32, "little"),
    (P + 1).to_bytes(32, "little"),
    (2**255 - 1).to_bytes(32, "little"),
    (1 | 1 << 255).to_bytes(32, "little"),
    (P - 1 | 1 << 255).to_bytes(32, "little"),
]
OFF_CURVE = (2).to_bytes(32, "little")

PAIR = KeyPair(bytes(range(32)))
PROOF = prove(PAIR, b"view 7")


# ------------------------------------------------------------------------------- what is right


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"example-{vector['example']}")
def test_each_rfc_example_is_proven_and_verified_to_the_byte(vector: dict[str, str]) -> None:
    pair = KeyPair(bytes.fromhex(vector["seed"]))
    alpha, output = bytes.fromhex(vector["alpha"]), bytes.fromhex(vector["output"])

    proof = prove(pair, alpha)

    assert pair.public.hex() == vector["public"]
    assert proof.hex() == vector["proof"]
    assert verify(pair.public, alpha, proof) == output
    assert proof_to_hash(proof) == output


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"example-{vector['example']}")
def test_the_integer_reference_agrees_with_each_rfc_example(vector: dict[str, str]) -> None:
    seed, alpha = bytes.fromhex(vector["seed"]), bytes.fromhex(vector["alpha"])
    public = bytes.fromhex(vector["public"])

    assert slow_encode(slow_encode_to_curve(public, alpha)).hex() == vector["point"]
    assert slow_prove(seed, alpha).hex() == vector["proof"]
    assert slow_verify(public, alpha, bytes.fromhex(vector["proof"])) == bytes.fromhex(
        vector["output"]
    )


@settings(max_examples=10)
@given(seed=st.binary(min_size=32, max_size=32), alpha=st.binary(max_size=100))
def test_proofs_are_those_of_the_integer_reference(seed: bytes, alpha: bytes) -> None:
    pair = KeyPair(seed)

    proof = prove(pair, alpha)

    assert proof == slow_prove(seed, alpha)
    assert verify(pair.public, alpha, proof) == slow_verify(pair.public, alpha, proof)
    assert len(proof) == PROOF_BYTES
    assert len(verify(pair.public, alpha, proof)) == OUTPUT_BYTES


def test_inputs_whose_first_hashes_are_no_points_are_proven_like_the_reference() -> None:
    """Alphas are searched until the try-and-increment loop has run one to six times."""
    seen: dict[int, bytes] = {}
    for number in range(200):
        alpha = number.to_bytes(2, "little")
        tries = next(
            counter
            for counter in range(256)
            if slow_decode(
                sha512(b"\x03\x01" + PAIR.public + alpha + bytes([counter, 0])).digest()[:32]
            )
        )
        seen.setdefault(tries, alpha)

    assert set(range(5)) <= set(seen)
    for alpha in seen.values():
        assert prove(PAIR, alpha) == slow_prove(PAIR.seed, alpha)


def test_keys_and_inputs_each_change_the_output() -> None:
    other = KeyPair(bytes(32))

    outputs = {
        proof_to_hash(prove(pair, alpha)) for pair in (PAIR, other) for alpha in (b"", b"\x00")
    }

    assert len(outputs) == 4


@given(st.binary(min_size=32, max_size=32))
def test_a_hash_is_read_as_the_point_that_the_rfc_reads_in_it(hashed: bytes) -> None:
    decoded = slow_decode(hashed)
    cleared = IDENTITY if decoded is None else slow_multiply(8, decoded)

    assert _interpret_as_point(hashed) == (None if cleared == IDENTITY else slow_encode(cleared))


@pytest.mark.parametrize(
    "hashed", [*NON_CANONICAL, OFF_CURVE, *map(slow_encode, SMALL_ORDER)], ids=bytes.hex
)
def test_a_hash_that_no_canonical_point_of_large_order_encodes_is_passed_over(
    hashed: bytes,
) -> None:
    assert _interpret_as_point(hashed) is None


@pytest.mark.parametrize("part", range(8))
def test_a_hash_outside_the_prime_order_subgroup_is_cleared_into_it(part: int) -> None:
    mixed = slow_add(slow_multiply(12345, BASE), SMALL_ORDER[part])

    assert _interpret_as_point(slow_encode(mixed)) == slow_encode(slow_multiply(8 * 12345, BASE))


# ------------------------------------------------ points outside the prime-order subgroup


@pytest.mark.parametrize("part", range(1, 8))
def test_a_proof_with_a_small_order_part_is_judged_as_the_rfc_judges_it(part: int) -> None:
    """The key's holder can add such a part; it must change neither validity rules nor output."""
    secret, alpha = slow_secret(PAIR.seed), b"view 7"
    public = slow_multiply(secret, BASE)
    point = slow_encode_to_curve(PAIR.public, alpha)
    order = next(k for k in (2, 4, 8) if slow_multiply(k, SMALL_ORDER[part]) == IDENTITY)
    verdicts = set()

    for nonce in range(1, 40):
        proof = slow_prove_with(secret, public, point, nonce, SMALL_ORDER[part])
        expected = slow_verify(PAIR.public, alpha, proof)
        assert (expected is not None) == (proof[32] % order == 0)
        if expected is None:
            with pytest.raises(InvalidVrfProof):
                verify(PAIR.public, alpha, VrfProof(proof))
        else:
            assert verify(PAIR.public, alpha, VrfProof(proof)) == expected
            assert expected == proof_to_hash(PROOF)
        verdicts.add(expected is not None)
        if len(verdicts) == 2:
            break

    assert verdicts == {True, False}


def test_a_key_with_a_small_order_part_is_judged_as_the_rfc_judges_it() -> None:
    secret, alpha = slow_secret(PAIR.seed), b"view 7"
    mixed = slow_add(slow_multiply(secret, BASE), SMALL_ORDER[1])
    public = PublicKey(slow_encode(mixed))
    point = slow_encode_to_curve(public, alpha)
    verdicts = set()

    for nonce in range(1, 60):
        proof = slow_prove_with(secret, mixed, point, nonce, IDENTITY)
        expected = slow_verify(public, alpha, proof)
        if expected is None:
            with pytest.raises(InvalidVrfProof):
                verify(public, alpha, VrfProof(proof))
        else:
            assert verify(public, alpha, VrfProof(proof)) == expected
        verdicts.add(expected is not None)
        if len(verdicts) == 2:
            break

    assert verdicts == {True, False}


@pytest.mark.parametrize("part", range(8))
def test_a_gamma_of_small_order_alone_is_refused_though_it_decodes(part: int) -> None:
    forged = VrfProof(slow_encode(SMALL_ORDER[part]) + PROOF[32:])

    with pytest.raises(InvalidVrfProof, match="does not belong"):
        verify(PAIR.public, b"view 7", forged)
    assert len(proof_to_hash(forged)) == OUTPUT_BYTES


# ---------------------------------------------------------------------------- hostile input


def test_a_proof_with_any_one_bit_flipped_is_refused() -> None:
    for bit in range(PROOF_BYTES * 8):
        flipped = bytearray(PROOF)
        flipped[bit // 8] ^= 1 << bit % 8

        with pytest.raises(InvalidVrfProof):
            verify(PAIR.public, b"view 7", VrfProof(bytes(flipped)))


def test_a_proof_under_a_key_with_any_one_bit_flipped_is_refused() -> None:
    for bit in range(256):
        flipped = bytearray(PAIR.public)
        flipped[bit // 8] ^= 1 << bit % 8

        with pytest.raises((InvalidVrfKey, InvalidVrfProof)):
            verify(PublicKey(bytes(flipped)), b"view 7", PROOF)


def test_a_proof_of_another_input_or_another_key_is_refused() -> None:
    with pytest.raises(InvalidVrfProof):
        verify(PAIR.public, b"view 8", PROOF)
    with pytest.raises(InvalidVrfProof):
        verify(KeyPair(bytes(32)).public, b"view 7", PROOF)


def test_s_plus_the_group_order_is_refused() -> None:
    s = int.from_bytes(PROOF[48:], "little") + Q

    with pytest.raises(InvalidVrfProof, match="s is not below"):
        verify(PAIR.public, b"view 7", VrfProof(PROOF[:48] + s.to_bytes(32, "little")))


def test_zero_for_challenge_and_s_is_refused() -> None:
    with pytest.raises(InvalidVrfProof, match="does not belong"):
        verify(PAIR.public, b"view 7", VrfProof(PROOF[:32] + bytes(48)))


@pytest.mark.parametrize("gamma", [*NON_CANONICAL, OFF_CURVE], ids=bytes.hex)
def test_a_gamma_that_is_no_canonical_point_is_refused(gamma: bytes) -> None:
    forged = VrfProof(gamma + PROOF[32:])

    with pytest.raises(InvalidVrfProof, match="gamma"):
        verify(PAIR.public, b"view 7", forged)
    with pytest.raises(InvalidVrfProof, match="gamma"):
        proof_to_hash(forged)


@pytest.mark.parametrize("point", SMALL_ORDER, ids=lambda point: slow_encode(point).hex())
def test_a_key_of_small_order_is_refused(point: Point) -> None:
    with pytest.raises(InvalidVrfKey, match="small order"):
        verify(PublicKey(slow_encode(point)), b"view 7", PROOF)


@pytest.mark.parametrize(
    "key", [*NON_CANONICAL, OFF_CURVE, b"", bytes(31), bytes(33)], ids=bytes.hex
)
def test_a_key_that_is_no_canonical_point_is_refused(key: bytes) -> None:
    with pytest.raises(InvalidVrfKey):
        validate_public_key(PublicKey(key))


@pytest.mark.parametrize("length", [0, 1, PROOF_BYTES - 1, PROOF_BYTES + 1, 1000])
def test_a_proof_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(InvalidVrfProof, match="80 bytes"):
        verify(PAIR.public, b"view 7", VrfProof(bytes(length)))


@given(public=st.binary(max_size=40), alpha=st.binary(max_size=8), proof=st.binary(max_size=100))
def test_random_bytes_raise_only_the_typed_errors(
    public: bytes, alpha: bytes, proof: bytes
) -> None:
    with pytest.raises(DecodeError):
        verify(PublicKey(public), alpha, VrfProof(proof))


@given(gamma=st.binary(min_size=32, max_size=32), rest=st.binary(min_size=47, max_size=47))
def test_random_proofs_for_a_good_key_raise_only_the_typed_error(gamma: bytes, rest: bytes) -> None:
    with pytest.raises(InvalidVrfProof):
        verify(PAIR.public, b"view 7", VrfProof(gamma + rest + b"\x00"))
