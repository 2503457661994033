"""``--base-path`` and ``--chain-id``: the folder of a node that does not run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from chain.store import Store
from node.data_folder import DataFolder
from primitives.errors import ConfigError

_Command = TypeVar("_Command", bound=Callable[..., Any])


class WhichChain(ConfigError):
    """The folder holds no chain, or several; the message lists them."""


def base_path_option(text: str, *, required: bool = False) -> Callable[[_Command], _Command]:
    """Give a command the option ``--base-path``."""
    return click.option(
        "--base-path",
        type=click.Path(file_okay=False, path_type=Path),
        required=required,
        help=text,
    )


chain_id_option = click.option(
    "--chain-id", metavar="ID", help="Which chain, if the folder holds more than one."
)


def find_folder(base_path: Path, chain_id: str | None) -> DataFolder:
    """Return the folder of a chain, of the only one if none is named. Raises: WhichChain."""
    base_path = base_path.expanduser()
    chains = base_path / "chains"
    known = sorted(path.name for path in chains.glob("*") if (path / "db").is_dir())
    if chain_id is None and len(known) == 1:
        return DataFolder(base_path, known[0])
    if chain_id in known:
        return DataFolder(base_path, str(chain_id))
    if not known:
        raise WhichChain(f"{base_path} holds no chain: give a node's --base-path")
    listed = ", ".join(known)
    raise WhichChain(f"{base_path} holds the chains {listed}: choose one with --chain-id")


@contextmanager
def open_database(base_path: Path, chain_id: str | None) -> Iterator[Store]:
    """Open the database of a node that does not run.

    Raises: WhichChain, FolderInUse (stop the node), StoreError.
    """
    folder = find_folder(base_path, chain_id)
    with folder.locked(), Store.open(folder.database) as store:
        yield store
