"""The first thread through the whole house: a development node, a wallet, a proof."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LOOPIN = (sys.executable, "-m", "node.cli.main")
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 120


class DevNode:
    """A running ``loopin node --dev``."""

    def __init__(self, process: subprocess.Popen[str], url: str, genesis: str) -> None:
        self.process = process
        self.url = url
        self.genesis = genesis

    def loopin(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        """Run one command against this node."""
        return subprocess.run(
            [*LOOPIN, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "LOOPIN_URL": self.url},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def json(self, *arguments: object) -> Any:
        """Run one command that must succeed; return what it prints for machines."""
        result = self.loopin(*arguments, "--json")
        assert result.returncode == 0, result.stderr + result.stdout
        return json.loads(result.stdout)


@pytest.fixture(scope="module")
def node() -> Iterator[DevNode]:
    command = [*LOOPIN, "node", "--dev", "--tmp", "--rpc-port", "0", "--no-prometheus"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said = dict(part.split("=", 1) for part in line.split() if "=" in part)
            if "rpc" in said and "genesis" in said:
                yield DevNode(process, f"http://127.0.0.1:{said['rpc']}", said["genesis"])
                break
        else:
            pytest.fail("the node ended before it answered")
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)


@pytest.mark.e2e
def test_first_final_block_comes_soon(node: DevNode) -> None:
    watched = node.loopin("chain", "watch", "--count", 2, "--json")

    heights = [json.loads(line)["number"] for line in watched.stdout.splitlines()]
    assert len(heights) == 2
    assert heights[1] == heights[0] + 1


@pytest.mark.e2e
def test_transfer_is_final_and_moves_both_balances(node: DevNode) -> None:
    before = [node.json("account", "balance", who)["free"] for who in ("//Bob", "//Charlie")]

    receipt = node.json("account", "transfer", "--from", "//Bob", "--to", "//Charlie", "1.5")

    after = [node.json("account", "balance", who)["free"] for who in ("//Bob", "//Charlie")]
    assert receipt["inBlock"] == receipt["finalized"]
    assert int(after[0]) == int(before[0]) - 1_500_000_000 - int(receipt["fee"])
    assert int(after[1]) == int(before[1]) + 1_500_000_000
    history = node.json("account", "history", "//Charlie")["extrinsics"]
    assert history[0]["hash"] == receipt["extrinsic"]


@pytest.mark.e2e
def test_read_is_proven_without_the_node_and_a_tampered_one_refused(
    node: DevNode, tmp_path: Path
) -> None:
    file = tmp_path / "proof.json"
    proven = node.json("chain", "prove", "balances.free", "//Alice", "--output", file)
    verify = ("chain", "verify-proof", file, "--header-hash", proven["headerHash"])

    sound = node.json(*verify)
    file.write_text(json.dumps({**proven, "value": "0xcf00038d7ea4c68001"}))
    tampered = node.loopin(*verify)

    assert sound["value"] == proven["value"]
    assert tampered.returncode == 1
    assert "the key holds" in tampered.stderr


@pytest.mark.e2e
def test_commands_of_the_read_me_are_true(node: DevNode) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if "account transfer" in line)
    words = line.split()[1:]

    result = node.loopin(*words)

    assert result.returncode == 0, result.stderr
    printed = [line.split("  ")[0] for line in result.stdout.splitlines() if line[:1] != " "]
    assert printed
    for label in printed:
        assert any(shown.startswith(label) for shown in text.splitlines()), label


@pytest.mark.e2e
def test_node_that_is_told_to_stop_stops(node: DevNode) -> None:
    node.process.send_signal(signal.SIGTERM)

    assert node.process.wait(PATIENCE_SECONDS) == 0
    gone = node.loopin("chain", "head")
    assert gone.returncode == 4
    assert "loopin node --dev" in gone.stderr
