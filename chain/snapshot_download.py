"""The snapshot that a new node fetches, on disk until its database is made of it.

::

    <folder>/handovers     (length, 4 bytes big endian ‖ HANDOVER)*, from epoch 0 on
             manifest      MANIFEST of the snapshot that is being fetched
             <number>      chunk

Invariants: nothing is written that was not proven, and nothing read back is believed that is not
proven again: whatever a crash or a bad disk leaves here costs no more than to fetch it again.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from chain.handover import HANDOVER, Handover, TableChain
from chain.snapshot import MANIFEST, Entry, Manifest, Place, decode_chunk, verify_manifest
from primitives.block import Header
from primitives.errors import DecodeError, LoopinError
from primitives.types import Digest, Epoch

LENGTH_BYTES = 4
HEADERS_KEPT = 8
"""Boundary headers of the last epochs, for a peer whose newest snapshot is not the newest."""


class UnknownBoundary(LoopinError):
    """The snapshot is of an epoch whose end has not been proven, or was too long ago."""


class SnapshotDownload:
    """One node's way to a snapshot."""

    def __init__(self, path: Path, tables: TableChain) -> None:
        """Begin, or go on with what is there; ``tables`` is at genesis."""
        path.mkdir(parents=True, exist_ok=True)
        self.tables = tables
        self._path = path
        self._headers: dict[Epoch, Header] = {}
        self._places: tuple[Place, ...] = ()
        self._missing: set[int] = set()
        self.manifest: Manifest | None = None
        self._load_handovers()

    # Handovers

    def add_handover(self, encoded: bytes) -> Header:
        """Take the handover of the present epoch. Raises: as ``TableChain.advance``."""
        header = self._advance(encoded)
        with (self._path / "handovers").open("ab") as file:
            file.write(len(encoded).to_bytes(LENGTH_BYTES, "big") + encoded)
        return header

    def handovers(self) -> Iterator[Handover]:
        """Yield the handovers up to the snapshot's epoch, as they were proven."""
        assert self.manifest is not None, "begun before it is used"
        last = self.manifest.epoch
        for epoch, encoded in enumerate(self._stored_handovers()):
            if epoch <= last:
                yield HANDOVER.decode(encoded)

    def _advance(self, encoded: bytes) -> Header:
        epoch = self.tables.epoch
        header = self.tables.advance(HANDOVER.decode(encoded))
        self._headers[epoch] = header
        self._headers.pop(Epoch(epoch - HEADERS_KEPT), None)
        return header

    def _load_handovers(self) -> None:
        length = 0
        try:
            for encoded in self._stored_handovers():
                self._advance(encoded)
                length += LENGTH_BYTES + len(encoded)
        except LoopinError:
            pass  # cut off by a crash, or damaged: fetched again from here on
        file = self._path / "handovers"
        if file.exists():
            with file.open("r+b") as opened:
                opened.truncate(length)

    def _stored_handovers(self) -> Iterator[bytes]:
        path = self._path / "handovers"
        if not path.exists():
            return
        with path.open("rb") as file:
            while prefix := file.read(LENGTH_BYTES):
                yield file.read(min(int.from_bytes(prefix, "big"), HANDOVER.bytes_max))

    # Chunks

    def begin(self, manifest: Manifest) -> None:
        """Fetch this snapshot; chunks of it that are there already are kept.

        Raises: UnknownBoundary, BadSkeleton.
        """
        header = self._headers.get(manifest.epoch)
        if header is None:
            raise UnknownBoundary(f"epoch {manifest.epoch}")
        self._places = verify_manifest(manifest, header.height, header.state_root)
        stored = self._path / "manifest"
        encoded = MANIFEST.encode(manifest)
        if not stored.exists() or stored.read_bytes() != encoded:
            for file in self._path.glob("[0-9]*"):
                file.unlink()
            _write(stored, encoded)
        self.manifest = manifest
        wanted = (at for at, place in enumerate(self._places) if not place.is_empty)
        self._missing = {number for number in wanted if not self._is_there(number)}

    @property
    def header(self) -> Header:
        """The header of the block whose state is fetched."""
        assert self.manifest is not None, "begun before it is used"
        return self._headers[self.manifest.epoch]

    @property
    def missing(self) -> frozenset[int]:
        """The chunks that are not there yet."""
        return frozenset(self._missing)

    def __len__(self) -> int:
        """Return how many chunks hold anything."""
        return sum(1 for place in self._places if not place.is_empty)

    def add_chunk(self, number: int, data: bytes) -> None:
        """Take a chunk. Raises: DecodeError if it is not proven."""
        decode_chunk(self._places[number], data)
        _write(self._path / str(number), data)
        self._missing.discard(number)

    def entries(self) -> Iterator[Entry]:
        """Yield the whole state, proven chunk by chunk. Raises: DecodeError, OSError."""
        assert not self._missing, "complete before it is used"
        for number, place in enumerate(self._places):
            if not place.is_empty:
                yield from decode_chunk(place, (self._path / str(number)).read_bytes())

    def state_root(self) -> Digest:
        """Return the state root that is proven."""
        return self.header.state_root

    def remove(self) -> None:
        """Let go of everything; the database is made."""
        shutil.rmtree(self._path, ignore_errors=True)

    def _is_there(self, number: int) -> bool:
        try:
            decode_chunk(self._places[number], (self._path / str(number)).read_bytes())
        except (OSError, DecodeError):
            return False
        return True


def _write(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    made = path.with_name("making")
    made.write_bytes(data)
    made.rename(path)
