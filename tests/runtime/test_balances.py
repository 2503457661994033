"""Balances: every call, every error, holds, dust, credits and the total issuance."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from primitives.codec import OutOfRange
from primitives.errors import DispatchError
from primitives.types import UINT64_MAX, AccountId, Balance, Signer
from runtime.balances import (
    Balances,
    BelowExistentialDeposit,
    Config,
    InsufficientBalance,
    InsufficientHold,
    IssuanceOverflow,
)
from runtime.module import Context
from runtime.overlay import DictState, Overlay
from tests.runtime.small_chain import ALICE, BOB, DEPOSIT, LOOP, NOBODY, SmallChain, event_names

ED = Balance(10)
REASON = "test.purpose"


@pytest.fixture
def ledger() -> Balances:
    """A ledger with a deposit of 10 in which Alice has 100 and Bob has 50."""
    context = Context(Overlay(DictState()), SmallChain().next_info())
    balances = Balances(context, Config(existential_deposit=ED))
    balances.build_genesis({ALICE: Balance(100), BOB: Balance(50)})
    context.events.clear()
    return balances


# ------------------------------------------------------------------------------------- calls


def test_a_transfer_moves_tokens_and_says_so() -> None:
    chain = SmallChain()
    before = chain.free(ALICE)

    receipt = chain.call(ALICE, "balances.transfer", NOBODY, 5 * LOOP)

    assert receipt.error == ""
    assert receipt.events == (["balances.Transferred", ALICE, NOBODY, 5 * LOOP],)
    assert chain.free(NOBODY) == 5 * LOOP
    assert chain.free(ALICE) == before - 5 * LOOP - receipt.fee


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (("balances.transfer", NOBODY, UINT64_MAX), "InsufficientBalance"),
        (("balances.transfer", NOBODY, DEPOSIT - 1), "BelowExistentialDeposit"),
        (("balances.transfer_keep_alive", NOBODY, UINT64_MAX), "InsufficientBalance"),
        (("balances.transfer_keep_alive", NOBODY, DEPOSIT - 1), "BelowExistentialDeposit"),
    ],
)
def test_a_transfer_that_fails_leaves_no_write(
    call: tuple[str, AccountId, int], error: str
) -> None:
    chain = SmallChain()
    before = chain.free(ALICE)

    receipt = chain.call(ALICE, *call)

    assert (receipt.error, receipt.events) == (f"balances.{error}", ())
    assert chain.free(NOBODY) == 0
    assert chain.free(ALICE) == before - receipt.fee


def test_a_transfer_may_empty_the_sender_but_leave_no_dust(ledger: Balances) -> None:
    with pytest.raises(BelowExistentialDeposit):
        ledger.transfer(Signer(ALICE), BOB, Balance(91))
    ledger.transfer(Signer(ALICE), BOB, Balance(100))

    assert (ledger.free[ALICE], ledger.free[BOB]) == (0, 150)
    assert ALICE not in ledger.free


def test_a_transfer_that_keeps_alive_leaves_the_deposit() -> None:
    chain = SmallChain()
    everything = chain.free(BOB)
    fee = chain.call(BOB, "balances.transfer_keep_alive", ALICE, everything).fee

    for left in (0, DEPOSIT - 1):
        amount = chain.free(BOB) - fee - left
        receipt = chain.call(BOB, "balances.transfer_keep_alive", ALICE, amount)
        assert receipt.error == "balances.WouldEmptyAccount"
    amount = chain.free(BOB) - fee - DEPOSIT

    assert chain.call(BOB, "balances.transfer_keep_alive", ALICE, amount).error == ""
    assert chain.free(BOB) == DEPOSIT


@pytest.mark.parametrize(("keep_alive", "left"), [(False, 0), (True, DEPOSIT)])
def test_everything_can_be_moved(keep_alive: bool, left: int) -> None:
    chain = SmallChain()
    before = chain.free(BOB)

    receipt = chain.call(BOB, "balances.transfer_all", NOBODY, keep_alive)

    assert chain.free(BOB) == left
    assert chain.free(NOBODY) == before - receipt.fee - left


def test_moving_everything_needs_something(ledger: Balances) -> None:
    with pytest.raises(InsufficientBalance):
        ledger.transfer_all(Signer(NOBODY), ALICE, False)
    ledger.transfer_all(Signer(BOB), ALICE, True)
    with pytest.raises(InsufficientBalance):
        ledger.transfer_all(Signer(BOB), ALICE, True)

    assert ledger.free[BOB] == ED


def test_a_transfer_to_oneself_changes_nothing(ledger: Balances) -> None:
    ledger.transfer(Signer(ALICE), ALICE, Balance(100))

    assert ledger.free[ALICE] == 100


def test_an_account_survives_emptying_with_its_nonce() -> None:
    chain = SmallChain()
    chain.call(BOB, "balances.transfer_all", NOBODY, False)

    chain.call(NOBODY, "balances.transfer", BOB, LOOP)

    assert chain.runtime.system.nonces[BOB] == 1


# ------------------------------------------------------------------- what other modules may do


def test_minting_and_burning_move_the_issuance(ledger: Balances) -> None:
    ledger.mint(NOBODY, Balance(30))
    ledger.burn(ALICE, Balance(40))

    assert ledger.total_issuance.get() == 140
    assert (ledger.free[NOBODY], ledger.free[ALICE]) == (30, 60)
    assert ledger.context.events == [
        ["balances.Minted", NOBODY, 30],
        ["balances.Burned", ALICE, 40],
    ]
    ledger.check_invariants()


def test_withdrawn_tokens_come_back_or_are_burned(ledger: Balances) -> None:
    ledger.withdraw(ALICE, Balance(50))
    assert ledger.total_issuance.get() == 150

    assert ledger.credit(BOB, Balance(20)) == 20
    ledger.burn_withdrawn(Balance(30))

    assert (ledger.free[BOB], ledger.total_issuance.get()) == (70, 120)
    ledger.check_invariants()


def test_credited_dust_is_burned(ledger: Balances) -> None:
    ledger.withdraw(ALICE, Balance(18))

    assert ledger.credit(NOBODY, Balance(9)) == 0
    assert ledger.credit(BOB, Balance(9)) == 9
    assert ledger.credit(NOBODY, Balance(0)) == 0

    assert ledger.context.events == [["balances.Burned", NOBODY, 9]]
    assert ledger.total_issuance.get() == 141
    ledger.check_invariants()


@pytest.mark.parametrize("amount", [0, 90, 100])
def test_a_withdrawal_that_is_valid_succeeds(ledger: Balances, amount: int) -> None:
    ledger.validate_withdrawal(ALICE, Balance(amount))
    ledger.withdraw(ALICE, Balance(amount))

    assert ledger.spendable(ALICE) == 100 - amount


@pytest.mark.parametrize(
    ("amount", "error"), [(91, BelowExistentialDeposit), (101, InsufficientBalance)]
)
def test_a_withdrawal_that_is_not_valid_fails_alike(
    ledger: Balances, amount: int, error: type[DispatchError]
) -> None:
    for refuse in (ledger.validate_withdrawal, ledger.withdraw, ledger.burn):
        with pytest.raises(error):
            refuse(ALICE, Balance(amount))

    assert ledger.free[ALICE] == 100


def test_a_hold_sets_aside_and_a_release_gives_back(ledger: Balances) -> None:
    ledger.hold(ALICE, REASON, Balance(60))
    ledger.hold(ALICE, REASON, Balance(20))
    ledger.hold(ALICE, "test.other", Balance(5))
    assert (ledger.free[ALICE], ledger.held_for(ALICE, REASON)) == (15, 80)
    ledger.check_invariants()

    ledger.release(ALICE, REASON, Balance(80))

    assert (ledger.free[ALICE], ledger.held_for(ALICE, REASON)) == (95, 0)
    assert ledger.held_for(ALICE, "test.other") == 5
    assert ledger.context.events[-1] == ["balances.Released", ALICE, REASON, 80]
    ledger.check_invariants()


def test_everything_can_be_held_and_nothing_beyond(ledger: Balances) -> None:
    with pytest.raises(InsufficientBalance):
        ledger.hold(ALICE, REASON, Balance(101))
    with pytest.raises(BelowExistentialDeposit):
        ledger.hold(ALICE, REASON, Balance(95))
    ledger.hold(ALICE, REASON, Balance(100))

    assert ledger.free[ALICE] == 0
    ledger.check_invariants()


def test_a_released_hold_that_is_dust_is_burned(ledger: Balances) -> None:
    ledger.hold(ALICE, REASON, Balance(100))

    ledger.release(ALICE, REASON, Balance(9))

    assert ledger.free[ALICE] == 0
    assert ledger.total_issuance.get() == 141
    assert ledger.context.events[-2:] == [
        ["balances.Burned", ALICE, 9],
        ["balances.Released", ALICE, REASON, 9],
    ]
    ledger.check_invariants()


def test_what_is_held_can_go_to_another_or_be_burned(ledger: Balances) -> None:
    ledger.hold(ALICE, REASON, Balance(60))

    ledger.move_held(ALICE, REASON, recipient=BOB, amount=Balance(25))
    ledger.burn_held(ALICE, REASON, Balance(5))

    assert (ledger.free[BOB], ledger.held_for(ALICE, REASON)) == (75, 30)
    assert ledger.total_issuance.get() == 145
    assert ledger.context.events[1:] == [
        ["balances.HoldMoved", ALICE, REASON, BOB, 25],
        ["balances.HoldBurned", ALICE, REASON, 5],
    ]
    ledger.check_invariants()


@pytest.mark.parametrize(
    "take",
    [
        lambda ledger: ledger.release(ALICE, REASON, Balance(31)),
        lambda ledger: ledger.burn_held(ALICE, REASON, Balance(31)),
        lambda ledger: ledger.move_held(ALICE, REASON, recipient=BOB, amount=Balance(31)),
        lambda ledger: ledger.release(ALICE, "test.other", Balance(1)),
        lambda ledger: ledger.release(BOB, REASON, Balance(1)),
    ],
)
def test_no_more_is_taken_than_is_held_for_that_reason(
    ledger: Balances, take: Callable[[Balances], None]
) -> None:
    ledger.hold(ALICE, REASON, Balance(30))

    with pytest.raises(InsufficientHold):
        take(ledger)


def test_a_reason_has_at_most_32_bytes(ledger: Balances) -> None:
    ledger.hold(ALICE, "r" * 32, Balance(10))
    with pytest.raises(OutOfRange):
        ledger.hold(ALICE, "r" * 33, Balance(10))


def test_the_issuance_fits_64_bits(ledger: Balances) -> None:
    ledger.mint(ALICE, Balance(UINT64_MAX - 150))
    with pytest.raises(IssuanceOverflow):
        ledger.mint(BOB, Balance(1))

    assert ledger.total_issuance.get() == UINT64_MAX
    ledger.check_invariants()


def test_no_dust_is_minted(ledger: Balances) -> None:
    with pytest.raises(BelowExistentialDeposit):
        ledger.mint(NOBODY, Balance(9))


def test_the_invariants_notice_tokens_from_nowhere_and_dust(ledger: Balances) -> None:
    ledger.free[NOBODY] = Balance(20)
    with pytest.raises(AssertionError):
        ledger.check_invariants()
    ledger.free[NOBODY] = Balance(5)
    ledger.total_issuance.set(Balance(155))
    with pytest.raises(AssertionError):
        ledger.check_invariants()


def test_the_deposit_follows_the_chain_spec() -> None:
    chain = SmallChain(
        balances=replace(SmallChain().config.balances, existential_deposit=Balance(7))
    )

    assert chain.call(ALICE, "balances.transfer", NOBODY, 6).error != ""
    assert event_names(chain.call(ALICE, "balances.transfer", NOBODY, 7)) == [
        "balances.Transferred"
    ]


def test_held_tokens_can_come_into_being(ledger: Balances) -> None:
    ledger.mint_held(NOBODY, REASON, Balance(3))

    assert (ledger.free[NOBODY], ledger.held_for(NOBODY, REASON)) == (0, 3)
    assert ledger.total_issuance.get() == 153
    assert ledger.context.events == [["balances.HeldMinted", NOBODY, REASON, 3]]
    ledger.check_invariants()
    with pytest.raises(IssuanceOverflow):
        ledger.mint_held(NOBODY, REASON, Balance(UINT64_MAX - 152))


def test_what_would_be_dust_is_not_minted(ledger: Balances) -> None:
    assert ledger.mint_keepable(NOBODY, Balance(9)) == 0
    assert ledger.mint_keepable(NOBODY, Balance(0)) == 0
    assert ledger.mint_keepable(NOBODY, Balance(10)) == 10
    assert ledger.mint_keepable(NOBODY, Balance(9)) == 9

    assert ledger.free[NOBODY] == 19
    ledger.check_invariants()
