"""``loopin chain prove`` and ``verify-proof``: reads that need no trust in the node."""

from pathlib import Path

import click
import orjson

from chain.light_proof import ReadProof, verify_read
from node.cli.connection import connect, url_option
from node.cli.hashes import parse_hash
from node.cli.keys_given import FileUnreadable, account_given, read_text_file
from node.cli.output import Output, json_option, pass_output
from node.cli.shown import Shown
from node.client.answers import read_bytes, read_object
from node.client.errors import BadAnswer
from node.client.metadata import StorageItem
from node.client.node_client import NodeClient, hex_of
from node.rpc.json_types import JsonObject
from primitives.codec import Description, decode, encode
from primitives.errors import ConfigError, DecodeError
from primitives.types import UINT64_MAX, Digest, StorageKey

PROOF_FILE_BYTES_MAX = 1 << 20
_INTEGERS = {"u8", "u16", "u32", "u64", "amount"}


class WrongKey(ConfigError):
    """The map key is not of the item's type; the message says what it takes."""


class NotAProof(ConfigError):
    """The file holds no proof: loopin chain prove makes one."""


@click.command(epilog="Example: loopin chain prove balances.free //Alice --output alice.json")
@click.argument("item")
@click.argument("key", required=False)
@click.option("--at", metavar="HASH", help="After which block; by default the last final one.")
@click.option(
    "--output",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the proof into a file, for loopin chain verify-proof.",
)
@url_option
@json_option
@pass_output
def prove(
    output: Output, *, item: str, key: str | None, at: str | None, file: Path | None, url: str
) -> None:
    """Fetch the proof of what a storage ITEM holds, of a map under a KEY.

    The proof is checked before it is shown; whoever knows the block's hash can check it again.
    """
    with connect(url) as client:
        found = client.metadata.find_storage(item)
        storage_key = StorageKey(found.prefix + encode_key(found, key, client.token.ss58_prefix))
        block = client.final_hash() if at is None else parse_hash(at, "--at")
        read = fetch_proof(client, storage_key, block)
        shown = shown_value(found, read.value, Shown(client))
    document = document_of(item, block, read)
    if file is not None:
        _write(file, document)
    output.result(
        document,
        lambda: output.facts(
            {
                "block": hex_of(block),
                "key": hex_of(read.key),
                "value": shown,
                "proof": f"{len(read.proof)} bytes" + (f", in {file}" if file else ""),
            }
        ),
    )


@click.command(
    "verify-proof", epilog="Example: loopin chain verify-proof alice.json --header-hash 0x…"
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--header-hash", required=True, metavar="HASH", help="The block that is trusted.")
@json_option
@pass_output
def verify_proof(output: Output, *, file: Path, header_hash: str) -> None:
    """Check a proof FILE against nothing but the hash of a block's header; no node is asked.

    Exits with 1 if the proof does not hold.
    """
    read = load_proof(file)
    header = verify_read(parse_hash(header_hash, "--header-hash"), read)
    value = None if read.value is None else hex_of(read.value)
    output.result(
        {"valid": True, "height": header.height, "key": hex_of(read.key), "value": value},
        lambda: output.facts(
            {
                "valid": f"proven for block {header.height}",
                "key": hex_of(read.key),
                "value": value or "nothing",
            }
        ),
    )


def fetch_proof(client: NodeClient, key: StorageKey, block: Digest) -> ReadProof:
    """Return the proof of what ``key`` holds after ``block``, checked.

    Raises: BadAnswer if the node has no such block; InvalidProof, WrongValue if it lies.
    """
    # The proof first: a node can prove the latest few blocks only, and has the rest for longer.
    proof = client.read_proof(key, block)
    known = client.find_header(block)
    if known is None:
        raise BadAnswer(f"the node has no block {hex_of(block)}")
    value = client.storage(key, block)
    read = ReadProof(known.header.encode(), key, value, proof)
    verify_read(block, read)
    return read


def document_of(item: str, block: Digest, read: ReadProof) -> JsonObject:
    """Return a proof as JSON."""
    return {
        "item": item,
        "headerHash": hex_of(block),
        "header": hex_of(read.header),
        "key": hex_of(read.key),
        "value": None if read.value is None else hex_of(read.value),
        "proof": hex_of(read.proof),
    }


def load_proof(file: Path) -> ReadProof:
    """Return the proof in a file. Raises: FileUnreadable, NotAProof."""
    try:
        document = read_object(
            orjson.loads(read_text_file(file, PROOF_FILE_BYTES_MAX)), "the proof file"
        )
        value = document["value"]
        return ReadProof(
            header=read_bytes(document.get("header"), "header"),
            key=StorageKey(read_bytes(document.get("key"), "key")),
            value=None if value is None else read_bytes(value, "value"),
            proof=read_bytes(document.get("proof"), "proof"),
        )
    except (orjson.JSONDecodeError, KeyError, BadAnswer) as error:
        raise NotAProof(f"{file} holds no proof as loopin chain prove writes it") from error


def encode_key(item: StorageItem, key: str | None, prefix: int) -> bytes:
    """Return the map key that ``key`` means for ``item``. Raises: WrongKey, InvalidAddress."""
    if item.key is None:
        if key is not None:
            raise WrongKey(f"{item.name} is one value, no map: it takes no key")
        return b""
    if key is None:
        raise WrongKey(f"{item.name} is a map: give a key, {_wanted(item.key)}")
    return _encoded(item, item.key, key, prefix)


def _encoded(item: StorageItem, kind: Description, key: str, prefix: int) -> bytes:
    name = str(kind.get("type"))
    if name == "account" and not key.startswith("0x"):
        return encode(account_given(key, prefix))
    if name in _INTEGERS and key.isascii() and key.isdigit() and int(key[:20]) <= UINT64_MAX:
        return encode(int(key[:20]))
    if name == "text":
        return encode(key)
    try:
        data = bytes.fromhex(key.removeprefix("0x")) if key.startswith("0x") else None
    except ValueError:
        data = None
    if data is None:
        raise WrongKey(f"{item.name} takes as key {_wanted(kind)}")
    return encode(data) if name in ("account", "digest", "bytes") else data


def _wanted(kind: Description) -> str:
    match kind.get("type"):
        case "account":
            return "an address or //NAME"
        case "digest" | "bytes":
            return "bytes as 0x-hex"
        case "text":
            return "a text"
        case name if name in _INTEGERS:
            return "a whole number"
        case _:
            return "its canonical encoding as 0x-hex"


def shown_value(item: StorageItem, value: bytes | None, shown: Shown) -> str:
    """Return a stored value as people read it; its bytes if the metadata does not fit them."""
    if value is None:
        return "nothing"
    try:
        plain = decode(value, bytes_max=len(value))
    except DecodeError:
        return hex_of(value)
    return shown.value_text(plain, item.value)


def _write(file: Path, document: JsonObject) -> None:
    try:
        file.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise FileUnreadable(f"cannot write {file}: {error.strerror}") from error
