"""What a runtime module is made of: storage, events, errors, calls and hooks.

Invariants: storage is read and written through a codec, so that no value outside its type can be
stored; a default is stored as absence, so that two states that mean the same hash the same; the
calls, events and errors of a module are named on its class, and no registry is filled at import.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, TypeVar, cast, overload

from primitives.codec import Codec, Plain
from primitives.errors import DispatchError
from primitives.types import AccountId, Digest, Epoch, Height, Millis, Signer, View, Weight
from runtime.annotations import field_codecs
from runtime.overlay import Overlay

T = TypeVar("T")
K = TypeVar("K")
F = TypeVar("F", bound=Callable[..., None])

EMPTY_ACCOUNT = AccountId(bytes(32))
"""Author of genesis; no key belongs to it."""


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """What hooks and calls may know of the block that holds them, before its roots exist."""

    height: Height
    parent_hash: Digest
    view: View
    epoch: Epoch
    timestamp: Millis
    author: AccountId
    vrf_output: bytes
    """The verified output of the author's VRF proof; empty in genesis."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a block. Subclasses are frozen dataclasses, past participles."""


class Scope:
    """A ``with`` block whose writes and events are undone when an exception leaves it."""

    __slots__ = ("_context", "_events", "_mark")

    def __init__(self, context: "Context") -> None:
        self._context = context

    def __enter__(self) -> None:
        self._events = len(self._context.events)
        self._mark = self._context.overlay.open_transaction()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._context.overlay.close_transaction(self._mark, keep=kind is None)
        if kind is not None:
            del self._context.events[self._events :]


class Context:
    """What every module of one runtime shares: the overlay, the block, the events so far."""

    def __init__(self, overlay: Overlay, block: BlockInfo) -> None:
        self.overlay = overlay
        self.block = block
        self.events: list[Plain] = []
        self.extrinsic_index = 0
        """Place in its block of the extrinsic that is being executed."""

    def transaction(self) -> Scope:
        """Return a ``with`` block whose writes and events are undone by an exception."""
        return Scope(self)


@dataclass(frozen=True, slots=True)
class CallEntry:
    """A call as the runtime found it on a module class; it belongs to no runtime in particular."""

    module: str
    method: str
    number: int
    parameters: tuple[str, ...]
    codecs: tuple[Codec[Any], ...]
    weight: Callable[..., Weight]
    """Takes the call's arguments."""
    function: Callable[..., None]
    """Takes the module, the signer unless the call is an inherent, and the arguments."""
    is_inherent: bool
    summary: str

    @property
    def name(self) -> str:
        """``module.method``."""
        return f"{self.module}.{self.method}"


@dataclass(frozen=True, slots=True)
class Call:
    """A decoded call with its arguments."""

    entry: CallEntry
    arguments: tuple[Any, ...]

    @property
    def name(self) -> str:
        """``module.method``."""
        return self.entry.name

    @property
    def weight(self) -> Weight:
        """What executing it costs at most."""
        return self.entry.weight(*self.arguments)

    def to_plain(self) -> Plain:
        """Return ``["module.method", argument, ...]``."""
        pairs = zip(self.entry.codecs, self.arguments, strict=True)
        return [self.entry.name, *(codec.to_plain(value) for codec, value in pairs)]


class Dispatcher(Protocol):
    """What modules that make calls on behalf of others need of the runtime."""

    def dispatch(self, signer: Signer, call: Call) -> None:
        """Make ``call`` as ``signer``; a failure undoes its own writes. Raises: DispatchError."""

    def error_name(self, error: DispatchError) -> str:
        """Return ``module.ErrorName``."""


@dataclass(frozen=True, slots=True)
class CallMark:
    """What the decorators leave on a method."""

    number: int
    weight: Weight | Callable[..., Weight]
    is_inherent: bool


_MARK = "_call_mark"


def call(number: int, *, weight: Weight | Callable[..., Weight]) -> Callable[[F], F]:
    """Offer a method to users; ``number`` never changes, ``weight`` may depend on the arguments."""
    return _marker(CallMark(number, weight, is_inherent=False))


def inherent(number: int, *, weight: Weight) -> Callable[[F], F]:
    """Offer a method to block authors: once a block, before the signed extrinsics, no signer."""
    return _marker(CallMark(number, weight, is_inherent=True))


def _marker(mark: CallMark) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        setattr(function, _MARK, mark)
        return function

    return decorate


def call_marks(module: type["Module"]) -> dict[str, CallMark]:
    """Return the marks of a module's calls by method name, in the order of their numbers."""
    found = {
        name: cast(CallMark, getattr(member, _MARK))
        for name, member in vars(module).items()
        if hasattr(member, _MARK)
    }
    numbers = [mark.number for mark in found.values()]
    assert len(set(numbers)) == len(numbers), f"{module.name}: two calls with one number"
    return dict(sorted(found.items(), key=lambda item: item[1].number))


class BoundValue(Generic[T]):
    """One stored value of one runtime."""

    __slots__ = ("_codec", "_default", "_key", "_overlay")

    def __init__(self, overlay: Overlay, key: bytes, codec: Codec[T], default: T) -> None:
        self._overlay, self._key, self._codec, self._default = overlay, key, codec, default

    def get(self) -> T:
        """Return the value, or the default."""
        data = self._overlay.get(self._key)
        return self._default if data is None else self._codec.load(data)

    def set(self, value: T) -> None:
        """Write the value. Raises: OutOfRange."""
        if value == self._default:
            self._overlay.delete(self._key)
        else:
            self._overlay.put(self._key, self._codec.encode(value))


class BoundMap(Generic[K, T]):
    """One stored map of one runtime; a key that is missing has the default."""

    __slots__ = ("_codec", "_default", "_key_codec", "_overlay", "_prefix")

    def __init__(
        self, overlay: Overlay, prefix: bytes, key_codec: Codec[K], codec: Codec[T], default: T
    ) -> None:
        self._overlay, self._prefix, self._default = overlay, prefix, default
        self._key_codec, self._codec = key_codec, codec

    def __getitem__(self, key: K) -> T:
        data = self._overlay.get(self._prefix + self._key_codec.encode(key))
        return self._default if data is None else self._codec.load(data)

    def __setitem__(self, key: K, value: T) -> None:
        full = self._prefix + self._key_codec.encode(key)
        if value == self._default:
            self._overlay.delete(full)
        else:
            self._overlay.put(full, self._codec.encode(value))

    def __delitem__(self, key: K) -> None:
        self._overlay.delete(self._prefix + self._key_codec.encode(key))

    def __contains__(self, key: K) -> bool:
        return self._overlay.get(self._prefix + self._key_codec.encode(key)) is not None

    def items(self) -> Iterator[tuple[K, T]]:
        """Yield every key with its value, in the order of the encoded keys.

        For genesis export and invariants only: a walk has no bound.
        """
        start = len(self._prefix)
        for full, data in self._overlay.items(self._prefix):
            yield self._key_codec.load(full[start:]), self._codec.load(data)

    def values(self) -> Iterator[T]:
        """Yield every value, in the order of the encoded keys; bounded as little as ``items``."""
        for _, data in self._overlay.items(self._prefix):
            yield self._codec.load(data)


class StorageValue(Generic[T]):
    """Declares one stored value; its key is ``module.item``."""

    def __init__(self, codec: Codec[T], *, default: T) -> None:
        self.codec, self.default = codec, default
        self.item = ""

    def __set_name__(self, owner: type["Module"], name: str) -> None:
        self.item = name

    @overload
    def __get__(self, module: None, owner: type["Module"]) -> "StorageValue[T]": ...
    @overload
    def __get__(self, module: "Module", owner: type["Module"]) -> BoundValue[T]: ...
    def __get__(
        self, module: "Module | None", owner: type["Module"]
    ) -> "StorageValue[T] | BoundValue[T]":
        if module is None:
            return self
        key = f"{module.name}.{self.item}".encode()
        bound = BoundValue(module.context.overlay, key, self.codec, self.default)
        # Found before this descriptor from now on, which saves building it at each access.
        vars(module)[self.item] = bound
        return bound


class StorageMap(Generic[K, T]):
    """Declares a stored map; its keys are ``module.item:`` and the encoded map key."""

    def __init__(self, key_codec: Codec[K], codec: Codec[T], *, default: T) -> None:
        self.key_codec, self.codec, self.default = key_codec, codec, default
        self.item = ""

    def __set_name__(self, owner: type["Module"], name: str) -> None:
        self.item = name

    @overload
    def __get__(self, module: None, owner: type["Module"]) -> "StorageMap[K, T]": ...
    @overload
    def __get__(self, module: "Module", owner: type["Module"]) -> BoundMap[K, T]: ...
    def __get__(
        self, module: "Module | None", owner: type["Module"]
    ) -> "StorageMap[K, T] | BoundMap[K, T]":
        if module is None:
            return self
        prefix = f"{module.name}.{self.item}:".encode()
        overlay = module.context.overlay
        bound = BoundMap(overlay, prefix, self.key_codec, self.codec, self.default)
        vars(module)[self.item] = bound
        return bound


class InvariantBroken(AssertionError):
    """What always holds between blocks does not hold after this one: a bug, which stops the node.

    ``invariant`` is its name, ``module.what_holds``.
    """

    def __init__(self, invariant: str, block: BlockInfo) -> None:
        super().__init__(f"{invariant} does not hold after block {block.height}")
        self.invariant = invariant
        self.height = block.height
        self.view = block.view


class Module:
    """A part of the runtime with storage, calls and hooks of its own."""

    name: ClassVar[str]
    index: ClassVar[int]
    """Never changes once a chain has run."""
    events: ClassVar[tuple[type[Event], ...]] = ()
    errors: ClassVar[tuple[type[DispatchError], ...]] = ()

    def __init__(self, context: Context) -> None:
        self.context = context

    def emit(self, event: Event) -> None:
        """Record an event; it vanishes with the writes if the call fails."""
        kind = type(event)
        assert kind in self.events, f"{kind.__name__} is not among {self.name}.events"
        plain: list[Plain] = [f"{self.name}.{kind.__name__}"]
        for name, codec in field_codecs(kind).items():
            plain.append(codec.to_plain(getattr(event, name)))
        self.context.events.append(plain)

    def begin_block(self) -> None:
        """Do what comes before the extrinsics of a block; bounded, and must not raise."""

    def end_block(self) -> None:
        """Do what comes after the extrinsics of a block; bounded, and must not raise."""

    def check_invariants(self) -> None:
        """Require what always holds between blocks; walks whole maps, so never inside a block.

        Raises: InvariantBroken.
        """

    def require(self, invariant: str, holds: bool) -> None:  # noqa: FBT001 - the condition is the point
        """Refuse to go on unless an invariant holds; its name says what holds, in_snake_case.

        Raises: InvariantBroken.
        """
        if not holds:
            raise InvariantBroken(f"{self.name}.{invariant}", self.context.block)
