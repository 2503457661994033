"""Reports: what a leader puts into its block of the evidence that its node holds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.blockchain import Imported
from chain.builder import build_block
from chain.slices import run_slices
from consensus.simplex.evidence import EVIDENCE, Evidence
from genesis.presets import dev_account
from node.evidence import EvidenceFile
from node.evidence_reports import EvidenceReports
from primitives.types import Digest, Epoch
from tests.chain.small_chains import SmallChain, small_spec
from tests.chain.test_builder import contradiction

LENGTH = 3


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallChain]:
    chain = SmallChain.open(tmp_path / "db", small_spec(epoch_length=LENGTH))
    yield chain
    chain.close()


def piece_of(small: SmallChain, view: int = 5, epoch: int = 0, signer: int = 0) -> Evidence:
    return EVIDENCE.decode(contradiction(small, view, epoch, signer))


def reports_of(small: SmallChain, tmp_path: Path, *pieces: Evidence) -> EvidenceReports:
    file = EvidenceFile(tmp_path / "evidence")
    for piece in pieces:
        file.add(piece)
    return EvidenceReports(file, small.chain)


def pieces_on_disk(tmp_path: Path) -> tuple[Evidence, ...]:
    return EvidenceFile(tmp_path / "evidence").pieces


def reported(small: SmallChain, reports: EvidenceReports, parent: Digest, view: int) -> Imported:
    return run_slices(
        build_block(
            small.chain,
            small.assignment(parent, view),
            (),
            is_late=lambda: False,
            on_invalid=lambda _, __: None,
            evidence=reports.find(parent),
        )
    )


def test_only_timely_evidence_against_the_unpunished_is_offered(
    small: SmallChain, tmp_path: Path
) -> None:
    timely, future = piece_of(small), piece_of(small, epoch=1)
    reports = reports_of(small, tmp_path, timely, future)
    genesis = small.chain.final_hash
    assert list(reports.find(genesis)) == [EVIDENCE.encode(timely)]

    block = reported(small, reports, genesis, 1)

    assert len(block.block.extrinsics) == 2
    assert list(reports.find(block.hash)) == []


def test_no_piece_waits_for_ever_behind_those_that_fail(small: SmallChain, tmp_path: Path) -> None:
    nobody = [piece_of(small, signer=signer) for signer in range(7, 10)]
    reports = reports_of(small, tmp_path, *nobody)
    parent, firsts = small.chain.final_hash, []

    for _ in range(LENGTH):
        firsts.append(next(iter(reports.find(parent))))
        parent = small.build(parent).hash

    assert set(firsts) == {EVIDENCE.encode(piece) for piece in nobody}


def test_evidence_is_kept_until_the_punishment_is_final(small: SmallChain, tmp_path: Path) -> None:
    piece = piece_of(small)
    reports = reports_of(small, tmp_path, piece)
    genesis = small.chain.final_hash
    lost = reported(small, reports, genesis, 1)
    won = small.build(genesis, view=2)

    reports.on_final(small.finalize(won))
    assert len(lost.block.extrinsics) == 2
    assert pieces_on_disk(tmp_path) == (piece,)
    again = reported(small, reports, won.hash, 3)
    reports.on_final(small.finalize(again))

    assert pieces_on_disk(tmp_path) == ()
    offences = small.chain.runtime_after(again.hash).offences
    assert offences.is_punished(dev_account("Alice"), Epoch(0))


def test_what_comes_after_the_punishment_is_forgotten_with_the_epoch(
    small: SmallChain, tmp_path: Path
) -> None:
    reports = reports_of(small, tmp_path, piece_of(small))
    block = reported(small, reports, small.chain.final_hash, 1)
    reports.on_final(small.finalize(block))
    late = reports_of(small, tmp_path, piece_of(small, view=6))

    for _ in range(LENGTH - 1):
        late.on_final(small.finalize(small.build(small.chain.final_hash)))

    assert pieces_on_disk(tmp_path) == ()


def test_expired_evidence_is_forgotten_at_the_end_of_an_epoch(
    small: SmallChain, tmp_path: Path
) -> None:
    nobody = piece_of(small, signer=7)
    reports = reports_of(small, tmp_path, nobody)
    unbonding = small.chain.config.staking.unbonding_epochs

    while small.chain.final.height < (unbonding + 1) * LENGTH - 1:
        reports.on_final(small.finalize(small.build(small.chain.final_hash)))
    assert pieces_on_disk(tmp_path) == (nobody,)
    reports.on_final(small.finalize(small.build(small.chain.final_hash)))

    assert pieces_on_disk(tmp_path) == ()
