"""States in chunks: cut, proven against the state root, refused when anything is changed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chain.snapshot
from chain.blockchain import Blockchain
from chain.handover import HANDOVER, NotFinal
from chain.slices import run_slices
from chain.snapshot import (
    BadChunk,
    BadSkeleton,
    Entry,
    Manifest,
    Skeleton,
    decode_chunk,
    encode_chunk,
    verify_manifest,
)
from chain.snapshot_download import SnapshotDownload, UnknownBoundary
from chain.snapshot_folder import NoSnapshot, SnapshotFolder
from chain.state_proof import hash_key
from chain.state_tree import StateTree
from chain.store import Store
from chain.store_check import check_store
from chain.store_reader import HistoryPruned, StoreReader
from chain.store_schema import STATE, Head
from chain.store_writes import SnapshotStart
from primitives.errors import DecodeError
from primitives.types import Digest, Epoch, Height
from tests.chain.certified_chains import grow, handover, tables_of
from tests.chain.small_chains import SmallChain, genesis_of, small_spec

EPOCH = 3
HEIGHT = Height(2 * EPOCH)


class DictValues:
    """A database of a state alone."""

    def __init__(self, state: dict[bytes, bytes]) -> None:
        self._rows = sorted((STATE + key, value) for key, value in state.items())

    def get(self, key: bytes) -> bytes | None:
        return dict(self._rows).get(key)

    def scan(
        self, start: bytes, stop: bytes, *, backwards: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        assert not backwards
        yield from ((key, value) for key, value in self._rows if start <= key < stop)


def made(path: Path, state: dict[bytes, bytes], root: Digest | None = None) -> SnapshotFolder:
    folder = SnapshotFolder(path, 2)
    wanted = StateTree.load(state.items()).root if root is None else root
    reader = StoreReader(DictValues(state))
    run_slices(folder.make(reader, Epoch(1), HEIGHT, wanted))
    return folder


def random_state(keys: int) -> dict[bytes, bytes]:
    return {b"key %d" % number: b"value %d" % (number * number) * 3 for number in range(keys)}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain.snapshot, "CHUNK_BYTES_GOAL", 600)


@pytest.mark.parametrize("keys", [0, 1, 16, 17, 40, 300, 3000])
@pytest.mark.usefixtures("small_chunks")
def test_chunks_hold_the_whole_state_and_each_is_proven(tmp_path: Path, keys: int) -> None:
    state = random_state(keys)
    folder = made(tmp_path / "kept", state)
    manifest = folder.find(Epoch(1))

    places = verify_manifest(manifest, HEIGHT, StateTree.load(state.items()).root)
    found: list[Entry] = []
    for number, place in enumerate(places):
        data = folder.read_chunk(Epoch(1), number)
        assert place.is_empty == (data == b"")
        found += [] if place.is_empty else decode_chunk(place, data)

    assert dict(found) == state
    assert [hash_key(key) for key, _ in found] == sorted(hash_key(key) for key in state)
    assert len(places) > keys // 40
    if keys == 3000:
        assert {len(place.prefix) for place in places} == {2, 3}


@pytest.mark.usefixtures("small_chunks")
def test_every_change_of_a_chunk_is_refused(tmp_path: Path) -> None:
    state = random_state(300)
    folder = made(tmp_path, state)
    places = folder.find(Epoch(1)).skeleton.places
    entries = decode_chunk(places[0], folder.read_chunk(Epoch(1), 0))
    (key, value), *others = entries
    lies = [
        others,
        [(key, value + b"\x00"), *others],
        [(key + b"\x00", value), *others],
        [*others, (key, value)],
        [(key, value), *entries],
        [],
        [*entries, (b"key 7 of another chunk", b"")],
    ]

    for lie in lies:
        with pytest.raises(BadChunk):
            decode_chunk(places[0], encode_chunk(lie))
    with pytest.raises(BadChunk):
        decode_chunk(places[1], folder.read_chunk(Epoch(1), 0))
    good = folder.read_chunk(Epoch(1), 0)
    for cut in (good[:-1], good + b"\x00", b"", b"\x91\x01", b"\x91\xc4\x00", b"\xc4\x00"):
        with pytest.raises(DecodeError):
            decode_chunk(places[0], cut)


@pytest.mark.usefixtures("small_chunks")
def test_every_flipped_byte_of_a_skeleton_is_refused(tmp_path: Path) -> None:
    state = random_state(300)
    manifest = made(tmp_path, state).find(Epoch(1))
    root = StateTree.load(state.items()).root
    depths, digests = manifest.depths, manifest.digests

    for place in range(0, len(digests), 17):
        forged = digests[:place] + bytes([digests[place] ^ 1]) + digests[place + 1 :]
        with pytest.raises(BadSkeleton):
            verify_manifest(Manifest(Epoch(1), HEIGHT, depths, forged), HEIGHT, root)
    for lie in (depths[:-1], depths + b"\x01", b"", b"\x00", b"\xff" * len(depths), depths[::-1]):
        with pytest.raises(BadSkeleton):
            verify_manifest(Manifest(Epoch(1), HEIGHT, lie, digests), HEIGHT, root)
    with pytest.raises(BadSkeleton):
        verify_manifest(manifest, Height(HEIGHT + 1), root)


@given(st.binary(max_size=40), st.binary(max_size=200))
def test_no_skeleton_that_was_made_up_is_taken(depths: bytes, digests: bytes) -> None:
    with pytest.raises(BadSkeleton):
        verify_manifest(
            Manifest(Epoch(0), HEIGHT, depths, digests), HEIGHT, Digest(bytes([1]) * 32)
        )


def test_deep_skeleton_is_bounded() -> None:
    with pytest.raises(BadSkeleton):
        Skeleton(bytes([17]) * 100, bytes(3200)).root()


def test_state_that_has_another_root_makes_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(NoSnapshot):
        made(tmp_path, random_state(5), Digest(bytes(32)))

    assert SnapshotFolder(tmp_path, 2).manifests == ()


def test_value_too_large_for_a_chunk_makes_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(NoSnapshot):
        made(tmp_path, {b"key": bytes(chain.snapshot.CHUNK_BYTES_MAX + 1)})


def test_snapshots_survive_a_restart_and_half_ones_are_removed(tmp_path: Path) -> None:
    state = random_state(50)
    made(tmp_path, state)
    shutil.copytree(tmp_path / "1", tmp_path / "7")
    (tmp_path / "making").mkdir()
    (tmp_path / "9").mkdir()

    folder = SnapshotFolder(tmp_path, 2)
    folder.load()

    assert [manifest.epoch for manifest in folder.manifests] == [1]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["1"]
    with pytest.raises(NoSnapshot):
        folder.read_chunk(Epoch(1), 999)
    with pytest.raises(NoSnapshot):
        folder.read_chunk(Epoch(2), 0)


def test_only_the_last_snapshots_are_kept(tmp_path: Path) -> None:
    state = random_state(50)
    root = StateTree.load(state.items()).root
    folder = SnapshotFolder(tmp_path, 2)

    for epoch in range(4):
        reader = StoreReader(DictValues(state))
        run_slices(folder.make(reader, Epoch(epoch), HEIGHT, root))

    assert [manifest.epoch for manifest in folder.manifests] == [3, 2]
    assert sorted(item.name for item in tmp_path.iterdir()) == ["2", "3"]


# From one node's chain to another's database


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallChain]:
    chain_ = SmallChain.open(
        tmp_path_factory.mktemp("chain") / "db", small_spec(epoch_length=EPOCH)
    )
    grow(chain_, HEIGHT)
    yield chain_
    chain_.close()


@pytest.fixture
def kept(small: SmallChain, tmp_path: Path) -> SnapshotFolder:
    folder = SnapshotFolder(tmp_path / "kept", 2)
    head = small.chain.final
    made_ = folder.make(small.chain.store.pinned(), head.epoch, head.height, head.state_root)
    run_slices(made_)
    return folder


def followed(small: SmallChain, path: Path) -> SnapshotDownload:
    download = SnapshotDownload(path, tables_of(small))
    for epoch in range(download.tables.epoch, 2):
        download.add_handover(HANDOVER.encode(handover(small, epoch)))
    return download


def fetched(small: SmallChain, kept: SnapshotFolder, path: Path) -> SnapshotDownload:
    download = followed(small, path)
    download.begin(kept.find(Epoch(1)))
    for number in download.missing:
        download.add_chunk(number, kept.read_chunk(Epoch(1), number))
    return download


def store_of(small: SmallChain, download: SnapshotDownload, path: Path) -> Store:
    header = download.header
    start = SnapshotStart(
        Head(header.height, header.hash, header.state_root),
        download.handovers(),
        download.entries(),
        b"{}",
        keep_blocks=256,
    )
    return Store.create_from_snapshot(path, genesis_of(small.spec), start)


def test_database_made_of_a_snapshot_is_sound_and_goes_on(
    small: SmallChain, kept: SnapshotFolder, tmp_path: Path
) -> None:
    download = fetched(small, kept, tmp_path / "download")

    store = store_of(small, download, tmp_path / "new")
    store.close()
    new = SmallChain.open(tmp_path / "new", small.spec)

    with new.chain.store.snapshot() as reader:
        assert check_store(reader, lambda _: None) == []
    assert new.chain.final == small.chain.final
    assert dict(new.chain.store.reads.items()) == dict(small.chain.store.reads.items())
    grow(new, EPOCH + 1)
    with new.chain.store.snapshot() as reader:
        assert check_store(reader, lambda _: None) == []
    reads = new.chain.store.reads
    assert reads.base == HEIGHT
    assert reads.header_at(Height(EPOCH)) == handover(small, 0).header
    assert reads.certificate_at(Height(EPOCH)) == handover(small, 0).certificate
    assert reads.find_handover(Epoch(2)) is not None
    for height in (1, EPOCH + 1):
        with pytest.raises(HistoryPruned):
            reads.header_at(Height(height))
    with pytest.raises(HistoryPruned):
        reads.body_at(HEIGHT)
    new.close()


def test_download_goes_on_after_a_restart(
    small: SmallChain, kept: SnapshotFolder, tmp_path: Path
) -> None:
    path = tmp_path / "download"
    fetched(small, kept, path)

    again = SnapshotDownload(path, tables_of(small))

    assert again.tables.epoch == 2
    again.begin(kept.find(Epoch(1)))
    assert again.missing == frozenset()
    assert dict(again.entries()) == dict(small.chain.store.reads.items())


def test_what_a_crash_left_damaged_is_fetched_again(
    small: SmallChain, kept: SnapshotFolder, tmp_path: Path
) -> None:
    path = tmp_path / "download"
    fetched(small, kept, path)
    chunk = path / "0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    stored = (path / "handovers").read_bytes()
    (path / "handovers").write_bytes(stored[:-5])

    again = SnapshotDownload(path, tables_of(small))

    assert again.tables.epoch == 1
    again = followed(small, path)
    assert (path / "handovers").read_bytes() == stored
    again.begin(kept.find(Epoch(1)))
    assert again.missing == {0}


def test_chunks_of_another_snapshot_are_not_mixed_in(
    small: SmallChain, kept: SnapshotFolder, tmp_path: Path
) -> None:
    path = tmp_path / "download"
    fetched(small, kept, path)
    (path / "manifest").write_bytes(b"of an older one")

    again = followed(small, path)
    again.begin(kept.find(Epoch(1)))

    assert again.missing == {0}


def test_lies_are_not_written_down(small: SmallChain, kept: SnapshotFolder, tmp_path: Path) -> None:
    download = SnapshotDownload(tmp_path / "download", tables_of(small))
    with pytest.raises(NotFinal):
        download.add_handover(HANDOVER.encode(handover(small, 1)))
    with pytest.raises(UnknownBoundary):
        download.begin(kept.find(Epoch(1)))
    download = followed(small, tmp_path / "download")
    good = kept.find(Epoch(1))
    with pytest.raises(BadSkeleton):
        download.begin(Manifest(Epoch(0), good.height, good.depths, good.digests))
    download.begin(good)

    with pytest.raises(DecodeError):
        download.add_chunk(0, kept.read_chunk(Epoch(1), 0)[:-1])

    assert download.missing == {0}
    assert not (tmp_path / "download" / "0").exists()


def test_database_that_was_cut_off_while_it_was_made_does_not_count(
    small: SmallChain, kept: SnapshotFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cut(Exception):
        pass

    def entries() -> Iterator[Entry]:
        yield from list(download.entries())[:5]
        raise Cut

    download = fetched(small, kept, tmp_path / "download")
    header = download.header
    head = Head(header.height, header.hash, header.state_root)
    start = SnapshotStart(head, download.handovers(), entries(), b"{}", 256)

    with pytest.raises(Cut):
        Store.create_from_snapshot(tmp_path / "new", genesis_of(small.spec), start)

    store_of(small, download, tmp_path / "new").close()
    store = Store.open(tmp_path / "new")
    Blockchain(store, config=small.spec.runtime, interval=small.chain.interval)
    store.close()


# Several blocks in one write


def test_blocks_written_together_leave_the_same_database_as_one_by_one(tmp_path: Path) -> None:
    spec = small_spec(epoch_length=EPOCH)
    single = SmallChain.open(tmp_path / "single", spec)
    grow(single, HEIGHT, certified_every=EPOCH)
    double = SmallChain.open(tmp_path / "double", spec)
    headers = [single.chain.final_header_at(Height(h)) for h in range(1, EPOCH + 1)]
    path = [double.take(single.chain.block(header.hash)) for header in headers]

    certificate = single.chain.store.reads.certificate_at(Height(EPOCH))
    proof = double.chain.handover_after(path[-1], certificate)
    double.chain.commit_path(path, certificate, proof)
    finalized = run_slices(double.chain.on_path_committed(path))

    assert [item.header.height for item in finalized] == [1, 2, 3]
    with double.chain.store.snapshot() as reader:
        assert check_store(reader, lambda _: None) == []
    for height in range(EPOCH):
        for key in (b"balances.total_issuance", b"timestamp.now"):
            one, two = (c.chain.store.reads.state_at(Height(height), key) for c in (single, double))
            assert one == two
    for column in (b"h", b"d", b"r", b"c", b"e", b"n", b"x", b"a"):
        rows = dict(single.chain.store.reads.scan_column(column))
        assert dict(double.chain.store.reads.scan_column(column)).items() <= rows.items()
    single.close()
    double.close()
