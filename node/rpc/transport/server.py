"""The server: HTTP POST, WebSocket and health checks on one port.

Invariants: what one client does ends at most its own connection; every wait has a deadline; every
buffer a bound.
"""

import logging
from collections.abc import Callable
from http import HTTPStatus

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
)
from node.rpc.transport.outlet import ClientGone, Outlet, receive_some
from node.rpc.transport.websocket import WebSocketSession

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_PREFLIGHT_SECONDS = b"3600"

_log = logging.getLogger(__name__)

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
        self._dispatcher = dispatcher
        self._health = health
        self._access = access or Access()
        self._limits = limits or Limits()
        self._doors = Doors(self._limits.connections_max, self._limits.connections_per_address_max)
        self._budget = ByteBudget(self._limits.bodies_bytes_max)
        self._buckets = Buckets(
            self._limits.rate_per_second, self._limits.rate_burst, trio.current_time
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
        outlet = Outlet(stream, self._limits)
        async with stream:
            with self._doors.enter(address) as has_room:
                try:
                    if has_room:
                        await self._converse(stream, outlet, address)
                    else:
                        full = Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
                        await outlet.send(refusal(full))
                except* ClientGone as gone:
                    _log.debug("rpc_client_gone address=%s reason=%r", address, gone.exceptions)

    async def _converse(self, stream: trio.SocketStream, outlet: Outlet, address: str) -> None:
        """Read requests and answer each, in order, until one ends the connection."""
        parser = RequestParser(self._limits, self._budget)
        patience = _Patience(self._limits)
        try:
            while data := await patience.receive(stream, parser):
                requests = parser.feed(data)
                for request in requests:
                    if request.is_upgrade and request.method == "GET":
                        await self._upgrade(request, parser.rest, stream, outlet, address)
                        return
                    await self._answer(request, outlet, address)
                    if not request.keep_alive:
                        return
                if parser.refused is not None:
                    await outlet.send(refusal(parser.refused))
                    return
                if requests:
                    parser.release()
                    patience.restart()
                if parser.wants_continue:
                    parser.wants_continue = False
                    await outlet.send(CONTINUE)
            if parser.in_request and patience.is_lost:
                late = Refused(HTTPStatus.REQUEST_TIMEOUT, "the request does not end")
                await outlet.send(refusal(late))
        finally:
            parser.release()

    async def _answer(self, request: Request, outlet: Outlet, address: str) -> None:
        """Answer one request that is not an upgrade."""
        try:
            cors = self._require_welcome(request)
            match request.method, request.path:
                case "OPTIONS", _:
                    await outlet.send(_preflight(cors))
                case "GET", "/health" | "/health/readiness" as path:
                    await self._answer_health(path, cors, request, outlet)
                case "POST", "/":
                    await self._answer_call(request, cors, outlet, address)
                case _, "/" | "/health" | "/health/readiness":
                    raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "POST a JSON-RPC request to /")
                case _:
                    raise Refused(HTTPStatus.NOT_FOUND, "POST a JSON-RPC request to /")
        except Refused as refused:
            request.keep_alive = False
            await outlet.send(refusal(refused))

    async def _answer_call(
        self, request: Request, cors: dict[bytes, bytes], outlet: Outlet, address: str
    ) -> None:
        kind = request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
        if kind != "application/json":
            # A page of any origin may send other types unasked; this one needs our leave.
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
        answer = self._dispatcher.begin(bytes(request.body), self._caller(request, address))
        if not isinstance(answer, bytes):
            answer = await answer()
        if not self._budget.take(len(answer)):
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many long answers")
        try:
            status = HTTPStatus.OK if answer else HTTPStatus.NO_CONTENT
            await outlet.send(response(status, answer, headers=cors, keep_alive=request.keep_alive))
        finally:
            self._budget.give_back(len(answer))

    async def _answer_health(
        self, path: str, cors: dict[bytes, bytes], request: Request, outlet: Outlet
    ) -> None:
        health = self._health()
        is_ready = not health["isSyncing"] and bool(
            health["peers"] or not health["shouldHavePeers"]
        )
        status = HTTPStatus.OK
        if path == "/health/readiness" and not is_ready:
            status = HTTPStatus.SERVICE_UNAVAILABLE
        body = orjson.dumps(health)
        await outlet.send(response(status, body, headers=cors, keep_alive=request.keep_alive))

    async def _upgrade(
        self, request: Request, rest: bytes, stream: trio.SocketStream, outlet: Outlet, address: str
    ) -> None:
        try:
            self._require_welcome(request)
            if request.path not in ("/", "/ws"):
                raise Refused(HTTPStatus.NOT_FOUND, "connect to /")
            if request.headers.get("upgrade", "").lower() != "websocket":
                raise Refused(HTTPStatus.BAD_REQUEST, "the only upgrade is to websocket")
        except Refused as refused:
            await outlet.send(refusal(refused))
            return
        session = WebSocketSession(stream, outlet, self._dispatcher, self._limits, self._budget)
        await session.run(request, rest, self._caller(request, address))

    def _require_welcome(self, request: Request) -> dict[bytes, bytes]:
        """Return the CORS headers of the answer. Raises: Refused."""
        if not self._access.allows_host(request.headers.get("host", "")):
            raise Refused(HTTPStatus.FORBIDDEN, "the Host header names no host of this node")
        origin = request.headers.get("origin")
        if origin is None:
            return {}
        if not self._access.allows_origin(origin):
            raise Refused(HTTPStatus.FORBIDDEN, "this origin may not call; see --rpc-cors")
        return {b"access-control-allow-origin": origin.encode("latin-1"), b"vary": b"Origin"}

    def _caller(self, request: Request, address: str) -> Caller:
        is_forwarded = any(name in request.headers for name in _FORWARDED)
        return Caller(
            is_trusted=self._access.trusts(address, is_forwarded=is_forwarded),
            meter=self._buckets.of(address),
        )


class _Patience:
    """How long to wait for the next bytes of a request."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._since = trio.current_time()
        self._idle_timeout = limits.head_timeout
        self._in_head = False
        self._in_body = False
        self.is_lost = False
        """Whether the wait ended for want of patience."""

    def restart(self) -> None:
        """Begin to wait for another request."""
        self._since = trio.current_time()
        self._idle_timeout = self._limits.idle_timeout
        self._in_head = self._in_body = False

    async def receive(self, stream: trio.SocketStream, parser: RequestParser) -> bytes:
        """Return bytes; empty when the client hung up or took too long."""
        if parser.in_body and not self._in_body:
            self._in_body, self._since = True, trio.current_time()
        elif parser.in_request and not self._in_head:
            self._in_head, self._since = True, trio.current_time()
        timeout = self._idle_timeout
        if parser.in_request:
            timeout = self._limits.body_timeout if self._in_body else self._limits.head_timeout
        data = b""
        with trio.move_on_at(self._since + timeout) as scope:
            data = await receive_some(stream)
        self.is_lost = scope.cancelled_caught
        return data


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
