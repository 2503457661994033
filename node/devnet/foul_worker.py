"""The worker of a simulated provider: as slow, lazy or dishonest as a devnet wants it.

It speaks the protocol of ``miner.worker`` and computes with the same code; only what a cheat would
change is changed. Nothing of an honest provider's program knows this file.
"""

import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from miner.backends.backend import Device
from miner.backends.numpy_backend import NumpyDevice
from miner.prover import ForwardPassSource, LeafSource, PackedDigests, PendingLeaves, Prover
from miner.resources import resource_from_plain
from miner.worker import Command, main
from miner.workshop import Job, Order, Tell, Workshop
from node.devnet.behaviours import PPB, Conduct
from primitives.crypto import keyed_hash
from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import ForwardPassClass, expand_weights

LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Foul:
    """How a worker misbehaves, as its command line carries it."""

    conduct: Conduct
    skipped_ppb: int = 0
    victim: str = ""
    """Whose leaves a copier takes, in hex."""
    pace_seconds: float = 0.0
    """A proof takes so long at least; 0 for as fast as this machine."""
    device: str = ""
    """A file that is locked while the device is in use; empty for one of its own."""

    def to_text(self) -> str:
        """Return the argument of the worker's process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Foul":
        """Return what ``to_text`` wrote, for a process that this program started itself."""
        plain = json.loads(text)
        return cls(**{**plain, "conduct": Conduct(plain["conduct"])})


class LazySource:
    """Computes all leaves but a fraction, which it makes up; spread evenly."""

    def __init__(self, honest: LeafSource, skipped_ppb: int) -> None:
        self._honest, self._skipped_ppb = honest, skipped_ppb
        self.batch_leaves = honest.batch_leaves

    def submit(self, first: int, count: int) -> PendingLeaves:
        """Make up what it did not compute."""
        pending = self._honest.submit(first, count)
        return lambda: [
            keyed_hash(leaf, b"made up") if self._is_skipped(first + at) else leaf
            for at, leaf in enumerate(pending())
        ]

    def _is_skipped(self, position: int) -> bool:
        return (position + 1) * self._skipped_ppb // PPB > position * self._skipped_ppb // PPB


class PacedSource:
    """Takes as long for each leaf as slower hardware would."""

    def __init__(self, honest: LeafSource, seconds_per_leaf: float) -> None:
        self._honest, self._seconds = honest, seconds_per_leaf
        self._due = time.monotonic()
        self.batch_leaves = min(64, honest.batch_leaves)

    def submit(self, first: int, count: int) -> PendingLeaves:
        """Hand the leaves out when they are due."""
        pending = self._honest.submit(first, count)

        def collect() -> list[Digest]:
            leaves = pending()
            self._due = max(self._due, time.monotonic() - LOOK_SECONDS) + count * self._seconds
            time.sleep(max(0.0, self._due - time.monotonic()))
            return leaves

        return collect


class UncheckedProver(Prover):
    """Commits to whatever it has: comparing it with the verifier's leaves would stop a cheat."""

    def _compare(self, leaves: PackedDigests) -> None:
        """Look away."""


class FoulWorkshop(Workshop):
    """A workshop that misbehaves."""

    def __init__(
        self,
        resource: ForwardPassClass,
        provider: AccountId,
        folder: Path,
        *,
        tell: Tell,
        foul: Foul,
    ) -> None:
        devices: tuple[Device, ...] = (NumpyDevice(),)
        super().__init__(
            resource, provider, folder, tell=tell, clock=time.perf_counter, devices=devices
        )
        self._network_class = resource
        self._foul = foul
        self._first_challenge: Digest | None = None

    def open_source(self, order: Order, device: Device | None) -> LeafSource:
        """Return where this provider gets its leaves from."""
        assert device is not None, "leaves of a network need a device"
        foul, resource = self._foul, self._network_class
        owner, challenge = self.provider, order.challenge
        if foul.conduct is Conduct.COPIER:
            owner = AccountId(bytes.fromhex(foul.victim))
        if foul.conduct is Conduct.REPLAYER:
            self._first_challenge = self._first_challenge or challenge
            challenge = self._first_challenge
        backend = device.open(list(expand_weights(resource, challenge)))
        source: LeafSource = ForwardPassSource(resource, challenge, owner, backend)
        if foul.conduct is Conduct.LAZY:
            source = LazySource(source, foul.skipped_ppb)
        if foul.pace_seconds:
            leaves = self.kind.count_leaves(order.units)
            source = PacedSource(source, foul.pace_seconds / leaves)
        return source

    def open_prover(self, order: Order, source: LeafSource, digests: bytes) -> Prover:
        """Return a prover that is not stopped by its own mistakes and has no memory of them."""
        return UncheckedProver(
            self.kind, source, challenge=order.challenge, provider=self.provider, units=order.units
        )

    def prove_job(self, order: Order) -> Job:
        """Prove as this provider does: not at all, or when the shared device is free."""
        if self._foul.conduct is Conduct.SILENT:
            return
        if not self._foul.device:
            yield from super().prove_job(order)
            return
        yield from self._prove_in_turn(order)

    def _prove_in_turn(self, order: Order) -> Iterator[None]:
        descriptor = os.open(self._foul.device, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            is_ours = False
            while not is_ours:
                with suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    is_ours = True
                if not is_ours:
                    time.sleep(LOOK_SECONDS)
                    yield
            yield from super().prove_job(order)
        finally:
            os.close(descriptor)


def open_foul_workshop(foul: Foul, command: Command, tell: Tell) -> Workshop:
    """Return the workshop that an ``open`` describes, as foul as asked."""
    resource = resource_from_plain(command.get("class"))
    assert isinstance(resource, ForwardPassClass), "devnets simulate providers of computing power"
    provider = AccountId(bytes.fromhex(str(command.get("provider"))))
    folder = Path(str(command.get("folder")))
    return FoulWorkshop(resource, provider, folder, tell=tell, foul=foul)


if __name__ == "__main__":
    main(partial(open_foul_workshop, Foul.from_text(sys.argv[1])))
