"""The worker's process seen from its owner: orders, answers, deaths."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import trio

from node.client.errors import BadAnswer
from node.provider import worker_process
from node.provider.lines import LINE_BYTES_MAX, read_lines
from node.provider.worker_process import Told, WorkerProcess
from node.rpc.json_types import Json

SCRIPT = Path(__file__).with_name("scripted_worker.py")
PROVE: Mapping[str, Json] = {"do": "prove", "epoch": 1, "units": 5, "challenge": "00" * 32}
PATIENCE_SECONDS = 60


class Listener:
    """Collects what a worker tells."""

    def __init__(self) -> None:
        self.send, self.told = trio.open_memory_channel[Told](100)

    async def wait(self, event: str) -> Told:
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                told = await self.told.receive()
                if told["event"] == event:
                    return told


@asynccontextmanager
async def working(tmp_path: Path, *plays: str) -> AsyncIterator[tuple[WorkerProcess, Listener]]:
    listener = Listener()
    worker = WorkerProcess(
        {"do": "open"},
        listener.send.send_nowait,
        log=tmp_path / "log",
        arguments=(str(SCRIPT), str(tmp_path / "diary"), *plays),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        yield worker, listener
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "PAUSE_SECONDS", 0.01)


async def test_a_worker_is_opened_and_obeys(tmp_path: Path) -> None:
    async with working(tmp_path) as (worker, listener):
        await listener.wait("ready")
        worker.order(PROVE)
        proven = await listener.wait("proven")
        worker.order({"do": "respond", "epoch": 1, "beacon": "00" * 32})
        await listener.wait("response")

    assert proven["units"] == 5
    assert (tmp_path / "diary").read_text().split() == ["open", "prove", "respond"]


async def test_a_worker_that_died_is_given_its_orders_again(tmp_path: Path) -> None:
    async with working(tmp_path, "die") as (worker, listener):
        worker.order({"do": "seal", "units": 1})
        worker.order(PROVE)
        worker.order({"do": "respond", "epoch": 1, "beacon": "00" * 32})
        await listener.wait("response")

    diary = (tmp_path / "diary").read_text().split()
    assert worker.restarts == 1
    assert diary[-3:] == ["open", "prove", "respond"]
    assert diary.count("open") == 2


async def test_an_abandoned_proof_is_not_ordered_again(tmp_path: Path) -> None:
    async with working(tmp_path) as (worker, listener):
        worker.order(PROVE)
        await listener.wait("proven")
        worker.order({"do": "abandon"})

        assert worker._orders == [{"do": "abandon"}]


async def test_a_worker_that_speaks_nonsense_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "STOP_SECONDS", 0.01)
    async with working(tmp_path, "nonsense") as (worker, listener):
        await listener.wait("ready")
        await listener.wait("ready")

        assert worker.restarts >= 1


class Endless(trio.abc.ReceiveStream):
    """A line without an end."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"x" * (LINE_BYTES_MAX // 4)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_a_line_without_an_end_is_refused() -> None:
    async with aclosing(read_lines(Endless())) as lines:
        with pytest.raises(BadAnswer):
            await anext(lines)
