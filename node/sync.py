"""Catching up with final blocks: ranges from peers, each proven final, imported as they come.

Invariants: a block is taken only if its parent is our last final block or above it and executing
it gives its roots; it becomes final here only by a certificate that the power table of its epoch,
as our own state has it, verifies; a peer that sends anything else is charged and asked no more
for this range.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import trio

from chain.blockchain import UnknownBlock
from chain.unfinalized import TooManyUnfinalized, UnknownState
from consensus.simplex.messages import CERTIFICATE, Certificate, Kind
from consensus.simplex.verification import InvalidMessage, verify_certificate
from node.chain_service import ChainService
from node.wire import (
    FINAL_BLOCK,
    RANGE_BLOCKS_MAX,
    RANGE_REQUEST,
    FinalBlock,
    RangeRequest,
    Status,
)
from p2p.faults import Fault, NetworkFault, PeerFault, RequestRefused
from p2p.identity import PeerId
from p2p.network import NetworkApi
from primitives.block import Block
from primitives.errors import DecodeError, InvalidBlock, LoopinError
from primitives.types import Digest, Height
from runtime.session import UnknownEpoch, is_boundary

BEHIND_MIN = 3
"""So many blocks behind a peer, a node asks for ranges; nearer, consensus itself catches up."""
PAUSE = 0.5

_log = logging.getLogger(__name__)


class BadRange(DecodeError):
    """The answer is not the range of final blocks that was asked for."""


class Overtaken(LoopinError):
    """Consensus moved the chain while a range was on its way: ask again from where it is."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far sync is."""

    start: Height
    current: Height
    highest: Height
    blocks_per_second: float


class Sync:
    """Brings one node to the heads of its peers."""

    def __init__(
        self,
        service: ChainService,
        network: NetworkApi,
        genesis: Digest,
        on_certificate: Callable[[Certificate], None],
    ) -> None:
        """``on_certificate`` is told each epoch's last finalization, and each range's."""
        self._service = service
        self._network = network
        self._genesis = genesis
        self._on_certificate = on_certificate
        self._heads: dict[PeerId, Status] = {}
        self._news = trio.Event()
        self.progress: Progress | None = None
        """None unless this node is catching up."""

    def on_status(self, peer: PeerId, status: Status) -> None:
        """Note how far a peer is."""
        self._heads[peer] = status
        self._news.set()

    def on_peer_down(self, peer: PeerId) -> None:
        """Forget a peer."""
        self._heads.pop(peer, None)

    def head_of(self, peer: PeerId) -> Status | None:
        """Return how far a peer said it is, or None."""
        return self._heads.get(peer)

    async def run(self) -> None:
        """Catch up whenever this node is behind, for ever."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            if self._best_peer(frozenset()) is not None:
                await self._catch_up()

    def answer_range(self, payload: bytes) -> Iterator[bytes]:
        """Return final blocks that a peer asks for, read one by one.

        Raises: DecodeError, RequestRefused.
        """
        request = RANGE_REQUEST.decode(payload)
        chain = self._service.chain
        reads = chain.store.reads
        last = min(request.first + min(request.count, RANGE_BLOCKS_MAX) - 1, chain.final.height)
        if not max(1, reads.pruned_below) <= request.first <= last:
            raise RequestRefused("these blocks are not held")
        return (self._encoded(Height(height)) for height in range(request.first, last + 1))

    def _encoded(self, height: Height) -> bytes:
        chain = self._service.chain
        block = chain.block(chain.final_header_at(height).hash)
        certificate = chain.store.reads.certificate_at(height)
        return FINAL_BLOCK.encode(FinalBlock(block.encode(), certificate))

    def _best_peer(self, avoid: frozenset[PeerId]) -> PeerId | None:
        """Return the peer that is furthest ahead, if one is far enough."""
        ahead = self._service.chain.final.height + BEHIND_MIN
        heads = {peer: head for peer, head in self._heads.items() if peer not in avoid}
        best = max(sorted(heads), key=lambda peer: heads[peer].height, default=None)
        return best if best is not None and heads[best].height >= ahead else None

    async def _catch_up(self) -> None:
        start = self._service.chain.final.height
        began = trio.current_time()
        failed: frozenset[PeerId] = frozenset()
        while (peer := self._best_peer(failed)) is not None:
            highest = max(head.height for head in self._heads.values())
            try:
                await self._take_range(peer)
                failed = frozenset()
            except Overtaken as error:
                _log.debug("sync: %s", error)
            except (NetworkFault, PeerFault) as error:
                _log.info("sync peer=%s failed: %s", peer, error.reason)
                failed |= {peer}
            except (DecodeError, InvalidBlock, InvalidMessage) as error:
                self._network.report(peer, Fault.INVALID_BLOCK, f"{error.reason}: {error}")
                failed |= {peer}
            height = self._service.chain.final.height
            speed = (height - start) / max(0.001, trio.current_time() - began)
            self.progress = Progress(start, height, highest, speed)
            _log.info("sync height=%d of=%d speed=%.0f/s", height, highest, speed)
        self.progress = None
        if failed:
            await trio.sleep(PAUSE)
            self._news.set()

    async def _take_range(self, peer: PeerId) -> None:
        """Ask a peer for what follows our last final block, and take it.

        Raises: NetworkFault, PeerFault, DecodeError, InvalidBlock, InvalidMessage, Overtaken.
        """
        chain = self._service.chain
        first = Height(chain.final.height + 1)
        payload = RANGE_REQUEST.encode(RangeRequest(first, RANGE_BLOCKS_MAX))
        newest: Certificate | None = None
        expected = first
        async with self._network.request(peer, "blocks", payload) as answers:
            async for answer in answers:
                item = FINAL_BLOCK.decode(answer)
                block = Block.decode(item.block)
                if block.header.height != expected:
                    raise BadRange(f"height {block.header.height} where {expected} should be")
                expected = Height(expected + 1)
                if chain.is_final(block.hash):
                    continue  # consensus was quicker
                if not chain.has_block(block.header.parent_hash):
                    raise BadRange("a block that is not on top of ours")
                try:
                    await self._service.take(block)
                except (UnknownBlock, UnknownState, UnknownEpoch, TooManyUnfinalized) as error:
                    raise Overtaken(f"height {block.header.height}: {error.reason}") from error
                if item.certificate:
                    newest = await self._finalize(block, item.certificate)
                    if is_boundary(block.header.height, chain.config.session.epoch_length):
                        # The machine of that epoch waits for nothing else.
                        self._on_certificate(newest)
        if newest is not None:
            self._on_certificate(newest)
        elif chain.final.height < expected - 1:
            raise BadRange("no certificate in the whole range")

    async def _finalize(self, block: Block, encoded: bytes) -> Certificate:
        certificate = CERTIFICATE.decode(encoded)
        epoch = block.header.epoch
        if (certificate.kind, certificate.epoch) != (Kind.FINALIZE, epoch):
            raise BadRange("a certificate of another kind or epoch")
        if certificate.block != block.hash:
            raise BadRange("a certificate of another block")
        table = self._service.chain.rules(epoch, self._service.chain.final_hash).table
        verify_certificate(table, self._genesis, certificate)
        await self._service.finalize(block.hash, encoded)
        return certificate
