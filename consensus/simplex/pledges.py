"""What this validator has promised: the small part on which its safety rests.

Invariants: it never notarizes two blocks in one view, never notarizes a view after it nullified
it, never nullifies and finalizes one view, and never speaks in a view at or below its floor.
Every answer of ``may_…`` follows from records alone, so a restart from the journal, or a journal
carried to another machine, gives the same answers.

Source: Simplex (eprint 2023/463) 2.1; docs/consensus.md, "Journal".
"""

from dataclasses import dataclass
from typing import TypeAlias

from consensus.simplex.messages import (
    Certificate,
    Finalize,
    Notarize,
    Nullify,
    Proposal,
    Signed,
)
from primitives.types import Epoch, View


@dataclass(frozen=True, slots=True)
class Floor:
    """A promise to say nothing in this epoch at or below ``view``, nor in any earlier epoch."""

    epoch: Epoch
    view: View


Record: TypeAlias = Signed | Certificate | Floor
"""What a journal holds: own proposals and votes, certificates, and floors."""


class Pledges:
    """The promises of one validator in one epoch."""

    __slots__ = ("_finalized", "_notarized", "_nullified", "_proposed", "floor")

    def __init__(self) -> None:
        self.floor = View(0)
        self._proposed: dict[View, Proposal] = {}
        self._notarized: dict[View, Notarize] = {}
        self._nullified: dict[View, Nullify] = {}
        self._finalized: dict[View, Finalize] = {}

    def record(self, message: Signed) -> None:
        """Remember a message that is in the journal."""
        match message:
            case Proposal():
                self._proposed.setdefault(message.view, message)
            case Notarize():
                self._notarized.setdefault(message.view, message)
            case Nullify():
                self._nullified.setdefault(message.view, message)
            case Finalize():
                self._finalized.setdefault(message.view, message)

    def is_news(self, message: Signed) -> bool:
        """Return whether nothing of this kind was said in the message's view."""
        return all(type(said) is not type(message) for said in self.said(message.view))

    def raise_floor(self, view: View) -> None:
        """Promise silence up to ``view``, and forget what was said there."""
        self.floor = max(self.floor, view)
        for said in (self._proposed, self._notarized, self._nullified, self._finalized):
            for old in [spoken for spoken in said if spoken <= self.floor]:
                del said[old]

    def may_propose(self, view: View) -> bool:
        """Return whether a proposal in ``view`` contradicts nothing."""
        return self.may_notarize(view) and view not in self._proposed

    def may_notarize(self, view: View) -> bool:
        """Return whether a first notarize in ``view`` contradicts nothing."""
        # Simplex 2.1 step 3: one vote an iteration, and none after its dummy block.
        return view > self.floor and view not in self._notarized and view not in self._nullified

    def may_nullify(self, view: View) -> bool:
        """Return whether a first nullify of ``view`` contradicts nothing."""
        # Simplex 2.1 step 2, and step 4: finalize is a promise not to vote for the dummy block.
        return view > self.floor and view not in self._nullified and view not in self._finalized

    def may_finalize(self, view: View) -> bool:
        """Return whether a first finalize in ``view`` contradicts nothing."""
        # Simplex 2.1 step 4: only if the timer did not fire, which here means: not nullified.
        return view > self.floor and view not in self._nullified and view not in self._finalized

    def has_nullified(self, view: View) -> bool:
        """Return whether a nullify of ``view`` was signed."""
        return view in self._nullified

    def said(self, view: View) -> list[Signed]:
        """Return everything signed in ``view``, in the order in which it may be said again."""
        kinds = (self._proposed, self._notarized, self._nullified, self._finalized)
        return [kind[view] for kind in kinds if view in kind]

    def views(self) -> list[View]:
        """Return every view above the floor in which something was signed, ascending."""
        kinds = (self._proposed, self._notarized, self._nullified, self._finalized)
        return sorted({view for kind in kinds for view in kind})
