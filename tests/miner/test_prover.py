"""The prover's core: what it computes, what it keeps, and what it refuses to commit to."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.backends.backend import BackendRejected, BackendUnavailable
from miner.backends.numpy_backend import NumpyBackend
from miner.prover import (
    ForwardPassSource,
    PackedDigests,
    Progress,
    Prover,
    ProverUnfinished,
    StorageSource,
    UnusableCheckpoint,
)
from primitives.types import AccountId, Digest
from runtime.pocps.forward_pass import ForwardPassClass, expand_weights
from runtime.pocps.forward_pass_proof import ForwardPassWork
from runtime.pocps.proof import SampledProof, UnitsOutOfRange
from runtime.pocps.storage_proof import StorageClass, StorageWork, seal_chunk

PROVIDER = AccountId(b"p" * 32)
START = Digest(b"1" * 32)
LATER = Digest(b"2" * 32)
RESOURCE = ForwardPassClass(
    class_id=7, width=64, depth=2, rows_per_unit=60, rows_per_leaf=2, samples=8, units_max=100
)
KIND = SampledProof(ForwardPassWork(RESOURCE))
CHALLENGE = KIND.challenge(START)


def make_source() -> ForwardPassSource:
    backend = NumpyBackend(list(expand_weights(RESOURCE, CHALLENGE)))
    backend.batch_rows = 100
    return ForwardPassSource(RESOURCE, CHALLENGE, PROVIDER, backend)


def make_prover(units: int = 5, checkpoint: bytes = b"") -> Prover:
    return Prover(
        KIND,
        make_source(),
        challenge=CHALLENGE,
        provider=PROVIDER,
        units=units,
        checkpoint=checkpoint,
    )


@pytest.mark.parametrize("units", [1, 5, 23])
def test_a_finished_prover_convinces_the_chain(units: int) -> None:
    prover = make_prover(units)
    prover.run(lambda _: None)

    claim = prover.commit()
    response = prover.respond(LATER)

    assert (claim.provider, claim.units) == (PROVIDER, units)
    KIND.verify(claim, response, challenge=CHALLENGE, beacon=LATER)


def test_progress_counts_every_leaf_and_ends_at_the_total() -> None:
    prover = make_prover()
    seen: list[Progress] = []

    prover.run(seen.append)

    assert [progress.leaves_done for progress in seen] == [50, 100, 150]
    assert all(progress.leaves_total == 150 for progress in seen)
    assert [progress.is_complete for progress in seen] == [False, False, True]
    assert prover.step() == seen[-1]


def test_the_next_batch_is_submitted_before_the_last_is_collected() -> None:
    source = make_source()
    log: list[str] = []

    class Logged:
        batch_leaves = source.batch_leaves

        def submit(self, first: int, count: int) -> Callable[[], list[Digest]]:
            log.append(f"submit {first}")
            pending = source.submit(first, count)

            def collect() -> list[Digest]:
                log.append(f"collect {first}")
                return pending()

            return collect

    prover = Prover(KIND, Logged(), challenge=CHALLENGE, provider=PROVIDER, units=5)
    prover.run(lambda _: None)

    assert log == [
        "submit 0", "submit 50", "collect 0", "submit 100", "collect 50", "collect 100"
    ]  # fmt: skip


def test_nothing_is_committed_before_all_leaves_are_computed() -> None:
    prover = make_prover()
    prover.step()

    with pytest.raises(ProverUnfinished):
        prover.commit()
    with pytest.raises(ProverUnfinished):
        prover.respond(LATER)


def test_a_prover_goes_on_from_its_checkpoint_after_a_restart() -> None:
    whole = make_prover()
    whole.run(lambda _: None)
    stopped = make_prover()
    stopped.step()

    resumed = make_prover(checkpoint=stopped.save())
    seen: list[Progress] = []
    resumed.run(seen.append)

    assert len(seen) == 2
    assert resumed.commit() == whole.commit()
    assert make_prover(checkpoint=whole.save()).commit() == whole.commit()


@pytest.mark.parametrize("failing", ["submit", "collect"])
def test_after_a_failure_the_prover_goes_on_where_it_stood(failing: str) -> None:
    source = make_source()
    failures = [50]

    def fail_at(first: int) -> None:
        if first in failures:
            failures.remove(first)
            raise BackendUnavailable("the device was lost")

    class Unsteady:
        batch_leaves = source.batch_leaves

        def submit(self, first: int, count: int) -> Callable[[], list[Digest]]:
            if failing == "submit":
                fail_at(first)
            pending = source.submit(first, count)

            def collect() -> list[Digest]:
                if failing == "collect":
                    fail_at(first)
                return pending()

            return collect

    whole = make_prover()
    whole.run(lambda _: None)
    prover = Prover(KIND, Unsteady(), challenge=CHALLENGE, provider=PROVIDER, units=5)

    with pytest.raises(BackendUnavailable):
        prover.run(lambda _: None)
    prover.run(lambda _: None)

    assert failures == []
    assert prover.commit() == whole.commit()


@pytest.mark.parametrize("checkpoint", [bytes(31), bytes(33), bytes(32 * 151)])
def test_a_checkpoint_that_fits_no_claim_is_refused(checkpoint: bytes) -> None:
    with pytest.raises(UnusableCheckpoint):
        make_prover(checkpoint=checkpoint)


@pytest.mark.parametrize("position", [0, 149])
def test_a_backend_that_errs_costs_an_error_and_not_a_slash(position: int) -> None:
    honest = make_prover()
    honest.run(lambda _: None)
    wrong = bytearray(honest.save())
    wrong[32 * position] ^= 1

    prover = make_prover(checkpoint=bytes(wrong))

    with pytest.raises(BackendRejected):
        prover.commit()


@pytest.mark.parametrize("units", [0, 101])
def test_units_outside_the_class_are_refused_before_any_work(units: int) -> None:
    with pytest.raises(UnitsOutOfRange):
        make_prover(units)


def test_a_storage_provider_proves_from_its_disk() -> None:
    resource = StorageClass(
        class_id=9,
        labels_per_chunk=4,
        passes=2,
        chunks_per_unit=300,
        samples=6,
        units_max=4,
        operations_per_unit=1,
    )
    kind = SampledProof(StorageWork(resource))
    disk = [seal_chunk(resource, PROVIDER, position) for position in range(600)]
    challenge = kind.challenge(START)
    source = StorageSource(challenge, disk.__getitem__)
    prover = Prover(kind, source, challenge=challenge, provider=PROVIDER, units=2)

    prover.run(lambda _: None)

    kind.verify(prover.commit(), prover.respond(LATER), challenge=challenge, beacon=LATER)


@settings(deadline=None)
@given(st.lists(st.binary(min_size=32, max_size=32), max_size=20))
def test_packed_digests_read_like_a_list(digests: list[bytes]) -> None:
    packed = PackedDigests(b"".join(digests))

    assert list(packed) == digests
    assert [packed[index] for index in range(-len(digests), len(digests))] == digests * 2
    assert packed[1:7:2] == digests[1:7:2]
    assert len(packed) == len(digests)
    with pytest.raises(IndexError):
        packed[len(digests)]
