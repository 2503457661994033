"""How much this machine can honestly stake: the prover's own loop, timed.

A figure is of the whole loop (rows expanded, network, leaves hashed, tree built), because that is
what must fit between the challenge and the commit deadline. The margin is for what a benchmark
never meets: a late block, a warm day, an update. An honest provider must miss fewer than one
check in 400.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from miner.backends.backend import BackendUnavailable, Device
from miner.prover import ForwardPassSource
from primitives.merkle import MerkleTree
from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import ForwardPassClass, expand_weights

MARGIN_PERCENT = 30
"""Part of the window that an honest stake leaves unused."""
CHALLENGE = Digest(b"benchmark challenge, any will do")
PROVIDER = AccountId(b"benchmark provider, any will do.")

Clock = Callable[[], float]
"""Seconds from some start on, such as ``time.perf_counter``."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one device does with one class."""

    device: str
    class_id: int
    load_seconds: float
    """Expanding the weights and loading the network; once per epoch."""
    rows_per_second: float
    commit_seconds_per_unit: float
    """Building the Merkle tree."""
    operations_per_row: int
    rows_per_unit: int
    units_max: int

    @property
    def operations_per_second(self) -> float:
        return self.rows_per_second * self.operations_per_row

    def honest_units(self, window_seconds: float, margin_percent: int = MARGIN_PERCENT) -> int:
        """Return how many units fit into the window from challenge to commit deadline."""
        usable = window_seconds * (100 - margin_percent) / 100 - self.load_seconds
        seconds_per_unit = self.rows_per_unit / self.rows_per_second + self.commit_seconds_per_unit
        return max(0, min(self.units_max, int(usable / seconds_per_unit)))


def measure(
    device: Device, resource: ForwardPassClass, *, seconds: float, clock: Clock
) -> Measurement:
    """Prove for about ``seconds`` and return what was reached.

    Raises: BackendUnavailable.
    """
    started = clock()
    backend = device.open(list(expand_weights(resource, CHALLENGE)))
    loaded = clock()
    source = ForwardPassSource(resource, CHALLENGE, PROVIDER, backend)
    batch = source.batch_leaves
    # Once round before the clock runs: caches fill, kernels load.
    leaves = source.submit(0, batch)()
    begun = now = clock()
    computed = 0
    pending = source.submit(0, batch)
    while computed == 0 or now - begun < seconds:
        upcoming = source.submit(computed + batch, batch)
        leaves = pending()
        pending = upcoming
        computed += batch
        now = clock()
    pending()
    finished = clock()
    MerkleTree(leaves)
    committed = clock()
    return Measurement(
        device=device.name,
        class_id=resource.class_id,
        load_seconds=loaded - started,
        # The batch still under way when the loop ended was computed too.
        rows_per_second=(computed + batch) * resource.rows_per_leaf / (finished - begun),
        commit_seconds_per_unit=(committed - finished) / batch * resource.leaves_per_unit,
        operations_per_row=resource.operations_per_row,
        rows_per_unit=resource.rows_per_unit,
        units_max=resource.units_max,
    )


def measure_best(
    devices: Sequence[Device], resource: ForwardPassClass, *, seconds: float, clock: Clock
) -> Measurement:
    """Return the measurement of the device that is fastest with this class.

    ``devices`` are those that ``judge_devices`` accepted. One that cannot hold this class's network
    is left out.
    Raises: BackendUnavailable, when none can.
    """
    best: Measurement | None = None
    problem = "no device was accepted"
    for device in devices:
        try:
            found = measure(device, resource, seconds=seconds, clock=clock)
        except BackendUnavailable as refusal:
            problem = str(refusal)
            continue
        if best is None or found.rows_per_second > best.rows_per_second:
            best = found
    if best is None:
        raise BackendUnavailable(problem)
    return best
