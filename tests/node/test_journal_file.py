"""The journal on disk: what is promised stays promised, whatever the disk does."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consensus.journal import JournalDamaged, encode_frame
from consensus.simplex.messages import Certificate, Kind, Notarize
from consensus.simplex.pledges import Floor, Record
from node import journal_file
from node.journal_file import JournalFile, JournalUnusable
from primitives.types import Digest, Epoch, Signature, View


def vote(view: int, block: int = 1) -> Notarize:
    digest = Digest(bytes([block]) * 32)
    return Notarize(Epoch(0), View(view), digest, 0, Signature(bytes(64)))


def finalization(view: int) -> Certificate:
    digest, signature = Digest(bytes([1]) * 32), Signature(bytes(64))
    return Certificate(Kind.FINALIZE, Epoch(0), View(view), digest, b"\x01", (signature,))


def test_journal_returns_what_was_appended(tmp_path: Path) -> None:
    with JournalFile(tmp_path / "a" / "journal") as journal:
        journal.append([vote(1), finalization(1)])
        journal.append([vote(2)])

    with JournalFile(tmp_path / "a" / "journal") as journal:
        assert journal.records == (vote(1), finalization(1), vote(2))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 600), count=st.integers(1, 4))
def test_torn_end_is_cut_off_and_what_follows_is_whole(
    cut: int, count: int, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    path.unlink(missing_ok=True)
    votes: list[Record] = [vote(view) for view in range(1, count + 1)]
    with JournalFile(path) as journal:
        journal.append(votes)
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - cut)])
    whole = max(0, len(data) - cut) // len(encode_frame(votes[0]))

    with JournalFile(path) as journal:
        assert journal.records == tuple(votes[:whole])
        journal.append([vote(90)])

    with JournalFile(path) as journal:
        assert journal.records == (*votes[:whole], vote(90))


def test_damage_before_the_end_is_refused(tmp_path: Path) -> None:
    with JournalFile(tmp_path / "journal") as journal:
        journal.append([vote(1), vote(2)])
    data = bytearray((tmp_path / "journal").read_bytes())
    data[30] ^= 1
    (tmp_path / "journal").write_bytes(data)

    with pytest.raises(JournalDamaged):
        JournalFile(tmp_path / "journal")


def test_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr("os.write", lambda fd, data: real(fd, data[:7]))

    with JournalFile(tmp_path / "journal") as journal:
        journal.append([vote(1), vote(2)])
        journal.rewrite()
        journal.append([vote(3)])

    with JournalFile(tmp_path / "journal") as journal:
        assert journal.records == (Floor(Epoch(0), View(0)), vote(1), vote(2), vote(3))


def test_full_disk_while_rewriting_leaves_the_old_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JournalFile(tmp_path / "journal") as journal:
        journal.append([vote(1), vote(2)])
        fill_up(monkeypatch, room=50)
        with pytest.raises(JournalUnusable):
            journal.rewrite()
        monkeypatch.undo()
        with pytest.raises(JournalUnusable, match="restart"):
            journal.append([vote(3)])

    with JournalFile(tmp_path / "journal") as journal:
        assert journal.records == (vote(1), vote(2))


def test_nothing_is_written_behind_an_append_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with JournalFile(tmp_path / "journal") as journal:
        journal.append([vote(1)])
        fill_up(monkeypatch, room=20)
        with pytest.raises(JournalUnusable):
            journal.append([vote(2)])
        monkeypatch.undo()
        with pytest.raises(JournalUnusable, match="restart"):
            journal.append([vote(3)])

    with JournalFile(tmp_path / "journal") as journal:
        assert journal.records == (vote(1),)


def fill_up(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Let the disk have ``room`` bytes left."""
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(descriptor, data[:room])
        room -= written
        return written

    monkeypatch.setattr("os.write", write)


def test_rewritten_journal_binds_as_much_and_is_smaller(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with JournalFile(path) as journal:
        for view in range(1, 50):
            journal.append([vote(view), finalization(view)])
        journal.append([vote(50)])
        size = path.stat().st_size

        journal.rewrite()
        journal.append([vote(51)])

        assert path.stat().st_size < size / 10
    with JournalFile(path) as journal:
        assert journal.records == (
            Floor(Epoch(0), View(49)),
            finalization(49),
            vote(50),
            vote(51),
        )


def test_journal_asks_for_a_rewrite_when_it_has_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "REWRITE_BYTES", 1000)
    with JournalFile(tmp_path / "journal") as journal:
        journal.append([vote(1)])
        answers = [journal.is_large]
        journal.append([vote(view) for view in range(2, 12)])
        answers.append(journal.is_large)
        journal.rewrite()
        answers.append(journal.is_large)

    assert answers == [False, True, False]


def test_journal_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(JournalUnusable):
        JournalFile(tmp_path / "file" / "journal")
