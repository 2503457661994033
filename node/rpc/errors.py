"""What goes back to a client whose call failed, with the codes that its libraries know.

The standard codes are JSON-RPC's own; those around -32000 are the ones that Substrate's server
gives for its limits, and those from 1000 on are its transaction pool's.
"""

from enum import IntEnum

from node.rpc.json_types import Json
from primitives.errors import LoopinError


class Code(IntEnum):
    """The codes of errors."""

    PARSE_ERROR = -32700
    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603

    SERVER_ERROR = -32000
    TOO_MANY_SUBSCRIPTIONS = -32006
    REQUEST_TOO_BIG = -32007
    RESPONSE_TOO_BIG = -32008
    SERVER_BUSY = -32009
    BATCH_TOO_LONG = -32010
    BATCH_RESPONSE_TOO_BIG = -32011
    RATE_LIMITED = -32999

    BAD_EXTRINSIC_FORMAT = 1001
    VERIFICATION_ERROR = 1002
    POOL_INVALID = 1010
    POOL_UNKNOWN_VALIDITY = 1011
    POOL_TEMPORARILY_BANNED = 1012
    POOL_ALREADY_IMPORTED = 1013
    POOL_TOO_LOW_PRIORITY = 1014
    POOL_CYCLE_DETECTED = 1015
    POOL_IMMEDIATELY_DROPPED = 1016
    POOL_UNACTIONABLE = 1018


MESSAGES: dict[Code, str] = {
    Code.PARSE_ERROR: "Parse error",
    Code.INVALID_REQUEST: "Invalid Request",
    Code.METHOD_NOT_FOUND: "Method not found",
    Code.INVALID_PARAMS: "Invalid params",
    Code.INTERNAL_ERROR: "Internal error",
    Code.SERVER_ERROR: "Server error",
    Code.TOO_MANY_SUBSCRIPTIONS: "Too many subscriptions on the connection",
    Code.REQUEST_TOO_BIG: "Request is too big",
    Code.RESPONSE_TOO_BIG: "Response is too big",
    Code.SERVER_BUSY: "Server is busy, try again later",
    Code.BATCH_TOO_LONG: "The batch request was too large",
    Code.BATCH_RESPONSE_TOO_BIG: "The batch response was too large",
    Code.RATE_LIMITED: "RPC rate limit exceeded",
    Code.BAD_EXTRINSIC_FORMAT: "Extrinsic has invalid format",
    Code.VERIFICATION_ERROR: "Verification Error",
    Code.POOL_INVALID: "Invalid Transaction",
    Code.POOL_UNKNOWN_VALIDITY: "Unknown Transaction Validity",
    Code.POOL_TEMPORARILY_BANNED: "Transaction is temporarily banned",
    Code.POOL_ALREADY_IMPORTED: "Transaction Already Imported",
    Code.POOL_TOO_LOW_PRIORITY: "Priority is too low",
    Code.POOL_CYCLE_DETECTED: "Cycle Detected",
    Code.POOL_IMMEDIATELY_DROPPED: "Immediately Dropped",
    Code.POOL_UNACTIONABLE: "Unactionable",
}


class RpcError(LoopinError):
    """A call failed for a reason that the caller is told: a code, and ``data`` that says why."""

    def __init__(self, code: Code, data: Json = None, *, message: str | None = None) -> None:
        super().__init__(code, data)
        self.code = code
        self.message = message or MESSAGES[code]
        self.data = data

    def to_json(self) -> dict[str, Json]:
        """Return the ``error`` member of a response."""
        body: dict[str, Json] = {"code": int(self.code), "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


def invalid_parameter(name: str, reason: str) -> RpcError:
    """Return the error for a parameter that is not what the method takes."""
    return RpcError(
        Code.INVALID_PARAMS,
        {"parameter": name, "reason": reason},
        message=f"Invalid params: {name}: {reason}",
    )


def require_count(count: int, most: int) -> None:
    """Refuse a page of nothing, or of more than ``most``. Raises: RpcError."""
    if not 1 <= count <= most:
        raise invalid_parameter("count", f"expected 1 to {most}")
