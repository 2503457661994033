"""The provider beside a node: a child process, started again when it ends, gone when the node is.

Invariants: a provider's failure is a line in the node's log and never the node's failure. The
child stops when its standard input closes, so it survives no node, however that node ended.
"""

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
import trio

from node.client.errors import BadAnswer
from node.provider.lines import read_lines
from node.rpc.json_types import Json
from node.threads import environment_of_prover

PAUSE_SECONDS = 1.0
PAUSE_SECONDS_MAX = 60.0
STOP_SECONDS = 5.0
NONSENSE = -1
"""Stands for the exit code of a child that was not started, or ended for a line without an end."""
QUIET_EVENTS = frozenset({"status"})
WARNINGS = frozenset(
    {"behind", "too_late", "proof_failed", "other_root", "refused", "faulted", "unreachable"}
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProviderConfig:
    """How a node runs its provider."""

    folder: Path
    key: tuple[str, ...]
    """The options of ``loopin provider run`` that name the key; never the key itself."""
    class_ids: tuple[int, ...] = ()
    """Empty for all in which the account has units."""
    units: int | None = None
    device: str | None = None

    def arguments(self, url: str) -> list[str]:
        """Return the arguments of the program that proves over the node at ``url``."""
        words = ["provider", "run", *self.key, "--url", url, "--folder", str(self.folder)]
        for class_id in self.class_ids:
            words += ["--class", str(class_id)]
        if self.units is not None:
            words += ["--units", str(self.units)]
        if self.device is not None:
            words += ["--device", self.device]
        return [*words, "--json", "--stop-with-stdin"]


class Supervisor:
    """Keeps a provider running beside the node that answers at ``url``."""

    def __init__(self, config: ProviderConfig) -> None:
        self._config = config
        self.is_running = False
        self.restarts = 0
        self.facts: Counter[tuple[int, str]] = Counter()
        """By class and fact, since the node started."""
        self.status: Mapping[str, Json] = {}
        """What the child said last of its state."""

    async def run(self, url: str, program: tuple[str, ...] = ("-m", "node.cli.main")) -> None:
        """Supervise for ever; ``program`` is what the interpreter runs."""
        command = [sys.executable, *program, *self._config.arguments(url)]
        pause = PAUSE_SECONDS
        while True:
            started = trio.current_time()
            try:
                code = await self._run_once(command)
            except OSError as error:
                # No room for its folder or its log is its own failure too.
                _log.warning("event=provider_not_started reason=%r", error.strerror)
                code = NONSENSE
            if trio.current_time() - started > PAUSE_SECONDS_MAX:
                pause = PAUSE_SECONDS
            self.restarts += 1
            _log.warning(
                "event=provider_ended code=%d pause=%.1f log=%s", code, pause, self._log_path
            )
            await trio.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)

    @property
    def _log_path(self) -> Path:
        return self._config.folder / "provider.log"

    async def _run_once(self, command: list[str]) -> int:
        self._config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._log_path.open("wb") as log:
            process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment_of_prover(),
            )
        assert process.stdin is not None, "asked for a pipe"
        assert process.stdout is not None, "asked for a pipe"
        self.is_running = True
        try:
            async with aclosing(read_lines(process.stdout)) as lines:
                with suppress(BadAnswer):
                    async for line in lines:
                        self._take(line)
            with trio.move_on_after(STOP_SECONDS):
                await process.wait()
            return NONSENSE if process.returncode is None else process.returncode
        finally:
            self.is_running, self.status = False, {}
            with trio.CancelScope(shield=True):
                await process.stdin.aclose()
                with trio.move_on_after(STOP_SECONDS):
                    await process.wait()
                if process.returncode is None:
                    process.kill()
                    await process.wait()
                await process.stdout.aclose()

    def _take(self, line: bytes) -> None:
        """Take what the child says: its state, or a fact for the log."""
        try:
            said = orjson.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            _log.debug("event=provider_said line=%r", line[:200])
            return
        event = str(said.get("event", "error"))
        if event in QUIET_EVENTS:
            self.status = said
            return
        class_id = said.get("class")
        if isinstance(class_id, int):
            self.facts[class_id, event] += 1
        level = logging.WARNING if event in WARNINGS or "error" in said else logging.INFO
        _log.log(
            level,
            "event=provider class=%s epoch=%s fact=%s cost=%s detail=%r",
            class_id,
            said.get("epoch"),
            event,
            said.get("cost"),
            said.get("detail") or said.get("message"),
        )
