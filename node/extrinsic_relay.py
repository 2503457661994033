"""Relaying extrinsics: flooded in batches, each once to each peer, and again if it waits for long.

Invariant: what is remembered of each peer, and what waits to be sent, is bounded; forgetting costs
a repetition, never a loss: what was dropped on its way is sent again as long as it waits here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import trio

from chain.mempool_queue import Entry
from node.wire import encode_extrinsics, split_batch
from p2p.identity import PeerId
from p2p.network import NetworkApi
from primitives.types import Digest

KNOWN_MAX = 16_384
"""Extrinsics remembered for each peer, while peers are few."""
KNOWN_TOTAL_MAX = 262_144
"""For all peers together; a digest and its place take about 200 bytes, so this is 50 MiB."""
WAITING_MAX = 65_536
WAITING_BYTES_MAX = 32 << 20
PAUSE = 0.01
"""Seconds in which extrinsics gather into one batch."""
REPEAT_SECONDS = 10.0
"""What has waited so long without getting into a block may have been lost on its way."""
REPEATED_BYTES_MAX = 128 << 10
"""Sent again to every peer in one round; the next round goes on behind it."""
GREETING_BYTES_MAX = 1 << 20
"""Of our mempool, what a new peer is sent."""


class ExtrinsicRelay:
    """Sends what the mempool takes to every peer that does not have it."""

    def __init__(self, network: NetworkApi, entries: Callable[[], Iterator[Entry]]) -> None:
        """``entries`` yields the mempool in the order of arrival."""
        self._network = network
        self._entries = entries
        self._known: dict[PeerId, dict[Digest, None]] = {}
        self._waiting: list[tuple[Digest, bytes]] = []
        self._waiting_bytes = 0
        self._news = trio.Event()
        self._repeated = 0
        """Arrival of the last entry that was sent again."""
        self._newest_before = -1
        """Arrival of the newest entry at the last round."""

    def on_accepted(self, entries: Sequence[Entry]) -> None:
        """Queue what the mempool has just taken."""
        for item in entries:
            if len(self._waiting) >= WAITING_MAX or self._waiting_bytes >= WAITING_BYTES_MAX:
                break
            self._waiting.append((item.hash, item.ready.extrinsic.encoded))
            self._waiting_bytes += item.size
        self._news.set()

    def on_peer_up(self, peer: PeerId) -> None:
        """Send a new peer the start of what waits in the mempool."""
        self._known[peer] = {}
        self._send(peer, _up_to(self._entries(), GREETING_BYTES_MAX))

    def on_peer_down(self, peer: PeerId) -> None:
        """Forget a peer."""
        self._known.pop(peer, None)

    def note_known(self, peer: PeerId, hashes: Iterable[Digest]) -> None:
        """Remember what a peer has sent us."""
        known = self._known.get(peer)
        if known is None:
            return
        for extrinsic_hash in hashes:
            known[extrinsic_hash] = None
        over = len(known) - min(KNOWN_MAX, KNOWN_TOTAL_MAX // len(self._known))
        # All in one walk: a dict's first key lies behind the places of those deleted before.
        for oldest in list(islice(known, max(0, over))):
            del known[oldest]

    async def run(self) -> None:
        """Send batches for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_for_ever)
            nursery.start_soon(self._repeat_for_ever)

    async def _send_for_ever(self) -> None:
        while True:
            await self._news.wait()
            await trio.sleep(PAUSE)
            self._news = trio.Event()
            waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
            for peer in self._network.connected():
                self._send(peer, waiting)
                await trio.lowlevel.checkpoint()

    async def _repeat_for_ever(self) -> None:
        while True:
            await trio.sleep(REPEAT_SECONDS)
            again = self._to_repeat()
            for peer in self._network.connected():
                # Known or not: the frame may have been dropped.
                self._send_all(peer, [encoded for _, encoded in again])
                await trio.lowlevel.checkpoint()

    def _to_repeat(self) -> list[tuple[Digest, bytes]]:
        """Return the next few of the entries that were here at the last round already."""
        old: list[Entry] = []
        newest = -1
        for entry in self._entries():
            newest = max(newest, entry.arrival)
            if entry.arrival <= self._newest_before:
                old.append(entry)
        self._newest_before = newest
        behind = [entry for entry in old if entry.arrival > self._repeated]
        chosen = _up_to(iter(behind or old), REPEATED_BYTES_MAX)
        if chosen:
            self._repeated = (behind or old)[len(chosen) - 1].arrival
        return chosen

    def _send(self, peer: PeerId, waiting: Sequence[tuple[Digest, bytes]]) -> None:
        known = self._known.get(peer, {})
        new = [(item_hash, encoded) for item_hash, encoded in waiting if item_hash not in known]
        self._send_all(peer, [encoded for _, encoded in new])
        self.note_known(peer, (item_hash for item_hash, _ in new))

    def _send_all(self, peer: PeerId, encoded: Sequence[bytes]) -> None:
        for batch in split_batch(encoded):
            self._network.send(peer, "bulk", encode_extrinsics(batch), droppable=True)


def _up_to(entries: Iterator[Entry], bytes_max: int) -> list[tuple[Digest, bytes]]:
    """Return the first entries, up to about ``bytes_max`` bytes."""
    chosen: list[tuple[Digest, bytes]] = []
    size = 0
    for entry in entries:
        size += entry.size
        if chosen and size > bytes_max:
            break
        chosen.append((entry.hash, entry.ready.extrinsic.encoded))
    return chosen
