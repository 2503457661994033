"""What wallets are told of a refusal by the mempool."""

import pytest

from chain.mempool import AccountFull, AlreadyKnown, MempoolFull, TipTooLow, TooFarAhead
from node.rpc.errors import Code, RpcError
from node.rpc.pool_errors import pool_error
from primitives.errors import DecodeError, InvalidExtrinsic, LoopinError


@pytest.mark.parametrize(
    "error, code, data",
    [
        (DecodeError("truncated"), 1001, "DecodeError: truncated"),
        (InvalidExtrinsic(), 1010, "InvalidExtrinsic"),
        (AlreadyKnown("0x01"), 1013, "AlreadyKnown: 0x01"),
        (TipTooLow(5, 7), 1014, "TipTooLow: 5, 7"),
        (MempoolFull(), 1016, "MempoolFull"),
        (AccountFull(), 1016, "AccountFull"),
        (TooFarAhead(3), 1016, "TooFarAhead: 3"),
        (LoopinError("other"), 1002, "LoopinError: other"),
    ],
)
def test_refusal_has_the_code_of_its_kind_and_its_reason(
    error: LoopinError, code: int, data: str
) -> None:
    told = pool_error(error)

    assert (told.code, told.data) == (code, data)


def test_error_of_the_rpc_itself_is_told_as_it_is() -> None:
    error = RpcError(Code.SERVER_BUSY)

    assert pool_error(error) is error
