"""The processes of a devnet: started, killed, paused, started again, and ended together.

Invariant: no process outlives the devnet, however the devnet ends short of ``kill -9``; each node's
output goes to its own log file.
"""

import os
import signal
import subprocess
import sys
from enum import StrEnum

import trio

from node.devnet.plan import DevnetPlan, NodePlan

STOP_SECONDS = 10.0


class Condition(StrEnum):
    """What a node's process is doing."""

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
        if self._process is None or self._process.poll() is not None:
            return Condition.KILLED if self._was_killed else Condition.FAILED
        return Condition.PAUSED if self._is_paused else Condition.RUNNING

    @property
    def process_id(self) -> int:
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start the node; it takes up its chain where it was."""
        arguments = self.plan.arguments(self._devnet.spec_file)
        command = [sys.executable, "-m", "node.cli.main", *arguments]
        with self.plan.log.open("ab") as log:
            self._process = await trio.lowlevel.open_process(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._is_paused = self._was_killed = False

    async def kill(self) -> None:
        """End the node in the middle of whatever it does."""
        self._was_killed = True
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            await self._process.wait()

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

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)


async def stop_all(nodes: list[NodeProcess]) -> None:
    """Stop every node, at the same time, even while being cancelled."""
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(node.stop)
