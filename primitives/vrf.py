"""The verifiable random function of the beacon: ECVRF-EDWARDS25519-SHA512-TAI.

Only the holder of a key can compute the output for an input; anyone with the public key can check
that it is the only possible output.

Invariants: for one key and one input every accepted proof gives the same output, whatever the
prover does; what is accepted is exactly what RFC 9381 accepts with ``validate_key = TRUE``.

libsodium multiplies only points of the prime-order subgroup, while the RFC lets a proof's point
carry a component of small order (the prover alone can add one, and the output does not see it).
``_multiply`` therefore falls back to a decomposition that is exact for every point on the curve.

Source: RFC 9381, sections 5.1 to 5.5; suite 0x03. Points and scalars by libsodium.
"""

from hashlib import sha512
from typing import NewType

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import RuntimeError as LibsodiumError

from primitives.crypto import KeyPair
from primitives.errors import DecodeError
from primitives.types import PublicKey

VrfProof = NewType("VrfProof", bytes)
"""80 bytes: the point gamma, the challenge c (16 bytes) and the scalar s."""
VrfOutput = NewType("VrfOutput", bytes)
"""64 bytes, uniform for whoever does not hold the key."""

PROOF_BYTES = 80
OUTPUT_BYTES = 64

_POINT_BYTES = 32
_CHALLENGE_BYTES = 16
_SUITE = b"\x03"
_FIELD_PRIME = 2**255 - 19
_GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
_IDENTITY = b"\x01" + bytes(31)
_ZERO = bytes(32)
_EIGHTH = pow(8, -1, _GROUP_ORDER).to_bytes(32, "little")
_ENCODE_TRIES = 256


class InvalidVrfKey(DecodeError):
    """The public key is no point on the curve, or one that binds its holder to no output."""


class InvalidVrfProof(DecodeError):
    """The proof is malformed, or does not prove this input for this key."""


def prove(key_pair: KeyPair, alpha: bytes) -> VrfProof:
    """Return the proof of the output for the input ``alpha``; the same one each time.

    Source: RFC 9381, sections 5.1 and 5.4.2.2.
    """
    hashed = sha512(key_pair.seed).digest()
    clamped = bytes([hashed[0] & 0xF8, *hashed[1:31], hashed[31] & 0x7F | 0x40])
    secret = crypto_core_ed25519_scalar_reduce(clamped + _ZERO)
    point = _encode_to_curve(key_pair.public, alpha)
    gamma = _multiply(secret, point)
    nonce = crypto_core_ed25519_scalar_reduce(sha512(hashed[32:] + point).digest())
    u, v = _multiply_base(nonce), _multiply(nonce, point)
    challenge = _challenge(key_pair.public, point, gamma, u, v)
    product = crypto_core_ed25519_scalar_mul(_widen(challenge), secret)
    return VrfProof(gamma + challenge + crypto_core_ed25519_scalar_add(nonce, product))


def verify(public: PublicKey, alpha: bytes, proof: VrfProof) -> VrfOutput:
    """Return the output that ``proof`` proves for ``alpha`` under ``public``.

    Raises: InvalidVrfKey, InvalidVrfProof.
    Source: RFC 9381, section 5.3, with ``validate_key = TRUE``.
    """
    validate_public_key(public)
    gamma, challenge, s = _decode_proof(proof)
    output = _output(gamma)
    point = _encode_to_curve(public, alpha)
    c = _widen(challenge)
    u = crypto_core_ed25519_sub(_multiply_base(s), _multiply(c, public))
    v = crypto_core_ed25519_sub(_multiply(s, point), _multiply(c, gamma))
    if _challenge(public, point, gamma, u, v) != challenge:
        raise InvalidVrfProof("the proof does not belong to this key and input")
    return output


def proof_to_hash(proof: VrfProof) -> VrfOutput:
    """Return the output of a proof that is already known to be valid.

    Raises: InvalidVrfProof (malformed). Says nothing about the key or the input.
    Source: RFC 9381, section 5.2.
    """
    gamma, _, _ = _decode_proof(proof)
    return _output(gamma)


def validate_public_key(public: PublicKey) -> None:
    """Refuse a key under which one input could have more than one output, or a known one.

    Raises: InvalidVrfKey.
    Source: RFC 9381, section 5.4.5.
    """
    if len(public) != _POINT_BYTES or not _is_canonical(public):
        raise InvalidVrfKey("not the canonical encoding of a point")
    try:
        cleared = _multiply_by_cofactor(public)
    except LibsodiumError:
        raise InvalidVrfKey("not a point on the curve") from None
    if cleared == _IDENTITY:
        raise InvalidVrfKey("a point of small order")


def _decode_proof(proof: bytes) -> tuple[bytes, bytes, bytes]:
    """Return gamma, the challenge and s; that gamma lies on the curve is checked on first use."""
    if len(proof) != PROOF_BYTES:
        raise InvalidVrfProof(f"a proof has {PROOF_BYTES} bytes, not {len(proof)}")
    gamma = proof[:_POINT_BYTES]
    challenge = proof[_POINT_BYTES : _POINT_BYTES + _CHALLENGE_BYTES]
    s = proof[_POINT_BYTES + _CHALLENGE_BYTES :]
    if not _is_canonical(gamma):
        raise InvalidVrfProof("gamma is not the canonical encoding of a point")
    if int.from_bytes(s, "little") >= _GROUP_ORDER:
        raise InvalidVrfProof("s is not below the order of the group")
    return gamma, challenge, s


def _output(gamma: bytes) -> VrfOutput:
    try:
        cleared = _multiply_by_cofactor(gamma)
    except LibsodiumError:
        raise InvalidVrfProof("gamma is not a point on the curve") from None
    return VrfOutput(sha512(_SUITE + b"\x03" + cleared + b"\x00").digest())


def _encode_to_curve(public: bytes, alpha: bytes) -> bytes:
    """Return the input's point in the prime-order subgroup: try a hash, then the next.

    Source: RFC 9381, section 5.4.1.1. Half of the hashes are the y of a point.
    """
    prefix = _SUITE + b"\x01" + public + alpha
    hashes = (sha512(prefix + bytes([counter, 0])).digest() for counter in range(_ENCODE_TRIES))
    points = (_interpret_as_point(hashed[:_POINT_BYTES]) for hashed in hashes)
    # That all 256 tries fail has a probability of 2**-256.
    return next(point for point in points if point is not None)


def _interpret_as_point(hashed: bytes) -> bytes | None:
    """Return eight times the point that ``hashed`` encodes, unless it encodes none or that is 0."""
    if not _is_canonical(hashed):
        return None
    try:
        point = _multiply_by_cofactor(hashed)
    except LibsodiumError:
        return None
    return None if point == _IDENTITY else point


def _challenge(*points: bytes) -> bytes:
    """Source: RFC 9381, section 5.4.3."""
    joined = b"".join(points)
    return sha512(_SUITE + b"\x02" + joined + b"\x00").digest()[:_CHALLENGE_BYTES]


def _is_canonical(point: bytes) -> bool:
    """Return whether RFC 8032, 5.1.3 would go on to look for x: libsodium is laxer here."""
    y = int.from_bytes(point, "little") & (2**255 - 1)
    x_is_odd = point[31] >> 7
    return y < _FIELD_PRIME and not (x_is_odd and y in {1, _FIELD_PRIME - 1})


def _multiply_base(scalar: bytes) -> bytes:
    # libsodium reports a result that is the identity as an error.
    return _IDENTITY if scalar == _ZERO else crypto_scalarmult_ed25519_base_noclamp(scalar)


def _multiply(scalar: bytes, point: bytes) -> bytes:
    """Multiply any point on the curve by a scalar below the order of the group."""
    if scalar == _ZERO:
        return _IDENTITY
    try:
        return crypto_scalarmult_ed25519_noclamp(scalar, point)
    except LibsodiumError:
        return _multiply_outside_subgroup(scalar, point)


def _multiply_outside_subgroup(scalar: bytes, point: bytes) -> bytes:
    """Split the point into its prime-order and small-order parts, and multiply each."""
    cleared = _multiply_by_cofactor(point)
    prime_part = product = _IDENTITY
    if cleared != _IDENTITY:
        prime_part = crypto_scalarmult_ed25519_noclamp(_EIGHTH, cleared)
        product = crypto_scalarmult_ed25519_noclamp(scalar, prime_part)
    small_part = crypto_core_ed25519_sub(point, prime_part)
    for _ in range(scalar[0] & 7):  # the order of the small part divides 8
        product = crypto_core_ed25519_add(product, small_part)
    return product


def _multiply_by_cofactor(point: bytes) -> bytes:
    for _ in range(3):
        point = crypto_core_ed25519_add(point, point)
    return point


def _widen(challenge: bytes) -> bytes:
    return challenge + bytes(_POINT_BYTES - _CHALLENGE_BYTES)
