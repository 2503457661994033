"""Budgets: a peer that makes us work for nothing waits, and leaving pays no debts."""

import pytest
import trio
import trio.testing

from node.budget import PEERS_MAX, WAIT_MAX, Budget, PeerBudgets, spend
from p2p.identity import PeerId


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0)


async def test_burst_is_free_and_the_rest_takes_its_time(clock: trio.testing.MockClock) -> None:
    budget = Budget(per_second=100, burst=50)
    start = trio.current_time()

    for _ in range(250):
        await spend(budget, 1)

    assert trio.current_time() - start == pytest.approx(2.0, abs=0.05)


async def test_debt_ends_with_the_longest_wait(clock: trio.testing.MockClock) -> None:
    budget = Budget(per_second=10, burst=10)
    start = trio.current_time()

    await spend(budget, 10**9)
    await spend(budget, 0)

    assert trio.current_time() - start == pytest.approx(WAIT_MAX)


async def test_budget_fills_up_to_its_burst(clock: trio.testing.MockClock) -> None:
    budget = Budget(per_second=10, burst=20)
    await spend(budget, 20)
    await trio.sleep(1000)

    waits = [budget.spend(20), budget.spend(1)]

    assert waits == [0, pytest.approx(0.1)]


async def test_peer_that_comes_back_finds_its_own_budget(clock: trio.testing.MockClock) -> None:
    budgets = PeerBudgets()
    await spend(budgets.of(PeerId("liar")).words, 10**6)

    assert budgets.of(PeerId("liar")).words.spend(300) > 0.5


async def test_number_of_budgets_is_bounded(clock: trio.testing.MockClock) -> None:
    budgets = PeerBudgets()
    for number in range(PEERS_MAX + 10):
        budgets.of(PeerId(str(number)))

    assert len(budgets) == PEERS_MAX
