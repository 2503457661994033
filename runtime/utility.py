"""Utility: several calls in one extrinsic.

Invariant: it holds no storage; what a batch does is what its calls do.
"""

from dataclasses import dataclass
from typing import Annotated

from primitives.codec import U32, text
from primitives.errors import DispatchError
from primitives.types import Signer, Weight
from runtime.call_table import call_list
from runtime.module import Call, Context, Dispatcher, Event, Module, call

Calls = Annotated[tuple[Call, ...], call_list]
_WEIGHT_PER_CALL = 3_000


@dataclass(frozen=True, slots=True)
class BatchCompleted(Event):
    """Every call of the batch succeeded."""


@dataclass(frozen=True, slots=True)
class BatchInterrupted(Event):
    """The call at ``index`` failed; those before it stay, those after it were not made."""

    index: Annotated[int, U32]
    error: Annotated[str, text(64)]


class EmptyBatch(DispatchError):
    """The batch holds no call."""


def _batch_weight(calls: tuple[Call, ...]) -> Weight:
    return Weight(sum(inner.weight + _WEIGHT_PER_CALL for inner in calls))


class Utility(Module):
    """Batches."""

    name = "utility"
    index = 5
    events = (BatchCompleted, BatchInterrupted)
    errors = (EmptyBatch,)

    def __init__(self, context: Context, dispatcher: Dispatcher) -> None:
        super().__init__(context)
        self.dispatcher = dispatcher

    @call(0, weight=_batch_weight)
    def batch(self, signer: Signer, calls: Calls) -> None:
        """Make the calls in order and stop at the first that fails, keeping those before it.

        Emits: BatchCompleted, or BatchInterrupted.
        Raises: EmptyBatch.
        """
        _refuse_empty(calls)
        for index, inner in enumerate(calls):
            try:
                self.dispatcher.dispatch(signer, inner)
            except DispatchError as error:
                self.emit(BatchInterrupted(index, self.dispatcher.error_name(error)))
                return
        self.emit(BatchCompleted())

    @call(1, weight=_batch_weight)
    def batch_all(self, signer: Signer, calls: Calls) -> None:
        """Make all calls, or none if one fails.

        Emits: BatchCompleted.
        Raises: EmptyBatch, or what the call that fails raises.
        """
        _refuse_empty(calls)
        for inner in calls:
            self.dispatcher.dispatch(signer, inner)
        self.emit(BatchCompleted())


def _refuse_empty(calls: tuple[Call, ...]) -> None:
    if not calls:
        raise EmptyBatch("a batch needs at least one call")
