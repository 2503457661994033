"""Keys and accounts as a command line gives them.

Invariants: no secret is ever taken from the command line, where every user of the machine can
read it: only development keys, which everybody knows, are named there. Secrets come from account
files with a password from a prompt or a file, or are typed at a prompt, or come from stdin.
"""

import re
import stat
import sys
from pathlib import Path

import click

from primitives.account_file import (
    FILE_CHARS_MAX,
    AccountFile,
    InvalidAccountFile,
    decode_account_file,
    open_account_file,
)
from primitives.crypto import KeyPair
from primitives.derivation import URI_CHARS_MAX, derive_key_pair
from primitives.errors import ConfigError
from primitives.ss58 import InvalidAddress, decode_account
from primitives.types import AccountId

PASSWORD_BYTES_MAX = 4096
_DEV_PATH = re.compile(r"(?://[^/]+)+")


class SecretOnCommandLine(ConfigError):
    """A secret was given as an argument: it must be considered known to others from now on."""


class PasswordMissing(ConfigError):
    """No password was given, and there is no terminal to ask for one."""


class NotAnAccount(ConfigError):
    """The text names no account of this network; most often a character was mistyped."""


class FileUnreadable(ConfigError):
    """A file that the command line names cannot be read or written."""


def is_dev_uri(text: str) -> bool:
    """Return whether ``text`` names a development key, such as ``//Alice``."""
    return _DEV_PATH.fullmatch(text) is not None


def dev_key_pair(text: str) -> KeyPair:
    """Return a development key, such as ``//Alice``'s.

    Raises: SecretOnCommandLine, InvalidSecretUri.
    """
    if not is_dev_uri(text):
        raise SecretOnCommandLine(
            "only development keys such as //Alice are named on the command line, where others "
            "can read it; for a key of your own: loopin key import, then --from-file FILE"
        )
    return derive_key_pair(text)


def account_given(text: str, prefix: int) -> AccountId:
    """Return the account of an address, or of a development key such as ``//Bob``.

    Raises: NotAnAccount, InvalidSecretUri.
    """
    if is_dev_uri(text):
        return AccountId(derive_key_pair(text).public)
    try:
        return decode_account(text, prefix)
    except InvalidAddress as error:
        # Not repeated: it may be a secret in the wrong place.
        raise NotAnAccount(
            f"an account is wanted, an address or //NAME; what was given is none: {error}"
        ) from None


def read_text_file(path: Path, bytes_max: int) -> str:
    """Return the text in a file. Raises: FileUnreadable."""
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
        if len(data) > bytes_max:
            raise FileUnreadable(f"{path} is larger than {bytes_max} bytes: is it the right file?")
        return data.decode()
    except OSError as error:
        raise FileUnreadable(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise FileUnreadable(f"{path} is not UTF-8 text") from None


def load_account_file(path: Path) -> AccountFile:
    """Return what an account file says. Raises: FileUnreadable, InvalidAccountFile."""
    text = read_text_file(path, FILE_CHARS_MAX * 4)
    try:
        return decode_account_file(text)
    except InvalidAccountFile as error:
        raise type(error)(f"{path}: {error}") from None


def unlock(path: Path, password_file: Path | None) -> KeyPair:
    """Return the key in an account file, asking for its password if no file holds it.

    Raises: FileUnreadable, InvalidAccountFile, WrongPassword, PasswordMissing.
    """
    account_file = load_account_file(path)
    password = ask_password(f"Password of {path}", password_file)
    return open_account_file(account_file, password)


def ask_password(prompt: str, file: Path | None, *, confirm: bool = False) -> str:
    """Return the password in ``file``, its last line break taken off, or typed at the terminal.

    Raises: FileUnreadable, PasswordMissing.
    """
    if file is not None:
        password = read_text_file(file, PASSWORD_BYTES_MAX).removesuffix("\n").removesuffix("\r")
        if not password:
            raise PasswordMissing(f"{file} is empty: put the password into it")
        _warn_if_others_read(file)
        return password
    return ask_secret(prompt, "--password-file FILE", confirm=confirm)


def ask_secret(prompt: str, instead: str, *, confirm: bool = False) -> str:
    """Return what is typed at the terminal, which does not show it. Raises: PasswordMissing."""
    if not sys.stdin.isatty():
        raise PasswordMissing(f"there is no terminal to type at: give {instead}")
    answer: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


def read_secret(prompt: str, file: Path | None) -> str:
    """Return a phrase or seed from ``file`` (``-`` is stdin), or typed at the terminal.

    Raises: FileUnreadable, PasswordMissing.
    """
    if file is None:
        return ask_secret(prompt, "--secret-file FILE, or --secret-file - for stdin").strip()
    if str(file) == "-":
        return sys.stdin.read(URI_CHARS_MAX + 1).strip()
    _warn_if_others_read(file)
    return read_text_file(file, URI_CHARS_MAX).strip()


def _warn_if_others_read(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise FileUnreadable(f"cannot read {path}: {error.strerror}") from error
    if mode & 0o077:
        click.echo(f"warning: others can read {path}: run chmod 600 {path}", err=True)
