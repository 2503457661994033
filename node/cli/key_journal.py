"""``loopin key export-journal`` and ``import-journal``: a key moves with what it has promised.

Invariants: a journal is touched only while no node runs in its folder; after an import the key is
bound by what both journals forbid, or nothing has changed.
"""

from collections.abc import Sequence
from pathlib import Path

import click

from consensus.journal import INTERCHANGE_BYTES_MAX, export_interchange, import_interchange
from consensus.simplex.pledges import Floor, Record
from genesis.build import build_genesis
from genesis.spec import ChainSpec
from node.cli.files import SECRET_MODE, write_new
from node.cli.folders import base_path_option
from node.cli.keys_given import FileUnreadable
from node.cli.output import Output, json_option, pass_output
from node.cli.specs import find_spec
from node.data_folder import DataFolder
from node.journal_file import JournalFile
from node.keystore import Keystore, Role
from primitives.errors import ConfigError
from primitives.types import PublicKey

chain_option = click.option(
    "--chain", required=True, help="Preset or chain spec file of the chain that the key votes on."
)
consensus_key_option = click.option(
    "--consensus-key", metavar="0xHEX", help="Which key, if the keystore holds more than one."
)


class NoJournal(ConfigError):
    """The folder holds no journal: no validator has run in it."""


class WhichKey(ConfigError):
    """The keystore holds no such consensus key, or several; the message lists them."""


@click.command(
    "export-journal",
    epilog="Example: loopin key export-journal j.json --chain local --base-path node1",
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@base_path_option("Folder of the validator, which must not run.", required=True)
@chain_option
@consensus_key_option
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@json_option
@pass_output
def export_journal(
    output: Output,
    *,
    file: Path,
    base_path: Path,
    chain: str,
    consensus_key: str | None,
    force: bool,
) -> None:
    """Write what a validator has promised into FILE, to move its key to another machine.

    Stop the validator for good before: what it signs afterwards, the new machine does not know.
    """
    spec = find_spec(chain)
    folder = DataFolder(base_path.expanduser(), spec.id)
    key = _key(folder, consensus_key)
    if not folder.journal.exists():
        raise NoJournal(f"{folder.path} holds no journal: no validator has run there")
    with folder.locked(), JournalFile(folder.journal) as journal:
        records = journal.records
    text = export_interchange(build_genesis(spec).hash, key, records)
    write_new(file, text, force=force, mode=SECRET_MODE)
    _show(output, file, key, records)


@click.command(
    "import-journal",
    epilog="Example: loopin key import-journal j.json --chain local --base-path node2",
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@base_path_option("Folder of the validator, which must not run.", required=True)
@chain_option
@consensus_key_option
@json_option
@pass_output
def import_journal(
    output: Output, *, file: Path, base_path: Path, chain: str, consensus_key: str | None
) -> None:
    """Bind a validator by the promises in FILE, beside those that it has made here.

    Copy its key files into the keystore first. Where the two disagree, the stricter counts.
    """
    spec: ChainSpec = find_spec(chain)
    folder = DataFolder(base_path.expanduser(), spec.id)
    key = _key(folder, consensus_key)
    document = _read(file)
    genesis = build_genesis(spec).hash
    with folder.locked(), JournalFile(folder.journal) as journal:
        journal.rewrite(import_interchange(document, genesis, key, journal.records))
        records = journal.records
    _show(output, file, key, records)


def _key(folder: DataFolder, wanted: str | None) -> PublicKey:
    """Return the consensus key that is meant. Raises: WhichKey."""
    is_there = folder.keystore.is_dir()
    known = Keystore(folder.keystore).public_keys(Role.CONSENSUS) if is_there else []
    if not known:
        raise WhichKey(f"{folder.keystore} holds no consensus key: copy the key files there first")
    listed = ", ".join("0x" + key.hex() for key in known)
    if wanted is None:
        if len(known) > 1:
            raise WhichKey(f"the keystore holds {listed}: choose one with --consensus-key")
        return known[0]
    for key in known:
        if "0x" + key.hex() == wanted.lower():
            return key
    raise WhichKey(f"the keystore holds {listed}, not {wanted}")


def _read(file: Path) -> str:
    try:
        with file.open("rb") as source:
            return source.read(INTERCHANGE_BYTES_MAX + 1).decode("utf-8")
    except OSError as error:
        raise FileUnreadable(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FileUnreadable(f"{file} is no text") from error


def _show(output: Output, file: Path, key: PublicKey, records: Sequence[Record]) -> None:
    """Show how far the promises reach."""
    reach = max(((record.epoch, record.view) for record in records), default=(0, 0))
    promises = sum(not isinstance(record, Floor) for record in records)
    epoch, view = reach
    output.result(
        {
            "file": str(file),
            "consensusKey": "0x" + key.hex(),
            "epoch": epoch,
            "view": view,
            "records": promises,
        },
        lambda: output.facts(
            {
                "file": str(file),
                "consensus key": "0x" + key.hex(),
                "reaches": f"epoch {epoch}, view {view}",
                "records": str(promises),
            }
        ),
    )
