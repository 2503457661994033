import trio
from trio.testing import MockClock

from node.devnet.processes import Condition
from node.devnet.watch import STALL_SECONDS, START_SECONDS, Look, Watch
from tests.node.devnet.fake_nodes import FakeNode, FakeObserver, look_at


class Stage:
    """Four nodes, and who watches them."""

    def __init__(self) -> None:
        self.nodes = [FakeNode(f"validator-{number}") for number in range(4)]
        self.observers = {node.plan.name: FakeObserver(look_at(0)) for node in self.nodes}
        self.watch = Watch(self.nodes, self.observers)

    def say(self, look: Look | None) -> None:
        """Have all nodes say the same from now on."""
        for observer in self.observers.values():
            observer.answer = look


async def watched(stage: Stage, seconds: float) -> None:
    """Watch for a while."""
    with trio.move_on_after(seconds):
        await stage.watch.run()


async def test_heights_are_those_that_the_nodes_say(autojump_clock: MockClock) -> None:
    stage = Stage()
    stage.say(look_at(7, peers=2))

    await watched(stage, 2)

    assert stage.watch.final == 7
    assert all(sight.peers == 2 and sight.is_answering for sight in stage.watch.sights.values())


async def test_a_silent_node_keeps_its_height_and_is_silent(autojump_clock: MockClock) -> None:
    stage = Stage()
    stage.say(look_at(7))
    await watched(stage, 2)
    stage.observers["validator-2"].answer = None

    await watched(stage, 2)

    sight = stage.watch.sights["validator-2"]
    assert (sight.is_answering, sight.final, sight.peers) == (False, 7, 0)


async def test_a_chain_that_stands_still_is_a_stall_once(autojump_clock: MockClock) -> None:
    stage = Stage()
    stage.say(look_at(3))

    await watched(stage, 2 * STALL_SECONDS)

    assert stage.watch.stalls == 1


async def test_a_chain_that_never_begins_is_a_stall_after_a_longer_while(
    autojump_clock: MockClock,
) -> None:
    stage = Stage()

    await watched(stage, START_SECONDS - 1)
    assert stage.watch.stalls == 0

    await watched(stage, START_SECONDS + 2)
    assert stage.watch.stalls == 1


async def test_a_chain_that_goes_on_does_not_stall(autojump_clock: MockClock) -> None:
    stage = Stage()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.watch.run)
        for height in range(1, 5):
            stage.say(look_at(height))
            await trio.sleep(STALL_SECONDS / 2)
        nursery.cancel_scope.cancel()

    assert stage.watch.stalls == 0
    assert STALL_SECONDS / 2 - 1 < stage.watch.longest_gap < STALL_SECONDS / 2 + 1


async def test_nobody_expects_blocks_while_too_few_validators_run(
    autojump_clock: MockClock,
) -> None:
    stage = Stage()
    stage.say(look_at(3))
    stage.nodes[0].condition = Condition.KILLED
    stage.nodes[1].condition = Condition.PAUSED

    await watched(stage, 2 * STALL_SECONDS)

    assert stage.watch.stalls == 0


async def test_a_restarted_node_counts_from_zero(autojump_clock: MockClock) -> None:
    stage = Stage()
    node, observer = stage.nodes[0], stage.observers["validator-0"]
    observer.answer = Look(5, 5, 5, 0, 3, 1000.0, {0.1: 50.0, float("inf"): 50.0})
    await watched(stage, 3)
    node.process_id = -1
    observer.answer = Look(6, 6, 6, 0, 3, 10.0, {0.1: 1.0, float("inf"): 1.0})

    await watched(stage, 3)

    sight = stage.watch.sights["validator-0"]
    assert sight.extrinsics_per_second == 0
    assert sight.finality_p50 is None


async def test_finality_is_that_of_the_last_minute(autojump_clock: MockClock) -> None:
    stage = Stage()
    observer = stage.observers["validator-0"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stage.watch.run)
        for fast, slow in ((0.0, 100.0), (0.0, 100.0), (40.0, 140.0)):
            finality = {0.1: fast, 1.0: slow, float("inf"): slow}
            observer.answer = Look(1, 1, 1, 0, 3, 0.0, finality)
            await trio.sleep(50)
        nursery.cancel_scope.cancel()

    p99 = stage.watch.sights["validator-0"].finality_p99
    assert p99 is not None
    assert p99 <= 0.1
