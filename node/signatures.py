"""Checking the signatures of extrinsics in worker processes, off the event loop.

Invariants: an answer is for the very bytes that were asked about; a worker that dies is replaced
and the chunk it had is checked again, so that a death is never taken for a bad signature; what a
block needs goes before what clients and peers submit.
"""

import logging
import os
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from node.signature_worker import LENGTH_BYTES, is_signed
from primitives.block import signing_prefix
from primitives.errors import LoopinError
from primitives.types import Digest, SpecVersion

CHUNK_EXTRINSICS = 256
"""Extrinsics a worker is given at a time."""
FEW_EXTRINSICS = 4
"""So few are checked on the spot: cheaper than the way to a worker and back."""
ANSWER_WAIT = 60.0
"""Seconds after which a worker that does not answer counts as dead; a chunk takes a fraction."""
DEATHS_MAX = 3
"""Workers that may die of one chunk; more, and the machine cannot run them at all."""

_ROOT = Path(__file__).parents[1]
_log = logging.getLogger(__name__)


class WorkerGone(LoopinError):
    """A worker process ended or hangs."""


class NoWorkers(LoopinError):
    """Worker processes die as soon as they are started: signatures cannot be checked."""


class Worker:
    """One worker process; used by one task at a time."""

    def __init__(self, process: trio.Process) -> None:
        """Take over a process that ``start`` has started."""
        self.process = process

    @classmethod
    async def start(cls, prefix: bytes) -> "Worker":
        """Start a process that checks signatures over ``prefix``. Raises: WorkerGone."""
        # -P: whatever folder the operator is in is not searched for code.
        command = [sys.executable, "-P", "-m", "node.signature_worker"]
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        worker = cls(process)
        try:
            await worker._send(prefix)
        except BaseException:
            await worker.end()
            raise
        return worker

    async def check(self, extrinsics: Sequence[bytes]) -> bytes:
        """Return one byte for each extrinsic, 1 for a valid signature. Raises: WorkerGone."""
        rows = [part for x in extrinsics for part in (len(x).to_bytes(LENGTH_BYTES, "big"), x)]
        with trio.move_on_after(ANSWER_WAIT):
            await self._send(b"".join(rows))
            answer = await self._receive(LENGTH_BYTES + len(extrinsics))
            return answer[LENGTH_BYTES:]
        raise WorkerGone("a signature worker does not answer")

    async def end(self) -> None:
        """Kill the process and wait until it is gone."""
        self.process.kill()
        with trio.CancelScope(shield=True):
            await self.process.wait()
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            await self.process.stdin.aclose()
            await self.process.stdout.aclose()

    async def _send(self, body: bytes) -> None:
        assert self.process.stdin is not None
        try:
            await self.process.stdin.send_all(len(body).to_bytes(LENGTH_BYTES, "big") + body)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise WorkerGone("a signature worker ended") from error

    async def _receive(self, length: int) -> bytes:
        assert self.process.stdout is not None
        received = bytearray()
        while len(received) < length:
            part = await self.process.stdout.receive_some(length - len(received))
            if not part:
                raise WorkerGone("a signature worker ended")
            received += part
        return bytes(received)


@dataclass(slots=True, eq=False)
class _Turn:
    """Somebody who waits for a worker."""

    has_come: trio.Event = field(default_factory=trio.Event)
    worker: Worker | None = None


class _Queue:
    """Idle workers, and those who wait for one: the urgent first, then in turn."""

    def __init__(self) -> None:
        self._idle: deque[Worker] = deque()
        self._urgent: deque[_Turn] = deque()
        self._others: deque[_Turn] = deque()

    async def take(self, *, is_urgent: bool) -> Worker:
        """Return a worker for the caller alone; it has to be given back."""
        if self._idle:
            return self._idle.popleft()
        waiting, turn = self._urgent if is_urgent else self._others, _Turn()
        waiting.append(turn)
        try:
            await turn.has_come.wait()
        except trio.Cancelled:
            if turn.worker is None:
                waiting.remove(turn)
            else:
                self.give_back(turn.worker)
            raise
        assert turn.worker is not None
        return turn.worker

    def give_back(self, worker: Worker) -> None:
        """Let the next one have the worker."""
        waiting = self._urgent or self._others
        if not waiting:
            self._idle.append(worker)
            return
        turn = waiting.popleft()
        turn.worker = worker
        turn.has_come.set()


class SignatureChecker:
    """The worker processes of one node."""

    def __init__(self, prefix: bytes) -> None:
        """Have no workers yet; ``open_signature_checker`` adds them."""
        self.workers: list[Worker] = []
        self._prefix = prefix
        self._queue = _Queue()

    async def add_worker(self) -> None:
        """Start one more worker. Raises: WorkerGone."""
        worker = await Worker.start(self._prefix)
        self.workers.append(worker)
        self._queue.give_back(worker)

    async def check(self, extrinsics: Sequence[bytes], *, is_urgent: bool = False) -> list[bool]:
        """Return for each signed, decoded extrinsic whether its signature is valid.

        Raises: NoWorkers.
        """
        if len(extrinsics) <= FEW_EXTRINSICS:
            return [is_signed(self._prefix, encoded) for encoded in extrinsics]
        answers: list[bytes] = [b""] * -(-len(extrinsics) // CHUNK_EXTRINSICS)
        failures: list[NoWorkers] = []

        async def check_chunk(number: int) -> None:
            start = number * CHUNK_EXTRINSICS
            chunk = extrinsics[start : start + CHUNK_EXTRINSICS]
            try:
                answers[number] = await self._check_chunk(chunk, is_urgent=is_urgent)
            except NoWorkers as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            for number in range(len(answers)):
                nursery.start_soon(check_chunk, number)
        if failures:
            raise failures[0]
        return [answer == 1 for answer in b"".join(answers)]

    async def end(self) -> None:
        """End every worker."""
        for worker in self.workers:
            await worker.end()

    async def _check_chunk(self, chunk: Sequence[bytes], *, is_urgent: bool) -> bytes:
        worker = await self._queue.take(is_urgent=is_urgent)
        # A worker left in the middle of an answer would give it to the next who asks.
        with trio.CancelScope(shield=True):
            try:
                for _ in range(DEATHS_MAX):
                    try:
                        return await worker.check(chunk)
                    except WorkerGone as error:
                        _log.warning("event=signature_worker_lost reason=%r", str(error))
                        worker = await self._replaced(worker)
            finally:
                self._queue.give_back(worker)
        raise NoWorkers(f"{DEATHS_MAX} signature workers died one after the other")

    async def _replaced(self, worker: Worker) -> Worker:
        """Return a new worker in the place of one that is of no use any more."""
        await worker.end()
        try:
            new = await Worker.start(self._prefix)
        except (WorkerGone, OSError):
            return worker  # whose next use fails at once, and comes back here
        self.workers[self.workers.index(worker)] = new
        return new


@asynccontextmanager
async def open_signature_checker(
    genesis: Digest, spec_version: SpecVersion, workers: int | None = None
) -> AsyncIterator[SignatureChecker]:
    """Start the workers, by default one a processor but one, and end them with the block."""
    count = workers or max(1, (os.cpu_count() or 2) - 1)
    prefix = signing_prefix(genesis, spec_version)
    checker = SignatureChecker(prefix)
    try:
        for _ in range(count):
            await checker.add_worker()
        yield checker
    finally:
        with trio.CancelScope(shield=True):
            await checker.end()
