"""The chain among other tasks: restarts, cancelled work, news, and what a liar's block may do."""

import gc
import weakref
from pathlib import Path

import pytest
import trio
import trio.testing

from chain.blockchain import Finalized
from chain.header_checks import WrongParent
from chain.importer import InvalidBody
from chain.slices import run_slices
from chain.store_schema import PENDING, by_height
from node import chain_service
from node.chain_service import NewBest
from node.extrinsic_intake import BadSignature
from node.extrinsic_watch import ExtrinsicWatch
from node.rpc.backend import StatusKind
from primitives.block import Block, signing_prefix
from primitives.derivation import derive_key_pair
from primitives.errors import LoopinError
from primitives.types import Digest, SpecVersion
from runtime.executive import UnsignedExtrinsic
from tests.chain.small_chains import LOOP, forged, sign, small_spec
from tests.chain.test_importer import with_body
from tests.node.small_nodes import SmallNode


async def test_block_of_an_impossible_height_is_refused(tmp_path: Path) -> None:
    node = SmallNode.open(tmp_path, small_spec())
    block = node.small.build(node.small.chain.final_hash).block

    for height in (0, 2, 2**63):
        with pytest.raises(WrongParent):
            await node.service.take(forged(block, height=height))
    node.close()


async def test_restart_passes_over_pending_blocks_that_have_lost(tmp_path: Path) -> None:
    spec = small_spec()
    node = SmallNode.open(tmp_path, spec)
    chain = node.small.chain
    lost = node.small.build(chain.final_hash, view=1)
    orphan = node.small.build(lost.hash, view=2)
    won = node.small.build(chain.final_hash, view=3)
    above = node.small.build(won.hash, view=4)
    for held in (orphan, above):
        chain.save_pending(held.hash)
    node.small.finalize(won)
    # As a thread that was late would have left it, before writes looked at the head.
    late = (by_height(PENDING, 1) + lost.hash, lost.block.encode())
    chain.store._write([late, (by_height(PENDING, 1) + won.hash, won.block.encode())], sync=True)
    node.close()

    node = SmallNode.open(tmp_path, spec)
    await node.service.restore()

    assert [held.hash for held in node.small.chain.imported()] == [above.hash]
    assert node.service.best == above.hash
    node.close()


async def test_bad_signature_in_a_block_makes_it_invalid(tmp_path: Path) -> None:
    node = SmallNode.open(tmp_path, small_spec())
    prefix = signing_prefix(Digest(bytes(32)), SpecVersion(1))
    elsewhere = sign(prefix, derive_key_pair("//Alice"), 0, ["system.remark", b""])
    honest = node.small.build(node.small.chain.final_hash).block

    with pytest.raises(InvalidBody, match="signature"):
        await node.service.take(with_body(honest, *honest.extrinsics, elsewhere))
    node.close()


async def test_work_that_is_cancelled_leaves_the_chain_to_the_next(tmp_path: Path) -> None:
    node = SmallNode.open(tmp_path, small_spec())
    small, parent = node.small, node.small.chain.final_hash
    for number in range(100):
        node.mempool.submit(small.signed("Alice", number, ["system.remark", bytes([number])]))
    root = small.chain.tree.tree.root
    for patience in range(1, 40, 3):
        checkpoints = 0
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.service.build, small.assignment(parent, patience))
                while checkpoints < patience:
                    checkpoints += 1
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        run_slices(small.chain.move_tree_to(parent))
        assert small.chain.tree.tree.root == root

    built = await node.service.build(small.assignment(parent, 99))

    assert len(built.block.extrinsics) == 101
    node.close()


async def test_stalled_chain_builds_empty_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_service, "QUIET_BLOCKS", 1)
    node = SmallNode.open(tmp_path, small_spec())
    small = node.small
    node.mempool.submit(small.transfer("Alice", 0, "Bob"))
    first = await node.service.build(small.assignment(small.chain.final_hash))

    second = await node.service.build(small.assignment(first.hash))

    assert (len(first.block.extrinsics), len(second.block.extrinsics)) == (2, 1)
    node.close()


async def test_news_tell_what_is_best_what_is_final_and_what_is_lost(tmp_path: Path) -> None:
    node = SmallNode.open(tmp_path, small_spec())
    small, service = node.small, node.service
    best: list[NewBest] = []
    final: list[Finalized] = []
    service.on_new_best.append(best.append)
    service.on_final.append(final.append)
    genesis = small.chain.final_hash

    low = await service.build(small.assignment(genesis, 1))
    high = await service.build(small.assignment(low.hash, 2))
    other = await service.build(small.assignment(genesis, 3))
    assert [news.imported.hash for news in best] == [low.hash, high.hash]
    await service.finalize(other.hash, b"certificate")

    assert [news.imported.hash for news in best] == [low.hash, high.hash, other.hash]
    assert set(best[-1].retracted) == {low.hash, high.hash}
    assert [finalized.hash for finalized in final] == [other.hash]
    assert service.best == other.hash
    await service.finalize(other.hash, b"certificate")
    assert len(final) == 1
    node.close()


async def test_watcher_hears_of_a_block_that_was_lost_and_of_the_one_that_won(
    tmp_path: Path,
) -> None:
    node = SmallNode.open(tmp_path, small_spec())
    small, service, watch = node.small, node.service, ExtrinsicWatch()
    service.on_new_best.append(watch.on_new_best)
    service.on_final.append(watch.on_final)
    transfer = small.transfer("Alice", 0, "Bob")
    feed = watch.watch(transfer.extrinsic.hash)
    await service.intake.submit([transfer.extrinsic.encoded])
    genesis = small.chain.final_hash

    lost = await service.build(small.assignment(genesis, 1))
    won = await service.build(small.assignment(genesis, 2))
    await service.finalize(won.hash, b"certificate")

    told = [(status.kind, status.hash) async for status in feed]
    assert told[0] == (StatusKind.IN_BLOCK, lost.hash)
    assert told[-1] == (StatusKind.FINALIZED, won.hash)
    assert (StatusKind.RETRACTED, lost.hash) in told
    node.close()


async def test_refused_extrinsics_leave_nothing_to_the_collector_of_cycles(tmp_path: Path) -> None:
    node = SmallNode.open(tmp_path, small_spec())
    first, gap = (node.small.transfer("Alice", n, "Bob", LOOP).extrinsic for n in (0, 10_000))

    gc.disable()
    try:
        # Twice in one batch, so that the mempool, and not the decoder, finds it known.
        answers = await node.service.intake.submit([x.encoded for x in (first, first, gap)])
        refused = [weakref.ref(x) for x in answers if isinstance(x, LoopinError)]
        del answers
        left = [error() for error in refused]
    finally:
        gc.enable()

    assert left == [None, None]
    node.close()


async def test_every_extrinsic_gets_its_own_answer_in_order(tmp_path: Path) -> None:
    node = SmallNode.open(tmp_path, small_spec())
    small, pair = node.small, derive_key_pair("//Bob")
    good = [small.transfer("Alice", nonce, "Bob", LOOP).extrinsic for nonce in range(40)]
    foreign = sign(
        signing_prefix(Digest(bytes(32)), SpecVersion(1)), pair, 0, ["system.remark", b""]
    )
    inherent = small.build(small.chain.final_hash).block.extrinsics[0]
    offered = [good[0].encoded, b"\xc1", foreign, inherent, *[x.encoded for x in good]]

    answers = await node.service.intake.submit(offered)

    reasons = [x if isinstance(x, bytes) else x.reason for x in answers]
    assert reasons[:5] == [
        good[0].hash,
        "Malformed",
        BadSignature.__name__,
        UnsignedExtrinsic.__name__,
        "AlreadyKnown",
    ]
    assert reasons[5:] == [x.hash for x in good[1:]]
    assert len(node.mempool) == 40
    node.close()


async def test_block_taken_twice_at_once_is_executed_once(tmp_path: Path) -> None:
    author = SmallNode.open(tmp_path / "author", small_spec())
    node = SmallNode.open(tmp_path / "node", small_spec())
    block = Block.decode(author.small.build(author.small.chain.final_hash).block.encode())
    taken = []

    async def take() -> None:
        taken.append(await node.service.take(block))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(take)

    assert taken[0] is taken[1]
    author.close()
    node.close()
