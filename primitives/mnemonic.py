"""Mnemonics: a key's entropy as 12 to 24 English words, and the seed that Substrate makes of it.

Invariants: words and entropy map one to one; the last word carries a checksum, so most typing
errors are found; no error message contains a word of the phrase. Randomness is not made here: the
entropy comes from the caller.

Source: BIP-0039 for the words; ``substrate-bip39`` for the seed, which stretches the *entropy*
where BIP-39 stretches the words. So the same words give here what they give in ``subkey`` and
polkadot.js, and something else in a Bitcoin wallet.
"""

from hashlib import pbkdf2_hmac, sha256

from primitives.bip39_words import WORDS
from primitives.errors import ConfigError

SEED_BYTES = 32
ENTROPY_BYTES = (16, 20, 24, 28, 32)
PHRASE_WORDS = (12, 15, 18, 21, 24)

_WORD_BITS = 11
_ROUNDS = 2048
_PHRASE_CHARS_MAX = 1024
_INDEX = {word: index for index, word in enumerate(WORDS)}


class InvalidMnemonic(ConfigError):
    """The phrase is not BIP-39: compare it word by word with what was written down."""


def encode_phrase(entropy: bytes) -> str:
    """Return the words for ``entropy``, which must have 16, 20, 24, 28 or 32 bytes."""
    if len(entropy) not in ENTROPY_BYTES:
        raise ValueError(f"entropy of {len(entropy)} bytes has no phrase")
    checksum_bits = len(entropy) // 4
    number = int.from_bytes(entropy, "big") << checksum_bits | _checksum(entropy)
    count = (len(entropy) * 8 + checksum_bits) // _WORD_BITS
    shifts = range(_WORD_BITS * (count - 1), -1, -_WORD_BITS)
    return " ".join(WORDS[number >> shift & 0x7FF] for shift in shifts)


def decode_phrase(phrase: str) -> bytes:
    """Return the entropy of a phrase; white space around and between words may be any.

    Raises: InvalidMnemonic.
    """
    words = phrase.split() if len(phrase) <= _PHRASE_CHARS_MAX else []
    if len(words) not in PHRASE_WORDS:
        raise InvalidMnemonic("a mnemonic has 12, 15, 18, 21 or 24 words")
    number = 0
    for position, word in enumerate(words, start=1):
        if word not in _INDEX:
            raise InvalidMnemonic(f"word {position} is not in the BIP-39 English list")
        number = number << _WORD_BITS | _INDEX[word]
    checksum_bits = len(words) // 3
    entropy = (number >> checksum_bits).to_bytes(checksum_bits * 4, "big")
    if number & ((1 << checksum_bits) - 1) != _checksum(entropy):
        raise InvalidMnemonic("the checksum does not match: a word is wrong or misplaced")
    return entropy


def derive_seed(entropy: bytes, password: str = "") -> bytes:
    """Return the 32-byte ed25519 seed of ``entropy``; each password gives another good seed.

    The password's UTF-8 bytes are taken as they are, without Unicode normalisation, as ``subkey``
    takes them.
    Raises: InvalidMnemonic.
    """
    if len(entropy) not in ENTROPY_BYTES:
        raise ValueError(f"entropy of {len(entropy)} bytes has no seed")
    try:
        salt = b"mnemonic" + password.encode()
    except UnicodeEncodeError:
        raise InvalidMnemonic("the password is not valid Unicode text") from None
    return pbkdf2_hmac("sha512", entropy, salt, _ROUNDS, dklen=64)[:SEED_BYTES]


def _checksum(entropy: bytes) -> int:
    """Return the first bit of the hash per 32 bits of entropy."""
    return sha256(entropy).digest()[0] >> 8 - len(entropy) // 4
