"""Snapshots on disk: those that a node keeps for others, and the one that it fetches itself.

::

    <folder>/<epoch>/manifest      MANIFEST
                     chunks        every chunk that is not empty, one after the other
                     index         per chunk: offset (8 bytes), length (4 bytes), big endian
    <folder>/making/...            one that is being made; worthless after a restart

Invariants: a folder with a number for its name is whole, because it got that name last; what is
read back is checked by whoever receives it, so a damaged file harms nobody but our reputation.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from chain.slices import Slices
from chain.snapshot import (
    CHILDREN,
    CHUNK_BYTES_MAX,
    CHUNKS_MAX,
    MANIFEST,
    Manifest,
    encode_chunk,
    hash_entries,
    is_cut,
)
from chain.state_proof import DIGEST_BYTES, hash_key, nibble_at
from chain.store_reader import StoreReader
from primitives.errors import DecodeError, LoopinError
from primitives.types import EMPTY_DIGEST, Digest, Epoch, Height

SPOOLS = 256
SPOOL_BUFFER_BYTES = 1 << 16
"""Held in memory per spool; 16 MiB for all."""
SLICE_ENTRIES = 128
OFFSET_BYTES, LENGTH_BYTES = 8, 4
INDEX_BYTES = OFFSET_BYTES + LENGTH_BYTES
_MAKING = "making"


class NoSnapshot(LoopinError):
    """No snapshot can be made of this state, or the one asked for is not kept."""


@dataclass(slots=True)
class _Spool:
    """The entries under one first byte of the key hash, on disk until they are sorted."""

    path: Path
    entries: int = 0
    size: int = 0
    """Bytes of keys and values."""
    buffer: bytearray = field(default_factory=bytearray)

    def add(self, key_hash: bytes, key: bytes, value: bytes) -> None:
        self.entries += 1
        self.size += len(key) + len(value)
        lengths = len(key).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        self.buffer += b"".join((lengths, key_hash, key, value))
        if len(self.buffer) >= SPOOL_BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        if self.buffer:
            with self.path.open("ab") as file:
                file.write(self.buffer)
            self.buffer.clear()

    def load(self) -> list[tuple[bytes, bytes, bytes]]:
        """Return (key hash, key, value), in order of key hash."""
        self.flush()
        data = self.path.read_bytes() if self.path.exists() else b""
        rows: list[tuple[bytes, bytes, bytes]] = []
        at = 0
        while at < len(data):
            key_length = int.from_bytes(data[at : at + 4], "big")
            value_length = int.from_bytes(data[at + 4 : at + 8], "big")
            key_at = at + 8 + DIGEST_BYTES
            value_at = key_at + key_length
            end = value_at + value_length
            rows.append((data[at + 8 : key_at], data[key_at:value_at], data[value_at:end]))
            at = end
        rows.sort()
        return rows


class _Writer:
    """Writes the chunks of one snapshot in order of key hash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chunks = (folder / "chunks").open("wb")
        self._offset = 0
        self._index = bytearray()
        self.depths = bytearray()
        self.digests = bytearray()

    def add(self, rows: list[tuple[bytes, bytes, bytes]], depth: int) -> None:
        digest = EMPTY_DIGEST
        data = b""
        if rows:
            digest = hash_entries([(key_hash, value) for key_hash, _, value in rows], depth)
            data = encode_chunk((key, value) for _, key, value in rows)
        if len(data) > CHUNK_BYTES_MAX or len(self.depths) == CHUNKS_MAX:
            raise NoSnapshot(f"{len(data)} bytes in chunk {len(self.depths)}: the state is too big")
        self.depths.append(depth)
        self.digests += digest
        self._index += self._offset.to_bytes(OFFSET_BYTES, "big")
        self._index += len(data).to_bytes(LENGTH_BYTES, "big")
        self._chunks.write(data)
        self._offset += len(data)

    def finish(self, manifest: Manifest) -> None:
        self._chunks.flush()
        os.fsync(self._chunks.fileno())
        self.close()
        for name, data in (("index", bytes(self._index)), ("manifest", MANIFEST.encode(manifest))):
            with (self._folder / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())

    def close(self) -> None:
        self._chunks.close()


class SnapshotFolder:
    """The snapshots that a node keeps for others."""

    def __init__(self, path: Path, kept: int) -> None:
        """Keep the last ``kept`` of them."""
        self._path = path
        self._kept = kept
        self._manifests: dict[Epoch, Manifest] = {}

    def load(self) -> None:
        """Find what is there; what is unfinished or damaged is removed."""
        shutil.rmtree(self._path / _MAKING, ignore_errors=True)
        for folder in sorted(self._path.glob("*")):
            manifest = _load_manifest(folder)
            if manifest is not None:
                self._manifests[manifest.epoch] = manifest
            else:
                shutil.rmtree(folder, ignore_errors=True)
        self._drop_old()

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Of every snapshot that is kept, newest first."""
        return tuple(self._manifests[epoch] for epoch in sorted(self._manifests, reverse=True))

    def find(self, epoch: Epoch) -> Manifest:
        """Return the manifest of a snapshot. Raises: NoSnapshot."""
        manifest = self._manifests.get(epoch)
        if manifest is None:
            raise NoSnapshot(f"epoch {epoch}")
        return manifest

    def read_chunk(self, epoch: Epoch, number: int) -> bytes:
        """Return a chunk's bytes. Raises: NoSnapshot."""
        if not 0 <= number < len(self.find(epoch).depths):
            raise NoSnapshot(f"chunk {number} of epoch {epoch}")
        try:
            with (self._path / str(epoch) / "index").open("rb") as index:
                index.seek(INDEX_BYTES * number)
                entry = index.read(INDEX_BYTES)
            with (self._path / str(epoch) / "chunks").open("rb") as chunks:
                chunks.seek(int.from_bytes(entry[:OFFSET_BYTES], "big"))
                return chunks.read(int.from_bytes(entry[OFFSET_BYTES:], "big"))
        except OSError as error:
            raise NoSnapshot(f"epoch {epoch}: {error.strerror}") from error

    def make(
        self, reader: StoreReader, epoch: Epoch, height: Height, state_root: Digest
    ) -> Slices[Manifest]:
        """Write the snapshot of a state, in slices, and let the oldest go.

        Memory holds some 16 MiB and the entries of one key hash in 256.
        Raises: NoSnapshot, StoreError, OSError.
        """
        making = self._path / _MAKING
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        writer = _Writer(making)
        try:
            spools = yield from _spooled(reader, making)
            yield from _cut(spools, writer)
            for spool in spools:
                spool.path.unlink(missing_ok=True)
            manifest = Manifest(epoch, height, bytes(writer.depths), bytes(writer.digests))
            root = manifest.skeleton.root()
            if root != state_root:
                raise NoSnapshot(f"the state has the root {root.hex()}, not {state_root.hex()}")
            writer.finish(manifest)
            place = self._path / str(epoch)
            shutil.rmtree(place, ignore_errors=True)
            making.rename(place)
            self._manifests[epoch] = manifest
            self._drop_old()
            return manifest
        finally:
            writer.close()

    def _drop_old(self) -> None:
        for epoch in sorted(self._manifests)[: -self._kept]:
            del self._manifests[epoch]
            shutil.rmtree(self._path / str(epoch), ignore_errors=True)


def _load_manifest(folder: Path) -> Manifest | None:
    try:
        manifest = MANIFEST.decode((folder / "manifest").read_bytes())
    except (OSError, DecodeError):
        return None
    return manifest if str(manifest.epoch) == folder.name else None


def _spooled(reader: StoreReader, folder: Path) -> Slices[list[_Spool]]:
    spools = [_Spool(folder / f"spool-{number:02x}") for number in range(SPOOLS)]
    for number, (key, value) in enumerate(reader.items(), start=1):
        key_hash = hash_key(key)
        spools[key_hash[0]].add(key_hash, key, value)
        if number % SLICE_ENTRIES == 0:
            yield
    return spools


def _cut(spools: list[_Spool], writer: _Writer) -> Slices[None]:
    """Write the chunks below the root, or below its children, or below theirs and so on."""
    if not _is_cut(spools, 0):
        yield from _add_all(spools, writer, 0)
        return
    for nibble in range(CHILDREN):
        here = spools[CHILDREN * nibble : CHILDREN * (nibble + 1)]
        if not _is_cut(here, 1):
            yield from _add_all(here, writer, 1)
            continue
        for spool in here:
            yield from _cut_rows(spool.load(), writer, 2)


def _is_cut(spools: list[_Spool], depth: int) -> bool:
    entries = sum(spool.entries for spool in spools)
    return is_cut(entries, sum(spool.size for spool in spools), depth)


def _add_all(spools: list[_Spool], writer: _Writer, depth: int) -> Slices[None]:
    rows = []
    for spool in spools:
        rows += spool.load()
        yield
    writer.add(rows, depth)


def _cut_rows(rows: list[tuple[bytes, bytes, bytes]], writer: _Writer, depth: int) -> Slices[None]:
    size = sum(len(key) + len(value) for _, key, value in rows)
    if not is_cut(len(rows), size, depth):
        writer.add(rows, depth)
        yield
        return
    parts: list[list[tuple[bytes, bytes, bytes]]] = [[] for _ in range(CHILDREN)]
    for row in rows:
        parts[nibble_at(row[0], depth)].append(row)
    for part in parts:
        yield from _cut_rows(part, writer, depth + 1)
