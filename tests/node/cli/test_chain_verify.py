"""``loopin chain verify`` against a running node."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from genesis.presets import small_pocps_config
from genesis.spec import ChainSpec
from node.cli.main import EXIT_CONFIG, EXIT_FAILED
from runtime.session import Config as SessionConfig
from tests.node.cli.running import Result, invoke, quick_spec, running_node

EPOCH = 4


def short_spec() -> ChainSpec:
    spec = quick_spec()
    session, pocps = SessionConfig(epoch_length=EPOCH), small_pocps_config(EPOCH)
    return replace(spec, runtime=replace(spec.runtime, session=session, pocps=pocps))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_node(tmp_path_factory.mktemp("node"), short_spec()) as address:
        watched = invoke("chain", "watch", "--count", 3 * EPOCH + 1, "--url", address)
        assert watched.code == 0
        yield address


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    file = tmp_path / "spec.json"
    file.write_text(short_spec().to_json())
    return file


def verify(url: str, spec: Path | str, *options: object) -> Result:
    return invoke("chain", "verify", "--chain", spec, "--url", url, *options)


# The chain's time begins in the past and goes by the block.
ANY_AGE = ("--max-age", 10**9)


def test_newest_block_and_a_balance_are_proven(url: str, spec_file: Path) -> None:
    shown = verify(url, spec_file, "--account", "//Bob", *ANY_AGE, "--json").json

    assert shown["verified"] is True
    assert shown["epoch"] >= 2
    assert shown["free"] == str(10**15)
    known = invoke("chain", "block", shown["height"], "--url", url, "--json").json
    assert shown["hash"] == known["hash"]
    assert shown["stateRoot"] == known["header"]["stateRoot"]
    assert "1000000 LOOP" in verify(url, spec_file, "--account", "//Bob", *ANY_AGE).out


def test_node_of_another_chain_is_refused(url: str) -> None:
    result = verify(url, "dev", "--json")

    assert result.code == EXIT_FAILED
    assert '"OtherChain"' in result.out


def test_checkpoint_is_held_against_the_chain(url: str, spec_file: Path) -> None:
    block = invoke("chain", "block", EPOCH, "--url", url, "--json").json["hash"]

    passed = verify(url, spec_file, "--checkpoint", f"{EPOCH}:{block}", *ANY_AGE)
    missed = verify(url, spec_file, "--checkpoint", f"{EPOCH}:0x{'00' * 32}", *ANY_AGE, "--json")

    assert passed.code == 0, passed.err
    assert missed.code == EXIT_FAILED
    assert '"CheckpointMissed"' in missed.out


@pytest.mark.parametrize("text", ["5", f"{EPOCH + 1}:0x{'00' * 32}", f"{EPOCH}:0x00", "x:0x"])
def test_checkpoint_that_cannot_be_one_is_a_mistake(text: str, spec_file: Path) -> None:
    result = verify("http://127.0.0.1:1", spec_file, "--checkpoint", text, "--json")

    assert result.code == EXIT_CONFIG
    assert '"BadCheckpoint"' in result.out
