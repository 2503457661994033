"""Sealed chunks of a provider of storage, in a file.

Invariants: the mark beside the file counts only chunks whose bytes the disk has acknowledged, so a
plot that was killed goes on where its mark stands; the last chunk under the mark is sealed again
when the plot is opened, and a plot that differs there is not believed at all.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from miner.storage_errors import DiskUnusable, disk_error
from primitives.crypto import keyed_hash
from primitives.types import AccountId, Digest
from runtime.pocps.storage_proof import StorageClass, seal_chunk

MARK_BYTES = 8
MARK_EVERY_BYTES = 4 << 20
"""Written between two marks, at most: what a crash costs."""

Seal = Callable[[StorageClass, AccountId, int], bytes]


class Plot:
    """The chunks of one provider in one class, sealed from the first on."""

    def __init__(
        self, folder: Path, resource: StorageClass, provider: AccountId, seal: Seal = seal_chunk
    ) -> None:
        """Open a plot, or begin one. Raises: DiskFull, DiskUnusable."""
        name = f"class-{resource.class_id}-{provider.hex()[:16]}"
        self._path = folder / f"{name}.plot"
        self._mark_path = folder / f"{name}.mark"
        self._resource = resource
        self._provider = provider
        self._seal = seal
        shape = (resource.class_id, resource.labels_per_chunk, resource.passes)
        self._identity = keyed_hash(
            Digest(provider), b"".join(number.to_bytes(8) for number in shape)
        )
        self.sealed = 0
        """Chunks that are there for good."""
        self._unmarked = 0
        with self._translated():
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self.sealed = self._trusted(self._read_mark())
        except BaseException:
            os.close(self._file)
            raise

    def close(self) -> None:
        """Mark what is sealed, and let go of the file. Raises: DiskFull, DiskUnusable."""
        try:
            self._mark()
        finally:
            os.close(self._file)

    def reserve(self, units: int) -> None:
        """Take the room of so many units before any of it is sealed. Raises: DiskFull."""
        size = units * self._resource.bytes_per_unit
        with self._translated():
            if size > os.fstat(self._file).st_size:
                os.posix_fallocate(self._file, 0, size)

    def seal_next(self) -> None:
        """Seal one chunk. Raises: DiskFull, DiskUnusable."""
        position = self.sealed + self._unmarked
        chunk = self._seal(self._resource, self._provider, position)
        with self._translated():
            written = os.pwrite(self._file, chunk, position * len(chunk))
        if written != len(chunk):
            raise DiskUnusable(f"{self._path}: only {written} bytes of a chunk were written")
        self._unmarked += 1
        if self._unmarked * len(chunk) >= MARK_EVERY_BYTES:
            self._mark()

    def seal_up_to(self, units: int) -> Iterator[int]:
        """Seal what is missing of so many units, yielding the chunks that are there.

        Raises: DiskFull, DiskUnusable.
        """
        wanted = units * self._resource.chunks_per_unit
        if self.sealed >= wanted:
            return
        self.reserve(units)
        while self.sealed + self._unmarked < wanted:
            self.seal_next()
            yield self.sealed + self._unmarked
        self._mark()

    def has(self, units: int) -> bool:
        """Return whether so many units are sealed."""
        return self.sealed >= units * self._resource.chunks_per_unit

    def read(self, position: int) -> bytes:
        """Return a sealed chunk. Raises: DiskUnusable."""
        size = self._resource.chunk_bytes
        with self._translated():
            chunk = os.pread(self._file, size, position * size)
        if position >= self.sealed or len(chunk) != size:
            raise DiskUnusable(f"{self._path} has no chunk {position}")
        return chunk

    def _mark(self) -> None:
        """Have the disk acknowledge what is written, then count it."""
        if not self._unmarked:
            return
        count = self.sealed + self._unmarked
        number = count.to_bytes(MARK_BYTES)
        fresh = self._mark_path.with_suffix(".new")
        with self._translated():
            os.fdatasync(self._file)
            with fresh.open("wb") as file:
                file.write(number + keyed_hash(self._identity, number))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._mark_path)
        self.sealed, self._unmarked = count, 0

    def _read_mark(self) -> int:
        with self._translated():
            try:
                with self._mark_path.open("rb") as file:
                    content = file.read(MARK_BYTES + 33)
            except FileNotFoundError:
                return 0
        number, seal = content[:MARK_BYTES], content[MARK_BYTES:]
        return int.from_bytes(number) if keyed_hash(self._identity, number) == seal else 0

    def _trusted(self, count: int) -> int:
        """Return ``count`` if its last chunk is what it must be, else 0."""
        if not 0 < count <= self._resource.units_max * self._resource.chunks_per_unit:
            return 0
        size = self._resource.chunk_bytes
        with self._translated():
            last = os.pread(self._file, size, (count - 1) * size)
        return count if last == self._seal(self._resource, self._provider, count - 1) else 0

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise disk_error(self._path, error) from error
