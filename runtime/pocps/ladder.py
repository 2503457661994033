"""The fault ladder: what a missed or a wrong proof costs, and what the next one would.

Steps: the first fault in a window of epochs costs what the epoch would have earned, and by the
spec a share of the bond; the second a larger share; the third removes the provider from its class.
A wrong proof is the second step at once.

Invariant: no step costs less than the one before it, so a wrong proof never costs less than a
missed one, whatever came before.
"""

from dataclasses import dataclass
from typing import Annotated

from primitives.codec import AMOUNT, U8, U64, listing, struct, text
from primitives.types import Balance, Epoch, Height

STEPS = 3
FAULTS_KEPT = 16
"""Faults of one provider in one class that stay on record."""
REASON_BYTES_MAX = 32

DECLARED = "declared"
"""No proof, as it was announced in time: nothing earned, nothing taken."""
MISSED_COMMITMENT = "missed_commitment"
MISSED_RESPONSE = "missed_response"
INVALID_PROOF = "invalid_proof"

REASON = text(REASON_BYTES_MAX)
Reason = Annotated[str, REASON]


@dataclass(frozen=True, slots=True)
class Ladder:
    """The sizes of the steps; from the chain spec."""

    window_epochs: int
    """Faults count together when fewer epochs than these lie between them."""
    first_ppb: int
    """Share of the bond that the first step takes."""
    second_ppb: int
    third_ppb: int
    jail_epochs: int
    """Whole epochs for which a wrong proof, or removal, keeps a provider out."""

    def recent(self, strikes: tuple[Epoch, ...], epoch: Epoch) -> tuple[Epoch, ...]:
        """Return the strikes that still count in ``epoch``."""
        return tuple(strike for strike in strikes if epoch - strike < self.window_epochs)

    def climb(
        self, strikes: tuple[Epoch, ...], epoch: Epoch, *, is_grave: bool
    ) -> tuple[int, tuple[Epoch, ...]]:
        """Return the step that a fault in ``epoch`` leads to, 1 to 3, and the strikes after it."""
        recent = self.recent(strikes, epoch)
        step = min(STEPS, len(recent) + 1)
        if is_grave:
            step = max(2, step)
        added = max(1, step - len(recent))
        return step, (*recent, *[epoch] * added)[-STEPS:]

    def fraction_ppb(self, step: int) -> int:
        """Return the share of the bond that a step takes."""
        return (self.first_ppb, self.second_ppb, self.third_ppb)[step - 1]


@dataclass(frozen=True, slots=True)
class Fault:
    """What a provider did not do, and what it cost."""

    epoch: Epoch
    height: Height
    """Of the block that found it."""
    reason: str
    step: int
    """0 for a declared absence."""
    slashed: Balance


FAULT = struct(Fault, epoch=U64, height=U64, reason=REASON, step=U8, slashed=AMOUNT)
FAULTS = listing(FAULT, FAULTS_KEPT)
