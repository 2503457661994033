"""When a validator that starts may speak: who was heard, from where, and what they can prove."""

from dataclasses import replace

import trio.testing

from consensus.simplex.events import Peer
from consensus.simplex.messages import Certificate, Kind, Message, Nullify, Proposal, Request
from consensus.simplex.pledges import Floor
from genesis.presets import dev_account
from node.roll_call import RollCall
from node.silence import ANSWER_WAIT, Reason, Silence, Surroundings
from primitives.power_table import PowerTable
from primitives.types import Digest, Epoch, Height, Millis, Signature, View, VotingPower
from tests.chain.small_chains import small_spec
from tests.node.small_nodes import peer_of

NAMES = ("Alice", "Bob", "Charlie", "Dave")
TABLE = small_spec(NAMES).power_table()
HERE = Epoch(3)


def place(name: str) -> int:
    accounts = [entry.account for entry in TABLE.validators]
    return accounts.index(dev_account(name))


DAVE = TABLE[place("Dave")].consensus_key


def word(name: str, view: int) -> Nullify:
    return Nullify(HERE, View(view), place(name), Signature(bytes(64)))


def roll(*heard: tuple[Peer, Message], table: PowerTable = TABLE, epoch: Epoch = HERE) -> RollCall:
    made = RollCall(table, epoch, place("Dave"))
    for peer, message in heard:
        made.note(peer, message)
    return made


def test_two_others_and_we_are_a_quorum_of_four() -> None:
    one = roll((peer_of("Alice"), word("Alice", 7)))
    two = roll((peer_of("Alice"), word("Alice", 7)), (peer_of("Bob"), word("Bob", 9)))

    assert not one.is_complete(is_beginning=False)
    assert two.is_complete(is_beginning=False)
    assert two.floor(View(8), is_beginning=False) == Floor(HERE, View(10))
    assert two.floor(View(20), is_beginning=False) == Floor(HERE, View(21))


def test_weight_counts_and_not_heads() -> None:
    heavy = PowerTable(
        tuple(
            replace(entry, weight=VotingPower(100 if number == place("Alice") else 1))
            for number, entry in enumerate(TABLE.validators)
        )
    )

    light = roll((peer_of("Bob"), word("Bob", 7)), (peer_of("Charlie"), word("Charlie", 7)))
    assert light.is_complete(is_beginning=False)
    for name, is_enough in (("Bob", False), ("Alice", True)):
        heard = roll((peer_of(name), word(name, 7)), table=heavy)
        assert heard.is_complete(is_beginning=False) is is_enough


def test_words_that_others_pass_on_may_be_old_and_do_not_count() -> None:
    heard = roll((peer_of("Alice"), word("Alice", 7)), (peer_of("Alice"), word("Bob", 2)))

    assert not heard.is_complete(is_beginning=False)


def test_a_validator_without_a_known_peer_is_believed_by_its_signature() -> None:
    entries = tuple(replace(entry, peer_key=None) for entry in TABLE.validators)

    heard = roll(
        (Peer(b"x"), word("Alice", 7)), (Peer(b"x"), word("Bob", 7)), table=PowerTable(entries)
    )

    assert heard.is_complete(is_beginning=False)


def test_certificates_and_questions_tell_nobodys_place() -> None:
    certificate = Certificate(Kind.NULLIFY, HERE, View(5), None, b"\x07", ())
    messages = (certificate, Request(HERE, View(1), View(9)), Request(HERE, View(4), View(9)))

    heard = roll(*((peer_of(name), message) for name in NAMES for message in messages))

    assert not heard.is_complete(is_beginning=False)


def test_at_the_beginning_whoever_asks_from_the_first_view_on_has_nothing() -> None:
    first, later = Request(Epoch(0), View(1), View(32)), Request(Epoch(0), View(2), View(32))

    both = roll((peer_of("Alice"), first), (peer_of("Bob"), first), epoch=Epoch(0))
    one = roll((peer_of("Alice"), first), (peer_of("Bob"), later), epoch=Epoch(0))
    stranger = roll((peer_of("Alice"), first), (Peer(b"stranger"), first), epoch=Epoch(0))

    assert both.is_complete(is_beginning=True)
    assert both.floor(View(1), is_beginning=True) == Floor(Epoch(0), View(0))
    assert both.floor(View(3), is_beginning=True) == Floor(Epoch(0), View(4))
    assert not both.is_complete(is_beginning=False)
    assert not one.is_complete(is_beginning=True)
    assert not stranger.is_complete(is_beginning=True)


def test_a_liar_cannot_keep_a_chain_from_beginning() -> None:
    """It claims a view to which no certificate led."""
    lie = replace(word("Alice", 12), epoch=Epoch(0))
    first = Request(Epoch(0), View(1), View(32))

    heard = roll((peer_of("Alice"), lie), (peer_of("Bob"), first), epoch=Epoch(0))

    assert heard.floor(View(1), is_beginning=True) == Floor(Epoch(0), View(0))


class World:
    """What a silent node is told about its chain."""

    def __init__(self, *, knows_its_words: bool, height: int = 9) -> None:
        self.is_behind = False
        self.height = Height(height)
        self.silence = Silence(
            Surroundings(
                final_height=lambda: self.height,
                is_behind=lambda: self.is_behind,
                broadcast=lambda _: None,
            ),
            {},
            listening=Millis(3000),
            knows_its_words=knows_its_words,
        )
        self.silence.open_epoch(TABLE, HERE, DAVE)

    def hear_all(self) -> None:
        for name in NAMES[:3]:
            self.silence.note(peer_of(name), word(name, 7))


def reasons(world: World, *times: float) -> list[Reason | None]:
    return [world.silence.why(time) for time in times]


async def test_a_whole_journal_speaks_after_listening_unless_it_is_behind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(knows_its_words=True)

    assert reasons(world, 0, 2.9, 3) == [Reason.LISTENING, Reason.LISTENING, None]
    world.is_behind = True
    assert reasons(world, 4) == [Reason.SYNCING]
    assert world.silence.floor(View(7)) is None


async def test_a_claim_of_blocks_that_never_come_keeps_nobody_silent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(knows_its_words=True)
    world.is_behind = True

    assert reasons(world, 4, 13) == [Reason.SYNCING, Reason.SYNCING]
    world.height = Height(10)
    assert reasons(world, 15, 24.9, 25) == [Reason.SYNCING, Reason.SYNCING, None]


async def test_a_blank_journal_waits_for_a_quorum_and_its_answers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(knows_its_words=False)

    assert reasons(world, 5, 500) == [Reason.NO_JOURNAL, Reason.NO_JOURNAL]
    world.hear_all()
    wait = ANSWER_WAIT / 1000
    assert reasons(world, 501, 501 + 0.9 * wait, 501 + wait) == [
        Reason.NO_JOURNAL,
        Reason.NO_JOURNAL,
        None,
    ]
    assert world.silence.floor(View(7)) == Floor(HERE, View(8))


async def test_a_new_epoch_asks_its_own_validators(autojump_clock: trio.testing.MockClock) -> None:
    world = World(knows_its_words=False)
    world.hear_all()
    assert reasons(world, 5, 7) == [Reason.NO_JOURNAL, None]

    world.silence.open_epoch(TABLE, Epoch(HERE + 1), DAVE)
    world.hear_all()  # words of the epoch before

    assert reasons(world, 8, 80) == [Reason.NO_JOURNAL, Reason.NO_JOURNAL]


async def test_who_has_nothing_final_counts_only_while_nothing_is(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(knows_its_words=False, height=0)
    world.silence.open_epoch(TABLE, Epoch(0), DAVE)
    for name in NAMES[:3]:
        world.silence.note(peer_of(name), Request(Epoch(0), View(1), View(32)))

    assert reasons(world, 3, 4.5) == [Reason.NO_JOURNAL, None]
    world.height = Height(1)
    assert reasons(world, 5, 50) == [Reason.NO_JOURNAL, Reason.NO_JOURNAL]


def test_a_proposal_tells_its_leaders_place_like_a_vote() -> None:
    nothing = Digest(bytes(32))
    offer = Proposal(HERE, View(8), View(7), nothing, nothing, place("Alice"), Signature(bytes(64)))

    heard = roll((peer_of("Alice"), offer), (peer_of("Bob"), word("Bob", 7)))

    assert heard.floor(View(7), is_beginning=False) == Floor(HERE, View(9))
