"""From the types in a signature or an event to the codecs that write them."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from primitives.codec import ACCOUNT, AMOUNT, BOOL, DIGEST, U32, U64, Codec, optional
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Millis,
    Nonce,
    Signer,
    SpecVersion,
    View,
    VotingPower,
    Weight,
)

_CODECS: Mapping[Any, Codec[Any]] = {
    AccountId: ACCOUNT,
    Signer: ACCOUNT,
    Digest: DIGEST,
    Balance: AMOUNT,
    bool: BOOL,
    SpecVersion: U32,
    **dict.fromkeys((Height, View, Epoch, Nonce, Millis, Weight, VotingPower), U64),
}


class NoCodec(TypeError):
    """A type has no canonical encoding: annotate it as ``Annotated[type, codec]``."""


def codec_of(annotation: Any, extra: Mapping[Any, Codec[Any]]) -> Codec[Any]:
    """Return the codec of a type; ``extra`` adds to the common ones. Raises: NoCodec."""
    known = extra.get(annotation) or _CODECS.get(annotation)
    if known is not None:
        return known
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for argument in arguments[1:]:
            if isinstance(argument, Codec):
                return argument
            if callable(argument):
                # A codec that has to be built around one of ``extra``, such as a list of calls.
                built = argument(extra)
                assert isinstance(built, Codec)
                return built
        return codec_of(arguments[0], extra)
    if origin in (Union, UnionType) and len(arguments) == 2 and NoneType in arguments:
        (inner,) = [argument for argument in arguments if argument is not NoneType]
        return optional(codec_of(inner, extra))
    raise NoCodec(f"{annotation!r} has no canonical encoding")


def parameter_codecs(
    function: Callable[..., None], *, skip: int, extra: Mapping[Any, Codec[Any]]
) -> dict[str, Codec[Any]]:
    """Return the codecs of a call's parameters by name, without the first ``skip`` of them."""
    hints = get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    return {name: codec_of(hint, extra) for name, hint in list(hints.items())[skip:]}


_FIELD_CODECS: dict[type[Any], Mapping[str, Codec[Any]]] = {}


def field_codecs(cls: type[Any]) -> Mapping[str, Codec[Any]]:
    """Return the codecs of a dataclass's fields by name, in their order."""
    known = _FIELD_CODECS.get(cls)
    if known is None:
        hints = get_type_hints(cls, include_extras=True)
        known = {field.name: codec_of(hints[field.name], {}) for field in fields(cls)}
        _FIELD_CODECS[cls] = known
    return known
