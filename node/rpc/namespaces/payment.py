"""``payment_*``: what an extrinsic costs before it is sent."""

from node.rpc.backend import FeeInfo, PaymentBackend
from node.rpc.method import method
from primitives.types import Digest


class Payment:
    """Fees."""

    def __init__(self, backend: PaymentBackend) -> None:
        self._backend = backend

    @method("payment_queryInfo", aliases=("payment_queryInfoAt",))
    async def query_info(self, extrinsic: bytes, at: Digest | None = None) -> FeeInfo:
        """Return weight and fee of an encoded extrinsic; its signature may be missing or wrong."""
        return await self._backend.query_fee(extrinsic, at)
