"""Session: epochs, which tables are kept, the boundary, and the beacon."""

from dataclasses import replace

import pytest

from primitives.beacon import next_beacon
from primitives.power_table import PowerTable
from primitives.types import AccountId, Epoch, Height, VotingPower
from runtime.session import (
    Config,
    Session,
    UnknownEpoch,
    epoch_of,
    is_boundary,
)
from tests.runtime.small_chain import SPEC, SmallChain, find_event

LENGTH = 3
TABLES_KEPT = SPEC.runtime.staking.unbonding_epochs + 2


def short_epochs() -> SmallChain:
    return SmallChain(session=Config(epoch_length=LENGTH))


def test_heights_above_genesis_fall_into_epochs_of_equal_length() -> None:
    epochs = [epoch_of(Height(height), LENGTH) for height in range(1, 10)]

    assert epochs == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [h for h in range(10) if is_boundary(Height(h), LENGTH)] == [3, 6, 9]
    assert [epoch_of(Height(h), 1) for h in (1, 2)] == [0, 1]


def test_genesis_decides_who_votes_first() -> None:
    session = short_epochs().runtime.session

    assert session.table(Epoch(0)) == SPEC.power_table()
    assert session.randomness[0] == session.beacon.get() == SPEC.genesis_randomness


def test_every_block_moves_the_beacon() -> None:
    chain = short_epochs()
    before = chain.runtime.session.beacon.get()
    output = chain.next_info().vrf_output

    chain.block()

    assert chain.runtime.session.beacon.get() == next_beacon(before, output)


def test_the_boundary_block_writes_the_next_table_and_randomness() -> None:
    chain = short_epochs()
    chain.skip_to(LENGTH - 1)
    with pytest.raises(UnknownEpoch):
        chain.runtime.session.table(Epoch(1))

    receipts = chain.finish(chain.start())

    session = chain.runtime.session
    assert session.table(Epoch(1)) == SPEC.power_table()
    assert session.randomness[1] == session.beacon.get()
    assert find_event(receipts, "session.EpochEnded") == [
        0,
        SPEC.power_table().root,
        session.beacon.get(),
    ]


def test_the_randomness_of_an_epoch_stays_while_the_beacon_moves_on() -> None:
    chain = short_epochs()
    chain.skip_to(LENGTH)
    before = chain.runtime.session.randomness[1]

    chain.skip_to(LENGTH + 2)

    session = chain.runtime.session
    assert session.randomness[1] == before != session.beacon.get()


def test_old_tables_leave_the_state() -> None:
    chain = short_epochs()

    chain.skip_to(LENGTH * (TABLES_KEPT + 2))

    newest = TABLES_KEPT + 2
    session = chain.runtime.session
    kept = [epoch for epoch, _ in session.tables.items()]
    assert kept == list(range(newest - TABLES_KEPT + 1, newest + 1))
    assert [epoch for epoch, _ in session.randomness.items()] == kept
    with pytest.raises(UnknownEpoch):
        session.table(Epoch(newest - TABLES_KEPT))


def test_the_next_table_is_made_by_the_power_source_that_was_lent() -> None:
    chain = short_epochs()
    chain.skip_to(LENGTH - 1)
    execution = chain.start()
    current = execution.runtime.session.table(Epoch(0))
    heavier = PowerTable((replace(current[0], weight=VotingPower(current.total + 77)),))

    class Heavier:
        def weights(self, ending: Epoch) -> list[tuple[AccountId, VotingPower]]:
            assert ending == 0
            return [(current[0].account, VotingPower(current.total + 77))]

    execution.runtime.session.power = Heavier()
    chain.finish(execution)

    assert chain.runtime.session.table(Epoch(1)) == heavier


def test_the_invariants_notice_a_table_too_many() -> None:
    session: Session = short_epochs().runtime.session
    session.randomness[9] = session.beacon.get()
    with pytest.raises(AssertionError):
        session.check_invariants()
    del session.randomness[9]
    session.tables[9] = SPEC.power_table()
    with pytest.raises(AssertionError):
        session.check_invariants()
