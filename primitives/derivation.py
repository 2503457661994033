"""Secret URIs: ``phrase//hard/soft///password``, the way Substrate's tools name a key.

The phrase is a BIP-39 mnemonic or a ``0x`` seed; without one it is the development phrase that
everybody knows, which is how ``//Alice`` names a key. A key path gives what ``subkey inspect
--scheme ed25519`` gives.

Invariants: a path never leads to a key other than ``subkey``'s; what ``subkey`` would ignore (the
password of a ``0x`` seed) is refused; neither errors nor ``repr`` show a secret.

Source: Substrate, ``sp_core::crypto`` (``DeriveJunction``, ``SecretUri``) and ``sp_core::ed25519``.
"""

import re
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Self

from primitives.crypto import KeyPair
from primitives.errors import ConfigError
from primitives.mnemonic import SEED_BYTES, decode_phrase, derive_seed
from primitives.types import UINT64_MAX

DEV_PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
"""Known to everybody: its keys are for development chains only."""
CHAIN_CODE_BYTES = 32
URI_CHARS_MAX = 4096

_URI = re.compile(r"(?P<phrase>[a-zA-Z0-9 ]+)?(?P<path>(?://?[^/]+)*)(?:///(?P<password>[^\n]*))?")
_JUNCTION = re.compile(r"/(/?)([^/]+)")
_NUMBER = re.compile(r"\+?[0-9]+")


class InvalidSecretUri(ConfigError):
    """The text is no ``phrase//hard///password``; see the message for the part that is wrong."""


class SoftJunction(InvalidSecretUri):
    """The path has a soft junction (one slash), which ed25519 keys cannot follow.

    A soft child's public key follows from its parent's public key alone, and the clamping of
    ed25519 secrets does not survive that sum. Write two slashes.
    """


@dataclass(frozen=True, slots=True)
class Junction:
    """One step of a path. The chain code is the name's SCALE form, padded or hashed to 32 bytes."""

    chain_code: bytes = field(repr=False)  # a path can be as secret as a password
    is_hard: bool

    @classmethod
    def from_name(cls, name: str, *, is_hard: bool) -> Self:
        """Return the step called ``name``; digits that fit 64 bits are a number, not a text.

        Raises: InvalidSecretUri.
        """
        if len(name) > URI_CHARS_MAX:
            raise InvalidSecretUri(f"a junction is longer than {URI_CHARS_MAX} characters")
        if _NUMBER.fullmatch(name) and (number := int(name)) <= UINT64_MAX:
            encoded = number.to_bytes(8, "little")
        else:
            encoded = _encode_text(name)
        if len(encoded) > CHAIN_CODE_BYTES:
            encoded = blake2b(encoded, digest_size=CHAIN_CODE_BYTES).digest()
        return cls(encoded.ljust(CHAIN_CODE_BYTES, b"\x00"), is_hard)


@dataclass(frozen=True, slots=True)
class SecretUri:
    """The parts of a secret URI; ``phrase`` and ``password`` are kept out of ``repr``."""

    phrase: str = field(repr=False)
    junctions: tuple[Junction, ...]
    password: str | None = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split a secret URI into its parts; says nothing yet about the phrase's words.

        Raises: InvalidSecretUri.
        """
        if len(text) > URI_CHARS_MAX:
            raise InvalidSecretUri(f"longer than {URI_CHARS_MAX} characters")
        parts = _URI.fullmatch(text)
        if parts is None:
            raise InvalidSecretUri("expected words//hard/soft///password; a junction is empty?")
        junctions = tuple(
            Junction.from_name(name, is_hard=bool(slash))
            for slash, name in _JUNCTION.findall(parts["path"])
        )
        return cls(parts["phrase"] or DEV_PHRASE, junctions, parts["password"])


def derive_key_pair(uri: str) -> KeyPair:
    """Return the ed25519 key pair that a secret URI names.

    Raises: InvalidSecretUri, SoftJunction, InvalidMnemonic.
    """
    secret = SecretUri.parse(uri)
    seed = _root_seed(secret)
    for position, junction in enumerate(secret.junctions, start=1):
        if not junction.is_hard:
            raise SoftJunction(
                f"junction {position} is soft; ed25519 has hard junctions only: write '//'"
            )
        seed = derive_hard(seed, junction.chain_code)
    return KeyPair.from_seed(seed)


def derive_hard(seed: bytes, chain_code: bytes) -> bytes:
    """Return the seed of a hard child; from it nobody can find the parent's or a sibling's."""
    if len(seed) != SEED_BYTES or len(chain_code) != CHAIN_CODE_BYTES:
        raise ValueError("a seed and a chain code have 32 bytes each")
    return blake2b(_encode_text("Ed25519HDKD") + seed + chain_code, digest_size=32).digest()


def _root_seed(secret: SecretUri) -> bytes:
    if not secret.phrase.startswith("0x"):
        return derive_seed(decode_phrase(secret.phrase), secret.password or "")
    if secret.password is not None:
        raise InvalidSecretUri("a 0x seed has no password: remove what follows '///'")
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", secret.phrase):
        raise InvalidSecretUri("a 0x seed has 64 hexadecimal digits")
    return bytes.fromhex(secret.phrase[2:])


def _encode_text(text: str) -> bytes:
    """Return the SCALE form of at most ``URI_CHARS_MAX`` characters: compact length, then UTF-8."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise InvalidSecretUri("a junction is not valid Unicode text") from None
    # SCALE's compact integers are marked 0b00 below 2**6, 0b01 below 2**14, else 0b10.
    if len(data) < 2**6:
        return bytes([len(data) << 2]) + data
    if len(data) < 2**14:
        return (len(data) << 2 | 0b01).to_bytes(2, "little") + data
    return (len(data) << 2 | 0b10).to_bytes(4, "little") + data
