"""The chain of one node: forks, finality, restarts between any two writes, states while writing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.blockchain import UnknownBlock
from chain.slices import run_slices
from chain.state_tree import StateTree
from chain.store_check import check_store
from chain.store_reader import StoreCorrupted
from chain.unfinalized import UnknownState
from genesis.presets import dev_account
from primitives.types import Digest, Epoch
from tests.chain.small_chains import LOOP, SmallChain, small_spec


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallChain]:
    chain = SmallChain.open(tmp_path / "db", small_spec())
    yield chain
    chain.close()


def reopened(small: SmallChain) -> SmallChain:
    path = small.chain.store.path
    small.close()
    return SmallChain.open(path, small.spec)


def assert_tree_agrees(small: SmallChain, block: Digest) -> None:
    """The tree, moved to ``block``, has the root of its header and of its whole state."""
    run_slices(small.chain.move_tree_to(block))
    state = small.chain.state_after(block)
    root = small.chain.header(block).state_root
    assert small.chain.tree.tree.root == root
    assert StateTree.load(state.items()).root == root


def test_of_two_children_one_becomes_final_and_the_other_is_abandoned(small: SmallChain) -> None:
    genesis = small.chain.final_hash
    left = small.build(genesis, [small.transfer("Alice", 0, "Bob")], view=1)
    right = small.build(genesis, [small.transfer("Bob", 0, "Alice", 5 * LOOP)], view=2)
    grandchild = small.build(left.hash, [small.transfer("Alice", 1, "Eve")], view=3)
    assert_tree_agrees(small, grandchild.hash)
    assert_tree_agrees(small, left.hash)
    lost = small.chain.state_after(left.hash)

    finalized = small.finalize(right)

    assert set(finalized.abandoned) == {left.hash, grandchild.hash}
    assert small.chain.final_hash == right.hash
    assert small.chain.imported() == ()
    assert_tree_agrees(small, right.hash)
    with pytest.raises(UnknownState):
        lost.get(b"balances.total_issuance")
    with pytest.raises(UnknownBlock):
        small.chain.header(left.hash)
    following = small.build(right.hash, [small.transfer("Alice", 0, "Eve")], view=4)
    assert_tree_agrees(small, following.hash)


def test_finalized_block_tells_what_it_touched(small: SmallChain) -> None:
    block = small.build(small.chain.final_hash, [small.transfer("Alice", 0, "Bob")])
    hashes = block.extrinsic_hashes

    finalized = small.finalize(block)

    assert block.signers[1] in finalized.touched
    assert finalized.extrinsic_hashes == hashes
    place = small.chain.store.reads.find_extrinsic(hashes[1])
    assert place is not None
    assert place.position == 1
    assert small.chain.block(block.hash) == block.block


def test_write_of_the_next_final_block_shows_in_no_other_state(small: SmallChain) -> None:
    genesis = small.chain.final_hash
    final = small.build(genesis, [small.transfer("Alice", 0, "Bob")], view=1)
    other = small.build(genesis, [], view=2)
    before = small.free("Bob", genesis)

    small.chain.commit(final, b"certificate")  # as in a thread; memory has not followed yet

    assert small.free("Bob", genesis) == before
    assert small.free("Bob", other.hash) == before
    assert small.free("Bob", final.hash) == before + LOOP
    late = small.build(other.hash, [small.transfer("Bob", 0, "Eve")], view=3)
    assert_tree_agrees(small, late.hash)
    run_slices(small.chain.on_committed(final))
    assert small.free("Bob", final.hash) == before + LOOP
    with pytest.raises(UnknownState):
        small.chain.state_after(late.hash)


def test_restart_between_any_two_writes_goes_on_from_the_last_final_block(
    small: SmallChain,
) -> None:
    """Each turn crashes after another prefix of: save pending, save its child, commit, commit."""
    for writes_done in range(5):
        parent = small.chain.final_hash
        height = small.chain.final.height
        nonce = small.chain.runtime_after(parent).system.nonces[dev_account("Alice")]
        one = small.build(parent, [small.transfer("Alice", nonce, "Bob")])
        two = small.build(one.hash, [small.transfer("Alice", nonce + 1, "Eve")])
        for number, block in enumerate([one, two, one, two][:writes_done]):
            if number < 2:
                small.chain.save_pending(block.hash)
            else:
                small.finalize(block, b"" if block is one else b"certificate")

        small = reopened(small)

        assert small.chain.final.height == height + max(0, writes_done - 2)
        assert_tree_agrees(small, small.chain.final_hash)
        pending = small.chain.pending_blocks()
        assert pending == [one.block, two.block][max(0, writes_done - 2) : writes_done]
        for saved in pending:
            assert small.take(saved).header == saved.header
        with small.chain.store.snapshot() as reader:
            assert check_store(reader, lambda _: None) == []
    small.close()


def test_block_saved_after_its_height_is_final_is_not_pending(small: SmallChain) -> None:
    genesis = small.chain.final_hash
    slow = small.build(genesis, view=1)
    final = small.build(genesis, view=2)
    small.chain.commit(final, b"certificate")

    small.chain.save_pending(slow.hash)  # by a thread that was late

    assert small.chain.pending_blocks() == []


def test_state_that_is_not_the_headers_stops_the_node(small: SmallChain) -> None:
    small.finalize(small.build(small.chain.final_hash, [small.transfer("Alice", 0, "Bob")]))
    store = small.chain.store
    store._write([(b"sbalances.forged", b"\x01")], sync=True)

    with pytest.raises(StoreCorrupted, match="root"):
        reopened(small)


def test_epoch_ends_at_its_boundary_and_views_start_anew(tmp_path: Path) -> None:
    small = SmallChain.open(tmp_path / "db", small_spec(epoch_length=3))

    for _ in range(8):
        small.finalize(small.build(small.chain.final_hash))

    header = small.chain.final
    assert (header.height, header.epoch, header.view) == (8, 2, 2)
    randomness = [small.rules(small.chain.final_hash).randomness]
    randomness += [
        small.chain.rules(Epoch(epoch), small.chain.final_hash).randomness for epoch in (0, 1)
    ]
    assert len(set(randomness)) == 3
    small.close()
