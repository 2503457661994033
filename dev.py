"""Set up, run and check LooPIN with nothing but CPython 3.11 or newer.

    python3 dev.py run            set up if needed, then run a one-validator chain
    python3 dev.py test           set up if needed, then pass the fast tests
    python3 dev.py check          format, lint, types, import contracts, house rules
    python3 dev.py simulate --seed 7
    python3 dev.py setup [--dev]  only set up; --dev adds what tests and checks need
    python3 dev.py lock           write the lock files anew (see tools/lock.py)

Everything lives in ``.venv`` beside this file. What comes after the command goes to the program
it starts: ``python3 dev.py run --rpc-port 9955``, ``python3 dev.py test -k codec``.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this file must explain itself to an older Python
    sys.exit(
        f"LooPIN needs CPython 3.11 or newer; this is Python {sys.version.split()[0]}.\n"
        "Install a newer one and start with it, for example: python3.12 dev.py run"
    )

import argparse
import hashlib
import importlib.util
import os
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
SCRIPTS = VENV / "bin"
PYTHON = SCRIPTS / "python"
BUILD_LOCK = "requirements-build.lock"
RUN_LOCK = "requirements.lock"
DEV_LOCK = "requirements-dev.lock"


def main(arguments: Sequence[str]) -> int:
    """Carry out one command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="dev.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["setup", "run", "test", "check", "simulate", "lock"])
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="passed on to the program started")
    chosen = parser.parse_args(arguments)
    rest: list[str] = chosen.rest
    # No match statement: an older Python must get as far as the message above.
    command = chosen.command
    set_up(dev="--dev" in rest if command == "setup" else command != "run")
    if command == "setup":
        print("Ready. Next: python3 dev.py run")
        return 0
    if command == "run":
        return replace_by([str(SCRIPTS / "loopin"), "node", "--dev", *rest])
    if command == "check":
        return check()
    programs = {
        "test": ["-m", "pytest", "-n", str(min(4, os.cpu_count() or 1)), "--dist", "loadfile"],
        "simulate": ["-m", "tests.simulation"],
        "lock": ["tools/lock.py"],
    }
    return start([str(PYTHON), *programs[command], *rest])


def set_up(*, dev: bool) -> None:
    """Bring ``.venv`` to what the lock files say; do nothing if it is there already."""
    locks = [BUILD_LOCK, RUN_LOCK, *([DEV_LOCK] if dev else [])]
    run_stamp = (VENV / ".loopin-run", fingerprint([BUILD_LOCK, RUN_LOCK, "pyproject.toml"]))
    dev_stamp = (VENV / ".loopin-dev", fingerprint([*locks, "pyproject.toml"]))
    stamps = [run_stamp, dev_stamp] if dev else [run_stamp]
    if all(path.is_file() and path.read_text() == wanted for path, wanted in stamps):
        return
    if not PYTHON.exists():
        make_environment()
    print("Installing the locked packages into .venv (once; about a minute) ...", flush=True)
    for lock in locks:
        pip(["--require-hashes", "--no-build-isolation", "--use-pep517", "--requirement", lock])
    pip(["--no-build-isolation", "--editable", "."])
    for path, wanted in stamps:
        path.write_text(wanted)


def fingerprint(names: Sequence[str]) -> str:
    """Return a digest of the named files and of where they were installed."""
    digest = hashlib.sha256(str(VENV).encode())
    for name in names:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def make_environment() -> None:
    """Create ``.venv`` with the Python that runs this, or say what is missing."""
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        sys.exit(
            "This Python comes without venv or ensurepip, so no environment can be made.\n"
            f"On Debian and Ubuntu: apt install python{version}-venv. Then run this again."
        )
    print(f"Making .venv with Python {sysconfig.get_python_version()} ...", flush=True)
    done = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False)
    if done.returncode != 0:
        sys.exit(f"Could not create {VENV}; the message above says why.")


def pip(arguments: Sequence[str]) -> None:
    """Install exactly what is asked for, without resolving anything."""
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--no-deps", *arguments]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if done.returncode != 0:
        sys.exit(
            "Installing failed; the message above says why. If it speaks of the network, try\n"
            "again; if .venv is damaged or of an old Python, delete that folder and try again."
        )


def check() -> int:
    """Run every static check, all of them even if one fails."""
    python = str(PYTHON)
    steps = {
        "format": [python, "-m", "ruff", "format", "--check", "."],
        "lint": [python, "-m", "ruff", "check", "."],
        "types": [python, "-m", "mypy"],
        "imports": [str(SCRIPTS / "lint-imports")],
        "tidy": [python, "-m", "pytest", "-q", "tests/test_tidy.py"],
    }
    failed = []
    for name, command in steps.items():
        print(f"== {name}", flush=True)
        if start(command) != 0:
            failed.append(name)
    print(f"check: failed: {', '.join(failed)}" if failed else "check: all good")
    return 1 if failed else 0


def start(command: Sequence[str]) -> int:
    """Run ``command`` at the root of the checkout, wait for it and return its exit code."""
    try:
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    except KeyboardInterrupt:
        return 130


def replace_by(command: Sequence[str]) -> int:
    """Become ``command``, so that signals reach it and its exit code is ours."""
    os.execv(command[0], list(command))  # noqa: S606 - a shell would only stand in between


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
