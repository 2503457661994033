"""Write the lock files: exact versions and hashes of every package, for every machine we support.

The versions are those installed in the virtual environment that runs this, because a set that
ran the tests together is worth more than one a resolver likes. To upgrade: ``pip install`` the
new version there, run the tests, then ``python3 dev.py lock``.

The walk starts at ``pyproject.toml`` and follows the installed metadata for each supported
Python and machine. ``[tool.loopin.lock]`` names what the metadata gets wrong. The hashes are
taken from the files that pip downloads from wherever it is configured to; the output names no
host. Needs ``packaging``, which the dev lock installs.
"""

import hashlib
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent

HEADER = """\
# Written by `python3 dev.py lock`; do not edit.
# Exact versions that ran together, with the hash of every file; install with --no-deps.
# Why nothing is resolved: docs/adr/002-lock-file.md.
"""

WHEEL_TAGS = (
    "manylinux_2_17",
    "manylinux2014",
    "manylinux_2_24",
    "manylinux_2_27",
    "manylinux_2_28",
)


class LockError(Exception):
    """The lock cannot be written; the message says what to install or name."""


@dataclass(frozen=True, slots=True)
class Target:
    """One supported combination of Python and machine."""

    python: str
    machine: str

    def environment(self, extra: str) -> dict[str, str]:
        """Return what environment markers mean on this target."""
        return {
            **{key: str(value) for key, value in default_environment().items()},
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "platform_machine": self.machine,
            "extra": extra,
        }


@dataclass(frozen=True, slots=True)
class Settings:
    """The ``[tool.loopin.lock]`` table."""

    targets: tuple[Target, ...]
    replace: Mapping[str, tuple[Requirement, ...]]
    never_imported: frozenset[str]
    source_only: frozenset[str]


def load_settings(table: Mapping[str, Any]) -> Settings:
    """Read the table; the values are ours, so a missing key is a KeyError."""
    return Settings(
        targets=tuple(
            Target(python, machine) for python in table["pythons"] for machine in table["machines"]
        ),
        replace={
            name: tuple(Requirement(text) for text in texts)
            for name, texts in table["replace"].items()
        },
        never_imported=frozenset(table["never-imported"]),
        source_only=frozenset(table["source-only"]),
    )


def closure(roots: Iterable[str], target: Target, settings: Settings) -> dict[str, str]:
    """Return ``{pinned line: package name}`` of all that ``roots`` need on ``target``."""
    pending = [Requirement(text) for text in roots]
    seen: set[tuple[str, str]] = set()
    lines: dict[str, str] = {}
    while pending:
        wanted = pending.pop()
        name = canonicalize_name(wanted.name)
        for extra in ("", *sorted(wanted.extras)):
            if (name, extra) in seen or name in settings.never_imported:
                continue
            seen.add((name, extra))
            lines.update((line, name) for line in _pin(wanted, target, settings))
            pending.extend(_needs(name, extra, target))
    return lines


def _pin(wanted: Requirement, target: Target, settings: Settings) -> list[str]:
    """Return the exact lines for ``wanted``: what the table says, else what is installed."""
    name = canonicalize_name(wanted.name)
    if name in settings.replace:
        return [
            str(each)
            for each in settings.replace[name]
            if each.marker is None or each.marker.evaluate(target.environment(""))
        ]
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        raise LockError(f"{name} is needed but not installed: pip install it, test, lock") from None
    if not wanted.specifier.contains(version, prereleases=True):
        raise LockError(f"{wanted} is needed but {version} is installed: upgrade it, test, lock")
    return [f"{name}=={version}"]


def _needs(name: str, extra: str, target: Target) -> list[Requirement]:
    """Return what the installed ``name`` asks for on ``target``; nothing if it is not here."""
    try:
        declared = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    environment = target.environment(extra)
    wanted = [Requirement(text) for text in declared]
    return [each for each in wanted if each.marker is None or each.marker.evaluate(environment)]


def download(lines: Iterable[str], target: Target, settings: Settings, folder: Path) -> None:
    """Let pip fetch the files that ``target`` would install."""
    folder.mkdir(parents=True, exist_ok=True)
    wheels = [line for line in lines if _name(line) not in settings.source_only]
    platforms = [f"--platform={tag}_{target.machine}" for tag in WHEEL_TAGS]
    bare = "\n".join(line.partition(";")[0] for line in sorted(wheels))
    listing = folder / "requirements.txt"
    listing.write_text(bare + "\n")
    _pip(
        [
            "--only-binary=:all:",
            f"--python-version={target.python}",
            "--implementation=cp",
            *platforms,
            f"--dest={folder}",
            f"--requirement={listing}",
        ]
    )


def download_sources(lines: Iterable[str], settings: Settings, folder: Path) -> None:
    """Let pip fetch the packages that come as source only."""
    sources = sorted(line for line in lines if _name(line) in settings.source_only)
    if sources:
        _pip(["--no-binary=:all:", f"--dest={folder}", *sources])


def _pip(arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise LockError(f"pip download failed:\n{done.stderr}")


def _name(line: str) -> str:
    return canonicalize_name(Requirement(line).name)


def hashes(folder: Path) -> dict[str, list[str]]:
    """Return ``{name==version: sorted sha256 digests}`` of the files under ``folder``."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*"):
        if path.suffix == ".whl":
            name, version, _, _ = parse_wheel_filename(path.name)
        elif path.name.endswith((".tar.gz", ".zip")):
            name, version = parse_sdist_filename(path.name)
        else:
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found.setdefault(f"{name}=={version}", set()).add(digest)
    return {key: sorted(digests) for key, digests in found.items()}


def render(lines: Iterable[str], known: Mapping[str, Sequence[str]], settings: Settings) -> str:
    """Return the text of a lock file for ``lines``, sorted, each with its hashes."""
    sources = sorted(_name(line) for line in lines if _name(line) in settings.source_only)
    parts = [HEADER, "--only-binary :all:\n"]
    parts += [f"--no-binary {name}\n" for name in sources]
    for line in sorted(set(lines)):
        pinned = line.partition(";")[0].strip()
        digests = "".join(f" \\\n    --hash=sha256:{digest}" for digest in known[pinned])
        parts.append(f"{line}{digests}\n")
    return "".join(parts)


def main() -> int:
    """Write the three lock files; return the exit code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    settings = load_settings(project["tool"]["loopin"]["lock"])
    groups = project["dependency-groups"]
    roots = {
        "requirements-build.lock": groups["build"],
        "requirements.lock": project["project"]["dependencies"],
        "requirements-dev.lock": groups["dev"],
    }
    wanted: dict[str, dict[str, str]] = {name: {} for name in roots}
    per_target: dict[Target, set[str]] = {target: set() for target in settings.targets}
    for target in settings.targets:
        for lock, texts in roots.items():
            lines = closure(texts, target, settings)
            wanted[lock].update(lines)
            per_target[target].update(lines)
    installed_before = set(wanted["requirements.lock"])
    for line in installed_before & set(wanted["requirements-dev.lock"]):
        del wanted["requirements-dev.lock"][line]
    with tempfile.TemporaryDirectory() as scratch:
        known = _fetch(per_target, settings, Path(scratch))
    for lock, lines in wanted.items():
        (ROOT / lock).write_text(render(lines, known, settings))
        print(f"{lock}: {len(lines)} packages")
    return 0


def _fetch(
    per_target: Mapping[Target, set[str]], settings: Settings, folder: Path
) -> dict[str, list[str]]:
    """Download everything once for each target and return the hashes."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        jobs = [
            pool.submit(
                download, lines, target, settings, folder / f"{target.python}{target.machine}"
            )
            for target, lines in per_target.items()
        ]
        for job in jobs:
            job.result()
    download_sources(set[str]().union(*per_target.values()), settings, folder)
    return hashes(folder)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LockError as error:
        sys.exit(f"lock: {error}")
