"""What waits for the consensus machine: our own inputs first, then the peers', each in its turn.

Invariants: a peer has at most ``EACH_MAX`` inputs waiting, all peers together ``PEERS_MAX``; what
one peer sends delays the others' inputs by one input a turn; our own inputs are never dropped and
never wait for a peer's. Their number is that of the driver's tasks.
"""

from collections import OrderedDict, deque

import trio

from consensus.simplex.events import Input, Peer

EACH_MAX = 256
"""Inputs of one peer that wait; an honest one sends a few for each view."""
PEERS_MAX = 4096


class Inbox:
    """The queue of one machine; one task takes from it."""

    def __init__(self) -> None:
        self._own: deque[Input] = deque()
        self._peers: OrderedDict[Peer, deque[Input]] = OrderedDict()
        self._from_peers = 0
        self._has_some = trio.Event()

    def __len__(self) -> int:
        return len(self._own) + self._from_peers

    @property
    def from_peers(self) -> int:
        """How many inputs of peers wait."""
        return self._from_peers

    def put(self, event: Input) -> None:
        """Add an input of our own."""
        self._own.append(event)
        self._has_some.set()

    def offer(self, peer: Peer, event: Input) -> bool:
        """Add a peer's input if there is room for it; return whether there was."""
        waiting = self._peers.get(peer)
        if waiting is None:
            waiting = deque()
        if len(waiting) >= EACH_MAX or self._from_peers >= PEERS_MAX:
            return False
        self._peers[peer] = waiting
        waiting.append(event)
        self._from_peers += 1
        self._has_some.set()
        return True

    async def take(self) -> Input:
        """Return the next input, waiting for it if need be."""
        if not len(self):
            self._has_some = trio.Event()
            await self._has_some.wait()
        else:
            # However much waits, other tasks have their turn too.
            await trio.lowlevel.checkpoint()
        return self.take_nowait()

    def take_nowait(self) -> Input:
        """Return the next input. Raises: IndexError if none waits."""
        if self._own:
            return self._own.popleft()
        if not self._peers:
            raise IndexError("nothing waits")
        peer, waiting = self._peers.popitem(last=False)
        event = waiting.popleft()
        self._from_peers -= 1
        if waiting:
            self._peers[peer] = waiting  # behind all others
        return event
