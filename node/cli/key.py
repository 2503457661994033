"""``loopin key``: make, import, look at and use keys.

Invariants: a secret is shown only where the command's purpose or a flag says so, always on stdout
and never in an error; no secret is read from the command line; what is written is encrypted.
"""

import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from node.cli.files import SECRET_MODE, write_new
from node.cli.folders import base_path_option, chain_id_option
from node.cli.key_inspection import Subject, parse_subject, subject_of_pair
from node.cli.keys_given import (
    FileUnreadable,
    account_given,
    ask_password,
    dev_key_pair,
    load_account_file,
    read_secret,
    unlock,
)
from node.cli.lazy import LazyGroup
from node.cli.output import Output, json_option, pass_output
from node.rpc.json_types import JsonObject
from primitives.account_file import NONCE_BYTES, SALT_BYTES, encode_account_file
from primitives.crypto import KeyPair, Purpose, is_valid_signature
from primitives.derivation import derive_key_pair
from primitives.errors import ConfigError, LoopinError
from primitives.mnemonic import PHRASE_WORDS, encode_phrase
from primitives.ss58 import GENERIC_PREFIX, encode_address
from primitives.types import PublicKey, Signature

SCHEMES = ("ed25519",)
MESSAGE_BYTES_MAX = 1 << 24
_NEVER_BARE = (Purpose.EXTRINSIC_SIGNING, Purpose.VOTE)


_Command = TypeVar("_Command", bound=Callable[..., Any])


class InvalidMessage(ConfigError):
    """The message cannot be signed or read; the message says why."""


class WrongSignature(LoopinError):
    """The signature is not the account's over this message."""


scheme_option = click.option(
    "--scheme",
    type=click.Choice(SCHEMES),
    default=SCHEMES[0],
    show_default=True,
    expose_value=False,
    help="Kind of key; this chain knows one.",
)
password_file_option = click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the password; without it, the password is asked for.",
)
prefix_option = click.option(
    "--ss58-prefix",
    "prefix",
    type=click.IntRange(0, 16383),
    default=GENERIC_PREFIX,
    show_default=True,
    help="Network for which addresses are written.",
)
secret_file_option = click.option(
    "--secret-file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="File with a phrase, a 0x seed or a secret URI; - is stdin.",
)


_LAZY = {
    "export-journal": "node.cli.key_journal:export_journal",
    "import-journal": "node.cli.key_journal:import_journal",
}


@click.group(cls=LazyGroup, lazy=_LAZY)
def key() -> None:
    """Make, import, look at and use keys.

    Secrets are typed at a prompt or read from files, never taken from the command line.
    """


@key.command(epilog="Example: loopin key generate --output account.json")
@click.option(
    "--words",
    type=click.Choice([str(words) for words in PHRASE_WORDS]),
    default=str(PHRASE_WORDS[0]),
    show_default=True,
    help="Length of the phrase; 12 words are as strong as the key.",
)
@click.option(
    "--output",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the key, encrypted with a password, into an account file.",
)
@click.option("--name", default="", help="Name of the account, for wallets that show it.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option("--show-secret", is_flag=True, help="Also print the secret seed.")
@scheme_option
@password_file_option
@prefix_option
@json_option
@pass_output
def generate(
    output: Output,
    *,
    words: str,
    file: Path | None,
    name: str,
    force: bool,
    show_secret: bool,
    password_file: Path | None,
    prefix: int,
) -> None:
    """Make a new key and print its phrase: whoever has the phrase has the account."""
    phrase = encode_phrase(secrets.token_bytes(int(words) * 4 // 3))
    pair = derive_key_pair(phrase)
    document: JsonObject = {"phrase": phrase}
    facts = {"phrase": phrase}
    if file is not None:
        _write_account_file(file, pair, name, password_file, prefix=prefix, force=force)
        document["file"] = facts["file"] = str(file)
    subject = subject_of_pair(pair)
    _print_subject(output, subject, prefix, show_secret=show_secret, more=(document, facts))
    if sys.stdout.isatty() and not output.as_json:
        output.note("write the phrase down and keep it: it cannot be had back")


@key.command("import", epilog="Example: loopin key import account.json")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", default="", help="Name of the account, for wallets that show it.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@secret_file_option
@scheme_option
@password_file_option
@prefix_option
@json_option
@pass_output
def import_(
    output: Output,
    *,
    file: Path,
    name: str,
    force: bool,
    secret_file: Path | None,
    password_file: Path | None,
    prefix: int,
) -> None:
    """Write a key, given by its phrase, seed or secret URI, into an account FILE.

    The file is the JSON keystore that polkadot.js wallets read and write.
    """
    pair = derive_key_pair(read_secret("Phrase, 0x seed or secret URI", secret_file))
    _write_account_file(file, pair, name, password_file, prefix=prefix, force=force)
    more: tuple[JsonObject, dict[str, str]] = ({"file": str(file)}, {"file": str(file)})
    _print_subject(output, subject_of_pair(pair), prefix, show_secret=False, more=more)


@key.command(epilog="Example: loopin key inspect //Alice")
@click.argument("what", required=False)
@secret_file_option
@click.option("--show-secret", is_flag=True, help="Also print the secret seed.")
@scheme_option
@password_file_option
@prefix_option
@json_option
@pass_output
def inspect(
    output: Output,
    *,
    what: str | None,
    secret_file: Path | None,
    show_secret: bool,
    password_file: Path | None,
    prefix: int,
) -> None:
    """Show a key: WHAT is //NAME, an address, a 0x public key or an account file.

    Without WHAT, a phrase, seed or secret URI is asked for, or read from --secret-file. An
    account file is only opened, with its password, for --show-secret.
    """
    if what is None:
        subject = subject_of_pair(derive_key_pair(read_secret("Secret", secret_file)))
    elif Path(what).is_file():
        path = Path(what)
        found = load_account_file(path)
        pair = unlock(path, password_file) if show_secret else None
        subject = Subject(found.account, pair, found.name or None)
    else:
        subject = parse_subject(what)
    _print_subject(output, subject, prefix, show_secret=show_secret, more=({}, {}))


def _message_options(command: _Command) -> _Command:
    for option in (
        click.option("--message", help="The text, as UTF-8."),
        click.option("--hex", "hex_message", metavar="0xHEX", help="The bytes."),
        click.option(
            "--message-file",
            type=click.Path(path_type=Path, allow_dash=True),
            help="File with the bytes; - is stdin.",
        ),
    ):
        command = option(command)
    return command


@key.command(epilog="Example: loopin key sign --from //Alice --message hello")
@click.option("--from", "from_uri", metavar="//NAME", help="A development key that signs.")
@click.option(
    "--from-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Account file of the key that signs.",
)
@_message_options
@scheme_option
@password_file_option
@json_option
@pass_output
def sign(
    output: Output,
    *,
    from_uri: str | None,
    from_file: Path | None,
    message: str | None,
    hex_message: str | None,
    message_file: Path | None,
    password_file: Path | None,
) -> None:
    """Sign a message, its bytes as they are."""
    if (from_uri is None) == (from_file is None):
        raise click.UsageError("who signs? give --from //NAME or --from-file FILE")
    data = _message(message, hex_message, message_file)
    if data.startswith(_NEVER_BARE):
        raise InvalidMessage(
            "these bytes are an extrinsic or a vote: a signature would act on the chain"
        )
    pair = dev_key_pair(from_uri) if from_uri else unlock(from_file or Path(), password_file)
    signature = "0x" + pair.sign(data).hex()
    output.result({"signature": signature}, lambda: output.text(signature))


@key.command(epilog="Example: loopin key verify //Alice 0x… --message hello")
@click.argument("who", metavar="ACCOUNT")
@click.argument("signature", metavar="SIGNATURE")
@_message_options
@scheme_option
@prefix_option
@json_option
@pass_output
def verify(
    output: Output,
    *,
    who: str,
    signature: str,
    message: str | None,
    hex_message: str | None,
    message_file: Path | None,
    prefix: int,
) -> None:
    """Check that a SIGNATURE of a message is an ACCOUNT's; exits with 1 if it is not."""
    account = account_given(who, prefix)
    data = _message(message, hex_message, message_file)
    found = Signature(_bytes_of(signature, "SIGNATURE"))
    if not is_valid_signature(PublicKey(account), data, found):
        raise WrongSignature(f"the signature is not {who}'s over this message")
    address = encode_address(account, prefix)
    output.result(
        {"valid": True, "account": address}, lambda: output.text(f"valid: signed by {address}")
    )


@key.command(epilog="Example: loopin key session --base-path node1 --chain-id local --generate")
@base_path_option("Folder of the node.", required=True)
@chain_id_option
@click.option("--generate", is_flag=True, help="Make the keys that are missing.")
@click.option(
    "--account", metavar="ACCOUNT", help="Print a validator for loopin genesis build --validators."
)
@prefix_option
@json_option
@pass_output
def session(
    output: Output,
    *,
    base_path: Path,
    chain_id: str | None,
    generate: bool,
    account: str | None,
    prefix: int,
) -> None:
    """Show the public session keys in a node's keystore: those with which it votes and draws."""
    # Here, because the keystore is a part of the node, which takes long to import.
    from genesis.presets import DEV_BOND
    from node.cli.session_keys import load_session_keys

    keys = load_session_keys(base_path, chain_id, generate=generate)
    if account is None:
        output.result(
            {role: list(found) for role, found in keys.items()},
            lambda: output.facts({role: "\n".join(found) for role, found in keys.items()}),
        )
        return
    if any(len(found) != 1 for found in keys.values()):
        raise FileUnreadable(
            "a validator has one key of each kind here: make those missing with --generate, or "
            "move the old ones away"
        )
    (consensus,), (vrf,), (peer,) = keys.values()
    output.document(
        {
            "account": encode_address(account_given(account, prefix), prefix),
            "consensus_key": consensus,
            "vrf_key": vrf,
            "peer_key": peer,
            "bond": str(DEV_BOND),
        }
    )


def _print_subject(
    output: Output,
    subject: Subject,
    prefix: int,
    *,
    show_secret: bool,
    more: tuple[JsonObject, dict[str, str]],
) -> None:
    document, facts = more
    public = "0x" + subject.account.hex()
    address = encode_address(subject.account, prefix)
    document |= {"scheme": "ed25519", "publicKey": public, "accountId": public, "address": address}
    facts |= {"scheme": "ed25519", "public key": public, "account id": public, "address": address}
    if subject.name is not None:
        document["name"] = facts["name"] = subject.name
    if show_secret:
        if subject.pair is None:
            raise InvalidMessage("an address or public key does not tell the secret")
        document["secretSeed"] = facts["secret seed"] = "0x" + subject.pair.seed.hex()
    output.result(document, lambda: output.facts(facts))


def _write_account_file(
    file: Path, pair: KeyPair, name: str, password_file: Path | None, *, prefix: int, force: bool
) -> None:
    password = ask_password(f"New password for {file}", password_file, confirm=True)
    if not password:
        raise InvalidMessage("an account file has a password: type one")
    meta: dict[str, object] = {"name": name, "whenCreated": time.time_ns() // 1_000_000}
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    text = encode_account_file(pair, password, salt=salt, nonce=nonce, meta=meta, prefix=prefix)
    write_new(file, text + "\n", force=force, mode=SECRET_MODE)


def _message(text: str | None, hex_text: str | None, file: Path | None) -> bytes:
    given = [item for item in (text, hex_text, file) if item is not None]
    if len(given) != 1:
        raise click.UsageError("which message? give --message, --hex or --message-file")
    if text is not None:
        return text.encode()
    if hex_text is not None:
        return _bytes_of(hex_text, "--hex")
    assert file is not None, "one of the three was given"
    try:
        data = (
            sys.stdin.buffer.read(MESSAGE_BYTES_MAX + 1)
            if str(file) == "-"
            else _first_bytes(file, MESSAGE_BYTES_MAX + 1)
        )
    except OSError as error:
        raise FileUnreadable(f"cannot read {file}: {error.strerror}") from error
    if len(data) > MESSAGE_BYTES_MAX:
        raise InvalidMessage(f"the message is longer than {MESSAGE_BYTES_MAX} bytes")
    return data


def _first_bytes(file: Path, count: int) -> bytes:
    with file.open("rb") as source:
        return source.read(count)


def _bytes_of(text: str, what: str) -> bytes:
    try:
        if text.startswith("0x"):
            return bytes.fromhex(text[2:])
    except ValueError:
        pass
    raise InvalidMessage(f"{what} is bytes as 0x and hex digits")
