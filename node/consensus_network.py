"""What consensus needs of a network, and the network of a node that has none."""

from typing import Protocol

import trio

from chain.blockchain import Imported
from consensus.simplex.events import Peer
from primitives.block import Block
from primitives.types import Digest


class Network(Protocol):
    """What the driver needs of the network; nothing here waits but ``fetch``."""

    def broadcast(self, message: bytes) -> None:
        """Send to every validator and follower."""

    def send(self, peer: Peer, message: bytes) -> None:
        """Send to one peer, if it is still there."""

    def publish(self, block: Imported) -> None:
        """Offer a block of our own to everybody, ahead of its proposal."""

    async def fetch(self, block: Digest) -> Block:
        """Get a block from anybody, however long that takes."""


class NoNetwork:
    """The network of a node that makes its chain alone."""

    def broadcast(self, message: bytes) -> None:
        """Do nothing: nobody listens."""

    def send(self, peer: Peer, message: bytes) -> None:
        """Do nothing: nobody listens."""

    def publish(self, block: Imported) -> None:
        """Do nothing: nobody listens."""

    async def fetch(self, block: Digest) -> Block:
        """Wait for ever: nobody answers."""
        await trio.sleep_forever()
        raise AssertionError(block)
