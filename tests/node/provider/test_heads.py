"""Following heads of a node that comes and goes."""

from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from node.client.errors import BadAnswer, CallRefused, ConnectionLost, NodeUnreachable
from node.client.node_client import KnownHeader
from node.provider.heads import PAUSE_SECONDS_MAX, follow_heads
from node.rpc.json_types import Json
from primitives.errors import LoopinError
from primitives.types import Digest
from tests.node.provider.test_program import head_at


class PaperSubscription:
    """Gives prepared heads; None for a while without one."""

    def __init__(self, news: list[Json | LoopinError]) -> None:
        self._news = news
        self.is_closed = False

    def notifications(self, until: float | None = None) -> Iterator[Json]:
        assert until is not None
        while self._news:
            item = self._news.pop(0)
            if isinstance(item, LoopinError):
                raise item
            if item is None:
                return
            yield item

    def close(self) -> None:
        self.is_closed = True


class PaperClient:
    """A node whose subscriptions are prepared, one after the other."""

    def __init__(self, *opened: PaperSubscription | LoopinError) -> None:
        self._opened = list(opened)

    def subscribe(self, method: str) -> PaperSubscription:
        assert method == "chain_subscribeNewHeads"
        following = self._opened.pop(0)
        if isinstance(following, LoopinError):
            raise following
        return following

    def find_header(self, block: Digest) -> KnownHeader | None:
        return head_at(block[-1]) if block[-1] else None


def head(height: int) -> Json:
    return {"hash": "0x" + bytes(31).hex() + f"{height:02x}"}


async def heights(client: PaperClient, count: int) -> tuple[list[int], list[tuple[str, float]]]:
    """Return the next heights, and the troubles on the way."""
    found: list[int] = []
    troubles: list[tuple[str, float]] = []
    follow = follow_heads(
        client,  # type: ignore[arg-type] # stands in for a NodeClient
        lambda trouble, pause: troubles.append((trouble.reason, pause)),
    )
    async for known in follow:
        found.append(known.header.height)
        if len(found) == count:
            break
    await follow.aclose()
    return found, troubles


async def test_only_the_newest_of_waiting_heads_is_looked_at() -> None:
    subscription = PaperSubscription([head(1), head(2), head(3)])

    found, troubles = await heights(PaperClient(subscription), 1)

    # The first wakes the listener; those that wait behind it are read at once.
    assert found == [3]
    assert troubles == []
    assert subscription.is_closed


async def test_a_node_that_is_gone_is_tried_ever_more_rarely_and_followed_again(
    autojump_clock: MockClock,
) -> None:
    client = PaperClient(
        PaperSubscription([head(1), ConnectionLost("gone")]),
        *[NodeUnreachable("nobody")] * 6,
        CallRefused("chain_subscribeNewHeads", 1, "too many"),
        PaperSubscription([head(9)]),
    )

    start = trio.current_time()
    found, troubles = await heights(client, 1)

    assert found == [9]
    assert [reason for reason, _ in troubles][-2:] == ["NodeUnreachable", "CallRefused"]
    pauses = [pause for _, pause in troubles]
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSE_SECONDS_MAX
    assert trio.current_time() - start >= sum(pauses)


async def test_a_head_that_is_gone_already_is_passed_over() -> None:
    client = PaperClient(PaperSubscription([head(0), None, head(4)]))

    found, troubles = await heights(client, 1)

    assert found == [4]
    assert troubles == []


async def test_what_is_no_head_ends_it() -> None:
    with pytest.raises(BadAnswer):
        await heights(PaperClient(PaperSubscription(["no head"])), 1)
