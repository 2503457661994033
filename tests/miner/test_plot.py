"""The plot: sealed once, kept through crashes, not believed when it was tampered with."""

import errno
import os
from pathlib import Path

import pytest

from miner import plot as plot_module
from miner.plot import Plot
from miner.storage_errors import DiskFull, DiskUnusable
from primitives.types import AccountId
from runtime.pocps.storage_proof import StorageClass, seal_chunk

RESOURCE = StorageClass(
    class_id=3,
    labels_per_chunk=4,
    passes=2,
    chunks_per_unit=3,
    samples=2,
    units_max=10,
    operations_per_unit=1000,
)
PROVIDER = AccountId(b"p" * 32)


class Counted:
    """Seals, and counts how often."""

    def __init__(self) -> None:
        self.positions: list[int] = []

    def __call__(self, resource: StorageClass, provider: AccountId, position: int) -> bytes:
        self.positions.append(position)
        return seal_chunk(resource, provider, position)


def test_a_sealed_plot_has_the_chunks_that_the_chain_computes(tmp_path: Path) -> None:
    plot = Plot(tmp_path, RESOURCE, PROVIDER)

    seen = list(plot.seal_up_to(2))

    assert seen == [1, 2, 3, 4, 5, 6]
    assert plot.has(2)
    assert not plot.has(3)
    for position in range(6):
        assert plot.read(position) == seal_chunk(RESOURCE, PROVIDER, position)


def test_a_plot_that_was_closed_goes_on_where_it_was(tmp_path: Path) -> None:
    first = Plot(tmp_path, RESOURCE, PROVIDER)
    sealing = first.seal_up_to(3)
    for _ in range(4):
        next(sealing)
    first.close()

    seal = Counted()
    second = Plot(tmp_path, RESOURCE, PROVIDER, seal)
    list(second.seal_up_to(3))

    # The last chunk under the mark is checked; the others are not made again.
    assert seal.positions == [3, 4, 5, 6, 7, 8]
    assert second.read(8) == seal_chunk(RESOURCE, PROVIDER, 8)


def test_chunks_that_no_mark_counts_are_sealed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot_module, "MARK_EVERY_BYTES", 2 * RESOURCE.chunk_bytes)
    killed = Plot(tmp_path, RESOURCE, PROVIDER)
    sealing = killed.seal_up_to(3)
    for _ in range(5):
        next(sealing)

    assert Plot(tmp_path, RESOURCE, PROVIDER).sealed == 4


def test_a_plot_whose_last_chunk_differs_is_not_believed(tmp_path: Path) -> None:
    plot = Plot(tmp_path, RESOURCE, PROVIDER)
    list(plot.seal_up_to(1))
    plot.close()
    path = next(tmp_path.glob("*.plot"))
    path.write_bytes(bytes(path.stat().st_size))

    assert Plot(tmp_path, RESOURCE, PROVIDER).sealed == 0


@pytest.mark.parametrize("content", [b"", b"x" * 40, b"x" * 400])
def test_a_mark_that_is_none_is_not_believed(tmp_path: Path, content: bytes) -> None:
    plot = Plot(tmp_path, RESOURCE, PROVIDER)
    list(plot.seal_up_to(1))
    plot.close()
    next(tmp_path.glob("*.mark")).write_bytes(content)

    assert Plot(tmp_path, RESOURCE, PROVIDER).sealed == 0


def test_two_providers_have_two_plots(tmp_path: Path) -> None:
    list(Plot(tmp_path, RESOURCE, PROVIDER).seal_up_to(1))

    assert Plot(tmp_path, RESOURCE, AccountId(b"q" * 32)).sealed == 0


def test_a_disk_without_room_is_told_before_anything_is_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", full)
    seal = Counted()

    with pytest.raises(DiskFull):
        next(Plot(tmp_path, RESOURCE, PROVIDER, seal).seal_up_to(2))
    assert seal.positions == []


def test_a_chunk_that_is_not_sealed_cannot_be_read(tmp_path: Path) -> None:
    plot = Plot(tmp_path, RESOURCE, PROVIDER)
    list(plot.seal_up_to(1))

    with pytest.raises(DiskUnusable):
        plot.read(3)


def test_a_place_that_takes_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(DiskUnusable):
        Plot(tmp_path / "file", RESOURCE, PROVIDER)
