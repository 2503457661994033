"""What both ends of a lease read of the chain, out of its state.

Blocks the thread that calls; for one thread at a time.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from node.client.answers import (
    read_amount,
    read_bytes,
    read_integer,
    read_list,
    read_object,
    read_text,
)
from node.client.errors import BadAnswer
from node.client.node_client import NodeClient, hex_of
from node.rpc.json_types import Json
from primitives.codec import ACCOUNT, U64, Codec, blob, listing, optional, pair
from primitives.errors import DecodeError
from primitives.types import AccountId, Balance, Digest, Height, StorageKey
from runtime.jobs.module import LOST_BY_PROOF, LOST_BY_SILENCE
from runtime.jobs.network import WIDTH_MAX
from runtime.jobs.records import DISPUTE, DISPUTES_MAX, SERVICE, Dispute, Service
from runtime.pools.records import LEASE, Lease
from runtime.queries import QUERIES

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rules:
    """How the chain judges jobs."""

    answer_blocks: int
    dispute_blocks: int

    @property
    def retention_blocks(self) -> int:
        """How long after it was done a job may have to be defended."""
        return self.dispute_blocks + 6 * (self.answer_blocks + 1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a dispute ended."""

    number: int
    height: Height
    is_won: bool
    reason: str
    taken: Balance
    """What the loser lost."""


class JobChain:
    """Leases, services and disputes."""

    def __init__(self, client: NodeClient) -> None:
        self.client = client

    @cached_property
    def rules(self) -> Rules:
        """The chain's rules, which never change."""
        answer_blocks, dispute_blocks, *_ = self._ask("jobs.rules", ())
        return Rules(answer_blocks, dispute_blocks)

    def height(self) -> Height:
        """Return the height of the best block."""
        return self.client.header().header.height

    def lease(self, lease_id: int) -> Lease | None:
        """Return a lease that lives."""
        return self._storage(b"pools.leases:" + U64.encode(lease_id), optional(LEASE))

    def service(self, provider: AccountId) -> Service | None:
        """Return where a provider serves."""
        return self._storage(b"jobs.services:" + ACCOUNT.encode(provider), optional(SERVICE))

    def dispute(self, number: int) -> Dispute | None:
        """Return an open dispute."""
        return self._storage(b"jobs.disputes:" + U64.encode(number), optional(DISPUTE))

    def disputed(self, lease_id: int, provider: AccountId) -> int:
        """Return the number of the open dispute over a provider's share of a lease, or 0."""
        key = pair(U64, ACCOUNT).encode((lease_id, provider))
        return self._storage(b"jobs.disputed:" + key, U64) or 0

    def revealed(self, number: int) -> bytes:
        """Return the row that the provider has shown in a dispute."""
        return self._storage(b"jobs.revealed:" + U64.encode(number), blob(WIDTH_MAX)) or b""

    def open_disputes(self) -> list[int]:
        """Return the numbers of all open disputes."""
        codec = listing(pair(U64, U64), DISPUTES_MAX)
        return [number for _, number in self._storage(b"jobs.waiting", codec) or ()]

    def disputes_against(self, provider: AccountId) -> dict[int, Dispute]:
        """Return the open disputes in which it is a provider's turn."""
        found = {number: self.dispute(number) for number in self.open_disputes()}
        return {
            number: dispute
            for number, dispute in found.items()
            if dispute is not None and dispute.mover == provider == dispute.provider
        }

    def find_verdict(self, number: int, height: Height) -> tuple[Verdict | None, Height]:
        """Return the verdict if a block from ``height`` on holds it, and where to look next."""
        client, best = self.client, self.height()
        while height <= best:
            block = client.hash_at(height)
            receipts = None if block is None else client.find_receipts(block)
            for receipt in receipts or ():
                verdict = _verdict_in(receipt.get("events"), number, height)
                if verdict is not None:
                    return verdict, height
            height = Height(height + 1)
        return None, height

    def _storage(self, key: bytes, codec: Codec[T], at: Digest | None = None) -> T | None:
        value = self.client.storage(StorageKey(key), at)
        try:
            return None if value is None else codec.decode(value)
        except DecodeError as error:
            raise BadAnswer(f"{key!r:.40} holds what this version does not know") from error

    def _ask(self, name: str, argument: Any) -> Any:  # noqa: ANN401 - each query has its own types
        query = QUERIES[name]
        answer = self.client.call("state_call", name, hex_of(query.argument.encode(argument)), None)
        try:
            return query.answer.decode(read_bytes(answer, name))
        except DecodeError as error:
            raise BadAnswer(f"the answer to {name} is not what this version knows") from error


def _verdict_in(events: Json, number: int, height: Height) -> Verdict | None:
    for item in read_list(events, "a receipt's events"):
        event = read_object(item, "an event")
        if event.get("name") != "jobs.DisputeSettled":
            continue
        fields = read_object(event.get("fields"), "an event's fields")
        if read_integer(fields.get("disputeId"), "disputeId") == number:
            reason = read_text(fields.get("reason"), "reason")
            taken = read_amount(fields.get("taken"), "taken")
            is_won = reason in (LOST_BY_PROOF, LOST_BY_SILENCE)
            return Verdict(number, height, is_won, reason, taken)
    return None
