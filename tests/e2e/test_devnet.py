"""``loopin devnet`` as a program: what it says, what it leaves behind, how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.chain_of_processes import PATIENCE_SECONDS, free_ports

pytestmark = pytest.mark.e2e


@contextmanager
def devnet(tmp_path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run a devnet whose scratch folders lie in ``tmp_path``; its standard output is JSON lines."""
    command = [sys.executable, "-m", "node.cli.main", "devnet", "--json", *options]
    command += ["--base-port", str(free_ports(15))]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def documents(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yield what the devnet says, as it says it."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def node_processes(tmp_path: Path) -> list[int]:
    """Return the processes whose command lines name the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if f"--base-path\0{tmp_path}" in words and state != "Z":
                found.append(int(entry.name))
    return found


def wait_gone(tmp_path: Path) -> None:
    """Wait until no node is left."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while node_processes(tmp_path):
        assert time.monotonic() < deadline, "a node outlives its devnet"
        time.sleep(0.1)


def test_a_chain_under_load_and_chaos_agrees_and_recovers(tmp_path: Path) -> None:
    options = ("--load", "30", "--chaos", "--duration", "40", "--block-interval", "500")
    with devnet(tmp_path, *options) as process:
        said = list(documents(process))
        code = process.wait(PATIENCE_SECONDS)
        assert process.stderr is not None
        assert code == 0, process.stderr.read()

    assert said[0]["event"] == "started"
    assert said[-1]["event"] == "ended"
    assert said[-1]["problems"] == []
    assert said[-1]["final"] > 5
    assert 0 < said[-1]["extrinsics"] <= said[-1]["accepted"] + 200
    assert node_processes(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_nodes_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with devnet(tmp_path, "--validators", "2") as process:
        assert next(documents(process))["event"] == "started"
        process.send_signal(number)
        code = process.wait(PATIENCE_SECONDS)

    assert code == 0
    assert node_processes(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_no_node_outlives_a_devnet_that_is_killed_even_if_paused(tmp_path: Path) -> None:
    with devnet(tmp_path, "--validators", "2", "--followers", "1") as process:
        for document in documents(process):
            if document["event"] == "status" and document["final"] > 0:
                break
        paused, *_ = nodes = node_processes(tmp_path)
        assert len(nodes) == 3
        os.kill(paused, signal.SIGSTOP)

        process.kill()

        wait_gone(tmp_path)


def test_the_command_that_is_shown_joins_the_chain(tmp_path: Path) -> None:
    with devnet(tmp_path, "--validators", "2") as process:
        said = documents(process)
        started = next(said)
        next(document for document in said if document.get("final", 0) > 0)
        log = tmp_path / "joined.log"
        with (
            log.open("wb") as errors,
            # As pasted: one line, taken apart by a shell.
            subprocess.Popen(started["join"], shell=True, stderr=errors) as joined,
        ):
            try:
                deadline = time.monotonic() + PATIENCE_SECONDS
                while b" event=final " not in log.read_bytes():
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.2)
            finally:
                joined.terminate()
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_SECONDS)
        assert process.returncode == 0


def test_cheating_providers_are_caught_and_lose_their_votes(tmp_path: Path) -> None:
    options = ("--validators", "3", "--epoch-length", "16")
    deadline = time.monotonic() + 3 * PATIENCE_SECONDS
    with devnet(tmp_path, *options, "--providers", "fast,fast,silent,copier") as process:
        said = documents(process)
        assert next(said)["event"] == "started"
        found: dict[str, Any] = {}
        while not _are_cheats_caught(found):
            assert time.monotonic() < deadline, found
            found = {each["name"]: each for each in next(said)["providers"]}
        process.send_signal(signal.SIGINT)
        *_, ended = said
        process.wait(PATIENCE_SECONDS)

    assert ended["problems"] == []
    reasons = [fault["reason"] for fault in found["provider-2"]["faults"]]
    assert set(reasons) == {"missed_commitment"}
    (fault, *_) = found["provider-3"]["faults"]
    assert fault["reason"] == "invalid_proof"
    assert int(fault["slashed"]) > 0
    assert process.returncode == 0
    assert node_processes(tmp_path) == []


def _are_cheats_caught(providers: dict[str, Any]) -> bool:
    """Whether both cheats have a fault, the silent one no vote, and an honest one proven units."""
    if not providers:
        return False
    fast, _, silent, copier = (providers[f"provider-{at}"] for at in range(4))
    caught = silent["faults"] and copier["faults"] and not silent["votePpb"]
    return bool(caught and fast["live"] and fast["votePpb"])
