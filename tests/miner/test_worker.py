"""The worker's commands: what it obeys, what it refuses, and how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from miner.resources import (
    Resource,
    UnknownKind,
    kind_name,
    resource_from_plain,
    resource_to_plain,
)
from miner.worker import BadCommand, Command, Worker
from miner.workshop import Told
from primitives.errors import ConfigError
from tests.miner.test_workshop import BEACON, CHALLENGE, DISK, NETWORK, PROVIDER

PATIENCE_SECONDS = 60


def opening(folder: Path, resource: Resource = NETWORK) -> Command:
    return {
        "do": "open",
        "class": resource_to_plain(resource),
        "provider": PROVIDER.hex(),
        "folder": str(folder),
        "devices": "numpy",
    }


PROVE: Command = {"do": "prove", "epoch": 2, "challenge": CHALLENGE.hex(), "units": 3}
RESPOND: Command = {"do": "respond", "epoch": 2, "beacon": BEACON.hex()}


@pytest.mark.parametrize("resource", [NETWORK, DISK], ids=kind_name)
def test_a_class_passes_between_processes_unchanged(resource: Resource) -> None:
    assert resource_from_plain(json.loads(json.dumps(resource_to_plain(resource)))) == resource


@pytest.mark.parametrize(
    "plain",
    [
        None,
        {},
        {"kind": "bandwidth"},
        {"kind": "forward_pass"},
        {**resource_to_plain(NETWORK), "extra": 1},
        {**resource_to_plain(NETWORK), "width": "64"},
        {**resource_to_plain(NETWORK), "width": True},
        {**resource_to_plain(NETWORK), "width": 65},
    ],
)
def test_what_is_no_class_is_refused(plain: object) -> None:
    with pytest.raises(ConfigError):
        resource_from_plain(plain)


def test_an_unknown_kind_says_so() -> None:
    with pytest.raises(UnknownKind, match="bandwidth"):
        resource_from_plain({"kind": "bandwidth"})


def test_the_worker_proves_and_responds(tmp_path: Path) -> None:
    told: list[Told] = []
    worker = Worker(told.append)

    for command in (opening(tmp_path), PROVE, RESPOND):
        worker.obey(command)
    while not worker.is_idle:
        worker.work()

    events = [item["event"] for item in told]
    assert events[0] == "ready"
    assert events[-2:] == ["proven", "response"]


@pytest.mark.parametrize(
    "command",
    [
        PROVE,
        {"do": "open", "class": resource_to_plain(NETWORK)},
        {**opening(Path("x")), "devices": "abacus"},
        {**opening(Path("x")), "provider": "zz"},
        {**opening(Path("x")), "provider": "00"},
    ],
)
def test_a_worker_that_is_not_opened_refuses(command: Command) -> None:
    with pytest.raises(ConfigError):
        Worker(lambda _: None).obey(command)


@pytest.mark.parametrize(
    "command",
    [
        {"do": "dance"},
        {**PROVE, "units": -1},
        {**PROVE, "units": True},
        {**PROVE, "challenge": "00"},
        {"do": "respond", "epoch": "2", "beacon": BEACON.hex()},
        {"do": "seal"},
    ],
)
def test_a_bad_command_is_refused(tmp_path: Path, command: Command) -> None:
    worker = Worker(lambda _: None)
    worker.obey(opening(tmp_path))

    with pytest.raises(BadCommand):
        worker.obey(command)


def test_the_process_answers_in_lines_survives_nonsense_and_ends_with_its_input(
    tmp_path: Path,
) -> None:
    lines = ["no json", "[]", json.dumps(opening(tmp_path)), json.dumps(PROVE), json.dumps(RESPOND)]
    with subprocess.Popen(
        [sys.executable, "-m", "miner.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write("\n".join(lines) + "\n")
            process.stdin.flush()
            told: list[Told] = []
            while not told or told[-1]["event"] != "response":
                told.append(json.loads(process.stdout.readline()))
            process.stdin.close()
            code = process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()

    assert [item["reason"] for item in told[:2]] == ["BadCommand", "BadCommand"]
    assert code == 0
