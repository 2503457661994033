"""Hashes and keys of 32 bytes as people type them."""

from primitives.errors import ConfigError
from primitives.types import Digest


class InvalidHash(ConfigError):
    """The text is no hash of 32 bytes."""


def parse_hash(text: str, option: str) -> Digest:
    """Return a block's hash from a command line. Raises: InvalidHash."""
    try:
        data = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        data = b""
    if len(data) != 32:
        raise InvalidHash(f"{option} {text:.80}: give a hash, 0x and 64 hex digits")
    return Digest(data)
