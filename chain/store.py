"""The database of one node, in LevelDB: the only file that knows which database it is.

``store_schema`` says where things lie, ``store_reader`` answers questions, ``store_writes`` says
what a commit writes, ``store_check`` looks for defects.

Invariants: a final block, or several in a row, are one synced atomic write, so after a crash at
any instruction the database is that of some final block, and of none before the last that
``commit`` returned for;
one process has the database open; after a failed write nothing more is written until it is
opened again.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from chain.store_reader import StoreCorrupted, StoreError, StoreReader
from chain.store_schema import (
    HEIGHT_BYTES,
    META_CHAIN_SPEC,
    META_GENESIS,
    META_KEEP_BLOCKS,
    META_PRUNED_BELOW,
    META_SCHEMA,
    PENDING,
    SCHEMA_VERSION,
    FinalizedBlock,
    Head,
    by_height,
)
from chain.store_writes import SnapshotStart, commit_writes, path_writes, prune_writes, start_writes
from primitives.errors import ConfigError
from primitives.types import GENESIS_HEIGHT, Digest, Height

try:
    import plyvel
except ModuleNotFoundError:
    # The same library, under the name of those who build it for the newest Python.
    import plyvel_next as plyvel

CACHE_BYTES = 8 << 20
"""Of what was read from the files, unpacked. ``StateCache`` has what is read again and again."""
WRITE_BUFFER_BYTES = 8 << 20
"""Of the latest writes; while a full one is written to its file there are two. With half as much,
full blocks at once wait up to 0.7 s for files to be merged; with more, only memory grows."""
BLOOM_FILTER_BITS = 10
OPEN_FILES_MAX = 256
"""Of up to 2 MiB; index and filter of each take about 60 kB. The files are mapped: what was read
of them counts as resident, and is given up whenever others need the memory."""
_LOCK_REFUSED = "IO error: lock "
"""How LevelDB's message begins when another process, or this one, has the database open."""
BATCH_WRITES_MAX = 100_000
BATCH_BYTES_GOAL = 8 << 20
"""Of a new database, which need not be written at one go."""


class StoreMissing(ConfigError):
    """There is no database yet: start a node with a chain spec, which makes one."""


class StoreExists(ConfigError):
    """There is a database already: open it, or choose another place for the new one."""


class StoreLocked(ConfigError):
    """Another process has the database open: stop that node, or give this one its own folder."""


class WrongSchema(ConfigError):
    """The database was written by another version of this program: run that version."""


class WrongGenesis(ConfigError):
    """The database belongs to another chain: choose another folder or the other chain spec."""


class ArchiveImpossible(ConfigError):
    """Pruned history cannot be had back: make an archive from a fresh database."""


class StoreUnreadable(StoreError):
    """The operating system refuses to read or open the database's files."""


class WriteFailed(StoreError):
    """Nothing of this commit counts: free disk space or repair the disk, then start again."""


class Store:
    """The open database. Reads are ``reads``; the methods here write."""

    def __init__(self, database: "plyvel.DB", path: Path) -> None:
        """Take over an open database; ``create`` and ``open`` do this."""
        self._database = database
        self._path = path
        self._has_failed = False
        self._turn = Lock()
        """Of those writes that look at the head first; they come from several threads."""
        self.reads = StoreReader(_LevelValues(database))
        """The latest commit; each call may see a later one than the call before."""

    @classmethod
    def create(
        cls,
        path: Path,
        genesis: FinalizedBlock,
        *,
        chain_spec: bytes,
        keep_blocks: int | None = None,
    ) -> "Store":
        """Make a database that holds the genesis block; ``keep_blocks`` None means archive mode.

        Raises: StoreExists, StoreLocked, StoreUnreadable, StoreCorrupted, WriteFailed.
        """
        assert genesis.height == GENESIS_HEIGHT, "a chain begins with its genesis block"
        store = cls(_opened_empty(path), path)
        try:
            # Larger than one batch should be, but nothing counts before the schema is written.
            store._write_in_parts(commit_writes(genesis, store.reads))
            about: list[tuple[bytes, bytes | None]] = [
                (META_GENESIS, genesis.hash),
                (META_CHAIN_SPEC, chain_spec),
                (META_KEEP_BLOCKS, _number(keep_blocks or 0)),
                (META_PRUNED_BELOW, _number(0)),
                (META_SCHEMA, _number(SCHEMA_VERSION)),
            ]
            store._write(about, sync=True)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def create_from_snapshot(
        cls, path: Path, genesis: FinalizedBlock, start: SnapshotStart
    ) -> "Store":
        """Make a database that begins with the state after a later block than genesis.

        The caller has proven everything in ``start``. A crash on the way leaves nothing that
        counts as a database.
        Raises: as ``create``.
        """
        store = cls(_opened_empty(path), path)
        try:
            # Each part is on disk before the next begins, the record that makes it count last.
            store._write_in_parts(start_writes(genesis, start), sync=True)
            store._write([(META_SCHEMA, _number(SCHEMA_VERSION))], sync=True)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open(cls, path: Path, *, genesis_hash: Digest | None = None) -> "Store":
        """Open the database of the chain with ``genesis_hash``, or of any if that is None.

        Raises: StoreMissing, StoreLocked, WrongSchema, WrongGenesis, StoreUnreadable,
        StoreCorrupted.
        """
        if not (path / "CURRENT").exists():
            raise StoreMissing(f"no database in {path}; start the node with a chain spec")
        store = cls(_opened(path, create=False), path)
        try:
            store._check_identity(genesis_hash)
        except BaseException:
            store.close()
            raise
        return store

    @property
    def path(self) -> Path:
        return self._path

    def commit(self, *blocks: FinalizedBlock) -> Head:
        """Make the last of ``blocks`` the head: all of them in one atomic, durable write.

        Raises: WriteFailed; the head is then still the block before them, and the store takes no
        more writes until it is opened again.
        """
        head = self.reads.head
        for block in blocks:
            assert block.height == head.height + 1, f"block {block.height} on head {head.height}"
            assert block.parent_hash == head.hash, "the block has another parent than the head"
            assert len(block.accounts) == len(block.extrinsic_hashes), "accounts go with extrinsics"
            head = Head(block.height, block.hash, block.state_root)
        with self._turn:
            self._write(path_writes(blocks, self.reads), sync=True)
        return head

    def save_pending(self, height: Height, block_hash: Digest, block: bytes) -> None:
        """Keep a block over a crash until its height is final. Raises: WriteFailed."""
        with self._turn:
            # A height may have become final while the caller was on its way here.
            if height > self.reads.head.height:
                self._write([(by_height(PENDING, height) + block_hash, block)], sync=True)

    def prune(self, blocks_max: int = 16) -> int:
        """Reduce the oldest whole blocks to what is kept for ever; return how many.

        At most ``blocks_max``, so that one call stays short; none in archive mode. The last
        ``keep_blocks`` blocks stay whole. Raises: WriteFailed.
        """
        keep = self.reads.keep_blocks
        if keep is None:
            return 0
        first = self.reads.pruned_below
        stop = min(first + blocks_max, self.reads.head.height + 1 - keep)
        for height in range(first, stop):
            self._write(prune_writes(Height(height), self.reads), sync=False)
        return max(0, stop - first)

    def set_keep_blocks(self, keep_blocks: int | None) -> None:
        """Change how many blocks stay whole; None is archive mode. Raises: ArchiveImpossible."""
        assert keep_blocks is None or keep_blocks > 0, "at least the head stays whole"
        if keep_blocks is None and self.reads.pruned_below > 0:
            raise ArchiveImpossible(
                f"blocks below {self.reads.pruned_below} have been pruned from {self._path}; "
                "an archive node needs a fresh database"
            )
        self._write([(META_KEEP_BLOCKS, _number(keep_blocks or 0))], sync=True)

    def pinned(self) -> StoreReader:
        """Return reads of what is committed now, for as long as they are kept."""
        return StoreReader(_LevelValues(self._database.snapshot()))

    @contextmanager
    def snapshot(self) -> Iterator[StoreReader]:
        """Give reads that all see the same moment, however long they take."""
        with _translated(), self._database.snapshot() as snapshot:
            yield StoreReader(_LevelValues(snapshot))

    def close(self) -> None:
        """Close the database; a second time does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_identity(self, genesis_hash: Digest | None) -> None:
        version = _LevelValues(self._database).get(META_SCHEMA)
        if version is None:
            raise StoreMissing(f"the database in {self._path} was never finished; create it anew")
        if version != _number(SCHEMA_VERSION):
            raise WrongSchema(
                f"{self._path} has schema {int.from_bytes(version, 'big')}, this program reads "
                f"{SCHEMA_VERSION}: run the version that wrote it, or start from an empty folder"
            )
        found = self.reads.genesis_hash
        if genesis_hash not in (None, found):
            raise WrongGenesis(
                f"{self._path} belongs to the chain {found.hex()}: choose another folder, "
                "or the chain spec of that chain"
            )

    def _write_in_parts(
        self, writes: Iterable[tuple[bytes, bytes | None]], *, sync: bool = False
    ) -> None:
        part: list[tuple[bytes, bytes | None]] = []
        size = 0
        for key, value in writes:
            part.append((key, value))
            size += len(value or b"")
            if len(part) == BATCH_WRITES_MAX or size >= BATCH_BYTES_GOAL:
                self._write(part, sync=sync)
                part, size = [], 0
        self._write(part, sync=sync)

    def _write(self, writes: Iterable[tuple[bytes, bytes | None]], *, sync: bool) -> None:
        if self._has_failed:
            raise WriteFailed(f"an earlier write to {self._path} failed; restart the node")
        batch = self._database.write_batch(sync=sync)
        for key, value in writes:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        try:
            batch.write()
        except plyvel.Error as error:
            self._has_failed = True
            raise WriteFailed(
                f"{self._path}: {error}; check the free space and health of the disk, "
                "then restart the node"
            ) from error


class _LevelValues:
    """Reads of LevelDB, with its failures as ours."""

    def __init__(self, source: "plyvel.DB") -> None:
        self._source = source
        """The database or a snapshot of it: both read alike."""

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._source.get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise _readable(error) from error
        return value

    def scan(
        self, start: bytes, stop: bytes, *, backwards: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        with (
            _translated(),
            self._source.iterator(
                start=start, stop=stop, reverse=backwards, verify_checksums=True
            ) as pairs,
        ):
            yield from pairs


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except plyvel.Error as error:
        raise _readable(error) from error


def _readable(error: "plyvel.Error") -> StoreError:
    if isinstance(error, plyvel.CorruptionError):
        return StoreCorrupted(f"the database's files are damaged: {error}")
    return StoreUnreadable(f"the database cannot be read: {error}; check disk and permissions")


def _opened_empty(path: Path) -> "plyvel.DB":
    """Open a new database in ``path``, over the remains of one whose creation was cut off."""
    path.mkdir(parents=True, exist_ok=True)
    database = _opened(path, create=True)
    is_finished = database.get(META_SCHEMA) is not None
    is_empty = next(iter(database.iterator(include_value=False)), None) is None
    if is_empty:
        return database
    database.close()
    if is_finished:
        raise StoreExists(f"{path} holds a database already: open it, or choose another folder")
    plyvel.destroy_db(str(path))
    return _opened(path, create=True)


def _opened(path: Path, *, create: bool) -> "plyvel.DB":
    try:
        return plyvel.DB(
            str(path),
            create_if_missing=create,
            paranoid_checks=True,
            lru_cache_size=CACHE_BYTES,
            write_buffer_size=WRITE_BUFFER_BYTES,
            bloom_filter_bits=BLOOM_FILTER_BITS,
            max_open_files=OPEN_FILES_MAX,
        )
    except plyvel.Error as error:
        if _LOCK_REFUSED in str(error):
            raise StoreLocked(
                f"{path} is in use by another process: stop that node, or choose another folder"
            ) from error
        raise _readable(error) from error


def _number(number: int) -> bytes:
    return number.to_bytes(HEIGHT_BYTES, "big")
