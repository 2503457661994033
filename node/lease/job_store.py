"""What clients have uploaded and what was done with it, on the provider's disk.

::

    <folder>/<lease>/blobs/<digest>          a network, rows, or a command's input
    <folder>/<lease>/blobs/<digest>.part     one that is being uploaded
    <folder>/<lease>/jobs/<name>.json        a job that may be disputed: its two blobs, its height

Invariants: what one lease and all leases together may take is bounded; whatever a job that may be
disputed was made of stays until that time is over.
"""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from node.lease.messages import BLOB_BYTES_MAX, Upload, blob_digest
from primitives.errors import LoopinError
from primitives.types import Digest, Height
from runtime.jobs.commitment import Commitment

log = logging.getLogger(__name__)

FILE_BYTES = 4096
"""What a file takes however little is in it, so that empty ones are bounded too."""


class UploadRefused(LoopinError):
    """The part does not fit: wrong place, wrong bytes, or no room for it."""


class UnknownBlob(LoopinError):
    """A job names something that was not uploaded."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How much disk clients may take."""

    lease_bytes_max: int = 1 << 30
    total_bytes_max: int = 8 << 30


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job that may be disputed."""

    network: Path
    inputs: Path
    made_at: Height


class JobStore:
    """See the module; all of it is for one task at a time."""

    def __init__(self, folder: Path, quota: Quota) -> None:
        self._folder = folder
        self._quota = quota
        self._sizes: dict[int, int] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for lease_id in self._leases():
            self._sizes[lease_id] = _size(self._of(lease_id))

    def accept(self, part: Upload) -> int:
        """Keep a part of a blob; return how many of its bytes are there. Raises: UploadRefused."""
        whole = self._blob(part.lease_id, part.digest)
        if whole.exists():
            return part.size
        if part.size > BLOB_BYTES_MAX or part.offset + len(part.data) > part.size:
            raise UploadRefused("larger than it may be")
        partial = whole.with_suffix(".part")
        there = partial.stat().st_size if partial.exists() else 0
        if part.offset != there:
            return there
        self._take_room(part.lease_id, len(part.data) + (0 if partial.exists() else FILE_BYTES))
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("ab") as file:
            file.write(part.data)
        there += len(part.data)
        if there == part.size:
            if blob_digest(partial.read_bytes()) != part.digest:
                partial.unlink()
                self._sizes[part.lease_id] -= there + FILE_BYTES
                raise UploadRefused("the bytes have another digest")
            partial.rename(whole)
        return there

    def blob(self, lease_id: int, digest: Digest) -> Path:
        """Return where a blob is. Raises: UnknownBlob."""
        path = self._blob(lease_id, digest)
        if not path.exists():
            raise UnknownBlob(digest.hex())
        return path

    def keep_job(self, commitment: Commitment, network: Digest, inputs: Digest) -> None:
        """Remember what a signed job was made of, for as long as it may be disputed."""
        file = self._job(commitment.lease_id, commitment.inputs, commitment.outputs)
        file.parent.mkdir(exist_ok=True)
        job = {"network": network.hex(), "inputs": inputs.hex(), "made_at": commitment.made_at}
        # Whoever looks for the job sees all of it or nothing.
        new = file.with_suffix(".new")
        new.write_text(json.dumps(job), "utf-8")
        new.rename(file)

    def find_job(self, lease_id: int, inputs: Digest, outputs: Digest) -> StoredJob | None:
        """Return the job with these roots."""
        file = self._job(lease_id, inputs, outputs)
        return self._load_job(lease_id, file) if file.exists() else None

    def forget(self, height: Height, *, blocks: int, live: set[int]) -> None:
        """Drop jobs made more than ``blocks`` ago with what they alone need, and ended leases."""
        for lease_id in list(self._leases()):
            self._forget_jobs(lease_id, height - blocks)
            if lease_id not in live and not self._jobs(lease_id):
                shutil.rmtree(self._of(lease_id))
                del self._sizes[lease_id]
                log.info("event=lease_forgotten lease=%d", lease_id)

    def _forget_jobs(self, lease_id: int, oldest: int) -> None:
        jobs = {file: self._load_job(lease_id, file) for file in self._jobs(lease_id)}
        lapsed = {file: job for file, job in jobs.items() if job.made_at < oldest}
        if not lapsed:
            return
        needed = {
            path
            for file, job in jobs.items()
            if file not in lapsed
            for path in (job.network, job.inputs)
        }
        for file, job in lapsed.items():
            file.unlink()
            for path in {job.network, job.inputs} - needed:
                path.unlink(missing_ok=True)
        self._sizes[lease_id] = _size(self._of(lease_id))

    def leases(self) -> set[int]:
        """Return the leases of which anything is stored."""
        return set(self._leases())

    def _take_room(self, lease_id: int, size: int) -> None:
        """Count bytes that are about to be written. Raises: UploadRefused."""
        used = self._sizes.get(lease_id, 0) + size
        if used > self._quota.lease_bytes_max:
            raise UploadRefused(f"a lease may store {self._quota.lease_bytes_max} bytes")
        if sum(self._sizes.values()) + size > self._quota.total_bytes_max:
            raise UploadRefused("the provider's disk is full of jobs that may be disputed")
        self._sizes[lease_id] = used

    def _load_job(self, lease_id: int, file: Path) -> StoredJob:
        item = json.loads(file.read_text("utf-8"))
        network, inputs = (Digest(bytes.fromhex(item[name])) for name in ("network", "inputs"))
        return StoredJob(
            self._blob(lease_id, network), self._blob(lease_id, inputs), Height(item["made_at"])
        )

    def _jobs(self, lease_id: int) -> list[Path]:
        return sorted(self._of(lease_id).glob("jobs/*.json"))

    def _leases(self) -> Iterator[int]:
        for path in self._folder.iterdir():
            if path.is_dir() and path.name.isdecimal():
                yield int(path.name)

    def _of(self, lease_id: int) -> Path:
        return self._folder / str(lease_id)

    def _blob(self, lease_id: int, digest: Digest) -> Path:
        return self._of(lease_id) / "blobs" / digest.hex()

    def _job(self, lease_id: int, inputs: Digest, outputs: Digest) -> Path:
        return self._of(lease_id) / "jobs" / f"{inputs.hex()}-{outputs.hex()}.json"


def _size(folder: Path) -> int:
    """Return what a folder takes, each file its block at least."""
    return sum(FILE_BYTES + path.stat().st_size for path in folder.rglob("*") if path.is_file())
