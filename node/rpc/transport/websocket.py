"""One WebSocket connection: calls in, answers and notifications out.

Invariants: at most ``calls_in_flight_max`` calls are answered at the same time, and each
subscription has at most one notification on its way, so that what a client does not read is never
kept; a client that falls behind loses its subscription and is told so.
"""

import logging
from dataclasses import dataclass
from math import inf
from secrets import token_urlsafe
from typing import Any

import orjson
import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    TextMessage,
)
from wsproto.frame_protocol import (
    MAX_PAYLOAD_NORMAL,
    MAX_PAYLOAD_TWO_BYTE,
    PAYLOAD_LENGTH_EIGHT_BYTE,
    PAYLOAD_LENGTH_TWO_BYTE,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from node.rpc.batches import Body
from node.rpc.dispatcher import Caller, Dispatcher, Later
from node.rpc.errors import Code, RpcError
from node.rpc.feeds import NOTHING, Lagged, Subscription
from node.rpc.limits import Limits
from node.rpc.method import Method
from node.rpc.slices import Slices
from node.rpc.transport.access import ByteBudget
from node.rpc.transport.http import Request
from node.rpc.transport.outlet import ClientGone, Outlet, receive_some

_WHOLE_TEXT = 0x81
_PROTOCOL_ERROR = 1002
_TOO_BIG = 1009
_POLICY = 1008
_BUSY = 1013

_log = logging.getLogger(__name__)


def _text_frame_head(length: int) -> bytes:
    """Return what comes before a whole text message of ``length`` bytes from a server.

    Source: RFC 6455, section 5.2.
    """
    if length <= MAX_PAYLOAD_NORMAL:
        return bytes([_WHOLE_TEXT, length])
    if length <= MAX_PAYLOAD_TWO_BYTE:
        return bytes([_WHOLE_TEXT, PAYLOAD_LENGTH_TWO_BYTE]) + length.to_bytes(2)
    return bytes([_WHOLE_TEXT, PAYLOAD_LENGTH_EIGHT_BYTE]) + length.to_bytes(8)


@dataclass(frozen=True, slots=True)
class _Live:
    method: Method
    subscription: Subscription[Any]
    scope: trio.CancelScope


class WebSocketSession:
    """A connection after its handshake, and its subscriptions."""

    def __init__(
        self,
        stream: trio.SocketStream,
        dispatcher: Dispatcher,
        limits: Limits,
        budget: ByteBudget,
    ) -> None:
        self._stream = stream
        self._dispatcher = dispatcher
        self._limits = limits
        self._budget = budget
        self._connection = WSConnection(ConnectionType.SERVER)
        self._room = trio.CapacityLimiter(limits.calls_in_flight_max)
        self._subscriptions: dict[str, _Live] = {}
        self._held = 0
        """Bytes of messages and answers in memory."""
        self._message = bytearray()
        self._message_ends = 0.0
        self._caller = Caller()

    async def run(self, request: Request, rest: bytes, caller: Caller) -> None:
        """Shake hands, then serve until either side hangs up. Raises: ClientGone."""
        self._caller = caller
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._outlet = Outlet(self._stream, self._limits, nursery.cancel_scope)
                if await self._shake_hands(request):
                    await self._serve(rest)
                nursery.cancel_scope.cancel()
        finally:
            self._budget.give_back(self._held)
            for live in self._subscriptions.values():
                live.subscription.feed.close()

    def _hold(self, count: int) -> bool:
        """Return whether there is memory for ``count`` more bytes, and count them if so."""
        has_room = self._budget.take(count)
        self._held += count if has_room else 0
        return has_room

    def _release(self, count: int) -> None:
        self._held -= count
        self._budget.give_back(count)

    async def _shake_hands(self, request: Request) -> bool:
        headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in request.headers.items()
        ]
        try:
            self._connection.initiate_upgrade_connection(headers, request.target)
            list(self._connection.events())
            answer = self._connection.send(AcceptConnection())
        except RemoteProtocolError as error:
            hint = error.event_hint
            rejection = hint if isinstance(hint, RejectConnection) else RejectConnection()
            await self._outlet.send(self._connection.send(rejection))
            return False
        await self._outlet.send(answer)
        return True

    async def _serve(self, rest: bytes) -> None:
        """Take what the client sends until it hangs up. A silent one is pinged, then dropped."""
        is_open = await self._take(rest)
        is_pinged = False
        while is_open:
            # One scope for as long as the client keeps talking: its deadline moves.
            with trio.CancelScope() as patience:
                while is_open:
                    silence = trio.current_time() + self._limits.ping_interval
                    patience.deadline = (
                        min(silence, self._message_ends) if self._message else silence
                    )
                    data = await receive_some(self._stream)
                    patience.deadline = inf
                    is_pinged = False
                    is_open = await self._take(data) if data else False
            if not patience.cancelled_caught:
                continue
            if self._message and trio.current_time() >= self._message_ends:
                await self._hang_up(_POLICY, "the message does not end")
                is_open = False
            elif is_pinged:
                await self._hang_up(_POLICY, "no answer to a ping")
                is_open = False
            else:
                is_pinged = True
                await self._send(Ping())

    async def _take(self, data: bytes) -> bool:
        """Act on bytes from the client; return whether to go on."""
        if not data:
            return True
        slices = Slices()
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                if not await self._on_event(event):
                    return False
                await slices.breathe()
        except RemoteProtocolError as error:
            hint = error.event_hint
            code = hint.code if isinstance(hint, CloseConnection) else _PROTOCOL_ERROR
            await self._hang_up(code, str(error))
            return False
        return True

    async def _on_event(self, event: object) -> bool:
        """Act on what the client sent; return whether to go on."""
        match event:
            case TextMessage() | BytesMessage():
                return await self._on_piece(event)
            case Ping():
                await self._send(event.response())
            case CloseConnection():
                if self._connection.state is ConnectionState.REMOTE_CLOSING:
                    await self._send(event.response())
                else:
                    # wsproto tells of frames that break the protocol in this way.
                    await self._hang_up(event.code, event.reason or "")
                return False
            case _:
                pass
        return True

    async def _on_piece(self, piece: TextMessage | BytesMessage) -> bool:
        data = piece.data.encode() if isinstance(piece, TextMessage) else bytes(piece.data)
        if not self._message:
            self._message_ends = trio.current_time() + self._limits.body_timeout
        if len(self._message) + len(data) > self._limits.request_bytes_max:
            await self._hang_up(_TOO_BIG, "message too long")
            return False
        if not self._hold(len(data)):
            await self._hang_up(_BUSY, "too many long messages")
            return False
        self._message += data
        if piece.message_finished:
            body, self._message = self._message, bytearray()
            await self._on_message(body)
        return True

    async def _on_message(self, body: bytearray) -> None:
        """Answer a message at once if possible, else in a task of its own."""
        newcomers = _Newcomers(self)
        caller = Caller(self._caller.is_trusted, self._caller.meter, newcomers)
        answer = self._dispatcher.begin(body, caller)
        if isinstance(answer, bytes):
            self._release(len(body))
            await self._answer(answer, newcomers)
            return
        ticket = object()
        await self._room.acquire_on_behalf_of(ticket)
        self._nursery.start_soon(self._answer_later, answer, newcomers, len(body), ticket)

    async def _answer_later(
        self, later: Later, newcomers: "_Newcomers", held: int, ticket: object
    ) -> None:
        try:
            answer = await later()
        finally:
            self._release(held)
            self._room.release_on_behalf_of(ticket)
        if not self._hold(len(answer)):
            await self._hang_up(_BUSY, "too many long answers")
            return
        try:
            await self._answer(answer, newcomers)
        finally:
            self._release(len(answer))

    async def _answer(self, answer: Body, newcomers: "_Newcomers") -> None:
        if answer:
            await self._send_text(answer)
        for identity in newcomers.identities:
            live = self._subscriptions.get(identity)
            if live is not None:
                self._nursery.start_soon(self._pump, identity, live)

    async def _send_text(self, text: Body) -> None:
        # Not through wsproto, which copies a message five times: 70 ms for one of 15 MiB.
        if self._connection.state is not ConnectionState.OPEN:
            raise ClientGone("the connection is closing")
        await self._outlet.send(_text_frame_head(len(text)), text)

    async def _send(self, event: Any) -> None:  # noqa: ANN401 - any event of wsproto's
        try:
            data = self._connection.send(event)
        except LocalProtocolError:
            raise ClientGone("the connection is closing") from None
        await self._outlet.send(data)

    async def _hang_up(self, code: int, reason: str) -> None:
        _log.info("event=rpc_websocket_closed code=%d reason=%r", code, reason)
        await self._send(CloseConnection(code=code, reason=reason[:100]))

    def require_room(self) -> None:
        """Refuse one subscription too many. Raises: RpcError."""
        if len(self._subscriptions) >= self._limits.subscriptions_per_connection_max:
            raise RpcError(
                Code.TOO_MANY_SUBSCRIPTIONS,
                f"at most {self._limits.subscriptions_per_connection_max}",
            )

    def subscribe(self, method: Method, subscription: Subscription[Any]) -> str:
        """Keep a subscription and return its id; ``_pump`` brings it to life. Raises: RpcError."""
        try:
            self.require_room()
        except RpcError:
            subscription.feed.close()
            raise
        identity = token_urlsafe(12)
        self._subscriptions[identity] = _Live(method, subscription, trio.CancelScope())
        return identity

    def unsubscribe(self, identity: str) -> bool:
        """End a subscription; return whether there was one."""
        live = self._subscriptions.pop(identity, None)
        if live is None:
            return False
        live.scope.cancel()
        live.subscription.feed.close()
        return True

    async def _pump(self, identity: str, live: _Live) -> None:
        """Send a subscription's notifications until it ends."""
        method, subscription = live.method, live.subscription
        try:
            with live.scope, subscription.feed:
                for value in subscription.first:
                    await self._notify(method, identity, {"result": method.result.to_json(value)})
                try:
                    async for news in subscription.feed:
                        value = subscription.view(news)
                        if value is not NOTHING:
                            result = method.result.to_json(value)
                            await self._notify(method, identity, {"result": result})
                except Lagged:
                    await self._notify(
                        method, identity, {"error": "the subscriber is too slow; subscribe again"}
                    )
        finally:
            self._subscriptions.pop(identity, None)

    async def _notify(self, method: Method, identity: str, body: dict[str, Any]) -> None:
        params = {"subscription": identity, **body}
        notification = {"jsonrpc": "2.0", "method": method.notification, "params": params}
        await self._send_text(orjson.dumps(notification))


class _Newcomers:
    """The subscriptions that one message made.

    They come to life when the message is answered: a subscriber learns a subscription's id before
    its first notification, also if that one was made in the middle of a batch.
    """

    __slots__ = ("_session", "identities")

    def __init__(self, session: WebSocketSession) -> None:
        self._session = session
        self.identities: list[str] = []

    def require_room(self) -> None:
        self._session.require_room()

    def subscribe(self, method: Method, subscription: Subscription[Any]) -> str:
        identity = self._session.subscribe(method, subscription)
        self.identities.append(identity)
        return identity

    def unsubscribe(self, identity: str) -> bool:
        return self._session.unsubscribe(identity)
