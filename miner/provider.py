"""When a provider proves, commits, responds and tells its operator, without clock, disk or network.

One machine follows one provider in one class. ``step`` takes one input and returns what is to be
done now, in order. Decisions follow from what the chain says after its latest block, and from how
far the proof is; so a machine that is made anew in the middle of an epoch does what is left to do.

Invariants:

* A proof starts as soon as its challenge is known, which is when the block before the epoch is.
* What was sent is sent again when it can no longer be included and the chain does not show it, and
  not before: two commitments are never on their way at once.
* Nothing is sent that the chain could not take in time any more; the operator is told what it
  costs instead.
* A response is made only for the root that stands on chain.
"""

from collections import deque
from dataclasses import dataclass

from miner.provider_messages import (
    NOTHING_TO_SHOW,
    Abandon,
    Action,
    Advanced,
    Commit,
    Commitment,
    Fact,
    Input,
    ProofFailed,
    Prove,
    Proven,
    Refused,
    Register,
    Respond,
    Sight,
    Step,
    Tell,
    Warmed,
    Windows,
)
from primitives.types import Balance, Epoch, Height, Millis

VALID_BLOCKS_MIN = 4
"""Blocks in which an extrinsic may be included, at least."""
VALID_MILLIS = Millis(6000)
"""Time that an extrinsic has at least, where blocks are short: nodes must hear of it first."""
INTERVALS_KEPT = 16
REFUSALS_MAX = 6
"""Refusals after which the pause between two attempts, in blocks, is no longer doubled."""


@dataclass(slots=True)
class _Sent:
    """An extrinsic on its way."""

    valid_until: Height
    attempt: int


class Provider:
    """The machine of one provider and class."""

    def __init__(
        self, windows: Windows, *, leaves_per_unit: int, units_wanted: int | None = None
    ) -> None:
        """``units_wanted`` is what to stake at first if less is; None leaves the stake alone."""
        self._windows = windows
        self._leaves_per_unit = leaves_per_unit
        self._units_wanted = units_wanted
        self._sight: Sight | None = None
        self._proving: Prove | None = None
        self._proven: dict[Epoch, Commitment] = {}
        """At most the present epoch's."""
        self._sent: dict[Step, _Sent] = {}
        self._told: set[Fact] = set()
        self._refused: set[str] = set()
        self._failed: set[Epoch] = set()
        self._leaves_per_second = 0
        self._moments: deque[tuple[Height, Millis]] = deque(maxlen=INTERVALS_KEPT)

    @property
    def epoch(self) -> Epoch | None:
        """The epoch that is under way; None before the first block was seen."""
        return self._sight.epoch if self._sight else None

    def step(self, event: Input) -> list[Action]:
        """Take one input; return what is to be done now, in order."""
        match event:
            case Sight():
                return self._on_sight(event)
            case Warmed(rate):
                self._leaves_per_second = rate
                return self._decide(self._sight) if self._sight else []
            case Advanced():
                return self._on_advance(event)
            case Proven(epoch, commitment):
                return self._on_proven(epoch, commitment)
            case ProofFailed(epoch, reason):
                return self._on_failure(epoch, reason)
            case Refused(what, reason):
                return self._on_refusal(what, reason)

    # Inputs

    def _on_sight(self, sight: Sight) -> list[Action]:
        before = self._sight
        if before is not None and sight.height <= before.height:
            # Another node, or one that started again, is behind what was seen already.
            return []
        self._sight = sight
        self._moments.append((sight.height, sight.timestamp))
        actions: list[Action] = []
        if before is not None and sight.epoch != before.epoch:
            actions += self._leave(before)
        if before is not None and sight.fault not in (None, before.fault):
            actions += self._tell_fault(sight)
        return [*actions, *self._decide(sight)]

    def _on_advance(self, event: Advanced) -> list[Action]:
        sight = self._sight
        if sight is None or event.epoch != sight.epoch or Fact.BEHIND in self._told:
            return []
        computed = event.leaves_done - event.leaves_resumed
        left = event.leaves_total - event.leaves_done
        if computed <= 0 or sight.commitment is not None:
            return []
        return self._warn_if_behind(sight, left * event.elapsed // computed)

    def _on_proven(self, epoch: Epoch, commitment: Commitment) -> list[Action]:
        sight = self._sight
        if sight is None or epoch != sight.epoch:
            return []
        self._proving = None
        self._proven = {epoch: commitment}
        return self._decide(sight)

    def _on_failure(self, epoch: Epoch, reason: str) -> list[Action]:
        sight = self._sight
        if sight is None or epoch != sight.epoch:
            return []
        self._proving = None
        self._failed.add(epoch)
        return [self._tell(sight, Fact.PROOF_FAILED, reason, sight.penalty)]

    def _on_refusal(self, what: Step, reason: str) -> list[Action]:
        """Try again with the next block; the same refusal is told once an epoch."""
        sight = self._sight
        sent = self._sent.get(what)
        if sight is None or sent is None:
            return []
        # A refusal that lasts must not cost a fee in every block.
        sent.valid_until = Height(sight.height + 2 ** min(sent.attempt - 1, REFUSALS_MAX))
        said = f"{what}: {reason}"
        if said in self._refused:
            return []
        self._refused.add(said)
        return [self._tell(sight, Fact.REFUSED, said)]

    # What is left to do

    def _leave(self, before: Sight) -> list[Action]:
        """Close the epoch of ``before``: nothing of it can be done any more."""
        self._proven.clear()
        self._failed.clear()
        self._told.clear()
        self._refused.clear()
        self._sent = {step: sent for step, sent in self._sent.items() if step is Step.REGISTER}
        proving, self._proving = self._proving, None
        return [Abandon(before.epoch)] if proving is not None else []

    def _decide(self, sight: Sight) -> list[Action]:
        actions = self._register(sight)
        if sight.has_responded:
            return [*actions, *self._once(sight, Fact.RESPONDED)]
        if sight.commitment is not None:
            return [*actions, *self._answer(sight, sight.commitment)]
        if sight.due == 0:
            return [*actions, *self._stop(sight), *self._once(sight, Fact.NOTHING_DUE)]
        if sight.is_absent:
            return [*actions, *self._stop(sight), *self._once(sight, Fact.MAINTENANCE)]
        return [*actions, *self._commit(sight)]

    def _register(self, sight: Sight) -> list[Action]:
        missing = (self._units_wanted or 0) - sight.staked
        if missing <= 0:
            # Once is enough: what a slash takes later is for the operator to stake again.
            self._units_wanted = None
            self._sent.pop(Step.REGISTER, None)
            return []
        if not self._leaves_per_second:
            # Who cannot prove yet had better owe no proof.
            return []
        until, attempt, actions = self._attempt(sight, Step.REGISTER, None)
        if attempt:
            actions.append(Register(missing, until))
        return actions

    def _commit(self, sight: Sight) -> list[Action]:
        """Have a proof made, and commit to it while the window is open."""
        last = self._windows.height(sight.epoch, self._windows.commit_deadline)
        if sight.height >= last:
            return [*self._stop(sight), *self._miss(sight, "the commitment is not on chain")]
        proven = self._proven.get(sight.epoch) if sight.claim else NOTHING_TO_SHOW
        if proven is None or proven.units != sight.claim:
            return self._prove(sight, sight.claim)
        until, attempt, actions = self._attempt(sight, Step.COMMIT, last)
        if attempt:
            actions.append(Commit(sight.epoch, proven, until, attempt))
        return actions

    def _answer(self, sight: Sight, commitment: Commitment) -> list[Action]:
        """Respond to what was drawn from the commitment on chain."""
        self._sent.pop(Step.COMMIT, None)
        actions = self._once(sight, Fact.COMMITTED, f"{commitment.units} units")
        last = self._windows.height(sight.epoch, self._windows.respond_deadline)
        if sight.height >= last:
            return [*actions, *self._stop(sight), *self._miss(sight, "no response is on chain")]
        proven = self._proven.get(sight.epoch)
        if proven is None or proven.units != commitment.units:
            return [*actions, *self._prove(sight, commitment.units)]
        if proven.root != commitment.root:
            detail = "another machine uses this account, or this one computed wrongly"
            return [*actions, *self._once(sight, Fact.OTHER_ROOT, detail, sight.penalty)]
        if sight.beacon is None:
            return actions
        until, attempt, told = self._attempt(sight, Step.RESPOND, last)
        actions += told
        if attempt:
            actions.append(Respond(sight.epoch, commitment, sight.beacon, until, attempt))
        return actions

    def _prove(self, sight: Sight, units: int) -> list[Action]:
        wanted = Prove(sight.epoch, sight.challenge, units)
        if self._proving == wanted or sight.epoch in self._failed:
            return []
        actions: list[Action] = []
        if self._proving is not None:
            actions.append(Abandon(self._proving.epoch))
        self._proving = wanted
        left = self._windows.commit_deadline - self._windows.place(Height(sight.height + 1)) + 1
        detail = f"{units} units"
        if sight.commitment is None:
            detail += f", {left} blocks to commit"
        actions += [self._tell(sight, Fact.PROVING, detail), wanted]
        if sight.commitment is None and self._leaves_per_second:
            needed = units * self._leaves_per_unit * 1000 // self._leaves_per_second
            actions += self._warn_if_behind(sight, needed)
        return actions

    def _stop(self, sight: Sight) -> list[Action]:
        """End the proof that runs, if one does."""
        proving, self._proving = self._proving, None
        return [Abandon(sight.epoch)] if proving is not None else []

    def _attempt(
        self, sight: Sight, step: Step, last: Height | None
    ) -> tuple[Height, int, list[Action]]:
        """Return until when to send and for which time; 0 while the last time may still succeed."""
        sent = self._sent.get(step)
        if sent is not None and sight.height < sent.valid_until:
            return Height(0), 0, []
        until = self._valid_until(sight, last)
        attempt = sent.attempt + 1 if sent is not None else 1
        self._sent[step] = _Sent(until, attempt)
        told: list[Action] = []
        if attempt > 1:
            told.append(self._tell(sight, Fact.RESENT, f"{step}, attempt {attempt}"))
        return until, attempt, told

    # What the operator is told

    def _miss(self, sight: Sight, detail: str) -> list[Action]:
        return self._once(sight, Fact.TOO_LATE, detail, sight.penalty)

    def _tell_fault(self, sight: Sight) -> list[Action]:
        fault = sight.fault
        assert fault is not None, "there is a new one"
        detail = f"{fault.reason} in epoch {fault.epoch}"
        return [self._tell(sight, Fact.FAULTED, detail, fault.slashed)]

    def _warn_if_behind(self, sight: Sight, needed: int) -> list[Action]:
        """Tell if ``needed`` milliseconds are more than the window has left."""
        blocks = self._windows.commit_deadline - self._windows.place(Height(sight.height + 1)) + 1
        left = max(0, blocks) * self._interval()
        if not left or needed <= left:
            return []
        detail = f"needs {needed // 1000} s more, the window closes in {left // 1000} s"
        return self._once(sight, Fact.BEHIND, detail, sight.penalty)

    def _once(
        self, sight: Sight, fact: Fact, detail: str = "", cost: Balance | None = None
    ) -> list[Action]:
        """Tell something that an epoch is told once."""
        if fact in self._told:
            return []
        self._told.add(fact)
        return [self._tell(sight, fact, detail, cost)]

    def _tell(
        self, sight: Sight, fact: Fact, detail: str = "", cost: Balance | None = None
    ) -> Tell:
        return Tell(fact, sight.height, sight.epoch, detail, cost)

    # Time, as the chain's blocks tell it

    def _interval(self) -> int:
        """Return the milliseconds between recent blocks; 0 while unknown."""
        (first, start), (last, end) = self._moments[0], self._moments[-1]
        return (end - start) // (last - first) if last > first else 0

    def _valid_until(self, sight: Sight, last: Height | None) -> Height:
        """Return the last block that may include what is sent now."""
        interval = self._interval()
        blocks = VALID_MILLIS // interval if interval else 0
        if last is None:
            return Height(sight.height + max(VALID_BLOCKS_MIN, blocks))
        # Half of what is left, so that a second one has its chance if this one is lost unseen.
        blocks = max(VALID_BLOCKS_MIN, min(blocks, (last - sight.height) // 2))
        return min(Height(sight.height + blocks), last)
