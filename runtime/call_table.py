"""Every call of a chain by name, and the codec that reads calls within calls.

Invariant: the table is made from module classes alone, so any process can read extrinsics without
a state. Nesting is bounded by the encoding's own depth limit.
"""

from collections.abc import Callable
from typing import Any

from primitives.block import EXTRINSIC_BYTES_MAX
from primitives.codec import DEPTH_MAX, Codec, Plain, WrongType, listing
from primitives.types import Weight
from runtime.annotations import parameter_codecs
from runtime.module import Call, CallEntry, CallMark, Module, call_marks

NESTED_CALLS_MAX = 256
"""Most calls in one list of calls."""


class UnknownCall(WrongType):
    """No module of this chain has a call of that name."""


def call_list(extra: dict[Any, Codec[Any]]) -> Codec[tuple[Call, ...]]:
    """Return the codec of a list of calls, for ``Annotated[tuple[Call, ...], call_list]``."""
    calls: Codec[Call] = extra[Call]
    return listing(calls, NESTED_CALLS_MAX)


class CallTable:
    """Reads calls of a chain made of ``modules``."""

    def __init__(self, modules: tuple[type[Module], ...]) -> None:
        self.entries: dict[str, CallEntry] = {}
        description = {"type": "call"}
        self.codec: Codec[Call] = Codec(
            description, EXTRINSIC_BYTES_MAX, DEPTH_MAX, Call.to_plain, self.from_plain
        )
        for module in modules:
            for method, mark in call_marks(module).items():
                entry = self._entry(module, method, mark)
                self.entries[entry.name] = entry

    def from_plain(self, plain: Plain) -> Call:
        """Return the call that ``["module.method", argument, ...]`` stands for.

        Raises: WrongType.
        """
        if not isinstance(plain, list) or not plain or not isinstance(plain[0], str):
            raise WrongType("a call is [name, argument, ...]")
        entry = self.entries.get(plain[0])
        if entry is None:
            raise UnknownCall(f"no call {plain[0]!r:.60}")
        if len(plain) != len(entry.codecs) + 1:
            raise WrongType(f"{entry.name} takes {len(entry.codecs)} arguments")
        codecs = entry.codecs
        arguments = [codec.from_plain(plain[i]) for i, codec in enumerate(codecs, 1)]
        return Call(entry, tuple(arguments))

    def _entry(self, module: type[Module], method: str, mark: CallMark) -> CallEntry:
        function = getattr(module, method)
        # The module itself has no annotation; the signer, which inherents lack, is not an argument.
        codecs = parameter_codecs(
            function, skip=0 if mark.is_inherent else 1, extra={Call: self.codec}
        )
        return CallEntry(
            module=module.name,
            method=method,
            number=mark.number,
            parameters=tuple(codecs),
            codecs=tuple(codecs.values()),
            weight=_weight(mark.weight),
            function=function,
            is_inherent=mark.is_inherent,
            summary=(function.__doc__ or "").strip().split("\n")[0],
        )


def _weight(weight: Weight | Callable[..., Weight]) -> Callable[..., Weight]:
    return weight if callable(weight) else lambda *_: weight
