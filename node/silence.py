"""Why a validator that starts is silent, and from which view on it may speak.

A journal without a word or a floor is blank: its key has never voted, or the journal is lost. Then
nothing may be said in any view that the key may have spoken in. It had entered a view only with a
quorum's votes for the one before; so of any quorum that tells where it is now, somebody honest is
there or further, and one view beyond the furthest of them is new to the key.

Invariants: what counts as told came from the validator's own connection since this node started;
a validator of a chain that has not begun needs no more than a quorum that has nothing final.
Source: docs/consensus.md, "A journal that was lost".
"""

from collections.abc import Callable
from enum import StrEnum

import trio

from consensus.simplex.events import Peer
from consensus.simplex.messages import Certificate, Message, Request
from consensus.simplex.pledges import Floor
from p2p.identity import peer_id_of_key
from primitives.power_table import PowerTable
from primitives.types import Epoch, Height, Millis, View

ANSWER_WAIT = Millis(1000)
"""After a quorum was heard: for the certificates that they hold and we asked for."""


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


class RollCall:
    """Which validators of an epoch have told where they are."""

    def __init__(self, table: PowerTable, epoch: Epoch, own: int | None) -> None:
        """``own`` is our position in the table, if we have one."""
        self._table = table
        self._epoch = epoch
        self._own = own
        self._peers = [
            None if entry.peer_key is None else Peer(peer_id_of_key(entry.peer_key).encode())
            for entry in table.validators
        ]
        self._views: dict[int, View] = {}
        self._at_root: set[int] = set()

    @property
    def epoch(self) -> Epoch:
        """Whose validators are called."""
        return self._epoch

    def note(self, peer: Peer, message: Message) -> None:
        """Take a message that was verified, of this epoch.

        One that was passed on by somebody else may be old, and does not count.
        """
        match message:
            case Certificate():
                pass
            case Request(_, first):
                # Whoever asks from view 1 on has nothing final: all that the silent ever say.
                if first == 1 and peer in self._peers:
                    self._at_root.add(self._peers.index(peer))
            case _:
                signer = message.signer
                if self._peers[signer] in (None, peer):
                    self._views[signer] = max(message.view, self._views.get(signer, View(0)))

    def heard(self, *, is_beginning: bool) -> int:
        """Return the weight of those heard, ours included.

        Only where the chain has nothing final does it mean anything that others say the same.
        """
        told = set(self._views) | (self._at_root if is_beginning else set())
        if self._own is not None:
            told.add(self._own)
        return self._table.weight_of(told)

    def is_complete(self, *, is_beginning: bool) -> bool:
        """Return whether a quorum was heard."""
        return self._table.is_quorum(self.heard(is_beginning=is_beginning))

    def floor(self, view: View, *, is_beginning: bool) -> Floor:
        """Return up to where our key may have spoken; ``view`` is where the certificates led us.

        A quorum was asked for certificates; if none came, whatever single ones claim, the chain
        has not left its first view.
        """
        if is_beginning and self._epoch == 0 and view <= 1:
            return Floor(self._epoch, View(0))
        return Floor(self._epoch, View(max(view, *self._views.values(), 0) + 1))


class Silence:
    """One start of a validator, from its first moment to its first permission to speak."""

    def __init__(
        self,
        *,
        listening: Millis,
        knows_its_words: bool,
        is_behind: Callable[[], bool],
        final_height: Callable[[], Height],
    ) -> None:
        self._until = trio.current_time() + listening / 1000
        self.knows_its_words = knows_its_words
        """Whether the journal can be relied on."""
        self._is_behind = is_behind
        self._final_height = final_height
        self._roll: RollCall | None = None
        self._complete_since: float | None = None

    @property
    def is_beginning(self) -> bool:
        """Whether nothing is final here, so that all may be silent and wait for each other."""
        return self._final_height() == 0

    def open_epoch(self, roll: RollCall) -> None:
        """Begin anew to ask where everybody is."""
        self._roll = roll
        self._complete_since = None

    def note(self, peer: Peer, message: Message) -> None:
        """Take a message that was verified, of the present epoch."""
        if self._roll is not None and message.epoch == self._roll.epoch:
            self._roll.note(peer, message)

    def reason(self, now: float) -> Reason | None:
        """Return why the node is still silent, or None if it may speak; to be asked often."""
        is_placed = self.knows_its_words or self._has_been_answered(now)
        if now < self._until:
            return Reason.LISTENING
        if self._is_behind():
            return Reason.SYNCING
        return None if is_placed else Reason.NO_JOURNAL

    def _has_been_answered(self, now: float) -> bool:
        if self._roll is None or not self._roll.is_complete(is_beginning=self.is_beginning):
            self._complete_since = None
            return False
        if self._complete_since is None:
            self._complete_since = now
        return now >= self._complete_since + ANSWER_WAIT / 1000

    def heard(self) -> int:
        """Return the weight of those who told where they are, ours included."""
        return 0 if self._roll is None else self._roll.heard(is_beginning=self.is_beginning)

    def floor(self, view: View) -> Floor | None:
        """Return the floor to write down before anything is said, if the journal needs one."""
        if self.knows_its_words or self._roll is None:
            return None
        return self._roll.floor(view, is_beginning=self.is_beginning)
