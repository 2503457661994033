"""A long random life of stakes: no base unit is lost, whatever is bonded, slashed and paid.

After every block all invariants of all modules hold, among them: total issuance = Σ free + Σ held.
Beside the chain, a plain account of every token that was made or burned is kept and compared.
"""

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from primitives.types import AccountId
from tests.runtime.small_chain import (
    ALICE,
    BOB,
    CHARLIE,
    DAVE,
    EVE,
    SPEC,
    extrinsic,
)
from tests.runtime.staking_chain import (
    BOND_MIN,
    NOMINATION_MIN,
    UNBONDING,
    StakingChain,
    evidence,
    keys_call,
    seeds_of,
)

PEOPLE = (ALICE, BOB, CHARLIE, DAVE, EVE)
NAMES = dict(zip(PEOPLE, ("Alice", "Bob", "Charlie", "Dave", "Eve"), strict=True))

people = st.sampled_from(PEOPLE)
amounts = st.sampled_from(
    [0, 1, 7, NOMINATION_MIN, 3 * NOMINATION_MIN + 11, BOND_MIN, 2 * BOND_MIN]
)
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
        self.chain = StakingChain(
            offences=replace(SPEC.runtime.offences, equivocation_ppb=333_333_333)
        )
        self.chain.author = ALICE
        self.expected = self.issuance()
        # Two validators and two nominators to begin with, so that not all has to be found.
        self.block((BOB, keys_call(BOB, "Bob")), (BOB, ["staking.bond", 2 * BOND_MIN]))
        self.block((BOB, ["staking.validate", 10**8]), (CHARLIE, ["staking.bond", BOND_MIN]))
        self.block((CHARLIE, ["staking.nominate", BOB]), (DAVE, ["staking.bond", BOND_MIN]))

    def issuance(self) -> int:
        return self.chain.runtime.balances.total_issuance.get()

    def block(self, *wanted: tuple[AccountId, list[Any]]) -> None:
        """Make a block, and note what its events say was made and burned."""
        execution = self.chain.start()
        for signer, call in wanted:
            nonce = execution.runtime.system.nonces[signer]
            execution.apply(extrinsic(signer, call, nonce))
        for receipt in self.chain.finish(execution):
            for event in receipt.events:
                assert isinstance(event, list)
                name, fields = str(event[0]), event[1:]
                amount = fields[-1] if fields else None
                if name in ("balances.Minted", "balances.HeldMinted"):
                    assert isinstance(amount, int)
                    self.expected += amount
                elif name in ("balances.Burned", "balances.HoldBurned"):
                    assert isinstance(amount, int)
                    self.expected -= amount
                elif name == "fees.FeesShared":
                    assert isinstance(fields[2], int)
                    self.expected -= fields[2]

    @rule(wanted=st.lists(st.tuples(people, calls), min_size=1, max_size=5))
    def act(self, wanted: list[tuple[AccountId, list[Any]]]) -> None:
        self.block(*wanted)

    @rule(signer=people, call=calls)
    def act_alone(self, signer: AccountId, call: list[Any]) -> None:
        self.block((signer, call))

    @rule(epochs=st.integers(1, 3))
    def time_passes(self, epochs: int) -> None:
        for _ in range(3 * epochs):
            self.block()

    @rule(reporter=people, age=st.integers(0, UNBONDING + 1), place=st.integers(0, 2))
    def somebody_equivocates(self, reporter: AccountId, age: int, place: int) -> None:
        epoch = max(0, self.chain.epoch - age)
        table = self.chain.runtime.session.tables[epoch]
        assert table is not None
        offender = table[place % len(table)].account
        keys = [seeds_of(NAMES[offender])[0].public]
        assert table[place % len(table)].consensus_key in keys
        report = evidence(NAMES[offender], epoch, place % len(table))
        self.block((reporter, ["offences.report", report]))

    @rule(who=people)
    def somebody_registers_keys(self, who: AccountId) -> None:
        self.block((who, keys_call(who, NAMES[who])))

    @rule(who=people)
    def a_provider_earns(self, who: AccountId) -> None:
        self.block((who, ["rewards.claim", max(0, self.chain.epoch - 1)]))

    @rule(validator=people)
    def a_validator_is_paid(self, validator: AccountId) -> None:
        epoch = max(0, self.chain.epoch - 1)
        self.block((EVE, ["rewards.payout", validator, epoch]))

    @invariant()
    def every_token_is_accounted_for(self) -> None:
        runtime = self.chain.runtime
        balances = runtime.balances
        assert self.issuance() == self.expected
        assert sum(balances.free.values()) + sum(balances.held.values()) == self.expected
        stakes = sum(ledger.total for ledger in runtime.staking.ledgers.values())
        assert stakes == sum(balances.held.values())

    @invariant()
    def nobody_votes_without_weight(self) -> None:
        table = self.chain.runtime.session.table(self.chain.epoch)
        assert all(entry.weight > 0 for entry in table.validators)


StakingHistory.TestCase.settings = settings(max_examples=12, stateful_step_count=30)
test_a_random_life_of_stakes_loses_no_base_unit = StakingHistory.TestCase
