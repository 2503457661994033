from genesis.build import build_genesis
from genesis.presets import dev_spec
from node.devnet.final_chain import HEIGHTS_PER_LOOK, Disagreement, FinalChain
from primitives.block import Block
from primitives.types import Height
from tests.node.devnet.fake_nodes import FakeBlocks


def block_of(extrinsics: int) -> Block:
    header = build_genesis(dev_spec()).block.header
    return Block(header, tuple(bytes([number]) for number in range(extrinsics)))


def test_nodes_with_the_same_blocks_agree() -> None:
    chain = FinalChain(["one", "other"])

    chain.check("one", FakeBlocks(b"a"), Height(5))
    chain.check("other", FakeBlocks(b"a"), Height(7))

    assert chain.disagreements == []


def test_a_different_final_block_is_a_disagreement_for_ever() -> None:
    chain = FinalChain(["one", "other"])

    chain.check("one", FakeBlocks(b"a"), Height(1))
    chain.check("other", FakeBlocks(b"b"), Height(1))
    chain.check("one", FakeBlocks(b"a"), Height(2))
    chain.check("other", FakeBlocks(b"a"), Height(2))

    assert chain.disagreements == [Disagreement(Height(1), "one", "other")]


def test_every_height_is_compared_once_and_a_few_at_a_look() -> None:
    chain = FinalChain(["one"])
    node = FakeBlocks(b"a")

    for _ in range(3):
        chain.check("one", node, Height(HEIGHTS_PER_LOOK + 10))

    assert node.asked == list(range(1, HEIGHTS_PER_LOOK + 11))


def test_heights_that_all_have_shown_are_forgotten() -> None:
    chain = FinalChain(["one", "other"])

    chain.check("one", FakeBlocks(b"a"), Height(30))
    chain.check("other", FakeBlocks(b"a"), Height(20))

    assert sorted(chain._finals) == list(range(21, 31))


def test_extrinsics_are_counted_once_without_the_inherents() -> None:
    known = FakeBlocks(b"a")
    hashes = [known.hash_at(Height(height)) for height in (1, 2)]
    blocks = {found: block_of(size) for found, size in zip(hashes, (4, 1), strict=True) if found}
    chain = FinalChain(["one", "other"])

    chain.check("one", FakeBlocks(b"a", blocks), Height(2))
    chain.check("other", FakeBlocks(b"a", blocks), Height(2))

    assert (chain.extrinsics, chain.counted) == (3, 2)


def test_a_block_that_one_node_has_not_any_more_is_counted_by_another() -> None:
    first = FakeBlocks(b"a").hash_at(Height(1))
    assert first is not None
    chain = FinalChain(["one", "other"])

    chain.check("one", FakeBlocks(b"a"), Height(1))
    chain.check("other", FakeBlocks(b"a", {first: block_of(3)}), Height(1))

    assert chain.extrinsics == 2
