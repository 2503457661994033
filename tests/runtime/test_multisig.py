"""Multisig: thresholds, places of proposal, cancelling, deposits, as wallets know them."""

from typing import Any

import pytest

from primitives.block import Receipt
from primitives.types import AccountId, Digest
from runtime.multisig import HOLD_REASON, MEMBERS_MAX, hash_call, multisig_account
from tests.runtime.small_chain import (
    ALICE,
    BOB,
    CHARLIE,
    DAVE,
    LOOP,
    NOBODY,
    SmallChain,
    decode_call,
    event_names,
    extrinsic,
    find_event,
)

MEMBERS = tuple(sorted((ALICE, BOB, CHARLIE)))
TWO_OF_THREE = multisig_account(MEMBERS, 2)
PAY = ["balances.transfer", NOBODY, LOOP]
PAY_HASH = hash_call(decode_call(PAY))
DEPOSIT = LOOP + 2 * LOOP // 10


def others(member: AccountId) -> list[AccountId]:
    return [each for each in MEMBERS if each != member]


def funded() -> SmallChain:
    """A chain on which two of Alice, Bob and Charlie own 100 tokens; height 1."""
    chain = SmallChain()
    chain.call(DAVE, "balances.transfer", TWO_OF_THREE, 100 * LOOP)
    return chain


def place(height: int, index: int = 1) -> list[int]:
    """A timepoint; the inherent is extrinsic 0."""
    return [height, index]


def send(
    chain: SmallChain, member: AccountId, timepoint: Any, call: Any = PAY, threshold: int = 2
) -> Receipt:
    return chain.call(member, "multisig.as_multi", threshold, others(member), timepoint, call)


def approve(
    chain: SmallChain, member: AccountId, timepoint: Any, call_hash: Digest = PAY_HASH
) -> Receipt:
    return chain.call(member, "multisig.approve_as_multi", 2, others(member), timepoint, call_hash)


def cancel(chain: SmallChain, member: AccountId, timepoint: Any) -> Receipt:
    return chain.call(member, "multisig.cancel_as_multi", 2, others(member), timepoint, PAY_HASH)


# ---------------------------------------------------------------------------------- accounts


def test_members_and_threshold_make_the_account() -> None:
    accounts = {
        multisig_account(MEMBERS, 1),
        multisig_account(MEMBERS, 2),
        multisig_account(MEMBERS[:2], 2),
    }

    assert len(accounts) == 3
    assert all(len(account) == 32 for account in accounts)


def test_every_member_finds_the_same_account() -> None:
    for proposer in MEMBERS:
        receipt = send(funded(), proposer, None)

        assert find_event([receipt], "multisig.OperationProposed") == [
            proposer,
            TWO_OF_THREE,
            PAY_HASH,
        ]


def test_a_threshold_of_one_acts_at_once() -> None:
    chain = SmallChain()
    account = multisig_account(MEMBERS, 1)
    chain.call(DAVE, "balances.transfer", account, 5 * LOOP)

    receipt = chain.call(BOB, "multisig.as_multi_threshold_1", others(BOB), PAY)

    assert find_event([receipt], "balances.Transferred") == [account, NOBODY, LOOP]
    failing = chain.call(BOB, "multisig.as_multi_threshold_1", others(BOB), [*PAY[:2], 9 * LOOP])
    assert failing.error == "balances.InsufficientBalance"


# --------------------------------------------------------------------------------- approvals


def test_the_approval_that_reaches_the_threshold_makes_the_call() -> None:
    chain = funded()
    send(chain, ALICE, None)
    assert chain.free(NOBODY) == 0
    assert chain.held(ALICE, HOLD_REASON) == DEPOSIT

    receipt = send(chain, BOB, place(2))

    assert find_event([receipt], "multisig.OperationExecuted") == [
        BOB,
        place(2),
        TWO_OF_THREE,
        PAY_HASH,
        "",
    ]
    assert chain.free(NOBODY) == LOOP
    assert chain.free(TWO_OF_THREE) == 99 * LOOP
    assert chain.held(ALICE, HOLD_REASON) == 0
    assert list(chain.runtime.multisig.operations.items()) == []


def test_the_first_approval_may_be_by_hash() -> None:
    chain = funded()
    approve(chain, ALICE, None)

    send(chain, CHARLIE, place(2))

    assert chain.free(NOBODY) == LOOP


def test_enough_approvals_by_hash_wait_for_any_member_to_bring_the_call() -> None:
    for last in MEMBERS:
        chain = funded()
        approve(chain, ALICE, None)
        receipt = approve(chain, BOB, place(2))
        assert event_names(receipt) == ["multisig.OperationApproved"]
        assert chain.free(NOBODY) == 0

        receipt = send(chain, last, place(2))

        assert "multisig.OperationExecuted" in event_names(receipt)
        assert "multisig.OperationApproved" not in event_names(receipt)
        assert chain.free(NOBODY) == LOOP


def test_three_of_three_need_three() -> None:
    chain = funded()
    account = multisig_account(MEMBERS, 3)
    chain.call(DAVE, "balances.transfer", account, 10 * LOOP)

    errors = [send(chain, ALICE, None, threshold=3).error]
    errors += [send(chain, each, place(3), threshold=3).error for each in (BOB, CHARLIE)]

    assert errors == ["", "", ""]
    assert chain.free(NOBODY) == LOOP
    assert chain.free(account) == 9 * LOOP


def test_a_call_that_fails_ends_the_operation_and_names_the_error() -> None:
    chain = funded()
    call = ["balances.transfer", NOBODY, 1000 * LOOP]
    send(chain, ALICE, None, call)

    receipt = send(chain, BOB, place(2), call)

    assert receipt.error == ""
    executed = find_event([receipt], "multisig.OperationExecuted")
    assert executed[-1] == "balances.InsufficientBalance"
    assert chain.held(ALICE, HOLD_REASON) == 0
    assert "balances.Transferred" not in event_names(receipt)


def test_the_place_tells_two_proposals_of_one_call_apart() -> None:
    chain = funded()
    send(chain, ALICE, None)
    send(chain, BOB, place(2))
    execution = chain.start()
    remark = ["system.remark", b""]
    execution.apply(extrinsic(DAVE, remark, 1))
    again = ["multisig.as_multi", 2, others(ALICE), None, PAY]
    execution.apply(extrinsic(ALICE, again, 1))
    chain.finish(execution)

    assert send(chain, BOB, place(2)).error == "multisig.WrongTimepoint"
    assert send(chain, BOB, place(4, 2)).error == ""
    assert chain.free(NOBODY) == 2 * LOOP


@pytest.mark.parametrize(
    ("member", "timepoint", "error"),
    [
        (ALICE, place(2), "AlreadyApproved"),
        (BOB, None, "WrongTimepoint"),
        (BOB, place(1), "WrongTimepoint"),
        (BOB, place(2, 2), "WrongTimepoint"),
    ],
)
def test_an_approval_out_of_order_fails(member: AccountId, timepoint: Any, error: str) -> None:
    chain = funded()
    send(chain, ALICE, None)

    assert send(chain, member, timepoint).error == f"multisig.{error}"
    assert approve(chain, member, timepoint).error == f"multisig.{error}"
    assert chain.free(NOBODY) == 0


def test_a_member_approves_by_hash_once_even_when_enough_have() -> None:
    chain = funded()
    approve(chain, ALICE, None)
    approve(chain, BOB, place(2))

    assert approve(chain, BOB, place(2)).error == "multisig.AlreadyApproved"


def test_a_place_for_what_was_never_proposed_fails() -> None:
    assert send(funded(), ALICE, place(1)).error == "multisig.UnknownOperation"


@pytest.mark.parametrize("threshold", [0, 1, 4, 65535])
def test_a_threshold_is_between_two_and_the_members(threshold: int) -> None:
    receipt = send(funded(), ALICE, None, threshold=threshold)

    assert receipt.error == "multisig.BadThreshold"


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        sorted([BOB, CHARLIE], reverse=True),
        [BOB, BOB],
        sorted([ALICE, BOB]),
    ],
)
def test_the_other_members_are_sorted_unique_and_without_the_signer(wrong: list[AccountId]) -> None:
    chain = funded()

    one = chain.call(ALICE, "multisig.as_multi_threshold_1", wrong, PAY)
    two = chain.call(ALICE, "multisig.as_multi", 2, wrong, None, PAY)

    assert one.error == two.error == "multisig.MembersOutOfOrder"


def test_a_hundred_members_are_the_most() -> None:
    many = [AccountId(number.to_bytes(32, "big")) for number in range(MEMBERS_MAX - 1)]

    assert funded().call(ALICE, "multisig.as_multi", 2, many, None, PAY).error == ""
    with pytest.raises(Exception, match="at most 99"):
        decode_call(["multisig.as_multi", 2, [*many, DAVE], None, PAY])


# -------------------------------------------------------------------------------- cancelling


def test_the_proposer_cancels_and_gets_the_deposit_back() -> None:
    chain = funded()
    send(chain, ALICE, None)

    receipt = cancel(chain, ALICE, place(2))

    assert find_event([receipt], "multisig.OperationCancelled") == [
        ALICE,
        place(2),
        TWO_OF_THREE,
        PAY_HASH,
    ]
    assert chain.held(ALICE, HOLD_REASON) == 0
    assert send(chain, BOB, place(2)).error == "multisig.UnknownOperation"


@pytest.mark.parametrize(
    ("member", "timepoint", "error"),
    [(BOB, place(2), "NotProposer"), (ALICE, place(3), "WrongTimepoint")],
)
def test_nobody_else_cancels_and_nothing_else_is_cancelled(
    member: AccountId, timepoint: Any, error: str
) -> None:
    chain = funded()
    send(chain, ALICE, None)

    assert cancel(chain, member, timepoint).error == f"multisig.{error}"
    assert chain.held(ALICE, HOLD_REASON) == DEPOSIT


def test_what_is_not_open_cannot_be_cancelled() -> None:
    assert cancel(funded(), ALICE, place(2)).error == "multisig.UnknownOperation"


# ---------------------------------------------------------------------------------- deposits


def test_who_cannot_pay_the_deposit_cannot_propose() -> None:
    chain = funded()
    chain.call(ALICE, "balances.transfer", BOB, chain.free(ALICE) - LOOP)

    receipt = send(chain, ALICE, None)

    assert receipt.error == "balances.InsufficientBalance"
    assert list(chain.runtime.multisig.operations.items()) == []


def test_a_member_may_propose_several_operations() -> None:
    chain = funded()
    for number in range(3):
        approve(chain, ALICE, None, Digest(bytes([number]) * 32))

    assert chain.held(ALICE, HOLD_REASON) == 3 * DEPOSIT


def test_a_multisig_can_be_a_member_of_another() -> None:
    chain = funded()
    pair = tuple(sorted((TWO_OF_THREE, DAVE)))
    outer = multisig_account(pair, 1)
    chain.call(DAVE, "balances.transfer", outer, 5 * LOOP)
    call = ["multisig.as_multi_threshold_1", [DAVE], PAY]
    send(chain, ALICE, None, call)

    send(chain, BOB, place(3), call)

    assert chain.free(outer) == 4 * LOOP


def test_the_invariants_notice_a_deposit_that_is_gone() -> None:
    chain = funded()
    send(chain, ALICE, None)
    runtime = chain.runtime
    runtime.balances.release(ALICE, HOLD_REASON, runtime.balances.held_for(ALICE, HOLD_REASON))

    with pytest.raises(AssertionError):
        runtime.multisig.check_invariants()
