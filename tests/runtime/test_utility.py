"""Batches: all or as far as they go."""

import pytest

from primitives.types import UINT64_MAX
from tests.runtime.small_chain import (
    ALICE,
    LOOP,
    NOBODY,
    PlainCall,
    SmallChain,
    event_names,
    extrinsic,
    find_event,
)

PAY = ["balances.transfer", NOBODY, LOOP]
FAIL = ["balances.transfer", NOBODY, UINT64_MAX]


def test_a_batch_makes_its_calls_in_order() -> None:
    chain = SmallChain()

    receipt = chain.call(ALICE, "utility.batch", [PAY, ["system.remark", b""], PAY])

    assert event_names(receipt) == [
        "balances.Transferred",
        "system.Remarked",
        "balances.Transferred",
        "utility.BatchCompleted",
    ]
    assert chain.free(NOBODY) == 2 * LOOP


def test_a_batch_keeps_what_came_before_the_call_that_fails() -> None:
    chain = SmallChain()

    receipt = chain.call(ALICE, "utility.batch", [PAY, FAIL, PAY])

    assert receipt.error == ""
    assert find_event([receipt], "utility.BatchInterrupted") == [1, "balances.InsufficientBalance"]
    assert event_names(receipt) == ["balances.Transferred", "utility.BatchInterrupted"]
    assert chain.free(NOBODY) == LOOP


def test_a_batch_of_all_makes_none_if_one_fails() -> None:
    chain = SmallChain()

    receipt = chain.call(ALICE, "utility.batch_all", [PAY, FAIL])

    assert (receipt.error, receipt.events) == ("balances.InsufficientBalance", ())
    assert chain.free(NOBODY) == 0


def test_a_batch_of_all_that_succeeds_says_so() -> None:
    chain = SmallChain()

    receipt = chain.call(ALICE, "utility.batch_all", [PAY, PAY])

    assert event_names(receipt)[-1] == "utility.BatchCompleted"
    assert chain.free(NOBODY) == 2 * LOOP


def test_a_failing_batch_within_a_batch_is_undone_alone() -> None:
    chain = SmallChain()
    inner = ["utility.batch_all", [PAY, FAIL]]

    receipt = chain.call(ALICE, "utility.batch", [PAY, inner, PAY])

    assert find_event([receipt], "utility.BatchInterrupted")[0] == 1
    assert chain.free(NOBODY) == LOOP


@pytest.mark.parametrize("name", ["utility.batch", "utility.batch_all"])
def test_an_empty_batch_fails(name: str) -> None:
    assert SmallChain().call(ALICE, name, []).error == "utility.EmptyBatch"


def test_a_batch_weighs_more_than_its_calls_together() -> None:
    def weight(call: PlainCall) -> int:
        return extrinsic(ALICE, call, 0).weight

    assert weight(["utility.batch", [PAY, PAY]]) > 2 * weight(PAY)
    assert weight(["utility.batch", [["utility.batch_all", [PAY]]]]) > weight(PAY)
