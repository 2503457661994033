"""The node as the RPC sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import trio

from chain.blockchain import Blockchain, Finalized
from chain.blockchain import UnknownBlock as BlockNotHeld
from chain.mempool import Mempool
from chain.state_tree import VersionNotKept
from chain.store_reader import HistoryPruned
from consensus.simplex.evidence import EVIDENCE
from genesis.spec import ChainSpec
from node.account_history import AccountHistory
from node.chain_service import ChainService, NewBest
from node.evidence import EvidenceFile, offence_of
from node.extrinsic_intake import ExtrinsicIntake
from node.extrinsic_watch import ExtrinsicWatch
from node.keystore import Keystore, Role
from node.rpc.backend import (
    ChainProperties,
    EvidenceInfo,
    ExtrinsicStatus,
    FeeInfo,
    Health,
    HistoryEntry,
    PeerInfo,
    RuntimeVersion,
    StatePruned,
    StorageChanges,
    SyncState,
    UnknownBlock,
    UnknownCall,
)
from node.rpc.feeds import Broadcast, Feed
from node.rpc.json_types import Json
from node.version import VERSION
from primitives.block import EXTRINSIC_VERSION, Block, Header, Receipt, decode_receipts
from primitives.codec import Description
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import LoopinError
from primitives.types import (
    AccountId,
    Digest,
    Epoch,
    Height,
    Nonce,
    PublicKey,
    StorageKey,
    Weight,
)
from runtime.annotations import field_codecs
from runtime.executive import ReadyExtrinsic
from runtime.metadata import describe_runtime
from runtime.queries import QUERIES
from runtime.runtime import MODULES, Runtime
from runtime.session_keys import (
    SET_KEYS_ARGUMENTS,
    KeyProofs,
    SessionKeys,
    possession_message,
)

IMPLEMENTATION = "LooPIN"
SPEC_NAME = "loopin"


class Peers(Protocol):
    """What the RPC asks of the network."""

    def peers(self) -> Sequence[PeerInfo]: ...
    def local_peer_id(self) -> str: ...
    def listen_addresses(self) -> Sequence[str]: ...
    def sync_state(self) -> SyncState | None:
        """Return how far sync is, or None if the node is not behind."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running node that the RPC reaches."""

    genesis_hash: Digest
    spec: ChainSpec
    is_validator: bool
    service: ChainService
    mempool: Mempool
    intake: ExtrinsicIntake
    watch: ExtrinsicWatch
    keystore: Keystore
    evidence: EvidenceFile
    peers: Peers


class RpcBackend:
    """Implements every protocol of ``node.rpc.backend``."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._history = AccountHistory(parts.service.chain.store.reads)
        self._metadata: Json = describe_runtime(parts.spec.runtime)
        self.new_heads: Broadcast[Header] = Broadcast()
        self.final_heads: Broadcast[Header] = Broadcast()
        self.storage_changes: Broadcast[StorageChanges] = Broadcast()
        parts.service.on_new_best.append(self._on_new_best)
        parts.service.on_final.append(self._on_final)

    # system

    @property
    def node_name(self) -> str:
        return IMPLEMENTATION

    @property
    def node_version(self) -> str:
        return VERSION

    @property
    def chain_name(self) -> str:
        return self._parts.spec.name

    @property
    def chain_type(self) -> str:
        return self._parts.spec.chain_type.capitalize()

    @property
    def properties(self) -> ChainProperties:
        spec = self._parts.spec
        return ChainProperties(spec.ss58_prefix, spec.token_decimals, spec.token_symbol)

    def health(self) -> Health:
        peers = self._parts.peers
        alone = len(self._parts.spec.validators) == 1 and self._parts.is_validator
        return Health(len(peers.peers()), peers.sync_state() is not None, not alone)

    def local_peer_id(self) -> str:
        return self._parts.peers.local_peer_id()

    def listen_addresses(self) -> Sequence[str]:
        return self._parts.peers.listen_addresses()

    def peers(self) -> Sequence[PeerInfo]:
        return self._parts.peers.peers()

    def roles(self) -> Sequence[str]:
        return ["Authority" if self._parts.is_validator else "Full"]

    def sync_state(self) -> SyncState:
        height = self._chain.final.height
        return self._parts.peers.sync_state() or SyncState(height, height, height)

    def next_nonce(self, account: AccountId) -> Nonce:
        return self._parts.mempool.next_nonce(account)

    # chain

    def best_hash(self) -> Digest:
        return self._parts.service.best

    def final_hash(self) -> Digest:
        return self._chain.final_hash

    def find_hash(self, height: Height) -> Digest | None:
        if height <= self._chain.final.height:
            try:
                return self._chain.final_header_at(height).hash
            except HistoryPruned:
                return None  # below the snapshot from which this node started
        for imported in self._chain.path_to(self._parts.service.best):
            if imported.header.height == height:
                return imported.hash
        return None

    def find_header(self, block: Digest) -> Header | None:
        try:
            return self._chain.header(block)
        except BlockNotHeld:
            return None

    def find_block(self, block: Digest) -> Block | None:
        try:
            return self._chain.block(block)
        except (BlockNotHeld, HistoryPruned):
            return None

    def find_receipts(self, block: Digest) -> Sequence[Receipt] | None:
        imported = self._chain.find_imported(block)
        if imported is not None:
            return imported.executed.receipts
        reads = self._chain.store.reads
        height = reads.height_of(block)
        try:
            return None if height is None else decode_receipts(reads.receipts_at(height))
        except HistoryPruned:
            return None

    def find_certificate(self, block: Digest) -> bytes | None:
        """Return what makes the block final: its own certificate, or that of a descendant."""
        reads = self._chain.store.reads
        height = reads.height_of(block)
        try:
            while height is not None and 0 < height <= self._chain.final.height:
                certificate = reads.certificate_at(height)
                if certificate:
                    return certificate
                height = Height(height + 1)
        except HistoryPruned:
            return None
        return None

    def find_handover(self, epoch: Epoch) -> bytes | None:
        return self._chain.store.reads.find_handover(epoch)

    def event_fields(self, name: str) -> Sequence[Description] | None:
        return _EVENT_FIELDS.get(name)

    # state

    def storage(self, key: StorageKey, at: Digest | None) -> bytes | None:
        block = at or self.best_hash()
        if self._chain.unfinalized.has_state(block):
            return self._chain.state_after(block).get(key)
        height = self._final_height(block)
        try:
            return self._chain.store.reads.state_at(height, key)
        except HistoryPruned as error:
            raise StatePruned(str(error)) from error

    def keys(
        self, prefix: bytes, count: int, start_after: bytes, at: Digest | None
    ) -> Sequence[StorageKey]:
        block = at or self.best_hash()
        if not self._chain.unfinalized.has_state(block):
            self._final_height(block)
            raise StatePruned("keys are listed for the last final block and those above it")
        found = self._chain.state_after(block).keys_paged(prefix, start_after, count)
        return [StorageKey(key) for key in found]

    def prove(self, key: StorageKey, at: Digest) -> bytes:
        header = self.find_header(at)
        if header is None:
            raise UnknownBlock(f"0x{at.hex()}")
        try:
            return self._chain.tree.tree.prove(key, header.state_root)
        except VersionNotKept as error:
            raise StatePruned("proofs are made for the latest blocks only") from error

    def runtime_version(self, at: Digest | None) -> RuntimeVersion:
        self._require_known(at)
        version = self._parts.spec.runtime.system.spec_version
        return RuntimeVersion(SPEC_NAME, version, EXTRINSIC_VERSION, SPEC_NAME, VERSION)

    def metadata(self, at: Digest | None) -> Json:
        self._require_known(at)
        return self._metadata

    async def call(self, name: str, arguments: bytes, at: Digest | None) -> bytes:
        query = QUERIES.get(name)
        if query is None:
            raise UnknownCall(name)
        await trio.lowlevel.checkpoint()
        return query.run(self.runtime_after(at), arguments)

    def runtime_after(self, at: Digest | None) -> Runtime:
        block = at or self.best_hash()
        if not self._chain.unfinalized.has_state(block):
            self._final_height(block)
            raise StatePruned("calls are answered for the last final block and those above it")
        return self._chain.runtime_after(block)

    # author

    async def submit(self, extrinsics: Sequence[bytes]) -> Sequence[Digest | LoopinError]:
        return await self._parts.intake.submit(extrinsics)

    async def submit_and_watch(self, extrinsic: bytes) -> Feed[ExtrinsicStatus]:
        feed = self._parts.watch.watch(keyed_hash(Purpose.EXTRINSIC, extrinsic))
        (answer,) = await self._parts.intake.submit([extrinsic])
        if isinstance(answer, LoopinError):
            feed.close()
            raise answer
        return feed

    def pending(self, count: int) -> Sequence[bytes]:
        candidates = islice(self._parts.mempool.candidates(frozenset()), count)
        return [entry.ready.extrinsic.encoded for entry in candidates]

    def rotate_keys(self, owner: AccountId) -> bytes:
        message = possession_message(self._parts.genesis_hash, owner)
        keystore = self._parts.keystore
        pairs = [*map(keystore.generate, (Role.CONSENSUS, Role.VRF)), keystore.only(Role.PEER)]
        keys = SessionKeys(*(pair.public for pair in pairs))
        proofs = KeyProofs(*(pair.sign(message) for pair in pairs))
        return SET_KEYS_ARGUMENTS.encode((keys, proofs))

    def has_key(self, public_key: PublicKey, key_type: str) -> bool:
        if key_type not in Role.__members__.values():
            return False
        return self._parts.keystore.find(Role(key_type), public_key) is not None

    # payment

    async def query_fee(self, extrinsic: bytes, at: Digest | None) -> FeeInfo:
        ready = ReadyExtrinsic.decode(extrinsic)
        await trio.lowlevel.checkpoint()
        runtime = self.runtime_after(at)
        weight = Weight(ready.weight + self._chain.config.system.extrinsic_weight)
        return FeeInfo(weight, len(extrinsic), runtime.fees.fee(weight, len(extrinsic)))

    # history

    async def find_extrinsic(self, extrinsic: Digest) -> HistoryEntry | None:
        return await self._history.find(extrinsic)

    async def account_history(
        self, account: AccountId, count: int, before: tuple[Height, int] | None
    ) -> Sequence[HistoryEntry]:
        return await self._history.of_account(account, count, before)

    # consensus

    def evidence(self) -> Sequence[EvidenceInfo]:
        return [
            EvidenceInfo(
                offence_of(piece).value,
                piece.first.epoch,
                piece.first.view,
                piece.first.signer,
                EVIDENCE.encode(piece),
            )
            for piece in self._parts.evidence.pieces
        ]

    # news

    def _on_new_best(self, news: NewBest) -> None:
        self.new_heads.publish(news.imported.header)
        if len(self.storage_changes):
            writes: Mapping[bytes, bytes | None] = news.imported.executed.writes
            changes = {StorageKey(key): value for key, value in writes.items()}
            self.storage_changes.publish(StorageChanges(news.imported.hash, changes))

    def _on_final(self, finalized: Finalized) -> None:
        self.final_heads.publish(finalized.header)

    @property
    def _chain(self) -> Blockchain:
        return self._parts.service.chain

    def _require_known(self, at: Digest | None) -> None:
        if at is not None and not self._chain.has_block(at):
            raise UnknownBlock(f"0x{at.hex()}")

    def _final_height(self, block: Digest) -> Height:
        height = self._chain.store.reads.height_of(block)
        if height is None:
            raise UnknownBlock(f"0x{block.hex()}")
        return height


_EVENT_FIELDS: Mapping[str, Sequence[Description]] = {
    f"{module.name}.{event.__name__}": [
        {"name": name, **codec.describe()} for name, codec in field_codecs(event).items()
    ]
    for module in MODULES
    for event in module.events
}
