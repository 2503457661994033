"""Write tests/vectors/ed25519.json: ``python -m tests.vectors.make_ed25519``.

Signatures at the edges of ed25519, where libraries differ, with libsodium's verdict on each: the
rule of this chain. The cases follow "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko,
2020): small-order and mixed-order keys and commitments, ``s`` beyond the group order, encodings
that are not canonical. Run it only to add cases: an old verdict that changes is a fork.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from primitives.crypto import KeyPair, is_valid_signature
from primitives.types import PublicKey, Signature

PATH = Path(__file__).with_name("ed25519.json")

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(one: Point, two: Point) -> Point:
    (x1, y1), (x2, y2) = one, two
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def multiply(scalar: int, point: Point) -> Point:
    total = IDENTITY
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point = add(point, point)
        scalar >>= 1
    return total


def find_x(y: int) -> int:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert x * x % P == square
    return x


def compress(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


BASE_Y = 4 * pow(5, -1, P) % P
_X = find_x(BASE_Y)
BASE: Point = (_X if _X % 2 == 0 else P - _X, BASE_Y)


def order_eight() -> Point:
    """Return a generator of the eight points of small order."""
    y = 2
    while True:
        y += 1
        try:
            point = multiply(ORDER, (find_x(y), y))
        except AssertionError:
            continue
        if multiply(4, point) != IDENTITY:
            return point


def challenge(commitment: bytes, public: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(commitment + public + message).digest(), "little") % ORDER


def answer(secret: int, nonce: int, commitment: bytes, public: bytes, message: bytes) -> bytes:
    scalar = (nonce + challenge(commitment, public, message) * secret) % ORDER
    return scalar.to_bytes(32, "little")


def mixed_cases() -> list[tuple[str, bytes, bytes, bytes]]:
    """Keys and commitments with a part of small order, cofactored and cofactorless."""
    torsion, secret, nonce, message = order_eight(), 987654321, 123456789, b"loopin"
    clean_key, clean_commitment = multiply(secret, BASE), multiply(nonce, BASE)
    cases = []
    for key_part in (0, 1, 4):
        for commitment_part in (0, 1, 4):
            key = compress(add(clean_key, multiply(key_part, torsion)))
            commitment = compress(add(clean_commitment, multiply(commitment_part, torsion)))
            signature = commitment + answer(secret, nonce, commitment, key, message)
            why = f"key with {key_part}/8 torsion, commitment with {commitment_part}/8"
            cases.append((why, key, message, signature))
    # Here the small-order parts cancel each other, so even a check without cofactor holds.
    for number in range(64):
        message = b"balanced %d" % number
        key = compress(add(clean_key, torsion))
        for part in range(1, 8):
            commitment = compress(add(clean_commitment, multiply(part, torsion)))
            if (challenge(commitment, key, message) + part) % 8 == 0:
                signature = commitment + answer(secret, nonce, commitment, key, message)
                cases.append(("torsion of key and commitment cancel", key, message, signature))
                return cases
    raise AssertionError("no balanced case among 64 messages")


def small_order_cases() -> list[tuple[str, bytes, bytes, bytes]]:
    torsion, message = order_eight(), b"loopin"
    cases = []
    for part in range(8):
        key = compress(multiply(part, torsion))
        identity = compress(IDENTITY)
        cases.append((f"key of small order {part}/8, s = 0", key, message, identity + bytes(32)))
        nonce = 5
        commitment = compress(multiply(nonce, BASE))
        signature = commitment + nonce.to_bytes(32, "little")
        cases.append((f"key of small order {part}/8, s = r", key, message, signature))
    secret = 42
    key = compress(multiply(secret, BASE))
    for part in range(8):
        commitment = compress(multiply(part, torsion))
        signature = commitment + answer(secret, 0, commitment, key, message)
        cases.append((f"commitment of small order {part}/8", key, message, signature))
    return cases


def non_canonical_cases() -> list[tuple[str, bytes, bytes, bytes]]:
    cases = []
    for y in (0, 1, 2, 3, 4, 18):
        for sign in (0, 1):
            odd = ((y + P) | sign << 255).to_bytes(32, "little")
            why = f"y = p + {y}, sign {sign}"
            cases.append((f"key with {why}", odd, b"loopin", compress(IDENTITY) + bytes(32)))
            pair = KeyPair(bytes(32))
            cases.append((f"commitment with {why}", pair.public, b"loopin", odd + bytes(32)))
    for name, y in (("identity", 1), ("order two", P - 1)):
        odd = (y | 1 << 255).to_bytes(32, "little")
        cases.append((f"{name} with the sign of zero set", odd, b"loopin", odd + bytes(32)))
    return cases


def scalar_cases() -> list[tuple[str, bytes, bytes, bytes]]:
    pair, message = KeyPair(bytes(range(32))), b"loopin"
    good: bytes = pair.sign(message)
    scalar = int.from_bytes(good[32:], "little")
    cases: list[tuple[str, bytes, bytes, bytes]] = [
        ("honest", pair.public, message, good),
        ("honest, empty message", pair.public, b"", pair.sign(b"")),
        ("another message", pair.public, b"looping", good),
        ("another key", KeyPair(bytes(32)).public, message, good),
        ("s = 0", pair.public, message, good[:32] + bytes(32)),
        ("s all ones", pair.public, message, good[:32] + b"\xff" * 32),
    ]
    for times in (1, 2, 4, 8, 15):
        raised = scalar + times * ORDER
        if raised < 2**256:
            data = raised.to_bytes(32, "little")
            cases.append((f"s + {times} times the order", pair.public, message, good[:32] + data))
    for bit in (0, 100, 255, 256, 400, 511):
        flipped = (int.from_bytes(good, "little") ^ 1 << bit).to_bytes(64, "little")
        cases.append((f"bit {bit} flipped", pair.public, message, flipped))
    off_curve = next(y for y in range(2, 99) if not _on_curve(y)).to_bytes(32, "little")
    cases.append(("key not on the curve", off_curve, message, good))
    cases.append(("commitment not on the curve", pair.public, message, off_curve + good[32:]))
    return cases


def _on_curve(y: int) -> bool:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    return pow(square, (P - 1) // 2, P) in (0, 1)


def main() -> None:
    cases = [*scalar_cases(), *mixed_cases(), *small_order_cases(), *non_canonical_cases()]
    vectors: list[dict[str, Any]] = [
        {
            "why": why,
            "public": public.hex(),
            "message": message.hex(),
            "signature": signature.hex(),
            "valid": is_valid_signature(PublicKey(public), message, Signature(signature)),
        }
        for why, public, message, signature in cases
    ]
    PATH.write_text(json.dumps({"vectors": vectors}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
