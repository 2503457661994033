from pathlib import Path

import pytest

from node.cli.keys_given import SecretOnCommandLine
from node.cli.provider_options import key_words
from primitives.errors import ConfigError
from tests.node.cli.running import invoke


def test_a_development_key_is_passed_on_by_name() -> None:
    assert key_words("//Alice", None, None) == ("--key", "//Alice")


def test_files_are_passed_on_by_their_whole_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    words = key_words(None, Path("alice.json"), Path("password"))

    assert words == (
        "--key-file", f"{tmp_path}/alice.json", "--password-file", f"{tmp_path}/password"
    )  # fmt: skip


def test_a_file_without_its_password_is_refused_as_nobody_is_there_to_type_it() -> None:
    with pytest.raises(ConfigError, match="--provider-password-file"):
        key_words(None, Path("alice.json"), None)


def test_a_secret_is_refused_before_any_child_sees_it() -> None:
    with pytest.raises(SecretOnCommandLine):
        key_words("bottom drive obey lake", None, None)


def test_a_node_with_a_provider_wants_to_know_whose_units_it_proves(tmp_path: Path) -> None:
    words = ("node", "--chain", "local", "--base-path", tmp_path, "--provider", "--log", "error")

    result = invoke(*words)

    assert result.code == 3
    assert "--provider-key-file" in result.err


def test_a_devnet_knows_which_providers_there_are() -> None:
    result = invoke("devnet", "--providers", "fast,crafty")

    assert result.code == 3
    assert "crafty" in result.err
    assert "fast, slow, lazy, silent, copier, replayer, twins" in result.err
