"""The consensus journal on disk.

Invariants: when ``append`` of a promise returns, it is on disk; a torn last frame is cut off
before anything follows it; the file is rewritten whole, aside and renamed, never in place; after
a failed write nothing more is written, since nobody knows what of it is on disk.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from consensus.journal import compact, encode_frame, replay
from consensus.simplex.messages import Certificate
from consensus.simplex.pledges import Floor, Record
from primitives.errors import ConfigError

REWRITE_BYTES = 4 << 20
"""The file is compacted when it has grown by this much."""
FILE_MODE = 0o600


class JournalUnusable(ConfigError):
    """The journal cannot be opened or written: without it no validator may vote."""


class JournalFile:
    """One validator's journal."""

    def __init__(self, path: Path) -> None:
        """Open the journal, which is made if it is not there.

        Raises: JournalDamaged, JournalUnusable.
        """
        self.path = path
        self._has_failed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes() if path.exists() else b""
            kept = replay(data)
            self.records: tuple[Record, ...] = kept.records
            """What the file held when it was opened or rewritten, and floors since."""
            self._descriptor = _opened(path)
            if kept.is_torn:
                os.ftruncate(self._descriptor, kept.length)
            # Also a whole file may not be on disk yet, if the machine stopped and not the node.
            os.fsync(self._descriptor)
            _sync_folder(path.parent)
            self._size = self._rewritten_at = kept.length
        except OSError as error:
            raise JournalUnusable(f"{path}: {error.strerror}") from error

    def append(self, records: Sequence[Record]) -> None:
        """Write records at the end, durably if one of them is a promise.

        Certificates alone are not waited for: losing one costs time, never safety.
        Raises: JournalUnusable.
        """
        data = b"".join(encode_frame(record) for record in records)
        with self._failing_for_good():
            _write_all(self._descriptor, data)
            if not all(isinstance(record, Certificate) for record in records):
                os.fdatasync(self._descriptor)
        self._size += len(data)

    @property
    def is_blank(self) -> bool:
        """Whether the journal held nothing that binds: its key never spoke, or it is lost."""
        return all(isinstance(record, Certificate) for record in self.records)

    def raise_floor(self, floor: Floor) -> None:
        """Promise silence up to ``floor``, durably. Raises: JournalUnusable."""
        self.append([floor])
        self.records = (*self.records, floor)

    @property
    def is_large(self) -> bool:
        """Whether it is time to ``rewrite``."""
        return self._size - self._rewritten_at > REWRITE_BYTES

    def rewrite(self, records: Iterable[Record] | None = None) -> None:
        """Replace the file by the fewest records that bind as much, durably.

        ``records`` are by default those in the file. Raises: JournalUnusable, JournalDamaged.
        """
        with self._failing_for_good():
            if records is None:
                records = replay(self.path.read_bytes()).records
            kept = compact(records)
            data = b"".join(encode_frame(record) for record in kept)
            aside = self.path.with_suffix(".new")
            aside.unlink(missing_ok=True)
            descriptor = _opened(aside)
            try:
                _write_all(descriptor, data)
                os.fsync(descriptor)
                aside.rename(self.path)
            except OSError:
                os.close(descriptor)
                raise
            os.close(self._descriptor)
            self._descriptor = descriptor
            _sync_folder(self.path.parent)
        self._size = self._rewritten_at = len(data)
        self.records = kept

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _failing_for_good(self) -> Iterator[None]:
        if self._has_failed:
            raise JournalUnusable(f"{self.path}: an earlier write failed; restart the node")
        try:
            yield
        except OSError as error:
            self._has_failed = True
            raise JournalUnusable(f"{self.path}: {error.strerror}") from error


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write everything: a disk that fills up takes a part and says so only the next time."""
    written = 0
    while written < len(data):
        written += os.write(descriptor, data[written:])


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a new file without its name is lost all the same."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
