"""From the bytes of a request to the bytes of its answer, whatever the bytes are.

Invariants: every answer is valid JSON-RPC 2.0; no input raises; no input holds the event loop for
more than a few milliseconds. Source: the JSON-RPC 2.0 specification; limits and their codes follow
Substrate's server.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any, Protocol

import orjson
import trio

from node.rpc.batches import PAUSE, Body, is_batch, require_simple, split_batch
from node.rpc.errors import Code, RpcError
from node.rpc.feeds import Subscription
from node.rpc.json_codecs import JsonCodecs
from node.rpc.json_types import Json
from node.rpc.limits import Limits
from node.rpc.method import Method, methods_of
from node.rpc.slices import Slices
from primitives.errors import DecodeError, LoopinError

INLINE_BYTES = 1 << 16
"""Longest body that is parsed in one go; the parser needs a millisecond for the worst of them."""
BULK_LENGTH_MAX = 256
"""Calls of a batch that a bulk method is given at once."""
ID_LENGTH_MAX = 1024

Id = str | int | None
Later = Callable[[], Awaitable[Body]]
"""An answer that has to be waited for; empty if there is none to give."""

_log = logging.getLogger(__name__)
_ABSENT = object()


class Pause(Enum):
    """A place between two calls of a long batch where others may run."""

    HERE = auto()


class Subscriber(Protocol):
    """The connection that subscriptions belong to."""

    def subscribe(self, method: Method, subscription: Subscription[Any]) -> str:
        """Start sending notifications and return the subscription's id. Raises: RpcError."""
        ...

    def unsubscribe(self, identity: str) -> bool:
        """End a subscription; return whether there was one."""
        ...

    def require_room(self) -> None:
        """Refuse one subscription too many. Raises: RpcError."""
        ...


class Meter(Protocol):
    """What counts the calls of an address."""

    def take(self, count: int) -> bool:
        """Return whether ``count`` calls may be made now, and count them."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as far as it matters for what may be called."""

    is_trusted: bool = False
    """May call unsafe methods."""
    meter: Meter | None = None
    subscriber: Subscriber | None = None
    """None over plain HTTP."""


@dataclass(frozen=True, slots=True)
class _Call:
    method: Method
    arguments: tuple[Any, ...]
    identity: Id
    is_notification: bool


class Dispatcher:
    """Every method that is served, and the rules of JSON-RPC around them."""

    def __init__(
        self, namespaces: Sequence[object], codecs: JsonCodecs, limits: Limits | None = None
    ) -> None:
        self._limits = limits or Limits()
        self.served: dict[str, Method] = {}
        """By name and alias, in the order of the namespaces."""
        for namespace in namespaces:
            for method in methods_of(namespace, codecs):
                self._add(method)

    def _add(self, method: Method) -> None:
        for name in (method.name, *method.aliases):
            assert name not in self.served, f"{name} is served twice"
            self.served[name] = method

    async def answer(self, body: Body, caller: Caller) -> Body:
        """Return the answer to a request or batch; empty if there is none to give."""
        answer = self.begin(body, caller)
        return answer if isinstance(answer, bytes) else await answer()

    def begin(self, body: Body, caller: Caller) -> bytes | Later:
        """Answer at once if nothing has to be waited for, else return what to wait for."""
        if len(body) > INLINE_BYTES:
            return partial(self._in_time, partial(self._answer_long, body, caller))
        try:
            request = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return _failure(None, RpcError(Code.PARSE_ERROR, str(error)))
        if isinstance(request, list):
            if not request:
                return _failure(None, RpcError(Code.INVALID_REQUEST, "the batch is empty"))
            answer = partial(self._answer_batch, request, len(request), caller)
            return partial(self._in_time, answer)
        call = self._read(request, caller, charge=True)
        if isinstance(call, bytes):
            return call
        if call.method.is_async:
            return partial(self._in_time, partial(self._answer_call, call, caller))
        return self._result_now(call, caller)

    async def _in_time(self, answer: Later) -> Body:
        """Wait for an answer, but not for ever."""
        text: Body = b""
        with trio.move_on_after(self._limits.call_timeout) as patience:
            text = await answer()
        if patience.cancelled_caught:
            return _failure(None, RpcError(Code.SERVER_BUSY, "the call took too long"))
        return text

    async def _answer_long(self, body: Body, caller: Caller) -> Body:
        try:
            if is_batch(body):
                return await self._answer_batch(self._parse_each(body), 0, caller)
            require_simple(body, self._limits)
            call = self._read(orjson.loads(body), caller, charge=True)
        except RpcError as error:
            return _failure(None, error)
        except orjson.JSONDecodeError as error:
            return _failure(None, RpcError(Code.PARSE_ERROR, str(error)))
        return call if isinstance(call, bytes) else await self._answer_call(call, caller)

    def _parse_each(self, body: Body) -> Iterator[Json | Pause]:
        for text in split_batch(body, self._limits):
            if text is PAUSE:
                yield Pause.HERE
            else:
                require_simple(text, self._limits)
                yield orjson.loads(text)

    async def _answer_batch(
        self, requests: Iterable[Json | Pause], length: int, caller: Caller
    ) -> Body:
        """Answer a batch; ``length`` is 0 if it is not known before its end."""
        if length > self._limits.batch_length_max:
            return _failure(None, self._batch_too_long())
        if length and caller.meter is not None and not caller.meter.take(length):
            return _failure(None, RpcError(Code.RATE_LIMITED))
        batch = _Batch(self, caller, self._limits.response_bytes_max)
        try:
            count = 0
            for request in requests:
                if request is Pause.HERE:
                    await batch.breathe()
                    continue
                count += 1
                if count > self._limits.batch_length_max:
                    raise self._batch_too_long()
                await batch.add(self._read(request, caller, charge=not length))
            await batch.flush()
        except RpcError as error:
            return _failure(None, error)
        except orjson.JSONDecodeError as error:
            return _failure(None, RpcError(Code.PARSE_ERROR, str(error)))
        if not count:
            return _failure(None, RpcError(Code.INVALID_REQUEST, "the batch is empty"))
        return batch.text()

    def _batch_too_long(self) -> RpcError:
        return RpcError(
            Code.BATCH_TOO_LONG, f"a batch has at most {self._limits.batch_length_max} calls"
        )

    def _read(self, request: Json, caller: Caller, *, charge: bool) -> _Call | bytes:
        """Return the call that a request asks for, or the answer if it cannot be made."""
        if not isinstance(request, dict):
            return _failure(None, RpcError(Code.INVALID_REQUEST, "a request is an object"))
        identity = request.get("id", _ABSENT)
        is_notification = identity is _ABSENT
        if not is_notification and not _is_id(identity):
            return _failure(
                None, RpcError(Code.INVALID_REQUEST, "id must be a string, an integer or null")
            )
        known: Id = None if is_notification else identity  # type: ignore[assignment]  # _is_id
        name = request.get("method")
        if request.get("jsonrpc") != "2.0" or not isinstance(name, str):
            return _failure(
                known, RpcError(Code.INVALID_REQUEST, 'expected jsonrpc "2.0" and a method name')
            )
        try:
            if charge and caller.meter is not None and not caller.meter.take(1):
                raise RpcError(Code.RATE_LIMITED)
            method = self.served.get(name)
            if method is None:
                raise RpcError(Code.METHOD_NOT_FOUND, name[:64])
            _require_allowed(method, caller)
            arguments = method.bind(request.get("params"))
        except RpcError as error:
            return b"" if is_notification else _failure(known, error)
        return _Call(method, arguments, known, is_notification)

    def _result_now(self, call: _Call, caller: Caller) -> bytes:
        """Make a call whose method does not wait."""
        try:
            if call.method.ends_subscriptions:
                assert caller.subscriber is not None, "_require_allowed has seen to it"
                return self._encode(call, caller.subscriber.unsubscribe(*call.arguments), caller)
            return self._encode(call, call.method.call(*call.arguments), caller)
        except Exception as error:  # noqa: BLE001 - no client may stop the node: see _explain
            return self._explain(call, error)

    async def _answer_call(self, call: _Call, caller: Caller) -> bytes:
        if not call.method.is_async:
            return self._result_now(call, caller)
        try:
            if call.method.notification and caller.subscriber is not None:
                caller.subscriber.require_room()
            return self._encode(call, await call.method.call(*call.arguments), caller)
        except Exception as error:  # noqa: BLE001 - no client may stop the node: see _explain
            return self._explain(call, error)

    def _encode(self, call: _Call, result: Any, caller: Caller) -> bytes:  # noqa: ANN401 - any method's
        if isinstance(result, Subscription):
            assert caller.subscriber is not None, "_require_allowed has seen to it"
            return _success(call.identity, caller.subscriber.subscribe(call.method, result))
        if call.is_notification:
            return b""
        text = _success(call.identity, call.method.result.to_json(result))
        if len(text) > self._limits.response_bytes_max:
            raise RpcError(
                Code.RESPONSE_TOO_BIG, f"at most {self._limits.response_bytes_max} bytes"
            )
        return text

    def _explain(self, call: _Call, error: Exception) -> bytes:
        """Return the answer for a call that raised.

        An error of ours is a defect of one method, not of the chain's state, which no method of
        the RPC changes: it is logged and answered, since no client may be able to stop the node.
        """
        match error:
            case RpcError():
                told = error
            case DecodeError():
                told = RpcError(Code.BAD_EXTRINSIC_FORMAT, f"{error.reason}: {error}")
            case LoopinError():
                told = RpcError(Code.SERVER_ERROR, f"{error.reason}: {error}")
            case _:
                _log.error("event=rpc_method_failed method=%s", call.method.name, exc_info=error)
                told = RpcError(Code.INTERNAL_ERROR)
        return b"" if call.is_notification else _failure(call.identity, told)


class _Batch:
    """The answers of a batch as they come; calls of one bulk method are made together."""

    def __init__(self, dispatcher: Dispatcher, caller: Caller, bytes_max: int) -> None:
        self._dispatcher = dispatcher
        self._caller = caller
        self._bytes_max = bytes_max
        # Grown as answers come: to join them at the end would take long in one go.
        self._text = bytearray(b"[")
        self._together: list[_Call] = []
        self._slices = Slices()

    async def add(self, call: _Call | bytes) -> None:
        """Take the next call, or the answer to it. Raises: RpcError."""
        if isinstance(call, bytes):
            self._keep(call)
        elif call.method.bulk is not None:
            if self._together and self._together[0].method is not call.method:
                await self.flush()
            self._together.append(call)
            if len(self._together) >= BULK_LENGTH_MAX:
                await self.flush()
        else:
            await self.flush()
            self._keep(await self._dispatcher._answer_call(call, self._caller))  # noqa: SLF001 - one noun in two classes
        await self._slices.breathe()

    async def breathe(self) -> None:
        """Let others run if the batch has held the event loop for long."""
        await self._slices.breathe()

    async def flush(self) -> None:
        """Make the calls that wait to be made together."""
        calls, self._together = self._together, []
        if not calls:
            return
        bulk = calls[0].method.bulk
        assert bulk is not None, "add keeps only such calls"
        try:
            results = await bulk([call.arguments for call in calls])
        except Exception as error:  # noqa: BLE001 - no client may stop the node: see _explain
            results = [error] * len(calls)
        for call, result in zip(calls, results, strict=True):
            self._keep(self._answer_of(call, result))
            await self._slices.breathe()

    def _answer_of(self, call: _Call, result: Any) -> bytes:  # noqa: ANN401 - any method's
        # A refusal is not raised: thousands of tracebacks are cycles that stall the collector.
        if isinstance(result, Exception):
            return self._dispatcher._explain(call, result)  # noqa: SLF001 - one noun in two classes
        try:
            return self._dispatcher._encode(call, result, self._caller)  # noqa: SLF001 - as above
        except Exception as error:  # noqa: BLE001 - no client may stop the node: see _explain
            return self._dispatcher._explain(call, error)  # noqa: SLF001 - as above

    def text(self) -> Body:
        """Return the answer to the batch; empty if all were notifications."""
        if len(self._text) == 1:
            return b""
        self._text[-1:] = b"]"
        return self._text

    def _keep(self, answer: bytes) -> None:
        if answer:
            if len(self._text) + len(answer) >= self._bytes_max:
                raise RpcError(Code.BATCH_RESPONSE_TOO_BIG, f"at most {self._bytes_max} bytes")
            self._text += answer
            self._text += b","


def _is_id(identity: object) -> bool:
    if isinstance(identity, str):
        return len(identity) <= ID_LENGTH_MAX
    return identity is None or type(identity) is int


def _require_allowed(method: Method, caller: Caller) -> None:
    if not method.safe and not caller.is_trusted:
        raise RpcError(
            Code.METHOD_NOT_FOUND,
            {"method": method.name},
            message="RPC call is unsafe to be called externally",
        )
    if method.needs_websocket and caller.subscriber is None:
        raise RpcError(Code.METHOD_NOT_FOUND, "subscriptions need a WebSocket connection")


def _success(identity: Id, result: Json) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": identity, "result": result})


def _failure(identity: Id, error: RpcError) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": identity, "error": error.to_json()})
