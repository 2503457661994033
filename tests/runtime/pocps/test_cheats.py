"""Every cheat that the pure part can stop, and the same cheat with its defence taken away."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from primitives.types import AccountId, Balance, Digest
from runtime.pocps.forward_pass import (
    Matrix,
    Network,
    expand_rows,
    expand_weights,
    leaf_digests,
)
from runtime.pocps.forward_pass_proof import ForwardPassWork
from runtime.pocps.proof import Claim, InvalidProof, RootMismatch, SampledProof, slash_floor
from runtime.pocps.storage_proof import (
    StorageClass,
    StorageWork,
    epoch_key,
    leaf_digest,
    seal_chunk,
)
from tests.runtime.pocps.provers import (
    ALICE,
    BOB,
    FORWARD_PASS,
    LATER,
    START,
    STORAGE,
    answer,
    check,
    compute_all,
    prove,
)

WORK = ForwardPassWork(FORWARD_PASS)
CHALLENGE = SampledProof(WORK).challenge(START)
OLD_CHALLENGE = Digest(b"the challenge of an epoch before")
UNITS = 10
SIZE = UNITS * WORK.leaves_per_unit
JUNK = b"no leaf that anyone computed...."


# ------------------------------------------------------------------------------- the copier


class SameRowsForAll(ForwardPassWork):
    """The defence taken away: rows no longer depend on the provider."""

    def compute_leaves(
        self, challenge: Digest, provider: AccountId, positions: tuple[int, ...]
    ) -> list[Digest]:
        return super().compute_leaves(challenge, AccountId(bytes(32)), positions)


def copied(work: ForwardPassWork) -> None:
    """Alice works; Bob commits to her leaves as his own."""
    alices = compute_all(work, CHALLENGE, ALICE, UNITS)
    check(work, answer(SampledProof(work), alices, provider=BOB, units=UNITS))


def test_a_copier_is_caught_because_rows_depend_on_the_provider() -> None:
    with pytest.raises(RootMismatch):
        copied(WORK)

    copied(SameRowsForAll(FORWARD_PASS))


def test_a_copier_of_commitment_and_response_is_caught() -> None:
    alices = prove(WORK)

    with pytest.raises(InvalidProof):
        check(WORK, replace(alices, claim=replace(alices.claim, provider=BOB)))


# -------------------------------------------------------------------------- the precomputer


class OldWeights(ForwardPassWork):
    """The defence taken away: weights and rows are known before the challenge."""

    def compute_leaves(
        self, challenge: Digest, provider: AccountId, positions: tuple[int, ...]
    ) -> list[Digest]:
        return super().compute_leaves(OLD_CHALLENGE, provider, positions)


class OldRows(ForwardPassWork):
    """Half of the defence taken away: only the weights come with the challenge."""

    def compute_leaves(
        self, challenge: Digest, provider: AccountId, positions: tuple[int, ...]
    ) -> list[Digest]:
        size = self.resource.rows_per_leaf
        network = Network.expand(self.resource, challenge)
        return [
            leaf_digests(
                network.run(
                    expand_rows(
                        self.resource, OLD_CHALLENGE, provider, first=size * position, count=size
                    )
                ).tobytes(),
                size,
            )[0]
            for position in positions
        ]


def precomputed(work: ForwardPassWork) -> None:
    """The provider computes everything in the epoch before, then idles through this one."""
    ahead = compute_all(work, OLD_CHALLENGE, ALICE, UNITS)
    check(work, answer(SampledProof(work), ahead, units=UNITS))


def test_a_precomputer_is_caught_because_weights_come_with_the_challenge() -> None:
    with pytest.raises(RootMismatch):
        precomputed(WORK)
    with pytest.raises(RootMismatch):
        precomputed(OldRows(FORWARD_PASS))

    precomputed(OldWeights(FORWARD_PASS))


# --------------------------------------------------------------- two identities, one device


@dataclass
class Device:
    """Hardware that computes so many leaves in a window and no more."""

    leaves_per_window: int
    window: int = -1
    left: int = 0

    def compute(self, window: int, provider: AccountId, count: int) -> list[bytes]:
        """Compute what capacity is left for and fill the rest with junk."""
        if window != self.window:
            self.window, self.left = window, self.leaves_per_window
        done = min(count, self.left)
        self.left -= done
        real = WORK.compute_leaves(CHALLENGE, provider, tuple(range(done)))
        return [*real, *[JUNK] * (count - done)]


def share_device(window_of_alice: int, window_of_bob: int) -> None:
    device = Device(leaves_per_window=SIZE)
    alices = device.compute(window_of_alice, ALICE, SIZE)
    bobs = device.compute(window_of_bob, BOB, SIZE)
    check(WORK, answer(SampledProof(WORK), alices, provider=ALICE, units=UNITS))
    check(WORK, answer(SampledProof(WORK), bobs, provider=BOB, units=UNITS))


def test_one_device_cannot_serve_two_identities_because_their_windows_are_the_same() -> None:
    with pytest.raises(RootMismatch):
        share_device(window_of_alice=0, window_of_bob=0)

    # The defence taken away: Bob's window opens when Alice's has closed.
    share_device(window_of_alice=0, window_of_bob=1)


def test_two_identities_cannot_prove_the_same_work_twice() -> None:
    kind = SampledProof(WORK)

    assert kind.challenge(START) == CHALLENGE
    assert not set(compute_all(WORK, CHALLENGE, ALICE, UNITS)) & set(
        compute_all(WORK, CHALLENGE, BOB, UNITS)
    )


# ----------------------------------------------------- the provider that knows its samples


class EarlySamples(SampledProof):
    """The defence taken away: positions come from a beacon and a seed known before the commit."""

    def sample(self, claim: Claim, beacon: Digest) -> tuple[int, ...]:
        return super().sample(replace(claim, root=Digest(bytes(32))), START)


def only_the_samples(kind: SampledProof, foreseen: tuple[int, ...]) -> None:
    """The provider computes the leaves that it expects to be asked for."""
    leaves: list[bytes] = [JUNK] * SIZE
    computed = WORK.compute_leaves(CHALLENGE, ALICE, foreseen)
    for position, leaf in zip(foreseen, computed, strict=True):
        leaves[position] = leaf
    attempt = answer(kind, leaves, units=UNITS)
    kind.verify(attempt.claim, attempt.response, challenge=CHALLENGE, beacon=LATER)


def test_samples_cannot_be_foreseen_because_they_are_drawn_after_the_commitment() -> None:
    guess = Claim(ALICE, UNITS, Digest(bytes(32)))
    foreseen = SampledProof(WORK).sample(guess, START)

    with pytest.raises(RootMismatch):
        only_the_samples(SampledProof(WORK), foreseen)

    only_the_samples(EarlySamples(WORK), foreseen)


# ------------------------------------------------------------------------ the approximator


def run_with(layers: list[Matrix]) -> list[Digest]:
    network = Network(layers)
    rows = expand_rows(
        FORWARD_PASS, CHALLENGE, ALICE, first=0, count=SIZE * FORWARD_PASS.rows_per_leaf
    )
    return leaf_digests(network.run(rows).tobytes(), FORWARD_PASS.rows_per_leaf)


def without_column(layers: list[Matrix]) -> list[Matrix]:
    """Leave out one of 64 hidden values."""
    first = layers[0].copy()
    first[:, 0] = 0
    return [first, *layers[1:]]


def with_four_bits(layers: list[Matrix]) -> list[Matrix]:
    """Round weights to the four bits that cheaper matrix units take."""
    return [layer >> 2 << 2 for layer in layers]


@pytest.mark.parametrize("shortcut", [without_column, with_four_bits])
def test_an_approximation_does_not_reproduce_a_single_leaf(
    shortcut: Callable[[list[Matrix]], list[Matrix]],
) -> None:
    layers = list(expand_weights(FORWARD_PASS, CHALLENGE))
    exact = run_with(layers)

    approximate = run_with(shortcut(layers))

    assert exact == compute_all(WORK, CHALLENGE, ALICE, UNITS)
    assert not set(approximate) & set(exact)


# ------------------------------------------------------------------------- the lazy provider


class RememberedWork(ForwardPassWork):
    """Looks the leaves of one epoch up, so that thousands of verifications take a second."""

    def __init__(self, leaves: Sequence[Digest], samples: int) -> None:
        super().__init__(replace(FORWARD_PASS, samples=samples))
        self.leaves = leaves

    def compute_leaves(
        self, challenge: Digest, provider: AccountId, positions: tuple[int, ...]
    ) -> list[Digest]:
        return [self.leaves[position] for position in positions]


def count_caught(skipped: int, samples: int, epochs: int) -> int:
    """Verify a provider that skipped so many of its leaves under one beacon per epoch."""
    honest = compute_all(WORK, CHALLENGE, ALICE, UNITS)
    kind = SampledProof(RememberedWork(honest, samples))
    tree = kind.commit([*[JUNK] * skipped, *honest[skipped:]])
    claim = Claim(ALICE, UNITS, tree.root)
    caught = 0
    for epoch in range(epochs):
        beacon = Digest(epoch.to_bytes(32))
        response = kind.respond(tree, kind.sample(claim, beacon))
        try:
            kind.verify(claim, response, challenge=CHALLENGE, beacon=beacon)
        except RootMismatch:
            caught += 1
    return caught


def require_detection_and_loss(skipped: int, samples: int, epochs: int) -> None:
    caught = count_caught(skipped, samples, epochs)
    lazy = skipped / SIZE

    chance = 1 - (1 - lazy) ** samples
    deviation = (epochs * chance * (1 - chance)) ** 0.5
    assert abs(caught - epochs * chance) <= 4 * deviation

    reward = 1_000_000
    slash = slash_floor(Balance(reward), samples)
    income = (epochs - caught) * reward - caught * slash
    assert income < (1 - lazy) * reward * epochs, "less than honesty earns with the same work"
    for cost_share in (0.1, 0.5, 1.0):
        cost = cost_share * reward * epochs
        assert income - (1 - lazy) * cost < reward * epochs - cost, "less than doing all the work"


@pytest.mark.parametrize("skipped", [1, 4, 20, 40])
def test_a_lazy_provider_is_caught_as_often_as_the_formula_says_and_loses(skipped: int) -> None:
    require_detection_and_loss(skipped, samples=16, epochs=1000)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 4, 16])
@pytest.mark.parametrize("skipped", [1, 2, 4, 10, 20, 39, 40])
def test_ten_thousand_epochs_of_a_lazy_provider_agree_with_the_formula(
    skipped: int, samples: int
) -> None:
    require_detection_and_loss(skipped, samples=samples, epochs=10_000)


def test_an_honest_provider_is_never_caught() -> None:
    assert count_caught(0, samples=16, epochs=300) == 0


# ------------------------------------------------------------- the provider that stores less


def test_a_provider_that_dropped_its_chunks_must_seal_all_of_them_in_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sealed: list[int] = []

    def counted(resource: StorageClass, provider: AccountId, position: int) -> bytes:
        sealed.append(position)
        return seal_chunk(resource, provider, position)

    monkeypatch.setattr("runtime.pocps.storage_proof.seal_chunk", counted)
    work = StorageWork(STORAGE)
    kind = SampledProof(work)

    attempt = answer(kind, compute_all(work, kind.challenge(START), ALICE, UNITS), units=UNITS)
    by_prover = len(sealed)
    check(work, attempt)

    assert by_prover == UNITS * STORAGE.chunks_per_unit
    assert len(sealed) - by_prover <= STORAGE.samples


def test_chunks_that_are_kept_in_part_are_caught() -> None:
    work = StorageWork(STORAGE)
    kind = SampledProof(work)
    key = epoch_key(kind.challenge(START))
    halves = [
        seal_chunk(STORAGE, ALICE, position)[: STORAGE.chunk_bytes // 2]
        for position in range(UNITS * STORAGE.chunks_per_unit)
    ]
    leaves = [leaf_digest(key, half + bytes(len(half))) for half in halves]

    with pytest.raises(RootMismatch):
        check(work, answer(kind, leaves, units=UNITS))


def test_a_disk_sealed_for_one_provider_is_of_no_use_to_another() -> None:
    work = StorageWork(STORAGE)
    kind = SampledProof(work)
    alices = compute_all(work, kind.challenge(START), ALICE, UNITS)

    with pytest.raises(RootMismatch):
        check(work, answer(kind, alices, provider=BOB, units=UNITS))
