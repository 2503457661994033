import json
from pathlib import Path

import pytest

from chain.store import Store
from chain.store_schema import BODY, by_height
from node.cli.main import EXIT_CONFIG, EXIT_FAILED
from node.data_folder import DataFolder
from tests.node.cli.running import invoke, quick_spec, running_node


@pytest.fixture
def folder(node_url: str, tmp_path: Path) -> Path:
    """A folder with a copy of the first blocks of the running node's chain."""
    blocks, spec = tmp_path / "blocks", tmp_path / "spec.json"
    spec.write_text(quick_spec().to_json())
    invoke("chain", "watch", "--count", 8, "--url", node_url)
    invoke("chain", "export", blocks, "--to", 6, "--url", node_url)
    result = invoke("chain", "import", blocks, "--chain", spec, "--base-path", tmp_path)
    assert result.code == 0, result.err
    return tmp_path


def test_sound_database_passes(folder: Path) -> None:
    result = invoke("db", "check", "--base-path", folder, "--json")

    assert result.json["defects"] == []
    assert result.json["height"] == 6


def test_defects_are_listed_and_fail(folder: Path) -> None:
    with Store.open(DataFolder(folder, "quick").database) as store:
        store._write([(by_height(BODY, 3), None)], sync=True)

    for_machines = invoke("db", "check", "--base-path", folder, "--json")
    for_people = invoke("db", "check", "--base-path", folder)

    assert for_machines.code == for_people.code == EXIT_FAILED
    (defect,) = json.loads(for_machines.out)["defects"]
    assert defect == {"kind": "missing", "height": 3, "detail": "body is missing"}
    assert "body is missing" in for_people.out
    assert "restore a backup" in for_people.out


def test_pruning_keeps_the_last_blocks_whole(folder: Path) -> None:
    pruned = invoke("db", "prune", "--base-path", folder, "--keep", 2, "--json").json

    assert pruned == {"pruned": 5, "wholeFrom": 5, "height": 6}
    assert invoke("db", "check", "--base-path", folder).code == 0
    again = invoke("chain", "export", folder / "more", "--base-path", folder)
    assert again.code == EXIT_FAILED
    assert "--pruning archive" in again.err


def test_database_tells_which_chain_it_holds(folder: Path, node_url: str) -> None:
    head = invoke("chain", "head", "--url", node_url, "--json").json

    info = invoke("db", "info", "--base-path", folder, "--json").json

    assert info["genesis"] == head["genesis"]
    assert (info["height"], info["wholeFrom"], info["keepBlocks"]) == (6, 0, None)
    assert "archive" in invoke("db", "info", "--base-path", folder).out


def test_folder_of_a_running_node_is_left_alone(tmp_path: Path) -> None:
    with running_node(tmp_path, quick_spec()):
        result = invoke("db", "check", "--base-path", tmp_path)

    assert result.code == EXIT_CONFIG
    assert "stop it" in result.err


def test_folder_without_a_chain_is_named(tmp_path: Path) -> None:
    result = invoke("db", "info", "--base-path", tmp_path)

    assert result.code == EXIT_CONFIG
    assert str(tmp_path) in result.err


def test_chain_must_be_named_if_the_folder_holds_several(folder: Path) -> None:
    (folder / "chains" / "other" / "db").mkdir(parents=True)

    unnamed = invoke("db", "info", "--base-path", folder)
    named = invoke("db", "info", "--base-path", folder, "--chain-id", "quick")

    assert unnamed.code == EXIT_CONFIG
    assert "other, quick" in unnamed.err
    assert named.code == 0
