"""Announced blocks that somebody may want soon.

Invariants: a peer has at most ``EACH_MAX`` announcements here, the latest, so that nobody pushes
out another's; only blocks that could come next are kept, and none once its height is final.
"""

from collections import OrderedDict

from chain.blockchain import Blockchain
from node.wire import CompactBlock
from p2p.identity import PeerId
from primitives.types import Digest, Height
from runtime.executive import INHERENTS, OPTIONAL_INHERENTS

EACH_MAX = 2
"""A leader announces one block a view; a large one takes about 2 MB."""
INHERENTS_MAX = len(INHERENTS) + len(OPTIONAL_INHERENTS)
AHEAD_MAX = 64
"""Heights above the final one at which a block can be of use here."""


class Announcements:
    """The latest announcements of each peer."""

    def __init__(self, chain: Blockchain) -> None:
        self._chain = chain
        self._peers: dict[PeerId, OrderedDict[Digest, CompactBlock]] = {}

    def __len__(self) -> int:
        return sum(len(kept) for kept in self._peers.values())

    def add(self, peer: PeerId, block: CompactBlock) -> bool:
        """Keep an announcement; return whether it can be of use."""
        block_hash, final = block.header.hash, self._chain.final.height
        if not final < block.header.height <= final + AHEAD_MAX:
            return False
        if self._chain.has_block(block_hash):
            return False
        if not len(INHERENTS) <= len(block.inherents) <= INHERENTS_MAX:
            return False
        if len(block.hashes) < len(block.inherents):
            return False
        kept = self._peers.setdefault(peer, OrderedDict())
        kept[block_hash] = block
        kept.move_to_end(block_hash)
        while len(kept) > EACH_MAX:
            kept.popitem(last=False)
        return True

    def of(self, block_hash: Digest) -> list[tuple[PeerId, CompactBlock]]:
        """Return who announced a block, and as what."""
        return [
            (peer, kept[block_hash]) for peer, kept in self._peers.items() if block_hash in kept
        ]

    def forget_peer(self, peer: PeerId) -> None:
        """Drop what a peer announced."""
        self._peers.pop(peer, None)

    def forget_up_to(self, height: Height) -> None:
        """Drop what lost its use when ``height`` became final."""
        for peer, kept in list(self._peers.items()):
            for block_hash in [b for b, c in kept.items() if c.header.height <= height]:
                del kept[block_hash]
            if not kept:
                del self._peers[peer]
