import trio
from trio.testing import MockClock

from node.devnet.chaos import Chaos
from node.devnet.processes import Condition
from tests.node.devnet.fake_nodes import FakeNode


def nodes(count: int) -> list[FakeNode]:
    return [FakeNode(f"validator-{number}") for number in range(count)]


async def torment(victims: list[FakeNode], *, seed: int, faulty_max: int, seconds: float) -> Chaos:
    """Make trouble for a while, with an eye on how many are down at a time."""
    chaos = Chaos(victims, seed=seed, faulty_max=faulty_max)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chaos.run)
        end = trio.current_time() + seconds
        while trio.current_time() < end:
            await trio.sleep(0.5)
            down = [node for node in victims if node.condition is not Condition.RUNNING]
            assert len(down) <= faulty_max
        await chaos.calm_down()
    return chaos


async def test_chaos_makes_trouble_for_no_more_than_may_be_faulty(
    autojump_clock: MockClock,
) -> None:
    victims = nodes(7)

    chaos = await torment(victims, seed=3, faulty_max=2, seconds=200)

    diaries = [word for node in victims for word in node.diary]
    assert chaos.troubles > 20
    assert {"kill", "start", "pause", "go on"} == set(diaries)


async def test_after_chaos_every_node_runs(autojump_clock: MockClock) -> None:
    for seed in range(8):
        victims = nodes(4)

        chaos = await torment(victims, seed=seed, faulty_max=1, seconds=10 + seed)

        assert [node.condition for node in victims] == [Condition.RUNNING] * 4
        assert chaos.status == "calm"


async def test_one_seed_gives_one_history(autojump_clock: MockClock) -> None:
    first, second, other = nodes(4), nodes(4), nodes(4)

    await torment(first, seed=5, faulty_max=1, seconds=120)
    await torment(second, seed=5, faulty_max=1, seconds=120)
    await torment(other, seed=6, faulty_max=1, seconds=120)

    assert [node.diary for node in first] == [node.diary for node in second]
    assert [node.diary for node in first] != [node.diary for node in other]


async def test_trouble_is_told_while_it_lasts(autojump_clock: MockClock) -> None:
    (victim,) = victims = nodes(1)
    chaos = Chaos(victims, seed=1, faulty_max=0)
    told: list[str] = []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(chaos.run)
        while len(victim.diary) < 2:
            await trio.sleep(0.1)
            told.append(chaos.status)
        nursery.cancel_scope.cancel()

    assert any(victim.plan.name in words for words in told)
    assert told[0] == "calm"
