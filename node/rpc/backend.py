"""What the RPC asks of the node, one small protocol per namespace, and the values they exchange.

Functions that are not ``async`` answer within microseconds from memory or a single look into the
database; whatever may take longer is ``async`` and leaves the event loop to others. ``at`` is a
block's hash, None for the best block.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from node.rpc.feeds import Broadcast, Feed
from node.rpc.json_types import Json
from primitives.block import Block, Header, Receipt
from primitives.codec import Description
from primitives.errors import LoopinError
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Nonce,
    PublicKey,
    SpecVersion,
    StorageKey,
    View,
    Weight,
)
from runtime.runtime import Runtime


class UnknownBlock(LoopinError):
    """This node has no block with that hash."""


class StatePruned(LoopinError):
    """This node keeps no state of that block; ask an archive node."""


class UnknownCall(LoopinError):
    """The runtime has no read-only call of that name."""


@dataclass(frozen=True, slots=True)
class ChainProperties:
    """What a wallet must know to show amounts and addresses."""

    ss58_format: int
    token_decimals: int
    token_symbol: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the node is of use right now."""

    peers: int
    is_syncing: bool
    should_have_peers: bool
    """False on a chain that one node makes alone."""


@dataclass(frozen=True, slots=True)
class PeerInfo:
    peer_id: str
    roles: str
    best_hash: Digest
    best_number: Height


@dataclass(frozen=True, slots=True)
class SyncState:
    starting_block: Height
    current_block: Height
    highest_block: Height


class SystemBackend(Protocol):
    """The node and its network."""

    @property
    def node_name(self) -> str: ...
    @property
    def node_version(self) -> str: ...
    @property
    def chain_name(self) -> str: ...
    @property
    def chain_type(self) -> str:
        """Return Development, Local or Live."""
        ...

    @property
    def properties(self) -> ChainProperties: ...
    def health(self) -> Health: ...
    def local_peer_id(self) -> str: ...
    def listen_addresses(self) -> Sequence[str]: ...
    def peers(self) -> Sequence[PeerInfo]: ...
    def roles(self) -> Sequence[str]:
        """Return Authority if the node votes, else Full."""
        ...

    def sync_state(self) -> SyncState: ...
    def next_nonce(self, account: AccountId) -> Nonce:
        """Return the account's next nonce, behind what waits in the mempool."""
        ...


class BlocksBackend(Protocol):
    """The chain's blocks."""

    @property
    def new_heads(self) -> Broadcast[Header]:
        """The best block whenever it changes."""
        ...

    @property
    def final_heads(self) -> Broadcast[Header]:
        """Every block that becomes final, in order."""
        ...

    def best_hash(self) -> Digest: ...
    def final_hash(self) -> Digest: ...
    def find_hash(self, height: Height) -> Digest | None: ...
    def find_header(self, block: Digest) -> Header | None: ...
    def find_block(self, block: Digest) -> Block | None: ...
    def find_receipts(self, block: Digest) -> Sequence[Receipt] | None: ...
    def find_certificate(self, block: Digest) -> bytes | None:
        """Return the encoded certificate that made the block final, if it is."""
        ...

    def find_handover(self, epoch: Epoch) -> bytes | None:
        """Return the encoded proof of the power table after ``epoch``, if that has ended."""
        ...

    def event_fields(self, name: str) -> Sequence[Description] | None:
        """Return name and type of an event's fields, as the metadata describes them."""
        ...


@dataclass(frozen=True, slots=True)
class RuntimeVersion:
    spec_name: str
    spec_version: SpecVersion
    transaction_version: int
    """Changes when the numbers or arguments of calls do."""
    impl_name: str
    impl_version: str


@dataclass(frozen=True, slots=True)
class StorageChanges:
    """What a new best block wrote."""

    block: Digest
    changes: Mapping[StorageKey, bytes | None]
    """None for what was deleted."""


class StateBackend(Protocol):
    """The state after a block. Everything here raises: UnknownBlock, StatePruned."""

    @property
    def storage_changes(self) -> Broadcast[StorageChanges]: ...
    def best_hash(self) -> Digest: ...
    def storage(self, key: StorageKey, at: Digest | None) -> bytes | None: ...
    def keys(
        self, prefix: bytes, count: int, start_after: bytes, at: Digest | None
    ) -> Sequence[StorageKey]:
        """Return up to ``count`` keys with ``prefix``, in order, beyond ``start_after``."""
        ...

    def prove(self, key: StorageKey, at: Digest) -> bytes:
        """Return the encoded proof of what ``key`` holds, or that it holds nothing."""
        ...

    def runtime_version(self, at: Digest | None) -> RuntimeVersion: ...
    def metadata(self, at: Digest | None) -> Json: ...
    async def call(self, name: str, arguments: bytes, at: Digest | None) -> bytes:
        """Run a read-only call; both ways encoded. Raises: UnknownCall, DecodeError."""
        ...


class RuntimeBackend(Protocol):
    """The chain's own rules over its state."""

    def runtime_after(self, at: Digest | None) -> Runtime:
        """Return the runtime over the state after a block, for questions; writes go nowhere.

        Raises: UnknownBlock, StatePruned.
        """
        ...


class StatusKind(StrEnum):
    """The words for what becomes of an extrinsic."""

    FUTURE = "future"
    READY = "ready"
    IN_BLOCK = "inBlock"
    RETRACTED = "retracted"
    FINALIZED = "finalized"
    USURPED = "usurped"
    DROPPED = "dropped"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class ExtrinsicStatus:
    """What has become of a watched extrinsic."""

    kind: StatusKind
    hash: Digest | None = None
    """The block's, or the usurper's."""
    reason: str = ""
    """Why it was dropped or is invalid."""


class AuthorBackend(Protocol):
    """The mempool and the node's own keys."""

    async def submit(self, extrinsics: Sequence[bytes]) -> Sequence[Digest | LoopinError]:
        """Offer extrinsics to the mempool; return the hash of each or why it was refused."""
        ...

    async def submit_and_watch(self, extrinsic: bytes) -> Feed[ExtrinsicStatus]:
        """Offer an extrinsic; the feed ends with its last status. Raises: LoopinError."""
        ...

    def pending(self, count: int) -> Sequence[bytes]:
        """Return up to ``count`` extrinsics that wait, the first to be included first."""
        ...

    def rotate_keys(self, owner: AccountId) -> bytes:
        """Make new session keys and return them with their proofs for ``owner``, encoded."""
        ...

    def has_key(self, public_key: PublicKey, key_type: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class FeeInfo:
    """What an extrinsic would cost in the next block."""

    weight: Weight
    length: int
    """Bytes."""
    partial_fee: Balance
    """Without the tip."""


class PaymentBackend(Protocol):
    """Fees."""

    async def query_fee(self, extrinsic: bytes, at: Digest | None) -> FeeInfo:
        """Return the fee of an encoded extrinsic. Raises: DecodeError, UnknownBlock."""
        ...


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An extrinsic of a final block, and what it did."""

    height: Height
    block: Digest
    position: int
    """In the block, from 0."""
    extrinsic: bytes
    receipt: Receipt


class HistoryBackend(Protocol):
    """Where extrinsics are, as long as the node keeps their blocks."""

    async def find_extrinsic(self, extrinsic: Digest) -> HistoryEntry | None:
        """Return the final extrinsic with that hash, or None."""
        ...

    async def account_history(
        self, account: AccountId, count: int, before: tuple[Height, int] | None
    ) -> Sequence[HistoryEntry]:
        """Return an account's latest final extrinsics before a height and position."""
        ...

    def event_fields(self, name: str) -> Sequence[Description] | None:
        """Return name and type of an event's fields, as the metadata describes them."""
        ...


@dataclass(frozen=True, slots=True)
class EvidenceInfo:
    """Two contradicting messages of one validator."""

    offence: str
    epoch: Epoch
    view: View
    signer: int
    """Position in the epoch's power table."""
    evidence: bytes
    """The canonical encoding, as an offence is reported with it."""


class ConsensusBackend(Protocol):
    """What the node has seen of the validators' agreement."""

    def evidence(self) -> Sequence[EvidenceInfo]:
        """Return the evidence that has not been reported yet, oldest first."""
        ...


class NodeBackend(
    SystemBackend,
    BlocksBackend,
    StateBackend,
    AuthorBackend,
    PaymentBackend,
    HistoryBackend,
    ConsensusBackend,
    RuntimeBackend,
    Protocol,
):
    """All of the node."""
