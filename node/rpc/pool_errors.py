"""Why the mempool refused an extrinsic, in the codes that wallets of this ecosystem know."""

from chain.mempool import AccountFull, AlreadyKnown, MempoolFull, TipTooLow, TooFarAhead
from node.rpc.errors import Code, RpcError
from primitives.errors import DecodeError, InvalidExtrinsic, LoopinError

_CODES: tuple[tuple[type[LoopinError], Code], ...] = (
    (AlreadyKnown, Code.POOL_ALREADY_IMPORTED),
    (TipTooLow, Code.POOL_TOO_LOW_PRIORITY),
    (AccountFull, Code.POOL_IMMEDIATELY_DROPPED),
    (MempoolFull, Code.POOL_IMMEDIATELY_DROPPED),
    (TooFarAhead, Code.POOL_IMMEDIATELY_DROPPED),
    (DecodeError, Code.BAD_EXTRINSIC_FORMAT),
    (InvalidExtrinsic, Code.POOL_INVALID),
)


def pool_error(error: LoopinError) -> RpcError:
    """Return what the client is told; ``data`` holds the reason's name, then its values."""
    if isinstance(error, RpcError):
        return error
    detail = ", ".join(str(value) for value in error.args)
    reason = f"{error.reason}: {detail}" if detail else error.reason
    for kind, code in _CODES:
        if isinstance(error, kind):
            return RpcError(code, reason)
    return RpcError(Code.VERIFICATION_ERROR, reason)
