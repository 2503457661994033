"""A process that commits blocks under load is really killed, again and again."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from chain.store import Store, StoreMissing
from chain.store_check import check_store
from tests.chain.final_blocks import FinalBlocks

ROOT = Path(__file__).parents[2]


def start_writer(path: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chain.store_writer", str(path), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def run_and_kill(path: Path, lines: int) -> int | None:
    """Kill the writer once it has said ``lines`` things; return the last height it acknowledged."""
    with start_writer(path) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline().strip() for _ in range(lines)]
        writer.kill()
        said += writer.stdout.read().split()
    heights = [int(word) for word in said if word.isdigit()]
    return max(heights, default=None)


def assert_nothing_final_is_lost(path: Path, acknowledged: int | None) -> int:
    """Open what a crash has left, check it through, and return the head's height."""
    try:
        store = Store.open(path)
    except StoreMissing:
        assert acknowledged is None, "a database with final blocks is gone"
        return 0
    with store, store.snapshot() as reader:
        assert check_store(reader, lambda _: None) == []
        assert reader.head.height >= (acknowledged or 0)
        return reader.head.height


def kill_repeatedly(path: Path, rounds: int) -> None:
    rng = random.Random(rounds)
    head = 0
    for turn in range(rounds):
        # One line is "ready": the kill then falls into opening or creating the database.
        lines = 1 if turn % 5 == 0 else rng.randrange(2, 25)
        acknowledged = run_and_kill(path, lines)
        after = assert_nothing_final_is_lost(path, acknowledged)
        assert after >= head, "a final block is gone"
        head = after
    assert head > rounds


def test_killed_writer_loses_nothing_final(tmp_path: Path) -> None:
    kill_repeatedly(tmp_path / "db", 4)


@pytest.mark.slow
def test_writer_killed_thirty_times_loses_nothing_final(tmp_path: Path) -> None:
    kill_repeatedly(tmp_path / "db", 30)


def test_full_disk_stops_the_store_and_loses_nothing(tmp_path: Path) -> None:
    with start_writer(tmp_path / "db", "300000") as writer:
        assert writer.stdout is not None
        said = writer.stdout.read().split()

    assert writer.returncode == 0
    assert said[-1] == "refused"
    head = assert_nothing_final_is_lost(tmp_path / "db", int(said[-2]))
    chain = FinalBlocks(writes_per_block=400, extrinsics_per_block=100)
    for _ in range(head):
        chain.next()
    with Store.open(tmp_path / "db") as store:
        store.commit(chain.next())
    assert_nothing_final_is_lost(tmp_path / "db", head + 1)
