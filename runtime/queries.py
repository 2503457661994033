"""Read-only calls: questions that anybody may put to the runtime over any state.

Arguments and answers are canonical encodings; ``QUERIES`` is part of the metadata.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from primitives.codec import ACCOUNT, AMOUNT, DIGEST, U32, U64, Codec, tuple_of
from primitives.power_table import POWER_TABLE
from primitives.types import Epoch, Weight
from runtime.runtime import Runtime
from runtime.staking.ledger import BACKING


@dataclass(frozen=True, slots=True)
class Query:
    """One question: ``Any``, as every question has its own types."""

    argument: Codec[Any]
    answer: Codec[Any]
    function: Callable[[Runtime, Any], Any]
    summary: str

    def run(self, runtime: Runtime, argument: bytes) -> bytes:
        """Return the encoded answer. Raises: DecodeError, DispatchError."""
        return self.answer.encode(self.function(runtime, self.argument.decode(argument)))


QUERIES: Mapping[str, Query] = {
    "system.nonce": Query(
        ACCOUNT,
        U64,
        lambda runtime, account: runtime.system.nonces[account],
        "The account's next nonce.",
    ),
    "balances.spendable": Query(
        ACCOUNT,
        AMOUNT,
        lambda runtime, account: runtime.balances.spendable(account),
        "The account's free balance.",
    ),
    "balances.total_issuance": Query(
        tuple_of(),
        AMOUNT,
        lambda runtime, _: runtime.balances.total_issuance.get(),
        "How many base units exist.",
    ),
    "fees.fee": Query(
        tuple_of(U64, U32),
        AMOUNT,
        lambda runtime, sizes: runtime.fees.fee(Weight(sizes[0]), sizes[1]),
        "What an extrinsic of that weight and that many bytes costs, without a tip.",
    ),
    "session.table": Query(
        U64,
        POWER_TABLE,
        lambda runtime, epoch: runtime.session.table(Epoch(epoch)),
        "Who votes in an epoch.",
    ),
    "staking.backing": Query(
        tuple_of(ACCOUNT, U64),
        BACKING,
        lambda runtime, of: runtime.staking.backing(of[0], Epoch(of[1])),
        "What stood behind a validator in the table of an epoch.",
    ),
    "session.randomness": Query(
        U64,
        DIGEST,
        lambda runtime, epoch: runtime.session.randomness[epoch],
        "What draws the leaders of an epoch.",
    ),
}
