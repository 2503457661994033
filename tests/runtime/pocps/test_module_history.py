"""Random histories of providers: honest, silent, lying, leaving, leased, punished.

After each block all invariants of all modules hold, among them that the total issuance is what
is free and what is held.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from primitives.block import Receipt
from primitives.types import AccountId, Balance, Digest
from runtime.pocps.module import Pocps
from runtime.pocps.records import UnitsChange
from runtime.pocps.standings import HOLD, SLASH_HOLD
from runtime.pools.pricing import Units
from tests.runtime.pocps.proof_chain import COMMIT, LENGTH, POCPS, SAMPLE, ProofChain
from tests.runtime.small_chain import ALICE, BOB, CHARLIE, DAVE, extrinsic

ACCOUNTS = (ALICE, BOB, CHARLIE, DAVE)
providers = st.sampled_from(ACCOUNTS)
class_ids = st.sampled_from([1, 2])
LIES = [Digest(bytes([each]) * 32) for each in range(256)]


class Provers(RuleBasedStateMachine):
    """Four providers in two classes, a pool that takes its changes when it likes, and a judge."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.take = Pocps.take_changes
        self.patch.setattr(Pocps, "take_changes", lambda _self, _limit: [])
        self.chain = ProofChain(replace(POCPS, sweep_max=4))
        self.slashed = self.burned = self.collected = self.bonded = 0

    def teardown(self) -> None:
        self.patch.undo()

    @property
    def place(self) -> int:
        return self.chain.height % LENGTH + 1

    def read(self, receipts: tuple[Receipt, ...]) -> None:
        """Count what the events say of tokens."""
        for receipt in receipts:
            for event in receipt.events:
                assert isinstance(event, list)
                name, fields = event[0], event[1:]
                if name == "pocps.Registered":
                    self.bonded += fields[3]  # type: ignore[operator] # an amount
                if name == "pocps.Faulted":
                    self.slashed += fields[5]  # type: ignore[operator] # an amount
                if name == "balances.HoldBurned" and fields[1] == HOLD:
                    self.burned += fields[2]  # type: ignore[operator] # an amount

    def act(self, do: Any) -> Any:
        execution = self.chain.start()
        result = do(execution.runtime.pocps)
        self.read(self.chain.finish(execution))
        return result

    def calls(self, calls: list[tuple[AccountId, list[Any]]]) -> list[Receipt]:
        """Make a block of calls and return their receipts."""
        execution = self.chain.start()
        nonces = execution.runtime.system.nonces
        receipts = [execution.apply(extrinsic(who, call, nonces[who])) for who, call in calls]
        self.read(self.chain.finish(execution))
        return receipts

    def call(self, who: AccountId, *call: Any) -> None:
        self.calls([(who, list(call))])

    @rule(who=providers, class_id=class_ids, units=st.integers(0, 12))
    def register(self, who: AccountId, class_id: int, units: int) -> None:
        self.call(who, "pocps.register", class_id, units)

    @rule(who=providers, class_id=class_ids, units=st.integers(0, 12))
    def deregister(self, who: AccountId, class_id: int, units: int) -> None:
        self.call(who, "pocps.deregister", class_id, units)

    @rule(who=providers, class_id=class_ids)
    def withdraw(self, who: AccountId, class_id: int) -> None:
        self.call(who, "pocps.withdraw", class_id)

    @rule(who=providers, class_id=class_ids, ahead=st.integers(0, 3), epochs=st.integers(0, 3))
    def declare(self, who: AccountId, class_id: int, ahead: int, epochs: int) -> None:
        first = self.chain.epoch + ahead
        self.call(who, "pocps.declare_maintenance", class_id, first, epochs)

    def known(self, class_id: int) -> list[AccountId]:
        runtime = self.chain.runtime
        found = {who: runtime.pocps.standings.find((class_id, who)) for who in ACCOUNTS}
        return [who for who, each in found.items() if each is not None and each.due]

    @precondition(lambda self: self.place <= COMMIT)
    @rule(class_id=class_ids, data=st.data(), is_honest=st.booleans())
    def commit(self, class_id: int, data: st.DataObject, *, is_honest: bool) -> None:
        able = self.known(class_id)
        if not able:
            return
        who = data.draw(st.sampled_from(able))
        least, most = self.chain.provider(who, class_id).claimable()
        units = data.draw(st.integers(least, most))
        leaves = () if is_honest and units else LIES[: 2 * units or 1]
        self.call(who, *self.chain.commit_call(who, units, class_id, leaves))

    @precondition(lambda self: self.place <= COMMIT)
    @rule(class_id=class_ids, lying=st.integers(0, 5))
    def prove_all(self, class_id: int, lying: int) -> None:
        """Let everybody who owes a proof give one, of which some may be wrong."""
        leaves: dict[AccountId, list[Digest]] = {}
        commits = []
        for index, who in enumerate(self.known(class_id)):
            units = self.chain.provider(who, class_id).claimable()[1]
            leaves[who] = LIES[: 2 * units] if index == lying else []
            commits.append((who, self.chain.commit_call(who, units, class_id, leaves[who])))
        receipts = self.calls(commits)
        while self.place != SAMPLE:
            self.act(lambda _: None)
        owing = [who for who, receipt in zip(leaves, receipts, strict=True) if not receipt.error]
        self.calls([(who, self.chain.respond_call(who, class_id, leaves[who])) for who in owing])

    @rule(blocks=st.integers(1, LENGTH))
    def wait(self, blocks: int) -> None:
        for _ in range(blocks):
            self.act(lambda _: None)

    @rule(who=providers, class_id=class_ids, units=st.integers(0, 12), is_on=st.booleans())
    def lease(self, who: AccountId, class_id: int, units: int, *, is_on: bool) -> None:
        if self.chain.runtime.pocps.standings.find((class_id, who)) is None:
            return

        def do(pocps: Pocps) -> None:
            (pocps.engage if is_on else pocps.disengage)(class_id, who)
            if pocps.providers[class_id, who] is not None:
                pocps.set_leased(class_id, who, Units(units if is_on else 0))

        self.act(do)

    @rule(who=providers, class_id=class_ids, fraction=st.integers(0, 10**9))
    def punish(self, who: AccountId, class_id: int, fraction: int) -> None:
        if self.chain.runtime.pocps.standings.find((class_id, who)) is None:
            return

        def do(pocps: Pocps) -> Balance:
            taken = pocps.punish(class_id, who, "wrong_result", fraction_ppb=fraction)
            pocps.tokens.burn_held(who, SLASH_HOLD, taken)
            return taken

        self.collected += self.act(do)

    @rule(limit=st.integers(1, 3))
    def take_changes(self, limit: int) -> None:
        def do(pocps: Pocps) -> list[UnitsChange]:
            taken = self.take(pocps, limit)
            for change in taken:
                pocps.tokens.burn_held(change.provider, SLASH_HOLD, change.slashed)
                known = pocps.providers[change.class_id, change.provider]
                if known and known.is_engaged and known.epoch == pocps.context.block.epoch:
                    assert change.units == known.live
            return taken

        self.collected += sum(change.slashed for change in self.act(do))

    @invariant()
    def what_was_slashed_is_collected_waiting_or_burned(self) -> None:
        waiting = sum(self.chain.held(who, SLASH_HOLD) for who in ACCOUNTS)
        assert self.slashed == self.collected + waiting + self.burned
        assert self.slashed <= self.bonded

    @invariant()
    def news_that_wait_are_at_most_one_for_each_provider(self) -> None:
        waiting = list(self.chain.runtime.pocps.changes.values())
        keys = [(change.class_id, change.provider) for change in waiting if change]
        assert len(keys) == len(set(keys))
        assert sum(change.slashed for change in waiting if change) == sum(
            self.chain.held(who, SLASH_HOLD) for who in ACCOUNTS
        )


Provers.TestCase.settings = settings(max_examples=8, stateful_step_count=25)
TestProvers = Provers.TestCase


class LongProvers(Provers):
    """The same for longer."""


LongProvers.TestCase.settings = settings(max_examples=15, stateful_step_count=100)
TestLongProvers = pytest.mark.slow(LongProvers.TestCase)
