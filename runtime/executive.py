"""How a block is executed, in which order, with which rollback.

Order: ``begin_block`` of every module; the inherents, each at most once; each signed extrinsic
(validate, take the fee, dispatch, receipt); ``end_block`` of every module. One ``BlockExecution``
serves the author, who skips what does not fit, and the validator, to whom the same error means an
invalid block.

Invariants: an extrinsic refused by ``apply`` has changed nothing; a call that fails keeps its fee
and loses its writes. A hook that raises is our bug. Signatures are checked before ``apply``: the
executive takes only extrinsics whose signature somebody has verified.
"""

from collections.abc import Generator
from dataclasses import dataclass

from primitives.block import EXTRINSICS_MAX, Extrinsic, Receipt
from primitives.errors import DispatchError, InvalidBlock, InvalidExtrinsic
from primitives.types import AccountId, Balance, Signer, Weight
from runtime.module import BlockInfo, Call, Context
from runtime.offences import EvidenceJudge
from runtime.overlay import Overlay, StateReader
from runtime.runtime import CALLS, Config, Runtime

INHERENTS = ("timestamp.set",)
"""The inherents of every block above genesis, in their order."""
OPTIONAL_INHERENTS = ("offences.report_by_author",)
"""What an author may put in behind them, in this order, and leaves out if it would fail."""
_PLACES = (*INHERENTS, *OPTIONAL_INHERENTS)


class BlockFull(InvalidExtrinsic):
    """The extrinsic does not fit into this block any more; it may fit into the next."""


class TooHeavy(InvalidExtrinsic):
    """The extrinsic alone exceeds a limit of a block, so it fits into none."""


class UnsignedExtrinsic(InvalidExtrinsic):
    """An inherent outside its place, or an inherent's call made by an account."""


class MisplacedInherent(InvalidBlock):
    """An inherent is missing, repeated, out of order or comes from an account."""


class InherentFailed(InvalidBlock):
    """An inherent's value is one that no honest author puts in."""


@dataclass(frozen=True, slots=True)
class ReadyExtrinsic:
    """A decoded extrinsic whose call is known to this runtime and whose signature was verified."""

    extrinsic: Extrinsic
    call: Call
    weight: Weight
    """Of the call alone."""

    @classmethod
    def decode(cls, data: bytes) -> "ReadyExtrinsic":
        """Return the extrinsic of ``data``; its signature is for the caller to verify.

        Raises: DecodeError.
        """
        return cls.from_extrinsic(Extrinsic.decode(data))

    @classmethod
    def from_extrinsic(cls, extrinsic: Extrinsic) -> "ReadyExtrinsic":
        """Return ``extrinsic`` with its call decoded. Raises: DecodeError."""
        call = CALLS.from_plain(extrinsic.call)
        return cls(extrinsic, call, call.weight)


@dataclass(frozen=True, slots=True)
class Executed:
    """What a block did."""

    writes: dict[bytes, bytes | None]
    """Storage keys with their new values, in key order; None deletes."""
    replaced: dict[bytes, bytes | None]
    """What those keys had before."""
    receipts: tuple[Receipt, ...]


class BlockExecution:
    """One block in the making: ``begin``, then ``apply`` for each extrinsic, then ``end``."""

    def __init__(
        self, state: StateReader, config: Config, block: BlockInfo, judge: EvidenceJudge
    ) -> None:
        self.overlay = Overlay(state)
        self.context = Context(self.overlay, block)
        self.runtime = Runtime(self.context, config, judge)
        self.limits = config.system
        self.weight = 0
        self.length = 0
        self._receipts: list[Receipt] = []
        self._inherents = 0
        """The first of ``_PLACES`` that may still come."""

    def begin(self) -> None:
        """Run the hooks that come before the extrinsics."""
        for module in self.runtime.modules:
            module.begin_block()
        self._receipts.append(self._receipt("", Balance(0), Weight(0)))

    def apply(self, ready: ReadyExtrinsic) -> Receipt:
        """Execute one extrinsic and return its receipt.

        Raises: InvalidExtrinsic, after which nothing has changed; InvalidBlock.
        """
        extrinsic = ready.extrinsic
        length = len(extrinsic.encoded)
        self.context.extrinsic_index = len(self._receipts) - 1
        weight = Weight(ready.weight + self.limits.extrinsic_weight)
        self._validate_room(weight, length)
        if extrinsic.signer is None:
            receipt = self._apply_inherent(ready, weight)
        else:
            receipt = self._apply_signed(ready, extrinsic.signer, weight, length)
        self.weight += weight
        self.length += length
        self.runtime.fees.note_use(weight=weight, length=length)
        self._receipts.append(receipt)
        return receipt

    def end(self) -> Executed:
        """Run the hooks that come after the extrinsics and return what the block did.

        Raises: MisplacedInherent.
        """
        slices = self.end_in_slices()
        while True:
            try:
                next(slices)
            except StopIteration as done:
                executed: Executed = done.value
                return executed

    def end_in_slices(self) -> Generator[None, None, Executed]:
        """Do as ``end`` does, yielding about every millisecond; the result is its own."""
        if self._inherents < len(INHERENTS):
            raise MisplacedInherent(f"{INHERENTS[self._inherents]} is missing")
        for module in self.runtime.modules:
            module.end_block()
        self._receipts.append(self._receipt("", Balance(0), Weight(0)))
        writes, replaced = yield from self.overlay.changes()
        return Executed(writes, replaced, tuple(self._receipts))

    def release(self) -> None:
        """Give back the memory of the block's state, once nothing more is asked of it.

        The modules refer to the runtime and it to them, so all that they hold on to would wait
        for the collector of cycles: megabytes for a full block.
        """
        self.overlay.release()

    def validate(self, ready: ReadyExtrinsic, *, pending: Balance) -> Balance:
        """Return the fee of a signed extrinsic that could stand in this block, nonce aside.

        ``pending`` is what the signer's earlier waiting extrinsics will take in fees and tips.
        Raises: InvalidExtrinsic.
        """
        extrinsic = ready.extrinsic
        if extrinsic.signer is None or ready.call.entry.is_inherent:
            raise UnsignedExtrinsic("only block authors put inherents in")
        weight = Weight(ready.weight + self.limits.extrinsic_weight)
        self._validate_size(weight, len(extrinsic.encoded))
        self.runtime.system.validate_lifetime(extrinsic.valid_until)
        fee = self.runtime.fees.fee(weight, len(extrinsic.encoded))
        self.runtime.fees.validate_payer(extrinsic.signer, Balance(fee + extrinsic.tip + pending))
        return fee

    def _apply_signed(
        self, ready: ReadyExtrinsic, signer: AccountId, weight: Weight, length: int
    ) -> Receipt:
        if self._inherents < len(INHERENTS):
            raise MisplacedInherent(f"{INHERENTS[self._inherents]} has to come first")
        runtime, extrinsic = self.runtime, ready.extrinsic
        if ready.call.entry.is_inherent:
            raise UnsignedExtrinsic(f"{ready.call.name} is for block authors")
        runtime.system.validate_lifetime(extrinsic.valid_until)
        runtime.system.validate_nonce(signer, extrinsic.nonce)
        paid = runtime.fees.charge(signer, weight=weight, length=length, tip=extrinsic.tip)
        runtime.system.use_nonce(signer, extrinsic.nonce)
        self._inherents = len(_PLACES)
        error = ""
        try:
            runtime.dispatch(Signer(signer), ready.call)
        except DispatchError as failure:
            error = runtime.error_name(failure)
        return self._receipt(error, paid, weight)

    def _apply_inherent(self, ready: ReadyExtrinsic, weight: Weight) -> Receipt:
        name, first = ready.call.name, self._inherents
        # The next one that every block has; behind those, any of the optional ones still to come.
        last = first + 1 if first < len(INHERENTS) else len(_PLACES)
        if name not in _PLACES[first:last]:
            raise MisplacedInherent(f"{name} at place {self._inherents} of the inherents")
        try:
            self.runtime.put_in(ready.call)
        except DispatchError as error:
            raise InherentFailed(f"{name}: {error}") from error
        self._inherents = _PLACES.index(name) + 1
        return self._receipt("", Balance(0), weight)

    def _validate_room(self, weight: Weight, length: int) -> None:
        self._validate_size(weight, length)
        full = (
            self.weight + weight > self.limits.block_weight_max
            or self.length + length > self.limits.block_length_max
            or len(self._receipts) > EXTRINSICS_MAX
        )
        if full:
            raise BlockFull(f"weight {self.weight} and {self.length} bytes are taken")

    def _validate_size(self, weight: Weight, length: int) -> None:
        if length > self.limits.extrinsic_length_max:
            raise TooHeavy(f"{length} bytes, at most {self.limits.extrinsic_length_max}")
        if weight > self.limits.block_weight_max:
            raise TooHeavy(f"weight {weight}, at most {self.limits.block_weight_max}")

    def _receipt(self, error: str, fee: Balance, weight: Weight) -> Receipt:
        """Close a phase: the events since the last one are its own, and leave the context."""
        events = tuple(self.context.events)
        self.context.events.clear()
        return Receipt(error, fee, weight, events)
