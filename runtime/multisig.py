"""Multisig: calls made by several accounts together.

A multisig account follows from its members and its threshold: nobody registers it. An operation
is proposed by the hash of its call. Once the threshold is reached, the call itself, which the last
approval or any member after it brings, is made as the multisig account.

Invariants: an operation holds its proposer's deposit until it is executed or cancelled; a member
approves an operation once; members are sorted and unique, so one set has one account.

Source: Substrate's multisig pallet, whose calls wallets know.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated

from primitives.codec import (
    ACCOUNT,
    AMOUNT,
    DIGEST,
    U16,
    U32,
    U64,
    encode,
    listing,
    optional,
    pair,
    struct,
    text,
)
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DispatchError
from primitives.types import AccountId, Balance, Digest, Height, Signer, Weight
from runtime.currency import Holder
from runtime.module import Call, Context, Dispatcher, Event, Module, StorageMap, call

MEMBERS_MAX = 100
HOLD_REASON = "multisig.operation"
_OVERHEAD = 30_000

Others = Annotated[tuple[AccountId, ...], listing(ACCOUNT, MEMBERS_MAX - 1)]
"""The members without the signer, in order of account id."""
Threshold = Annotated[int, U16]


@dataclass(frozen=True, slots=True)
class Config:
    deposit_base: Balance
    """Held from the proposer while an operation is open, in base units."""
    deposit_per_approval: Balance
    """Held on top of it for each approval that the threshold asks for."""


@dataclass(frozen=True, slots=True)
class Timepoint:
    """Where an operation was proposed; tells two operations with one call apart."""

    height: Height
    index: int
    """Place of the extrinsic in its block."""


TIMEPOINT = struct(Timepoint, height=U64, index=U32)


@dataclass(frozen=True, slots=True)
class Operation:
    """A call that waits for approvals."""

    timepoint: Timepoint
    deposit: Balance
    proposer: AccountId
    approvals: tuple[AccountId, ...]
    """In order of arrival."""


OPERATION = struct(
    Operation,
    timepoint=TIMEPOINT,
    deposit=AMOUNT,
    proposer=ACCOUNT,
    approvals=listing(ACCOUNT, MEMBERS_MAX),
)


@dataclass(frozen=True, slots=True)
class OperationProposed(Event):
    proposer: AccountId
    multisig: AccountId
    call_hash: Digest


@dataclass(frozen=True, slots=True)
class OperationApproved(Event):
    member: AccountId
    timepoint: Annotated[Timepoint, TIMEPOINT]
    multisig: AccountId
    call_hash: Digest


@dataclass(frozen=True, slots=True)
class OperationExecuted(Event):
    """The threshold was reached; ``error`` is empty if the call then succeeded."""

    member: AccountId
    timepoint: Annotated[Timepoint, TIMEPOINT]
    multisig: AccountId
    call_hash: Digest
    error: Annotated[str, text(64)]


@dataclass(frozen=True, slots=True)
class OperationCancelled(Event):
    member: AccountId
    timepoint: Annotated[Timepoint, TIMEPOINT]
    multisig: AccountId
    call_hash: Digest


class BadThreshold(DispatchError):
    """A threshold is at least 2 and at most the number of members."""


class MembersOutOfOrder(DispatchError):
    """The other members must be sorted, unique, at least one, and without the signer."""


class AlreadyApproved(DispatchError):
    """The signer has approved this operation before, and the call cannot be made yet."""


class UnknownOperation(DispatchError):
    """No operation with this call is open for the multisig."""


class WrongTimepoint(DispatchError):
    """The operation was proposed at another place, or a first approval names one."""


class NotProposer(DispatchError):
    """Only the proposer, whose deposit it is, can cancel an operation."""


def multisig_account(members: tuple[AccountId, ...], threshold: int) -> AccountId:
    """Return the account of sorted ``members`` of whom ``threshold`` act together."""
    return AccountId(keyed_hash(Purpose.ACCOUNT_MULTISIG, encode([list(members), threshold])))


def hash_call(inner: Call) -> Digest:
    """Return the hash by which members approve a call that they have not been sent."""
    return keyed_hash(Purpose.CALL, encode(inner.to_plain()))


def _overhead(others: Others) -> int:
    return _OVERHEAD + 1_000 * len(others)


def _immediate_weight(others: Others, inner: Call) -> Weight:
    return Weight(inner.weight + _overhead(others))


def _call_weight(_: int, others: Others, __: Timepoint | None, inner: Call) -> Weight:
    return Weight(inner.weight + _overhead(others))


def _hash_weight(_: int, others: Others, __: Timepoint | None, ___: Digest) -> Weight:
    return Weight(_overhead(others))


class Multisig(Module):
    """Operations of accounts that act together."""

    name = "multisig"
    index = 6
    events = (OperationProposed, OperationApproved, OperationExecuted, OperationCancelled)
    errors = (
        BadThreshold,
        MembersOutOfOrder,
        AlreadyApproved,
        UnknownOperation,
        WrongTimepoint,
        NotProposer,
    )

    operations = StorageMap(pair(ACCOUNT, DIGEST), optional(OPERATION), default=None)

    def __init__(
        self, context: Context, config: Config, *, holder: Holder, dispatcher: Dispatcher
    ) -> None:
        super().__init__(context)
        self.config, self.holder, self.dispatcher = config, holder, dispatcher

    @call(0, weight=_immediate_weight)
    def as_multi_threshold_1(self, signer: Signer, others: Others, inner: Call) -> None:
        """Make a call at once as the multisig of which any one member may act.

        Raises: MembersOutOfOrder, or what the call raises.
        """
        members = _members(signer, others)
        self.dispatcher.dispatch(Signer(multisig_account(members, 1)), inner)

    @call(1, weight=_call_weight)
    def as_multi(
        self,
        signer: Signer,
        threshold: Threshold,
        others: Others,
        timepoint: Annotated[Timepoint | None, optional(TIMEPOINT)],
        inner: Call,
    ) -> None:
        """Approve a call, and make it if that is enough; the first approval proposes it.

        ``timepoint`` is nil in the first approval and that of the first in the others. When enough
        have approved by hash, any member, also one who has approved, makes the call with this.
        Emits: OperationProposed, OperationApproved, OperationExecuted.
        Raises: BadThreshold, MembersOutOfOrder, AlreadyApproved, UnknownOperation, WrongTimepoint.
        """
        multisig = self._multisig(signer, others, threshold)
        call_hash = hash_call(inner)
        operation = self._find(multisig, call_hash, timepoint)
        if operation is None or len(operation.approvals) < threshold:
            operation = self._approve(signer, multisig, call_hash, operation, threshold)
        if len(operation.approvals) < threshold:
            return
        self.operations[multisig, call_hash] = None
        self.holder.release(operation.proposer, HOLD_REASON, operation.deposit)
        error = ""
        try:
            self.dispatcher.dispatch(Signer(multisig), inner)
        except DispatchError as failure:
            error = self.dispatcher.error_name(failure)
        place = operation.timepoint
        self.emit(OperationExecuted(signer, place, multisig, call_hash, error))

    @call(2, weight=_hash_weight)
    def approve_as_multi(
        self,
        signer: Signer,
        threshold: Threshold,
        others: Others,
        timepoint: Annotated[Timepoint | None, optional(TIMEPOINT)],
        call_hash: Digest,
    ) -> None:
        """Approve a call by its hash; ``as_multi`` makes it when enough have.

        Emits: OperationProposed, OperationApproved.
        Raises: BadThreshold, MembersOutOfOrder, AlreadyApproved, UnknownOperation, WrongTimepoint.
        """
        multisig = self._multisig(signer, others, threshold)
        operation = self._find(multisig, call_hash, timepoint)
        self._approve(signer, multisig, call_hash, operation, threshold)

    @call(3, weight=_hash_weight)
    def cancel_as_multi(
        self,
        signer: Signer,
        threshold: Threshold,
        others: Others,
        timepoint: Annotated[Timepoint, TIMEPOINT],
        call_hash: Digest,
    ) -> None:
        """Cancel an operation that the signer proposed, and release its deposit.

        Emits: OperationCancelled.
        Raises: BadThreshold, MembersOutOfOrder, UnknownOperation, WrongTimepoint, NotProposer.
        """
        multisig = self._multisig(signer, others, threshold)
        operation = self._open(multisig, call_hash, timepoint)
        if operation.proposer != signer:
            raise NotProposer("another member proposed it")
        self.operations[multisig, call_hash] = None
        self.holder.release(signer, HOLD_REASON, operation.deposit)
        self.emit(OperationCancelled(signer, timepoint, multisig, call_hash))

    def check_invariants(self) -> None:
        deposits: dict[AccountId, int] = {}
        for operation in self.operations.values():
            assert operation is not None
            approvals = operation.approvals
            once = len(set(approvals)) == len(approvals) > 0
            self.require("members_approve_once", once)
            held = deposits.get(operation.proposer, 0)
            deposits[operation.proposer] = held + operation.deposit
        for account, amount in deposits.items():
            held = self.holder.held_for(account, HOLD_REASON)
            self.require("operations_have_deposits", held == amount)

    def _multisig(self, signer: Signer, others: Others, threshold: int) -> AccountId:
        members = _members(signer, others)
        if not 2 <= threshold <= len(members):
            raise BadThreshold(f"{threshold} of {len(members)}")
        return multisig_account(members, threshold)

    def _open(
        self, multisig: AccountId, call_hash: Digest, timepoint: Timepoint | None
    ) -> Operation:
        operation = self.operations[multisig, call_hash]
        if operation is None:
            raise UnknownOperation("no such operation is open")
        if timepoint != operation.timepoint:
            raise WrongTimepoint(f"{timepoint}, proposed at {operation.timepoint}")
        return operation

    def _find(
        self, multisig: AccountId, call_hash: Digest, timepoint: Timepoint | None
    ) -> Operation | None:
        """Return the open operation, or None where ``timepoint`` says that this proposes it."""
        if timepoint is None and self.operations[multisig, call_hash] is None:
            return None
        return self._open(multisig, call_hash, timepoint)

    def _approve(
        self,
        signer: Signer,
        multisig: AccountId,
        call_hash: Digest,
        known: Operation | None,
        threshold: int,
    ) -> Operation:
        if known is None:
            operation = self._propose(signer, multisig, call_hash, threshold)
        else:
            if signer in known.approvals:
                raise AlreadyApproved("each member approves once")
            operation = replace(known, approvals=(*known.approvals, AccountId(signer)))
            self.emit(OperationApproved(signer, known.timepoint, multisig, call_hash))
        self.operations[multisig, call_hash] = operation
        return operation

    def _propose(
        self, signer: Signer, multisig: AccountId, call_hash: Digest, threshold: int
    ) -> Operation:
        deposit = self.config.deposit_base + threshold * self.config.deposit_per_approval
        self.holder.hold(signer, HOLD_REASON, Balance(deposit))
        place = Timepoint(self.context.block.height, self.context.extrinsic_index)
        self.emit(OperationProposed(signer, multisig, call_hash))
        return Operation(place, Balance(deposit), signer, (signer,))


def _members(signer: Signer, others: Others) -> tuple[AccountId, ...]:
    in_order = all(one < two for one, two in pairwise(others))
    if not others or not in_order or signer in others:
        raise MembersOutOfOrder(f"{len(others)} other members")
    return tuple(sorted((*others, AccountId(signer))))
