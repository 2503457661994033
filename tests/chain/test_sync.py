"""What a range of blocks proves, and whom a node asks next; no network, no clock."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.handover import NotFinal
from chain.sync import AVOIDED_MAX, Anchor, BadRange, ProvenRange, SyncPlan, prove_range
from consensus.simplex.messages import CERTIFICATE
from consensus.simplex.verification import BadSignature, InvalidMessage, NoQuorum
from primitives.block import Block
from primitives.errors import DecodeError
from primitives.types import Digest, Epoch, Height, Millis
from tests.chain.certified_chains import genesis_hash, grow, handover
from tests.chain.small_chains import SmallChain, small_spec

EPOCH = 4
Answer = list[tuple[Block, bytes]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallChain]:
    spec = small_spec(("Alice", "Bob", "Charlie", "Dave"), epoch_length=EPOCH)
    chain = SmallChain.open(tmp_path_factory.mktemp("chain") / "db", spec)
    grow(chain, 2 * EPOCH)
    yield chain
    chain.close()


def answer(small: SmallChain, first: int, last: int) -> Answer:
    reads = small.chain.store.reads
    blocks = [small.chain.block(header_hash(small, h)) for h in range(first, last + 1)]
    return [(block, reads.certificate_at(block.header.height)) for block in blocks]


def header_hash(small: SmallChain, height: int) -> Digest:
    return small.chain.final_header_at(Height(height)).hash


def prove(small: SmallChain, items: Answer, after: int = 0, epoch: int = 0) -> ProvenRange:
    anchor = Anchor(Height(after), header_hash(small, after))
    table = small.chain.rules(Epoch(epoch), small.chain.final_hash).table
    return prove_range(anchor, table, genesis_hash(small), items, epoch_length=EPOCH)


def test_range_up_to_a_certificate_is_proven(small: SmallChain) -> None:
    proven = prove(small, answer(small, 1, 3))

    assert [block.header.height for block in proven.blocks] == [1, 2, 3]
    assert proven.end == Anchor(Height(3), header_hash(small, 3))
    assert proven.finalization.block == proven.end.hash


def test_range_of_the_next_epoch_is_proven_on_the_boundary(small: SmallChain) -> None:
    assert prove(small, answer(small, 5, 8), after=4, epoch=1).end.height == 8


@pytest.mark.parametrize("first, last, after", [(2, 3, 0), (1, 2, 1), (3, 3, 1)])
def test_range_that_is_not_on_our_last_block_is_refused(
    small: SmallChain, first: int, last: int, after: int
) -> None:
    with pytest.raises(BadRange):
        prove(small, answer(small, first, last), after=after)


def test_nothing_is_no_range(small: SmallChain) -> None:
    with pytest.raises(BadRange):
        prove(small, [])


def test_range_that_crosses_the_end_of_an_epoch_is_refused(small: SmallChain) -> None:
    with pytest.raises(BadRange):
        prove(small, answer(small, 1, 5))


def test_block_left_out_or_repeated_is_refused(small: SmallChain) -> None:
    one, two, three = answer(small, 1, 3)
    for items in ([one, three], [one, one, two], [two, one], [one, two, two]):
        with pytest.raises(BadRange):
            prove(small, items)


def test_body_of_another_block_is_refused(small: SmallChain) -> None:
    (one, certificate), (two, _) = answer(small, 1, 2)

    with pytest.raises(BadRange):
        prove(small, [(Block(one.header, two.extrinsics), certificate)])


def test_forged_header_is_not_what_the_certificate_names(small: SmallChain) -> None:
    ((one, certificate),) = answer(small, 1, 1)
    forged = Block(replace(one.header, timestamp=Millis(7)), one.extrinsics)

    with pytest.raises(NotFinal):
        prove(small, [(forged, certificate)])


def test_certificate_that_proves_nothing_is_refused(small: SmallChain) -> None:
    items = answer(small, 1, 3)
    certificate = CERTIFICATE.decode(items[-1][1])
    few = replace(certificate, signers=b"\x03", signatures=certificate.signatures[:2])
    swapped = replace(certificate, signatures=certificate.signatures[::-1])
    lies: list[tuple[bytes, type[DecodeError | InvalidMessage]]] = [
        (b"", BadRange),
        (b"\x00", DecodeError),
        (items[0][1], NotFinal),
        (handover(small, 1).certificate, NotFinal),
        (CERTIFICATE.encode(few), NoQuorum),
        (CERTIFICATE.encode(swapped), BadSignature),
    ]

    for lie, refusal in lies:
        with pytest.raises(refusal):
            prove(small, [*items[:-1], (items[-1][0], lie)])


def test_range_is_proven_by_the_table_of_its_own_epoch_only(small: SmallChain) -> None:
    table = small.chain.rules(Epoch(0), small.chain.final_hash).table
    anchor = Anchor(Height(0), header_hash(small, 0))

    with pytest.raises(BadSignature):
        prove_range(anchor, table, Digest(bytes(32)), answer(small, 1, 2), epoch_length=EPOCH)


def plan() -> SyncPlan:
    return SyncPlan(epoch_length=100, blocks_max=64, behind_min=3)


def test_peers_are_asked_in_turn_for_what_they_have() -> None:
    board = plan()
    board.on_head("a", Height(500))
    board.on_head("b", Height(500))
    board.on_head("short", Height(10))

    asked = [board.next_ask(Height(after), 0.0) for after in (20, 84, 90)]

    assert [(ask.peer, ask.first, ask.count) for ask in asked if ask] == [
        ("a", 21, 64), ("b", 85, 16), ("a", 91, 10),
    ]  # fmt: skip


def test_peer_that_failed_is_left_alone_for_longer_and_longer() -> None:
    board = plan()
    board.on_head("a", Height(500))
    pauses = []
    now = 0.0
    for _ in range(10):
        board.on_failed("a", now)
        assert board.next_ask(Height(0), now) is None
        assert not board.is_behind(Height(0), now)
        chance = board.next_chance(Height(0), now)
        assert chance is not None
        pauses.append(chance - now)
        now = chance
        assert board.is_behind(Height(0), now)

    assert pauses == [1, 2, 4, 8, 16, 32, AVOIDED_MAX, AVOIDED_MAX, AVOIDED_MAX, AVOIDED_MAX]
    board.on_served("a")
    board.on_failed("a", now)
    assert board.next_chance(Height(0), now) == now + 1


def test_peer_that_is_gone_is_not_asked() -> None:
    board = plan()
    board.on_head("a", Height(500))

    board.on_gone("a")
    board.on_failed("a", 0.0)

    assert board.next_ask(Height(0), 0.0) is None
    assert board.highest(0.0) == 0
    assert board.next_chance(Height(0), 0.0) is None


def test_node_is_not_behind_for_a_few_blocks() -> None:
    board = plan()
    board.on_head("a", Height(12))

    assert not board.is_behind(Height(10), 0.0)
    assert board.is_behind(Height(9), 0.0)


@given(st.integers(0, 2000), st.integers(1, 2000), st.integers(1, 300), st.integers(1, 300))
def test_an_ask_stays_within_one_epoch_and_what_the_peer_has(
    after: int, head: int, length: int, count: int
) -> None:
    board = SyncPlan(epoch_length=length, blocks_max=count, behind_min=1)
    board.on_head("a", Height(head))

    ask = board.next_ask(Height(after), 0.0)

    assert (ask is None) == (head <= after)
    if ask is not None:
        last = ask.first + ask.count - 1
        assert ask.first == after + 1
        assert 1 <= ask.count <= count
        assert last <= head
        assert (ask.first - 1) // length == (last - 1) // length
