"""Ledgers and backings: no base unit is made or lost, and what leaves can be told apart."""

from hypothesis import given
from hypothesis import strategies as st

from primitives.types import AccountId, Balance, Epoch
from runtime.staking.ledger import BACKING, LEDGER, Backer, Backing, Chunk, Ledger, Tranche

V, A, B = (AccountId(bytes([n]) * 32) for n in (1, 2, 3))
amounts = st.integers(0, 10**6).map(Balance)
epochs = st.integers(0, 12).map(Epoch)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    ledger = Ledger()
    for now in sorted(draw(st.lists(epochs, max_size=6))):
        ledger = ledger.bonded(draw(amounts)).rewarded(draw(amounts), now, 4)
        ledger = ledger.unbonded(Balance(draw(st.integers(0, ledger.active))), now)
    return ledger


@given(ledgers())
def test_a_ledger_comes_back_from_its_bytes(ledger: Ledger) -> None:
    assert LEDGER.decode(LEDGER.encode(ledger)) == ledger


@given(ledgers(), epochs)
def test_what_is_withdrawn_and_what_stays_is_what_was_there(ledger: Ledger, before: Epoch) -> None:
    rest, gone = ledger.withdrawn(before)

    assert rest.total + gone == ledger.total
    assert all(chunk.since >= before for chunk in rest.chunks)


@given(ledgers(), amounts, epochs)
def test_a_slash_takes_what_is_owed_or_all_that_it_reaches(
    ledger: Ledger, owed: Balance, since: Epoch
) -> None:
    within = ledger.active + sum(chunk.amount for chunk in ledger.chunks if chunk.since >= since)

    rest, taken = ledger.slashed(owed, since)

    assert taken == min(owed, within)
    assert rest.total + taken == ledger.total
    assert [chunk for chunk in rest.chunks if chunk.since < since] == [
        chunk for chunk in ledger.chunks if chunk.since < since and chunk.amount
    ]
    assert all(chunk.amount for chunk in rest.chunks)


@given(ledgers(), amounts, epochs)
def test_a_slash_never_locks_more(ledger: Ledger, owed: Balance, now: Epoch) -> None:
    rest, _ = ledger.slashed(owed, now)

    assert rest.locked(now, 4) <= ledger.locked(now, 4)
    assert rest.locked(now, 4) <= rest.active


def test_the_active_stake_pays_before_what_left_last() -> None:
    ledger = Ledger(Balance(10), (Chunk(Balance(5), Epoch(1)), Chunk(Balance(7), Epoch(3))))

    assert ledger.slashed(Balance(4), Epoch(0))[0].active == 6
    rest, taken = ledger.slashed(Balance(20), Epoch(0))
    assert (rest.active, rest.chunks, taken) == (0, (Chunk(Balance(2), Epoch(1)),), 20)
    rest, taken = ledger.slashed(Balance(20), Epoch(2))
    assert (rest.active, rest.chunks, taken) == (0, (Chunk(Balance(5), Epoch(1)),), 17)


def test_what_leaves_in_one_epoch_is_one_chunk() -> None:
    ledger = Ledger(Balance(10)).unbonded(Balance(3), Epoch(1)).unbonded(Balance(4), Epoch(1))

    assert ledger == Ledger(Balance(3), (Chunk(Balance(7), Epoch(1)),))
    assert len(ledger.unbonded(Balance(1), Epoch(2)).chunks) == 2


def test_a_reward_vests_linearly_and_rounds_up_what_is_locked() -> None:
    ledger = Ledger(Balance(1)).rewarded(Balance(10), Epoch(5), 4)

    assert [ledger.locked(Epoch(now), 4) for now in range(5, 11)] == [10, 8, 5, 3, 0, 0]
    assert ledger.active == 11


def test_rewards_of_one_epoch_are_one_tranche_and_old_ones_are_dropped() -> None:
    ledger = Ledger().rewarded(Balance(10), Epoch(0), 4).rewarded(Balance(6), Epoch(0), 4)

    assert ledger.vesting == (Tranche(Balance(16), Epoch(4)),)
    later = ledger.rewarded(Balance(3), Epoch(4), 4)
    assert later.vesting == (Tranche(Balance(3), Epoch(8)),)
    assert later.rewarded(Balance(0), Epoch(9), 4).vesting == ()


def test_a_slash_scales_what_is_vesting() -> None:
    ledger = Ledger(Balance(50)).rewarded(Balance(50), Epoch(0), 4)

    rest, _ = ledger.slashed(Balance(25), Epoch(0))

    assert rest.vesting == (Tranche(Balance(37), Epoch(4)),)
    assert ledger.slashed(Balance(100), Epoch(0))[0] == Ledger()


def test_backers_stand_in_order_and_leave_with_nothing() -> None:
    backing = Backing(own=Balance(5)).with_backer(B, Balance(2)).with_backer(A, Balance(1))

    assert backing.backers == (Backer(A, Balance(1)), Backer(B, Balance(2)))
    assert backing.total == 8
    assert backing.with_backer(A, Balance(4)).total == 11
    assert backing.with_backer(A, Balance(0)).backers == (Backer(B, Balance(2)),)
    assert backing.shares(V)[0] == Backer(V, Balance(5))
    assert BACKING.decode(BACKING.encode(backing)) == backing
