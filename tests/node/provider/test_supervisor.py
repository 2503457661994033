"""The provider beside a node: restarted, logged, measured, and ended with the node."""

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector
from trio.testing import MockClock

from node.devnet.measurements import Measurements
from node.provider import supervisor as supervisor_module
from node.provider.metrics import provider_metrics
from node.provider.supervisor import ProviderConfig, Supervisor
from node.threads import verify_with_one_thread

SCRIPT = Path(__file__).with_name("scripted_provider.py")
PATIENCE_SECONDS = 60
URL = "http://127.0.0.1:1"
LIMIT = "OPENBLAS_NUM_THREADS"


def config_in(folder: Path) -> ProviderConfig:
    return ProviderConfig(folder / "provider", ("--key", "//Alice"), (1, 2), 20, "numpy")


class Heard(Supervisor):
    """Tells the test whenever the child has said something."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config)
        self._said, self._heard = trio.open_memory_channel[None](1000)

    def _take(self, line: bytes) -> None:
        super()._take(line)
        self._said.send_nowait(None)

    async def until(self, holds: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            while not holds():
                await self._heard.receive()


@asynccontextmanager
async def supervised(folder: Path) -> AsyncIterator[Heard]:
    supervisor = Heard(config_in(folder))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.run, URL, (str(SCRIPT), str(folder / "diary")))
        yield supervisor
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "PAUSE_SECONDS", 0.01)


def test_the_child_is_told_everything_but_the_key_itself(tmp_path: Path) -> None:
    words = config_in(tmp_path).arguments(URL)

    assert words[:4] == ["provider", "run", "--key", "//Alice"]
    assert " ".join(words[4:]) == (
        f"--url {URL} --folder {tmp_path}/provider --class 1 --class 2 --units 20 --device numpy"
        " --json --stop-with-stdin"
    )


def test_a_provider_without_wishes_proves_all_that_is_staked(tmp_path: Path) -> None:
    words = ProviderConfig(tmp_path, ("--key", "//Bob")).arguments(URL)

    assert not {"--class", "--units", "--device"} & set(words)


async def test_a_child_that_ends_is_started_again_and_what_it_said_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "node.provider.supervisor")
    async with supervised(tmp_path) as supervisor:
        await supervisor.until(
            lambda: supervisor.facts[1, "too_late"] == 2 and bool(supervisor.status)
        )
        seen = [supervisor.is_running]
    seen.append(supervisor.is_running)

    assert seen == [True, False]
    assert supervisor.restarts == 1
    assert len((tmp_path / "diary").read_text().splitlines()) == 2
    messages = [record.getMessage() for record in caplog.records]
    assert "event=provider class=1 epoch=3 fact=too_late cost=5 detail='why'" in messages
    assert any("detail='no units'" in message for message in messages)
    assert any("event=provider_ended code=3" in message for message in messages)


@pytest.mark.parametrize(("operators", "threads"), [({}, "any"), ({LIMIT: "2"}, "2")])
async def test_a_child_has_all_processors_unless_the_operator_has_set_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operators: dict[str, str], threads: str
) -> None:
    unlimited = {name: value for name, value in os.environ.items() if name != LIMIT}
    monkeypatch.setattr(os, "environ", unlimited | operators)
    verify_with_one_thread()

    async with supervised(tmp_path) as supervisor:
        await supervisor.until(lambda: bool(supervisor.status))

    assert os.environ[LIMIT] == operators.get(LIMIT, "1")
    assert f"threads={threads}\n" in (tmp_path / "diary").read_text()


class _Collector(Collector):
    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor

    def collect(self):  # type: ignore[no-untyped-def] # noqa: ANN202 - prometheus_client's own
        return provider_metrics(self.supervisor)


def measured(supervisor: Supervisor) -> Measurements:
    registry = CollectorRegistry()
    registry.register(_Collector(supervisor))
    return Measurements.parse(generate_latest(registry).decode())


async def test_metrics_say_what_the_child_said(tmp_path: Path) -> None:
    async with supervised(tmp_path) as supervisor:
        await supervisor.until(lambda: supervisor.restarts == 1 and bool(supervisor.status))
        found = measured(supervisor)

    assert found.total("loopin_provider_running") == 1
    assert found.total("loopin_provider_following") == 1
    assert found.total("loopin_provider_restarts_total") == 1
    assert found.total("loopin_provider_units", state="live") == 10
    assert found.total("loopin_provider_leaves", state="total") == 9
    assert found.total("loopin_provider_leaves_per_second") == 77
    assert found.total("loopin_provider_penalty") == 2**64
    assert found.total("loopin_provider_facts_total", fact="too_late") >= 1


def test_metrics_of_a_provider_that_does_not_run_are_zero(tmp_path: Path) -> None:
    found = measured(Supervisor(config_in(tmp_path)))

    assert found.total("loopin_provider_running") == 0
    assert found.total("loopin_provider_following") == 0


async def test_a_folder_that_cannot_be_made_is_the_providers_failure_and_not_the_nodes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    (tmp_path / "provider").write_text("in the way")
    supervisor = Supervisor(config_in(tmp_path))

    with trio.move_on_after(5):
        await supervisor.run(URL, (str(SCRIPT), str(tmp_path / "diary")))

    assert supervisor.restarts > 1
    assert any("provider_not_started" in record.getMessage() for record in caplog.records)
