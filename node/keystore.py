"""The keystore: the secrets with which a node votes, draws and is known, each in a file.

Invariants: a secret is in a file that its owner alone can read, or nowhere; it is never in the
database and never in a log or an error. A file's name holds the public key, so that several
generations of a key can lie side by side while the chain moves from one to the next.
"""

import json
import os
import re
import secrets
import stat
from enum import StrEnum
from pathlib import Path

from primitives.crypto import SEED_BYTES, KeyPair
from primitives.errors import ConfigError
from primitives.types import PublicKey

FILE_BYTES_MAX = 4096
FILE_MODE = 0o600
FOLDER_MODE = 0o700
_FILE_NAME = re.compile(r"([a-z]+)-([0-9a-f]{64})\.json")


class Role(StrEnum):
    """What a key is for."""

    CONSENSUS = "consensus"
    VRF = "vrf"
    PEER = "peer"


class KeyUnreadable(ConfigError):
    """A key file cannot be used; the message says what to do about it."""


class KeyNotSaved(ConfigError):
    """A key file cannot be written: make room, or give the folder to this user."""


class KeyMissing(ConfigError):
    """The keystore lacks a key that the node needs."""


class Keystore:
    """The key files of one node."""

    def __init__(self, folder: Path) -> None:
        """Open the keystore in ``folder``, which is made if it is not there.

        Raises: KeyNotSaved.
        """
        self.folder = folder
        try:
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise KeyNotSaved(f"cannot make {folder}: {error.strerror}") from error

    def save(self, role: Role, seed: bytes) -> KeyPair:
        """Put a key into the store, durably; one that is there already stays. Return it.

        Raises: KeyUnreadable, KeyNotSaved.
        """
        pair = KeyPair(seed)
        path = self._path(role, pair.public)
        if path.exists():
            return self._load(path, role, pair.public)
        text = json.dumps({"role": role.value, "public": pair.public.hex(), "seed": seed.hex()})
        # Written aside and then renamed, so that a crash leaves no half of a key.
        aside = path.with_suffix(".new")
        try:
            aside.unlink(missing_ok=True)
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
            with os.fdopen(descriptor, "w") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            aside.rename(path)
            _sync_folder(self.folder)
        except OSError as error:
            raise KeyNotSaved(f"cannot write {path}: {error.strerror}") from error
        return pair

    def generate(self, role: Role) -> KeyPair:
        """Make a new key and put it into the store."""
        return self.save(role, secrets.token_bytes(SEED_BYTES))

    def find(self, role: Role, public: PublicKey) -> KeyPair | None:
        """Return the pair of a public key, or None. Raises: KeyUnreadable."""
        path = self._path(role, public)
        return self._load(path, role, public) if path.exists() else None

    def public_keys(self, role: Role) -> list[PublicKey]:
        """Return the public keys of that role, in order."""
        names = sorted(path.name for path in self.folder.glob(f"{role.value}-*.json"))
        found = [_FILE_NAME.fullmatch(name) for name in names]
        return [PublicKey(bytes.fromhex(match[2])) for match in found if match is not None]

    def only(self, role: Role) -> KeyPair:
        """Return the key of a role that has one key, making it if there is none yet.

        Raises: KeyUnreadable.
        """
        known = self.public_keys(role)
        if not known:
            return self.generate(role)
        if len(known) > 1:
            raise KeyUnreadable(
                f"{self.folder} holds {len(known)} {role.value} keys: keep one, move the rest"
            )
        return self._load(self._path(role, known[0]), role, known[0])

    def _path(self, role: Role, public: PublicKey) -> Path:
        return self.folder / f"{role.value}-{public.hex()}.json"

    def _load(self, path: Path, role: Role, public: PublicKey) -> KeyPair:
        try:
            status = path.stat()
            if stat.S_IMODE(status.st_mode) & 0o077:
                raise KeyUnreadable(f"others can read {path}: run chmod 600 {path}")
            if status.st_size > FILE_BYTES_MAX:
                raise KeyUnreadable(f"{path} is too large for a key file")
            content = json.loads(path.read_text("utf-8"))
            pair, purpose = KeyPair(bytes.fromhex(content["seed"])), content["role"]
        except OSError as error:
            raise KeyUnreadable(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, RecursionError):
            # Not the error itself: it may quote the file.
            raise KeyUnreadable(f"{path} is damaged: restore it from a backup") from None
        if pair.public != public or purpose != role.value:
            raise KeyUnreadable(f"{path} holds another key than its name says: restore it")
        return pair


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
