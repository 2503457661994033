"""``loopin chain export`` and ``import``: final blocks in files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import click

from chain.block_file import Replay, Stored, read_blocks, read_genesis, write_blocks
from chain.blockchain import Blockchain
from chain.store_reader import HistoryPruned, StoreReader
from consensus.simplex.messages import CERTIFICATE
from genesis.build import build_genesis
from node.cli.connection import connect, url_option
from node.cli.folders import base_path_option, chain_id_option, open_database
from node.cli.keys_given import FileUnreadable
from node.cli.output import Bar, Output, json_option, pass_output
from node.cli.specs import find_spec
from node.client.node_client import NodeClient
from primitives.block import HEADER, Block, body_from_plain
from primitives.codec import decode_trusted
from primitives.errors import DecodeError, LoopinError
from primitives.types import Digest, Height

PRUNED = (
    "block {height} has been pruned: export from a node that runs with --pruning archive, "
    "or begin later with --from"
)


class Pruned(LoopinError):
    """The blocks are not there any more; the message says where to look."""


@click.command(epilog="Example: loopin chain export blocks.loopin")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--from",
    "first",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Height of the first block.",
)
@click.option("--to", "last", type=click.IntRange(min=1), help="By default the last final block.")
@base_path_option("Read the folder of a stopped node instead of asking one that runs.")
@chain_id_option
@url_option
@json_option
@pass_output
def export(
    output: Output,
    *,
    file: Path,
    first: int,
    last: int | None,
    base_path: Path | None,
    chain_id: str | None,
    url: str,
) -> None:
    """Write final blocks with their certificates into a FILE."""
    if base_path is not None:
        with open_database(base_path, chain_id) as store, store.snapshot() as reader:
            stop = _last(first, last, reader.head.height)
            blocks = blocks_of_store(reader, first, stop)
            count = _write(output, file, reader.genesis_hash, blocks, (first, stop))
    else:
        with connect(url) as client:
            final = client.header(client.final_hash())
            stop = _last(first, last, final.header.height)
            blocks = blocks_of_node(client, first, stop)
            count = _write(output, file, client.genesis_hash, blocks, (first, stop))
    output.result(
        {"file": str(file), "blocks": count, "first": first, "last": stop},
        lambda: output.text(f"{count} blocks, {first} to {stop}, are in {file}"),
    )


@click.command(
    "import", epilog="Example: loopin chain import blocks.loopin --chain dev --base-path copy"
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--chain", required=True, metavar="FILE|dev|local", help="Chain spec or preset.")
@base_path_option("Folder of the node, which must not run; made if missing.", required=True)
@click.option(
    "--pruning",
    metavar="N|archive",
    default="archive",
    show_default=True,
    help="Final blocks kept whole with their history, or archive for all.",
)
@json_option
@pass_output
def import_(output: Output, *, file: Path, chain: str, base_path: Path, pruning: str) -> None:
    """Execute and check the blocks in a FILE, and keep them as a node's database.

    Nothing in the file is believed: every signature, root and certificate is checked. What the
    database holds already is passed over, so an import that was stopped can be started again.
    """
    # Here, because the node's parts take half a second to import.
    from node.chain_database import open_store
    from node.cli.node import parse_pruning
    from node.data_folder import DataFolder

    spec, keep = find_spec(chain), parse_pruning(pruning)
    genesis = build_genesis(spec)
    folder = DataFolder(base_path.expanduser(), spec.id)
    with _opened(file) as source, folder.locked():
        found = read_genesis(source)
        if found != genesis.hash:
            raise _other_chain(found, genesis.hash)
        with open_store(folder.database, spec, genesis, keep) as store:
            chain_held = Blockchain(
                store, config=spec.runtime, interval=spec.consensus.block_interval
            )
            replay = Replay(chain_held, genesis.hash)
            size = file.stat().st_size
            with output.progress("importing", size) as bar:

                def on_final(height: int) -> None:
                    bar(source.tell(), size, f"block {height}")

                count = replay.run(read_blocks(source), on_final)
            while store.prune():
                pass
            head = store.reads.head
    output.result(
        {"blocks": count, "height": head.height, "hash": "0x" + head.hash.hex()},
        lambda: output.text(
            f"{count} blocks executed and checked; the last final block is {head.height} "
            f"0x{head.hash.hex()}"
        ),
    )


def blocks_of_node(client: NodeClient, first: int, last: int) -> Iterator[Stored]:
    """Yield final blocks that a running node has. Raises: Pruned."""
    for height in range(first, last + 1):
        block_hash = client.hash_at(Height(height))
        block = None if block_hash is None else client.find_block(block_hash)
        if block_hash is None or block is None:
            raise Pruned(PRUNED.format(height=height))
        yield Stored(block, own_certificate(block_hash, client.find_certificate(block_hash) or b""))


def blocks_of_store(reader: StoreReader, first: int, last: int) -> Iterator[Stored]:
    """Yield final blocks that a database has. Raises: Pruned."""
    for number in range(first, last + 1):
        height = Height(number)
        try:
            body = body_from_plain(decode_trusted(reader.body_at(height)))
            certificate = reader.certificate_at(height)
        except HistoryPruned:
            raise Pruned(PRUNED.format(height=height)) from None
        yield Stored(Block(HEADER.load(reader.header_at(height)), body), certificate)


def own_certificate(block_hash: Digest, certificate: bytes) -> bytes:
    """Return a block's certificate, or nothing if it is that of a later block."""
    try:
        is_own = certificate != b"" and CERTIFICATE.decode(certificate).block == block_hash
    except DecodeError:
        is_own = False
    return certificate if is_own else b""


def _last(first: int, last: int | None, final: int) -> int:
    stop = final if last is None else min(last, final)
    if stop < first:
        raise Pruned(f"there is no final block {first} yet: the last is {final}")
    return stop


def _write(
    output: Output, file: Path, genesis: Digest, blocks: Iterable[Stored], span: tuple[int, int]
) -> int:
    """Write the blocks beside the file's place and move them there once all is well."""
    first, last = span
    aside = file.with_name(file.name + ".part")
    try:
        with aside.open("wb") as sink, output.progress("exporting", last - first + 1) as bar:
            count = write_blocks(sink, genesis, _told(blocks, bar))
        aside.replace(file)
    except OSError as error:
        raise FileUnreadable(f"cannot write {file}: {error.strerror}") from error
    finally:
        aside.unlink(missing_ok=True)
    return count


def _told(blocks: Iterable[Stored], bar: Bar) -> Iterator[Stored]:
    for done, stored in enumerate(blocks, start=1):
        yield stored
        bar(done)


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise FileUnreadable(f"cannot read {file}: {error.strerror}") from error


def _other_chain(found: Digest, wanted: Digest) -> LoopinError:
    from chain.block_file import OtherChain

    return OtherChain(
        f"the blocks are of the chain 0x{found.hex()}, --chain is 0x{wanted.hex()}: "
        "give the chain spec with which they were made"
    )
