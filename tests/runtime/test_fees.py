"""Fees: what is charged, who gets it, and how the base fee follows demand."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.equivocation import JUDGE
from genesis.presets import small_runtime_config
from primitives.types import UINT64_MAX, AccountId, Balance, Weight
from runtime.balances import Balances
from runtime.executive import BlockExecution
from runtime.fees import PPB, BlockLimits, CannotPayFee, Fees
from runtime.module import Context
from runtime.overlay import DictState, Overlay
from tests.runtime.small_chain import (
    ALICE,
    AUTHOR,
    BOB,
    DEPOSIT,
    LOOP,
    NOBODY,
    SmallChain,
    extrinsic,
    find_event,
)

LIMITS = BlockLimits(weight_max=Weight(1000), length_max=1000)
REMARK = ["system.remark", b""]


def make_fees(base_fee: int = PPB, **changes: Any) -> Fees:
    """Return the fee module over a ledger in which Alice has a million base units."""
    config = small_runtime_config()
    context = Context(Overlay(DictState()), SmallChain().next_info())
    ledger = Balances(context, replace(config.balances, existential_deposit=Balance(10)))
    ledger.build_genesis({ALICE: Balance(1_000_000)})
    rules = {"base_fee_min_ppb": 1000, "base_fee_max_ppb": 10**12, **changes}
    fees = Fees(context, replace(config.fees, **rules), limits=LIMITS, currency=ledger)
    fees.base_fee_ppb.set(base_fee)
    context.events.clear()
    return fees


def charge(fees: Fees, *, weight: int = 10, length: int = 1, tip: int = 0) -> Balance:
    return fees.charge(ALICE, weight=Weight(weight), length=length, tip=Balance(tip))


# ---------------------------------------------------------------------------------- charging


def test_weight_and_length_are_priced_by_the_base_fee() -> None:
    fees = make_fees(base_fee=2 * PPB, fee_per_weight_ppb=PPB // 2, fee_per_byte=Balance(3))

    assert fees.fee(Weight(100), 7) == 2 * (50 + 21)


@given(st.integers(0, 10**12), st.integers(0, 10**5), st.integers(1, 10**15))
def test_a_fee_is_rounded_up(weight: int, length: int, base_fee: int) -> None:
    fees = make_fees(base_fee=base_fee, fee_per_weight_ppb=7, fee_per_byte=Balance(1))

    exact = (weight * 7 + length * PPB) * base_fee
    fee = fees.fee(Weight(weight), length)

    assert fee * PPB * PPB >= exact > (fee - 1) * PPB * PPB


def test_the_base_fee_is_the_same_for_a_whole_block() -> None:
    fees = make_fees()
    first = fees.fee(Weight(100), 10)

    fees.note_use(weight=Weight(1000), length=0)
    fees.end_block()

    assert fees.base_fee_ppb.get() > PPB
    assert fees.fee(Weight(100), 10) == first


def test_whoever_cannot_pay_is_refused_and_keeps_everything() -> None:
    fees = make_fees()

    for tip in (1_000_000, UINT64_MAX, 1_000_000 - fees.fee(Weight(10), 1) - 9):
        with pytest.raises(CannotPayFee):
            charge(fees, tip=tip)

    fees.currency.validate_withdrawal(ALICE, Balance(1_000_000))
    fees.end_block()
    assert fees.context.events == []


@pytest.mark.parametrize("left", [0, 1, 9, 10, 11])
def test_what_is_judged_payable_can_be_charged_and_nothing_else(left: int) -> None:
    fees = make_fees()
    fee = fees.fee(Weight(10), 1)
    tip = 1_000_000 - fee - left

    payable = [_succeeds(lambda: fees.validate_payer(ALICE, Balance(fee + tip)))]
    payable.append(_succeeds(lambda: charge(fees, tip=tip)))

    assert payable == [left == 0 or left >= 10] * 2


def _succeeds(action: Any) -> bool:
    try:
        action()
    except CannotPayFee:
        return False
    return True


# ----------------------------------------------------------------------------------- sharing


def test_a_share_is_burned_and_the_author_gets_the_rest_and_the_tip() -> None:
    chain = SmallChain()
    chain.block((ALICE, ["balances.transfer", AUTHOR, LOOP]))
    issuance, author = chain.runtime.balances.total_issuance.get(), chain.free(AUTHOR)
    execution = chain.start()
    receipt = execution.apply(extrinsic(ALICE, REMARK, 1, tip=777))
    receipts = chain.finish(execution)

    fee = receipt.fee - 777
    burned = -(-fee // 2)
    assert find_event(receipts, "fees.FeesShared") == [AUTHOR, fee - burned + 777, burned]
    assert chain.free(AUTHOR) == author + fee - burned + 777
    assert chain.runtime.balances.total_issuance.get() == issuance - burned


# Whoever pays keeps nothing or the existential deposit, so never just less than everything.
@given(st.integers(1, 9 * 10**5), st.integers(0, 10**9))
def test_rounding_favours_burning(paid: int, burned_ppb: int) -> None:
    fees = make_fees(fee_per_weight_ppb=PPB, fee_per_byte=Balance(0), burned_ppb=burned_ppb)
    charge(fees, weight=paid, length=0)
    fees.end_block()

    event: Any = fees.context.events[-1]
    _, author, to_author, burned = event
    assert author == AUTHOR
    exact = paid * burned_ppb
    if to_author:
        assert burned * PPB >= exact > (burned - 1) * PPB
    assert to_author + burned == paid


def test_what_is_too_little_for_the_author_to_keep_is_burned_too() -> None:
    fees = make_fees(fee_per_weight_ppb=PPB, fee_per_byte=Balance(0))
    charge(fees, weight=10, length=0)

    fees.end_block()

    assert fees.context.events == [
        ["balances.Burned", AUTHOR, 5],
        ["fees.FeesShared", AUTHOR, 0, 10],
    ]


def test_a_block_without_fees_shares_nothing() -> None:
    chain = SmallChain()

    assert chain.finish(chain.start())[-1].events == ()


def test_tips_alone_are_shared() -> None:
    fees = make_fees(fee_per_weight_ppb=0, fee_per_byte=Balance(0))
    charge(fees, tip=50)

    fees.end_block()

    assert fees.context.events == [["fees.FeesShared", AUTHOR, 50, 0]]


# ------------------------------------------------------------------------------ the base fee


@pytest.mark.parametrize(
    ("used", "after"),
    [
        (0, 875_000_000),
        (250, 937_500_000),
        (500, 1_000_000_000),
        (750, 1_062_500_000),
        (1000, 1_125_000_000),
    ],
)
@pytest.mark.parametrize("measure", ["weight", "length"])
def test_the_base_fee_follows_the_fuller_of_both_measures(
    measure: str, used: int, after: int
) -> None:
    fees = make_fees()
    fees.note_use(
        weight=Weight(used if measure == "weight" else 0),
        length=used if measure == "length" else 0,
    )

    fees.end_block()

    assert fees.base_fee_ppb.get() == after


@pytest.mark.parametrize(("target", "highest"), [(PPB // 4, 9 * PPB // 8), (PPB * 3 // 4, None)])
def test_no_block_moves_the_base_fee_by_more_than_an_eighth(
    target: int, highest: int | None
) -> None:
    fees = make_fees(target_fullness_ppb=target)
    fees.note_use(weight=Weight(1000), length=1000)

    fees.end_block()

    wanted = highest or PPB + PPB // (3 * 8)
    assert fees.base_fee_ppb.get() == wanted


@pytest.mark.parametrize("used", [0, 1000])
@given(base_fee=st.integers(1, 10**12))
def test_the_base_fee_always_moves_but_never_out_of_its_bounds(used: int, base_fee: int) -> None:
    fees = make_fees(base_fee=base_fee, base_fee_min_ppb=1)
    fees.note_use(weight=Weight(used), length=0)

    fees.end_block()

    after = fees.base_fee_ppb.get()
    assert 1 <= after <= 10**12
    assert (after > base_fee) == (used == 1000 and base_fee < 10**12)
    assert (after < base_fee) == (used == 0 and base_fee > 1)
    assert abs(after - base_fee) <= max(1, base_fee // 8)


def test_the_base_fee_is_clamped_at_both_ends() -> None:
    for used, before, after in ((1000, 10**12 - 1, 10**12), (0, 1001, 1000)):
        fees = make_fees(base_fee=before)
        fees.note_use(weight=Weight(used), length=0)

        fees.end_block()

        assert fees.base_fee_ppb.get() == after


def test_genesis_starts_at_the_lowest_base_fee() -> None:
    chain = SmallChain()

    assert chain.runtime.fees.base_fee_ppb.get() == chain.config.fees.base_fee_min_ppb


def test_the_invariants_notice_what_was_not_shared_and_a_fee_out_of_bounds() -> None:
    fees = make_fees()
    charge(fees)
    with pytest.raises(AssertionError):
        fees.check_invariants()
    low = make_fees(base_fee=999)
    with pytest.raises(AssertionError):
        low.check_invariants()


# --------------------------------------------------------------------------- in whole blocks


def trial(chain: SmallChain) -> BlockExecution:
    return BlockExecution(chain.state, chain.config, chain.next_info(), JUDGE)


def test_an_account_that_cannot_pay_is_in_no_block() -> None:
    chain = SmallChain()
    ready = extrinsic(NOBODY, REMARK, 0)

    with pytest.raises(CannotPayFee):
        chain.start().apply(ready)
    with pytest.raises(CannotPayFee):
        trial(chain).validate(ready, pending=Balance(0))


def test_earlier_waiting_fees_count_against_an_account() -> None:
    chain = SmallChain()
    ready = extrinsic(BOB, REMARK, 5)
    fee = trial(chain).validate(ready, pending=Balance(0))

    room = chain.free(BOB) - fee - DEPOSIT

    assert trial(chain).validate(ready, pending=Balance(room)) == fee
    with pytest.raises(CannotPayFee):
        trial(chain).validate(ready, pending=Balance(room + 1))


def test_the_fee_that_is_quoted_is_the_fee_that_is_paid() -> None:
    chain = SmallChain()
    account: AccountId = BOB
    ready = extrinsic(account, ["balances.transfer", ALICE, LOOP], 0, tip=9)

    quoted = trial(chain).validate(ready, pending=Balance(0))
    paid = chain.start().apply(ready).fee

    assert paid == quoted + 9
