"""A provider's folder on disk, and the lock that keeps a second program out of it.

::

    <folder>/lock                       held while the program runs
             class-<n>.checkpoint       digests of the proof under way
             class-<n>-<account>.plot   sealed chunks, for classes of storage
             class-<n>-<account>.mark   how many of them the disk has acknowledged
             worker-<n>.log             what the worker's libraries say
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.data_folder import FOLDER_MODE, FolderInUse, FolderUnusable
from primitives.types import AccountId


def default_folder(base_path: Path, account: AccountId) -> Path:
    """Return where an account's proofs live under a base path."""
    return base_path / "provider" / account.hex()[:16]


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Make the folder and hold it for this process. Raises: FolderInUse, FolderUnusable."""
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise FolderUnusable(f"{folder}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FolderInUse(
                f"another provider runs in {folder}: stop it, or choose another --folder"
            ) from error
        yield
    finally:
        os.close(descriptor)
