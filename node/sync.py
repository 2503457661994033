"""Catching up with final blocks: ranges from peers, proven final, then executed, then written.

While one range is executed the next one is fetched, from whichever peer has not been asked for
longest. What the answers prove is decided in ``chain/sync.py``; here is the waiting.

Invariants: nothing is executed that was not proven final under a power table of our own state; a
peer that sends anything else is charged with the reason, one that is slow, silent or refuses is
left alone for a while; at most three ranges are held in memory. A restart goes on from the last
write, so nothing needs to be remembered.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import trio

from chain.handover import Checkpoint, CheckpointMissed
from chain.sync import Anchor, Ask, BadRange, ProvenRange, SyncPlan, prove_range
from consensus.simplex.messages import Certificate
from consensus.simplex.verification import InvalidMessage
from node.chain_service import NOT_TAKEN, ChainService
from node.wire import (
    FINAL_BLOCK,
    RANGE_BLOCKS_MAX,
    RANGE_BYTES_GOAL,
    RANGE_BYTES_MAX,
    RANGE_REQUEST,
    FinalBlock,
    RangeRequest,
    Status,
)
from p2p.faults import Fault, NetworkFault, PeerFault, RequestRefused, RequestTimedOut, describe
from p2p.identity import PeerId
from p2p.network import NetworkApi
from primitives.block import BLOCK_BYTES_MAX, Block
from primitives.codec import encode
from primitives.errors import DecodeError, InvalidBlock, LoopinError
from primitives.power_table import PowerTable
from primitives.types import Digest, Height
from runtime.session import epoch_of

BEHIND_MIN = 3
"""So many blocks behind a peer, a node asks for ranges; nearer, consensus itself catches up."""
RANGE_SECONDS = 60.0
"""For a whole range; a peer that is slower holds everybody up."""
LOG_SECONDS = 5.0

_log = logging.getLogger(__name__)


class CannotFollow(LoopinError):
    """A quorum made a block final that this program finds invalid: run the chain's version."""


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
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """``on_certificate`` is told each range's finalization once its blocks are written."""
        self._checkpoint = checkpoint
        self._service = service
        self._network = network
        self._genesis = genesis
        self._on_certificate = on_certificate
        self._heads: dict[PeerId, Status] = {}
        self._plan = SyncPlan(
            epoch_length=service.chain.config.session.epoch_length,
            blocks_max=RANGE_BLOCKS_MAX,
            behind_min=BEHIND_MIN,
        )
        self._news = trio.Event()
        self._written = trio.Event()
        """Set, and replaced, with each range that was executed."""
        self.progress: Progress | None = None
        """None unless this node is catching up."""
        self.on_progress: Callable[[Progress | None], None] = lambda _: None

    def on_status(self, peer: PeerId, status: Status) -> None:
        """Note how far a peer is."""
        self._heads[peer] = status
        self._plan.on_head(peer, status.height)
        self._news.set()

    def on_peer_down(self, peer: PeerId) -> None:
        """Forget a peer."""
        self._heads.pop(peer, None)
        self._plan.on_gone(peer)

    def head_of(self, peer: PeerId) -> Status | None:
        """Return how far a peer said it is, or None."""
        return self._heads.get(peer)

    def is_behind(self) -> bool:
        """Return whether peers have so many more final blocks that they are asked for ranges."""
        return self._plan.is_behind(self._service.chain.final.height, trio.current_time())

    async def run(self) -> None:
        """Catch up whenever this node is behind, for ever.

        Raises: CannotFollow, WriteFailed: the node must stop.
        """
        chain = self._service.chain
        while True:
            # Whoever is avoided now may have changed by then.
            chance = self._plan.next_chance(chain.final.height, trio.current_time())
            with trio.move_on_at(chance if chance is not None else float("inf")):
                await self._news.wait()
            self._news = trio.Event()
            if self._plan.is_behind(chain.final.height, trio.current_time()):
                await self._catch_up()

    # Answering

    def answer_range(self, payload: bytes) -> Iterator[bytes]:
        """Return final blocks that a peer asks for, read one by one.

        Raises: DecodeError, RequestRefused.
        """
        request = RANGE_REQUEST.decode(payload)
        reads = self._service.chain.store.reads
        held_from = max(1, reads.pruned_below)
        if not held_from <= request.first <= self._service.chain.final.height:
            raise RequestRefused("these blocks are not held")
        wanted = min(max(1, request.count), RANGE_BLOCKS_MAX)
        return self._range(request.first, Height(request.first + wanted - 1))

    def _range(self, first: Height, last: Height) -> Iterator[bytes]:
        """Yield blocks up to one with a certificate, near ``last`` or before it gets too much."""
        last = self._certified_end(first, last)
        reads = self._service.chain.store.reads
        size = 0
        for height in range(first, last + 1):
            header, body = reads.header_at(Height(height)), reads.body_at(Height(height))
            certificate = reads.certificate_at(Height(height))
            size += len(header) + len(body)
            if size > RANGE_BYTES_MAX - BLOCK_BYTES_MAX:
                raise RequestRefused("too much without a certificate")
            is_end = height == last or (certificate != b"" and size >= RANGE_BYTES_GOAL)
            block = encode_block(header, body)
            yield FINAL_BLOCK.encode(FinalBlock(block, certificate if is_end else b""))
            if is_end:
                return

    def _certified_end(self, first: Height, last: Height) -> Height:
        """Return the height in the epoch of ``first`` at which a range can be proven final."""
        chain = self._service.chain
        length = chain.config.session.epoch_length
        limit = min((epoch_of(first, length) + 1) * length, chain.final.height)
        last = Height(min(last, limit))
        # A block without a certificate of its own is made final by that of one soon after it.
        upwards = range(last, min(limit, first + 2 * RANGE_BLOCKS_MAX - 1) + 1)
        for height in (*upwards, *range(last - 1, first - 1, -1)):
            if chain.store.reads.certificate_at(Height(height)):
                return Height(height)
        raise RequestRefused("these blocks cannot be proven yet")

    # Asking

    async def _catch_up(self) -> None:
        """Take ranges until no peer that may be asked is ahead."""
        start, began = self._service.chain.final.height, trio.current_time()
        send, receive = trio.open_memory_channel[tuple[PeerId, ProvenRange]](0)
        self._show(start, began)
        logged = began
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._fetch_ranges, send)
            async with receive:
                async for peer, proven in receive:
                    if not await self._take(proven):
                        break
                    self._plan.on_served(peer)
                    self._show(start, began)
                    if trio.current_time() >= logged + LOG_SECONDS:
                        logged = trio.current_time()
                        self._log_progress("sync")
            nursery.cancel_scope.cancel()
        if self._service.chain.final.height > start:
            self._log_progress("synced")
        self.progress = None
        self.on_progress(None)

    async def _fetch_ranges(self, send: trio.MemorySendChannel[tuple[PeerId, ProvenRange]]) -> None:
        """Fetch and prove one range after the other, ahead of whoever receives them."""
        chain = self._service.chain
        anchor = Anchor(chain.final.height, chain.final_hash)
        async with send:
            while (ask := self._plan.next_ask(anchor.height, trio.current_time())) is not None:
                if (proven := await self._ask(ask, anchor)) is not None:
                    anchor = proven.end
                    try:
                        await send.send((PeerId(ask.peer), proven))
                    except trio.BrokenResourceError:
                        return

    async def _ask(self, ask: Ask, anchor: Anchor) -> ProvenRange | None:
        """Return the range that a peer was asked for, proven; None, and why, if it did not."""
        peer = PeerId(ask.peer)
        length = self._service.chain.config.session.epoch_length
        try:
            answer = await self._fetch(peer, ask)
            # The table of a new epoch is in our state once the epoch before has been executed.
            await self._wait_final(Height(epoch_of(ask.first, length) * length))
            proven = prove_range(
                anchor, self._table(ask.first), self._genesis, answer, epoch_length=length
            )
            self._require_checkpoint(proven)
            return proven
        except NetworkFault as error:
            _log.info("event=sync_peer_skipped peer=%s reason=%r", peer, describe(error))
        except PeerFault as error:
            self._network.report(peer, error.fault, describe(error))
        except (DecodeError, InvalidMessage) as error:
            self._network.report(peer, Fault.INVALID_BLOCK, f"{error.reason}: {error}")
            _log.warning(
                "event=sync_peer_charged peer=%s reason=%s detail=%r",
                peer,
                error.reason,
                str(error),
            )
        self._plan.on_failed(peer, trio.current_time())
        return None

    async def _fetch(self, peer: PeerId, ask: Ask) -> list[tuple[Block, bytes]]:
        """Return a peer's answer, decoded. Raises: NetworkFault, PeerFault, DecodeError."""
        payload = RANGE_REQUEST.encode(RangeRequest(ask.first, ask.count))
        answer: list[tuple[Block, bytes]] = []
        size = 0
        with trio.move_on_after(RANGE_SECONDS) as deadline:
            async with self._network.request(peer, "blocks", payload) as items:
                async for encoded in items:
                    size += len(encoded)
                    if size > RANGE_BYTES_MAX:
                        raise BadRange(f"more than {RANGE_BYTES_MAX} bytes")
                    item = FINAL_BLOCK.decode(encoded)
                    answer.append((Block.decode(item.block), item.certificate))
        if deadline.cancelled_caught:
            raise RequestTimedOut("blocks", f"{RANGE_SECONDS:g} s for a range")
        return answer

    async def _wait_final(self, height: Height) -> None:
        while self._service.chain.final.height < height:
            await self._written.wait()

    async def _take(self, proven: ProvenRange) -> bool:
        """Execute and write a range; return whether the next one may follow.

        Raises: CannotFollow, WriteFailed.
        """
        try:
            await self._service.take_final(proven.blocks, proven.certificate)
        except InvalidBlock as error:
            first, last = proven.blocks[0].header.height, proven.end.height
            raise CannotFollow(f"heights {first} to {last}: {error.reason}, {error}") from error
        except NOT_TAKEN as error:
            # Consensus has moved the chain meanwhile: ask again from where it is.
            _log.info(
                "height=%d event=sync_block_not_taken reason=%s", proven.end.height, error.reason
            )
            return False
        self._written.set()
        self._written = trio.Event()
        self._on_certificate(proven.finalization)
        return True

    def _require_checkpoint(self, proven: ProvenRange) -> None:
        """Refuse a chain that does not go through the trusted block. Raises: CheckpointMissed."""
        trusted, end = self._checkpoint, proven.end
        # It ends an epoch, and so, if it is here at all, the range.
        if trusted is not None and trusted.height == end.height and trusted.hash != end.hash:
            raise CheckpointMissed(f"height {end.height} is 0x{end.hash.hex()}")

    def _table(self, height: Height) -> PowerTable:
        chain = self._service.chain
        epoch = epoch_of(height, chain.config.session.epoch_length)
        return chain.rules(epoch, chain.final_hash).table

    def _show(self, start: Height, began: float) -> None:
        height, now = self._service.chain.final.height, trio.current_time()
        speed = (height - start) / max(0.001, now - began)
        highest = max(height, self._plan.highest(now))
        self.progress = Progress(start, height, highest, speed)
        self.on_progress(self.progress)

    def _log_progress(self, what: str) -> None:
        shown = self.progress
        assert shown is not None, "shown before it is logged"
        speed = shown.blocks_per_second
        _log.info(
            "height=%d event=%s of=%d blocks_per_second=%.0f",
            shown.current,
            what,
            shown.highest,
            speed,
        )


def encode_block(header: bytes, body: bytes) -> bytes:
    """Return the bytes of a block from those of its parts: an array of the two."""
    return _PAIR + header + body


_PAIR = encode([0, 0])[:1]
