"""Digests of a proof under way, in a file that may be cut off anywhere and is not believed blindly.

A file is the identity of its proof and then records: length, digests, and a hash that binds them to
everything before. What a crash or a bad disk left behind ends at the first record that does not
fit; a wrong digest in a commitment would cost half of the bond.
"""

import os
from pathlib import Path

from miner.storage_errors import disk_error
from primitives.crypto import keyed_hash
from primitives.types import AccountId, Digest

DIGEST_BYTES = 32
LENGTH_BYTES = 4


def checkpoint_identity(challenge: Digest, provider: AccountId, class_description: bytes) -> Digest:
    """Return what tells one proof from every other.

    The number of units is no part of it: more units have more leaves, and the first are the same.
    """
    return keyed_hash(challenge, provider + class_description)


class CheckpointFile:
    """The file of one proof; another proof's content is thrown away when it is opened."""

    def __init__(self, path: Path, identity: Digest, *, leaves_max: int) -> None:
        self._path = path
        self._identity = identity
        self._leaves_max = leaves_max
        self._end = 0
        self._chain = identity

    def load(self) -> bytes:
        """Return the digests that are there, and leave the file ready for more.

        Raises: DiskFull, DiskUnusable.
        """
        try:
            content = self._read()
            digests = self._replay(content)
            if self._end == 0:
                self._begin()
            elif self._end < len(content):
                os.truncate(self._path, self._end)
        except OSError as error:
            raise disk_error(self._path, error) from error
        return digests

    def append(self, digests: bytes) -> None:
        """Add digests; after ``load``. Raises: DiskFull, DiskUnusable."""
        if not digests:
            return
        following = keyed_hash(self._chain, digests)
        record = len(digests).to_bytes(LENGTH_BYTES) + digests + following
        try:
            with self._path.open("r+b") as file:
                # Over whatever an append that failed has left.
                file.seek(self._end)
                file.write(record)
                file.truncate()
                file.flush()
                os.fdatasync(file.fileno())
        except OSError as error:
            raise disk_error(self._path, error) from error
        self._end += len(record)
        self._chain = following

    def _read(self) -> bytes:
        limit = DIGEST_BYTES + self._leaves_max * (2 * DIGEST_BYTES + LENGTH_BYTES)
        try:
            with self._path.open("rb") as file:
                return file.read(limit)
        except FileNotFoundError:
            return b""

    def _replay(self, content: bytes) -> bytes:
        self._end, self._chain = 0, self._identity
        if content[:DIGEST_BYTES] != self._identity:
            return b""
        self._end = DIGEST_BYTES
        digests = bytearray()
        while True:
            start = self._end + LENGTH_BYTES
            length = int.from_bytes(content[self._end : start])
            data = content[start : start + length]
            seal = content[start + length : start + length + DIGEST_BYTES]
            whole = length > 0 and length % DIGEST_BYTES == 0 and len(seal) == DIGEST_BYTES
            if not whole or keyed_hash(self._chain, data) != seal:
                break
            digests += data
            self._chain = Digest(seal)
            self._end = start + length + DIGEST_BYTES
        return bytes(digests)

    def _begin(self) -> None:
        """Begin anew, in one step: a file holds its identity or does not exist."""
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(self._identity)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        self._end, self._chain = DIGEST_BYTES, self._identity
