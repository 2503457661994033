"""Relaying extrinsics: flooded in batches, each at most once to each peer.

Invariant: what is remembered of each peer, and what waits to be sent, is bounded; forgetting costs
a repetition, never a loss.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import trio

from chain.mempool_queue import Entry
from node.wire import encode_extrinsics, split_batch
from p2p.identity import PeerId
from p2p.network import NetworkApi
from primitives.types import Digest

KNOWN_MAX = 65_536
"""Extrinsics remembered for each peer."""
WAITING_MAX = 65_536
PAUSE = 0.01
"""Seconds in which extrinsics gather into one batch."""


class ExtrinsicRelay:
    """Sends what the mempool takes to every peer that does not have it."""

    def __init__(self, network: NetworkApi) -> None:
        self._network = network
        self._known: dict[PeerId, OrderedDict[Digest, None]] = {}
        self._waiting: list[tuple[Digest, bytes]] = []
        self._news = trio.Event()

    def on_accepted(self, entries: Sequence[Entry]) -> None:
        """Queue what the mempool has just taken."""
        room = WAITING_MAX - len(self._waiting)
        self._waiting += [(item.hash, item.ready.extrinsic.encoded) for item in entries[:room]]
        self._news.set()

    def on_peer_up(self, peer: PeerId, entries: Iterable[Entry]) -> None:
        """Send a new peer what waits in the mempool."""
        self._known[peer] = OrderedDict()
        self._send(peer, [(item.hash, item.ready.extrinsic.encoded) for item in entries])

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
        while len(known) > KNOWN_MAX:
            known.popitem(last=False)

    async def run(self) -> None:
        """Send batches for ever."""
        while True:
            await self._news.wait()
            await trio.sleep(PAUSE)
            self._news = trio.Event()
            waiting, self._waiting = self._waiting, []
            for peer in self._network.connected():
                self._send(peer, waiting)
                await trio.lowlevel.checkpoint()

    def _send(self, peer: PeerId, waiting: Sequence[tuple[Digest, bytes]]) -> None:
        known = self._known.get(peer, OrderedDict[Digest, None]())
        new = [(item_hash, encoded) for item_hash, encoded in waiting if item_hash not in known]
        for batch in split_batch([encoded for _, encoded in new]):
            self._network.send(peer, "bulk", encode_extrinsics(batch), droppable=True)
        self.note_known(peer, (item_hash for item_hash, _ in new))
