"""Following the chain of a node that may be restarted, cut off or silent.

Invariant: only the newest head waits; whoever is slow skips heads and never falls behind.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import trio

from node.client.answers import read_digest, read_object
from node.client.errors import CallRefused, ConnectionLost, NodeUnreachable
from node.client.node_client import KnownHeader, NodeClient
from node.client.websocket import Subscription
from node.rpc.json_types import Json
from primitives.errors import LoopinError

LISTEN_SECONDS = 1.0
"""A thread listens so long at a time; then it can be told to stop."""
PAUSE_SECONDS = 0.5
PAUSE_SECONDS_MAX = 15.0

OnTrouble = Callable[[LoopinError, float], None]
"""Told why the node cannot be followed now, and the seconds until the next try."""


async def follow_heads(
    client: NodeClient, on_trouble: OnTrouble
) -> AsyncGenerator[KnownHeader, None]:
    """Yield the header of every new best block, for ever; ``client`` is this task's alone.

    Raises: BadAnswer, when what answers is no node of a chain.
    """
    pause = PAUSE_SECONDS
    while True:
        try:
            async with aclosing(_follow(client)) as heads:
                async for head in heads:
                    pause = PAUSE_SECONDS
                    yield head
        except (NodeUnreachable, ConnectionLost, CallRefused) as trouble:
            on_trouble(trouble, pause)
            await trio.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)


async def _follow(client: NodeClient) -> AsyncGenerator[KnownHeader, None]:
    subscription = await trio.to_thread.run_sync(client.subscribe, "chain_subscribeNewHeads")
    try:
        while True:
            news = await trio.to_thread.run_sync(_listen, subscription)
            if news is not None:
                item = read_object(news, "a head")
                block = read_digest(item.get("hash"), "a head's hash")
                head = await trio.to_thread.run_sync(client.find_header, block)
                if head is not None:
                    # A block that was given up since may be gone.
                    yield head
    finally:
        subscription.close()


def _listen(subscription: Subscription) -> Json:
    """Return the newest of the heads that have come, None if none came for a while."""
    newest: Json = None
    for news in subscription.notifications(time.monotonic() + LISTEN_SECONDS):
        newest = news
        break
    for news in subscription.notifications(time.monotonic()):
        newest = news
    return newest
