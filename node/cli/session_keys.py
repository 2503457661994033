"""The session keys of a node's keystore, as the command line shows them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from node.cli.folders import WhichChain, find_folder
from node.data_folder import DataFolder
from node.keystore import Keystore, Role


def load_session_keys(
    base_path: Path, chain_id: str | None, *, generate: bool
) -> Mapping[str, Sequence[str]]:
    """Return the public keys of each role as 0x-hex, those missing made if ``generate``.

    Raises: WhichChain, KeyUnreadable.
    """
    folder = _folder(base_path, chain_id, generate=generate)
    keystore = Keystore(folder.keystore)
    if generate:
        for role in Role:
            if not keystore.public_keys(role):
                keystore.generate(role)
    return {
        role.value: ["0x" + public.hex() for public in keystore.public_keys(role)] for role in Role
    }


def _folder(base_path: Path, chain_id: str | None, *, generate: bool) -> DataFolder:
    if chain_id is None:
        return find_folder(base_path, None)
    folder = DataFolder(base_path.expanduser(), chain_id)
    if not generate and not folder.keystore.is_dir():
        raise WhichChain(f"{folder.path} has no keystore: make keys with --generate")
    return folder
