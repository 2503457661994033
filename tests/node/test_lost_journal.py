"""A validator that lost its disk contradicts nothing that it said before, and votes again."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from consensus.simplex.messages import Certificate, Signed
from consensus.simplex.pledges import Floor, Record
from node.silence import Reason
from tests.chain.small_chains import small_spec
from tests.node.small_nodes import assert_no_contradiction, records_of
from tests.node.town import NAMES, Town, determined

THREE = NAMES[:3]
"""Just a quorum of four: nothing becomes final without each of them."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    return determined(monkeypatch)


async def lose_disk(town: Town, folder: Path, name: str) -> tuple[Record, ...]:
    """End a node and empty its folder; return what it had promised."""
    await town.stop(name)
    said = records_of(folder / name / "journal")
    shutil.rmtree(folder / name)
    return said


def words(records: Sequence[Record]) -> list[Signed]:
    return [record for record in records if not isinstance(record, Certificate | Floor)]


async def spoken(town: Town, journal: Path) -> None:
    """Wait until a validator has said something."""
    await town.wait(lambda: words(records_of(journal)) != [])


async def test_alone_it_says_nothing(tmp_path: Path, clock: trio.testing.MockClock) -> None:
    """Its timers would nullify the very views that it finalized."""
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living(*THREE):
        await town.wait_height(5)
        await lose_disk(town, tmp_path, "Charlie")
        for name in ("Alice", "Bob"):
            await town.stop(name)
        town.open("Charlie")

        await trio.sleep(300)

        assert words(records_of(tmp_path / "Charlie" / "journal")) == []


async def test_a_chain_that_waits_for_it_waits_rather_than_hears_it_lie(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living(*NAMES):
        await town.wait_height(2)
        await town.stop("Dave")
        await town.wait_height(5)
        before = await lose_disk(town, tmp_path, "Charlie")
        town.open("Charlie")

        await trio.sleep(300)
        assert words(records_of(tmp_path / "Charlie" / "journal")) == []
        assert town["Charlie"].small.driver.silence is Reason.BEFORE_FLOOR

        town.open("Dave")
        await town.wait_height(12)
        await town.stop("Dave")
        # Now every block needs it.
        await town.wait_height(town["Alice"].height + 5)
        assert_no_contradiction((*before, *records_of(tmp_path / "Charlie" / "journal")))


@pytest.mark.parametrize("epoch_length", [4, 600])
@pytest.mark.parametrize("tenths", [0, 4, 8, 13, 17])
async def test_while_the_chain_goes_on_it_votes_again_and_contradicts_nothing(
    tmp_path: Path, clock: trio.testing.MockClock, epoch_length: int, tenths: int
) -> None:
    town = Town(tmp_path, small_spec(NAMES, epoch_length=epoch_length))
    async with town.living(*NAMES):
        await town.wait_height(3)
        await trio.sleep(tenths / 10)
        before = await lose_disk(town, tmp_path, "Charlie")
        town.open("Charlie")
        journal = tmp_path / "Charlie" / "journal"

        await spoken(town, journal)
        if epoch_length < 600:
            # Beyond the one view of the next epoch in which it is silent, too.
            await town.wait_height(town["Charlie"].height + epoch_length + 2)
        await town.stop("Dave")
        await town.wait_height(town["Alice"].height + 7)

        assert_no_contradiction((*before, *records_of(journal)))


async def test_a_journal_that_was_lost_alone_is_no_better(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living(*THREE):
        await town.wait_height(5)
        await town.stop("Charlie")
        (tmp_path / "Charlie" / "journal").unlink()
        town.open("Charlie")

        await trio.sleep(300)

        assert words(records_of(tmp_path / "Charlie" / "journal")) == []


async def test_it_is_bound_by_its_floor_after_another_restart(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living(*THREE):
        await town.wait_height(5)
        before = await lose_disk(town, tmp_path, "Charlie")
        town.open("Charlie")
        await trio.sleep(60)
        await town.stop("Charlie")
        town.open("Charlie")

        await trio.sleep(300)

        journal = records_of(tmp_path / "Charlie" / "journal")
        assert words(journal) == []
        floors = [record for record in journal if isinstance(record, Floor)]
        assert len(floors) == 1, "what it promised at its first return is enough"
        assert floors[0].view > max(record.view for record in words(before))


async def test_a_whole_journal_without_its_database_votes_at_once_when_it_is_synced(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    """The chain stands still, and nobody else can move it."""
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living(*THREE):
        await town.wait_height(5)
        await town.stop("Charlie")
        shutil.rmtree(tmp_path / "Charlie" / "db")
        town.open("Charlie")

        await town.wait_height(9)


async def test_all_that_lost_everything_begin_anew(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living(*NAMES):
        await town.wait_height(3)
        for name in NAMES:
            await lose_disk(town, tmp_path, name)
        for name in NAMES:
            town.open(name)

        await town.wait_height(3)


async def test_a_chain_that_begins_waits_for_a_quorum_and_then_not_long(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES))
    async with town.living("Alice", "Bob"):
        await trio.sleep(100)
        assert all(words(records_of(tmp_path / name / "journal")) == [] for name in NAMES[:2])
        came = trio.current_time()
        town.open("Charlie")

        await town.wait_height(1)

        assert trio.current_time() - came < 8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
async def test_disks_lost_at_any_time_on_bad_networks_lead_to_no_contradiction(
    tmp_path: Path, clock: trio.testing.MockClock, seed: int
) -> None:
    draw, chances = Random(seed), (0, 50_000_000, 200_000_000)
    length = draw.choice((3, 5, 9, 600))
    town = Town(tmp_path, small_spec(NAMES, epoch_length=length), seed)
    lives: dict[str, list[Record]] = {name: [] for name in NAMES}
    async with town.living(*NAMES):
        await town.wait_height(2)
        for _ in range(3):
            name = draw.choice(NAMES)
            journal = tmp_path / name / "journal"
            town.lose(draw.choice(chances))
            if draw.random() < 0.5:
                town.partition((name,), [other for other in NAMES if other != name])
                await trio.sleep(draw.uniform(0, 5))
            await trio.sleep(draw.uniform(0, 3))
            lives[name] += await lose_disk(town, tmp_path, name)
            await trio.sleep(draw.uniform(0, 4))
            town.open(name)
            await trio.sleep(draw.uniform(0, 4))
            town.hub.heal_all()
            town.lose(draw.choice(chances))
            await spoken(town, journal)
            # It must be back in full before the chain can do without another.
            await town.wait_height(town[name].height + min(length, 9) + 2)

        for name in NAMES:
            assert_no_contradiction((*lives[name], *records_of(tmp_path / name / "journal")))
