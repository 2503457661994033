from typing import Any

import pytest

from node.rpc.assembly import build_dispatcher
from primitives.crypto import Purpose, keyed_hash
from primitives.ss58 import encode_address
from tests.node.rpc.calling import call, fail
from tests.node.rpc.fake_node import ALICE, BOB, FINAL, TRANSFER, FakeNode

ADDRESS = encode_address(ALICE)


@pytest.fixture
def dispatcher() -> Any:
    return build_dispatcher(FakeNode())


async def test_history_of_an_account_is_newest_first(dispatcher: Any) -> None:
    entries = await call(dispatcher, "chain_getAccountHistory", [ADDRESS, 10])

    assert [entry["number"] for entry in entries] == [3, 2, 1]
    assert all(entry["extrinsic"] == "0x" + TRANSFER.hex() for entry in entries)
    assert all(set(entry) >= {"block", "extrinsicIndex", "fee", "events"} for entry in entries)


async def test_next_page_begins_before_the_last_entry_of_this_one(dispatcher: Any) -> None:
    (first,) = await call(dispatcher, "chain_getAccountHistory", [ADDRESS, 1])

    place = [first["number"], first["extrinsicIndex"]]
    rest = await call(dispatcher, "chain_getAccountHistory", [ADDRESS, 10, *place])

    assert [entry["number"] for entry in rest] == [2, 1]


async def test_account_that_did_nothing_has_no_history(dispatcher: Any) -> None:
    assert await call(dispatcher, "chain_getAccountHistory", [encode_address(BOB), 10]) == []


async def test_page_of_history_has_a_limit(dispatcher: Any) -> None:
    error = await fail(dispatcher, "chain_getAccountHistory", [ADDRESS, 101])

    assert error["code"] == -32602
    assert error["data"]["parameter"] == "count"


async def test_extrinsic_is_found_by_its_hash(dispatcher: Any) -> None:
    known = keyed_hash(Purpose.EXTRINSIC, TRANSFER)

    entry = await call(dispatcher, "chain_getExtrinsic", ["0x" + known.hex()])

    assert 1 <= entry["number"] <= FINAL
    assert entry["extrinsic"] == "0x" + TRANSFER.hex()


async def test_unknown_extrinsic_is_null(dispatcher: Any) -> None:
    assert await call(dispatcher, "chain_getExtrinsic", ["0x" + bytes(32).hex()]) is None
