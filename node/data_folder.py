"""A node's folder on disk, and the lock that keeps a second node out of it.

::

    <base path>/chains/<chain id>/lock         held while a node runs
                                  db/          LevelDB
                                  snapshots/   states of the last epochs, for nodes that begin
                                  download/    such a state on its way to us, until db/ is made
                                  keystore/    session keys
                                  network/     addresses of peers
                                  journal      what this validator has signed
                                  evidence     what others have signed twice
                                  provider/    proofs under way, of a node that is a provider
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from primitives.errors import ConfigError

FOLDER_MODE = 0o700


class FolderInUse(ConfigError):
    """Another node runs in this folder: stop it, or give this one another ``--base-path``."""


class FolderUnusable(ConfigError):
    """The folder cannot be made or written."""


class DataFolder:
    """The folder of one chain under a base path."""

    def __init__(self, base_path: Path, chain_id: str) -> None:
        self.path = base_path / "chains" / chain_id

    @property
    def database(self) -> Path:
        return self.path / "db"

    @property
    def snapshots(self) -> Path:
        return self.path / "snapshots"

    @property
    def download(self) -> Path:
        return self.path / "download"

    @property
    def keystore(self) -> Path:
        return self.path / "keystore"

    @property
    def network(self) -> Path:
        return self.path / "network"

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def evidence(self) -> Path:
        return self.path / "evidence"

    @property
    def provider(self) -> Path:
        return self.path / "provider"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process. Raises: FolderInUse, FolderUnusable."""
        try:
            self.path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise FolderUnusable(f"{self.path}: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise FolderInUse(
                    f"another node runs in {self.path}: stop it, or choose another --base-path"
                ) from error
            yield
        finally:
            os.close(descriptor)
