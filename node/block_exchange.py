"""Getting blocks that are not final yet: from announcements, else by asking peers.

A leader announces its block as the hashes of its extrinsics; a receiver takes them from its own
mempool and asks for the few that it lacks. Without an announcement it asks for the whole block.

Invariants: a block that is returned has the hash that was asked for, and a body that its header
commits to; announcements are bounded for each peer; asking goes on until it succeeds or is
cancelled, since a certified block is held by many honest nodes.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from random import Random

import trio

from chain.blockchain import Blockchain, Imported
from chain.mempool import Mempool
from node.wire import (
    BATCH_BYTES_MAX,
    BATCH_EXTRINSICS_MAX,
    BLOCK_REQUEST,
    EXTRINSICS_ANSWER,
    EXTRINSICS_REQUEST,
    CompactBlock,
    ExtrinsicsRequest,
    encode_compact,
)
from p2p.faults import Fault, NetworkFault, PeerFault, RequestRefused
from p2p.identity import PeerId
from p2p.network import NetworkApi
from primitives.block import Block
from primitives.errors import DecodeError
from primitives.merkle import merkle_root
from primitives.types import Digest
from runtime.executive import INHERENTS

ANNOUNCED_MAX = 64
ANNOUNCEMENT_WAIT = 0.15
"""Seconds that an announcement is given to arrive before the block is asked for."""
RETRY_PAUSE = 0.1
RETRY_PAUSE_MAX = 2.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Wanted:
    """A block that somebody here waits for."""

    announced: trio.Event = field(default_factory=trio.Event)
    got: trio.Event = field(default_factory=trio.Event)
    block: Block | None = None
    waiters: int = 0


def compact(imported: Imported) -> CompactBlock:
    """Return how a block is announced."""
    inherents = imported.block.extrinsics[: len(INHERENTS)]
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
        self._announced: OrderedDict[Digest, tuple[PeerId, CompactBlock]] = OrderedDict()
        self._wanted: dict[Digest, _Wanted] = {}

    def publish(self, imported: Imported) -> None:
        """Announce a block of our own."""
        self._network.broadcast("bulk", encode_compact(compact(imported)))

    def on_announced(self, peer: PeerId, announcement: CompactBlock) -> None:
        """Remember an announcement, and tell who waits for it."""
        block_hash = announcement.header.hash
        if block_hash in self._announced or self._chain.has_block(block_hash):
            return
        self._announced[block_hash] = (peer, announcement)
        while len(self._announced) > ANNOUNCED_MAX:
            self._announced.popitem(last=False)
        wanted = self._wanted.get(block_hash)
        if wanted is not None:
            wanted.announced.set()

    async def fetch(self, block_hash: Digest) -> Block:
        """Return a block by its hash, however long it takes; many may wait for one."""
        wanted = self._wanted.setdefault(block_hash, _Wanted())
        wanted.waiters += 1
        try:
            if wanted.waiters > 1:
                with trio.move_on_after(RETRY_PAUSE_MAX):
                    await wanted.got.wait()
            if wanted.block is None:
                wanted.block = await self._get(block_hash, wanted)
                wanted.got.set()
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

    def answer_extrinsics(self, payload: bytes) -> list[bytes]:
        """Return answers with a block's extrinsics. Raises: DecodeError, RequestRefused."""
        request = EXTRINSICS_REQUEST.decode(payload)
        imported = self._chain.find_imported(request.block)
        if imported is None:
            raise RequestRefused("not held")
        body = imported.block.extrinsics
        if any(place >= len(body) for place in request.places):
            raise RequestRefused("no such place")
        answers: list[list[bytes]] = [[]]
        size = 0
        for place in request.places:
            if size > BATCH_BYTES_MAX or len(answers[-1]) == BATCH_EXTRINSICS_MAX:
                answers.append([])
                size = 0
            answers[-1].append(body[place])
            size += len(body[place])
        return [EXTRINSICS_ANSWER.encode(tuple(answer)) for answer in answers]

    async def _get(self, block_hash: Digest, wanted: _Wanted) -> Block:
        if block_hash not in self._announced:
            with trio.move_on_after(ANNOUNCEMENT_WAIT):
                await wanted.announced.wait()
        if block_hash in self._announced:
            block = await self._assemble(block_hash)
            if block is not None:
                return block
        pause = RETRY_PAUSE
        while True:
            peers = list(self._network.connected())
            self._random.shuffle(peers)
            for peer in peers:
                block = await self._ask(peer, block_hash)
                if block is not None:
                    return block
            await trio.sleep(pause * (0.5 + self._random.random()))
            pause = min(RETRY_PAUSE_MAX, 2 * pause)

    async def _assemble(self, block_hash: Digest) -> Block | None:
        """Put an announced block together; None if that does not work out."""
        peer, announcement = self._announced.pop(block_hash)
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
            parts = await self._ask_extrinsics(peer, block_hash, missing)
            if parts is None:
                return None
            for place, encoded in zip(missing, parts, strict=True):
                body[place] = encoded
        if merkle_root(body) != announcement.header.extrinsics_root:
            self._network.report(peer, Fault.LYING, "announced extrinsics are not the block's")
            return None
        return Block(announcement.header, tuple(body))

    async def _ask_extrinsics(
        self, peer: PeerId, block_hash: Digest, places: list[int]
    ) -> list[bytes] | None:
        payload = EXTRINSICS_REQUEST.encode(ExtrinsicsRequest(block_hash, tuple(places)))
        parts: list[bytes] = []
        try:
            async with self._network.request(peer, "extrinsics", payload) as answers:
                async for answer in answers:
                    parts += EXTRINSICS_ANSWER.decode(answer)
        except (NetworkFault, PeerFault) as error:
            _log.debug("extrinsics of %s from %s: %s", block_hash.hex(), peer, error.reason)
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
            _log.debug("block %s from %s: %s", block_hash.hex(), peer, error.reason)
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
