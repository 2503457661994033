"""The worker as a process: started, listened to, started again when it dies.

Invariant: a worker that was started again is given the orders that its predecessor had; what was
computed is in the checkpoint. No worker outlives this process: its standard input closes then.
"""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

import trio

from node.client.errors import BadAnswer
from node.provider.lines import read_lines
from node.rpc.json_types import Json

STOP_SECONDS = 1.0
NONSENSE = -1
"""Exit code of a worker that is ended for what it says."""
PAUSE_SECONDS = 1.0
PAUSE_SECONDS_MAX = 60.0
WORKER_MODULE = "miner.worker"

Told = Mapping[str, Json]
OnTold = Callable[[Told], None]

_log = logging.getLogger(__name__)


class WorkerProcess:
    """One worker."""

    def __init__(
        self,
        opening: Mapping[str, Json],
        on_told: OnTold,
        *,
        log: Path,
        arguments: Sequence[str] = ("-m", WORKER_MODULE),
    ) -> None:
        """Describe a worker: ``opening`` is its first command, its stderr goes to ``log``."""
        self._opening = opening
        self._on_told = on_told
        self._log_path = log
        self._command = [sys.executable, *arguments]
        self._orders: list[Mapping[str, Json]] = []
        """What a new worker is told after its opening."""
        self._wake = trio.Event()
        self._sent = 0
        self.restarts = 0

    def order(self, command: Mapping[str, Json]) -> None:
        """Give an order; a proof or the end of one takes the place of earlier orders."""
        if command["do"] in ("prove", "abandon"):
            self._orders = [command]
            self._sent = 0
        else:
            self._orders.append(command)
        self._wake.set()

    async def run(self) -> None:
        """Keep a worker running for ever."""
        pause = PAUSE_SECONDS
        while True:
            started = trio.current_time()
            code = await self._run_once()
            if trio.current_time() - started > PAUSE_SECONDS_MAX:
                pause = PAUSE_SECONDS
            self.restarts += 1
            _log.warning("event=worker_ended code=%d pause=%.1f", code, pause)
            await trio.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)

    async def _run_once(self) -> int:
        """Run one worker to its end and return its exit code."""
        with self._log_path.open("wb") as log:
            process = await trio.lowlevel.open_process(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        assert process.stdin is not None, "asked for a pipe"
        assert process.stdout is not None, "asked for a pipe"
        self._sent = 0
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, process.stdin)
                await self._listen(process.stdout)
                nursery.cancel_scope.cancel()
            with trio.move_on_after(STOP_SECONDS):
                await process.wait()
            return NONSENSE if process.returncode is None else process.returncode
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.stdin.aclose()
                await process.stdout.aclose()
                await process.wait()

    async def _listen(self, stdout: trio.abc.ReceiveStream) -> None:
        """Pass on what the worker tells until it ends, or says what no worker says."""
        async with aclosing(read_lines(stdout)) as lines:
            try:
                async for line in lines:
                    self._on_told(_parse(line))
            except BadAnswer as error:
                _log.warning("event=worker_spoke_nonsense reason=%r", str(error))

    async def _write(self, stdin: trio.abc.SendStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stdin.send_all(_encode(self._opening))
            while True:
                while self._sent < len(self._orders):
                    command = self._orders[self._sent]
                    self._sent += 1
                    await stdin.send_all(_encode(command))
                self._wake = trio.Event()
                await self._wake.wait()


def _encode(command: Mapping[str, Json]) -> bytes:
    return json.dumps(command).encode() + b"\n"


def _parse(line: bytes) -> Told:
    try:
        told = json.loads(line)
    except ValueError:
        raise BadAnswer("the worker does not speak JSON") from None
    if not isinstance(told, dict):
        raise BadAnswer("the worker said no object")
    return told
