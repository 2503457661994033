"""Addresses as people read and type them: SS58, the base58 form of the Substrate ecosystem.

Invariants: one text for one (prefix, account), and every other text that decodes to something
similar is refused; only 32-byte accounts have addresses here.

Source: Substrate, SS58 registry and ``sp_core::crypto::Ss58Codec``.
"""

from dataclasses import dataclass
from hashlib import blake2b

from primitives.errors import DecodeError
from primitives.types import AccountId

GENERIC_PREFIX = 42
"""The network prefix of any chain that registered none."""
PREFIX_MAX = 16383
ACCOUNT_BYTES = 32
TEXT_CHARS_MAX = 50
"""Base58 digits of a two-byte prefix, an account and a checksum."""

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}
_CHECKSUM_BYTES = 2
_RESERVED_PREFIXES = (46, 47)
_ONE_BYTE_PREFIXES = 64


class InvalidAddress(DecodeError):
    """The text is no SS58 address of a 32-byte account; most often a character was mistyped."""


class WrongNetwork(InvalidAddress):
    """The address is sound but made for another network's prefix."""


@dataclass(frozen=True, slots=True)
class Address:
    prefix: int
    account: AccountId


def encode_address(account: AccountId, prefix: int = GENERIC_PREFIX) -> str:
    """Return the SS58 text of ``account`` for a network.

    Raises: ValueError for a prefix that is reserved or beyond ``PREFIX_MAX``: a wrong chain spec.
    """
    if not 0 <= prefix <= PREFIX_MAX or prefix in _RESERVED_PREFIXES:
        raise ValueError(f"no network has the SS58 prefix {prefix}")
    if len(account) != ACCOUNT_BYTES:
        raise ValueError(f"an account has {ACCOUNT_BYTES} bytes, not {len(account)}")
    body = _encode_prefix(prefix) + account
    return _encode_base58(body + _checksum(body))


def decode_address(text: str) -> Address:
    """Return the account and the network prefix that ``text`` names.

    Raises: InvalidAddress.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise InvalidAddress(f"{len(text)} characters are too many for an address")
    data = _decode_base58(text)
    prefix_bytes = 1 if data and data[0] < _ONE_BYTE_PREFIXES else 2
    if len(data) != prefix_bytes + ACCOUNT_BYTES + _CHECKSUM_BYTES:
        raise InvalidAddress(f"{len(data)} bytes are not an address of a 32-byte account")
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if checksum != _checksum(body):
        raise InvalidAddress("the checksum does not match")
    prefix = _decode_prefix(body[:prefix_bytes])
    return Address(prefix, AccountId(body[prefix_bytes:]))


def decode_account(text: str, prefix: int = GENERIC_PREFIX) -> AccountId:
    """Return the account that ``text`` names on the network with ``prefix``.

    Raises: InvalidAddress, WrongNetwork.
    """
    address = decode_address(text)
    if address.prefix != prefix:
        raise WrongNetwork(f"made for SS58 prefix {address.prefix}, this chain has {prefix}")
    return address.account


def _encode_prefix(prefix: int) -> bytes:
    """Return one byte, or two whose first is marked 0b01 and holds the middle six bits."""
    if prefix < _ONE_BYTE_PREFIXES:
        return bytes([prefix])
    return bytes([0b0100_0000 | prefix >> 2 & 0b0011_1111, prefix >> 8 | (prefix & 0b11) << 6])


def _decode_prefix(data: bytes) -> int:
    if len(data) == 1:
        prefix = data[0]
    elif data[0] & 0b1000_0000:
        raise InvalidAddress("the two upper bits of the prefix are reserved")
    else:
        prefix = (data[0] & 0b0011_1111) << 2 | data[1] >> 6 | (data[1] & 0b0011_1111) << 8
    if prefix in _RESERVED_PREFIXES or data != _encode_prefix(prefix):
        raise InvalidAddress(f"prefix {prefix} is reserved, or not in its shortest form")
    return prefix


def _checksum(body: bytes) -> bytes:
    return blake2b(b"SS58PRE" + body, digest_size=64).digest()[:_CHECKSUM_BYTES]


def _encode_base58(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    digits: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\x00"))
    return "1" * zeros + "".join(reversed(digits))


def _decode_base58(text: str) -> bytes:
    """Base58 of bounded length: a leading ``1`` is a zero byte, so that each text has one value."""
    number = 0
    for position, character in enumerate(text):
        if character not in _DIGITS:
            raise InvalidAddress(f"character {position + 1} is not in the base58 alphabet")
        number = number * 58 + _DIGITS[character]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
