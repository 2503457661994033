"""``author_*``: handing extrinsics to the chain, and the node's own keys."""

from collections.abc import Sequence
from typing import Annotated

from node.rpc.backend import AuthorBackend, ExtrinsicStatus, StatusKind
from node.rpc.errors import RpcError
from node.rpc.feeds import Subscription
from node.rpc.json_codecs import Rendered, Schema, hex_of
from node.rpc.json_types import Json
from node.rpc.method import method, subscription
from node.rpc.pool_errors import pool_error
from node.rpc.rendering import Renderer
from primitives.errors import LoopinError
from primitives.types import AccountId, Digest, PublicKey

PENDING_MAX = 2000
"""Extrinsics in one answer of ``author_pendingExtrinsics``."""

_ENDS = ("inBlock", "retracted", "finalized", "usurped", "dropped", "invalid")
_STATUS = Schema(
    {
        "title": "ExtrinsicStatus",
        "oneOf": [
            {"type": "string", "enum": ["future", "ready"]},
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
                "properties": {kind: {"type": "string"} for kind in _ENDS},
            },
        ],
    }
)


class Author:
    """The way into the chain."""

    def __init__(self, backend: AuthorBackend, renderer: Renderer) -> None:
        self._backend = backend
        self._renderer = renderer

    @method("author_submitExtrinsic", bulk="submit_extrinsics")
    async def submit_extrinsic(self, extrinsic: bytes) -> Digest:
        """Offer an encoded extrinsic to the mempool and return its hash."""
        (answer,) = await self.submit_extrinsics([(extrinsic,)])
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def submit_extrinsics(self, calls: Sequence[tuple[bytes]]) -> Sequence[Digest | RpcError]:
        """Offer many at once: their signatures are checked together."""
        answers = await self._backend.submit([extrinsic for (extrinsic,) in calls])
        return [
            pool_error(answer) if isinstance(answer, LoopinError) else answer for answer in answers
        ]

    @subscription(
        "author_submitAndWatchExtrinsic",
        notification="author_extrinsicUpdate",
        unsubscribe="author_unwatchExtrinsic",
    )
    async def submit_and_watch_extrinsic(
        self, extrinsic: bytes
    ) -> Subscription[Annotated[object, _STATUS]]:
        """Offer an encoded extrinsic to the mempool and send what becomes of it.

        The last status is finalized, usurped, dropped or invalid, the latter two with the reason.
        """
        try:
            feed = await self._backend.submit_and_watch(extrinsic)
        except LoopinError as error:
            raise pool_error(error) from None
        return Subscription(feed, status_to_json)

    @method("author_pendingExtrinsics")
    async def pending_extrinsics(self) -> Rendered[list[bytes]]:
        """Return the extrinsics that wait in the mempool, the first 2000 of them."""
        return await self._renderer.render(self._backend.pending(PENDING_MAX), bytes)

    @method("author_rotateKeys", safe=False)
    def rotate_keys(self, owner: AccountId) -> bytes:
        """Make new session keys for a validator; return the arguments of `session.set_keys`.

        Their secrets stay in this node's keystore. Each key proves to the chain that this node
        holds it, for `owner` alone. The peer key stays what it is.
        """
        return self._backend.rotate_keys(owner)

    @method("author_hasKey", safe=False)
    def has_key(self, public_key: PublicKey, key_type: str) -> bool:
        """Return whether this node's keystore holds the secret key of a public one."""
        return self._backend.has_key(public_key, key_type)


def status_to_json(status: ExtrinsicStatus) -> Json:
    """Return a status in the form that wallets know."""
    match status.kind:
        case StatusKind.FUTURE | StatusKind.READY:
            return status.kind.value
        case StatusKind.DROPPED | StatusKind.INVALID:
            return {status.kind.value: status.reason}
        case _:
            assert status.hash is not None, f"{status.kind} names a hash"
            return {status.kind.value: hex_of(status.hash)}
