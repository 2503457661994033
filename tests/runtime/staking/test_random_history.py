"""A long random life of stakes: no base unit is lost, whatever is bonded, slashed and paid.

After every block all invariants of all modules hold, among them: total issuance = Σ free + Σ held.
Beside the chain, a plain account of every token that was made or burned is kept and compared.
"""

from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from primitives.types import AccountId
from runtime.offences import Offences
from runtime.rewards import Rewards
from runtime.staking.module import Staking
from tests.runtime.small_chain import EVE
from tests.runtime.staking.accounted_chain import (
    AMOUNTS,
    NAMES,
    PEOPLE,
    AccountedChain,
    Wanted,
)
from tests.runtime.staking_chain import LENGTH, UNBONDING, keys_call

people = st.sampled_from(PEOPLE)
amounts = st.sampled_from(AMOUNTS)
calls: st.SearchStrategy[list[Any]] = st.one_of(
    st.builds(lambda n: ["staking.bond", n], amounts),
    st.builds(lambda n: ["staking.bond_extra", n], amounts),
    st.builds(lambda n: ["staking.unbond", n], amounts),
    st.just(["staking.withdraw"]),
    st.builds(lambda n: ["staking.validate", n], st.sampled_from([0, 10**8 + 3, 10**9])),
    st.builds(lambda who: ["staking.nominate", who], people),
    st.just(["staking.chill"]),
    st.just(["offences.unjail"]),
    st.builds(lambda who, e: ["rewards.payout", who, e], people, st.integers(0, 12)),
    st.builds(lambda e: ["rewards.claim", e], st.integers(0, 12)),
)


class StakingHistory(RuleBasedStateMachine):
    """Each rule is one block or more; epochs are three blocks long."""

    def __init__(self) -> None:
        super().__init__()
        self.life = AccountedChain()

    @rule(wanted=st.lists(st.tuples(people, calls), min_size=1, max_size=5))
    def act(self, wanted: list[Wanted]) -> None:
        self.life.block(*wanted)

    @rule(signer=people, call=calls)
    def act_alone(self, signer: AccountId, call: list[Any]) -> None:
        self.life.block((signer, call))

    @rule(epochs=st.integers(1, 3))
    def time_passes(self, epochs: int) -> None:
        for _ in range(LENGTH * epochs):
            self.life.block()

    @rule(reporter=people, age=st.integers(0, UNBONDING + 1), place=st.integers(0, 2))
    def somebody_equivocates(self, reporter: AccountId, age: int, place: int) -> None:
        self.life.block(self.life.equivocation(reporter, age=age, place=place))

    @rule(age=st.integers(0, UNBONDING + 1), place=st.integers(0, 2))
    def an_author_has_seen_somebody_equivocate(self, age: int, place: int) -> None:
        _, call = self.life.equivocation(EVE, age=age, place=place)
        self.life.block(seen=call[1])

    @rule(who=people)
    def somebody_registers_keys(self, who: AccountId) -> None:
        self.life.block((who, keys_call(who, NAMES[who])))

    @rule(who=people)
    def a_provider_earns(self, who: AccountId) -> None:
        self.life.block((who, ["rewards.claim", max(0, self.life.chain.epoch - 1)]))

    @rule(validator=people)
    def a_validator_is_paid(self, validator: AccountId) -> None:
        epoch = max(0, self.life.chain.epoch - 1)
        self.life.block((EVE, ["rewards.payout", validator, epoch]))

    @invariant()
    def every_token_is_accounted_for(self) -> None:
        self.life.check_tokens()

    @invariant()
    def nobody_votes_without_weight(self) -> None:
        self.life.check_table()


StakingHistory.TestCase.settings = settings(max_examples=8, stateful_step_count=30)
test_a_random_life_of_stakes_loses_no_base_unit = StakingHistory.TestCase


class LongStakingHistory(StakingHistory):
    """The same rules, for hundreds of steps a life."""


LongStakingHistory.TestCase.settings = settings(max_examples=15, stateful_step_count=300)
test_long_random_lives_of_stakes_lose_no_base_unit = pytest.mark.slow(LongStakingHistory.TestCase)


class DrawnLife:
    """Steps that mean something where they are drawn: what may be claimed, withdrawn, reported."""

    def __init__(self, seed: int) -> None:
        self.life = AccountedChain()
        self.random = Random(seed)

    def step(self) -> None:
        """Make a block and check every invariant."""
        kind = self.random.random()
        if kind < 0.03:
            who, age = self.random.choice(PEOPLE), self.random.randrange(UNBONDING + 2)
            reporter, call = self.life.equivocation(who, age=age, place=self.random.randrange(3))
            if self.random.random() < 0.5:
                self.life.block(seen=call[1])
            else:
                self.life.block((reporter, call))
        elif kind < 0.15:
            self.life.block()
        else:
            self.life.block(*(self._draw() for _ in range(self.random.randint(1, 4))))
        self.life.check_tokens()
        self.life.check_table()

    def _draw(self) -> Wanted:
        random, epoch = self.random, self.life.chain.epoch
        who, other = random.choice(PEOPLE), random.choice(PEOPLE)
        past = max(0, epoch - random.randint(1, UNBONDING))
        amount = random.choice(AMOUNTS)
        choices: list[list[Any]] = [
            ["staking.bond", amount],
            ["staking.bond_extra", amount],
            ["staking.unbond", amount],
            ["staking.withdraw"],
            ["staking.validate", random.randrange(10**9)],
            ["staking.nominate", other],
            ["staking.nominate", other],
            ["staking.chill"],
            ["offences.unjail"],
            ["rewards.payout", other, past],
            ["rewards.payout", other, past],
            ["rewards.claim", past],
            keys_call(who, NAMES[who]),
        ]
        return who, random.choice(choices)


def test_three_hundred_steps_lose_no_base_unit_and_meet_every_event_of_staking() -> None:
    drawn = DrawnLife(seed=1)

    for _ in range(300):
        drawn.step()

    modules = (Staking, Offences, Rewards)
    wanted = {f"{each.name}.{event.__name__}" for each in modules for event in each.events}
    assert wanted <= set(drawn.life.book.events), "a life that meets too little shows too little"
    assert drawn.life.book.errors[""] > 600


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 5))
def test_three_thousand_steps_lose_no_base_unit(seed: int) -> None:
    drawn = DrawnLife(seed)

    for _ in range(3_000):
        drawn.step()

    assert drawn.life.book.events["staking.Slashed"] > 50
