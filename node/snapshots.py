"""The snapshots that a node makes at the end of each epoch, and gives to nodes that begin.

Invariants: a snapshot is made of a pinned state, in a thread that gives way all the time, and one
at a time; a node that is itself catching up makes none; what peers ask is answered from files of
bounded size.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import trio

from chain.blockchain import Finalized
from chain.handover import HANDOVER
from chain.snapshot import CHUNK_BYTES_MAX, MANIFEST, Manifest
from chain.snapshot_folder import NoSnapshot, SnapshotFolder
from chain.store import Store
from chain.store_reader import StoreReader
from node.wire import (
    CHUNKS_ASKED_MAX,
    CHUNKS_REQUEST,
    HANDOVERS_MAX,
    HANDOVERS_REQUEST,
    MANIFEST_REQUEST,
    OFFERS_REQUEST,
    SNAPSHOT_OFFER,
    SNAPSHOTS_KEPT,
    HandoversRequest,
    SnapshotOffer,
)
from p2p.faults import RequestRefused
from p2p.requests import RequestSpec
from primitives.codec import WrongType
from primitives.types import Digest, Epoch, Height
from runtime.session import epoch_of, is_boundary

SNAPSHOT_REQUESTS = (
    RequestSpec("handovers", 64, HANDOVER.bytes_max, HANDOVERS_MAX),
    RequestSpec("snapshots", 8, SNAPSHOT_OFFER.bytes_max, SNAPSHOTS_KEPT),
    RequestSpec("manifest", 64, MANIFEST.bytes_max, 1),
    RequestSpec("chunks", 256, CHUNK_BYTES_MAX, CHUNKS_ASKED_MAX),
)
PAUSE_SECONDS = 0.001
"""Between two slices, so that the thread never holds the others up."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    reader: StoreReader
    epoch: Epoch
    height: Height
    state_root: Digest


class Snapshots:
    """The snapshots of one node."""

    def __init__(
        self,
        store: Store,
        folder: SnapshotFolder,
        epoch_length: int,
        is_syncing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._store = store
        self._folder = folder
        self._epoch_length = epoch_length
        self._is_syncing = is_syncing
        self._job: _Job | None = None
        self._news = trio.Event()
        folder.load()
        self._plan()

    def on_final(self, finalized: Finalized) -> None:
        """Make a snapshot if an epoch has ended."""
        if is_boundary(finalized.header.height, self._epoch_length) and not self._is_syncing():
            self._plan()

    async def run(self) -> None:
        """Make what is to be made, for ever."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            job, self._job = self._job, None
            if job is not None:
                await self._make(job)

    # Answering

    def answer(self, name: str, payload: bytes) -> Iterable[bytes]:
        """Return the answers to one of the requests here. Raises: DecodeError, RequestRefused."""
        match name:
            case "handovers":
                return self._handovers(HANDOVERS_REQUEST.decode(payload))
            case "snapshots":
                if payload != OFFERS_REQUEST:
                    raise WrongType("the request for offers holds nothing")
                offers = [SnapshotOffer(m.epoch, m.height) for m in self._folder.manifests]
                return [SNAPSHOT_OFFER.encode(offer) for offer in offers]
            case "manifest":
                return [MANIFEST.encode(self._manifest(MANIFEST_REQUEST.decode(payload)))]
            case "chunks":
                request = CHUNKS_REQUEST.decode(payload)
                return self._chunks(request.epoch, request.numbers)
            case _:
                raise RequestRefused("unknown request")

    def _handovers(self, request: HandoversRequest) -> Iterator[bytes]:
        ended = self._store.reads.head.height // self._epoch_length
        stop = min(ended, request.first + min(request.count, HANDOVERS_MAX))
        for epoch in range(request.first, stop):
            handover = self._store.reads.find_handover(Epoch(epoch))
            if handover is None:
                return
            yield handover

    def _manifest(self, epoch: Epoch) -> Manifest:
        try:
            return self._folder.find(epoch)
        except NoSnapshot as error:
            raise RequestRefused(f"no snapshot of epoch {epoch}") from error

    def _chunks(self, epoch: Epoch, numbers: tuple[int, ...]) -> Iterator[bytes]:
        for number in numbers:
            try:
                yield self._folder.read_chunk(epoch, number)
            except NoSnapshot as error:
                raise RequestRefused(str(error)) from error

    # Making

    def _plan(self) -> None:
        """Note the state after the last final block, if that has ended an epoch."""
        reader = self._store.pinned()
        head = reader.head
        epoch = epoch_of(head.height, self._epoch_length)
        is_kept = any(manifest.epoch == epoch for manifest in self._folder.manifests)
        if is_boundary(head.height, self._epoch_length) and not is_kept:
            self._job = _Job(reader, epoch, head.height, head.state_root)
            self._news.set()

    async def _make(self, job: _Job) -> None:
        stop = threading.Event()
        began = trio.current_time()

        async def stop_if_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                stop.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_if_cancelled)
            # The thread ends with its slice, so that nobody closes the database under it.
            manifest = await trio.to_thread.run_sync(self._make_in_thread, job, stop)
            nursery.cancel_scope.cancel()
        if manifest is not None:
            seconds = trio.current_time() - began
            chunks = len(manifest.depths)
            _log.info(
                "height=%d event=snapshot_made chunks=%d seconds=%.1f", job.height, chunks, seconds
            )

    def _make_in_thread(self, job: _Job, stop: threading.Event) -> Manifest | None:
        slices = self._folder.make(job.reader, job.epoch, job.height, job.state_root)
        try:
            while not stop.is_set():
                next(slices)
                time.sleep(PAUSE_SECONDS)
        except StopIteration as done:
            made: Manifest = done.value
            return made
        except (NoSnapshot, OSError) as error:
            _log.warning("height=%d event=snapshot_failed reason=%r", job.height, str(error))
        finally:
            slices.close()
        return None
