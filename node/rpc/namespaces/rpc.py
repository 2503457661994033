"""``rpc_*``: what can be called here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from node.rpc.json_codecs import Schema
from node.rpc.json_types import JsonObject
from node.rpc.method import Method, method
from node.rpc.openrpc import document_of


@dataclass(frozen=True, slots=True)
class MethodNames:
    methods: Sequence[str]


class Rpc:
    """The RPC about itself."""

    def __init__(self, methods: Callable[[], Mapping[str, Method]], version: str) -> None:
        """``methods`` returns everything that is served, by name and alias."""
        self._methods = methods
        self._version = version
        self._document: JsonObject | None = None

    @method("rpc_methods")
    def methods(self) -> MethodNames:
        """Return the names of all methods, aliases included."""
        return MethodNames(sorted(self._methods()))

    @method("rpc_discover", aliases=("rpc.discover",))
    def discover(
        self,
    ) -> Annotated[object, Schema({"type": "object", "title": "OpenRPC document"})]:
        """Return a description of all methods, their parameters and results (OpenRPC)."""
        if self._document is None:
            self._document = document_of(self._methods(), self._version)
        return self._document
