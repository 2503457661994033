"""What a provider reads of the chain, out of the state after a block.

Blocks the thread that calls; for one thread at a time. What belongs to a block is read from
storage, which nodes keep for longer than they answer queries about a block. The chain's own
arithmetic says what a record means in the epoch to come: its first block is not waited for.
"""

from typing import Any, TypeVar

from miner.provider_messages import Commitment, Sight, Windows
from node.client.answers import read_bytes
from node.client.errors import BadAnswer, CallRefused
from node.client.node_client import KnownHeader, NodeClient, hex_of
from node.provider.program import ClassTerms
from primitives.codec import ACCOUNT, DIGEST, U32, U64, Codec, listing, optional, pair
from primitives.errors import ConfigError, DecodeError
from primitives.power_table import PowerTable
from primitives.types import AccountId, Balance, Digest, Epoch, Height, StorageKey
from runtime.pocps.classes import CLASSES_MAX, RESOURCE_CLASS, ResourceClass, kind_of
from runtime.pocps.classes import response_weight as weight_of_response
from runtime.pocps.forward_pass_proof import ForwardPassWork
from runtime.pocps.ladder import FAULTS, Fault
from runtime.pocps.module import DRAWING
from runtime.pocps.proof import SampledProof
from runtime.pocps.provider import PROVIDER, Provider
from runtime.pocps.storage_proof import StorageWork
from runtime.queries import QUERIES

T = TypeVar("T")


class NoSuchClass(ConfigError):
    """The chain has no such class; the message says which it has."""


class PocpsReader:
    """Reads what concerns one account."""

    def __init__(self, client: NodeClient, account: AccountId) -> None:
        self._client = client
        self._account = account
        self._classes: dict[int, ResourceClass] = {}
        self._windows: Windows | None = None

    def windows(self) -> Windows:
        """Return the timeline of every epoch, which never changes."""
        if self._windows is None:
            answer = self._ask("pocps.windows", ())
            epoch_length, commit_deadline, _, respond_deadline = answer
            self._windows = Windows(epoch_length, commit_deadline, respond_deadline)
        return self._windows

    def classes(self) -> dict[int, ClassTerms]:
        """Return the classes that the chain has."""
        ids = self._storage(b"pocps.class_ids", listing(U32, CLASSES_MAX), None) or ()
        return {class_id: terms_of(self._class(class_id)) for class_id in ids}

    def staked_classes(self) -> list[int]:
        """Return the classes in which the account has units."""
        return [
            class_id
            for class_id in self.classes()
            if (record := self._record(class_id, None)) is not None and record.units
        ]

    def look(self, class_id: int, head: KnownHeader) -> Sight:
        """Return what the chain says after a block.

        Raises: NodeUnreachable, ConnectionLost, CallRefused, BadAnswer.
        """
        at, height = head.hash, head.header.height
        epoch = self.windows().epoch_at(Height(height + 1))
        seed = self._storage(b"session.randomness:" + U64.encode(epoch), DIGEST, at)
        if seed is None:
            raise BadAnswer(f"the node has no randomness of epoch {epoch}")
        record = self._record(class_id, at) or Provider(epoch)
        # The last epoch is settled by the next one's first blocks; what is due is known before.
        known = record.rolled(epoch) if record.epoch < epoch else record
        drawing = self._storage(b"pocps.drawing", optional(DRAWING), at)
        committed = known.commitment
        return Sight(
            height=height,
            timestamp=head.header.timestamp,
            epoch=epoch,
            challenge=kind_of(self._class(class_id)).challenge(seed),
            staked=known.units,
            live=known.live,
            due=known.due,
            claim=known.claimable()[1],
            is_absent=known.is_absent,
            commitment=Commitment(committed.units, committed.root) if committed else None,
            has_responded=known.proven > 0,
            beacon=drawing.beacon if drawing and drawing.epoch == epoch else None,
            penalty=self._penalty(class_id) if known.units else Balance(0),
            fault=self._newest_fault(class_id, at),
        )

    def _class(self, class_id: int) -> ResourceClass:
        """Return a class, which never changes. Raises: NoSuchClass."""
        known = self._classes.get(class_id)
        if known is None:
            key = b"pocps.classes:" + U32.encode(class_id)
            known = self._storage(key, optional(RESOURCE_CLASS), None)
            if known is None:
                raise NoSuchClass(f"the chain has no class {class_id}")
            self._classes[class_id] = known
        return known

    def _record(self, class_id: int, at: Digest | None) -> Provider | None:
        key = pair(U32, ACCOUNT).encode((class_id, self._account))
        return self._storage(b"pocps.providers:" + key, optional(PROVIDER), at)

    def faults(self, class_id: int, at: Digest) -> tuple[Fault, ...]:
        """Return the faults on record after a block, oldest first."""
        key = pair(U32, ACCOUNT).encode((class_id, self._account))
        return self._storage(b"pocps.faults:" + key, FAULTS, at) or ()

    def power_table(self, epoch: Epoch) -> PowerTable:
        """Return who votes in an epoch that has begun, or begins with the next block."""
        table: PowerTable = self._ask("session.table", epoch)
        return table

    def _newest_fault(self, class_id: int, at: Digest) -> Fault | None:
        faults = self.faults(class_id, at)
        return faults[-1] if faults else None

    def _penalty(self, class_id: int) -> Balance:
        """Return what a miss would cost by the newest state: older ones answer no queries."""
        try:
            penalty = self._ask("pocps.penalty", (class_id, self._account))
        except CallRefused:
            # Out of the class since: nothing left to lose.
            return Balance(0)
        return Balance(penalty.missed_slash if penalty else 0)

    def _storage(self, key: bytes, codec: Codec[T], at: Digest | None) -> T | None:
        value = self._client.storage(StorageKey(key), at)
        try:
            return None if value is None else codec.decode(value)
        except DecodeError as error:
            raise BadAnswer(f"{key!r:.40} holds what this version does not know") from error

    def _ask(self, name: str, argument: Any) -> Any:  # noqa: ANN401 - each query has its own types
        query = QUERIES[name]
        given = hex_of(query.argument.encode(argument))
        answer = self._client.call("state_call", name, given)
        try:
            return query.answer.decode(read_bytes(answer, name))
        except DecodeError as error:
            raise BadAnswer(f"the answer to {name} is not what this version knows") from error


def terms_of(record: ResourceClass) -> ClassTerms:
    """Return what a prover needs to know of a class."""
    kind = kind_of(record)
    assert isinstance(kind, SampledProof), "every kind of this version samples leaves"
    work = kind.work
    assert isinstance(work, ForwardPassWork | StorageWork), "there are two kinds of work"
    return ClassTerms(work.resource, record.name, weight_of_response(record))
