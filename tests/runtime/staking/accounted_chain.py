"""A staking chain beside which every token that was made or burned is written down."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from primitives.block import Receipt
from primitives.types import AccountId
from runtime.executive import InherentFailed
from tests.runtime.small_chain import (
    ALICE,
    BOB,
    CHARLIE,
    DAVE,
    EVE,
    SPEC,
    SmallChain,
    extrinsic,
    inherent,
)
from tests.runtime.staking_chain import (
    BOND_MIN,
    NOMINATION_MIN,
    StakingChain,
    evidence,
    keys_call,
    seeds_of,
)

PEOPLE = (ALICE, BOB, CHARLIE, DAVE, EVE)
NAMES = dict(zip(PEOPLE, ("Alice", "Bob", "Charlie", "Dave", "Eve"), strict=True))
AMOUNTS = (0, 1, 7, NOMINATION_MIN, 3 * NOMINATION_MIN + 11, BOND_MIN, 2 * BOND_MIN)
MADE = ("balances.Minted", "balances.HeldMinted")
BURNED = ("balances.Burned", "balances.HoldBurned")

Wanted = tuple[AccountId, list[Any]]
"""Who calls, and what."""


class TokenBook:
    """What events say was made and burned, beside what there was."""

    def __init__(self, chain: SmallChain) -> None:
        self.chain = chain
        self.expected = self.issuance()
        self.events: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def issuance(self) -> int:
        return self.chain.runtime.balances.total_issuance.get()

    def note(self, receipts: Sequence[Receipt]) -> None:
        """Write a block down."""
        for receipt in receipts:
            self.errors[receipt.error] += 1
            for event in receipt.events:
                assert isinstance(event, list)
                self._note(str(event[0]), event[1:])

    def _note(self, name: str, fields: list[Any]) -> None:
        self.events[name] += 1
        if name in MADE:
            self.expected += fields[-1]
        elif name in BURNED:
            self.expected -= fields[-1]
        elif name == "fees.FeesShared":
            self.expected -= fields[2]

    def check(self) -> None:
        """Total issuance = free + held = what was there + made - burned <= genesis and pot."""
        runtime = self.chain.runtime
        balances, rewards = runtime.balances, runtime.rewards
        free, held = sum(balances.free.values()), sum(balances.held.values())
        assert self.issuance() == free + held == self.expected
        assert self.expected <= rewards.endowed.get() + rewards.config.pot


class AccountedChain:
    """Two validators and two nominators to begin with; an equivocation costs a third."""

    def __init__(self) -> None:
        self.chain = StakingChain(
            offences=replace(SPEC.runtime.offences, equivocation_ppb=333_333_333)
        )
        self.chain.author = ALICE
        self.book = TokenBook(self.chain)
        self.block((BOB, keys_call(BOB, "Bob")), (BOB, ["staking.bond", 2 * BOND_MIN]))
        self.block((BOB, ["staking.validate", 10**8]), (CHARLIE, ["staking.bond", BOND_MIN]))
        self.block((CHARLIE, ["staking.nominate", BOB]), (DAVE, ["staking.bond", BOND_MIN]))

    def block(self, *wanted: Wanted, seen: bytes | None = None) -> None:
        """Make a block, and write down what its events say was made and burned.

        Evidence that its author has ``seen`` goes in if it still punishes somebody.
        """
        execution = self.chain.start()
        if seen is not None:
            with suppress(InherentFailed):
                execution.apply(inherent(["offences.report_by_author", seen]))
        for signer, call in wanted:
            nonce = execution.runtime.system.nonces[signer]
            execution.apply(extrinsic(signer, call, nonce))
        self.book.note(self.chain.finish(execution))

    def equivocation(self, reporter: AccountId, *, age: int, place: int) -> Wanted:
        """Return a report that somebody in the table of ``age`` epochs ago signed two things."""
        epoch = max(0, self.chain.epoch - age)
        table = self.chain.runtime.session.tables[epoch]
        assert table is not None
        position = place % len(table)
        name = NAMES[table[position].account]
        assert table[position].consensus_key == seeds_of(name)[0].public
        return reporter, ["offences.report", evidence(name, epoch, position)]

    def check_tokens(self) -> None:
        """Check the book, and that all holds are stake."""
        self.book.check()
        runtime = self.chain.runtime
        stakes = sum(ledger.total for ledger in runtime.staking.ledgers.values())
        assert stakes == sum(runtime.balances.held.values())

    def check_table(self) -> None:
        table = self.chain.runtime.session.table(self.chain.epoch)
        assert all(entry.weight > 0 for entry in table.validators)
