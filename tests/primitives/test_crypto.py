"""Hashes with one domain a purpose, key pairs, and which signatures count as valid."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives.crypto import KeyPair, Purpose, expand, is_valid_signature, keyed_hash
from primitives.types import PublicKey, Signature
from tests.vectors.make_ed25519 import (
    BASE,
    IDENTITY,
    ORDER,
    D,
    P,
    Point,
    add,
    compress,
    find_x,
    multiply,
)

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "ed25519.json").read_text(encoding="utf-8")
)["vectors"]
PURPOSES = {name: key for name, key in vars(Purpose).items() if name.isupper()}

# --------------------------------------------------------- the rule in plain integers, slowly


def decompress(data: bytes) -> Point | None:
    """Return the point of a canonical encoding, or None."""
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    if pow(square, (P - 1) // 2, P) not in (0, 1):
        return None
    x = find_x(y)
    if x == 0 and sign:
        return None
    return (x if x & 1 == sign else P - x, y)


def reference_is_valid(public: bytes, message: bytes, signature: bytes) -> bool:
    """No cofactor; s below the order; canonical points; neither point of small order."""
    key, commitment = decompress(public), decompress(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= ORDER:
        return False
    if multiply(8, key) == IDENTITY or multiply(8, commitment) == IDENTITY:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    negated = ((P - key[0]) % P, key[1])
    found = add(multiply(scalar, BASE), multiply(challenge, negated))
    return compress(found) == signature[:32]


# -------------------------------------------------------------------------------- signatures


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["why"])
def test_the_edges_of_ed25519_are_judged_as_they_were(vector: dict[str, Any]) -> None:
    public, message, signature = (
        bytes.fromhex(vector[name]) for name in ("public", "message", "signature")
    )

    assert is_valid_signature(PublicKey(public), message, Signature(signature)) is vector["valid"]
    assert reference_is_valid(public, message, signature) is vector["valid"]


def test_the_edges_lie_on_both_sides() -> None:
    valid = [vector["why"] for vector in VECTORS if vector["valid"]]

    assert "torsion of key and commitment cancel" in valid
    assert 5 <= len(valid) <= len(VECTORS) - 50


@settings(max_examples=20)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200))
def test_what_a_key_pair_signs_is_valid_for_it(seed: bytes, message: bytes) -> None:
    pair = KeyPair.from_seed(seed)
    signature = pair.sign(message)

    assert is_valid_signature(pair.public, message, signature)
    assert not is_valid_signature(pair.public, message + b"x", signature)
    assert pair.seed == seed


@pytest.mark.parametrize(("key_bytes", "signature_bytes"), [(31, 64), (33, 64), (32, 63), (32, 65)])
def test_keys_and_signatures_of_other_lengths_are_not_valid(
    key_bytes: int, signature_bytes: int
) -> None:
    public, signature = PublicKey(bytes(key_bytes)), Signature(bytes(signature_bytes))

    assert not is_valid_signature(public, b"", signature)


def test_a_seed_has_32_bytes() -> None:
    for length in (0, 31, 33, 64):
        with pytest.raises(ValueError, match="32 bytes"):
            KeyPair(bytes(length))


def test_a_key_pair_never_shows_its_secret() -> None:
    pair = KeyPair(bytes(range(32)))

    assert pair.seed.hex() not in repr(pair)
    assert pair.public.hex() in repr(pair)


# ------------------------------------------------------------------------------------ hashes


def test_every_purpose_has_a_key_of_its_own() -> None:
    assert all(len(key) == 32 for key in PURPOSES.values())
    assert len(set(PURPOSES.values())) == len(PURPOSES) > 20


def test_a_purpose_is_the_hash_of_its_name() -> None:
    assert blake3(b"loopin/header/1").digest() == Purpose.HEADER
    assert keyed_hash(Purpose.HEADER, b"x") == blake3(b"x", key=Purpose.HEADER).digest()


def test_one_text_has_another_hash_for_each_purpose() -> None:
    assert len({keyed_hash(key, b"same") for key in PURPOSES.values()}) == len(PURPOSES)


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_stream_can_be_read_from_any_place(length: int, offset: int) -> None:
    whole = expand(Purpose.STORAGE_SEAL, b"seed", 600)

    assert expand(Purpose.STORAGE_SEAL, b"seed", length, offset) == whole[offset : offset + length]
    assert whole[:32] == keyed_hash(Purpose.STORAGE_SEAL, b"seed")
