"""Who of an epoch's validators has told where it is, and what follows for a key that forgot.

A key that may have spoken in a view had entered it, and so held a quorum's votes for the one
before. Of any quorum that tells where it is now, somebody honest cast one of those: the key was at
most one view beyond the furthest of them.

Invariant: what counts as told came on the validator's own connection.
Source: docs/consensus.md, "A journal that was lost".
"""

from consensus.simplex.events import Peer
from consensus.simplex.messages import Certificate, Message, Request
from consensus.simplex.pledges import Floor
from p2p.identity import peer_id_of_key
from primitives.power_table import PowerTable
from primitives.types import Epoch, View


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

    @property
    def total(self) -> int:
        """The weight of all."""
        return self._table.total

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
