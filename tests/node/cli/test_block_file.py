"""Block files that were damaged, cut or forged; the sound ones are in test_chain."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.block_file import (
    MAGIC,
    BadFinality,
    NotABlockFile,
    Replay,
    Stored,
    read_blocks,
    read_genesis,
    write_blocks,
)
from chain.blockchain import Blockchain
from chain.importer import InvalidBody, RootMismatch
from consensus.simplex.messages import CERTIFICATE
from genesis.build import build_genesis
from node.chain_database import open_store
from primitives.block import Block
from primitives.errors import InvalidBlock
from primitives.merkle import merkle_root
from primitives.types import Digest, Signature, View
from tests.node.cli.running import invoke, quick_spec

GENESIS = build_genesis(quick_spec())


@pytest.fixture(scope="module")
def blocks(node_url: str, tmp_path_factory: pytest.TempPathFactory) -> list[Stored]:
    """The first blocks of the node's chain, the last with a transfer."""
    file = tmp_path_factory.mktemp("blocks") / "blocks"
    invoke("chain", "watch", "--count", 5, "--url", node_url)
    transfer = ("account", "transfer", "--from", "//Bob", "--to", "//Charlie", "1")
    height = invoke(*transfer, "--url", node_url, "--json").json["height"]
    invoke("chain", "export", file, "--to", height, "--url", node_url)
    with file.open("rb") as source:
        assert read_genesis(source) == GENESIS.hash
        return list(read_blocks(source))


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Blockchain]:
    spec = quick_spec()
    with open_store(tmp_path / "db", spec, GENESIS, None) as store:
        yield Blockchain(store, config=spec.runtime, interval=spec.consensus.block_interval)


def replay(chain: Blockchain, blocks: Sequence[Stored]) -> int:
    return Replay(chain, GENESIS.hash).run(blocks, lambda _: None)


def forged_body(stored: Stored, extrinsics: tuple[bytes, ...]) -> Stored:
    """Return a block with another body, and a header that commits to it."""
    header = replace(stored.block.header, extrinsics_root=merkle_root(extrinsics))
    return Stored(Block(header, extrinsics), stored.certificate)


def test_blocks_become_final_one_by_one_and_are_passed_over_later(
    chain: Blockchain, blocks: list[Stored]
) -> None:
    heights: list[int] = []

    count = Replay(chain, GENESIS.hash).run(blocks, heights.append)

    assert count == len(blocks)
    assert heights == [stored.block.header.height for stored in blocks]
    assert chain.final_hash == blocks[-1].block.hash
    assert replay(chain, blocks) == 0


def test_certificate_stands_for_the_blocks_before_it(
    chain: Blockchain, blocks: list[Stored]
) -> None:
    bare = [replace(stored, certificate=b"") for stored in blocks[:-1]]

    assert replay(chain, [*bare, blocks[-1]]) == len(blocks)


def test_blocks_without_a_certificate_are_not_final(
    chain: Blockchain, blocks: list[Stored]
) -> None:
    assert replay(chain, [replace(blocks[0], certificate=b"")]) == 0
    assert chain.final.height == 0


def test_gap_is_refused(chain: Blockchain, blocks: list[Stored]) -> None:
    with pytest.raises(InvalidBlock, match="does not follow"):
        replay(chain, [blocks[0], blocks[2]])

    assert chain.final.height == 1


def test_certificate_of_another_block_is_refused(chain: Blockchain, blocks: list[Stored]) -> None:
    with pytest.raises(BadFinality):
        replay(chain, [replace(blocks[0], certificate=blocks[1].certificate)])

    assert chain.final.height == 0


@pytest.mark.parametrize("change", ["signature", "view", "signers"])
def test_forged_certificate_is_refused(
    chain: Blockchain, blocks: list[Stored], change: str
) -> None:
    sound = CERTIFICATE.decode(blocks[0].certificate)
    forged = {
        "signature": replace(sound, signatures=(Signature(bytes(64)),)),
        "view": replace(sound, view=View(sound.view + 1)),
        "signers": replace(sound, signers=b"\x00", signatures=()),
    }[change]

    with pytest.raises(BadFinality):
        replay(chain, [replace(blocks[0], certificate=CERTIFICATE.encode(forged))])

    assert chain.final.height == 0


def test_forged_signature_of_an_extrinsic_is_refused(
    chain: Blockchain, blocks: list[Stored]
) -> None:
    last = blocks[-1]
    *others, transfer = last.block.extrinsics
    forged = forged_body(last, (*others, transfer[:-64] + bytes(64)))

    with pytest.raises(InvalidBody, match="signature"):
        replay(chain, [*blocks[:-1], forged])

    assert chain.final.height == len(blocks) - 1


def test_body_that_the_header_does_not_commit_to_is_refused(
    chain: Blockchain, blocks: list[Stored]
) -> None:
    other = Stored(Block(blocks[0].block.header, ()), blocks[0].certificate)

    with pytest.raises(RootMismatch):
        replay(chain, [other])


def test_other_state_than_execution_gives_is_refused(
    chain: Blockchain, blocks: list[Stored]
) -> None:
    header = replace(blocks[0].block.header, state_root=Digest(bytes(32)))
    forged = Stored(Block(header, blocks[0].block.extrinsics), blocks[0].certificate)

    with pytest.raises(RootMismatch):
        replay(chain, [forged])


def test_file_gives_back_what_was_written(blocks: list[Stored]) -> None:
    file = io.BytesIO()

    count = write_blocks(file, GENESIS.hash, blocks)
    file.seek(0)

    assert read_genesis(file) == GENESIS.hash
    assert list(read_blocks(file)) == blocks
    assert count == len(blocks)


def test_file_that_is_cut_off_is_refused_and_keeps_what_came_before(blocks: list[Stored]) -> None:
    file = io.BytesIO()
    write_blocks(file, GENESIS.hash, blocks[:2])
    cut = io.BytesIO(file.getvalue()[:-1])
    read_genesis(cut)
    stored = read_blocks(cut)

    assert next(stored) == blocks[0]
    with pytest.raises(NotABlockFile, match="cut off"):
        next(stored)


@given(data=st.binary(min_size=1, max_size=200))
def test_bytes_that_are_no_blocks_are_refused(data: bytes) -> None:
    with pytest.raises(NotABlockFile):
        read_genesis(io.BytesIO(data))
    file = io.BytesIO(MAGIC + bytes(32) + data)
    read_genesis(file)

    with pytest.raises(NotABlockFile):
        list(read_blocks(file))
