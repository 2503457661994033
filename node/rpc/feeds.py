"""Streams of news from the node to subscribers, each with a bounded buffer.

Invariant: ``publish`` never waits and keeps nothing for a subscriber that is too far behind: the
subscriber is told that it lagged, the node's memory is not at stake.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import trio

from primitives.errors import LoopinError

T = TypeVar("T")


class Lagged(LoopinError):
    """The reader of a feed was too slow; what it missed is gone. Subscribe again."""


class Feed(Generic[T]):
    """One reader's queue; an asynchronous iterator that ends when the writer calls ``finish``."""

    def __init__(self, capacity: int, on_close: Callable[["Feed[T]"], None] | None = None) -> None:
        self._capacity = capacity
        self._waiting: deque[T] = deque()
        self._news = trio.Event()
        self._finished = False
        self._lagged = False
        self._on_close = on_close

    def put(self, value: T) -> None:
        """Add a value; if the buffer is full, drop the buffer and let the reader know."""
        if self._finished or self._lagged:
            return
        if len(self._waiting) >= self._capacity:
            self._waiting.clear()
            self._lagged = True
        else:
            self._waiting.append(value)
        self._news.set()

    def finish(self) -> None:
        """End the feed after what is buffered."""
        self._finished = True
        self._news.set()

    def close(self) -> None:
        """Tell the writer that nobody reads any more. May be called twice."""
        self.finish()
        self._waiting.clear()
        if self._on_close is not None:
            on_close, self._on_close = self._on_close, None
            on_close(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._waiting:
            if self._lagged:
                raise Lagged(self._capacity)
            if self._finished:
                raise StopAsyncIteration
            self._news = trio.Event()
            await self._news.wait()
        return self._waiting.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Broadcast(Generic[T]):
    """One writer, many feeds."""

    def __init__(self) -> None:
        self._feeds: dict[int, Feed[T]] = {}

    def publish(self, value: T) -> None:
        """Give ``value`` to every feed; never waits."""
        for feed in list(self._feeds.values()):
            feed.put(value)

    def subscribe(self, capacity: int) -> Feed[T]:
        """Return a feed of what is published from now on; close it after use."""
        feed = Feed[T](capacity, on_close=self._forget)
        self._feeds[id(feed)] = feed
        return feed

    def __len__(self) -> int:
        return len(self._feeds)

    def _forget(self, feed: Feed[T]) -> None:
        self._feeds.pop(id(feed), None)


NOTHING = object()
"""What a subscription's ``view`` returns for news that does not concern the subscriber."""


@dataclass(frozen=True, slots=True)
class Subscription(Generic[T]):
    """What a subscription method returns: a feed, and how its values look to the subscriber."""

    feed: Feed[Any]
    view: Callable[[Any], T | object] = field(default=lambda value: value)
    """Returns what is sent, or ``NOTHING``."""
    first: Sequence[T] = ()
    """Sent at once, before the feed."""
