"""Account files: one encrypted ed25519 key as the polkadot.js JSON keystore, version 3.

A file moves both ways between LooPIN and the wallets that use ``@polkadot/keyring``.

Invariants: a file from anywhere costs a bounded amount of memory and time, because the scrypt
parameters are compared with a fixed list before scrypt runs; a file that opens holds a key that
belongs to the address written on it; nothing here reads a clock, a disk or a source of randomness
(salt and nonce come from the caller and must be fresh); errors show no secret.

Layout of ``encoded``, in base64::

    scrypt salt 32 | N u32 LE | p u32 LE | r u32 LE | nonce 24 | secretbox of:
    PKCS8 header 16 | seed 32 | public key 32 | divider 5 | public key 32

Source: ``@polkadot/keyring`` and ``@polkadot/util-crypto``; checked both ways by tests/interop.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import scrypt
from typing import NoReturn

from nacl.bindings import crypto_secretbox, crypto_secretbox_open
from nacl.exceptions import CryptoError

from primitives.crypto import KeyPair
from primitives.errors import ConfigError
from primitives.ss58 import GENERIC_PREFIX, InvalidAddress, decode_address, encode_address
from primitives.types import AccountId

SALT_BYTES = 32
NONCE_BYTES = 24
FILE_CHARS_MAX = 65_536
"""A file with a key is under 1 kB; the rest is what wallets write into ``meta``."""

_VERSION = "3"
_CONTENT = ["pkcs8", "ed25519"]
_TYPE = ["scrypt", "xsalsa20-poly1305"]
_SCRYPT_BYTES = SALT_BYTES + 3 * 4
_PKCS8_HEADER = bytes.fromhex("3053020101300506032b657004220420")
_PKCS8_DIVIDER = bytes.fromhex("a123032100")
_SEED_AT = len(_PKCS8_HEADER)
_SECRET_BYTES = 64
_SECRET_END = _SEED_AT + _SECRET_BYTES
_PLAIN_BYTES = _SECRET_END + len(_PKCS8_DIVIDER) + 32
_TAG_BYTES = 16
_ENCODED_BYTES = _SCRYPT_BYTES + NONCE_BYTES + _TAG_BYTES + _PLAIN_BYTES
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


class InvalidAccountFile(ConfigError):
    """The file is damaged, or no account file: take another copy, or export it again."""


class UnsupportedAccountFile(InvalidAccountFile):
    """A sound file of another kind: export it from its wallet as version 3, ed25519, encrypted."""


class WrongPassword(ConfigError):
    """The password does not open the file, or its encrypted part was changed."""


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """How expensive one guess of the password is: 128 * N * r bytes of memory, p times the work."""

    n: int
    p: int
    r: int


STRONG = ScryptCost(n=1 << 17, p=1, r=8)
"""128 MiB and a third of a second a guess; what polkadot.js writes now."""
WIDELY_READABLE = ScryptCost(n=1 << 15, p=1, r=8)
"""32 MiB a guess; what wallets released before 2025 read."""
_COSTS = (
    STRONG,
    WIDELY_READABLE,
    ScryptCost(n=1 << 13, p=10, r=8),
    ScryptCost(n=1 << 14, p=5, r=8),
    ScryptCost(n=1 << 15, p=3, r=8),
    ScryptCost(n=1 << 16, p=2, r=8),
)


@dataclass(frozen=True, slots=True)
class AccountFile:
    """What an account file says before a password is given; ``meta`` is the wallet's own JSON."""

    account: AccountId
    prefix: int
    meta: Mapping[str, object]
    encrypted: bytes

    @property
    def name(self) -> str:
        """The account's name for people, or nothing."""
        name = self.meta.get("name")
        return name if isinstance(name, str) else ""


def encode_account_file(
    key_pair: KeyPair,
    password: str,
    *,
    salt: bytes,
    nonce: bytes,
    meta: Mapping[str, object],
    prefix: int = GENERIC_PREFIX,
    cost: ScryptCost = STRONG,
) -> str:
    """Return the JSON text of an account file that ``password`` opens.

    ``salt`` (32 bytes) and ``nonce`` (24 bytes) must be random and never used before. polkadot.js
    shows ``meta["name"]``, sorts by ``meta["whenCreated"]`` (milliseconds), and ties the account to
    a chain by ``meta["genesisHash"]`` (0x-hex).
    Raises: ValueError for an empty password, wrong sizes or a cost that wallets would refuse.
    """
    if not password or len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES or cost not in _COSTS:
        raise ValueError("an empty password, a salt or nonce of wrong size, or an unknown cost")
    secret = key_pair.seed + key_pair.public
    plain = _PKCS8_HEADER + secret + _PKCS8_DIVIDER + key_pair.public
    box = crypto_secretbox(plain, nonce, _stretch(password, salt, cost))
    parameters = b"".join(number.to_bytes(4, "little") for number in (cost.n, cost.p, cost.r))
    text = json.dumps(
        {
            "encoded": b64encode(salt + parameters + nonce + box).decode(),
            "encoding": {"content": _CONTENT, "type": _TYPE, "version": _VERSION},
            "address": encode_address(AccountId(key_pair.public), prefix),
            "meta": dict(meta),
        },
        allow_nan=False,
    )
    if len(text) > FILE_CHARS_MAX:
        raise ValueError("the account's meta is too long")
    return text


def decode_account_file(text: str) -> AccountFile:
    """Return what an account file says; needs no password and does no expensive work.

    Unknown members are ignored: other wallets add their own. A member given twice is refused.
    Raises: InvalidAccountFile, UnsupportedAccountFile.
    """
    fields = _load_object(text)
    encoding = fields.get("encoding")
    if not isinstance(encoding, dict):
        raise InvalidAccountFile("no 'encoding': this is no account file")
    found = (encoding.get("version"), encoding.get("content"), encoding.get("type"))
    if found != (_VERSION, _CONTENT, _TYPE):
        raise UnsupportedAccountFile(f"expected version 3, {_CONTENT} and {_TYPE}")
    address, meta = fields.get("address"), fields.get("meta", {})
    if not isinstance(address, str) or not isinstance(meta, dict):
        raise InvalidAccountFile("'address' is no text, or 'meta' no object")
    try:
        named = decode_address(address)
    except InvalidAddress as error:
        raise InvalidAccountFile(f"'address': {error}") from None
    encrypted = _decode_encoded(fields.get("encoded"))
    _cost_of(encrypted)
    return AccountFile(named.account, named.prefix, meta, encrypted)


def open_account_file(file: AccountFile, password: str) -> KeyPair:
    """Return the key in the file; takes as long and as much memory as the file's scrypt cost.

    Raises: WrongPassword, InvalidAccountFile.
    """
    cost = _cost_of(file.encrypted)
    salt, box = file.encrypted[:SALT_BYTES], file.encrypted[_SCRYPT_BYTES:]
    try:
        key = _stretch(password, salt, cost)
        plain = crypto_secretbox_open(box[NONCE_BYTES:], box[:NONCE_BYTES], key)
    except CryptoError:
        raise WrongPassword("the password does not open this account file") from None
    key_pair = _decode_pkcs8(plain)
    if AccountId(key_pair.public) != file.account:
        raise InvalidAccountFile("the key inside does not belong to the address outside")
    return key_pair


def _stretch(password: str, salt: bytes, cost: ScryptCost) -> bytes:
    try:
        # polkadot.js takes a password that looks like 0x-hex for the bytes it spells.
        is_hex = _HEX.fullmatch(password) is not None
        data = bytes.fromhex(password[2:]) if is_hex else password.encode()
    except UnicodeEncodeError:
        raise WrongPassword("the password is not valid Unicode text") from None
    memory = 128 * cost.r * (cost.n + cost.p + 2)
    return scrypt(data, salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=memory, dklen=32)


def _decode_pkcs8(plain: bytes) -> KeyPair:
    """Return the key of a decrypted body, having checked all that is written there twice."""
    seed = plain[_SEED_AT : _SEED_AT + 32]
    if len(plain) != _PLAIN_BYTES:
        raise InvalidAccountFile("the decrypted key has another length than an ed25519 key")
    key_pair = KeyPair.from_seed(seed)
    secret = seed + key_pair.public
    if plain != _PKCS8_HEADER + secret + _PKCS8_DIVIDER + key_pair.public:
        raise InvalidAccountFile("the decrypted key contradicts itself")
    return key_pair


def _decode_encoded(encoded: object) -> bytes:
    """Return the bytes of ``encoded``: base64, or 0x-hex as the first writers of version 3."""
    if not isinstance(encoded, str):
        raise InvalidAccountFile("'encoded' is no text")
    if _HEX.fullmatch(encoded):
        data = bytes.fromhex(encoded[2:])
    else:
        try:
            data = b64decode(encoded, validate=True)
        except ValueError:
            raise InvalidAccountFile("'encoded' is neither base64 nor 0x-hex") from None
    if len(data) != _ENCODED_BYTES:
        raise InvalidAccountFile(f"'encoded' has {len(data)} bytes instead of {_ENCODED_BYTES}")
    return data


def _cost_of(encrypted: bytes) -> ScryptCost:
    """Return the scrypt cost of a file, refusing any that is not on the list."""
    n, p, r = (
        int.from_bytes(encrypted[start : start + 4], "little")
        for start in range(SALT_BYTES, _SCRYPT_BYTES, 4)
    )
    cost = ScryptCost(n=n, p=p, r=r)
    if cost not in _COSTS:
        raise UnsupportedAccountFile(f"scrypt with N={n}, p={p}, r={r} is not allowed")
    return cost


def _load_object(text: str) -> dict[str, object]:
    if len(text) > FILE_CHARS_MAX:
        raise InvalidAccountFile(f"{len(text)} characters are too many for an account file")
    try:
        value = json.loads(text, object_pairs_hook=_unique_members, parse_constant=_refuse_constant)
        # A lone surrogate can be written in JSON, and would later break whoever prints it.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidAccountFile("not JSON, or nested too deeply") from None
    if not isinstance(value, dict):
        raise InvalidAccountFile("not a JSON object")
    return value


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidAccountFile("a member is given twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidAccountFile(f"{name} is not JSON")
