"""Offences: evidence, what it costs, jail, expiry, and that nobody pays twice."""

from dataclasses import replace

import pytest

from genesis.presets import DEV_BOND
from primitives.block import Receipt
from primitives.types import Epoch
from runtime.executive import InherentFailed, MisplacedInherent
from tests.runtime.small_chain import (
    ALICE,
    AUTHOR,
    BOB,
    CHARLIE,
    LOOP,
    SPEC,
    event_names,
    extrinsic,
    find_event,
    inherent,
)
from tests.runtime.staking_chain import LENGTH, UNBONDING, StakingChain, evidence

OFFENCES = SPEC.runtime.offences


def test_evidence_slashes_jails_and_pays_the_reporter() -> None:
    chain = StakingChain()
    fee = chain.call(BOB, "system.remark", b"").fee
    before, issued = chain.free(BOB), chain.runtime.balances.total_issuance.get()

    receipt = chain.call(BOB, "offences.report", evidence("Alice", 0, 0))

    taken = DEV_BOND * OFFENCES.equivocation_ppb // 10**9
    paid = taken * OFFENCES.reporter_ppb // 10**9
    assert fee > 0
    assert event_names(receipt) == [
        "balances.HoldMoved",
        "balances.HoldBurned",
        "staking.Slashed",
        "staking.Chilled",
        "staking.Jailed",
        "offences.Offended",
    ]
    assert find_event([receipt], "offences.Offended") == [
        ALICE,
        0,
        "nullify_and_finalize",
        BOB,
        taken,
        paid,
    ]
    assert chain.ledger(ALICE).active == DEV_BOND - taken
    assert chain.free(BOB) == before + paid - receipt.fee
    assert issued - chain.runtime.balances.total_issuance.get() >= taken - paid
    assert chain.error(ALICE, "staking.validate", 0) == "staking.InJail"


def test_nobody_is_punished_twice_for_one_epoch() -> None:
    chain = StakingChain()
    chain.do(BOB, "offences.report", evidence("Alice", 0, 0))

    again = chain.error(BOB, "offences.report", evidence("Alice", 0, 0))
    other_view = chain.error(CHARLIE, "offences.report", evidence("Alice", 0, 0, view=2))

    assert again == other_view == "offences.AlreadyPunished"


def test_another_epoch_is_another_offence() -> None:
    chain = StakingChain()
    chain.skip_epochs(1)
    chain.do(BOB, "offences.report", evidence("Alice", 1, 0))
    once = chain.ledger(ALICE).active

    chain.do(BOB, "offences.report", evidence("Alice", 0, 0))

    assert chain.ledger(ALICE).active < once
    assert chain.runtime.offences.punished[ALICE] == (0, 1)


@pytest.mark.parametrize("late", [0, 1])
def test_evidence_expires_when_the_stake_may_leave(late: int) -> None:
    chain = StakingChain()
    chain.skip_epochs(UNBONDING + late)

    error = chain.error(BOB, "offences.report", evidence("Alice", 0, 0))

    assert error == ("offences.EvidenceExpired" if late else "")


def test_stake_that_is_about_to_leave_is_still_slashed() -> None:
    chain = StakingChain()
    chain.do(CHARLIE, "staking.bond", 100 * LOOP)
    chain.do(CHARLIE, "staking.nominate", ALICE)
    chain.skip_epochs(1)
    offence = chain.epoch
    chain.do(CHARLIE, "staking.chill")
    chain.do(CHARLIE, "staking.unbond", 100 * LOOP)
    chain.skip_epochs(UNBONDING)
    assert chain.error(CHARLIE, "staking.withdraw") == "staking.NothingToWithdraw"

    chain.do(BOB, "offences.report", evidence("Alice", offence, 0))

    assert chain.bonded(CHARLIE) == 95 * LOOP


def test_evidence_of_an_epoch_to_come_is_refused() -> None:
    chain = StakingChain()

    error = chain.error(BOB, "offences.report", evidence("Alice", 1, 0))

    assert error == "offences.EvidenceExpired"


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\xff" * 1024,
        evidence("Bob", 0, 0),
        evidence("Alice", 0, 1),
        evidence("Alice", 0, 0, view=0),
    ],
    ids=["nothing", "noise", "another's key", "no such place", "view zero"],
)
def test_what_proves_nothing_is_refused_and_changes_nothing(wrong: bytes) -> None:
    chain = StakingChain()

    assert chain.error(BOB, "offences.report", wrong) == "offences.InvalidEvidence"
    assert chain.ledger(ALICE).active == DEV_BOND


def test_a_kept_table_is_backed_by_the_stake_that_made_it() -> None:
    chain = StakingChain()
    chain.do(ALICE, "staking.chill")
    chain.skip_epochs(UNBONDING + 2)
    assert chain.runtime.session.origin(chain.epoch) == 0

    chain.do(BOB, "offences.report", evidence("Alice", chain.epoch, 0))

    # By now the oldest backing on record is that of a chilled validator.
    assert chain.ledger(ALICE).active == DEV_BOND


def test_a_table_kept_for_an_epoch_is_slashed_in_full() -> None:
    chain = StakingChain()
    chain.do(ALICE, "staking.chill")
    chain.skip_epochs(1)

    chain.do(BOB, "offences.report", evidence("Alice", 1, 0))

    taken = DEV_BOND * OFFENCES.equivocation_ppb // 10**9
    assert chain.ledger(ALICE).active == DEV_BOND - taken


def test_an_offender_comes_back_after_its_time_in_jail() -> None:
    chain = StakingChain()
    chain.do(BOB, "offences.report", evidence("Alice", 0, 0))
    assert chain.error(ALICE, "offences.unjail") == "staking.StillJailed"
    chain.skip_epochs(OFFENCES.jail_epochs)

    receipt = chain.call(ALICE, "offences.unjail")
    chain.do(ALICE, "staking.validate", 0)
    chain.skip_epochs(2)

    assert event_names(receipt) == ["staking.Unjailed"]
    table = chain.runtime.session.table(chain.epoch)
    assert [entry.account for entry in table.validators] == [ALICE]


def test_an_offender_earns_nothing_in_that_epoch() -> None:
    chain = StakingChain()
    chain.do(BOB, "offences.report", evidence("Alice", 0, 0))
    chain.skip_epochs(1)

    assert chain.error(ALICE, "rewards.payout", ALICE, 0) == "rewards.AlreadyPaid"


def test_records_of_punishment_are_bounded() -> None:
    chain = StakingChain(offences=replace(OFFENCES, equivocation_ppb=1))
    for epoch in range(UNBONDING + 3):
        chain.do(BOB, "offences.report", evidence("Alice", epoch, 0))
        chain.skip_epochs(1)

    newest = UNBONDING + 2
    kept = chain.runtime.offences.punished[ALICE]
    assert kept == tuple(range(newest - UNBONDING, newest + 1))
    assert chain.height == (newest + 1) * LENGTH


def test_the_invariants_notice_a_punishment_for_the_future() -> None:
    offences = StakingChain().runtime.offences
    offences.check_invariants()

    offences.punished[ALICE] = (Epoch(5),)

    with pytest.raises(AssertionError):
        offences.check_invariants()


# ---------------------------------------------------------------- what block authors put in


def report_by_author(chain: StakingChain, *pieces: bytes) -> tuple[Receipt, ...]:
    """Make a block whose author puts evidence in; return the receipts of the reports."""
    execution = chain.start()
    for piece in pieces:
        execution.apply(inherent(["offences.report_by_author", piece]))
    return chain.finish(execution)[2:-1]


def test_an_author_reports_what_its_node_has_seen_and_is_paid_for_it() -> None:
    chain = StakingChain()

    (receipt,) = report_by_author(chain, evidence("Alice", 0, 0))

    taken = DEV_BOND * OFFENCES.equivocation_ppb // 10**9
    paid = taken * OFFENCES.reporter_ppb // 10**9
    assert (receipt.error, receipt.fee) == ("", 0)
    assert find_event([receipt], "offences.Offended") == [
        ALICE,
        0,
        "nullify_and_finalize",
        AUTHOR,
        taken,
        paid,
    ]
    assert chain.free(AUTHOR) == paid
    assert chain.ledger(ALICE).active == DEV_BOND - taken
    assert chain.error(ALICE, "staking.validate", 0) == "staking.InJail"


def test_evidence_that_punishes_nobody_is_refused_without_a_trace() -> None:
    chain = StakingChain()
    chain.do(BOB, "offences.report", evidence("Alice", 0, 0))
    execution = chain.start()
    before = dict(execution.overlay.writes)

    for stale in (evidence("Alice", 0, 0, view=2), evidence("Alice", 1, 0), b"noise"):
        with pytest.raises(InherentFailed, match=r"offences\.report_by_author"):
            execution.apply(inherent(["offences.report_by_author", stale]))

    assert dict(execution.overlay.writes) == before
    assert execution.apply(extrinsic(BOB, ["system.remark", b""], 1)).error == ""


def test_a_block_reports_once_before_its_transactions_and_after_its_time() -> None:
    chain = StakingChain()
    chain.skip_epochs(1)
    first, second = (["offences.report_by_author", evidence("Alice", n, 0)] for n in (0, 1))
    reported, full = chain.start(), chain.start()
    reported.apply(inherent(first))
    full.apply(extrinsic(BOB, ["system.remark", b""], 0))

    with pytest.raises(MisplacedInherent):
        reported.apply(inherent(second))
    with pytest.raises(MisplacedInherent):
        full.apply(inherent(first))
    with pytest.raises(MisplacedInherent):
        full.apply(inherent(["timestamp.set", chain.now + 1000]))
    assert chain.error(BOB, "utility.batch_all", [first]) == "runtime.NotSigned"


def test_a_reporter_too_poor_to_exist_loses_its_share_and_no_block() -> None:
    tiny = replace(OFFENCES, equivocation_ppb=1, reporter_ppb=1)
    chain = StakingChain(offences=tiny)

    (receipt,) = report_by_author(chain, evidence("Alice", 0, 0))

    assert receipt.error == ""
    assert chain.free(AUTHOR) == 0


def test_punishment_is_known_by_account_and_epoch() -> None:
    chain = StakingChain()
    chain.do(BOB, "offences.report", evidence("Alice", 0, 0))

    offences = chain.runtime.offences

    assert offences.is_punished(ALICE, Epoch(0))
    assert not offences.is_punished(ALICE, Epoch(1))
    assert not offences.is_punished(BOB, Epoch(0))
