"""Rewards: what an epoch is allotted, who may ask for it, and what returns to the pot."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.presets import DEV_BOND
from primitives.types import AccountId, Balance, Epoch
from runtime.issuance import Reserve
from runtime.module import InvariantBroken
from runtime.pools.pricing import Blocks
from runtime.rewards import Allotment, divide, ramp_ppb
from runtime.staking.ledger import Backer, Backing
from tests.runtime.small_chain import ALICE, BOB, CHARLIE, LOOP, NOBODY, SPEC, find_event
from tests.runtime.staking_chain import LENGTH, UNBONDING, StakingChain

REWARDS = SPEC.runtime.rewards
PPB = 10**9
accounts = st.integers(2, 40).map(lambda number: AccountId(bytes([number]) * 32))


class EarningChain(StakingChain):
    """//Alice authors every block."""

    def __init__(self, **changes: object) -> None:
        super().__init__(**changes)
        self.author = ALICE

    def allotment(self, epoch: int) -> Allotment:
        allotment = self.runtime.rewards.allotments[epoch]
        assert allotment is not None
        return allotment

    @property
    def reserve(self) -> Reserve:
        return self.runtime.rewards.reserve.get()


def test_the_pot_is_full_at_genesis() -> None:
    assert EarningChain().reserve == Reserve(REWARDS.pot)


def test_each_boundary_allots_what_the_rule_mints_in_three_parts() -> None:
    chain = EarningChain()
    chain.skip_to(LENGTH - 1)
    usage = chain.runtime.rewards.sources.market.usage(Epoch(0), Blocks(LENGTH))
    reserve, minted = chain.reserve.minted(REWARDS.parameters(), usage)

    receipts = chain.finish(chain.start())

    part = chain.allotment(0)
    assert minted > 0
    assert part.authors == minted * REWARDS.author_ppb // PPB
    assert part.voters == minted * REWARDS.voter_ppb // PPB
    assert part.authors + part.voters + part.compute == minted == part.unpaid
    assert chain.reserve == reserve
    assert find_event(receipts, "rewards.Allotted") == [
        0,
        part.authors,
        part.voters,
        part.compute,
        0,
    ]


def test_what_an_epoch_will_be_allotted_can_be_asked_before_it_ends() -> None:
    chain = EarningChain()
    chain.skip_to(LENGTH - 1)

    expected = chain.runtime.rewards.allotment_of(Epoch(0))
    chain.block()

    assert chain.allotment(0) == expected == chain.runtime.rewards.allotment_of(Epoch(0))


def test_what_is_due_can_be_asked_before_it_is_paid() -> None:
    chain = EarningChain()
    chain.skip_epochs(1)
    commission, parts = chain.runtime.rewards.payout_due(ALICE, Epoch(0))
    amount, withheld = chain.runtime.rewards.claim_due(ALICE, Epoch(0))

    paid = chain.call(BOB, "rewards.payout", ALICE, 0)
    bonded = chain.call(ALICE, "rewards.claim", 0)

    total = sum(part for _, part in parts)
    assert find_event([paid], "rewards.ValidatorPaid") == [ALICE, 0, total, commission]
    assert find_event([bonded], "rewards.ProviderPaid") == [ALICE, 0, amount, withheld]


def test_a_validator_is_paid_for_its_blocks_and_its_weight_once() -> None:
    chain = EarningChain()
    chain.skip_epochs(1)
    part = chain.allotment(0)
    issued = chain.runtime.balances.total_issuance.get()

    receipt = chain.call(BOB, "rewards.payout", ALICE, 0)

    whole = part.authors + part.voters
    assert find_event([receipt], "rewards.ValidatorPaid") == [ALICE, 0, whole, 0]
    assert chain.allotment(0).paid == whole == chain.runtime.rewards.issued.get()
    assert chain.runtime.balances.total_issuance.get() - issued <= whole
    assert chain.error(BOB, "rewards.payout", ALICE, 0) == "rewards.AlreadyPaid"


def test_who_authored_only_some_blocks_gets_only_their_share() -> None:
    chain = EarningChain()
    chain.block()
    chain.author = NOBODY
    chain.skip_epochs(1)
    part = chain.allotment(0)

    receipt = chain.call(BOB, "rewards.payout", ALICE, 0)

    paid = find_event([receipt], "rewards.ValidatorPaid")[2]
    assert paid == part.authors // LENGTH + part.voters


def test_nominators_share_by_stake_after_the_commission() -> None:
    chain = EarningChain()
    chain.do(ALICE, "staking.validate", PPB // 4)
    chain.do(BOB, "staking.bond", DEV_BOND)
    chain.do(BOB, "staking.nominate", ALICE)
    chain.skip_epochs(2)
    part = chain.allotment(1)
    before = chain.free(BOB)

    receipt = chain.call(CHARLIE, "rewards.payout", ALICE, 1)

    earned = part.authors + part.voters
    commission = earned // 4
    assert find_event([receipt], "rewards.ValidatorPaid") == [ALICE, 1, earned, commission]
    assert chain.free(BOB) - before == (earned - commission) // 2


def test_the_commission_is_that_of_the_epoch() -> None:
    chain = EarningChain()
    chain.do(BOB, "staking.bond", DEV_BOND)
    chain.do(BOB, "staking.nominate", ALICE)
    chain.skip_epochs(2)
    chain.do(ALICE, "staking.validate", PPB)

    receipt = chain.call(CHARLIE, "rewards.payout", ALICE, 1)

    assert find_event([receipt], "rewards.ValidatorPaid")[3] == 0


def test_payouts_that_are_refused() -> None:
    chain = EarningChain()

    assert chain.error(BOB, "rewards.payout", ALICE, 0) == "rewards.NotAllotted"
    chain.skip_epochs(1)
    assert chain.error(BOB, "rewards.payout", BOB, 0) == "rewards.NothingEarned"
    chain.skip_epochs(UNBONDING)
    assert chain.error(BOB, "rewards.payout", ALICE, 1) == ""
    assert chain.error(BOB, "rewards.payout", ALICE, 0) == "rewards.NotAllotted"


def test_proven_compute_is_paid_as_bond_that_vests() -> None:
    chain = EarningChain()
    chain.skip_epochs(1)
    part = chain.allotment(0)

    receipt = chain.call(BOB, "rewards.claim", 0)

    whole = part.compute // len(SPEC.runtime.compute)
    amount = whole // 10
    assert find_event([receipt], "rewards.ProviderPaid") == [BOB, 0, amount, whole - amount]
    assert chain.bonded(BOB) == chain.ledger(BOB).active == amount
    assert chain.error(BOB, "staking.unbond", amount) == "staking.StillVesting"
    assert chain.error(BOB, "rewards.claim", 0) == "rewards.AlreadyPaid"


def test_epochs_are_claimed_in_order_and_by_those_who_proved() -> None:
    chain = EarningChain()
    chain.skip_epochs(2)
    chain.do(BOB, "rewards.claim", 1)

    assert chain.error(BOB, "rewards.claim", 0) == "rewards.AlreadyPaid"
    assert chain.error(BOB, "rewards.claim", 2) == "rewards.NotAllotted"
    chain.do(BOB, "balances.transfer", NOBODY, LOOP)
    latest = chain.epoch - 1
    assert chain.error(NOBODY, "rewards.claim", latest) == "rewards.NothingEarned"


def test_the_ramp_grows_from_a_tenth_to_the_whole() -> None:
    assert [ramp_ppb(age, 9) for age in (0, 1, 8, 9, 100)] == [
        PPB // 10,
        PPB // 5,
        9 * PPB // 10,
        PPB,
        PPB,
    ]


def test_what_nobody_asks_for_returns_to_the_pot() -> None:
    chain = EarningChain()
    chain.skip_epochs(1)
    chain.do(BOB, "rewards.payout", ALICE, 0)
    unpaid = chain.allotment(0).unpaid
    chain.skip_to((UNBONDING + 1) * LENGTH - 1)
    before, recycled = chain.reserve.unminted, chain.runtime.rewards.recycled.get()

    receipts = chain.finish(chain.start())

    allotted = find_event(receipts, "rewards.Allotted")
    assert allotted[4] == unpaid > 0
    minted = sum(allotted[1:4]) - (chain.runtime.rewards.recycled.get() - recycled)
    assert chain.reserve.unminted == before + unpaid - minted
    rewards = chain.runtime.rewards
    assert rewards.allotments[0] is None
    assert (rewards.authored[0, ALICE], rewards.settled[0, ALICE]) == (0, False)


def test_a_share_of_burns_is_allotted_again() -> None:
    chain = EarningChain(rewards=replace(REWARDS, recycle_shift=1, pot=Balance(0)))
    execution = chain.start()
    execution.runtime.balances.burn(BOB, Balance(4000))
    chain.finish(execution)

    chain.skip_epochs(1)

    assert chain.allotment(0).unpaid == 1000
    assert chain.runtime.rewards.recycled.get() == 1000
    assert chain.reserve.recyclable == 1000
    assert chain.runtime.rewards.burned.get() == 4000
    assert chain.runtime.balances.burned_lately() == 0


def test_what_fees_burn_is_noted_in_their_block() -> None:
    chain = EarningChain()

    receipts = chain.block((BOB, ["balances.transfer", CHARLIE, LOOP]))

    burned = receipts[0].fee - receipts[0].fee * SPEC.runtime.fees.burned_ppb // PPB
    assert burned > 0
    assert chain.runtime.rewards.burned.get() == burned
    recycled = chain.reserve.recyclable * PPB + chain.reserve.burn_remainder
    assert recycled == burned * REWARDS.recycled_ppb


def test_dust_that_nobody_can_keep_is_not_minted() -> None:
    chain = EarningChain(rewards=replace(REWARDS, pot=Balance(3000 * 1095)))
    chain.do(ALICE, "balances.transfer_all", BOB, False)
    chain.author = NOBODY
    chain.skip_epochs(1)

    receipt = chain.call(BOB, "rewards.payout", ALICE, 0)

    assert find_event([receipt], "rewards.ValidatorPaid")[2] == 0
    assert chain.free(ALICE) == 0


@given(
    earned=st.integers(0, 10**12),
    own=st.integers(0, 10**12),
    commission=st.integers(0, PPB),
    stakes=st.dictionaries(accounts, st.integers(1, 10**12), max_size=5),
)
def test_a_payout_is_divided_to_the_base_unit(
    earned: int, own: int, commission: int, stakes: dict[AccountId, int]
) -> None:
    validator = AccountId(bytes(32))
    backers = tuple(Backer(account, Balance(n)) for account, n in sorted(stakes.items()))
    backing = Backing(Balance(own), commission, backers)

    kept, parts = divide(Balance(earned), validator, backing)

    assert sum(amount for _, amount in parts) == earned
    assert parts[0][0] == validator
    assert parts[0][1] >= kept
    for (_, amount), backer in zip(parts[1:], backers, strict=True):
        assert amount == (earned - kept) * backer.amount // backing.total


@pytest.mark.parametrize(
    ("spoiled", "invariant"),
    [
        ("pot", "rewards.pot_and_allotted_and_paid_are_constant"),
        ("paid", "rewards.no_epoch_pays_more_than_its_allotment"),
        ("issuance", "rewards.supply_is_genesis_and_paid_less_burned"),
        ("burned", "rewards.supply_is_genesis_and_paid_less_burned"),
        ("recycled", "rewards.recycled_is_a_share_of_burned"),
        ("cap", "rewards.supply_is_at_most_genesis_and_pot"),
    ],
)
def test_the_invariants_notice(spoiled: str, invariant: str) -> None:
    chain = EarningChain()
    chain.skip_epochs(1)
    rewards = chain.runtime.rewards
    rewards.check_invariants()

    if spoiled == "pot":
        rewards.reserve.set(Reserve(Balance(1)))
    elif spoiled == "paid":
        rewards.allotments[0] = replace(chain.allotment(0), paid=Balance(2**63))
    elif spoiled == "issuance":
        chain_issuer = rewards.sources.issuer
        assert chain_issuer.mint_keepable(BOB, Balance(LOOP)) == LOOP
    elif spoiled == "burned":
        rewards.burned.set(2)
    elif spoiled == "recycled":
        rewards.reserve.set(replace(rewards.reserve.get(), recyclable=Balance(5)))
    else:
        rewards.config = replace(rewards.config, pot=Balance(0))
        rewards.reserve.set(Reserve(Balance(0)))
        for epoch, _ in tuple(rewards.allotments.items()):
            del rewards.allotments[epoch]
        rewards.endowed.set(Balance(rewards.endowed.get() - 1))
        rewards.issued.set(1)
        rewards.recycled.set(1)

    with pytest.raises(InvariantBroken, match=invariant):
        rewards.check_invariants()
