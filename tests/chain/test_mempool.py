"""The mempool: order, replacement, bounds, eviction, revalidation, and what watchers are told."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chain.mempool import (
    AccountFull,
    AlreadyKnown,
    Change,
    Limits,
    Mempool,
    MempoolFull,
    MempoolRefusal,
    Status,
    TipTooLow,
    TooFarAhead,
)
from chain.mempool_queue import Entry
from chain.slices import run_slices
from primitives.block import IMMORTAL
from primitives.errors import InvalidExtrinsic, LoopinError
from primitives.types import AccountId, Balance, Digest, Height, Nonce
from runtime.executive import ReadyExtrinsic, UnsignedExtrinsic
from runtime.fees import CannotPayFee
from runtime.system import Expired, NonceTooLow
from tests.runtime.small_chain import ALICE, BOB, CHARLIE, DAVE, extrinsic, inherent

FEE = 1000


class FakeState:
    """What the judge knows: nonces, balances, the fee and the next block."""

    def __init__(self) -> None:
        self.nonces: dict[AccountId, int] = {}
        self.balances: dict[AccountId, int] = {}
        self.fee = FEE
        self.next_height = 1

    def nonce(self, account: AccountId) -> Nonce:
        return Nonce(self.nonces.get(account, 0))

    def validate(self, ready: ReadyExtrinsic, *, pending: Balance) -> Balance:
        item = ready.extrinsic
        assert item.signer is not None
        if item.valid_until < self.next_height:
            raise Expired(f"valid until {item.valid_until}")
        if self.fee + item.tip + pending > self.balances.get(item.signer, 10**12):
            raise CannotPayFee("too poor")
        return Balance(self.fee)


class Pool:
    """A mempool over a fake state, with everything that it told."""

    def __init__(self, **limits: int) -> None:
        self.state = FakeState()
        self.told: list[Change] = []
        self.mempool = Mempool(self.state, Limits(**limits), self.told.append)

    def add(self, account: AccountId, nonce: int, tip: int = 0, **more: int) -> Entry:
        return self.mempool.submit(waiting(account, nonce, tip, **more))

    def finalize(
        self,
        included: Iterable[Entry] = (),
        touched: Iterable[AccountId] = (),
        revisit_max: int = 2000,
    ) -> None:
        """Make a block of ``included`` final."""
        entries = list(included)
        for entry in entries:
            self.state.nonces[entry.account] = entry.nonce + 1
        self.state.next_height += 1
        run_slices(
            self.mempool.on_final_block(
                Height(self.state.next_height),
                included={entry.hash for entry in entries},
                touched=[*touched, *(entry.account for entry in entries)],
                revisit_max=revisit_max,
            )
        )

    def order(self, skip: Iterable[Entry] = ()) -> list[Entry]:
        return list(self.mempool.candidates({entry.hash for entry in skip}))

    def news(self) -> list[tuple[Digest, Status]]:
        """Return what was told since the last time."""
        news = [(change.hash, change.status) for change in self.told]
        self.told.clear()
        return news


def waiting(
    account: AccountId, nonce: int, tip: int = 0, *, size: int = 0, until: int = IMMORTAL
) -> ReadyExtrinsic:
    call = ["system.remark", bytes(size)]
    return extrinsic(account, call, nonce, tip=tip, valid_until=until)


# ------------------------------------------------------------------------- ready and future


def test_nonces_without_a_gap_are_ready_and_others_wait() -> None:
    pool = Pool()

    second, first, fourth = pool.add(ALICE, 1), pool.add(ALICE, 0), pool.add(ALICE, 3)

    assert pool.order() == [first, second]
    assert (pool.mempool.ready_count, pool.mempool.future_count, len(pool.mempool)) == (2, 1, 3)
    assert pool.mempool.next_nonce(ALICE) == 2
    assert pool.news() == [
        (second.hash, Status.FUTURE),
        (first.hash, Status.READY),
        (second.hash, Status.READY),
        (fourth.hash, Status.FUTURE),
    ]


def test_nonces_start_where_the_chain_stands() -> None:
    pool = Pool()
    pool.state.nonces[ALICE] = 7

    entry = pool.add(ALICE, 7)

    assert pool.order() == [entry]
    assert (pool.mempool.next_nonce(ALICE), pool.mempool.next_nonce(BOB)) == (8, 0)
    with pytest.raises(NonceTooLow, match="next is 7"):
        pool.add(ALICE, 6)


def test_entries_are_found_by_hash_and_listed_by_arrival() -> None:
    pool = Pool()
    entries = [pool.add(BOB, 1), pool.add(ALICE, 0, tip=9), pool.add(BOB, 0)]

    assert list(pool.mempool.entries()) == entries
    assert pool.mempool.find(entries[1].hash) is entries[1]
    assert pool.mempool.find(Digest(bytes(32))) is None
    assert pool.mempool.size == sum(entry.size for entry in entries)


# ----------------------------------------------------------------------------------- order


def test_who_pays_more_goes_first_and_who_came_first_among_equals() -> None:
    pool = Pool()
    low, high, equal = pool.add(ALICE, 0, 5), pool.add(BOB, 0, 50), pool.add(CHARLIE, 0, 5)

    assert pool.order() == [high, low, equal]


def test_a_high_tip_never_overtakes_the_nonce_before_it() -> None:
    pool = Pool()
    cheap, rich = pool.add(ALICE, 0, 1), pool.add(ALICE, 1, 1000)
    middle, last = pool.add(BOB, 0, 500), pool.add(BOB, 1, 0)

    assert pool.order() == [middle, cheap, rich, last]


def test_what_unfinalized_blocks_hold_is_left_out_but_not_what_follows() -> None:
    pool = Pool()
    first, second = pool.add(ALICE, 0), pool.add(ALICE, 1)

    assert pool.order(skip=[first]) == [second]
    assert pool.order(skip=[first, second]) == []


def test_entries_may_leave_while_candidates_are_read() -> None:
    pool = Pool()
    entries = [pool.add(ALICE, nonce) for nonce in range(4)]
    other = pool.add(BOB, 0)

    reading = pool.mempool.candidates(frozenset())
    assert next(reading) is entries[0]
    pool.mempool.remove_invalid(entries[1], CannotPayFee("gone"))

    assert list(reading) == [other]


# ----------------------------------------------------------------------------- replacement


@pytest.mark.parametrize(("paid", "enough"), [(0, 1), (9, 10), (10, 11), (100, 110), (101, 112)])
def test_a_replacement_tips_a_tenth_more(paid: int, enough: int) -> None:
    pool = Pool()
    old = pool.add(ALICE, 0, paid)

    with pytest.raises(TipTooLow, match=f"at least {enough}"):
        pool.add(ALICE, 0, enough - 1, size=1)
    assert pool.order() == [old]
    new = pool.add(ALICE, 0, enough, size=1)

    assert pool.order() == [new]
    assert len(pool.mempool) == 1


def test_a_replacement_is_told_once_and_disturbs_nothing_behind_it() -> None:
    pool = Pool()
    old, behind = pool.add(ALICE, 0), pool.add(ALICE, 1)
    pool.news()

    new = pool.add(ALICE, 0, 10)

    usurped = pool.told[0]
    assert (usurped.status, usurped.by) == (Status.USURPED, new.hash)
    assert pool.news() == [(old.hash, Status.USURPED), (new.hash, Status.READY)]
    assert pool.order() == [new, behind]


def test_a_future_entry_can_be_replaced_too() -> None:
    pool = Pool()
    old = pool.add(ALICE, 5)
    pool.news()

    new = pool.add(ALICE, 5, 1)

    assert pool.news() == [(old.hash, Status.USURPED), (new.hash, Status.FUTURE)]
    assert pool.mempool.future_count == 1


def test_a_replacement_counts_neither_twice_nor_against_itself() -> None:
    pool = Pool(count_max=1, account_bytes_max=400)
    pool.state.balances[ALICE] = FEE + 150
    pool.add(ALICE, 0, 100, size=100)

    entry = pool.add(ALICE, 0, 150, size=120)

    assert list(pool.mempool.entries()) == [entry]
    assert pool.mempool.size == entry.size


# --------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("ready", "error"),
    [
        (inherent(["timestamp.set", 5]), UnsignedExtrinsic),
        (waiting(ALICE, 0), AlreadyKnown),
        (waiting(ALICE, 2, size=300), AccountFull),
        (waiting(BOB, 5), TooFarAhead),
        (waiting(BOB, 2**64 - 1), TooFarAhead),
        (waiting(BOB, 0, until=0), Expired),
        (waiting(BOB, 0, 10**13), CannotPayFee),
        (waiting(BOB, 1), MempoolFull),
        (waiting(ALICE, 0, size=1), TipTooLow),
    ],
)
def test_a_refusal_has_a_reason_and_changes_nothing(
    ready: ReadyExtrinsic, error: type[LoopinError]
) -> None:
    pool = Pool(account_count_max=5, account_bytes_max=600, future_count_max=1)
    pool.add(ALICE, 0)
    pool.add(ALICE, 1, size=100)
    pool.add(CHARLIE, 3)
    before = list(pool.mempool.entries()), pool.mempool.size, pool.order()
    pool.news()

    with pytest.raises(error):
        pool.mempool.submit(ready)

    assert (list(pool.mempool.entries()), pool.mempool.size, pool.order()) == before
    assert pool.news() == []


def test_waiting_fees_count_against_the_balance() -> None:
    pool = Pool()
    pool.state.balances[ALICE] = 3 * FEE + 10
    for nonce in range(2):
        pool.add(ALICE, nonce, 5)

    with pytest.raises(CannotPayFee):
        pool.add(ALICE, 2, 1)
    pool.add(ALICE, 2, 0)


def test_future_entries_are_bounded_over_all_accounts() -> None:
    pool = Pool(future_count_max=2)
    pool.add(ALICE, 1)
    pool.add(BOB, 1)

    with pytest.raises(MempoolFull, match="earlier nonces"):
        pool.add(CHARLIE, 1)
    pool.add(ALICE, 0)

    pool.add(CHARLIE, 1)

    assert pool.mempool.future_count == 2


# ---------------------------------------------------------------------------------- eviction


def test_a_full_pool_drops_who_pays_least_and_refuses_who_pays_no_more() -> None:
    pool = Pool(count_max=2)
    cheap, dear = pool.add(ALICE, 0, 10), pool.add(BOB, 0, 20)
    pool.news()
    for tip in (0, 10):
        with pytest.raises(MempoolFull):
            pool.add(CHARLIE, 0, tip)

    entry = pool.add(CHARLIE, 0, 11)

    assert pool.news() == [(cheap.hash, Status.DROPPED), (entry.hash, Status.READY)]
    assert pool.order() == [dear, entry]


def test_a_queue_is_dropped_from_its_end() -> None:
    pool = Pool(count_max=3)
    first, _, dear = pool.add(ALICE, 0, 1), pool.add(ALICE, 1, 999), pool.add(BOB, 0, 20)

    entry = pool.add(CHARLIE, 0, 10)

    assert pool.order() == [dear, entry, first]


def test_what_cannot_be_offered_yet_goes_before_what_can() -> None:
    pool = Pool(count_max=3)
    older, newer, ready = pool.add(ALICE, 5, 900), pool.add(BOB, 5, 900), pool.add(CHARLIE, 0, 1)

    entry = pool.add(DAVE, 0, 0)

    assert set(pool.mempool.entries()) == {older, ready, entry}
    with pytest.raises(MempoolFull):
        pool.add(BOB, 7, 10_000)
    assert pool.mempool.find(newer.hash) is None


def test_an_account_cannot_push_the_pool_over_its_bounds_from_behind_its_own_head() -> None:
    pool = Pool(count_max=3)
    pool.add(ALICE, 0, 1)
    pool.add(BOB, 0, 50)
    pool.add(CHARLIE, 0, 50)

    for nonce in range(1, 5):
        with pytest.raises(MempoolFull):
            pool.add(ALICE, nonce, 10_000 * nonce)

    assert len(pool.mempool) == 3


def test_one_long_entry_evicts_only_entries_that_pay_less() -> None:
    pool = Pool(bytes_max=1000)
    cheap = [pool.add(account, 0, tip) for tip, account in enumerate((ALICE, BOB, CHARLIE), 1)]
    assert sum(entry.size for entry in cheap) < 1000

    with pytest.raises(MempoolFull):
        pool.add(DAVE, 0, 2, size=700)
    assert len(pool.mempool) == 3
    entry = pool.add(DAVE, 0, 4, size=700)

    assert pool.mempool.size <= 1000
    assert entry in pool.order()
    assert cheap[0] not in pool.order()


def test_an_entry_larger_than_the_pool_is_refused() -> None:
    pool = Pool(bytes_max=500)
    pool.add(ALICE, 0)

    with pytest.raises(MempoolFull):
        pool.add(BOB, 0, 10**6, size=600)

    assert len(pool.mempool) == 1


# ------------------------------------------------------------------------- after final blocks


def test_what_a_final_block_holds_leaves_as_included() -> None:
    pool = Pool()
    entries = [pool.add(ALICE, nonce) for nonce in range(3)]
    pool.news()

    pool.finalize(entries[:2])

    assert pool.news() == [(entries[0].hash, Status.INCLUDED), (entries[1].hash, Status.INCLUDED)]
    assert pool.order() == entries[2:]
    assert pool.mempool.next_nonce(ALICE) == 3


def test_what_is_included_in_its_last_block_is_included_and_not_expired() -> None:
    pool = Pool()
    entry = pool.add(ALICE, 0, until=1)
    late = pool.add(BOB, 0, until=1)
    pool.news()

    pool.finalize([entry])

    assert pool.news() == [(entry.hash, Status.INCLUDED), (late.hash, Status.INVALID)]
    assert len(pool.mempool) == 0


def test_a_nonce_used_by_a_stranger_is_usurped() -> None:
    pool = Pool()
    mine, behind = pool.add(ALICE, 0), pool.add(ALICE, 1)
    pool.news()
    pool.state.nonces[ALICE] = 1

    pool.finalize(touched=[ALICE])

    assert pool.news() == [(mine.hash, Status.USURPED)]
    assert pool.order() == [behind]


def test_a_gap_that_the_chain_closed_makes_entries_ready() -> None:
    pool = Pool()
    entry = pool.add(ALICE, 2)
    pool.news()
    pool.state.nonces[ALICE] = 2

    pool.finalize(touched=[ALICE])

    assert pool.news() == [(entry.hash, Status.READY)]
    assert pool.order() == [entry]


def test_expired_entries_leave_and_those_behind_wait() -> None:
    pool = Pool()
    entry, behind = pool.add(ALICE, 0, until=3), pool.add(ALICE, 1)
    pool.finalize()
    assert pool.order() == [entry, behind]
    pool.finalize(revisit_max=0)
    pool.news()

    pool.finalize(revisit_max=0)

    assert pool.news() == [(entry.hash, Status.INVALID), (behind.hash, Status.FUTURE)]
    assert pool.order() == []


def test_who_has_become_too_poor_is_dropped_with_the_reason() -> None:
    pool = Pool()
    first, second = pool.add(ALICE, 0), pool.add(ALICE, 1)
    pool.state.balances[ALICE] = FEE + 1

    pool.finalize(touched=[ALICE])

    assert pool.order() == [first]
    assert pool.told[-1] == Change(second.hash, Status.INVALID, "CannotPayFee: too poor")


def test_a_dearer_block_reorders_those_that_wait() -> None:
    pool = Pool()
    old = pool.add(ALICE, 0, tip=100)
    assert old.priority == 1_100_000_000
    pool.state.fee = 10 * FEE
    new = pool.add(BOB, 0, tip=300)
    assert pool.order() == [old, new]

    pool.finalize()

    assert pool.order() == [new, old]
    assert old.fee == 10 * FEE


def test_entries_are_looked_at_in_turn() -> None:
    pool = Pool()
    entries = [pool.add(account, 0) for account in (ALICE, BOB, CHARLIE)]
    pool.state.fee = 2 * FEE

    for expected in (1, 2, 3):
        pool.finalize(revisit_max=1)
        assert [entry.fee for entry in entries].count(Balance(2 * FEE)) == expected


def test_many_entries_are_looked_at_in_slices() -> None:
    pool = Pool()
    for number in range(300):
        pool.add(AccountId(number.to_bytes(32, "big")), 0)

    slices = pool.mempool.on_final_block(Height(2), included=(), touched=())

    assert sum(1 for _ in slices) >= 4


def test_a_gap_may_leave_no_more_future_entries_than_allowed() -> None:
    pool = Pool(future_count_max=2)
    entries = [pool.add(ALICE, nonce) for nonce in range(5)]
    pool.news()

    pool.mempool.remove_invalid(entries[0], CannotPayFee("too poor"))

    assert pool.mempool.future_count == 2
    assert pool.news()[-2:] == [
        (entries[4].hash, Status.DROPPED),
        (entries[3].hash, Status.DROPPED),
    ]


def test_an_entry_that_is_gone_cannot_be_removed_again() -> None:
    pool = Pool()
    entry = pool.add(ALICE, 0)
    for _ in range(2):
        pool.mempool.remove_invalid(entry, CannotPayFee("too poor"))

    assert pool.news() == [(entry.hash, Status.READY), (entry.hash, Status.INVALID)]


def test_expiry_marks_of_entries_that_are_gone_do_not_pile_up() -> None:
    pool = Pool()
    for tip in range(0, 60_000, 50):
        pool.state.balances[ALICE] = 10**12
        try:
            pool.add(ALICE, 0, tip)
        except TipTooLow:
            entry = next(iter(pool.mempool.entries()))
            pool.mempool.remove_invalid(entry, CannotPayFee("again"))

    assert len(pool.mempool._expiring) <= 1030


# ------------------------------------------------------------------ beside a slow, obvious model


class Model:
    """The same rules over a flat list, worked out anew at every step."""

    def __init__(self, state: FakeState, limits: Limits) -> None:
        self.state, self.limits = state, limits
        self.entries: list[Entry] = []
        self.demoted: list[Digest] = []

    def of(self, account: AccountId) -> dict[int, Entry]:
        return {entry.nonce: entry for entry in self.entries if entry.account == account}

    def gap(self, account: AccountId) -> int:
        own, nonce = self.of(account), self.state.nonce(account)
        while nonce in own:
            nonce = Nonce(nonce + 1)
        return nonce

    def is_ready(self, entry: Entry) -> bool:
        return entry.nonce < self.gap(entry.account)

    def order(self) -> list[Entry]:
        nexts = {entry.account: self.state.nonce(entry.account) for entry in self.entries}
        chosen: list[Entry] = []
        while True:
            heads = [own[n] for a, n in nexts.items() if n in (own := self.of(a))]
            if not heads:
                return chosen
            best = min(heads, key=lambda entry: (-entry.priority, entry.arrival))
            chosen.append(best)
            nexts[best.account] = Nonce(best.nonce + 1)


PEOPLE = (ALICE, BOB, CHARLIE, DAVE)
LIMITS = Limits(
    count_max=9, bytes_max=3000, account_count_max=5, account_bytes_max=1200, future_count_max=4
)


class MempoolBesideModel(RuleBasedStateMachine):
    """Random traffic; after every step the pool is what the rules say of its own content."""

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[Digest, Status] = {}
        self.state = FakeState()
        self.mempool = Mempool(self.state, LIMITS, self.on_change)
        self.model = Model(self.state, LIMITS)

    def on_change(self, change: Change) -> None:
        before = self.told.get(change.hash)
        assert before != change.status, "told twice"
        self.told[change.hash] = change.status

    @rule(
        account=st.sampled_from(PEOPLE),
        ahead=st.integers(-1, 5),
        tip=st.sampled_from([0, 1, 5, 100, 110, 1000, 5000]),
        size=st.sampled_from([0, 50, 500]),
        lifetime=st.sampled_from([0, 1, 3, 2**40]),
    )
    def submit(self, account: AccountId, ahead: int, tip: int, size: int, lifetime: int) -> None:
        nonce = max(0, self.state.nonce(account) + ahead)
        ready = waiting(account, nonce, tip, size=size, until=self.state.next_height + lifetime)
        before = list(self.mempool.entries())
        old = self.model.of(account).get(nonce)
        try:
            entry = self.mempool.submit(ready)
        except (MempoolRefusal, InvalidExtrinsic) as error:
            assert list(self.mempool.entries()) == before
            self.check_refusal(error, account, nonce, tip, old)
            return
        gone = [each for each in before if self.mempool.find(each.hash) is None]
        assert (old in gone) == (old is not None)
        assert entry.nonce == nonce
        self.check_victims([each for each in gone if each is not old], entry)

    def check_refusal(
        self, error: LoopinError, account: AccountId, nonce: int, tip: int, old: Entry | None
    ) -> None:
        next_nonce = self.state.nonce(account)
        assert isinstance(error, NonceTooLow) == (nonce < next_nonce)
        assert isinstance(error, TooFarAhead) == (nonce >= next_nonce + 5)
        if isinstance(error, TipTooLow):
            assert old is not None
            assert 10 * tip < 11 * max(old.tip, 1)
        if isinstance(error, MempoolFull):
            futures = [each for each in self.model.entries if not self.model.is_ready(each)]
            is_future = nonce > self.model.gap(account)
            is_crowded = len(self.model.entries) == 9 or self.mempool.size > 3000 - 900
            assert is_crowded or (is_future and len(futures) == 4)

    def check_victims(self, victims: list[Entry], entry: Entry) -> None:
        for victim in victims:
            assert self.told[victim.hash] is Status.DROPPED
            assert victim.account != entry.account
            if self.model.is_ready(victim):
                head = self.model.of(victim.account)[self.state.nonce(victim.account)]
                assert head.priority < entry.priority

    @rule(count=st.integers(0, 4), fee=st.sampled_from([FEE, FEE, 2 * FEE, FEE // 2]))
    def finalize_the_best(self, count: int, fee: int) -> None:
        best = self.model.order()[:count]
        self.advance(best, fee)
        for entry in best:
            assert self.told[entry.hash] is Status.INCLUDED

    @rule(account=st.sampled_from(PEOPLE), used=st.integers(1, 3))
    def finalize_a_stranger(self, account: AccountId, used: int) -> None:
        self.state.nonces[account] = self.state.nonce(account) + used
        self.advance([], self.state.fee, [account])

    @rule(account=st.sampled_from(PEOPLE), balance=st.sampled_from([0, 2000, 4000, 10**12]))
    def finalize_a_payment(self, account: AccountId, balance: int) -> None:
        self.state.balances[account] = balance
        self.advance([], self.state.fee, [account])

    def advance(self, included: list[Entry], fee: int, touched: Iterable[AccountId] = ()) -> None:
        self.state.fee = fee
        for entry in included:
            self.state.nonces[entry.account] = entry.nonce + 1
        self.state.next_height += 1
        hashes = {entry.hash for entry in included}
        height = Height(self.state.next_height)
        run_slices(self.mempool.on_final_block(height, included=hashes, touched=list(touched)))

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        entries = list(self.mempool.entries())
        if entries:
            entry = data.draw(st.sampled_from(entries))
            self.mempool.remove_invalid(entry, CannotPayFee("a builder says so"))
            assert self.told[entry.hash] is Status.INVALID

    @invariant()
    def the_pool_is_what_its_rules_say(self) -> None:
        mempool, model = self.mempool, self.model
        model.entries = list(mempool.entries())
        places = {(entry.account, entry.nonce) for entry in model.entries}
        assert len(places) == len(model.entries) == len(mempool)
        assert list(mempool.candidates(frozenset())) == model.order()
        ready = [entry for entry in model.entries if model.is_ready(entry)]
        assert mempool.ready_count == len(ready)
        for account in PEOPLE:
            assert mempool.next_nonce(account) == model.gap(account)

    @invariant()
    def the_bounds_hold(self) -> None:
        entries = list(self.mempool.entries())
        assert self.mempool.size == sum(entry.size for entry in entries) <= LIMITS.bytes_max
        assert len(entries) <= LIMITS.count_max
        assert self.mempool.future_count <= LIMITS.future_count_max
        for account in PEOPLE:
            own = [entry for entry in entries if entry.account == account]
            assert len(own) <= LIMITS.account_count_max
            assert sum(entry.size for entry in own) <= LIMITS.account_bytes_max

    @invariant()
    def everybody_was_told_what_is(self) -> None:
        self.model.entries = list(self.mempool.entries())
        present = {entry.hash: entry for entry in self.model.entries}
        for known, status in self.told.items():
            if known in present:
                ready = self.model.is_ready(present[known])
                assert status is (Status.READY if ready else Status.FUTURE)
            else:
                assert status not in (Status.READY, Status.FUTURE)
        assert set(present) <= set(self.told)

    @invariant()
    def every_entry_is_still_valid(self) -> None:
        for account in PEOPLE:
            own = [entry for entry in self.mempool.entries() if entry.account == account]
            assert all(entry.nonce >= self.state.nonce(account) for entry in own)
            assert all(entry.ready.extrinsic.valid_until >= self.state.next_height for entry in own)
            assert sum(entry.cost for entry in own) <= self.state.balances.get(account, 10**12)


MempoolBesideModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
test_the_mempool_behaves_as_the_slow_model = MempoolBesideModel.TestCase


# --------------------------------------------------------------------------------------- speed


def seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def test_filling_and_emptying_cost_the_same_for_each_entry_however_many_wait() -> None:
    def fill(accounts: int, each: int) -> tuple[Pool, float]:
        pool = Pool()
        items = [
            waiting(AccountId(number.to_bytes(32, "big")), nonce, tip=number % 97)
            for nonce in reversed(range(each))
            for number in range(accounts)
        ]
        taken = seconds(lambda: [pool.mempool.submit(item) for item in items])
        return pool, taken

    _, few = fill(5, 40)
    pool, many = fill(5, 400)
    wide, spread = fill(2_000, 1)
    order = pool.order()

    assert len(order) == 2_000
    assert many < 40 * few + 0.5
    assert spread < 20 * few + 0.5
    assert seconds(lambda: pool.finalize(order)) < 60 * few + 1
    assert len(pool.mempool) == 0
    assert seconds(wide.order) < 20 * few + 0.5
