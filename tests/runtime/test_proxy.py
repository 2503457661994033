"""Proxy: kinds, delays, announcements, deposits, and nothing smuggled past a kind."""

from typing import Any

import pytest

from primitives.types import AccountId
from runtime.multisig import hash_call
from runtime.proxy import (
    ANNOUNCEMENTS_HOLD,
    ANNOUNCEMENTS_MAX,
    DELEGATES_HOLD,
    DELEGATES_MAX,
    ProxyKind,
    is_covered,
)
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
    find_event,
)

ANY, NON_TRANSFER, CANCEL_PROXY = (int(kind) for kind in ProxyKind)
PAY = ["balances.transfer", NOBODY, LOOP]
REMARK = ["system.remark", b"hi"]
PAY_HASH = hash_call(decode_call(PAY))


def with_delegate(kind: int = ANY, delay: int = 0) -> SmallChain:
    """A chain on which Bob may act for Alice; height 1."""
    chain = SmallChain()
    assert chain.call(ALICE, "proxy.add_proxy", BOB, kind, delay).error == ""
    return chain


def act(chain: SmallChain, call: Any, kind: int | None = None, by: AccountId = BOB) -> str:
    """Let a delegate act for Alice; return the error of the proxy, or of the call made."""
    receipt = chain.call(by, "proxy.proxy", ALICE, kind, call)
    if receipt.error:
        return receipt.error
    real, delegate, error = find_event([receipt], "proxy.ProxyExecuted")
    assert (real, delegate) == (ALICE, by)
    assert isinstance(error, str)
    return error


# ------------------------------------------------------------------------------- delegations


def test_a_delegate_spends_for_the_real_account() -> None:
    chain = with_delegate()

    assert act(chain, PAY) == ""

    assert chain.free(NOBODY) == LOOP


def test_a_call_that_fails_is_undone_and_named() -> None:
    chain = with_delegate()

    assert act(chain, [*PAY[:2], 2**64 - 1]) == "balances.InsufficientBalance"
    assert act(chain, ["utility.batch_all", [PAY, ["utility.batch", []]]]) == "utility.EmptyBatch"

    assert chain.free(NOBODY) == 0


def test_nobody_acts_for_another_unasked() -> None:
    chain = with_delegate()

    assert act(chain, PAY, by=CHARLIE) == "proxy.NotDelegate"
    assert act(chain, PAY, kind=NON_TRANSFER) == "proxy.NotDelegate"
    assert act(chain, PAY, kind=99) == "proxy.NotDelegate"


def test_a_delegation_ends_when_it_is_taken_back() -> None:
    chain = with_delegate()

    receipt = chain.call(ALICE, "proxy.remove_proxy", BOB, ANY, 0)

    assert find_event([receipt], "proxy.DelegateRemoved") == [ALICE, BOB, ANY, 0]
    assert act(chain, PAY) == "proxy.NotDelegate"
    assert chain.held(ALICE, DELEGATES_HOLD) == 0


@pytest.mark.parametrize("wrong", [(BOB, ANY, 1), (BOB, NON_TRANSFER, 0), (CHARLIE, ANY, 0)])
def test_only_what_was_delegated_can_be_taken_back(wrong: tuple[AccountId, int, int]) -> None:
    receipt = with_delegate().call(ALICE, "proxy.remove_proxy", *wrong)

    assert receipt.error == "proxy.UnknownDelegate"


def test_all_delegations_can_be_taken_back_at_once() -> None:
    chain = with_delegate()
    chain.call(ALICE, "proxy.add_proxy", CHARLIE, NON_TRANSFER, 3)

    receipt = chain.call(ALICE, "proxy.remove_proxies")

    assert event_names(receipt).count("proxy.DelegateRemoved") == 2
    assert chain.held(ALICE, DELEGATES_HOLD) == 0
    assert chain.call(ALICE, "proxy.remove_proxies").events == ()


@pytest.mark.parametrize(
    ("delegation", "error"),
    [
        ((BOB, ANY, 0), "DelegateKnown"),
        ((ALICE, ANY, 0), "DelegateKnown"),
        ((BOB, 3, 0), "UnknownKind"),
        ((BOB, 255, 0), "UnknownKind"),
    ],
)
def test_a_delegation_that_makes_no_sense_fails(
    delegation: tuple[AccountId, int, int], error: str
) -> None:
    receipt = with_delegate().call(ALICE, "proxy.add_proxy", *delegation)

    assert receipt.error == f"proxy.{error}"


def test_each_delegation_adds_to_the_deposit_up_to_a_number() -> None:
    chain = with_delegate()
    for delay in range(1, DELEGATES_MAX):
        chain.call(ALICE, "proxy.add_proxy", BOB, ANY, delay)

    assert chain.held(ALICE, DELEGATES_HOLD) == LOOP + DELEGATES_MAX * LOOP // 10
    receipt = chain.call(ALICE, "proxy.add_proxy", CHARLIE, ANY, 0)
    assert receipt.error == "proxy.TooManyEntries"


def test_who_cannot_pay_the_deposit_cannot_delegate() -> None:
    chain = SmallChain()
    chain.call(ALICE, "balances.transfer", BOB, chain.free(ALICE) - LOOP)

    receipt = chain.call(ALICE, "proxy.add_proxy", BOB, ANY, 0)

    assert receipt.error == "balances.InsufficientBalance"


def test_of_several_delegations_the_one_without_delay_counts() -> None:
    chain = with_delegate(ANY, 5)
    chain.call(ALICE, "proxy.add_proxy", BOB, NON_TRANSFER, 0)
    assert act(chain, REMARK) == "proxy.NotAnnounced"
    assert act(chain, REMARK, kind=NON_TRANSFER) == ""

    chain.call(ALICE, "proxy.add_proxy", BOB, ANY, 0)

    assert act(chain, PAY) == ""


# ------------------------------------------------------------------------------------- kinds

WRAPPED = [
    lambda call: ["utility.batch", [call]],
    lambda call: ["utility.batch_all", [REMARK, call]],
    lambda call: ["utility.batch", [["utility.batch", [call]]]],
    lambda call: ["proxy.proxy", ALICE, None, call],
    lambda call: ["proxy.proxy_announced", BOB, ALICE, None, call],
    lambda call: ["multisig.as_multi_threshold_1", [DAVE], call],
    lambda call: ["multisig.as_multi", 2, [DAVE], None, call],
]


@pytest.mark.parametrize("kind", [NON_TRANSFER, CANCEL_PROXY])
@pytest.mark.parametrize("wrap", [lambda call: call, *WRAPPED])
def test_no_wrapping_smuggles_a_transfer_past_a_kind(kind: int, wrap: Any) -> None:
    chain = with_delegate(kind)

    assert act(chain, wrap(PAY)) == "proxy.CallNotCovered"
    assert chain.free(NOBODY) == 0


@pytest.mark.parametrize("kind", [NON_TRANSFER, CANCEL_PROXY])
@pytest.mark.parametrize(
    "call",
    [
        ["proxy.add_proxy", BOB, ANY, 0],
        ["proxy.remove_proxies"],
        ["proxy.announce", DAVE, bytes(32)],
        ["multisig.approve_as_multi", 2, [DAVE], None, bytes(32)],
    ],
)
def test_a_delegate_cannot_widen_what_it_may_do(kind: int, call: Any) -> None:
    assert act(with_delegate(kind), call) == "proxy.CallNotCovered"


def test_each_kind_covers_what_it_says() -> None:
    def covered(kind: ProxyKind) -> set[str]:
        examples: list[Any] = [
            PAY,
            REMARK,
            ["proxy.reject_announcement", BOB, bytes(32)],
            ["utility.batch", [REMARK]],
        ]
        return {call[0] for call in examples if is_covered(kind, decode_call(call))}

    assert covered(ProxyKind.ANY) == {
        "balances.transfer",
        "system.remark",
        "proxy.reject_announcement",
        "utility.batch",
    }
    assert covered(ProxyKind.NON_TRANSFER) == {"system.remark"}
    assert covered(ProxyKind.CANCEL_PROXY) == {"proxy.reject_announcement"}


# ----------------------------------------------------------------------------- announcements


def announce(chain: SmallChain, by: AccountId = BOB) -> Any:
    return chain.call(by, "proxy.announce", ALICE, PAY_HASH)


def act_announced(chain: SmallChain, call: Any = PAY, by: AccountId = DAVE) -> str:
    receipt = chain.call(by, "proxy.proxy_announced", BOB, ALICE, None, call)
    if receipt.error:
        return receipt.error
    error = find_event([receipt], "proxy.ProxyExecuted")[2]
    assert isinstance(error, str)
    return error


def test_a_delayed_delegate_must_announce() -> None:
    chain = with_delegate(delay=3)

    assert act(chain, PAY) == "proxy.NotAnnounced"
    assert act_announced(chain) == "proxy.NotAnnounced"


def test_an_announced_call_can_be_made_after_the_delay_and_once() -> None:
    chain = with_delegate(delay=3)
    receipt = announce(chain)
    assert find_event([receipt], "proxy.CallAnnounced") == [ALICE, BOB, PAY_HASH]
    announced_at = chain.height
    assert chain.held(BOB, ANNOUNCEMENTS_HOLD) == LOOP + LOOP // 10
    while chain.height + 1 < announced_at + 3:
        assert act_announced(chain) == "proxy.NotAnnounced"

    assert act_announced(chain) == ""

    assert chain.free(NOBODY) == LOOP
    assert chain.held(BOB, ANNOUNCEMENTS_HOLD) == 0
    assert act_announced(chain) == "proxy.NotAnnounced"


def test_only_the_announced_call_can_be_made() -> None:
    chain = with_delegate(delay=1)
    announce(chain)

    assert act_announced(chain, [*PAY[:2], LOOP + 1]) == "proxy.NotAnnounced"
    assert act_announced(chain) == ""


def test_an_announced_call_still_has_to_be_covered() -> None:
    chain = with_delegate(NON_TRANSFER, delay=1)
    announce(chain)

    assert act_announced(chain) == "proxy.CallNotCovered"


def test_an_announcement_is_void_when_the_delegation_ends() -> None:
    chain = with_delegate(delay=1)
    announce(chain)
    chain.call(ALICE, "proxy.remove_proxies")

    assert act_announced(chain) == "proxy.NotDelegate"
    assert chain.call(BOB, "proxy.remove_announcement", ALICE, PAY_HASH).error == ""


def test_the_real_account_rejects_and_the_delegate_takes_back() -> None:
    for signer, call in (
        (ALICE, ["proxy.reject_announcement", BOB, PAY_HASH]),
        (BOB, ["proxy.remove_announcement", ALICE, PAY_HASH]),
    ):
        chain = with_delegate(delay=1)
        announce(chain)

        receipt = chain.call(signer, *call)

        assert find_event([receipt], "proxy.AnnouncementRemoved") == [ALICE, BOB, PAY_HASH]
        assert chain.held(BOB, ANNOUNCEMENTS_HOLD) == 0
        assert act_announced(chain) == "proxy.NotAnnounced"
        assert chain.call(signer, *call).error == "proxy.NotAnnounced"


def test_nobody_else_rejects() -> None:
    chain = with_delegate(delay=1)
    announce(chain)

    receipt = chain.call(DAVE, "proxy.reject_announcement", BOB, PAY_HASH)

    assert receipt.error == "proxy.NotAnnounced"
    assert act_announced(chain) == ""


def test_a_cancelling_delegate_rejects_and_does_nothing_else() -> None:
    chain = with_delegate(delay=1)
    chain.call(ALICE, "proxy.add_proxy", CHARLIE, CANCEL_PROXY, 0)
    announce(chain)

    rejection = ["proxy.reject_announcement", BOB, PAY_HASH]

    assert act(chain, PAY, by=CHARLIE) == "proxy.CallNotCovered"
    assert act(chain, rejection, by=CHARLIE) == ""
    assert act_announced(chain) == "proxy.NotAnnounced"


def test_only_delegates_announce_and_only_so_much() -> None:
    chain = with_delegate(delay=1)
    assert announce(chain, by=CHARLIE).error == "proxy.NotDelegate"
    for _ in range(ANNOUNCEMENTS_MAX):
        assert announce(chain).error == ""

    assert announce(chain).error == "proxy.TooManyEntries"
    chain.call(BOB, "proxy.remove_announcement", ALICE, PAY_HASH)
    assert chain.held(BOB, ANNOUNCEMENTS_HOLD) == 0


def test_only_ripe_announcements_of_a_call_are_used_up() -> None:
    chain = with_delegate(delay=2)
    announce(chain)
    announce(chain)

    assert act_announced(chain) == ""

    (left,) = chain.runtime.proxy.announcements[BOB]
    assert left.height == 3
    assert chain.held(BOB, ANNOUNCEMENTS_HOLD) == LOOP + LOOP // 10


def test_the_invariants_notice_a_deposit_that_is_gone() -> None:
    chain = with_delegate(delay=1)
    announce(chain)
    for account, reason in ((ALICE, DELEGATES_HOLD), (BOB, ANNOUNCEMENTS_HOLD)):
        runtime = chain.runtime
        runtime.balances.burn_held(account, reason, runtime.balances.held_for(account, reason))
        with pytest.raises(AssertionError):
            runtime.proxy.check_invariants()
