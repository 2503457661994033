"""Why a validator that starts is silent, and from which view on it may speak.

A journal without a word or a floor is blank: its key has never voted, or the journal is lost. Then
nothing may be said in any view that the key may have spoken in, and ``roll_call.py`` finds out
which those are. A journal that is whole needs to listen for a moment, and to have what is final.

Invariants: our key is listened for as long as the silence lasts; of a chain that has not begun, no
more is asked than a quorum that has nothing final.
Source: docs/consensus.md, "A journal that was lost".
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import trio

from consensus.simplex.config import Limits
from consensus.simplex.events import Peer
from consensus.simplex.messages import Certificate, Message, Request, encode_message
from consensus.simplex.pledges import Floor
from node.own_voice import OwnVoice
from node.roll_call import RollCall
from primitives.errors import ConfigError
from primitives.power_table import PowerTable
from primitives.types import Epoch, Height, Millis, PublicKey, View

ANSWER_WAIT = Millis(1000)
"""After a quorum was heard: for the certificates that they hold and we asked for."""
SYNC_PATIENCE = Millis(10_000)
"""How long a node waits for final blocks of which none comes: a liar may claim to have some."""
LOOK_SECONDS = 0.1
"""How often a silent node looks whether it may speak."""
ASK_SECONDS = 1.0
TELL_SECONDS = 30.0
"""How often the log repeats why a node does not vote."""
FROM_THE_FIRST = Request(Epoch(0), View(1), View(Limits().request_views))
"""Asks for what a chain's first views have come to, and tells that nothing is final here."""
MILLIS = 1000

_log = logging.getLogger(__name__)


class VotesElsewhere(ConfigError):
    """Our consensus key votes on another machine: to vote here too would be slashed."""


class Reason(StrEnum):
    """Why a node does not vote."""

    LISTENING = "listening"
    """Its first seconds, in which it would hear its own key."""
    SYNCING = "syncing"
    """Its peers have final blocks that it lacks."""
    NO_JOURNAL = "no_journal"
    """It does not know what it has signed, and has not heard from a quorum where the chain is."""
    BEFORE_FLOOR = "before_floor"
    """It may have spoken in the present view before it lost its journal."""
    NOT_A_VALIDATOR = "not_a_validator"
    """It has no key of the epoch's power table."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a silent node can learn about its chain and do on its network."""

    final_height: Callable[[], Height]
    is_behind: Callable[[], bool]
    """Whether peers have final blocks that this node had better fetch before it votes."""
    broadcast: Callable[[bytes], None]


class Silence:
    """One start of a validator, from its first moment to its first permission to speak."""

    def __init__(
        self,
        surroundings: Surroundings,
        voices: Mapping[PublicKey, OwnVoice],
        *,
        listening: Millis,
        knows_its_words: bool,
    ) -> None:
        """``knows_its_words``: the journal can be relied on, until something heard disproves it."""
        self.reason = Reason.LISTENING
        """Why it was silent when it last looked."""
        self._surroundings = surroundings
        self._voices = voices
        self._until = trio.current_time() + listening / MILLIS
        self._knows_its_words = knows_its_words
        self._roll: RollCall | None = None
        self._complete_since: float | None = None
        self._height = Height(0)
        self._grown_at = trio.current_time()
        self._own: tuple[PublicKey, int] | None = None
        self._voting_elsewhere: PublicKey | None = None

    # What it hears

    def open_epoch(self, table: PowerTable, epoch: Epoch, own: PublicKey | None) -> None:
        """Begin anew to ask where everybody is; ``own`` is our key if the table has it."""
        place = None if own is None else table.find_position(own)
        self._own = None if own is None or place is None else (own, place)
        self._roll = RollCall(table, epoch, place)
        self._complete_since = None

    def overhear(self, message: Message) -> None:
        """Take any message, of any epoch: our own key may be in it."""
        for key, voice in self._voices.items():
            if voice.is_from_elsewhere(message):
                self._voting_elsewhere = key

    def note(self, peer: Peer, message: Message) -> None:
        """Take a message that was verified, of the present epoch."""
        if self._roll is None or message.epoch != self._roll.epoch:
            return
        self._roll.note(peer, message)
        if isinstance(message, Certificate) and self._own is not None and self._knows_its_words:
            key, place = self._own
            voice = self._voices.get(key)
            if voice is not None and voice.is_forgotten(message, place):
                _log.warning("view=%d event=journal_incomplete", message.view)
                self._knows_its_words = False

    # Its end

    async def last(self) -> None:
        """Return when nothing speaks against voting, or our key does; until then, log why not."""
        told_at = asked_at = float("-inf")
        while self._voting_elsewhere is None:
            now = trio.current_time()
            reason = self.why(now)
            if reason is None:
                return
            if reason is not self.reason or now >= told_at + TELL_SECONDS:
                self.reason, told_at = reason, now
                self._tell()
            if self._is_beginning and now >= asked_at + ASK_SECONDS:
                asked_at = now
                self._surroundings.broadcast(encode_message(FROM_THE_FIRST))
            await trio.sleep(LOOK_SECONDS)

    def refuse_double(self) -> None:
        """Raise if our key was heard. Raises: VotesElsewhere."""
        if self._voting_elsewhere is not None:
            raise VotesElsewhere(
                f"the consensus key {self._voting_elsewhere.hex()} votes on another "
                "machine: stop that one, and bring its journal here, before you start this one"
            )

    def why(self, now: float) -> Reason | None:
        """Return why the node is still silent, or None if it may speak; to be asked often."""
        is_placed = self._knows_its_words or self._has_been_answered(now)
        if now < self._until:
            return Reason.LISTENING
        if self._surroundings.is_behind() and self._is_growing(now):
            return Reason.SYNCING
        return None if is_placed else Reason.NO_JOURNAL

    def floor(self, view: View) -> Floor | None:
        """Return the floor to write down before anything is said, if the journal needs one.

        ``view`` is the one to which certificates have led.
        """
        if self._knows_its_words or self._roll is None:
            return None
        return self._roll.floor(view, is_beginning=self._is_beginning)

    @property
    def _is_beginning(self) -> bool:
        """Whether nothing is final here, so that all may be silent and wait for each other."""
        return self._surroundings.final_height() == 0

    def _is_growing(self, now: float) -> bool:
        height = self._surroundings.final_height()
        if height != self._height:
            self._height, self._grown_at = height, now
        return now < self._grown_at + SYNC_PATIENCE / MILLIS

    def _has_been_answered(self, now: float) -> bool:
        if self._roll is None or not self._roll.is_complete(is_beginning=self._is_beginning):
            self._complete_since = None
            return False
        if self._complete_since is None:
            self._complete_since = now
        return now >= self._complete_since + ANSWER_WAIT / MILLIS

    def _tell(self) -> None:
        heard, total = (0, 0)
        if self._roll is not None:
            heard = self._roll.heard(is_beginning=self._is_beginning)
            total = self._roll.total
        _log.info(
            "height=%d event=not_voting reason=%s heard_weight=%d of=%d",
            self._surroundings.final_height(),
            self.reason,
            heard,
            total,
        )
