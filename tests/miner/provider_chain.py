"""A chain as one provider sees it, for tests of its machine: windows, commitments, no blocks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from miner.provider import Provider
from miner.provider_messages import (
    Action,
    Commit,
    Commitment,
    Proven,
    Register,
    Respond,
    Sight,
    Tell,
    Warmed,
    Windows,
)
from primitives.types import Balance, Digest, Epoch, Height, Millis
from runtime.pocps.ladder import Fault

WINDOWS = Windows(epoch_length=20, commit_deadline=8, respond_deadline=16)
SAMPLE_BLOCK = 10
INTERVAL = 1000
PENALTY = Balance(70)
LEAVES_PER_UNIT = 4


def challenge_of(epoch: int) -> Digest:
    return Digest(bytes([epoch + 1]) * 32)


def root_of(epoch: int, units: int) -> Digest:
    return Digest(bytes([epoch + 1, units % 256]) * 16)


@dataclass
class PaperChain:
    """Takes what the machine sends, and shows it what follows."""

    height: int = 0
    units: int = 5
    fresh: int = 0
    leased: int = 0
    is_absent: bool = False
    commitments: dict[int, Commitment] = field(default_factory=dict)
    responded: set[int] = field(default_factory=set)
    fault: Fault | None = None
    misses: list[int] = field(default_factory=list)
    waiting: list[Action] = field(default_factory=list)
    takes: Callable[[Action], bool] = lambda _: True
    """Whether an extrinsic arrives."""

    @property
    def epoch(self) -> Epoch:
        return WINDOWS.epoch_at(Height(self.height + 1))

    def send(self, actions: Iterable[Action]) -> None:
        self.waiting += [item for item in actions if isinstance(item, Commit | Respond | Register)]

    def make_block(self) -> Sight:
        """Include what waits, as far as the windows allow, and return what is seen then."""
        self.height += 1
        epoch, place = WINDOWS.epoch_at(Height(self.height)), WINDOWS.place(Height(self.height))
        if place == 1 and epoch > 0:
            self.fresh = 0
        waiting, self.waiting = self.waiting, []
        for item in waiting:
            assert isinstance(item, Commit | Respond | Register)
            if not self.takes(item) or item.valid_until < self.height:
                continue
            self._include(item, epoch, place)
        owes = self.units - self.fresh and not self.is_absent
        if place == WINDOWS.epoch_length and owes and epoch not in self.responded:
            self.misses.append(epoch)
        return self.sight()

    def sight(self) -> Sight:
        epoch = self.epoch
        place = WINDOWS.place(Height(self.height)) if self.height else 0
        is_drawn = place >= SAMPLE_BLOCK and place < WINDOWS.epoch_length
        starts = place == WINDOWS.epoch_length
        due = self.units - (0 if starts else self.fresh)
        return Sight(
            height=Height(self.height),
            timestamp=Millis(INTERVAL * self.height),
            epoch=epoch,
            challenge=challenge_of(epoch),
            staked=self.units,
            live=self.units if epoch - 1 in self.responded else 0,
            due=due,
            claim=max(0, due - self.leased),
            is_absent=self.is_absent,
            commitment=self.commitments.get(epoch),
            has_responded=epoch in self.responded,
            beacon=challenge_of(epoch + 100) if is_drawn else None,
            penalty=PENALTY,
            fault=self.fault,
        )

    def _include(self, item: Commit | Respond | Register, epoch: Epoch, place: int) -> None:
        match item:
            case Register(units):
                self.units += units
                self.fresh += units
            case Commit(of, commitment) if of == epoch and place <= WINDOWS.commit_deadline:
                self.commitments[of] = commitment
                if not commitment.units:
                    self.responded.add(of)
            case Respond(of, commitment) if of == epoch and place <= WINDOWS.respond_deadline:
                if place > SAMPLE_BLOCK and self.commitments.get(of) == commitment:
                    self.responded.add(of)


def make_provider(*, units_wanted: int | None = None, rate: int = 1000) -> Provider:
    provider = Provider(WINDOWS, leaves_per_unit=LEAVES_PER_UNIT, units_wanted=units_wanted)
    if rate:
        provider.step(Warmed(rate))
    return provider


def proven(epoch: int, units: int) -> Proven:
    return Proven(Epoch(epoch), Commitment(units, root_of(epoch, units)))


def facts(actions: Iterable[Action]) -> list[str]:
    return [item.fact.value for item in actions if isinstance(item, Tell)]
