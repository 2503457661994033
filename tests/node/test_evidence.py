"""Evidence on disk: kept over restarts, bounded, and never in the way of a start."""

import logging
from pathlib import Path

import pytest

from consensus.simplex.evidence import Evidence, Offence, evidence_of
from consensus.simplex.messages import Finalize, Notarize, Nullify
from node.evidence import PIECES_MAX, EvidenceFile, NoEvidence, offence_of
from primitives.types import Digest, Epoch, Signature, View

A, B, C = (Digest(bytes([number]) * 32) for number in (1, 2, 3))
NOWHERE = Signature(bytes(64))


def notarized_twice(epoch: int, signer: int, view: int = 1, other: Digest = B) -> Evidence:
    place = (Epoch(epoch), View(view))
    return evidence_of(
        Notarize(*place, A, signer, NOWHERE), Notarize(*place, other, signer, NOWHERE)
    )


def nullified_and_finalized(epoch: int, signer: int) -> Evidence:
    place = (Epoch(epoch), View(4))
    return evidence_of(Nullify(*place, signer, NOWHERE), Finalize(*place, A, signer, NOWHERE))


def test_evidence_survives_a_restart_oldest_first(tmp_path: Path) -> None:
    file = EvidenceFile(tmp_path / "evidence")
    assert file.add(notarized_twice(2, 1))
    assert file.add(nullified_and_finalized(1, 3))

    again = EvidenceFile(tmp_path / "evidence")

    assert again.pieces == (nullified_and_finalized(1, 3), notarized_twice(2, 1))
    assert [offence_of(piece) for piece in again.pieces] == [
        Offence.NULLIFY_AND_FINALIZE,
        Offence.DOUBLE_NOTARIZE,
    ]


def test_one_piece_of_an_offence_in_an_epoch_is_enough(tmp_path: Path) -> None:
    file = EvidenceFile(tmp_path / "evidence")
    file.add(notarized_twice(2, 1))

    assert not file.add(notarized_twice(2, 1, view=9))
    assert not file.add(notarized_twice(2, 1, other=C))
    assert file.add(notarized_twice(2, 4))
    assert len(file) == 2


def test_liars_without_number_fill_neither_memory_nor_disk(tmp_path: Path) -> None:
    file = EvidenceFile(tmp_path / "evidence")
    for signer in range(PIECES_MAX + 20):
        file.add(notarized_twice(5, signer))

    assert not file.add(notarized_twice(1, 0)), "older than all that is held"
    assert file.add(notarized_twice(6, 0))
    assert len(file) == len(EvidenceFile(tmp_path / "evidence")) == PIECES_MAX


def test_reported_and_expired_evidence_is_forgotten(tmp_path: Path) -> None:
    file = EvidenceFile(tmp_path / "evidence")
    for epoch in range(4):
        file.add(notarized_twice(epoch, 1))

    file.remove(notarized_twice(3, 1))
    file.remove(notarized_twice(3, 1))
    file.expire(Epoch(2))

    assert EvidenceFile(tmp_path / "evidence").pieces == (notarized_twice(2, 1),)


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x91\xc4\x01\x00", b"\x90" * 3])
def test_damaged_file_is_put_aside(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "evidence"
    path.write_bytes(data)

    file = EvidenceFile(path)

    assert len(file) == 0
    assert path.with_suffix(".damaged").read_bytes() == data
    assert file.add(notarized_twice(1, 1))
    assert len(EvidenceFile(path)) == 1


def test_disk_that_refuses_costs_the_copy_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="node.evidence")
    file = EvidenceFile(tmp_path / "missing" / "evidence")

    assert file.add(notarized_twice(1, 1))
    assert len(file) == 1
    assert "not_saved" in caplog.text.replace(" ", "_")


def test_two_words_that_agree_are_no_evidence(tmp_path: Path) -> None:
    vote = Nullify(Epoch(1), View(1), 0, NOWHERE)

    with pytest.raises(NoEvidence):
        EvidenceFile(tmp_path / "evidence").add(Evidence(vote, vote))
