"""What ``loopin key inspect`` can be asked about."""

import re
from dataclasses import dataclass

from node.cli.keys_given import SecretOnCommandLine, dev_key_pair, is_dev_uri
from primitives.crypto import KeyPair
from primitives.errors import ConfigError
from primitives.ss58 import InvalidAddress, decode_address
from primitives.types import AccountId

_PUBLIC_KEY = re.compile(r"0x[0-9a-fA-F]{64}")


class UnknownSubject(ConfigError):
    """The text names no key; the message says what does."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A key, as far as it is known."""

    account: AccountId
    pair: KeyPair | None
    name: str | None = None


def subject_of_pair(pair: KeyPair) -> Subject:
    """Return a key whose secret is known."""
    return Subject(AccountId(pair.public), pair)


def parse_subject(text: str) -> Subject:
    """Return the key that a command line names. Raises: UnknownSubject, SecretOnCommandLine."""
    if is_dev_uri(text):
        return subject_of_pair(dev_key_pair(text))
    if _PUBLIC_KEY.fullmatch(text):
        return Subject(AccountId(bytes.fromhex(text[2:])), None)
    if " " in text or "//" in text:
        raise SecretOnCommandLine(
            "a secret was given on the command line, where others can read it: give no argument "
            "and type it at the prompt, or use --secret-file"
        )
    try:
        return Subject(decode_address(text).account, None)
    except InvalidAddress as error:
        # Not repeated: it may be a secret that was mistyped.
        raise UnknownSubject(
            f"neither //NAME, an address, a 0x public key nor an account file ({error})"
        ) from None
