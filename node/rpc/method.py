"""What a method of the RPC is: a typed Python function under a name that clients know.

A namespace is a class whose methods carry ``@method`` or ``@subscription``. Nothing is registered
when a file is imported: the dispatcher is given the namespaces, and looks.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from node.rpc.errors import Code, RpcError, invalid_parameter
from node.rpc.feeds import Subscription
from node.rpc.json_codecs import BadValue, JsonCodec, JsonCodecs, camel_case
from node.rpc.json_types import Json, JsonObject

_MARK = "__rpc__"
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class _Mark:
    name: str
    safe: bool
    aliases: tuple[str, ...]
    bulk: str = ""
    notification: str = ""
    unsubscribe: str = ""
    unsubscribe_aliases: tuple[str, ...] = ()


def method(
    name: str, *, safe: bool = True, aliases: tuple[str, ...] = (), bulk: str = ""
) -> Callable[[_Function], _Function]:
    """Serve a function under ``name``; an unsafe one only to callers that the operator trusts.

    ``bulk`` names a function of the same class that answers many such calls of a batch at once:
    it takes a list of argument tuples and returns as many results or ``RpcError``.
    """

    def mark(function: _Function) -> _Function:
        setattr(function, _MARK, _Mark(name, safe, aliases, bulk))
        return function

    return mark


def subscription(
    name: str,
    *,
    notification: str,
    unsubscribe: str,
    aliases: tuple[str, ...] = (),
    unsubscribe_aliases: tuple[str, ...] = (),
) -> Callable[[_Function], _Function]:
    """Serve a function that returns a ``Subscription``; only over WebSocket.

    ``notification`` is the method's name in what the subscriber is sent.
    """

    def mark(function: _Function) -> _Function:
        marked = _Mark(name, True, aliases, "", notification, unsubscribe, unsubscribe_aliases)
        setattr(function, _MARK, marked)
        return function

    return mark


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method."""

    name: str
    """As JSON spells it."""
    codec: JsonCodec
    required: bool
    default: Any


@dataclass(frozen=True, slots=True)
class Method:
    """A method as it is served."""

    name: str
    aliases: tuple[str, ...]
    safe: bool
    summary: str
    description: str
    parameters: tuple[Parameter, ...]
    result: JsonCodec
    """Of a subscription: what each notification carries."""
    call: Callable[..., Any]
    is_async: bool
    bulk: Callable[[Sequence[tuple[Any, ...]]], Awaitable[Sequence[Any]]] | None
    notification: str
    """Empty unless this is a subscription."""
    ends_subscriptions: bool = False
    """Whether this is the counterpart of a subscription: answered by the connection itself."""

    @property
    def needs_websocket(self) -> bool:
        """Whether the method makes sense only on a connection that can be notified."""
        return bool(self.notification) or self.ends_subscriptions

    def bind(self, given: Json) -> tuple[Any, ...]:
        """Return the arguments for the ``params`` of a request. Raises: RpcError."""
        if given is None:
            values: list[Any] = []
        elif isinstance(given, list):
            values = given
        elif isinstance(given, dict):
            return self._bind_names(given)
        else:
            raise RpcError(Code.INVALID_REQUEST, "params must be an array or an object")
        if len(values) > len(self.parameters):
            raise RpcError(
                Code.INVALID_PARAMS,
                {"reason": f"at most {len(self.parameters)} parameters, {len(values)} given"},
            )
        return tuple(
            _read(parameter, values[index] if index < len(values) else None)
            for index, parameter in enumerate(self.parameters)
        )

    def _bind_names(self, given: JsonObject) -> tuple[Any, ...]:
        known = {parameter.name for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise invalid_parameter(name[:64], "the method has no such parameter")
        return tuple(_read(parameter, given.get(parameter.name)) for parameter in self.parameters)


def _read(parameter: Parameter, value: Json) -> Any:  # noqa: ANN401 - the parameter's own type
    # null stands for an absent parameter: clients pad positional parameters with it.
    if value is None:
        if parameter.required:
            raise invalid_parameter(parameter.name, "is required")
        return parameter.default
    try:
        return parameter.codec.from_json(value)
    except BadValue as error:
        raise invalid_parameter(parameter.name, str(error)) from None


def methods_of(namespace: object, codecs: JsonCodecs) -> Iterator[Method]:
    """Yield the methods that a namespace serves, in the order of its file."""
    for attribute, function in vars(type(namespace)).items():
        mark = getattr(function, _MARK, None)
        if isinstance(mark, _Mark):
            yield _method_of(namespace, attribute, mark, codecs)
            if mark.unsubscribe:
                yield _unsubscribe_method(mark, codecs)


def _method_of(namespace: object, attribute: str, mark: _Mark, codecs: JsonCodecs) -> Method:
    call = getattr(namespace, attribute)
    hints = get_type_hints(call, include_extras=True)
    result = hints["return"]
    if mark.notification:
        assert get_origin(result) is Subscription, f"{mark.name} returns no Subscription"
        (result,) = get_args(result)
    summary, _, description = (inspect.getdoc(call) or "").partition("\n")
    return Method(
        name=mark.name,
        aliases=mark.aliases,
        safe=mark.safe,
        summary=summary,
        description=description.strip(),
        parameters=tuple(
            Parameter(
                name=camel_case(name),
                codec=codecs.of(hints[name]),
                required=parameter.default is inspect.Parameter.empty,
                default=parameter.default,
            )
            for name, parameter in inspect.signature(call).parameters.items()
        ),
        result=codecs.of(result),
        call=call,
        is_async=inspect.iscoroutinefunction(call),
        bulk=getattr(namespace, mark.bulk) if mark.bulk else None,
        notification=mark.notification,
    )


def _unsubscribe_method(mark: _Mark, codecs: JsonCodecs) -> Method:
    return Method(
        name=mark.unsubscribe,
        aliases=mark.unsubscribe_aliases,
        safe=True,
        summary=f"End a subscription made with {mark.name}; return whether there was one.",
        description="",
        parameters=(Parameter("subscription", codecs.of(str), True, None),),
        result=codecs.of(bool),
        call=_answered_by_the_connection,
        is_async=False,
        bulk=None,
        notification="",
        ends_subscriptions=True,
    )


def _answered_by_the_connection() -> None:
    raise AssertionError("the dispatcher asks the connection")
