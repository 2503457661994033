"""Sending a provider's extrinsics: signed, followed into a block, and told if that failed.

Invariants: one extrinsic of the account is signed at a time, so that each gets the nonce after the
one before it; what is sent expires.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import trio

from node.client.answers import read_digest, read_object
from node.client.endpoint import Endpoint
from node.client.errors import BadAnswer, CallRefused
from node.client.node_client import NodeClient, hex_of
from node.client.wallet import Terms, find_inclusion, sign
from node.client.websocket import Subscription
from node.rpc.json_types import Json
from primitives.codec import Plain
from primitives.crypto import KeyPair
from primitives.errors import LoopinError
from primitives.ss58 import encode_address
from primitives.types import AccountId, Balance, Digest, Height

FOLLOW_SECONDS = 30.0
"""An extrinsic is followed so long; what becomes of it later shows on chain."""
CALL_SECONDS = 10.0
THREADS = 8

T = TypeVar("T")

_FATES = ("usurped", "dropped", "invalid")


class NotSent(LoopinError):
    """The extrinsic will be in no block, or its call failed; the message says which."""


class Sender:
    """Signs with one account's key."""

    def __init__(self, endpoint: Endpoint, pair: KeyPair) -> None:
        self._endpoint = endpoint
        self._pair = pair
        self._turn = trio.Lock()
        self._client = NodeClient(endpoint, CALL_SECONDS)
        """Of whoever has the turn; it remembers the chain's metadata, and keeps no connection."""
        self._limiter = trio.CapacityLimiter(THREADS)
        self.account = AccountId(pair.public)

    async def send(self, call: Plain, valid_until: Height, *, raise_tip: int, tip_max: int) -> int:
        """Have a call included and return what it cost, 0 if that is not known yet.

        The tip is ``raise_tip`` times the fee, at most ``tip_max``.
        Raises: NotSent, and as ``NodeClient``.
        """
        async with self._turn:
            try:
                extrinsic, subscription = await self._in_thread(
                    self._submit, call, valid_until, raise_tip, tip_max
                )
            except LoopinError:
                # The next one learns anew which chain it is and how it signs.
                self._client = NodeClient(self._endpoint, CALL_SECONDS)
                raise
        return await self._in_thread(self._follow, extrinsic, subscription)

    async def _in_thread(self, function: Callable[..., T], *given: object) -> T:
        """Run what blocks; who is cancelled does not wait for its end."""
        found: T = await trio.to_thread.run_sync(  # type: ignore[call-arg] # older stubs than trio
            function, *given, abandon_on_cancel=True, limiter=self._limiter
        )
        return found

    def _submit(
        self, call: Plain, valid_until: Height, raise_tip: int, tip_max: int
    ) -> tuple[bytes, Subscription]:
        with self._client as client:
            return self._signed(client, call, valid_until, raise_tip, tip_max)

    def _signed(
        self, client: NodeClient, call: Plain, valid_until: Height, raise_tip: int, tip_max: int
    ) -> tuple[bytes, Subscription]:
        """Return the extrinsic and what follows it, having been taken by the node."""
        address = encode_address(self.account, client.token.ss58_prefix)
        nonce = client.next_nonce(address)
        extrinsic = sign(client, self._pair, call, Terms(nonce, valid_until, Balance(0)))
        try:
            if raise_tip:
                tip = Balance(min(raise_tip * client.fee(extrinsic), tip_max))
                extrinsic = sign(client, self._pair, call, Terms(nonce, valid_until, tip))
            watch = "author_submitAndWatchExtrinsic"
            return extrinsic, client.subscribe(watch, hex_of(extrinsic))
        except CallRefused as refusal:
            raise NotSent(str(refusal)) from refusal

    def _follow(self, extrinsic: bytes, subscription: Subscription) -> int:
        """Wait until the extrinsic is in a block and return its cost. Raises: NotSent."""
        with subscription, NodeClient(self._endpoint, CALL_SECONDS) as client:
            for news in subscription.notifications(time.monotonic() + FOLLOW_SECONDS):
                kind, block = _status(news)
                if kind in _FATES:
                    raise NotSent(f"the extrinsic was {kind}")
                if block is None:
                    continue
                inclusion = find_inclusion(client, extrinsic, block)
                if inclusion.error is not None:
                    raise NotSent(inclusion.error)
                return inclusion.fee
        return 0


def _status(news: Json) -> tuple[str, Digest | None]:
    """Return what became of an extrinsic, and the block that holds it now."""
    if isinstance(news, str):
        return news, None
    item = read_object(news, "the extrinsic's status")
    if len(item) != 1:
        raise BadAnswer("the extrinsic's status is not one")
    ((kind, detail),) = item.items()
    is_in = kind in ("inBlock", "finalized")
    return kind, read_digest(detail, "the extrinsic's block") if is_in else None
