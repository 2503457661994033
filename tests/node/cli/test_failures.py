"""A node that cannot run says why in one line, with the exit code that this has."""

from pathlib import Path

from genesis.presets import local_spec
from node.cli.failures import only_reason
from node.cli.main import EXIT_CONFIG
from node.data_folder import DataFolder
from node.silence import VotesElsewhere
from tests.node.cli.running import invoke


def test_node_whose_folder_is_in_use_says_so(tmp_path: Path) -> None:
    with DataFolder(tmp_path, local_spec().id).locked():
        refused = invoke("node", "--chain", "local", "--base-path", tmp_path, "--no-prometheus")

    assert refused.code == EXIT_CONFIG
    assert "another node runs" in refused.err
    assert "Traceback" not in refused.err


def test_reason_is_found_however_deep_the_task_was() -> None:
    reason = VotesElsewhere("stop the other one")
    group = BaseExceptionGroup("", [BaseExceptionGroup("", [reason]), VotesElsewhere("later")])

    assert only_reason(group) is reason


def test_bug_beside_a_reason_is_not_hidden() -> None:
    group = BaseExceptionGroup("", [VotesElsewhere("no"), AssertionError("our bug")])

    assert only_reason(group) is None
