"""How the tests call: straight into the dispatcher, or through a socket as a client would."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio.testing
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from node.rpc.dispatcher import Caller, Dispatcher
from node.rpc.transport.server import RpcServer

JSON_HEADERS = {"Host": "localhost:9944", "Content-Type": "application/json"}


def request(method: str, params: Any = None, identity: Any = 1) -> dict[str, Any]:
    call = {"jsonrpc": "2.0", "id": identity, "method": method}
    return call if params is None else {**call, "params": params}


async def ask(dispatcher: Dispatcher, body: Any, caller: Caller | None = None) -> Any:
    """Return the parsed answer to a request given as JSON value or as bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await dispatcher.answer(data, caller or Caller())
    return json.loads(answer) if answer else None


async def call(
    dispatcher: Dispatcher, method: str, params: Any = None, caller: Caller | None = None
) -> Any:
    """Return the result of a call that succeeds."""
    answer = await ask(dispatcher, request(method, params), caller)
    assert "error" not in answer, answer
    return answer["result"]


async def fail(
    dispatcher: Dispatcher, method: str, params: Any = None, caller: Caller | None = None
) -> dict[str, Any]:
    """Return the error of a call that fails."""
    answer = await ask(dispatcher, request(method, params), caller)
    assert "result" not in answer, answer
    error: dict[str, Any] = answer["error"]
    return error


@asynccontextmanager
async def connected(server: RpcServer) -> AsyncIterator[trio.SocketStream]:
    """Serve one connection and yield the client's end of it."""
    ours, theirs = trio.socket.socketpair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve_connection, trio.SocketStream(ours))
        async with trio.SocketStream(theirs) as stream:
            yield stream
        # The server ends by itself when the client has hung up: a test would hang otherwise.


class HttpClient:
    """Speaks HTTP byte by byte, so that it can speak it badly."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._received = b""

    async def send(
        self, body: bytes, *, method: str = "POST", path: str = "/", **headers: str
    ) -> None:
        lines = {**JSON_HEADERS, "Content-Length": str(len(body))}
        lines.update({name.replace("_", "-"): value for name, value in headers.items()})
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        await self.stream.send_all(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)

    async def receive(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the next response."""
        while b"\r\n\r\n" not in self._received:
            await self._more()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        length = int(headers.get("content-length", "0"))
        while len(self._received) < length:
            await self._more()
        body, self._received = self._received[:length], self._received[length:]
        return int(status.split()[1]), headers, body

    async def receive_end(self) -> bytes:
        """Return what comes before the server hangs up."""
        while True:
            try:
                data = await self.stream.receive_some(65536)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                return self._received
            self._received += data

    async def _more(self) -> None:
        data = await self.stream.receive_some(65536)
        assert data, f"the server hung up after {self._received!r}"
        self._received += data


class WebSocketClient:
    """A client over wsproto."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.connection = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self._text = ""
        self._messages: list[Any] = []

    async def shake_hands(self, path: str = "/", **headers: str) -> Event:
        extra = [(name.encode(), value.encode()) for name, value in headers.items()]
        host = "localhost:9944"
        await self.send_event(Request(host=host, target=path, extra_headers=extra))
        event = await self.receive_event()
        assert isinstance(event, AcceptConnection | RejectConnection | RejectData), event
        return event

    async def send_event(self, event: Event) -> None:
        await self.stream.send_all(self.connection.send(event))

    async def send(self, body: Any) -> None:
        await self.send_event(TextMessage(data=json.dumps(body)))

    async def receive_event(self) -> Event:
        while not self._events:
            try:
                data = await self.stream.receive_some(65536)
            except trio.BrokenResourceError:
                data = b""
            self.connection.receive_data(data or None)
            self._events += self.connection.events()
        return self._events.pop(0)

    async def receive(self) -> Any:
        """Return the next JSON message; answer pings on the way."""
        while True:
            event = await self.receive_event()
            match event:
                case Ping():
                    await self.send_event(event.response())
                case TextMessage():
                    self._text += event.data
                    if event.message_finished:
                        text, self._text = self._text, ""
                        return json.loads(text)
                case _:
                    raise AssertionError(event)

    async def receive_close(self) -> int:
        """Return the code with which the server closes, skipping what comes before."""
        while True:
            event = await self.receive_event()
            if isinstance(event, CloseConnection):
                return event.code

    async def call(self, method: str, params: Any = None) -> Any:
        await self.send(request(method, params))
        answer = await self.receive()
        return answer.get("result", answer.get("error"))
