"""Checking the signatures of extrinsics in worker processes, off the event loop.

Invariant: an answer is for the very bytes that were asked about; a worker that dies fails the
chunk it had, loudly, and is never taken for one that found a bad signature.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from node.signature_worker import LENGTH_BYTES, is_signed
from primitives.block import signing_prefix
from primitives.errors import LoopinError
from primitives.types import Digest, SpecVersion

CHUNK_EXTRINSICS = 256
"""Extrinsics a worker is given at a time."""
FEW_EXTRINSICS = 4
"""So few are checked on the spot: cheaper than the way to a worker and back."""


class WorkerGone(LoopinError):
    """A worker process ended; the node cannot check signatures and has to be restarted."""


class _Worker:
    """One worker process; used by one task at a time."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process

    async def check(self, extrinsics: Sequence[bytes]) -> bytes:
        rows = [part for x in extrinsics for part in (len(x).to_bytes(LENGTH_BYTES, "big"), x)]
        await self.send(b"".join(rows))
        answer = await self._receive(LENGTH_BYTES + len(extrinsics))
        return answer[LENGTH_BYTES:]

    async def send(self, body: bytes) -> None:
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send_all(len(body).to_bytes(LENGTH_BYTES, "big") + body)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise WorkerGone("a signature worker ended") from error

    async def _receive(self, length: int) -> bytes:
        assert self._process.stdout is not None
        received = bytearray()
        while len(received) < length:
            part = await self._process.stdout.receive_some(length - len(received))
            if not part:
                raise WorkerGone("a signature worker ended")
            received += part
        return bytes(received)


class SignatureChecker:
    """The worker processes of one node."""

    def __init__(self, prefix: bytes, workers: Sequence[_Worker]) -> None:
        """Take over running workers; ``open_signature_checker`` starts them."""
        self._prefix = prefix
        self._send, self._idle = trio.open_memory_channel[_Worker](max(1, len(workers)))
        for worker in workers:
            self._send.send_nowait(worker)

    async def check(self, extrinsics: Sequence[bytes]) -> list[bool]:
        """Return for each signed, decoded extrinsic whether its signature is valid.

        Raises: WorkerGone.
        """
        if len(extrinsics) <= FEW_EXTRINSICS:
            return [is_signed(self._prefix, encoded) for encoded in extrinsics]
        answers: list[bytes] = [b""] * -(-len(extrinsics) // CHUNK_EXTRINSICS)

        async def check_chunk(number: int) -> None:
            start = number * CHUNK_EXTRINSICS
            chunk = extrinsics[start : start + CHUNK_EXTRINSICS]
            worker = await self._idle.receive()
            # A worker left in the middle of an answer would give it to the next who asks.
            with trio.CancelScope(shield=True):
                answers[number] = await worker.check(chunk)
            self._send.send_nowait(worker)

        async with trio.open_nursery() as nursery:
            for number in range(len(answers)):
                nursery.start_soon(check_chunk, number)
        return [answer == 1 for answer in b"".join(answers)]


@asynccontextmanager
async def open_signature_checker(
    genesis: Digest, spec_version: SpecVersion, workers: int | None = None
) -> AsyncIterator[SignatureChecker]:
    """Start the workers, by default one a processor but one, and end them with the block."""
    count = workers or max(1, (os.cpu_count() or 2) - 1)
    prefix = signing_prefix(genesis, spec_version)
    command = [sys.executable, "-m", "node.signature_worker"]
    processes: list[trio.Process] = []
    try:
        for _ in range(count):
            process = await trio.lowlevel.open_process(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            processes.append(process)
        started = [_Worker(process) for process in processes]
        for worker in started:
            await worker.send(prefix)
        yield SignatureChecker(prefix, started)
    finally:
        for process in processes:
            process.kill()
        with trio.CancelScope(shield=True):
            for process in processes:
                await process.wait()
