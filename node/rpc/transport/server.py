"""The server: HTTP POST, WebSocket and health checks on one port.

Invariants: what one client does ends at most its own connection; every wait has a deadline; every
buffer a bound.
"""

import logging
from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus
from math import inf

import orjson
import trio

from node.rpc.dispatcher import Caller, Dispatcher
from node.rpc.json_types import JsonObject
from node.rpc.limits import Limits
from node.rpc.transport.access import Access, Buckets, ByteBudget, Doors
from node.rpc.transport.http import (
    CONTINUE,
    Refused,
    Request,
    RequestParser,
    refusal,
    response,
    response_head,
)
from node.rpc.transport.outlet import (
    ClientGone,
    Outlet,
    receive_some,
    say_goodbye,
    send_last_word,
)
from node.rpc.transport.websocket import WebSocketSession

_FORWARDED = frozenset({"forwarded", "x-forwarded-for", "x-real-ip", "via"})
_PREFLIGHT_SECONDS = b"3600"

_log = logging.getLogger(__name__)


class _Phase(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()


Health = Callable[[], JsonObject]
"""Returns the body of ``GET /health``: peers, isSyncing, shouldHavePeers."""


class RpcServer:
    """Serves a dispatcher to whoever connects."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        health: Health,
        access: Access | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.dispatcher = dispatcher
        self.health = health
        self.access = access or Access()
        self.limits = limits or Limits()
        self._doors = Doors(self.limits.connections_max, self.limits.connections_per_address_max)
        self.budget = ByteBudget(self.limits.bodies_bytes_max)
        self._buckets = Buckets(
            self.limits.rate_per_second, self.limits.rate_burst, trio.current_time
        )

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._doors.count

    async def serve(self, listeners: list[trio.SocketListener]) -> None:
        """Serve the listeners, which are open already, until cancelled."""
        await trio.serve_listeners(self.serve_connection, listeners)

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end."""
        address = _address_of(stream)
        async with stream:
            with self._doors.enter(address) as has_room:
                try:
                    if has_room:
                        await _Conversation(self, stream, address).run()
                    else:
                        full = Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
                        await send_last_word(stream, self.limits, refusal(full))
                        await say_goodbye(stream)
                except* ClientGone as gone:
                    reasons = gone.exceptions
                    _log.debug("event=rpc_client_gone address=%s reason=%r", address, reasons)

    def callers(self, address: str) -> tuple[Caller, Caller]:
        """Return who calls from an address: directly, and through a proxy there."""
        meter = self._buckets.of(address)
        return (
            Caller(self.access.trusts(address, is_forwarded=False), meter),
            Caller(self.access.trusts(address, is_forwarded=True), meter),
        )


class _Conversation:
    """The requests of one connection, each answered before the next is looked at."""

    def __init__(self, server: RpcServer, stream: trio.SocketStream, address: str) -> None:
        self._server = server
        self._stream = stream
        self._limits = server.limits
        self._budget = server.budget
        self._direct, self._forwarded = server.callers(address)
        self._parser = RequestParser(server.limits, server.budget)
        self._scope = trio.CancelScope()
        self._outlet = Outlet(stream, server.limits, self._scope)
        self._since = trio.current_time()
        self._idle_timeout = server.limits.head_timeout
        self._phase = _Phase.IDLE

    async def run(self) -> None:
        """Serve requests until one ends the connection. Raises: ClientGone."""
        upgrade = None
        try:
            with self._scope:
                upgrade = await self._answer_requests()
            if self._scope.cancelled_caught and self._parser.in_request:
                late = Refused(HTTPStatus.REQUEST_TIMEOUT, "the request does not end")
                await send_last_word(self._stream, self._limits, refusal(late))
        finally:
            self._parser.release()
        if upgrade is not None:
            await self._upgrade(upgrade)
        await say_goodbye(self._stream)

    async def _answer_requests(self) -> Request | None:
        """Read requests and answer them in order, up to one that asks for an upgrade."""
        parser = self._parser
        while data := await self._receive():
            requests = parser.feed(data)
            for request in requests:
                self._scope.deadline = inf
                if request.is_upgrade and request.method == "GET":
                    return request
                await self._answer(request)
                if not request.keep_alive:
                    return None
            if parser.refused is not None:
                await self._outlet.send(refusal(parser.refused))
                return None
            if requests:
                parser.release()
                self._since = trio.current_time()
                self._idle_timeout = self._limits.idle_timeout
                self._phase = _Phase.IDLE
            if parser.wants_continue:
                parser.wants_continue = False
                await self._outlet.send(CONTINUE)
        return None

    async def _receive(self) -> bytes:
        """Return bytes, empty at the end; how long they may take depends on what is awaited."""
        parser = self._parser
        if parser.in_body and self._phase is not _Phase.BODY:
            self._phase, self._since = _Phase.BODY, trio.current_time()
        elif parser.in_request and self._phase is _Phase.IDLE:
            self._phase, self._since = _Phase.HEAD, trio.current_time()
        match self._phase:
            case _Phase.IDLE:
                self._scope.deadline = self._since + self._idle_timeout
            case _Phase.HEAD:
                self._scope.deadline = self._since + self._limits.head_timeout
            case _Phase.BODY:
                self._scope.deadline = self._since + self._limits.body_timeout
        return await receive_some(self._stream)

    async def _answer(self, request: Request) -> None:
        """Answer one request that is not an upgrade."""
        try:
            cors = self._require_welcome(request)
            match request.method, request.path:
                case "POST", "/":
                    await self._answer_call(request, cors)
                case "OPTIONS", _:
                    await self._outlet.send(_preflight(cors))
                case "GET", "/health" | "/health/readiness" as path:
                    await self._answer_health(path, cors, request)
                case _, "/" | "/health" | "/health/readiness":
                    raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "POST a JSON-RPC request to /")
                case _:
                    raise Refused(HTTPStatus.NOT_FOUND, "POST a JSON-RPC request to /")
        except Refused as refused:
            request.keep_alive = False
            await self._outlet.send(refusal(refused))

    async def _answer_call(self, request: Request, cors: dict[bytes, bytes]) -> None:
        kind = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
        if kind != "application/json":
            # A page of any origin may send other types unasked; this one needs our leave.
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
        begun = self._server.dispatcher.begin(request.body, self._caller(request))
        answer = begun if isinstance(begun, bytes) else await begun()
        if not self._budget.take(len(answer)):
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many long answers")
        try:
            status = HTTPStatus.OK if answer else HTTPStatus.NO_CONTENT
            head = response_head(status, len(answer), headers=cors, keep_alive=request.keep_alive)
            await self._outlet.send(head, answer)
        finally:
            self._budget.give_back(len(answer))

    async def _answer_health(self, path: str, cors: dict[bytes, bytes], request: Request) -> None:
        health = self._server.health()
        is_ready = not health["isSyncing"] and bool(
            health["peers"] or not health["shouldHavePeers"]
        )
        status = HTTPStatus.OK
        if path == "/health/readiness" and not is_ready:
            status = HTTPStatus.SERVICE_UNAVAILABLE
        body = orjson.dumps(health)
        await self._outlet.send(response(status, body, headers=cors, keep_alive=request.keep_alive))

    async def _upgrade(self, request: Request) -> None:
        try:
            self._require_welcome(request)
            if request.path not in ("/", "/ws"):
                raise Refused(HTTPStatus.NOT_FOUND, "connect to /")
            if request.headers.get("upgrade", "").lower() != "websocket":
                raise Refused(HTTPStatus.BAD_REQUEST, "the only upgrade is to websocket")
        except Refused as refused:
            await send_last_word(self._stream, self._limits, refusal(refused))
            return
        session = WebSocketSession(
            self._stream, self._server.dispatcher, self._limits, self._budget
        )
        await session.run(request, self._parser.rest, self._caller(request))

    def _require_welcome(self, request: Request) -> dict[bytes, bytes]:
        """Return the CORS headers of the answer. Raises: Refused."""
        access = self._server.access
        if not access.allows_host(request.headers.get("host", "")):
            raise Refused(HTTPStatus.FORBIDDEN, "the Host header names no host of this node")
        origin = request.headers.get("origin")
        if origin is None:
            return {}
        if not access.allows_origin(origin):
            raise Refused(HTTPStatus.FORBIDDEN, "this origin may not call; see --rpc-cors")
        return {b"access-control-allow-origin": origin.encode("latin-1"), b"vary": b"Origin"}

    def _caller(self, request: Request) -> Caller:
        return self._direct if _FORWARDED.isdisjoint(request.headers) else self._forwarded


def _address_of(stream: trio.SocketStream) -> str:
    """Return the IP address of the other end; empty if it has gone already."""
    try:
        name = stream.socket.getpeername()
    except OSError:
        return ""
    return str(name[0]) if isinstance(name, tuple) else ""


def _preflight(cors: dict[bytes, bytes]) -> bytes:
    return response(
        HTTPStatus.NO_CONTENT,
        headers={
            **cors,
            b"access-control-allow-methods": b"POST, GET, OPTIONS",
            b"access-control-allow-headers": b"content-type",
            b"access-control-max-age": _PREFLIGHT_SECONDS,
        },
    )
