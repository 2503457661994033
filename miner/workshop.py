"""The work of a provider in one class: warm up, seal, prove, respond; one job at a time.

``work`` does a short piece of the present job, so that whoever drives it can listen in between.
What happens is told through ``tell`` as plain objects that JSON can hold.

Invariants: no device computes a proof before it has reproduced the published vectors; one that
differs from the verifier later is not used again; a disk that takes no checkpoint stops no proof.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from miner.backends.backend import BackendRejected, BackendUnavailable, Device
from miner.backends.selection import judge_devices, known_devices, load_trials
from miner.benchmark import Clock, measure
from miner.checkpoint import CheckpointFile, checkpoint_identity
from miner.plot import Plot
from miner.prover import DIGEST_BYTES, ForwardPassSource, LeafSource, Prover, StorageSource
from miner.resources import Resource, proof_kind, resource_to_plain
from miner.storage_errors import disk_error
from primitives.errors import LoopinError
from primitives.types import AccountId, Digest, Epoch
from runtime.pocps.forward_pass import ForwardPassClass, expand_weights
from runtime.pocps.storage_proof import seal_chunk

TRIAL_SECONDS = 0.5
TELL_SECONDS = 0.5
SAVE_SECONDS = 1.0
TRIAL_CHUNKS = 64

Told = dict[str, str | int]
Tell = Callable[[Told], None]
Job = Iterator[None]


class NothingProven(LoopinError):
    """There is no finished proof of that epoch to respond from."""


@dataclass(frozen=True, slots=True)
class Order:
    """Which proof to make."""

    epoch: Epoch
    challenge: Digest
    units: int


class Workshop:
    """What one provider needs to prove one class."""

    def __init__(
        self,
        resource: Resource,
        provider: AccountId,
        folder: Path,
        *,
        tell: Tell,
        clock: Clock,
        devices: Sequence[Device] | None = None,
    ) -> None:
        """``devices`` are those to choose from, by default all that this program knows."""
        self.resource = resource
        self.provider = provider
        self.kind = proof_kind(resource)
        self._folder = folder
        self._tell = tell
        self._clock = clock
        self._known = known_devices() if devices is None else tuple(devices)
        self._devices: list[Device] = []
        """Accepted ones, the fastest first."""
        self._plot: Plot | None = None
        self._finished: tuple[Order, Prover] | None = None
        self._jobs: deque[tuple[str, Epoch | None, Job]] = deque()

    @property
    def is_idle(self) -> bool:
        return not self._jobs

    def warm_up(self) -> None:
        """Try the devices, load what can be loaded, and tell how fast this machine is."""
        self._jobs.append(("warm_up", None, self._warm_up()))

    def seal(self, units: int) -> None:
        """Seal what so many units lack of their plot."""
        self._jobs.append(("seal", None, self._seal(units)))

    def prove(self, order: Order) -> None:
        """Prove, instead of whatever was being proven."""
        self.abandon()
        self._jobs.append(("prove", order.epoch, self.prove_job(order)))

    def respond(self, epoch: Epoch, beacon: Digest) -> None:
        """Respond from the proof of ``epoch``; sealing, which takes long, waits meanwhile."""
        last = max((at for at, job in enumerate(self._jobs) if job[0] == "prove"), default=-1)
        self._jobs.insert(last + 1, ("respond", epoch, self._respond(epoch, beacon)))

    def abandon(self) -> None:
        """Stop proving and sealing; what is done is kept."""
        for what, _, job in self._jobs:
            if what in ("prove", "seal"):
                _close(job)
        self._jobs = deque(item for item in self._jobs if item[0] not in ("prove", "seal"))

    def work(self) -> None:
        """Do a piece of the first job; a failure ends the job and is told."""
        what, epoch, job = self._jobs[0]
        try:
            next(job)
            return
        except StopIteration:
            pass
        except LoopinError as error:
            told: Told = {"event": "failed", "what": what}
            if epoch is not None:
                told["epoch"] = epoch
            self._tell({**told, "reason": error.reason, "message": str(error)})
        self._jobs.popleft()

    # Jobs; each yields when it can be interrupted

    def _warm_up(self) -> Job:
        if not isinstance(self.resource, ForwardPassClass):
            yield from self._warm_up_disk()
            return
        verdicts = judge_devices(self._known, load_trials())
        for verdict in verdicts:
            if verdict.problem is not None:
                told: Told = {"event": "device", "device": verdict.device.name}
                self._tell({**told, "problem": verdict.problem})
        yield
        speeds: list[tuple[float, Device]] = []
        for verdict in verdicts:
            if verdict.problem is not None:
                continue
            try:
                found = measure(
                    verdict.device, self.resource, seconds=TRIAL_SECONDS, clock=self._clock
                )
            except BackendUnavailable:
                continue
            speeds.append((found.rows_per_second, verdict.device))
            yield
        speeds.sort(key=lambda item: -item[0])
        self._devices = [device for _, device in speeds]
        if not speeds:
            raise BackendUnavailable("no device of this machine can prove the class")
        rate = int(speeds[0][0] / self.resource.rows_per_leaf)
        self._tell_ready(speeds[0][1].name, rate)

    def _warm_up_disk(self) -> Job:
        """Time how fast chunks are hashed and how fast they are sealed."""
        assert not isinstance(self.resource, ForwardPassClass)
        source = StorageSource(Digest(bytes(32)), lambda _: bytes(chunk))
        chunk = bytes(self.resource.chunk_bytes)
        start = self._clock()
        source.submit(0, TRIAL_CHUNKS)()
        hashed = self._clock()
        yield
        sealing = self._clock()
        seal_chunk(self.resource, self.provider, 0)
        seconds = max(self._clock() - sealing, 1e-9)
        told: Told = {"event": "sealing_speed", "chunks_per_hour": int(3600 / seconds)}
        self._tell(told)
        self._tell_ready("disk", int(TRIAL_CHUNKS / max(hashed - start, 1e-9)))

    def _tell_ready(self, device: str, leaves_per_second: int) -> None:
        told: Told = {"event": "ready", "device": device, "leaves_per_second": leaves_per_second}
        self._tell(told)

    def _seal(self, units: int) -> Job:
        assert not isinstance(self.resource, ForwardPassClass), "only storage is sealed"
        total = units * self.resource.chunks_per_unit
        told_at = self._clock() - TELL_SECONDS
        for done in self._open_plot().seal_up_to(units):
            if self._clock() - told_at >= TELL_SECONDS:
                self._tell({"event": "sealing", "done": done, "total": total})
                told_at = self._clock()
            yield
        self._tell({"event": "sealed", "units": units})

    def prove_job(self, order: Order) -> Job:
        """Prove with the fastest device, and with the next one if it fails."""
        if not isinstance(self.resource, ForwardPassClass):
            if not self._open_plot().has(order.units):
                yield from self._seal(order.units)
            yield from self._prove_with(order, None)
            return
        if not self._devices:
            yield from self._warm_up()
        while True:
            try:
                yield from self._prove_with(order, self._devices[0])
                return
            except (BackendRejected, BackendUnavailable) as problem:
                failed = self._devices.pop(0)
                told: Told = {"event": "device", "device": failed.name}
                self._tell({**told, "problem": str(problem)})
                if not self._devices:
                    raise
                if isinstance(problem, BackendRejected):
                    # What this device computed is worth nothing.
                    self._forget_checkpoint()

    def _prove_with(self, order: Order, device: Device | None) -> Job:
        self._finished = None
        checkpoint, digests = self._open_checkpoint(order)
        prover = self.open_prover(order, self.open_source(order, device), digests)
        yield
        resumed = saved = prover.progress.leaves_done
        started = told_at = saved_at = self._clock()
        try:
            while not prover.progress.is_complete:
                progress = prover.step()
                now = self._clock()
                if now - told_at >= TELL_SECONDS:
                    told_at = now
                    told: Told = {"event": "progress", "epoch": order.epoch, "resumed": resumed}
                    told |= {"done": progress.leaves_done, "total": progress.leaves_total}
                    self._tell({**told, "millis": int(1000 * (now - started))})
                if now - saved_at >= SAVE_SECONDS:
                    checkpoint = self._save(checkpoint, prover, saved)
                    saved, saved_at = progress.leaves_done, now
                yield
        finally:
            checkpoint = self._save(checkpoint, prover, saved)
        claim = prover.commit()
        self._finished = order, prover
        told = {"event": "proven", "epoch": order.epoch, "units": claim.units}
        told["leaves"] = prover.progress.leaves_total
        told |= {"root": claim.root.hex(), "millis": int(1000 * (self._clock() - started))}
        self._tell(told)

    def _respond(self, epoch: Epoch, beacon: Digest) -> Job:
        if self._finished is None or self._finished[0].epoch != epoch:
            raise NothingProven(f"no proof of epoch {epoch} is at hand")
        siblings = self._finished[1].respond(beacon)
        told: Told = {"event": "response", "epoch": epoch, "beacon": beacon.hex()}
        self._tell({**told, "siblings": b"".join(siblings).hex()})
        yield

    # What jobs are made with

    def open_prover(self, order: Order, source: LeafSource, digests: bytes) -> Prover:
        """Return what proves, beginning with the digests of a checkpoint."""
        return Prover(
            self.kind,
            source,
            challenge=order.challenge,
            provider=self.provider,
            units=order.units,
            checkpoint=digests,
        )

    def open_source(self, order: Order, device: Device | None) -> LeafSource:
        """Return where leaves come from; storage has no device."""
        if isinstance(self.resource, ForwardPassClass):
            assert device is not None, "leaves of a network need a device"
            backend = device.open(list(expand_weights(self.resource, order.challenge)))
            return ForwardPassSource(self.resource, order.challenge, self.provider, backend)
        return StorageSource(order.challenge, self._open_plot().read)

    def _open_plot(self) -> Plot:
        assert not isinstance(self.resource, ForwardPassClass), "only storage has a plot"
        if self._plot is None:
            self._plot = Plot(self._folder, self.resource, self.provider)
        return self._plot

    @property
    def _checkpoint_path(self) -> Path:
        return self._folder / f"class-{self.resource.class_id}.checkpoint"

    def _open_checkpoint(self, order: Order) -> tuple[CheckpointFile | None, bytes]:
        described = json.dumps(resource_to_plain(self.resource), sort_keys=True).encode()
        identity = checkpoint_identity(order.challenge, self.provider, described)
        most = self.kind.count_leaves(self.kind.units_max)
        checkpoint = CheckpointFile(self._checkpoint_path, identity, leaves_max=most)
        try:
            size = self.kind.count_leaves(order.units) * DIGEST_BYTES
            return checkpoint, checkpoint.load()[:size]
        except LoopinError as error:
            self._tell_unsaved(error)
            return None, b""

    def _save(
        self, checkpoint: CheckpointFile | None, prover: Prover, first: int
    ) -> CheckpointFile | None:
        """Save what was computed since; return None once the disk refuses."""
        if checkpoint is None:
            return None
        try:
            checkpoint.append(prover.save(first))
        except LoopinError as error:
            self._tell_unsaved(error)
            return None
        return checkpoint

    def _forget_checkpoint(self) -> None:
        try:
            self._checkpoint_path.unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(self._checkpoint_path, error) from error

    def _tell_unsaved(self, error: LoopinError) -> None:
        told: Told = {"event": "unsaved", "reason": error.reason, "message": str(error)}
        self._tell(told)


def _close(job: Job) -> None:
    """Let a job that was begun put away what it has."""
    close = getattr(job, "close", None)
    assert close is not None, "jobs are generators"
    close()
