"""The script that a newcomer meets first."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

import dev

SOURCE = Path(dev.__file__)


def checkout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the script at a checkout in ``folder`` with locks and no environment."""
    for name in (dev.BUILD_LOCK, dev.RUN_LOCK, dev.DEV_LOCK, "pyproject.toml"):
        (folder / name).write_text(f"# {name}\n")
    monkeypatch.setattr(dev, "ROOT", folder)
    monkeypatch.setattr(dev, "VENV", folder / ".venv")
    monkeypatch.setattr(dev, "PYTHON", folder / ".venv" / "bin" / "python")
    return folder


def test_an_older_python_can_read_the_script_as_far_as_its_message() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 7))

    first_code = [node for node in tree.body if not isinstance(node, ast.Expr)][:2]
    assert isinstance(first_code[0], ast.Import)
    assert isinstance(first_code[1], ast.If), "the version is checked before anything else"


def test_script_imports_the_standard_library_only() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])

    assert names <= sys.stdlib_module_names


def test_set_up_does_nothing_when_the_locks_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path, monkeypatch)
    (tmp_path / ".venv").mkdir()
    wanted = dev.fingerprint([dev.BUILD_LOCK, dev.RUN_LOCK, "pyproject.toml"])
    (tmp_path / ".venv" / ".loopin-run").write_text(wanted)
    monkeypatch.setattr(dev, "pip", pytest.fail)

    dev.set_up(dev=False)


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_set_up_installs_again_when_a_lock_changed(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path, monkeypatch)
    asked: list[list[str]] = []
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    dev.PYTHON.touch()
    monkeypatch.setattr(dev, "pip", lambda arguments: asked.append(list(arguments)))
    dev.set_up(dev=False)
    first = len(asked)

    dev.set_up(dev=False)
    assert len(asked) == first, "nothing changed, nothing installed"
    (tmp_path / changed).write_text("# other\n")
    dev.set_up(dev=False)

    assert len(asked) == 2 * first
    assert all("--require-hashes" in each for each in asked if "--requirement" in each)


def test_a_python_without_ensurepip_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path, monkeypatch)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(SystemExit, match=r"apt install python3\.\d+-venv"):
        dev.make_environment()

    assert not (tmp_path / ".venv").exists()


def test_a_failed_installation_leaves_no_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout(tmp_path, monkeypatch)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    dev.PYTHON.write_text("#!/bin/sh\nexit 1\n")
    dev.PYTHON.chmod(0o755)

    with pytest.raises(SystemExit, match="Installing failed"):
        dev.set_up(dev=False)

    assert not list((tmp_path / ".venv").glob(".loopin-*"))
