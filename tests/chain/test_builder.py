"""Building: what goes into a block, what is passed over, and when it is enough."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chain.blockchain import Imported
from chain.builder import (
    EVIDENCE_ATTEMPTS_MAX,
    FULL_ATTEMPTS_MAX,
    SLICE_EXTRINSICS,
    build_block,
)
from chain.slices import run_slices
from consensus.simplex.evidence import EVIDENCE, evidence_of
from consensus.simplex.messages import Notarize, message_bytes
from genesis.presets import dev_session_seeds
from primitives.block import encode_inherent
from primitives.crypto import KeyPair
from primitives.errors import InvalidExtrinsic
from primitives.types import Digest, Epoch, Height, Signature, View, Weight
from runtime.executive import InherentFailed, ReadyExtrinsic
from runtime.fees import CannotPayFee
from runtime.system import NonceTooHigh
from tests.chain.small_chains import SmallChain, small_spec
from tests.chain.test_importer import with_body


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallChain]:
    chain = SmallChain.open(tmp_path / "db", small_spec())
    yield chain
    chain.close()


def remarks(small: SmallChain, count: int, size: int = 1) -> list[ReadyExtrinsic]:
    return [small.signed("Alice", n, ["system.remark", bytes(size)]) for n in range(count)]


def test_candidates_go_in_in_their_order_behind_the_inherents(small: SmallChain) -> None:
    wanted = [small.transfer("Bob", 0, "Eve"), *remarks(small, 2), small.transfer("Bob", 1, "Eve")]

    built = small.build(small.chain.final_hash, wanted)

    assert built.block.extrinsics[1:] == tuple(ready.extrinsic.encoded for ready in wanted)
    assert built.extrinsic_hashes[1:] == tuple(ready.extrinsic.hash for ready in wanted)
    assert built.signers == (None, *(ready.extrinsic.signer for ready in wanted))
    assert len(built.executed.receipts) == len(built.block.extrinsics) + 2


def test_refused_candidates_are_told_and_leave_no_trace(small: SmallChain) -> None:
    good = small.transfer("Alice", 0, "Bob")
    gap = small.transfer("Bob", 5, "Alice")
    poor = small.signed("Ferdie", 0, ["system.remark", b""], tip=2**63)
    refused: list[InvalidExtrinsic] = []

    built = small.build(small.chain.final_hash, [gap, poor, good], refused=refused)

    assert [type(error) for error in refused] == [NonceTooHigh, CannotPayFee]
    assert built.block.extrinsics[1:] == (good.extrinsic.encoded,)
    alone = small.build(small.chain.final_hash, [good], view=built.header.view)
    assert alone.hash == built.hash


def test_full_block_takes_smaller_candidates_and_then_gives_up(tmp_path: Path) -> None:
    spec = small_spec()
    limits = replace(spec.runtime.system, block_weight_max=Weight(400_000))
    spec = replace(spec, runtime=replace(spec.runtime, system=limits))
    small = SmallChain.open(tmp_path / "db", spec)
    light, taken = small.signed("Bob", 0, ["system.remark", b""]), 0

    def candidates() -> Iterator[ReadyExtrinsic]:
        nonlocal taken
        yield from remarks(small, 7)
        yield light
        while True:
            taken += 1
            yield light

    refused: list[InvalidExtrinsic] = []
    built = run_slices(
        build_block(
            small.chain,
            small.assignment(small.chain.final_hash),
            candidates(),
            is_late=lambda: False,
            on_invalid=lambda _, error: refused.append(error),
        )
    )

    assert len(built.block.extrinsics) < 1 + 8 + 1
    assert taken <= FULL_ATTEMPTS_MAX
    assert refused == []
    small.close()


def test_late_author_stops_taking_and_still_has_a_block(small: SmallChain) -> None:
    asked = 0

    def is_late() -> bool:
        nonlocal asked
        asked += 1
        return asked == 2

    built = run_slices(
        build_block(
            small.chain,
            small.assignment(small.chain.final_hash),
            remarks(small, 5 * SLICE_EXTRINSICS),
            is_late=is_late,
            on_invalid=lambda _, __: None,
        )
    )

    assert len(built.block.extrinsics) == 2 * SLICE_EXTRINSICS
    assert small.chain.has_block(built.hash)


def test_candidates_passed_over_let_others_run_too(small: SmallChain) -> None:
    slices = build_block(
        small.chain,
        small.assignment(small.chain.final_hash),
        [None] * (10 * SLICE_EXTRINSICS),
        is_late=lambda: False,
        on_invalid=lambda _, __: None,
    )

    assert sum(1 for _ in slices) > 10


def test_build_given_up_half_way_leaves_the_tree_and_the_chain(small: SmallChain) -> None:
    final = small.chain.final_hash
    root = small.chain.tree.tree.root
    total = sum(
        1
        for _ in build_block(
            small.chain,
            small.assignment(final, view=1),
            remarks(small, 70),
            is_late=lambda: False,
            on_invalid=lambda _, __: None,
        )
    )

    for cut in range(1, total + 1):
        slices = build_block(
            small.chain,
            small.assignment(final, view=1 + cut),
            remarks(small, 70),
            is_late=lambda: False,
            on_invalid=lambda _, __: None,
        )
        for _ in range(cut):
            next(slices)
        slices.close()
        assert len(small.chain.imported()) == 1
        run_slices(small.chain.move_tree_to(final))
        assert small.chain.tree.tree.root == root


def contradiction(small: SmallChain, view: int, epoch: int = 0, signer: int = 0) -> bytes:
    """Return evidence that //Alice notarized two blocks of a view."""
    key = KeyPair(dev_session_seeds("Alice").consensus)
    place = (Epoch(epoch), View(view))
    blank = Signature(bytes(64))
    votes = [Notarize(*place, Digest(bytes([n]) * 32), signer, blank) for n in (1, 2)]
    genesis = small.chain.final_header_at(Height(0)).hash
    signed = [replace(vote, signature=key.sign(message_bytes(genesis, vote))) for vote in votes]
    return EVIDENCE.encode(evidence_of(signed[0], signed[1]))


def built_with(small: SmallChain, parent: Digest, evidence: Iterable[bytes]) -> Imported:
    return run_slices(
        build_block(
            small.chain,
            small.assignment(parent),
            remarks(small, 1),
            is_late=lambda: False,
            on_invalid=lambda _, __: None,
            evidence=evidence,
        )
    )


def test_an_author_puts_in_the_first_evidence_that_punishes_and_everybody_agrees(
    tmp_path: Path,
) -> None:
    small = SmallChain.open(tmp_path / "author", small_spec())
    other = SmallChain.open(tmp_path / "other", small_spec())
    pieces = [b"noise", contradiction(small, 5), contradiction(small, 6)]

    built = built_with(small, small.chain.final_hash, pieces)

    report = encode_inherent(["offences.report_by_author", pieces[1]])
    assert built.block.extrinsics[1] == report
    assert built.signers[:2] == (None, None)
    assert len(built.block.extrinsics) == 3
    assert other.take(built.block).hash == built.hash
    small.close()
    other.close()


def test_evidence_of_who_is_punished_already_is_left_out(small: SmallChain) -> None:
    first = built_with(small, small.chain.final_hash, [contradiction(small, 5)])

    second = built_with(small, first.hash, [contradiction(small, 6)])

    assert len(first.block.extrinsics) == 3
    assert len(second.block.extrinsics) == 1, "the remark is there already, no report beside it"


def test_a_block_with_stale_evidence_is_invalid_for_everybody(small: SmallChain) -> None:
    first = built_with(small, small.chain.final_hash, [contradiction(small, 5)])
    second = small.build(first.hash)
    stale = encode_inherent(["offences.report_by_author", contradiction(small, 6)])

    with pytest.raises(InherentFailed, match="epoch 0"):
        small.take(with_body(second.block, *second.block.extrinsics, stale))


def test_an_author_gives_up_after_some_pieces_of_evidence(small: SmallChain) -> None:
    asked = 0

    def noise() -> Iterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield b"noise"

    built = built_with(small, small.chain.final_hash, noise())

    assert asked == EVIDENCE_ATTEMPTS_MAX
    assert len(built.block.extrinsics) == 2
