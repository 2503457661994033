"""Read-only calls: questions that anybody may put to the runtime over any state.

Arguments and answers are canonical encodings; ``QUERIES`` is part of the metadata.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from primitives.codec import (
    ACCOUNT,
    AMOUNT,
    DIGEST,
    U32,
    U64,
    Codec,
    listing,
    optional,
    pair,
    tuple_of,
)
from primitives.power_table import POWER_TABLE
from primitives.types import Epoch, Weight
from runtime.jobs.records import DISPUTE, DISPUTES_MAX, SERVICE
from runtime.pocps.classes import CLASSES_MAX, RESOURCE_CLASS, response_weight
from runtime.pocps.ladder import FAULTS
from runtime.pocps.provider import PROVIDER
from runtime.pocps.records import PENALTY
from runtime.pools.records import LEASES_OF_MAX, POOLS_MAX
from runtime.pools.views import (
    HISTORY_VIEW,
    LEASE_VIEW,
    MEMBER_VIEW,
    POOL_VIEW,
    QUOTE_VIEW,
    view_history,
    view_lease,
    view_member,
    view_pool,
    view_pools,
    view_quote,
)
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
    "pocps.classes": Query(
        tuple_of(),
        listing(RESOURCE_CLASS, CLASSES_MAX),
        lambda runtime, _: tuple(
            map(runtime.pocps.classes.__getitem__, runtime.pocps.class_ids.get())
        ),
        "All classes of resources, in the order in which they were made.",
    ),
    "pocps.windows": Query(
        tuple_of(),
        tuple_of(U32, U32, U32, U32),
        lambda runtime, _: runtime.pocps.windows,
        "Heights in an epoch; in it, counted from 1, the last block for commitments, the block"
        " that draws and takes the first responses, and the last block for responses.",
    ),
    "pocps.challenge": Query(
        tuple_of(U32, U64),
        DIGEST,
        lambda runtime, of: runtime.pocps.challenge(of[0], Epoch(of[1])),
        "What a class's leaves are made from in the present epoch, the next one at its boundary.",
    ),
    "pocps.response_weight": Query(
        U32,
        U64,
        lambda runtime, class_id: response_weight(runtime.pocps.standings.resource(class_id)),
        "The weight that a response of a class has to allow.",
    ),
    "pocps.provider": Query(
        tuple_of(U32, ACCOUNT),
        optional(PROVIDER),
        lambda runtime, of: runtime.pocps.standings.find(of),
        "A provider's standing in a class, its last epoch settled.",
    ),
    "pocps.faults": Query(
        tuple_of(U32, ACCOUNT),
        FAULTS,
        lambda runtime, of: runtime.pocps.faults[of],
        "A provider's last faults in a class, newest last.",
    ),
    "pocps.penalty": Query(
        tuple_of(U32, ACCOUNT),
        PENALTY,
        lambda runtime, of: runtime.pocps.penalty(*of),
        "What a provider's next fault in a class would cost.",
    ),
    "pocps.units": Query(
        U32,
        tuple_of(U64, U64, U32),
        lambda runtime, class_id: runtime.pocps.sums(class_id),
        "Units of a class that are live, those proven so far in this epoch, and its providers.",
    ),
    "pocps.power": Query(
        tuple_of(U64, ACCOUNT),
        tuple_of(U64, U64, U64),
        lambda runtime, of: runtime.pocps.power(Epoch(of[0]), of[1]),
        "Operations that an account proved in an epoch, all accounts', and where its ramp starts.",
    ),
    "jobs.rules": Query(
        tuple_of(),
        tuple_of(U32, U32, AMOUNT, AMOUNT),
        lambda runtime, _: (
            runtime.config.jobs.answer_blocks,
            runtime.config.jobs.dispute_blocks,
            runtime.config.jobs.bond,
            runtime.config.jobs.service_deposit,
        ),
        "Blocks for each move of a dispute, blocks after a job in which it may be opened, its bond,"
        " and the deposit for being announced.",
    ),
    "jobs.service": Query(
        ACCOUNT,
        optional(SERVICE),
        lambda runtime, provider: runtime.jobs.services[provider],
        "Where a provider serves its leases, and which keys sign for it.",
    ),
    "jobs.dispute": Query(
        U64,
        optional(DISPUTE),
        lambda runtime, number: runtime.jobs.disputes[number],
        "An open dispute.",
    ),
    "jobs.waiting": Query(
        tuple_of(),
        listing(pair(U64, U64), DISPUTES_MAX),
        lambda runtime, _: runtime.jobs.waiting.get(),
        "Deadline and number of each open dispute, the next deadline first.",
    ),
    "pools.list": Query(
        tuple_of(),
        listing(POOL_VIEW, POOLS_MAX),
        lambda runtime, _: view_pools(runtime.pools),
        "All pools, each with its price, its use and its books.",
    ),
    "pools.pool": Query(
        U32,
        POOL_VIEW,
        lambda runtime, pool_id: view_pool(runtime.pools, pool_id),
        "One pool.",
    ),
    "pools.quote": Query(
        tuple_of(U32, U64, U32, U32),
        QUOTE_VIEW,
        lambda runtime, wanted: view_quote(runtime.pools, *wanted),
        "What a lease of so many units of a pool, for so many blocks, costs now, and at most if "
        "only the base price moves within a number of blocks.",
    ),
    "pools.lease": Query(
        U64,
        LEASE_VIEW,
        lambda runtime, lease_id: view_lease(runtime.pools, lease_id),
        "A lease that runs, and what ending it now would refund.",
    ),
    "pools.leases_of": Query(
        ACCOUNT,
        listing(U64, LEASES_OF_MAX),
        lambda runtime, client: runtime.pools.leases_of[client],
        "The leases of a client that run.",
    ),
    "pools.member": Query(
        tuple_of(U32, ACCOUNT),
        MEMBER_VIEW,
        lambda runtime, of: view_member(runtime.pools, *of),
        "What a provider has in a pool: units, leases, and what it may claim.",
    ),
    "pools.supplies": Query(
        tuple_of(U32, ACCOUNT),
        optional(U32),
        lambda runtime, of: runtime.pools.engaged[of],
        "The pool that an account's units of a class supply.",
    ),
    "pools.history": Query(
        tuple_of(U32, U32),
        HISTORY_VIEW,
        lambda runtime, wanted: view_history(runtime.pools, *wanted),
        "The last so many price periods of a pool, the oldest first.",
    ),
}
