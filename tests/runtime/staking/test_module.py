"""Staking: each call, each error, what backs whom in which epoch, slashes and jail."""

from dataclasses import replace

import pytest

from genesis.presets import DEV_BOND
from primitives.types import AccountId, Balance, Epoch
from runtime.issuance import Reserve
from runtime.queries import QUERIES
from runtime.staking.ledger import Backer, Chunk, Ledger
from runtime.staking.module import HOLD, Staking
from tests.runtime.small_chain import ALICE, BOB, CHARLIE, DAVE, EVE, LOOP, NOBODY, event_names
from tests.runtime.staking_chain import (
    BOND_MIN,
    NOMINATION_MIN,
    STAKING,
    UNBONDING,
    StakingChain,
)

HALF = 500_000_000


def with_nominators() -> StakingChain:
    """Return a chain on which Bob and Charlie stand behind Alice with 100 and 300 LOOP."""
    chain = StakingChain()
    for nominator, amount in ((BOB, 100), (CHARLIE, 300)):
        chain.do(nominator, "staking.bond", amount * LOOP)
        chain.do(nominator, "staking.nominate", ALICE)
    return chain


def slash(chain: StakingChain, epoch: int, fraction_ppb: int = HALF, reporter_ppb: int = 0) -> int:
    """Slash Alice in a block of its own; return what was taken."""
    execution = chain.start()
    done = execution.runtime.staking.slash(
        ALICE,
        Epoch(epoch),
        fraction_ppb=fraction_ppb,
        reporter=EVE,
        reporter_ppb=reporter_ppb,
    )
    chain.finish(execution)
    return done.taken


def test_genesis_validators_begin_with_their_bonds() -> None:
    chain = StakingChain()

    assert chain.ledger(ALICE) == Ledger(Balance(DEV_BOND))
    assert chain.bonded(ALICE) == DEV_BOND
    assert chain.runtime.staking.candidates.get() == (ALICE,)
    assert chain.backing(ALICE).own == DEV_BOND


def test_a_bond_is_held_and_can_grow() -> None:
    chain = StakingChain()

    receipt = chain.call(BOB, "staking.bond", BOND_MIN)
    chain.do(BOB, "staking.bond_extra", 5)

    assert event_names(receipt) == ["balances.Held", "staking.Bonded"]
    assert chain.bonded(BOB) == chain.ledger(BOB).active == BOND_MIN + 5


def test_bonds_that_are_refused() -> None:
    chain = StakingChain()

    assert chain.error(BOB, "staking.bond_extra", 5) == "staking.NotBonded"
    assert chain.error(BOB, "staking.bond", NOMINATION_MIN - 1) == "staking.BelowMinimum"
    assert chain.error(BOB, "staking.bond", 10**16) == "balances.InsufficientBalance"
    assert chain.error(ALICE, "staking.bond", BOND_MIN) == "staking.AlreadyBonded"
    assert chain.bonded(BOB) == 0


def test_stake_leaves_after_the_unbonding_epochs_and_not_before() -> None:
    chain = StakingChain()
    chain.do(BOB, "staking.bond", BOND_MIN)
    chain.do(BOB, "staking.unbond", 300)
    left = chain.epoch
    assert chain.ledger(BOB).chunks == (Chunk(Balance(300), left),)
    assert chain.bonded(BOB) == BOND_MIN

    chain.skip_epochs(UNBONDING)
    assert chain.epoch == left + UNBONDING
    assert chain.error(BOB, "staking.withdraw") == "staking.NothingToWithdraw"
    chain.skip_epochs(1)
    receipt = chain.call(BOB, "staking.withdraw")

    assert event_names(receipt) == ["balances.Released", "staking.Withdrawn"]
    assert chain.ledger(BOB) == Ledger(Balance(BOND_MIN - 300))
    assert chain.bonded(BOB) == BOND_MIN - 300


def test_all_of_a_bond_may_leave_once_it_does_nothing() -> None:
    chain = with_nominators()
    assert chain.error(BOB, "staking.unbond", 100 * LOOP) == "staking.BelowMinimum"
    assert chain.error(ALICE, "staking.unbond", DEV_BOND - BOND_MIN + 1) == "staking.BelowMinimum"

    chain.do(BOB, "staking.chill")
    chain.do(BOB, "staking.unbond", 100 * LOOP)
    chain.skip_epochs(UNBONDING + 1)
    chain.do(BOB, "staking.withdraw")

    assert chain.ledger(BOB) == Ledger()
    assert chain.bonded(BOB) == 0


def test_unbonding_that_is_refused() -> None:
    chain = StakingChain()
    chain.do(BOB, "staking.bond", BOND_MIN)

    assert chain.error(BOB, "staking.unbond", BOND_MIN + 1) == "staking.InsufficientBond"
    assert chain.error(BOB, "staking.unbond", 0) == "staking.InsufficientBond"
    assert chain.error(CHARLIE, "staking.unbond", 1) == "staking.InsufficientBond"


def test_only_so_many_chunks_leave_at_one_time() -> None:
    chain = StakingChain()
    chain.do(BOB, "staking.bond", BOND_MIN)
    for _ in range(STAKING.chunks_max):
        chain.do(BOB, "staking.unbond", 1)
        chain.skip_epochs(1)

    assert chain.error(BOB, "staking.unbond", 1) == "staking.TooManyChunks"
    chain.do(BOB, "staking.withdraw")
    chain.do(BOB, "staking.unbond", 1)


def test_a_reward_is_bond_at_once_and_leaves_when_it_has_vested() -> None:
    chain = StakingChain()
    execution = chain.start()
    execution.runtime.staking.bond_reward(BOB, Balance(400))
    # As if it had been paid: out of the pot.
    rewards = execution.runtime.rewards
    rewards.issued.set(400)
    rewards.reserve.set(Reserve(Balance(rewards.config.pot - 400)))
    chain.finish(execution)

    assert chain.bonded(BOB) == chain.ledger(BOB).active == 400
    assert chain.error(BOB, "staking.unbond", 1) == "staking.StillVesting"
    chain.skip_epochs(1)
    assert chain.error(BOB, "staking.unbond", 101) == "staking.StillVesting"
    chain.do(BOB, "staking.unbond", 100)


def test_a_newcomer_may_be_in_the_table_after_the_next() -> None:
    chain = StakingChain()
    chain.do(BOB, "staking.bond", BOND_MIN)

    receipt = chain.call(BOB, "staking.validate", 7)

    assert event_names(receipt) == ["staking.ValidationStarted"]
    staking = chain.runtime.staking
    assert [account for account, _ in staking.standing(Epoch(1))] == [ALICE]
    assert staking.standing(Epoch(2)) == sorted([(ALICE, DEV_BOND), (BOB, BOND_MIN)])
    assert chain.backing(BOB, chain.epoch + 1).commission_ppb == 7
    assert chain.backing(BOB, chain.epoch).total == 0


def test_validating_that_is_refused() -> None:
    chain = with_nominators()
    chain.do(DAVE, "staking.bond", BOND_MIN - 1)

    assert chain.error(ALICE, "staking.validate", 10**9 + 1) == "staking.InvalidCommission"
    assert chain.error(BOB, "staking.validate", 0) == "staking.AlreadyNominating"
    assert chain.error(DAVE, "staking.validate", 0) == "staking.BelowMinimum"
    chain.do(DAVE, "staking.bond_extra", 1)
    chain.do(DAVE, "staking.validate", 0)
    chain.do(EVE, "staking.bond", BOND_MIN)
    chain.do(EVE, "staking.validate", 0)
    chain.do(BOB, "staking.chill")
    chain.do(BOB, "staking.bond_extra", BOND_MIN)
    assert chain.error(BOB, "staking.validate", 0) == "staking.TooManyValidators"


def test_a_new_commission_counts_from_the_next_table_on_and_keeps_the_place() -> None:
    chain = StakingChain()

    chain.do(ALICE, "staking.validate", 9)

    assert chain.backing(ALICE).commission_ppb == 0
    assert chain.backing(ALICE, chain.epoch + 1).commission_ppb == 9
    assert chain.runtime.staking.standing(Epoch(1)) == [(ALICE, DEV_BOND)]


def test_nominators_add_to_a_backing_from_the_next_table_on() -> None:
    chain = with_nominators()

    assert chain.backing(ALICE, chain.epoch + 1).total == DEV_BOND + 400 * LOOP
    assert chain.backing(ALICE, 0).total == DEV_BOND
    assert chain.runtime.staking.stakes[ALICE] == DEV_BOND + 400 * LOOP


def test_a_backing_follows_what_its_nominators_add_and_take() -> None:
    chain = with_nominators()

    chain.do(BOB, "staking.bond_extra", 5)
    chain.do(CHARLIE, "staking.unbond", 100 * LOOP)

    backers = chain.backing(ALICE, chain.epoch + 1).backers
    assert backers == tuple(
        sorted(
            [Backer(BOB, Balance(100 * LOOP + 5)), Backer(CHARLIE, Balance(200 * LOOP))],
            key=lambda each: each.account,
        )
    )


def test_nominations_that_are_refused() -> None:
    chain = with_nominators()

    assert chain.error(ALICE, "staking.nominate", ALICE) == "staking.AlreadyValidating"
    assert chain.error(BOB, "staking.nominate", ALICE) == "staking.AlreadyNominating"
    assert chain.error(DAVE, "staking.nominate", BOB) == "staking.NotValidating"
    assert chain.error(DAVE, "staking.nominate", ALICE) == "staking.BelowMinimum"
    chain.do(DAVE, "staking.bond", NOMINATION_MIN)
    assert chain.error(DAVE, "staking.nominate", ALICE) == "staking.TooManyNominators"
    assert chain.error(DAVE, "staking.chill") == "staking.NothingToChill"


def test_a_chilled_validator_is_in_no_table_to_come_and_its_nominators_wait() -> None:
    chain = with_nominators()

    receipt = chain.call(ALICE, "staking.chill")

    assert event_names(receipt) == ["staking.Chilled"]
    staking = chain.runtime.staking
    assert staking.standing(Epoch(99)) == []
    assert chain.backing(ALICE, chain.epoch + 1).own == 0
    assert len(chain.backing(ALICE, chain.epoch + 1).backers) == 2
    chain.do(ALICE, "staking.validate", 0)
    assert chain.backing(ALICE, chain.epoch + 1).total == DEV_BOND + 400 * LOOP


def test_old_backings_are_on_record_for_as_long_as_evidence_is_taken() -> None:
    chain = StakingChain()
    totals = [DEV_BOND]
    for _ in range(UNBONDING + 4):
        chain.do(ALICE, "staking.bond_extra", LOOP)
        totals.append(chain.ledger(ALICE).active)
        chain.skip_epochs(1)

    for epoch in range(chain.epoch - UNBONDING, chain.epoch + 1):
        assert chain.backing(ALICE, epoch).total == totals[epoch]
    assert len(chain.runtime.staking.past_epochs[ALICE]) <= UNBONDING + 1


def test_anybody_may_ask_what_stood_behind_a_validator() -> None:
    chain = with_nominators()
    query = QUERIES["staking.backing"]

    answer = query.run(chain.runtime, query.argument.encode((ALICE, chain.epoch + 1)))

    assert query.answer.decode(answer) == chain.backing(ALICE, chain.epoch + 1)


def test_a_slash_takes_the_same_share_of_everybody_to_the_base_unit() -> None:
    chain = with_nominators()
    chain.skip_epochs(1)
    issued = chain.runtime.balances.total_issuance.get()
    eve = chain.free(EVE)

    taken = slash(chain, chain.epoch, reporter_ppb=100_000_000)

    assert chain.ledger(ALICE).active == DEV_BOND // 2
    assert chain.ledger(BOB).active == 50 * LOOP
    assert chain.ledger(CHARLIE).active == 150 * LOOP
    assert taken == (DEV_BOND + 400 * LOOP) // 2
    assert chain.free(EVE) - eve == taken // 10
    burned = issued - chain.runtime.balances.total_issuance.get()
    assert burned == taken - taken // 10


def test_a_slash_reaches_stake_that_left_but_not_what_came_later() -> None:
    chain = with_nominators()
    chain.skip_epochs(1)
    offence = chain.epoch
    chain.do(BOB, "staking.chill")
    chain.do(BOB, "staking.unbond", 100 * LOOP)
    chain.skip_epochs(1)
    chain.do(DAVE, "staking.bond", 50 * LOOP)
    chain.do(DAVE, "staking.nominate", ALICE)

    slash(chain, offence)

    assert chain.ledger(BOB).chunks == (Chunk(Balance(50 * LOOP), offence),)
    assert chain.ledger(DAVE).active == 50 * LOOP


def test_a_slash_follows_a_nominator_to_the_validator_it_changed_to() -> None:
    chain = with_nominators()
    chain.do(DAVE, "staking.bond", BOND_MIN)
    chain.do(DAVE, "staking.validate", 0)
    chain.skip_epochs(1)
    offence = chain.epoch
    chain.do(BOB, "staking.chill")
    chain.do(BOB, "staking.nominate", DAVE)

    slash(chain, offence)

    assert chain.runtime.staking.stakes[DAVE] == BOND_MIN + 50 * LOOP


def test_who_loses_everything_gives_its_place_up() -> None:
    chain = with_nominators()
    chain.skip_epochs(1)

    slash(chain, chain.epoch, fraction_ppb=10**9)
    slash(chain, chain.epoch, fraction_ppb=10**9)

    assert chain.bonded(BOB) == chain.bonded(ALICE) == 0
    assert chain.runtime.staking.targets[BOB] is None
    chain.do(BOB, "staking.bond", NOMINATION_MIN)
    assert chain.backing(ALICE, chain.epoch + 1).backers == ()


def test_jail_ends_validating_until_it_is_left() -> None:
    chain = StakingChain()
    execution = chain.start()
    execution.runtime.staking.jail(ALICE, Epoch(2))
    execution.runtime.staking.jail(ALICE, Epoch(1))
    chain.finish(execution)

    assert chain.runtime.staking.candidates.get() == ()
    assert chain.error(ALICE, "staking.validate", 0) == "staking.InJail"
    assert chain.error(ALICE, "offences.unjail") == "staking.StillJailed"
    assert chain.error(BOB, "offences.unjail") == "staking.NotJailed"
    chain.skip_epochs(2)
    chain.do(ALICE, "offences.unjail")
    chain.do(ALICE, "staking.validate", 0)


@pytest.mark.parametrize("spoiled", ["hold", "stake", "backing", "candidate", "target"])
def test_the_invariants_notice(spoiled: str) -> None:
    chain = with_nominators()
    runtime = chain.runtime
    staking: Staking = runtime.staking
    staking.check_invariants()

    match spoiled:
        case "hold":
            runtime.balances.held[BOB, HOLD] = Balance(1)
        case "stake":
            staking.stakes[ALICE] = Balance(1)
        case "backing":
            staking.backings[NOBODY] = replace(staking.backings[ALICE])
        case "candidate":
            staking.candidates.set((AccountId(bytes(32)), *staking.candidates.get()))
        case "target":
            staking.targets[BOB] = CHARLIE

    with pytest.raises(AssertionError):
        staking.check_invariants()
