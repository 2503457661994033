from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from node.devnet.chaos import Chaos
from node.devnet.devnet import CALM_BLOCKS, Devnet
from node.devnet.processes import Condition
from node.devnet.watch import Sight
from tests.node.devnet.fake_nodes import FakeNode
from tests.node.devnet.test_plan import plan_in


@pytest.fixture
def devnet(tmp_path: Path) -> Devnet:
    return Devnet(plan_in(tmp_path, validators=4, followers=0))


def show(devnet: Devnet, final: int) -> None:
    """Have every node stand at a final height."""
    for name in devnet.watch.sights:
        devnet.watch.sights[name] = Sight(Condition.RUNNING, is_answering=True, final=final)


def test_a_new_devnet_has_no_problems(devnet: Devnet) -> None:
    assert devnet.problems() == []


def test_a_stall_is_a_problem(devnet: Devnet) -> None:
    devnet.watch.stalls = 2

    assert devnet.problems() == ["the chain stood still 2 times"]


async def test_a_chain_is_doomed_when_a_third_of_the_validators_is_gone(
    devnet: Devnet, autojump_clock: MockClock
) -> None:
    devnet._failures["validator-0"] = "no space left on device"
    with trio.move_on_after(60) as patience:
        await devnet.wait_doomed()
    assert patience.cancelled_caught

    devnet._failures["validator-1"] = "no space left on device"
    with trio.fail_after(60):
        await devnet.wait_doomed()

    assert devnet.problems()[0] == "validator-0 ended by itself: no space left on device"


async def test_a_chain_that_goes_on_after_chaos_has_recovered(
    devnet: Devnet, autojump_clock: MockClock
) -> None:
    show(devnet, 5)
    devnet.chaos = Chaos([FakeNode("validator-0")], seed=1, faulty_max=1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(devnet.chaos.run)
        await trio.sleep(1)
        nursery.start_soon(devnet.calm_down)
        await trio.sleep(5)
        assert devnet.phase == "calming down"
        show(devnet, 5 + CALM_BLOCKS)

    assert devnet.problems() == []
    assert devnet.phase == "running"


async def test_a_chain_that_stands_still_after_chaos_has_a_problem(
    devnet: Devnet, autojump_clock: MockClock
) -> None:
    show(devnet, 5)
    devnet.chaos = Chaos([FakeNode("validator-0")], seed=1, faulty_max=1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(devnet.chaos.run)
        await trio.sleep(1)
        await devnet.calm_down()

    (problem,) = devnet.problems()
    assert f"not every node has final block {5 + CALM_BLOCKS}" in problem


def test_last_words_of_a_node_are_the_last_ones_that_mean_something(devnet: Devnet) -> None:
    node = devnet.nodes[0]
    assert node.last_words() == ""

    node.plan.log.write_text("event=started\n  | KeyError: 'x'\n  +------------\n\n")

    assert node.last_words() == "KeyError: 'x'"
