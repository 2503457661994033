"""Importing: what one node builds another takes, and every lie has its own refusal."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.blockchain import Blockchain, UnknownBlock
from chain.header_checks import (
    BadBeaconProof,
    NotLeader,
    TooEarly,
    WrongEpoch,
    WrongParent,
    WrongView,
)
from chain.importer import InvalidBody, RootMismatch, decode_body, import_block
from chain.slices import run_slices
from chain.unfinalized import TooManyUnfinalized, Unfinalized
from primitives.block import Block, encode_inherent
from primitives.errors import InvalidBlock
from primitives.merkle import merkle_root
from primitives.types import AccountId, Digest, View
from runtime.executive import InherentFailed, MisplacedInherent, ReadyExtrinsic
from tests.chain.small_chains import LOOP, SmallChain, forged, small_spec

NAMES = ("Alice", "Bob", "Charlie", "Dave")
VALIDATORS = ("Alice", "Bob", "Charlie", "Dave")


@pytest.fixture
def author(tmp_path: Path) -> Iterator[SmallChain]:
    chain = SmallChain.open(tmp_path / "author", small_spec(VALIDATORS))
    yield chain
    chain.close()


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[SmallChain]:
    chain = SmallChain.open(tmp_path / "judge", small_spec(VALIDATORS))
    yield chain
    chain.close()


def with_body(block: Block, *extrinsics: bytes) -> Block:
    """Return the block with another body, which its header commits to."""
    return Block(replace(block.header, extrinsics_root=merkle_root(extrinsics)), tuple(extrinsics))


def assert_untouched(judge: SmallChain, root: Digest) -> None:
    assert judge.chain.imported() == ()
    assert judge.chain.tree.tree.root == root
    assert judge.chain.tree.path == ()


STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),  # how far above the last final block the parent is, at most
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=3),
        st.booleans(),  # whether the block becomes final
    ),
    min_size=1,
    max_size=5,
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_whatever_one_node_builds_another_takes_with_the_same_roots(
    steps: list[tuple[int, list[tuple[str, str]], bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("two")
    author = SmallChain.open(folder / "author", small_spec(VALIDATORS, epoch_length=4))
    judge = SmallChain.open(folder / "judge", small_spec(VALIDATORS, epoch_length=4))
    parent = author.chain.final_hash
    for back, transfers, is_final in steps:
        path = [item.hash for item in author.chain.path_to(parent)]
        parent = [author.chain.final_hash, *path][max(0, len(path) - back)]
        header = author.chain.header(parent)
        view = max([header.view, *(held.header.view for held in author.chain.imported())])
        is_new_epoch = author.rules(parent).epoch != header.epoch
        system = author.chain.runtime_after(parent).system
        extrinsics: list[ReadyExtrinsic] = []
        for sender, recipient in transfers:
            made = author.transfer(sender, 0, recipient)
            assert made.extrinsic.signer is not None
            used = [x for x in extrinsics if x.extrinsic.signer == made.extrinsic.signer]
            nonce = system.nonces[made.extrinsic.signer] + len(used)
            extrinsics.append(author.transfer(sender, nonce, recipient))
        if is_new_epoch:
            view = View(len(author.chain.imported()))
        built = author.build(parent, extrinsics, view=view + 1)

        taken = judge.take(Block.decode(built.block.encode()))

        assert taken.hash == built.hash
        assert taken.executed == built.executed
        assert taken.signers == built.signers
        assert len(built.block.extrinsics) == 1 + len(extrinsics)
        parent = built.hash
        if is_final:
            for item in author.chain.path_to(parent):
                author.finalize(item)
            for item in judge.chain.path_to(parent):
                judge.finalize(item)
            assert judge.chain.final_hash == author.chain.final_hash == parent
    author.close()
    judge.close()


def header_lies(block: Block) -> list[tuple[type[InvalidBlock], Block]]:
    header = block.header
    other = next(
        validator for validator in (bytes([1]) * 32, bytes([2]) * 32) if validator != header.author
    )
    digest = Digest(bytes([7]) * 32)
    return [
        (WrongParent, forged(block, height=header.height + 1)),
        (WrongParent, forged(block, height=0)),
        (WrongEpoch, forged(block, epoch=header.epoch + 1)),
        (WrongView, forged(block, view=0)),
        (TooEarly, forged(block, timestamp=header.timestamp - 1)),
        (NotLeader, forged(block, author=AccountId(other))),
        (BadBeaconProof, forged(block, vrf_proof=header.vrf_proof[::-1])),
        (BadBeaconProof, forged(block, vrf_proof=b"")),
        (RootMismatch, forged(block, state_root=digest)),
        (RootMismatch, forged(block, receipts_root=digest)),
        (RootMismatch, forged(block, extrinsics_root=digest)),
        (InherentFailed, forged(block, timestamp=header.timestamp + 1)),
    ]


def test_every_wrong_header_field_has_its_own_refusal(
    author: SmallChain, judge: SmallChain
) -> None:
    genesis, root = judge.chain.final_hash, judge.chain.tree.tree.root
    honest = author.build(genesis, [author.transfer("Alice", 0, "Bob")]).block

    for error, lie in header_lies(honest):
        with pytest.raises(error):
            judge.take(lie)
        assert_untouched(judge, root)

    judge.take(honest)


def test_every_wrong_body_has_its_own_refusal(author: SmallChain, judge: SmallChain) -> None:
    genesis, root = judge.chain.final_hash, judge.chain.tree.tree.root
    transfer = author.transfer("Alice", 0, "Bob")
    honest = author.build(genesis, [transfer]).block
    inherent, signed = honest.extrinsics
    late = author.transfer("Alice", 1, "Bob").extrinsic.encoded
    early_time = encode_inherent(["timestamp.set", honest.header.timestamp - 1])
    lies: list[tuple[type[InvalidBlock], Block]] = [
        (RootMismatch, Block(honest.header, (inherent,))),
        (MisplacedInherent, with_body(honest, signed)),
        (MisplacedInherent, with_body(honest)),
        (MisplacedInherent, with_body(honest, inherent, inherent)),
        (MisplacedInherent, with_body(honest, signed, inherent)),
        (InherentFailed, with_body(honest, early_time, signed)),
        (InvalidBody, with_body(honest, inherent, signed, signed)),
        (InvalidBody, with_body(honest, inherent, late)),
        (InvalidBody, with_body(honest, inherent, b"\x93\x01")),
        (RootMismatch, with_body(honest, inherent)),  # the receipts are others
    ]

    for error, lie in lies:
        with pytest.raises(error):
            judge.take(lie)
        assert_untouched(judge, root)


def test_view_of_the_parent_or_below_is_refused(author: SmallChain, judge: SmallChain) -> None:
    first = author.build(author.chain.final_hash, view=3)
    judge.take(first.block)
    second = author.build(first.hash, view=4).block

    for view in (3, 2):
        with pytest.raises(WrongView):
            judge.take(forged(second, view=View(view)))


def test_block_on_an_unknown_parent_is_no_fault_of_the_block(
    author: SmallChain, judge: SmallChain
) -> None:
    first = author.build(author.chain.final_hash)
    second = author.build(first.hash).block
    body = run_slices(decode_body(second, lambda _: None))

    with pytest.raises(UnknownBlock):
        run_slices(import_block(judge.chain, second, body, author.rules(first.hash)))


def test_only_signatures_that_nobody_checked_are_asked_for(author: SmallChain) -> None:
    known, new = author.transfer("Alice", 0, "Bob"), author.transfer("Bob", 0, "Alice")
    block = author.build(author.chain.final_hash, [known, new]).block

    def find_verified(extrinsic_hash: Digest) -> ReadyExtrinsic | None:
        return known if extrinsic_hash == known.extrinsic.hash else None

    body = run_slices(decode_body(block, find_verified))

    assert body.unverified == [new.extrinsic.encoded]
    assert body.extrinsics[1] is known


def test_import_cut_off_between_any_two_slices_leaves_the_chain_as_it_was(
    author: SmallChain, judge: SmallChain
) -> None:
    base = author.build(author.chain.final_hash, view=1)
    side = author.build(author.chain.final_hash, [author.transfer("Bob", 0, "Eve")], view=2)
    calls: list[object] = [["system.remark", bytes([number])] for number in range(70)]
    remarks = [author.signed("Alice", n, call) for n, call in enumerate(calls)]  # type: ignore[arg-type]
    block = author.build(base.hash, remarks, view=3).block
    judge.take(base.block)
    judge.take(side.block)  # the tree stands on another branch
    body = run_slices(decode_body(block, lambda _: None))
    whole = sum(1 for _ in import_block(judge.chain, block, body, judge.rules(base.hash)))
    judge_again = judge.chain
    assert judge_again.has_block(block.hash)
    assert whole > 5

    author_chain = author.chain
    for cut in range(whole):
        other = author.build(side.hash, [author.transfer("Eve", 0, "Bob")], view=4 + cut)
        lost = build_cut(author, other.hash, cut)
        assert not author_chain.has_block(lost)
        run_slices(author_chain.move_tree_to(base.hash))
        assert author_chain.tree.tree.root == base.header.state_root


def build_cut(small: SmallChain, parent: Digest, cut: int) -> Digest:
    """Start importing a child of ``parent`` on its own chain, and give up after ``cut`` slices."""
    child = small.build(parent, [small.transfer("Bob", 1, "Eve", 2 * LOOP)], view=90 + cut)
    del small.chain._imported[child.hash]
    del small.chain.unfinalized._pending[child.hash]
    body = run_slices(decode_body(child.block, lambda _: None))
    slices = import_block(small.chain, child.block, body, small.rules(parent))
    for _ in range(cut):
        next(slices, None)
        if small.chain.has_block(child.hash):
            del small.chain._imported[child.hash]
            del small.chain.unfinalized._pending[child.hash]
            break
    slices.close()
    return child.hash


def test_full_house_refuses_a_block_before_it_is_executed(
    author: SmallChain, judge: SmallChain
) -> None:
    chain: Blockchain = judge.chain
    chain.unfinalized = Unfinalized(chain.store.reads, chain.final_hash, blocks_max=1)
    judge.take(author.build(author.chain.final_hash, view=1).block)
    root, path = chain.tree.tree.root, chain.tree.path

    with pytest.raises(TooManyUnfinalized):
        judge.take(author.build(author.chain.final_hash, view=2).block)

    assert (chain.tree.tree.root, chain.tree.path) == (root, path)


def test_stalled_chain_still_takes_empty_blocks(author: SmallChain, judge: SmallChain) -> None:
    """Else no block could ever become final again."""
    chain = judge.chain
    chain.unfinalized = Unfinalized(chain.store.reads, chain.final_hash, large_blocks_max=0)
    fresh = [bytes([number]) * 32 for number in range(1, 130)]
    calls = [
        author.signed("Alice", n, ["balances.transfer", to, LOOP]) for n, to in enumerate(fresh)
    ]
    large = author.build(author.chain.final_hash, calls, view=1)
    root, path = chain.tree.tree.root, chain.tree.path

    with pytest.raises(TooManyUnfinalized):
        judge.take(large.block)

    assert (chain.tree.tree.root, chain.tree.path) == (root, path)
    judge.take(author.build(author.chain.final_hash, view=2).block)
