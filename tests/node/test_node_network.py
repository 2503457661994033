"""Whole nodes that talk: blocks final, extrinsics relayed, faults of peers and of the network."""

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from chain.blockchain import Imported
from chain.builder import Assignment
from consensus.simplex.events import Peer
from consensus.simplex.evidence import Offence
from consensus.simplex.messages import Certificate, Notarize, encode_message, message_bytes
from genesis.presets import DEV_BOND, dev_account
from node.evidence import offence_of
from node.silence import VotesElsewhere
from p2p.identity import PeerId
from primitives.types import Digest, Epoch, Height, Signature, View
from tests.chain.small_chains import forged, small_spec
from tests.node.small_nodes import records_of
from tests.node.town import NAMES, Town, TownNode, determined


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    return determined(monkeypatch)


def transfers(node: TownNode, sender: str, count: int) -> list[bytes]:
    small = node.small.small
    return [small.transfer(sender, nonce, "Eve").extrinsic.encoded for nonce in range(count)]


def nobody_was_blamed(town: Town) -> bool:
    return not any(node.network.faults() or node.network.bans() for node in town.nodes.values())


def asked(node: TownNode) -> Counter[str]:
    """Count what peers ask of a node from now on."""
    counted: Counter[str] = Counter()
    real = node.handler.on_request

    async def on_request(peer: PeerId, name: str, payload: bytes) -> AsyncGenerator[bytes, None]:
        counted[name] += 1
        async with aclosing(real(peer, name, payload)) as answers:
            async for answer in answers:
                yield answer

    node.handler.on_request = on_request  # type: ignore[method-assign]
    return counted


async def test_transfers_given_to_any_node_are_final_at_all_across_epochs(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES, epoch_length=5))
    async with town.living(*NAMES, "follower"):
        await town.wait_height(1)
        given: list[Digest] = []
        for sender, at in (("Alice", "Dave"), ("Bob", "follower"), ("Charlie", "Alice")):
            given += await town[at].submit(*transfers(town[at], sender, 5))

        await town.wait(lambda: all(n.has_final(x) for n in town.nodes.values() for x in given))
        await town.wait_height(17)

        assert all(len(node.small.mempool) == 0 for node in town.nodes.values())
        assert nobody_was_blamed(town)
        assert all(not len(node.evidence) for node in town.nodes.values())


async def test_links_that_lose_a_fifth_of_the_frames_lose_no_transfer(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES, epoch_length=5))
    async with town.living(*NAMES, "follower"):
        town.lose(200_000_000)
        given = await town["follower"].submit(*transfers(town["follower"], "Alice", 5))

        await town.wait(lambda: all(n.has_final(x) for n in town.nodes.values() for x in given))
        await town.wait_height(7)

        assert nobody_was_blamed(town)


async def test_lost_batch_of_extrinsics_is_sent_again(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living(*NAMES, "follower"):
        await town.wait_height(1)
        town.lose(10**9)
        given = await town["follower"].submit(*transfers(town["follower"], "Alice", 3))
        await trio.sleep(1)
        town.lose(0)

        await town.wait(lambda: all(n.has_final(x) for n in town.nodes.values() for x in given))


async def test_partitioned_halves_halt_and_agree_again_when_they_meet(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES, epoch_length=5))
    async with town.living(*NAMES):
        await town.wait_height(2)
        town.partition(["Alice", "Bob"], ["Charlie", "Dave"])
        await trio.sleep(20)
        halted = max(node.height for node in town.nodes.values())
        await trio.sleep(20)
        assert max(node.height for node in town.nodes.values()) == halted

        town.hub.heal_all()
        await town.wait_height(halted + 2)
        town.partition(["Alice", "Bob", "Charlie"], ["Dave"])
        await town.wait_height(halted + 5, "Alice", "Bob", "Charlie")
        assert town["Dave"].height <= halted + 3
        town.hub.heal_all()
        await town.wait_height(halted + 7)

        assert nobody_was_blamed(town)


async def test_late_joiners_catch_up_through_epochs(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES, epoch_length=5))
    async with town.living(*NAMES[:3]):
        await town.wait_height(12)
        town.open("Dave")
        town.open("follower")

        await town.wait_height(14)
        # It cannot know that it never voted, and keeps out of the views that it may have seen.
        await town.wait(lambda: town["Dave"].small.driver.silence is None)
        await town.wait_height(town["Alice"].height + 6)
        # The late validator votes too: without it the others, less one, are no quorum.
        await town.stop("Alice")
        await town.wait_height(town["Bob"].height + 4, "Bob", "Charlie", "Dave", "follower")

        assert nobody_was_blamed(town)


async def test_all_validators_stopped_at_once_go_on_where_they_were(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES, epoch_length=5))
    async with town.living(*NAMES):
        for height in (3, 6):
            await town.wait_height(height)
            for name in NAMES:
                await town.stop(name)
            for name in NAMES:
                town.open(name)
        await town.wait_height(9)

        assert nobody_was_blamed(town)


async def test_leader_of_invalid_blocks_is_passed_over_and_nobody_else_is_blamed(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living(*NAMES):
        dave = town["Dave"]
        build = dave.small.service.build
        lies: list[Digest] = []

        async def lie(assignment: Assignment) -> Imported:
            made = await build(assignment)
            block = forged(made.block, state_root=Digest(bytes(32)))
            lie = replace(made, block=block, hash=block.hash)
            dave.small.service.chain.hold(lie)
            lies.append(lie.hash)
            return lie

        dave.small.service.build = lie  # type: ignore[method-assign]
        await town.wait(lambda: len(lies) >= 2)
        await town.wait_height(8, "Alice", "Bob", "Charlie")

        chain = town["Alice"].small.small.chain
        headers = [chain.final_header_at(Height(height)) for height in range(1, 9)]
        assert not {header.hash for header in headers} & set(lies)
        assert nobody_was_blamed(town)


async def test_extrinsics_that_were_never_relayed_are_asked_for_by_their_place(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living(*NAMES):
        await town.wait_height(1)
        alice = town["Alice"]
        counted = asked(alice)
        alice.small.service.intake.on_accepted = lambda _: None
        given = await alice.submit(*transfers(alice, "Bob", 20))

        await town.wait(lambda: all(n.has_final(x) for n in town.nodes.values() for x in given))

        assert counted["extrinsics"] == 3
        assert counted["block"] == 0
        assert nobody_was_blamed(town)


async def test_blocks_are_asked_for_whole_where_the_announcement_was_lost(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living(*NAMES):
        counted = [asked(node) for node in town.nodes.values()]

        def do_nothing(imported: Imported) -> None: ...

        for node in town.nodes.values():
            node.parts.exchange.publish = do_nothing  # type: ignore[method-assign]

        await town.wait_height(4)

        assert sum(counter["block"] for counter in counted) >= 3 * 3


async def test_second_machine_with_the_same_key_refuses_to_vote(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES, epoch_length=5))
    async with town.living(*NAMES):
        await town.wait_height(7)
        twin = town.made("Dave", "twin")

        with pytest.raises(BaseExceptionGroup) as caught:
            await twin.run()

        assert caught.group_contains(VotesElsewhere)
        said = records_of(tmp_path / "twin" / "journal")
        assert all(isinstance(record, Certificate) for record in said)
        await town.wait_height(9)


def notarized_by(node: TownNode, view: int, block: Digest) -> Notarize:
    """Return a vote of a validator that its own machine knows nothing of."""
    voter, driver = node.small.driver.voter, node.small.driver
    assert voter is not None
    assert driver.table is not None
    signer = driver.table.find_position(voter.consensus.public)
    assert signer is not None
    vote = Notarize(driver.epoch, View(view), block, signer, Signature(bytes(64)))
    text = message_bytes(driver.settings.genesis, vote)
    return replace(vote, signature=voter.consensus.sign(text))


def vote_twice(liar: TownNode, view: int) -> None:
    """Let a validator notarize two blocks of one view before everybody's eyes."""
    for number in (1, 2):
        vote = notarized_by(liar, view, Digest(bytes([number]) * 32))
        liar.handler.broadcast(encode_message(vote))


async def test_equivocation_is_kept_as_evidence_by_all_who_see_it(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living(*NAMES, "follower"):
        await town.wait_height(2)
        for name in NAMES:
            town[name].small.service.find_evidence = lambda _: ()
        vote_twice(town["Dave"], town["Alice"].small.driver.view + 2)
        seeing = (*NAMES[:3], "follower")

        await town.wait(lambda: all(len(town[name].evidence) for name in seeing))

        for name in seeing:
            (piece,) = town[name].evidence.pieces
            assert offence_of(piece) is Offence.DOUBLE_NOTARIZE
        assert nobody_was_blamed(town)


async def test_a_validator_that_signs_twice_is_slashed_and_jailed_with_nobodys_hands(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES, epoch_length=8))
    dave = dev_account("Dave")
    async with town.living(*NAMES, "follower"):
        await town.wait_height(2)
        vote_twice(town["Dave"], town["Alice"].small.driver.view + 2)
        await town.wait(lambda: all(len(town[name].evidence) for name in NAMES[:3]))
        vote_twice(town["Dave"], town["Alice"].small.driver.view + 2)

        await town.wait(lambda: not any(len(node.evidence) for node in town.nodes.values()))
        await town.wait_height(18)

        assert nobody_was_blamed(town)
        chain = town["Alice"].small.small.chain
        runtime = chain.runtime_after(chain.final_hash)
        ppb = town.spec.runtime.offences.equivocation_ppb
        assert runtime.staking.ledgers[dave].active == DEV_BOND - DEV_BOND * ppb // 10**9
        assert runtime.staking.jailed[dave] == town.spec.runtime.offences.jail_epochs
        assert runtime.offences.punished[dave] == (0,)
        assert [len(runtime.session.table(Epoch(epoch))) for epoch in (0, 1)] == [4, 3]
        heights = range(1, chain.final.height + 1)
        bodies = [chain.store.reads.body_at(Height(height)) for height in heights]
        reports = [body for body in bodies if b"offences.report_by_author" in body]
        assert len(reports) == 1


async def test_who_tells_one_node_something_else_is_convicted_by_what_becomes_a_quorum(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES, epoch_length=40))
    async with town.living(*NAMES):
        await town.wait_height(2)
        liar, victim = town["Dave"], town["Alice"]
        chain, driver = victim.small.small.chain, victim.small.driver
        # Alice never hears what Dave tells the others, but for the quorums that it is part of.
        town.hub.rules(liar.peer, victim.peer).lost_ppb = 10**9

        def is_punished() -> bool:
            offences = chain.runtime_after(chain.final_hash).offences
            return offences.is_punished(dev_account("Dave"), Epoch(0))

        while not is_punished():
            lie = encode_message(notarized_by(liar, driver.view + 1, Digest(b"x" * 32)))
            driver.receive(Peer(liar.peer.encode()), lie)
            await trio.sleep(1)

        assert nobody_was_blamed(town)
