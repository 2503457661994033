"""What is imported is declared, what is declared is locked, and a lock names no host."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.lock import Settings, Target, closure, load_settings, render

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements-build.lock", "requirements.lock", "requirements-dev.lock")
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^\s;]+)(; (?P<marker>.+?))? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


@cache
def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def declared() -> list[Requirement]:
    table = project()["project"]
    assert isinstance(table, dict)
    return [Requirement(text) for text in table["dependencies"]]


def optional() -> list[Requirement]:
    table = project()["project"]
    assert isinstance(table, dict)
    extras = table["optional-dependencies"].values()
    return [Requirement(text) for texts in extras for text in texts]


def settings() -> Settings:
    tool = project()["tool"]
    assert isinstance(tool, dict)
    return load_settings(tool["loopin"]["lock"])


def pins(lock: str) -> dict[str, list[str]]:
    """Return ``{name: lines}`` of the pinned packages of a lock file."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / lock).read_text().splitlines():
        match = PIN.match(line)
        if match:
            found.setdefault(match["name"], []).append(line.removesuffix(" \\"))
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_nothing_but_pins_hashes_and_the_kind_of_file(lock: str) -> None:
    kinds = ("#", "--only-binary :all:", "--no-binary ")

    odd = [
        line
        for line in (ROOT / lock).read_text().splitlines()
        if not (PIN.match(line) or HASH.match(line) or line.startswith(kinds))
    ]

    assert odd == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_is_followed_by_a_hash(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()

    bare = [line for line, after in pairwise(lines) if PIN.match(line) and not HASH.match(after)]

    assert pins(lock)
    assert bare == []


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_names_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()

    assert "://" not in text
    assert "index-url" not in text


def test_every_declared_dependency_is_locked_within_its_bounds() -> None:
    locked = pins("requirements.lock")

    for wanted in declared():
        versions = [Requirement(line) for line in locked[canonicalize_name(wanted.name)]]
        for pin in versions:
            (exact,) = pin.specifier
            assert wanted.specifier.contains(exact.version), f"{pin} is outside {wanted}"


def test_the_locked_versions_are_the_installed_ones() -> None:
    wrong = []
    for lock in LOCKS:
        for lines in pins(lock).values():
            for pin in map(Requirement, lines):
                if pin.marker is None or pin.marker.evaluate():
                    (exact,) = pin.specifier
                    if metadata.version(pin.name) != exact.version:
                        wrong.append(f"{pin} but {metadata.version(pin.name)} is installed")

    assert wrong == []


def test_each_supported_target_gets_exactly_one_version_of_each_package() -> None:
    for target in settings().targets:
        for name, lines in pins("requirements.lock").items():
            chosen = [
                pin
                for pin in map(Requirement, lines)
                if pin.marker is None or pin.marker.evaluate(target.environment(""))
            ]
            assert len(chosen) <= 1, f"{name} on {target}"
            if name in {"fastecdsa", "libp2p"}:
                assert len(chosen) == 1, f"{name} on {target}"


def test_each_supported_target_gets_one_leveldb_binding() -> None:
    bindings = ("plyvel", "plyvel-ci", "plyvel-next")
    locked = pins("requirements.lock")

    for target in settings().targets:
        chosen = [
            name
            for name in bindings
            for pin in map(Requirement, locked[name])
            if pin.marker is not None and pin.marker.evaluate(target.environment(""))
        ]
        assert len(chosen) == 1, f"{chosen} on {target}"


def test_every_third_party_import_is_a_declared_dependency() -> None:
    owners = metadata.packages_distributions()
    known = {canonicalize_name(wanted.name) for wanted in (*declared(), *optional())}
    ours = {path.name for path in ROOT.iterdir() if path.is_dir()}

    undeclared = set()
    for package in source_packages():
        for path in (ROOT / package).rglob("*.py"):
            for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
                if name in sys.stdlib_module_names or name in ours:
                    continue
                # What is not installed here (a GPU library, the other LevelDB bindings) is
                # looked up by its own name.
                names = {canonicalize_name(owner) for owner in owners.get(name, [name])}
                if not names & known:
                    undeclared.add(f"{path.relative_to(ROOT)}: {name}")

    assert sorted(undeclared) == []


def source_packages() -> list[str]:
    tool = project()["tool"]
    assert isinstance(tool, dict)
    roots = tool["importlinter"]["root_packages"]
    assert isinstance(roots, list)
    return roots


def imported(tree: ast.Module) -> set[str]:
    """Return the top-level names that a file imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_closure_takes_replacements_and_leaves_out_what_is_never_imported() -> None:
    lines = closure(["libp2p"], Target("3.12", "aarch64"), settings())

    names = set(lines.values())
    assert {"libp2p", "trio", "coincurve", "fastecdsa", "varint"} <= names
    assert "mypy-protobuf" not in names
    assert [line for line, name in lines.items() if name == "fastecdsa"] == [
        'fastecdsa==4.0.0; platform_machine != "x86_64"'
    ]


def test_render_sorts_and_gives_every_hash() -> None:
    text = render(["varint==1", "anyio==2"], {"varint==1": ["aa"], "anyio==2": ["bb", "cc"]},
                  settings())  # fmt: skip

    assert text.endswith(
        "--only-binary :all:\n--no-binary varint\n"
        "anyio==2 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "varint==1 \\\n    --hash=sha256:aa\n"
    )
