"""Getting blocks that are not final yet: from announcements, else by asking peers.

A leader announces its block as the hashes of its extrinsics; a receiver takes them from its own
mempool and asks for the few that it lacks. Without an announcement it asks for the whole block.

Invariants: a block that is returned has the hash that was asked for, and a body that its header
commits to; what is kept and asked for is bounded for each peer; a peer that is slow to answer
holds nobody up; asking goes on until it succeeds or is cancelled, since a certified block is held
by many honest nodes.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from random import Random

import trio

from chain.blockchain import Blockchain, Imported
from chain.mempool import Mempool
from node.announcements import Announcements
from node.block_race import Patience, Race
from node.wire import (
    BLOCK_REQUEST,
    EXTRINSICS_ANSWER,
    EXTRINSICS_REQUEST,
    CompactBlock,
    ExtrinsicsRequest,
    encode_compact,
    split_batch,
)
from p2p.faults import Fault, NetworkFault, PeerFault, RequestRefused
from p2p.identity import PeerId
from p2p.network import NetworkApi
from primitives.block import BLOCK_BYTES_MAX, Block
from primitives.errors import DecodeError
from primitives.merkle import merkle_root
from primitives.types import Digest, Height

ANNOUNCEMENT_WAIT = 0.15
"""Seconds that an announcement is given to arrive before the block is asked for."""
RETRY_PAUSE = 0.1
RETRY_PAUSE_MAX = 2.0
ANSWERS_BYTES_MAX = BLOCK_BYTES_MAX + (1 << 20)
"""Answers with the extrinsics of one block: the block, and what surrounds them."""

_log = logging.getLogger(__name__)


class PlacesNotAscending(DecodeError):
    """A request names places of a block out of order, or one of them twice."""


@dataclass(slots=True)
class _Wanted:
    """A block that somebody here waits for."""

    announced: trio.Event = field(default_factory=trio.Event)
    turn: trio.Lock = field(default_factory=trio.Lock)
    block: Block | None = None
    waiters: int = 0


def compact(imported: Imported) -> CompactBlock:
    """Return how a block is announced."""
    encoded = zip(imported.block.extrinsics, imported.signers, strict=True)
    inherents = tuple(extrinsic for extrinsic, signer in encoded if signer is None)
    return CompactBlock(imported.header, imported.extrinsic_hashes, inherents)


class BlockExchange:
    """Blocks on their way to and from this node's peers."""

    def __init__(
        self, chain: Blockchain, mempool: Mempool, network: NetworkApi, random: Random
    ) -> None:
        """``random`` spreads requests over peers; nobody gains from guessing it."""
        self._chain = chain
        self._mempool = mempool
        self._network = network
        self._random = random
        self._announcements = Announcements(chain)
        self._patience = Patience(random)
        self._wanted: dict[Digest, _Wanted] = {}

    def publish(self, imported: Imported) -> None:
        """Announce a block of our own."""
        self._network.broadcast("bulk", encode_compact(compact(imported)))

    def on_announced(self, peer: PeerId, announcement: CompactBlock) -> None:
        """Remember an announcement, and tell who waits for it."""
        if not self._announcements.add(peer, announcement):
            return
        wanted = self._wanted.get(announcement.header.hash)
        if wanted is not None:
            wanted.announced.set()

    def on_final(self, height: Height) -> None:
        """Forget announcements that can be of no use any more."""
        self._announcements.forget_up_to(height)

    def on_peer_down(self, peer: PeerId) -> None:
        """Forget a peer."""
        self._announcements.forget_peer(peer)
        self._patience.forget(peer)

    async def fetch(self, block_hash: Digest) -> Block:
        """Return a block by its hash, however long it takes; many may wait for one."""
        wanted = self._wanted.setdefault(block_hash, _Wanted())
        wanted.waiters += 1
        try:
            # Whoever has the turn asks for all; should it give up, the next goes on.
            async with wanted.turn:
                if wanted.block is None:
                    wanted.block = await self._get(block_hash, wanted)
                return wanted.block
        finally:
            wanted.waiters -= 1
            if wanted.waiters == 0:
                del self._wanted[block_hash]

    def answer_block(self, payload: bytes) -> bytes:
        """Return the encoded block that a peer asks for. Raises: DecodeError, RequestRefused."""
        block_hash = Digest(BLOCK_REQUEST.decode(payload))
        imported = self._chain.find_imported(block_hash)
        if imported is not None:
            return imported.block.encode()
        if not self._chain.is_final(block_hash):
            raise RequestRefused("not held")
        return self._chain.block(block_hash).encode()

    def answer_extrinsics(self, payload: bytes) -> Iterator[bytes]:
        """Return answers with a block's extrinsics, made one by one.

        Raises: DecodeError, RequestRefused.
        """
        request = EXTRINSICS_REQUEST.decode(payload)
        # Ascending, so that no place is asked for twice: an answer is never more than the block.
        if any(one >= next_one for one, next_one in pairwise(request.places)):
            raise PlacesNotAscending(f"{len(request.places)} places")
        imported = self._chain.find_imported(request.block)
        if imported is None:
            raise RequestRefused("not held")
        body = imported.block.extrinsics
        if request.places and request.places[-1] >= len(body):
            raise RequestRefused("no such place")
        batches = split_batch([body[place] for place in request.places])
        return (EXTRINSICS_ANSWER.encode(tuple(batch)) for batch in batches)

    async def _get(self, block_hash: Digest, wanted: _Wanted) -> Block:
        if not self._announcements.of(block_hash):
            with trio.move_on_after(ANNOUNCEMENT_WAIT):
                await wanted.announced.wait()
        pause = RETRY_PAUSE
        while True:
            block = await Race[Block](self._patience).run(self._attempts(block_hash))
            if block is not None:
                return block
            await trio.sleep(pause * (0.5 + self._random.random()))
            pause = min(RETRY_PAUSE_MAX, 2 * pause)

    def _attempts(
        self, block_hash: Digest
    ) -> Iterator[tuple[PeerId, Callable[[], Awaitable[Block | None]]]]:
        """Yield every way to get a block: from those who announced it, then from anybody."""
        for peer, announcement in self._announcements.of(block_hash):
            yield peer, partial(self._assemble, peer, announcement)
        for peer in self._patience.in_order(self._network.connected()):
            yield peer, partial(self._ask, peer, block_hash)

    async def _assemble(self, peer: PeerId, announcement: CompactBlock) -> Block | None:
        """Put an announced block together; None if that does not work out."""
        body: list[bytes] = list(announcement.inherents)
        missing: list[int] = []
        for place, known_hash in enumerate(announcement.hashes[len(body) :], start=len(body)):
            entry = self._mempool.find(known_hash)
            body.append(entry.ready.extrinsic.encoded if entry else b"")
            if entry is None:
                missing.append(place)
            if place % 1024 == 0:
                await trio.lowlevel.checkpoint()
        if missing:
            parts = await self._ask_extrinsics(peer, announcement.header.hash, missing)
            if parts is None:
                return None
            for place, encoded in zip(missing, parts, strict=True):
                body[place] = encoded
        if merkle_root(body) != announcement.header.extrinsics_root:
            # What our mempool holds has the hash that was announced, so it is the announcer's lie.
            self._announcements.forget_peer(peer)
            self._network.report(peer, Fault.LYING, "announced extrinsics are not the block's")
            return None
        return Block(announcement.header, tuple(body))

    async def _ask_extrinsics(
        self, peer: PeerId, block_hash: Digest, places: list[int]
    ) -> list[bytes] | None:
        payload = EXTRINSICS_REQUEST.encode(ExtrinsicsRequest(block_hash, tuple(places)))
        parts: list[bytes] = []
        size = 0
        try:
            async with self._network.request(peer, "extrinsics", payload) as answers:
                async for answer in answers:
                    parts += EXTRINSICS_ANSWER.decode(answer)
                    size += len(answer)
                    if len(parts) > len(places) or size > ANSWERS_BYTES_MAX:
                        break
        except (NetworkFault, PeerFault) as error:
            _log.debug(
                "event=extrinsics_not_got block=0x%s peer=%s reason=%s",
                block_hash.hex(),
                peer,
                error.reason,
            )
            return None
        except DecodeError as error:
            self._network.report(peer, Fault.BAD_BYTES, error.reason)
            return None
        if len(parts) != len(places):
            self._network.report(peer, Fault.USELESS_ANSWER, "another number of extrinsics")
            return None
        return parts

    async def _ask(self, peer: PeerId, block_hash: Digest) -> Block | None:
        block: Block | None = None
        payload = BLOCK_REQUEST.encode(block_hash)
        try:
            async with self._network.request(peer, "block", payload) as answers:
                async for answer in answers:
                    block = Block.decode(answer)
        except (NetworkFault, PeerFault) as error:
            _log.debug(
                "event=block_not_got block=0x%s peer=%s reason=%s",
                block_hash.hex(),
                peer,
                error.reason,
            )
            return None
        except DecodeError as error:
            self._network.report(peer, Fault.BAD_BYTES, error.reason)
            return None
        if block is None:
            return None
        is_right = block.hash == block_hash
        if not is_right or merkle_root(block.extrinsics) != block.header.extrinsics_root:
            self._network.report(peer, Fault.USELESS_ANSWER, "another block than asked for")
            return None
        return block
