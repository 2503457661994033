"""The driver: blocks become final, epoch after epoch, and a crash at any write loses nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from chain.store import Store, WriteFailed
from chain.store_check import check_store
from consensus.simplex.events import Peer, RequestVerification
from consensus.simplex.messages import (
    CERTIFICATE,
    Nullify,
    Proposal,
    Request,
    encode_message,
)
from consensus.simplex.verification import InvalidMessage, verify_certificate
from node import block_desk, journal_file
from node.consensus_driver import ConsensusDriver
from node.inbox import PEERS_MAX
from node.journal_file import JournalFile, JournalUnusable
from primitives.block import Block
from primitives.errors import DecodeError
from primitives.types import Digest, Epoch, Height, Signature, View
from tests.chain.small_chains import small_spec
from tests.node.small_nodes import (
    LeafletNetwork,
    SmallNode,
    Street,
    StreetNetwork,
    assert_no_contradiction,
    records_of,
)

NAMES = ("Alice", "Bob", "Charlie", "Dave")


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Jumps when nothing has happened for a moment: a thread that writes is something."""
    return trio.testing.MockClock(autojump_threshold=0.03)


async def test_one_validator_makes_thirty_blocks_through_six_epochs(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    network = LeafletNetwork(tmp_path / "journal")
    spec = small_spec(epoch_length=5)
    node = SmallNode.open(tmp_path, spec, network=network)

    await node.run_to(30)

    chain = node.small.chain
    assert [chain.final_header_at(Height(h)).epoch for h in range(1, 31)] == [
        epoch for epoch in range(6) for _ in range(5)
    ]
    for height in range(5, 31, 5):
        certificate = CERTIFICATE.load(chain.store.reads.certificate_at(Height(height)))
        assert certificate.block == chain.final_header_at(Height(height)).hash
        table = chain.rules_now().table
        verify_certificate(table, node.driver.settings.genesis, certificate)
    assert_no_contradiction(network.said)
    assert_no_contradiction(records_of(tmp_path / "journal"))
    with chain.store.snapshot() as reader:
        assert check_store(reader, lambda _: None) == []
    node.close()


async def test_blocks_hold_what_waits_in_the_mempool(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    node = SmallNode.open(tmp_path, small_spec())
    transfers = [node.small.transfer("Alice", nonce, "Bob") for nonce in range(40)]

    answers = await node.service.intake.submit([x.extrinsic.encoded for x in transfers])
    await node.run_until(lambda: len(node.mempool) == 0)

    reads = node.small.chain.store.reads
    assert answers == [x.extrinsic.hash for x in transfers]
    assert all(reads.find_extrinsic(x.extrinsic.hash) is not None for x in transfers)
    node.close()


class Crash(BaseException):
    """The process ends here."""


def crash_at(monkeypatch: pytest.MonkeyPatch, write: int, *, after: bool) -> Callable[[], int]:
    """End the process at the ``write``-th write to the disk, before it or right after it."""
    count = 0

    def crashing(real: Callable[..., None]) -> Callable[..., None]:
        def write_or_crash(*arguments: object, **options: object) -> None:
            nonlocal count
            count += 1
            if count == write and not after:
                raise Crash
            real(*arguments, **options)
            if count >= write:
                raise Crash

        return write_or_crash

    monkeypatch.setattr(JournalFile, "append", crashing(JournalFile.append))
    monkeypatch.setattr(Store, "_write", crashing(Store._write))
    return lambda: count


async def crash_and_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, write: int, *, after: bool
) -> None:
    spec = small_spec(epoch_length=3)
    network = LeafletNetwork(folder / "journal")
    node = SmallNode.open(folder, spec, network=network)
    finals: list[Digest] = []
    node.service.on_final.append(lambda finalized: finals.append(finalized.hash))
    crash_at(monkeypatch, write, after=after)
    with pytest.raises(BaseExceptionGroup) as caught:
        await node.run_to(1000)
    assert caught.value.split(Crash)[1] is None
    monkeypatch.undo()
    node.close()

    network.said.clear()
    node = SmallNode.open(folder, spec, network=network)
    chain = node.small.chain
    assert all(chain.is_final(block) for block in finals), "a final block is lost"
    await node.run_to(chain.final.height + 2)

    assert_no_contradiction(records_of(folder / "journal"))
    assert_no_contradiction((*records_of(folder / "journal"), *network.said))
    with chain.store.snapshot() as reader:
        assert check_store(reader, lambda _: None) == []
    node.close()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", [2, 3, 5, 9])
async def test_crash_at_a_write_loses_nothing_and_nobody_votes_twice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: trio.testing.MockClock,
    write: int,
    after: bool,
) -> None:
    await crash_and_go_on(tmp_path, monkeypatch, write, after=after)


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", range(1, 30))
async def test_crash_at_any_write_loses_nothing_and_nobody_votes_twice(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: trio.testing.MockClock,
    write: int,
    after: bool,
) -> None:
    await crash_and_go_on(tmp_path, monkeypatch, write, after=after)


async def test_store_that_lost_its_last_block_gets_it_back_from_journal_and_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: trio.testing.MockClock
) -> None:
    """The journal is ahead of the store: the finalization is written, the block is not."""
    spec = small_spec()
    node = SmallNode.open(tmp_path, spec)
    await node.run_to(2)
    monkeypatch.setattr(Store, "commit", raise_crash)
    with pytest.raises(BaseExceptionGroup):
        await node.run_to(4)
    monkeypatch.undo()
    (pending,) = node.small.chain.pending_blocks()
    node.close()

    node = SmallNode.open(tmp_path, spec)
    await node.run_to(3)

    assert node.small.chain.final_header_at(Height(3)).hash == pending.hash
    node.close()


def raise_crash(*_: object) -> None:
    raise Crash


async def test_lost_journal_of_certificates_costs_no_block(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    """The store is ahead of the journal."""
    spec = small_spec(epoch_length=4)
    node = SmallNode.open(tmp_path, spec)
    await node.run_to(6)
    node.close()
    (tmp_path / "journal").unlink()

    node = SmallNode.open(tmp_path, spec)
    await node.run_to(9)

    assert node.small.chain.final.height == 9
    node.close()


async def test_journal_is_rewritten_while_the_node_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(journal_file, "REWRITE_BYTES", 2000)
    spec = small_spec(epoch_length=4)
    node = SmallNode.open(tmp_path, spec)
    await node.run_to(17)
    node.close()

    assert (tmp_path / "journal").stat().st_size < 8000
    node = SmallNode.open(tmp_path, spec)
    await node.run_to(19)
    assert_no_contradiction(records_of(tmp_path / "journal"))
    node.close()


async def test_disk_that_fails_stops_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: trio.testing.MockClock
) -> None:
    def refuse(*_: object) -> None:
        raise WriteFailed("full")

    node = SmallNode.open(tmp_path, small_spec())
    monkeypatch.setattr(Store, "commit", refuse)

    with pytest.raises(BaseExceptionGroup) as caught:
        await node.run_to(2)

    assert caught.group_contains(WriteFailed)
    assert node.small.chain.final.height == 0
    node.close()


async def test_journal_that_fails_stops_the_node_before_it_speaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: trio.testing.MockClock
) -> None:
    def refuse(*_: object) -> None:
        raise JournalUnusable("full")

    network = LeafletNetwork(tmp_path / "journal")
    node = SmallNode.open(tmp_path, small_spec(), network=network)
    monkeypatch.setattr(JournalFile, "append", refuse)

    with pytest.raises(BaseExceptionGroup) as caught:
        await node.run_to(2)

    assert caught.group_contains(JournalUnusable)
    assert network.said == []
    node.close()


async def started(node: SmallNode, nursery: trio.Nursery) -> ConsensusDriver:
    nursery.start_soon(node.driver.run)
    await trio.testing.wait_all_tasks_blocked()
    return node.driver


async def test_bad_bytes_and_bad_signatures_are_the_peers_fault(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    node = SmallNode.open(tmp_path, small_spec(("Alice", "Bob")), name="Bob")
    peer = Peer(b"peer")
    async with trio.open_nursery() as nursery:
        driver = await started(node, nursery)
        forged = Nullify(Epoch(0), View(1), 0, Signature(bytes(64)))

        for data in (b"", b"\xc1", b"\x92\x02", b"\x00" * 100):
            with pytest.raises(DecodeError):
                driver.receive(peer, data)
        with pytest.raises(InvalidMessage):
            driver.receive(peer, encode_message(forged))
        with pytest.raises(InvalidMessage):
            driver.receive(peer, encode_message(replace(forged, signer=9)))
        driver.receive(peer, encode_message(replace(forged, epoch=Epoch(7))))
        driver.receive(peer, encode_message(replace(forged, view=View(2**40))))
        nursery.cancel_scope.cancel()
    node.close()


async def test_flood_of_questions_leaves_room_for_our_own_inputs(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    node = SmallNode.open(tmp_path, small_spec(("Alice", "Bob")), name="Bob")
    request = encode_message(Request(Epoch(0), View(1), View(9)))
    async with trio.open_nursery() as nursery:
        driver = await started(node, nursery)
        for number in range(2 * PEERS_MAX):
            driver.receive(Peer(b"%d" % number), request)

        assert driver._epoch is not None
        assert driver._epoch.inbox.from_peers <= PEERS_MAX
        nursery.cancel_scope.cancel()
    node.close()


class Ears(LeafletNetwork):
    """Notes what is sent to single peers."""

    sent: list[tuple[Peer, bytes]]

    def send(self, peer: Peer, message: bytes) -> None:
        self.sent.append((peer, message))


async def test_word_of_an_ended_epoch_is_answered_with_its_end_now_and_then(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    ears = Ears(tmp_path / "journal")
    ears.sent = []
    node = SmallNode.open(tmp_path, small_spec(epoch_length=2), network=ears)
    await node.run_to(4)
    node.close()
    node = SmallNode.open(tmp_path, small_spec(epoch_length=2), network=ears)
    request = encode_message(Request(Epoch(0), View(1), View(9)))
    end = node.small.chain.store.reads.certificate_at(Height(2))
    async with trio.open_nursery() as nursery:
        driver = await started(node, nursery)
        ears.sent.clear()
        driver.receive(Peer(b"one"), encode_message(CERTIFICATE.load(end)))
        for _ in range(100):
            driver.receive(Peer(b"one"), request)
        driver.receive(Peer(b"other"), request)
        nursery.cancel_scope.cancel()

    answer = encode_message(CERTIFICATE.load(end))
    assert ears.sent == [(Peer(b"one"), answer), (Peer(b"other"), answer)]
    node.close()


class Silent(LeafletNetwork):
    """Nobody has the block that somebody proposed."""

    waiting = 0

    async def fetch(self, block: Digest) -> Block:
        self.waiting += 1
        try:
            await trio.sleep_forever()
        finally:
            self.waiting -= 1
        raise AssertionError


async def test_proposal_that_nobody_can_send_is_not_waited_for_for_ever(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    network = Silent(tmp_path / "journal")
    node = SmallNode.open(tmp_path, small_spec(("Alice", "Bob")), name="Bob", network=network)
    driver = node.driver
    epoch = driver._open_epoch(is_voting=False)
    parent = node.small.chain.final_hash
    block = Digest(bytes([9]) * 32)
    proposal = Proposal(Epoch(0), View(1), View(0), parent, block, 0, Signature(bytes(64)))

    await driver._verify(epoch, RequestVerification(proposal, Height(1)))

    verdict = epoch.inbox.take_nowait()
    assert not verdict.is_valid  # type: ignore[union-attr]  # a Verified
    assert trio.current_time() >= block_desk.PROPOSAL_WAIT / 1000
    assert network.waiting == 0
    node.close()


async def test_proposed_block_on_another_parent_is_refused_without_asking_for_it(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    author = SmallNode.open(tmp_path / "author", small_spec())
    orphan = author.small.build(author.small.build(author.small.chain.final_hash).hash)

    class OneBlock(Silent):
        async def fetch(self, block: Digest) -> Block:
            assert block == orphan.hash, "the liar's ancestors are asked for"
            return orphan.block

    node = SmallNode.open(tmp_path / "b", small_spec(), name=None, network=OneBlock(tmp_path))
    epoch = node.driver._open_epoch(is_voting=False)
    parent = node.small.chain.final_hash
    proposal = Proposal(Epoch(0), View(2), View(0), parent, orphan.hash, 0, Signature(bytes(64)))

    await node.driver._verify(epoch, RequestVerification(proposal, Height(1)))

    assert not epoch.inbox.take_nowait().is_valid  # type: ignore[union-attr]  # a Verified
    author.close()
    node.close()


async def test_four_validators_agree_and_one_that_was_away_comes_back(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    street, spec = Street(), small_spec(NAMES, epoch_length=4)
    for name in NAMES:
        network = StreetNetwork(street, name)
        street.nodes[name] = SmallNode.open(tmp_path / name, spec, name=name, network=network)

    async with trio.open_nursery() as nursery:
        for node in street.nodes.values():
            nursery.start_soon(node.driver.run)

        with trio.fail_after(600):
            await street.wait_for(3, *NAMES)
            street.away = {"Dave"}
            await street.wait_for(6, *NAMES[:3])
            street.away = set()
            await street.wait_for(10, *NAMES)
        nursery.cancel_scope.cancel()

    headers = [
        {n.small.chain.final_header_at(Height(h)).hash for n in street.nodes.values()}
        for h in range(1, 11)
    ]
    assert all(len(found) == 1 for found in headers)
    for name, node in street.nodes.items():
        assert_no_contradiction(records_of(tmp_path / name / "journal"))
        node.close()
