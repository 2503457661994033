"""Offences: what is proven against a validator, and what it costs.

Evidence is judged against the power table of the epoch in which it was signed. The offender and
those who backed it then lose a share of that stake, and it goes to jail, from which it may ask to
be let out after a delay. A part of what is taken goes to whoever brought the evidence: an account
that reports it, or the author of a block who puts in what its node has seen.

Invariants: an account is punished at most once for what it did in one epoch, however many
contradictions it signed in it; evidence expires when the stake that it would reach may leave.
"""

from dataclasses import dataclass
from typing import Annotated, Protocol

from primitives.codec import ACCOUNT, U32, U64, blob, listing, text
from primitives.errors import DispatchError
from primitives.power_table import PowerTable
from primitives.types import AccountId, Balance, Digest, Epoch, Signer, Weight
from runtime.module import Context, Event, Module, StorageMap, call, inherent
from runtime.staking.module import UNBONDING_EPOCHS_MAX, Slash

EVIDENCE_BYTES_MAX = 1024
KIND = text(32)
Kind = Annotated[str, KIND]
Ppb = Annotated[int, U32]
EvidenceBytes = Annotated[bytes, blob(EVIDENCE_BYTES_MAX)]
_REPORT_WEIGHT = Weight(50_000_000)
"""A slash of a validator with as many nominators as there may be, all of them elsewhere by now."""


@dataclass(frozen=True, slots=True)
class Config:
    equivocation_ppb: int
    """Share of the stake that signing two contradicting messages costs."""
    reporter_ppb: int
    """Share of what is taken that goes to the reporter."""
    jail_epochs: int
    """How long an offender stays in jail at least."""


@dataclass(frozen=True, slots=True)
class Offended(Event):
    """``validator`` was punished for what it did in ``epoch``."""

    validator: AccountId
    epoch: Epoch
    kind: Kind
    reporter: AccountId
    taken: Balance
    paid_to_reporter: Balance


class InvalidEvidence(DispatchError):
    """The evidence cannot be read, or an honest validator could have signed it."""


class EvidenceExpired(DispatchError):
    """The epoch of the offence is too long ago, or has not begun."""


class AlreadyPunished(DispatchError):
    """The validator has been punished for that epoch."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What evidence proves."""

    epoch: Epoch
    position: int
    """The offender's place in that epoch's table."""
    kind: str
    """Names the contradiction; at most 32 bytes."""


class EvidenceJudge(Protocol):
    """Who knows what validators sign; lent by a layer that knows the consensus."""

    def epoch_of(self, evidence: bytes) -> Epoch:
        """Return in which epoch the evidence was signed. Raises: InvalidEvidence."""

    def judge(self, evidence: bytes, table: PowerTable, genesis: Digest) -> Verdict:
        """Return what the evidence proves. Raises: InvalidEvidence."""


class Tables(Protocol):
    """Who voted in which epoch."""

    def table(self, epoch: Epoch) -> PowerTable:
        """Return who votes in ``epoch``. Raises: DispatchError."""

    def origin(self, epoch: Epoch) -> Epoch:
        """Return the epoch whose stakes made that table."""

    def known_genesis(self) -> Digest:
        """Return the hash that every signature of this chain names."""


class Stake(Protocol):
    """What offenders lose."""

    def slash(
        self,
        validator: AccountId,
        epoch: Epoch,
        *,
        fraction_ppb: int,
        reporter: AccountId,
        reporter_ppb: int,
    ) -> Slash:
        """Take a share of what backed ``validator`` in ``epoch``."""

    def jail(self, validator: AccountId, until: Epoch) -> None:
        """Stop an account from validating."""

    def unjail(self, account: AccountId) -> None:
        """Let an account validate again. Raises: DispatchError."""


class Earnings(Protocol):
    """What offenders do not earn."""

    def forfeit(self, validator: AccountId, epoch: Epoch) -> None:
        """Let ``validator`` earn nothing by its votes and blocks of ``epoch``."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom and what a punishment reaches."""

    tables: Tables
    stake: Stake
    earnings: Earnings
    expiry_epochs: int
    """How many epochs back."""


class Offences(Module):
    """Evidence, punishment and jail."""

    name = "offences"
    index = 9
    events = (Offended,)
    errors = (InvalidEvidence, EvidenceExpired, AlreadyPunished)

    punished = StorageMap(ACCOUNT, listing(U64, UNBONDING_EPOCHS_MAX + 2), default=())
    """The epochs for which an account was punished and could be again, in order."""

    def __init__(
        self, context: Context, config: Config, *, reach: Reach, judge: EvidenceJudge
    ) -> None:
        super().__init__(context)
        self.config, self.reach, self.evidence = config, reach, judge

    @call(0, weight=_REPORT_WEIGHT)
    def report(self, signer: Signer, evidence: EvidenceBytes) -> None:
        """Bring evidence that a validator signed two messages of which an honest one signs one.

        Emits: Slashed, Jailed, Offended.
        Raises: InvalidEvidence, EvidenceExpired, AlreadyPunished, session.UnknownEpoch.
        """
        self._judge(evidence, reporter=signer)

    @call(1, weight=Weight(40_000))
    def unjail(self, signer: Signer) -> None:
        """Leave jail, after which ``staking.validate`` is open again.

        Emits: Unjailed.
        Raises: staking.NotJailed, staking.StillJailed.
        """
        self.reach.stake.unjail(signer)

    @inherent(2, weight=_REPORT_WEIGHT)
    def report_by_author(self, evidence: EvidenceBytes) -> None:
        """Bring evidence as the author of this block, which then is the reporter.

        Emits: Slashed, Jailed, Offended.
        Raises: InvalidEvidence, EvidenceExpired, AlreadyPunished, session.UnknownEpoch: an author
            who tries it on the parent's state first never puts such evidence in.
        """
        self._judge(evidence, reporter=self.context.block.author)

    def is_punished(self, validator: AccountId, epoch: Epoch) -> bool:
        """Return whether evidence of that epoch would come too late to punish ``validator``."""
        return epoch in self.punished[validator]

    def check_invariants(self) -> None:
        for epochs in self.punished.values():
            self.require("an_epoch_is_punished_once", list(epochs) == sorted(set(epochs)))
            self.require("offences_are_past", epochs[-1] <= self.context.block.epoch)

    def _judge(self, evidence: bytes, *, reporter: AccountId) -> None:
        epoch = self.evidence.epoch_of(evidence)
        now = self.context.block.epoch
        if not now - self.reach.expiry_epochs <= epoch <= now:
            raise EvidenceExpired(f"epoch {epoch}, this is {now}")
        table = self.reach.tables.table(epoch)
        verdict = self.evidence.judge(evidence, table, self.reach.tables.known_genesis())
        offender = table[verdict.position].account
        self._punish(offender, epoch, verdict.kind, reporter=reporter)

    def _punish(self, offender: AccountId, epoch: Epoch, kind: str, *, reporter: AccountId) -> None:
        known = self.punished[offender]
        if epoch in known:
            raise AlreadyPunished(f"epoch {epoch}")
        now = self.context.block.epoch
        oldest = Epoch(max(0, now - self.reach.expiry_epochs))
        kept = [each for each in known if each >= oldest]
        self.punished[offender] = tuple(sorted((*kept, epoch)))
        slash = self.reach.stake.slash(
            offender,
            # Of a table that stayed for longer, the oldest backing that is still on record pays.
            max(oldest, self.reach.tables.origin(epoch)),
            fraction_ppb=self.config.equivocation_ppb,
            reporter=reporter,
            reporter_ppb=self.config.reporter_ppb,
        )
        self.reach.stake.jail(offender, Epoch(now + self.config.jail_epochs))
        self.reach.earnings.forfeit(offender, epoch)
        self.emit(Offended(offender, epoch, kind, reporter, slash.taken, slash.paid))
