"""The first start of a node: whatever cuts it off, the next one finds no half database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.handover import HANDOVER
from chain.slices import run_slices
from chain.snapshot import Entry
from chain.snapshot_download import SnapshotDownload
from chain.snapshot_folder import SnapshotFolder
from chain.store import Store
from chain.store_check import check_store
from chain.store_schema import Head
from chain.store_writes import SnapshotStart
from genesis.build import build_genesis
from node.chain_database import open_store
from node.snapshot_start import _make_database
from primitives.types import Epoch
from tests.chain.certified_chains import grow, handover, tables_of
from tests.chain.small_chains import SmallChain, genesis_of, small_spec

EPOCH = 3


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallChain]:
    chain = SmallChain.open(tmp_path / "source", small_spec(epoch_length=EPOCH))
    grow(chain, EPOCH)
    yield chain
    chain.close()


@pytest.fixture
def download(small: SmallChain, tmp_path: Path) -> SnapshotDownload:
    kept = SnapshotFolder(tmp_path / "kept", 1)
    head = small.chain.final
    reader = small.chain.store.pinned()
    run_slices(kept.make(reader, head.epoch, head.height, head.state_root))
    fetched = SnapshotDownload(tmp_path / "download", tables_of(small))
    fetched.add_handover(HANDOVER.encode(handover(small, 0)))
    fetched.begin(kept.find(Epoch(0)))
    for number in fetched.missing:
        fetched.add_chunk(number, kept.read_chunk(Epoch(0), number))
    return fetched


def start(download: SnapshotDownload, killed_after: int | None = None) -> SnapshotStart:
    def entries() -> Iterator[Entry]:
        for number, entry in enumerate(download.entries()):
            if number == killed_after:
                raise Killed
            yield entry

    header = download.header
    head = Head(header.height, header.hash, header.state_root)
    return SnapshotStart(head, download.handovers(), entries(), b"{}", 256)


def test_database_has_its_name_only_when_it_is_whole(
    small: SmallChain, download: SnapshotDownload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chain.store.BATCH_WRITES_MAX", 4)
    path = tmp_path / "db"
    for killed_after in (0, 5, 9):
        with pytest.raises(Killed):
            _make_database(path, genesis_of(small.spec), start(download, killed_after))
        assert not path.exists()

    _make_database(path, genesis_of(small.spec), start(download))

    with Store.open(path) as store, store.snapshot() as reader:
        assert check_store(reader, lambda _: None) == []
        assert reader.head.height == EPOCH
        assert dict(reader.items()) == dict(small.chain.store.reads.items())
    assert not (tmp_path / "db.making").exists()


def test_genesis_that_was_cut_off_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = small_spec()
    genesis = build_genesis(spec)
    monkeypatch.setattr("chain.store._number", killed)
    with pytest.raises(Killed):
        open_store(tmp_path / "db", spec, genesis, None)
    monkeypatch.undo()
    assert (tmp_path / "db" / "CURRENT").exists()

    with open_store(tmp_path / "db", spec, genesis, None) as store:
        assert store.reads.head.hash == genesis.hash


def killed(_: int) -> bytes:
    raise Killed
