"""The provider's end of its leases: lets clients in, takes their jobs, streams what comes out.

Invariants: only who holds a live lease's key gets anything done, and only over the connection on
which this was shown; a result is signed after what is needed to defend it is on disk; how many
jobs run and wait, how long and with how much memory, disk and output is bounded.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeAlias

import trio
from trio_typing import TaskStatus

from node.lease.command_run import run_command
from node.lease.job_store import JobStore, Quota
from node.lease.lease_book import LeaseBook, LiveLease
from node.lease.messages import (
    NONCE_BYTES,
    PART_BYTES_MAX,
    PROGRESS_SECONDS,
    Answer,
    Challenge,
    Done,
    Granted,
    Knock,
    OutputRows,
    Progress,
    Prove,
    Received,
    Request,
    RunCommand,
    RunNetwork,
    Upload,
    access_message,
    decode_request,
    encode_answer,
)
from node.lease.processes import (
    Command,
    JobFailed,
    JobResult,
    running,
    told_by,
    worker_command,
)
from p2p.faults import Fault, RequestRefused
from p2p.identity import PeerId
from p2p.network import NetworkApi
from primitives.crypto import KeyPair, is_valid_signature
from primitives.errors import DecodeError, LoopinError
from runtime.jobs.commitment import Commitment, sign_commitment

log = logging.getLogger(__name__)

TIDY_SECONDS = 60.0
REASON_CHARS_MAX = 150

Sink: TypeAlias = trio.MemorySendChannel[Answer | LoopinError]
Work: TypeAlias = Callable[["JobStatus", Sink], Awaitable[None]]


class NoAccess(LoopinError):
    """The peer has not shown that it holds the lease's key, or the lease is over."""


class TooBusy(LoopinError):
    """As many jobs as may wait are waiting: try again later."""


class NotOffered(LoopinError):
    """The provider does not offer this command, or not with so many arguments."""


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    folder: Path
    """For uploads and jobs."""
    retention_blocks: int
    """How long after it was done a job may have to be defended."""
    commands: Mapping[str, Command] = field(default_factory=dict)
    """What clients may run beside integer networks; nothing unless the provider says so."""
    quota: Quota = field(default_factory=Quota)
    job_seconds_max: float = 600.0
    memory_bytes_max: int = 8 << 30
    running_max: int = 1
    waiting_max: int = 16
    worker_module: str = "node.lease.worker"


@dataclass(slots=True)
class JobStatus:
    """How far a job is."""

    is_waiting: bool = True
    rows: int = 0


class LeaseService:
    """The ``Handler`` of the provider's network; ``attach`` that before it runs."""

    def __init__(self, config: ServiceConfig, book: LeaseBook, key: KeyPair) -> None:
        """``key`` is the service key that the provider has announced."""
        self._config, self._book, self._key = config, book, key
        self.store = JobStore(config.folder, config.quota)
        self._store_turn = trio.Lock()
        self._network: NetworkApi | None = None
        self._nonces: dict[PeerId, tuple[int, bytes]] = {}
        self._granted: dict[PeerId, set[int]] = {}
        self._slots = trio.CapacityLimiter(config.running_max)
        self._jobs = 0
        self._nursery: trio.Nursery | None = None

    def attach(self, network: NetworkApi) -> None:
        """Take the network whose handler this is."""
        self._network = network

    async def run(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; the network is run by whoever made it."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                await self._tidy_safely()
                await trio.sleep(TIDY_SECONDS)

    # What the network asks of its handler

    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None:
        """Ignore frames: leases speak by requests."""

    def on_peer_up(self, peer: PeerId) -> None:
        """Wait for the peer's first request."""

    def on_peer_down(self, peer: PeerId, reason: str) -> None:
        """Forget what the peer has shown."""
        self._nonces.pop(peer, None)
        self._granted.pop(peer, None)

    def on_record(self, peer: PeerId, record: bytes) -> None:
        """Ignore statements of peers about themselves."""

    def is_allowed(self, peer: PeerId) -> bool:
        """Have no port for validators."""
        return False

    async def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]:
        """Yield the answers to a request. Raises: RequestRefused."""
        try:
            request = decode_request(payload)
        except DecodeError as error:
            assert self._network is not None, "attached before it runs"
            self._network.report(peer, Fault.BAD_BYTES, f"lease: {error.reason}")
            raise RequestRefused("bad request") from error
        try:
            if isinstance(request, RunNetwork | RunCommand):
                work = await self._work(peer, request)
                send, receive = trio.open_memory_channel[Answer | LoopinError](4)
                self._start(work, send)
                with receive:
                    async for answer in receive:
                        if isinstance(answer, LoopinError):
                            raise answer
                        yield encode_answer(answer)
            else:
                yield encode_answer(await self._answer(peer, request))
        except RequestRefused:
            raise
        except LoopinError as error:
            refusal = f"{error.reason}: {error}"[:REASON_CHARS_MAX]
            log.info("event=lease_request_refused peer=%s reason=%r", peer, refusal)
            raise RequestRefused(refusal) from error

    # Requests with one answer

    async def _answer(self, peer: PeerId, request: Request) -> Answer:
        match request:
            case Knock(lease_id):
                await self._live(lease_id)
                self._require_connected(peer)
                nonce = os.urandom(NONCE_BYTES)
                self._nonces[peer] = lease_id, nonce
                return Challenge(self._book.provider, nonce)
            case Prove():
                return await self._admit(peer, request)
            case Upload():
                self._require_access(peer, request.lease_id)
                async with self._store_turn:
                    there = await trio.to_thread.run_sync(self.store.accept, request)
                return Received(there)
            case _:
                raise AssertionError("runs have many answers")

    async def _admit(self, peer: PeerId, request: Prove) -> Granted:
        lease_id, nonce = self._nonces.pop(peer, (None, b""))
        if lease_id != request.lease_id:
            raise NoAccess("knock first")
        lease = await self._live(lease_id)
        network = self._require_connected(peer)
        message = access_message(
            self._book.genesis, lease_id, nonce, client=peer, server=network.peer
        )
        if not is_valid_signature(lease.key, message, request.signature):
            raise NoAccess("this is not the lease's key")
        self._granted.setdefault(peer, set()).add(lease_id)
        log.info("event=lease_opened lease=%d peer=%s", lease_id, peer)
        return Granted(tuple(sorted(self._config.commands)))

    def _require_connected(self, peer: PeerId) -> NetworkApi:
        """Refuse to remember anything of a peer that has gone while its lease was looked up."""
        assert self._network is not None, "attached before it runs"
        if peer not in self._network.connected():
            raise NoAccess("the connection is gone")
        return self._network

    async def _live(self, lease_id: int) -> LiveLease:
        lease = await self._book.find(lease_id)
        if lease is None:
            raise NoAccess(f"this provider serves no lease {lease_id}")
        return lease

    def _require_access(self, peer: PeerId, lease_id: int) -> None:
        if lease_id not in self._granted.get(peer, ()):
            raise NoAccess(f"no access to lease {lease_id}")

    # Jobs

    async def _work(self, peer: PeerId, request: RunNetwork | RunCommand) -> Work:
        """Return what there is to do. Raises: NoAccess, TooBusy, NotOffered, UnknownBlob."""
        self._require_access(peer, request.lease_id)
        await self._live(request.lease_id)
        if self._jobs >= self._config.running_max + self._config.waiting_max:
            raise TooBusy(f"{self._jobs} jobs run or wait")
        if isinstance(request, RunNetwork):
            network = self.store.blob(request.lease_id, request.network)
            inputs = self.store.blob(request.lease_id, request.inputs)
            return partial(self._run_network, request, network, inputs)
        command = self._config.commands.get(request.name)
        if command is None or len(request.arguments) > command.arguments_max:
            raise NotOffered(request.name)
        stdin = None
        if request.stdin is not None:
            stdin = self.store.blob(request.lease_id, request.stdin)
        return partial(self._run_command, command.limited(request.arguments), command, stdin)

    def _start(self, work: Work, sink: Sink) -> None:
        assert self._nursery is not None, "run() comes first"
        self._jobs += 1
        self._nursery.start_soon(self._see_through, work, sink)

    async def _see_through(self, work: Work, sink: Sink) -> None:
        """Do the work and tell its sink how it ends; nobody may be there to hear it any more."""
        try:
            with sink:
                try:
                    await self._in_turn(work, sink)
                except* LoopinError as failures:
                    await sink.send(_first(failures))
        except* trio.BrokenResourceError:
            log.info("event=lease_client_gone")
        finally:
            self._jobs -= 1

    async def _in_turn(self, work: Work, sink: Sink) -> None:
        status = JobStatus()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_keep_telling, status, sink)
            async with self._slots:
                status.is_waiting = False
                with trio.move_on_after(self._config.job_seconds_max) as scope:
                    await work(status, sink)
                if scope.cancelled_caught:
                    raise JobFailed(f"took longer than {self._config.job_seconds_max:g} s")
            nursery.cancel_scope.cancel()

    async def _run_network(
        self, request: RunNetwork, network: Path, inputs: Path, status: JobStatus, sink: Sink
    ) -> None:
        config = self._config
        async with _scratch() as folder:
            outputs = folder / "outputs"
            command = worker_command(
                config.worker_module, network, inputs, outputs, config.memory_bytes_max
            )
            async with (
                running(command, folder=folder) as process,
                aclosing(told_by(process)) as tellings,
            ):
                sent = 0
                async for told in tellings:
                    if isinstance(told, JobResult):
                        await sink.send(await self._conclude(request, told))
                        return
                    status.rows = told.rows
                    while sent < told.size:
                        length = min(PART_BYTES_MAX, told.size - sent)
                        part = await trio.to_thread.run_sync(_read, outputs, sent, length)
                        await sink.send(OutputRows(part))
                        sent += length

    async def _conclude(self, request: RunNetwork, result: JobResult) -> Done:
        """Sign a result, after all that could be asked about it is safe."""
        commitment = Commitment(
            lease_id=request.lease_id,
            provider=self._book.provider,
            network=result.network,
            inputs=result.inputs,
            outputs=result.outputs,
            rows=result.rows,
            made_at=await self._book.height(),
        )
        async with self._store_turn:
            await trio.to_thread.run_sync(
                self.store.keep_job, commitment, request.network, request.inputs
            )
        log.info("event=job_done lease=%d rows=%d", request.lease_id, result.rows)
        return Done(commitment, sign_commitment(self._book.genesis, commitment, self._key))

    async def _run_command(
        self, line: list[str], command: Command, stdin: Path | None, _: JobStatus, sink: Sink
    ) -> None:
        async with _scratch() as folder:
            await run_command(line, command, stdin, folder, sink.send)

    async def _tidy_safely(self) -> None:
        """Tidy up, unless the node is away: then later."""
        try:
            await self._tidy()
        except LoopinError as trouble:
            log.warning("event=jobs_not_tidied reason=%r", str(trouble))

    async def _tidy(self) -> None:
        """Drop what nobody can ask about any more."""
        height = await self._book.height()
        live = {each for each in self.store.leases() if await self._book.find(each) is not None}
        forget = partial(self.store.forget, height, blocks=self._config.retention_blocks, live=live)
        async with self._store_turn:
            await trio.to_thread.run_sync(forget)


@asynccontextmanager
async def _scratch() -> AsyncIterator[Path]:
    """Give an empty folder that is gone afterwards."""
    folder = Path(await trio.to_thread.run_sync(tempfile.mkdtemp, "", "loopin-job-"))
    try:
        yield folder
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(partial(shutil.rmtree, folder, ignore_errors=True))


def _read(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)


def _first(group: BaseExceptionGroup[LoopinError]) -> LoopinError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, LoopinError)
    return error


async def _keep_telling(status: JobStatus, sink: Sink) -> None:
    while True:
        await sink.send(Progress(status.is_waiting, status.rows))
        await trio.sleep(PROGRESS_SECONDS)
