"""Beginning with a snapshot: power tables first, then the state in chunks from several peers.

A node that begins like this has no chain yet, so it is on the network with nothing to say: it
asks, and refuses what it is asked. What it believes is proven: the handovers from genesis on, the
skeleton by the header of the last one, each chunk by the skeleton as it comes.

Invariants: a peer that sends what is not proven is charged with the reason and asked no more for
a while; memory holds one chunk a peer; what was proven is on disk, and a restart goes on from it.
"""

import logging
from collections.abc import AsyncGenerator, Sequence

import trio

from chain.snapshot import MANIFEST, BadSkeleton
from chain.snapshot_download import SnapshotDownload, UnknownBoundary
from node.progress import ProgressView
from node.wire import (
    CHUNKS_ASKED_MAX,
    CHUNKS_REQUEST,
    HANDOVERS_MAX,
    HANDOVERS_REQUEST,
    MANIFEST_REQUEST,
    OFFERS_REQUEST,
    SNAPSHOT_OFFER,
    ChunksRequest,
    HandoversRequest,
)
from p2p.faults import (
    BadAnswer,
    Fault,
    NetworkFault,
    PeerFault,
    RequestRefused,
    RequestTimedOut,
    describe,
)
from p2p.identity import PeerId
from p2p.network import NetworkApi
from primitives.errors import DecodeError, LoopinError
from primitives.types import Epoch

PEERS_MAX = 4
"""Peers that are asked for chunks at a time."""
REQUEST_SECONDS = 60.0
"""For all answers to one request."""
AVOIDED_SECONDS = 30.0
PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 20.0
"""How long to look for a snapshot after the first peer has said that it has none."""

_log = logging.getLogger(__name__)


class SnapshotSync:
    """Fetches one snapshot; the ``Handler`` of the network meanwhile."""

    def __init__(self, download: SnapshotDownload, view: ProgressView) -> None:
        """``attach`` the network before it runs."""
        self._download = download
        self._view = view
        self._network: NetworkApi | None = None
        self._avoided: dict[PeerId, float] = {}
        self._news = trio.Event()

    def attach(self, network: NetworkApi) -> None:
        """Take the network whose handler this is."""
        self._network = network

    async def run(self) -> bool:
        """Fetch a snapshot; return False if no peer has one, so that blocks have to do."""
        refused_since: float | None = None
        while True:
            offers = await self._offers()
            for epoch in sorted(offers, reverse=True):
                if await self._fetch_snapshot(epoch, offers[epoch]):
                    return True
            if not offers and self._peers():
                refused_since = refused_since or trio.current_time()
                if trio.current_time() > refused_since + PATIENCE_SECONDS:
                    _log.info("event=snapshot_not_found next=blocks")
                    return False
            with trio.move_on_after(PAUSE_SECONDS):
                await self._news.wait()
            self._news = trio.Event()

    # What p2p asks of its handler

    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None:
        """Ignore what is said to a node that has no chain yet."""

    async def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]:
        """Refuse. Raises: RequestRefused."""
        nothing: tuple[bytes, ...] = ()
        for answer in nothing:
            yield answer
        raise RequestRefused("this node has no chain yet")

    def on_peer_up(self, peer: PeerId) -> None:
        """Ask the new peer soon."""
        self._news.set()

    def on_peer_down(self, peer: PeerId, reason: str) -> None:
        """Do nothing: requests to it fail by themselves."""

    def on_record(self, peer: PeerId, record: bytes) -> None:
        """Ignore statements."""

    def is_allowed(self, peer: PeerId) -> bool:
        """Refuse strangers on a port that is for validators."""
        return False

    # One snapshot

    async def _fetch_snapshot(self, epoch: Epoch, offerers: Sequence[PeerId]) -> bool:
        """Fetch the snapshot of ``epoch`` from those who offer it; return whether all is here."""
        if not await self._follow(epoch, offerers) or not await self._begin(epoch, offerers):
            return False
        download = self._download
        _log.info(
            "height=%d event=snapshot_chosen chunks=%d missing=%d peers=%d",
            download.header.height,
            len(download),
            len(download.missing),
            len(offerers),
        )
        while download.missing:
            usable = self._usable(offerers)[:PEERS_MAX]
            if not usable:
                return False
            waiting = sorted(download.missing)
            async with trio.open_nursery() as nursery:
                for peer in usable:
                    nursery.start_soon(self._fetch_chunks, peer, epoch, waiting)
        return True

    async def _offers(self) -> dict[Epoch, list[PeerId]]:
        """Ask every peer which snapshots it keeps."""
        found: dict[Epoch, list[PeerId]] = {}

        async def ask(peer: PeerId) -> None:
            for encoded in await self._ask(peer, "snapshots", OFFERS_REQUEST) or ():
                try:
                    offer = SNAPSHOT_OFFER.decode(encoded)
                except DecodeError as error:
                    self._charge(peer, Fault.BAD_BYTES, error)
                    return
                found.setdefault(offer.epoch, []).append(peer)

        async with trio.open_nursery() as nursery:
            for peer in self._usable(self._peers()):
                nursery.start_soon(ask, peer)
        return {epoch: sorted(set(peers)) for epoch, peers in found.items()}

    async def _follow(self, epoch: Epoch, offerers: Sequence[PeerId]) -> bool:
        """Follow the handovers through the end of ``epoch``; return whether that is proven."""
        tables = self._download.tables
        while tables.epoch <= epoch:
            usable = self._usable(offerers)
            if not usable:
                return False
            peer = usable[0]
            count = min(HANDOVERS_MAX, epoch + 1 - tables.epoch)
            payload = HANDOVERS_REQUEST.encode(HandoversRequest(tables.epoch, count))
            answers = await self._ask(peer, "handovers", payload)
            if answers is None:
                continue
            if not answers:
                self._charge(peer, Fault.USELESS_ANSWER, BadAnswer("handovers", "none"))
            try:
                for encoded in answers:
                    self._download.add_handover(encoded)
                    await trio.lowlevel.checkpoint()
            except LoopinError as error:
                self._charge(peer, Fault.LYING, error)
            self._view.show("power tables", tables.epoch, epoch + 1)
        if not tables.has_passed_checkpoint:
            _log.info("event=snapshot_too_old epoch=%d", epoch)
        return tables.has_passed_checkpoint

    async def _begin(self, epoch: Epoch, offerers: Sequence[PeerId]) -> bool:
        """Get the skeleton; return whether it is proven."""
        for peer in self._usable(offerers):
            answers = await self._ask(peer, "manifest", MANIFEST_REQUEST.encode(epoch))
            if answers is None:
                continue
            try:
                if len(answers) != 1:
                    raise BadSkeleton("no manifest")
                manifest = MANIFEST.decode(answers[0])
                if manifest.epoch != epoch:
                    raise BadSkeleton(f"epoch {manifest.epoch} instead of {epoch}")
                # It looks through what an earlier start has left, which may be a lot.
                await trio.to_thread.run_sync(self._download.begin, manifest)
            except UnknownBoundary:
                return False
            except DecodeError as error:
                self._charge(peer, Fault.LYING, error)
                continue
            return True
        return False

    async def _fetch_chunks(self, peer: PeerId, epoch: Epoch, waiting: list[int]) -> None:
        """Fetch what waits from one peer, until nothing does or the peer fails."""
        download = self._download
        while waiting and self._is_usable(peer):
            share = max(1, len(waiting) // (2 * PEERS_MAX))
            numbers = waiting[: min(CHUNKS_ASKED_MAX, share)]
            del waiting[: len(numbers)]
            payload = CHUNKS_REQUEST.encode(ChunksRequest(epoch, tuple(numbers)))
            try:
                with trio.fail_after(REQUEST_SECONDS):
                    async with self.network.request(peer, "chunks", payload) as answers:
                        async for data in answers:
                            if not numbers:
                                raise BadAnswer("chunks", "more than were asked for")
                            download.add_chunk(numbers[0], data)
                            del numbers[0]
                            done = len(download) - len(download.missing)
                            self._view.show("state chunks", done, len(download))
                if numbers:
                    raise BadAnswer("chunks", "fewer than were asked for")
            except trio.TooSlowError:
                self._avoid(peer, RequestTimedOut("chunks", f"{REQUEST_SECONDS:g} s"))
            except NetworkFault as error:
                self._avoid(peer, error)
            except PeerFault as error:
                self._charge(peer, error.fault, error)
            except DecodeError as error:
                self._charge(peer, Fault.LYING, error)
            finally:
                waiting[:0] = numbers

    # Peers

    @property
    def network(self) -> NetworkApi:
        assert self._network is not None, "attached before it runs"
        return self._network

    async def _ask(self, peer: PeerId, name: str, payload: bytes) -> list[bytes] | None:
        """Return all answers to a request; None if it failed, which is noted."""
        found: list[bytes] = []
        try:
            with trio.fail_after(REQUEST_SECONDS):
                async with self.network.request(peer, name, payload) as answers:
                    async for answer in answers:
                        found.append(answer)  # noqa: PERF401  bounded by the request's limits
        except trio.TooSlowError:
            self._avoid(peer, RequestTimedOut(name, f"{REQUEST_SECONDS:g} s"))
        except NetworkFault as error:
            self._avoid(peer, error)
        except PeerFault as error:
            self._charge(peer, error.fault, error)
        else:
            return found
        return None

    def _peers(self) -> Sequence[PeerId]:
        return self.network.connected()

    def _usable(self, peers: Sequence[PeerId]) -> list[PeerId]:
        return [peer for peer in peers if self._is_usable(peer)]

    def _is_usable(self, peer: PeerId) -> bool:
        is_avoided = self._avoided.get(peer, 0.0) > trio.current_time()
        return peer in self.network.connected() and not is_avoided

    def _avoid(self, peer: PeerId, error: NetworkFault | PeerFault) -> None:
        """Leave a peer alone for a while: it is slow, gone, or has not what was asked for."""
        _log.info("event=snapshot_peer_skipped peer=%s reason=%r", peer, describe(error))
        self._note_avoided(peer)

    def _charge(self, peer: PeerId, fault: Fault, error: LoopinError) -> None:
        _log.warning(
            "event=snapshot_peer_charged peer=%s reason=%s detail=%r",
            peer,
            error.reason,
            str(error),
        )
        self.network.report(peer, fault, f"{error.reason}: {error}")
        self._note_avoided(peer)

    def _note_avoided(self, peer: PeerId) -> None:
        now = trio.current_time()
        self._avoided = {each: until for each, until in self._avoided.items() if until > now}
        self._avoided[peer] = now + AVOIDED_SECONDS
