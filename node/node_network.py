"""The node on its network: what peers send goes to the part that it is for, and back.

Invariants: nothing that a peer sends ends this task; a fault that is the peer's costs it score,
whatever else goes wrong does not; what one peer can make this node remember is bounded.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass

import trio

from chain.blockchain import Finalized, Imported
from chain.mempool import Mempool
from chain.store_reader import StoreError
from consensus.simplex.events import Peer
from consensus.simplex.verification import InvalidMessage
from node.block_exchange import BlockExchange
from node.budget import FRAME_COST, REFUSED_COST, PeerBudgets, spend
from node.chain_service import ChainService
from node.consensus_driver import ConsensusDriver
from node.extrinsic_intake import BadSignature, ExtrinsicIntake
from node.extrinsic_relay import ExtrinsicRelay
from node.rpc.backend import PeerInfo, SyncState
from node.snapshots import SNAPSHOT_REQUESTS, Snapshots
from node.sync import Sync
from node.wire import (
    BATCH_BYTES_MAX,
    FINAL_BLOCK,
    RANGE_BLOCKS_MAX,
    CompactBlock,
    Extrinsics,
    Frame,
    Status,
    decode_frame,
    encode_status,
)
from p2p.faults import Fault, RequestRefused
from p2p.identity import Address, PeerId, peer_address, peer_id_of_key
from p2p.network import NetworkApi
from p2p.requests import RequestSpec
from primitives.block import BLOCK_BYTES_MAX, EXTRINSIC_BYTES_MAX, EXTRINSICS_MAX, Block
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DecodeError, LoopinError
from primitives.power_table import PowerTable
from primitives.types import EMPTY_DIGEST, Digest, Height
from runtime.executive import UnsignedExtrinsic

REQUESTS = (
    RequestSpec("block", 64, BLOCK_BYTES_MAX, 1),
    RequestSpec(
        "extrinsics", 64 + 3 * EXTRINSICS_MAX, BATCH_BYTES_MAX + 2 * EXTRINSIC_BYTES_MAX, 256
    ),
    RequestSpec("blocks", 64, FINAL_BLOCK.bytes_max, 2 * RANGE_BLOCKS_MAX),
    *SNAPSHOT_REQUESTS,
)
"""What nodes of a chain ask each other."""

VOTE_CHANNEL = "vote"
BULK_CHANNEL = "bulk"


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a node that need its network, or that it needs."""

    network: NetworkApi
    driver: ConsensusDriver
    exchange: BlockExchange
    relay: ExtrinsicRelay
    sync: Sync
    snapshots: Snapshots
    addresses: Mapping[PeerId, tuple[Address, ...]]
    """Where validators were last known, from the chain spec and the command line."""


class NodeNetwork:
    """Connects a node's parts to its peers; the ``Handler`` of ``p2p``, and more."""

    def __init__(self, *, service: ChainService, mempool: Mempool, intake: ExtrinsicIntake) -> None:
        """``attach`` the rest before the network runs."""
        self._service = service
        self._mempool = mempool
        self._intake = intake
        self._parts: Parts | None = None
        self._budgets = PeerBudgets()
        self._validators: frozenset[PeerId] = frozenset()
        service.on_final.append(self._on_final)

    def attach(self, parts: Parts) -> None:
        """Take the parts that need a network to be made."""
        self._parts = parts
        parts.driver.is_behind = parts.sync.is_behind

    @property
    def parts(self) -> Parts:
        assert self._parts is not None, "attached before the network runs"
        return self._parts

    async def run(self) -> None:
        """Relay and catch up for ever; the network itself is run by whoever made it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.parts.relay.run)
            nursery.start_soon(self.parts.sync.run)
            nursery.start_soon(self.parts.snapshots.run)

    # What p2p asks of its handler

    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None:
        """Take a frame; waiting here holds the peer back."""
        try:
            if channel == VOTE_CHANNEL:
                is_useful = self.parts.driver.receive(Peer(peer.encode()), frame)
                if not is_useful:
                    await spend(self._budgets.of(peer).words, 1)
            else:
                await spend(self._budgets.of(peer).bulk, len(frame) + FRAME_COST)
                await self._on_bulk(peer, decode_frame(frame))
        except DecodeError as error:
            self.parts.network.report(peer, Fault.BAD_BYTES, f"{error.reason}: {error}")
        except InvalidMessage as error:
            self.parts.network.report(peer, Fault.INVALID_SIGNATURE, f"{error.reason}: {error}")

    async def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]:
        """Yield the answers to a request. Raises: RequestRefused."""
        try:
            for answer in self._answers(name, payload):
                await spend(self._budgets.of(peer).answers, len(answer))
                yield answer
        except DecodeError as error:
            self.parts.network.report(peer, Fault.BAD_BYTES, f"request {name}: {error.reason}")
            raise RequestRefused("bad request") from error
        except StoreError as error:
            raise RequestRefused(error.reason) from error

    def on_peer_up(self, peer: PeerId) -> None:
        """Greet a new peer: how far we are, and what waits in our mempool."""
        network = self.parts.network
        network.send(peer, BULK_CHANNEL, encode_status(self._status()))
        self.parts.relay.on_peer_up(peer)

    def on_peer_down(self, peer: PeerId, reason: str) -> None:
        """Forget a peer."""
        self.parts.relay.on_peer_down(peer)
        self.parts.exchange.on_peer_down(peer)
        self.parts.sync.on_peer_down(peer)

    def on_record(self, peer: PeerId, record: bytes) -> None:
        """Ignore statements: peers are bound to validators by the power table."""

    def is_allowed(self, peer: PeerId) -> bool:
        """Refuse strangers on a port that is for validators."""
        return False

    # What the driver asks of the network

    def broadcast(self, message: bytes) -> None:
        """Send a consensus message to every peer."""
        self.parts.network.broadcast(VOTE_CHANNEL, message)

    def send(self, peer: Peer, message: bytes) -> None:
        """Send a consensus message to one peer, if it is still there."""
        self.parts.network.send(PeerId(peer.decode()), VOTE_CHANNEL, message)

    def publish(self, block: Imported) -> None:
        """Announce a block of our own."""
        self.parts.exchange.publish(block)

    async def fetch(self, block: Digest) -> Block:
        """Get a block from anybody, however long that takes."""
        return await self.parts.exchange.fetch(block)

    def on_table(self, table: PowerTable) -> None:
        """Mesh with the validators of a new epoch."""
        ids = [peer_id_of_key(v.peer_key) for v in table.validators if v.peer_key is not None]
        self._validators = frozenset(ids)
        known = self.parts.addresses
        self.parts.network.set_validators({peer: known.get(peer, ()) for peer in ids})

    # What the RPC asks of the network

    def peers(self) -> Sequence[PeerInfo]:
        """Return the connected peers and how far they said they are."""
        found: list[PeerInfo] = []
        for peer in self.parts.network.connected():
            head = self.parts.sync.head_of(peer)
            best, number = (head.hash, head.height) if head else (EMPTY_DIGEST, Height(0))
            role = "AUTHORITY" if peer in self._validators else "FULL"
            found.append(PeerInfo(peer, role, best, number))
        return found

    def local_peer_id(self) -> str:
        """Return this node's own id."""
        return self.parts.network.peer

    def listen_addresses(self) -> Sequence[str]:
        """Return where this node listens, with its id."""
        network = self.parts.network
        own = getattr(network, "addresses", ())
        return [peer_address(network.peer, address) for address in own]

    def sync_state(self) -> SyncState | None:
        """Return how far sync is, or None if this node is not behind."""
        progress = self.parts.sync.progress
        if progress is None:
            return None
        return SyncState(progress.start, progress.current, progress.highest)

    # Frames

    async def _on_bulk(self, peer: PeerId, frame: Frame) -> None:
        match frame:
            case Extrinsics(items):
                await self._take_extrinsics(peer, items)
            case CompactBlock():
                self.parts.exchange.on_announced(peer, frame)
                self.parts.relay.note_known(peer, frame.hashes)
            case Status():
                self.parts.sync.on_status(peer, frame)

    async def _take_extrinsics(self, peer: PeerId, items: tuple[bytes, ...]) -> None:
        budget = self._budgets.of(peer).extrinsics
        await spend(budget, len(items))
        hashes = [keyed_hash(Purpose.EXTRINSIC, item) for item in items]
        self.parts.relay.note_known(peer, hashes)
        new = [
            item
            for item, known in zip(items, hashes, strict=True)
            if self._mempool.find(known) is None
        ]
        answers = await self._intake.submit(new)
        for answer in answers:
            # No honest node relays these, whatever its state; other refusals depend on ours.
            if isinstance(answer, DecodeError | UnsignedExtrinsic):
                self.parts.network.report(peer, Fault.BAD_BYTES, f"extrinsic: {answer.reason}")
                break
            if isinstance(answer, BadSignature):
                self.parts.network.report(peer, Fault.INVALID_SIGNATURE, "extrinsic")
                break
        refused = sum(isinstance(answer, LoopinError) for answer in answers)
        await spend(budget, REFUSED_COST * refused)

    def _answers(self, name: str, payload: bytes) -> Iterable[bytes]:
        match name:
            case "block":
                return [self.parts.exchange.answer_block(payload)]
            case "extrinsics":
                return self.parts.exchange.answer_extrinsics(payload)
            case "blocks":
                return self.parts.sync.answer_range(payload)
            case _:
                return self.parts.snapshots.answer(name, payload)

    def _on_final(self, finalized: Finalized) -> None:
        height = finalized.header.height
        status = Status(height, finalized.hash)
        if self._parts is None:
            return
        self.parts.exchange.on_final(height)
        # Who catches up tells others now and then, not thousands of times.
        if self.parts.sync.progress is None or height % RANGE_BLOCKS_MAX == 0:
            self.parts.network.broadcast(BULK_CHANNEL, encode_status(status), droppable=True)

    def _status(self) -> Status:
        chain = self._service.chain
        return Status(chain.final.height, chain.final_hash)
