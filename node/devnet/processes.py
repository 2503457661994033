"""The processes of a devnet: started, killed, paused, started again, and ended together.

Invariants: no process outlives the devnet, however the devnet ends; each node's output goes to its
own log file.

Should the devnet be killed, its nodes find their standard input closed and stop. A paused one
could not notice; but each node is a process group of its own in the devnet's session, and the
kernel hangs up and wakes a stopped group that lost its last tie to the session (POSIX, ``_exit``,
on orphaned process groups).
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from enum import StrEnum

import trio

from node.devnet.plan import DevnetPlan, NodePlan

STOP_SECONDS = 10.0
LAST_WORDS_BYTES = 4096


class Condition(StrEnum):
    """What a node's process is doing."""

    NEW = "new"
    RUNNING = "running"
    PAUSED = "paused"
    KILLED = "killed"
    FAILED = "failed"
    """It ended by itself; its log says why."""


class NodeProcess:
    """One node of the devnet."""

    def __init__(self, plan: NodePlan, devnet: DevnetPlan) -> None:
        self.plan = plan
        self._devnet = devnet
        self._process: trio.Process | None = None
        self._is_paused = False
        self._was_killed = False

    @property
    def condition(self) -> Condition:
        """What the process is doing now."""
        if self._process is None:
            return Condition.NEW
        if self._process.poll() is not None:
            return Condition.KILLED if self._was_killed else Condition.FAILED
        return Condition.PAUSED if self._is_paused else Condition.RUNNING

    @property
    def process_id(self) -> int:
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start the node; it takes up its chain where it was."""
        arguments = self.plan.arguments(self._devnet.spec_file)
        command = [sys.executable, "-m", "node.cli.main", *arguments, "--stop-with-stdin"]
        with self.plan.log.open("ab") as log:
            self._process = await trio.lowlevel.open_process(  # type: ignore[call-overload] # the stubs do not know process_group
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, process_group=0
            )
        self._is_paused = self._was_killed = False

    async def kill(self) -> None:
        """End the node in the middle of whatever it does."""
        self._was_killed = True
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
            await self._process.wait()
        if self._process.stdin is not None:
            await self._process.stdin.aclose()

    def pause(self) -> None:
        """Freeze the node: it keeps its connections and says nothing."""
        self._send(signal.SIGSTOP)
        self._is_paused = True

    def go_on(self) -> None:
        """Let a paused node go on."""
        self._send(signal.SIGCONT)
        self._is_paused = False

    async def stop(self) -> None:
        """Ask the node to stop, and make it if it does not."""
        if self._process is None or self._process.poll() is not None:
            return
        if self._is_paused:
            self.go_on()
        self._send(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS):
            await self._process.wait()
        await self.kill()

    def last_words(self) -> str:
        """Return the last line of the node's log that says something."""
        try:
            with self.plan.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        # A traceback of a group of exceptions ends in a frame of lines.
        said = (line.strip(" |+-") for line in reversed(lines))
        return next((line for line in said if line), "")

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)


async def stop_all(nodes: Sequence[NodeProcess]) -> None:
    """Stop every node, at the same time, even while being cancelled."""
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(node.stop)


async def kill_all(nodes: Sequence[NodeProcess]) -> None:
    """Kill every node, even while being cancelled."""
    with trio.CancelScope(shield=True):
        for node in nodes:
            await node.kill()
