"""A node in memory for the RPC to talk to: a chain of a few blocks, a mempool, a key."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from chain.mempool import AlreadyKnown
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
    StatusKind,
    StorageChanges,
    SyncState,
    UnknownBlock,
    UnknownCall,
)
from node.rpc.feeds import Broadcast, Feed
from node.rpc.json_types import Json
from primitives.block import Block, Header, Receipt
from primitives.codec import ACCOUNT, AMOUNT, Description, Plain
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DecodeError, InvalidExtrinsic, LoopinError
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Millis,
    Nonce,
    PublicKey,
    SpecVersion,
    StorageKey,
    View,
    Weight,
)
from runtime.runtime import Runtime
from tests.runtime.small_chain import SmallChain

ALICE = AccountId(bytes([1]) * 32)
BOB = AccountId(bytes([2]) * 32)
NODE_KEY = PublicKey(bytes([9]) * 32)
KEY = StorageKey(b"balances.free:alice")
VALUE = b"\x2a"
HEADS = 5
FINAL = 3
TRANSFER = b"transfer of alice"
GARBLED = b"garbled"
UNPAID = b"unpaid"


def digest(number: int) -> Digest:
    return Digest(bytes([number]) * 32)


def header(height: int, parent: Digest) -> Header:
    return Header(
        parent_hash=parent,
        height=Height(height),
        view=View(height + 1),
        epoch=Epoch(0),
        timestamp=Millis(1_700_000_000_000 + height),
        author=ALICE,
        state_root=digest(7),
        extrinsics_root=digest(8),
        receipts_root=digest(9),
        vrf_proof=b"\x01" * 80,
    )


class Unpaid(InvalidExtrinsic):
    """The account cannot pay the fee."""


@dataclass
class FakeNode:
    node_name: str = "LooPIN"
    node_version: str = "0.1.0"
    chain_name: str = "Development"
    chain_type: str = "Development"
    properties: ChainProperties = field(default_factory=lambda: ChainProperties(42, 9, "LOOP"))
    new_heads: Broadcast[Header] = field(default_factory=Broadcast)
    final_heads: Broadcast[Header] = field(default_factory=Broadcast)
    storage_changes: Broadcast[StorageChanges] = field(default_factory=Broadcast)
    blocks: list[Block] = field(default_factory=list)
    by_hash: dict[Digest, Block] = field(default_factory=dict)
    state: dict[StorageKey, bytes] = field(default_factory=lambda: {KEY: VALUE})
    waiting: dict[bytes, Digest] = field(default_factory=dict)
    watched: list[Feed[ExtrinsicStatus]] = field(default_factory=list)
    submissions: list[int] = field(default_factory=list)
    """How many extrinsics came at once, each time."""
    receipts_per_block: int = 3
    is_syncing: bool = False
    spec_version: SpecVersion = SpecVersion(3)
    runtime: Callable[[], Runtime] = lambda: SmallChain().runtime

    def __post_init__(self) -> None:
        for height in range(HEADS):
            self.add_block((TRANSFER,) if height else ())

    # system

    def health(self) -> Health:
        return Health(peers=2, is_syncing=self.is_syncing, should_have_peers=True)

    def local_peer_id(self) -> str:
        return "12D3KooWExample"

    def listen_addresses(self) -> Sequence[str]:
        return ["/ip4/127.0.0.1/tcp/30333"]

    def peers(self) -> Sequence[PeerInfo]:
        return [PeerInfo("12D3KooWOther", "Authority", self.best_hash(), Height(4))]

    def roles(self) -> Sequence[str]:
        return ["Authority"]

    def sync_state(self) -> SyncState:
        return SyncState(Height(0), Height(4), Height(4))

    def next_nonce(self, account: AccountId) -> Nonce:
        return Nonce(7 if account == ALICE else 0)

    # chain

    def best_hash(self) -> Digest:
        return next(reversed(self.by_hash))

    def final_hash(self) -> Digest:
        return self.blocks[FINAL + 1].header.parent_hash

    def find_hash(self, height: Height) -> Digest | None:
        return self.blocks[height].hash if height < len(self.blocks) else None

    def find_header(self, block: Digest) -> Header | None:
        found = self.find_block(block)
        return None if found is None else found.header

    def find_block(self, block: Digest) -> Block | None:
        return self.by_hash.get(block)

    def find_receipts(self, block: Digest) -> Sequence[Receipt] | None:
        if self.find_block(block) is None:
            return None
        event: Plain = ["balances.Transferred", ALICE, BOB, 2**60]
        transfer = Receipt("balances.InsufficientBalance", Balance(2**60), Weight(20), (event,))
        return [
            Receipt("", Balance(0), Weight(10), ()),
            *[transfer] * (self.receipts_per_block - 2),
            Receipt("", Balance(0), Weight(30), ()),
        ]

    def find_certificate(self, block: Digest) -> bytes | None:
        return b"certificate" if block == self.final_hash() else None

    def find_handover(self, epoch: Epoch) -> bytes | None:
        return b"handover" if epoch == 0 else None

    def event_fields(self, name: str) -> Sequence[Description] | None:
        assert name == "balances.Transferred"
        return [
            {"name": "sender", **ACCOUNT.description},
            {"name": "recipient_account", **ACCOUNT.description},
            {"name": "amount", **AMOUNT.description},
        ]

    # state

    def _require(self, at: Digest | None) -> None:
        if at is not None and self.find_block(at) is None:
            raise UnknownBlock(at.hex())
        if at is not None and at == self.blocks[1].header.parent_hash:
            raise StatePruned(at.hex())

    def storage(self, key: StorageKey, at: Digest | None) -> bytes | None:
        self._require(at)
        return self.state.get(key)

    def keys(
        self, prefix: bytes, count: int, start_after: bytes, at: Digest | None
    ) -> Sequence[StorageKey]:
        self._require(at)
        found = [key for key in sorted(self.state) if key.startswith(prefix) and key > start_after]
        return found[:count]

    def prove(self, key: StorageKey, at: Digest) -> bytes:
        self._require(at)
        return b"proof of " + key

    def runtime_version(self, at: Digest | None) -> RuntimeVersion:
        self._require(at)
        return RuntimeVersion("loopin", self.spec_version, 1, "loopin-py", self.node_version)

    def metadata(self, at: Digest | None) -> Json:
        self._require(at)
        return {"modules": []}

    def runtime_after(self, at: Digest | None) -> Runtime:
        self._require(at)
        return self.runtime()

    async def call(self, name: str, arguments: bytes, at: Digest | None) -> bytes:
        self._require(at)
        if name != "Core_echo":
            raise UnknownCall(name)
        return arguments

    # author and payment

    def _submit(self, extrinsic: bytes) -> Digest | LoopinError:
        if extrinsic == GARBLED:
            return DecodeError("truncated")
        if extrinsic == UNPAID:
            return Unpaid(5)
        if extrinsic in self.waiting:
            return AlreadyKnown(extrinsic.hex())
        self.waiting[extrinsic] = keyed_hash(Purpose.EXTRINSIC, extrinsic)
        return self.waiting[extrinsic]

    async def submit(self, extrinsics: Sequence[bytes]) -> Sequence[Digest | LoopinError]:
        self.submissions.append(len(extrinsics))
        return [self._submit(extrinsic) for extrinsic in extrinsics]

    async def submit_and_watch(self, extrinsic: bytes) -> Feed[ExtrinsicStatus]:
        answer = self._submit(extrinsic)
        if isinstance(answer, LoopinError):
            raise answer
        feed = Feed[ExtrinsicStatus](16)
        feed.put(ExtrinsicStatus(StatusKind.READY))
        self.watched.append(feed)
        return feed

    def pending(self, count: int) -> Sequence[bytes]:
        return list(islice(self.waiting, count))

    def rotate_keys(self, owner: AccountId) -> bytes:
        return NODE_KEY + owner

    def has_key(self, public_key: PublicKey, key_type: str) -> bool:
        return public_key == NODE_KEY and key_type == "cons"

    def evidence(self) -> Sequence[EvidenceInfo]:
        return [EvidenceInfo("double_notarize", Epoch(3), View(5), 1, b"two votes")]

    async def query_fee(self, extrinsic: bytes, at: Digest | None) -> FeeInfo:
        self._require(at)
        if extrinsic == GARBLED:
            raise DecodeError("truncated")
        return FeeInfo(Weight(20), len(extrinsic), Balance(2**60))

    # history

    def _entry(self, block: Block, position: int) -> HistoryEntry:
        receipts = self.find_receipts(block.hash)
        assert receipts is not None
        extrinsic, receipt = block.extrinsics[position], receipts[position + 1]
        return HistoryEntry(block.header.height, block.hash, position, extrinsic, receipt)

    async def find_extrinsic(self, extrinsic: Digest) -> HistoryEntry | None:
        for block in self.blocks[: FINAL + 1]:
            for position, encoded in enumerate(block.extrinsics):
                if keyed_hash(Purpose.EXTRINSIC, encoded) == extrinsic:
                    return self._entry(block, position)
        return None

    async def account_history(
        self, account: AccountId, count: int, before: tuple[Height, int] | None
    ) -> Sequence[HistoryEntry]:
        if account != ALICE:
            return []
        places = [
            (block, position)
            for block in self.blocks[FINAL::-1]
            for position in reversed(range(len(block.extrinsics)))
            if before is None or (block.header.height, position) < before
        ]
        return [self._entry(*place) for place in places[:count]]

    # what tests do to it

    def add_block(self, extrinsics: tuple[bytes, ...] = ()) -> Block:
        parent = self.best_hash() if self.blocks else digest(0)
        block = Block(header(len(self.blocks), parent), extrinsics)
        self.blocks.append(block)
        self.by_hash[block.hash] = block
        self.new_heads.publish(block.header)
        return block
