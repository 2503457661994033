"""The processes that do the work: jobs in a worker, commands under limits; killed when asked.

Invariants: no process outlives the block that started it, nor do its children: each has a process
group of its own, which is killed as a whole; what a command may write and use is bounded.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import trio

from primitives.errors import LoopinError
from primitives.types import Digest

LINE_BYTES_MAX = 4096
READ_BYTES = 1 << 16
_ROOT = Path(__file__).parents[2]


class JobFailed(LoopinError):
    """The job cannot be done as it is; the message says why."""


@dataclass(frozen=True, slots=True)
class Written:
    """How many rows a worker has written, and how many bytes these are."""

    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a worker has computed, as its commitment will name it."""

    network: Digest
    inputs: Digest
    outputs: Digest
    rows: int


@dataclass(frozen=True, slots=True)
class Command:
    """A command that a provider offers."""

    argv: tuple[str, ...]
    arguments_max: int = 0
    """How many arguments clients may add."""
    seconds_max: int = 60
    memory_bytes_max: int = 1 << 30
    output_bytes_max: int = 1 << 24
    file_bytes_max: int = 1 << 26
    processes_max: int = 1024

    def limited(self, arguments: Sequence[str]) -> list[str]:
        """Return the command line that sets the limits and becomes the command."""
        limits = {
            "seconds": self.seconds_max,
            "memory_bytes": self.memory_bytes_max,
            "file_bytes": self.file_bytes_max,
            "processes": self.processes_max,
        }
        ours = [sys.executable, "-P", "-m", "node.lease.limited", json.dumps(limits)]
        return [*ours, *self.argv, *arguments]


def environment() -> Mapping[str, str]:
    """Return what a process of ours needs to be found, and nothing of the provider's secrets."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(_ROOT),
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS", ""),
    }


@asynccontextmanager
async def running(
    command: Sequence[str],
    *,
    folder: Path,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int = subprocess.DEVNULL,
) -> AsyncIterator[trio.Process]:
    """Run a process in a group of its own for as long as the block lasts."""
    process = await trio.lowlevel.open_process(
        list(command),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=folder,
        env=environment(),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end_group(process)
        with trio.CancelScope(shield=True):
            await process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    await stream.aclose()


def end_group(process: trio.Process) -> None:
    """Kill a process that ``running`` has started, and its children, which may outlive it."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def worker_command(
    module: str, network: Path, inputs: Path, outputs: Path, bytes_max: int
) -> list[str]:
    """Return the command line of a worker."""
    files = [str(path.resolve()) for path in (network, inputs, outputs)]
    return [sys.executable, "-P", "-m", module, *files, str(bytes_max)]


async def told_by(process: trio.Process) -> AsyncGenerator[Written | JobResult, None]:
    """Yield how far a worker is, and last what it has computed. Raises: JobFailed."""
    assert process.stdout is not None, "asked for a pipe"
    rest = b""
    while data := await process.stdout.receive_some(READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise JobFailed("the worker's line has no end")
        for line in lines:
            told = json.loads(line)
            if "failed" in told:
                raise JobFailed(told["failed"])
            if "done" in told:
                yield _result(told["done"])
                return
            yield Written(int(told["rows"]), int(told["bytes"]))
    raise JobFailed("the worker ended before the job was done")


def _result(item: Mapping[str, str | int]) -> JobResult:
    network, inputs, outputs = (
        Digest(bytes.fromhex(str(item[key]))) for key in ("network", "inputs", "outputs")
    )
    return JobResult(network, inputs, outputs, int(item["count"]))
