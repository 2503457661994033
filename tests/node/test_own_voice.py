"""Hearing our own key: a double is found, whatever it says; an echo of our own words is none."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from consensus.simplex.events import Peer
from consensus.simplex.messages import (
    Certificate,
    Kind,
    Notarize,
    Nullify,
    Request,
    Signed,
    encode_message,
    message_bytes,
)
from consensus.simplex.pledges import Floor
from genesis.presets import dev_session_seeds
from node.own_voice import OwnVoice
from node.silence import FROM_THE_FIRST, VotesElsewhere
from primitives.crypto import KeyPair
from primitives.types import Digest, Epoch, Signature, View
from tests.chain.small_chains import small_spec
from tests.node.small_nodes import SmallNode, peer_of, records_of
from tests.node.town import determined

KEY = KeyPair(dev_session_seeds("Bob").consensus)
GENESIS = Digest(bytes([7]) * 32)
A, B = Digest(bytes([1]) * 32), Digest(bytes([2]) * 32)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    return determined(monkeypatch)


def signed(message: Signed, genesis: Digest = GENESIS, key: KeyPair = KEY) -> Signed:
    return replace(message, signature=key.sign(message_bytes(genesis, message)))


def nullify(epoch: int, view: int, signer: int = 1) -> Nullify:
    return Nullify(Epoch(epoch), View(view), signer, Signature(bytes(64)))


def notarize(epoch: int, view: int, block: Digest) -> Notarize:
    return Notarize(Epoch(epoch), View(view), block, 1, Signature(bytes(64)))


def test_what_the_journal_does_not_know_comes_from_elsewhere() -> None:
    known = signed(notarize(3, 5, A))
    own = OwnVoice(GENESIS, KEY.public, [Floor(Epoch(3), View(2)), known])

    for heard in (
        signed(nullify(3, 6)),
        signed(nullify(3, 5)),
        signed(notarize(3, 5, B)),  # the same kind and view, another block
        signed(nullify(4, 1)),
        signed(nullify(90, 2**40)),
        signed(nullify(3, 6, signer=0)),  # whatever the place in whatever table
    ):
        assert own.is_from_elsewhere(heard)


def test_echoes_and_others_words_come_from_nowhere_else() -> None:
    known = signed(notarize(3, 5, A))
    final = Certificate(Kind.FINALIZE, Epoch(3), View(4), A, b"\x01", (Signature(bytes(64)),))
    own = OwnVoice(GENESIS, KEY.public, [Floor(Epoch(3), View(2)), final, known])

    for heard in (
        known,
        signed(nullify(3, 4)),
        signed(notarize(3, 2, B)),
        signed(nullify(2, 99)),
        nullify(3, 6),
        signed(nullify(3, 6), genesis=A),
        signed(nullify(3, 6), key=KeyPair(bytes(32))),
        replace(final, view=View(9)),
        Request(Epoch(3), View(1), View(9)),
    ):
        assert not own.is_from_elsewhere(heard)


def test_a_certificate_with_our_unknown_vote_tells_that_the_journal_is_not_whole() -> None:
    known = signed(notarize(3, 5, A))
    own = OwnVoice(GENESIS, KEY.public, [Floor(Epoch(3), View(2)), known])

    def quorum(view: int, signers: bytes, *signatures: Signature) -> Certificate:
        return Certificate(Kind.NOTARIZE, Epoch(3), View(view), A, signers, signatures)

    other = Signature(bytes(64))
    ours = signed(notarize(3, 6, A)).signature
    assert own.is_forgotten(quorum(6, b"\x07", other, ours, other), 1)
    assert not own.is_forgotten(quorum(6, b"\x0d", other, ours, other), 1)
    assert not own.is_forgotten(quorum(5, b"\x07", other, known.signature, other), 1)
    assert not own.is_forgotten(quorum(2, b"\x07", other, ours, other), 1)


def node_of_bob(folder: Path) -> SmallNode:
    return SmallNode.open(folder, small_spec(("Alice", "Bob"), epoch_length=50), name="Bob")


async def hear(node: SmallNode, *messages: Signed) -> None:
    """Run the node, and let it hear messages while it listens; return once it votes.

    Alice is there too, and has nothing final.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.driver.run)
        await trio.testing.wait_all_tasks_blocked()
        node.driver.receive(peer_of("Alice"), encode_message(FROM_THE_FIRST))
        for message in messages:
            node.driver.receive(Peer(b"peer"), encode_message(message))
        await trio.sleep(node.driver.settings.listening / 1000 + 10)
        nursery.cancel_scope.cancel()


async def test_double_in_a_later_epoch_stops_a_node_that_is_behind(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    node = node_of_bob(tmp_path)
    genesis = node.driver.settings.genesis

    with pytest.raises(BaseExceptionGroup) as caught:
        await hear(node, signed(nullify(4, 7), genesis))

    assert caught.group_contains(VotesElsewhere, match=KEY.public.hex())
    node.close()


async def test_own_old_words_said_again_by_a_liar_stop_nobody(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    node = node_of_bob(tmp_path)
    await hear(node)
    said = [r for r in records_of(node.journal.path) if isinstance(r, Nullify)]
    assert said, "it voted"
    node.journal.rewrite([Floor(Epoch(0), View(said[-1].view))])
    node.close()

    node = node_of_bob(tmp_path)
    await hear(node, *said)

    assert node.driver._epoch is not None
    assert node.driver._epoch.machine.position is not None, "it takes part"
    node.close()
