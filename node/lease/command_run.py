"""Running one of the commands that a provider offers: its output as it comes, and its end."""

import subprocess
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import trio

from node.lease.messages import PART_BYTES_MAX, CommandOutput, Exited
from node.lease.processes import Command, end_group, running

Tell = Callable[[CommandOutput | Exited], Awaitable[None]]


@dataclass(slots=True)
class _Written:
    """How much a command has written to both of its outputs."""

    size: int = 0
    is_too_much: bool = False


async def run_command(
    line: Sequence[str], command: Command, stdin: Path | None, folder: Path, tell: Tell
) -> None:
    """Run ``line`` under the limits of ``command`` and tell what it writes and how it ends."""
    written = _Written()
    with ExitStack() as stack:
        source = subprocess.DEVNULL if stdin is None else stack.enter_context(stdin.open("rb"))
        async with running(line, folder=folder, stdin=source, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None, "asked for a pipe"
            assert process.stderr is not None, "asked for a pipe"
            with trio.move_on_after(command.seconds_max) as scope:
                async with trio.open_nursery() as nursery:
                    for is_error, stream in ((False, process.stdout), (True, process.stderr)):
                        nursery.start_soon(
                            _pass_on, stream, is_error, command.output_bytes_max, written, tell,
                            process,
                        )  # fmt: skip
                    await process.wait()
                    # Children that still hold the pipes go with it.
                    end_group(process)
            end_group(process)
            with trio.CancelScope(shield=True):
                code = await process.wait()
    reason = "time" if scope.cancelled_caught else "output" if written.is_too_much else ""
    await tell(Exited(code, reason))


async def _pass_on(
    stream: trio.abc.ReceiveStream,
    is_error: bool,  # noqa: FBT001 - one of two streams
    size_max: int,
    written: _Written,
    tell: Tell,
    process: trio.Process,
) -> None:
    while data := await stream.receive_some(PART_BYTES_MAX):
        left = size_max - written.size
        written.size += len(data)
        if data[:left] and left > 0:
            await tell(CommandOutput(is_error, data[:left]))
        if written.size > size_max:
            written.is_too_much = True
            end_group(process)
            return
