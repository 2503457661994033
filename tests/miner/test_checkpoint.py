"""The checkpoint file: what a crash may do to it, and what is believed of it afterwards."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miner.checkpoint import CheckpointFile, checkpoint_identity
from miner.storage_errors import DiskFull, DiskUnusable
from primitives.types import AccountId, Digest

IDENTITY = Digest(b"i" * 32)
LEAVES_MAX = 100


def opened(path: Path, identity: Digest = IDENTITY) -> tuple[CheckpointFile, bytes]:
    checkpoint = CheckpointFile(path, identity, leaves_max=LEAVES_MAX)
    return checkpoint, checkpoint.load()


def digests(first: int, count: int) -> bytes:
    return b"".join(bytes([number]) * 32 for number in range(first, first + count))


def test_what_was_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    checkpoint, nothing = opened(tmp_path / "c")
    checkpoint.append(digests(0, 3))
    checkpoint.append(b"")
    checkpoint.append(digests(3, 2))

    _, found = opened(tmp_path / "c")

    assert nothing == b""
    assert found == digests(0, 5)


def test_another_proofs_digests_are_thrown_away(tmp_path: Path) -> None:
    checkpoint, _ = opened(tmp_path / "c")
    checkpoint.append(digests(0, 3))

    _, other = opened(tmp_path / "c", Digest(b"o" * 32))
    _, own = opened(tmp_path / "c")

    assert other == b""
    assert own == b""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 232), st.integers(0, 255))
def test_a_file_that_was_cut_or_changed_anywhere_is_believed_up_to_there(
    tmp_path: Path, place: int, value: int
) -> None:
    path = tmp_path / "c"
    path.unlink(missing_ok=True)
    checkpoint, _ = opened(path)
    checkpoint.append(digests(0, 2))
    checkpoint.append(digests(2, 2))
    whole = path.read_bytes()
    place = min(place, len(whole) - 1)
    damaged = whole[:place] + bytes([value])
    path.write_bytes(damaged if whole[: place + 1] == damaged else damaged + whole[place + 1 :])

    reopened, found = opened(path)
    reopened.append(b"x" * 32)
    _, again = opened(path)

    assert digests(0, 4).startswith(found)
    assert len(found) in (0, 64, 128)
    assert again == found + b"x" * 32


def test_a_disk_that_is_full_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, _ = opened(tmp_path / "c")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fdatasync", full)
    with pytest.raises(DiskFull):
        checkpoint.append(digests(0, 1))


def test_a_folder_that_is_missing_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(DiskUnusable):
        opened(tmp_path / "none" / "c")


def test_every_part_of_a_proof_changes_its_identity() -> None:
    challenge, provider = Digest(b"c" * 32), AccountId(b"p" * 32)
    made = {
        checkpoint_identity(challenge, provider, b"class"),
        checkpoint_identity(Digest(b"d" * 32), provider, b"class"),
        checkpoint_identity(challenge, AccountId(b"q" * 32), b"class"),
        checkpoint_identity(challenge, provider, b"other"),
    }

    assert len(made) == 4
