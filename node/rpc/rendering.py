"""Long lists as JSON, made in slices of time so that the event loop is free between them."""

from collections.abc import Iterable
from typing import Any, TypeVar

import orjson

from node.rpc.errors import Code, RpcError
from node.rpc.json_codecs import JsonCodecs, Rendered
from node.rpc.slices import Slices

T = TypeVar("T")


class Renderer:
    """Writes lists whose length others decide: the extrinsics of a block, the mempool."""

    def __init__(self, codecs: JsonCodecs, bytes_max: int) -> None:
        self._codecs = codecs
        self._bytes_max = bytes_max

    async def render(self, items: Iterable[T], annotation: Any) -> Rendered[list[T]]:  # noqa: ANN401 - annotations have no common type
        """Return ``items``, each of the type ``annotation``, as a JSON list. Raises: RpcError."""
        to_json = self._codecs.of(annotation).to_json
        slices = Slices()
        texts: list[bytes] = []
        size = 2
        for item in items:
            text = orjson.dumps(to_json(item))
            texts.append(text)
            size += len(text) + 1
            if size > self._bytes_max:
                raise RpcError(Code.RESPONSE_TOO_BIG, f"at most {self._bytes_max} bytes")
            await slices.breathe()
        return Rendered(orjson.Fragment(b"[" + b",".join(texts) + b"]"))
