"""What it pays to leave out a part of the work: the chain's own proofs, epoch after epoch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Final

import numpy as np

from economics.finding import Cell, Finding, Plot, Setting, Table
from economics.plots import COLOURS, figure_of, label, lines, panels
from primitives.merkle import MerkleTree
from primitives.types import AccountId, Balance, Digest
from runtime.pocps.forward_pass import ForwardPassClass
from runtime.pocps.forward_pass_proof import ForwardPassWork
from runtime.pocps.proof import Claim, RootMismatch, SampledProof, slash_floor

CLASS: Final = ForwardPassClass(
    class_id=1, width=64, depth=2, rows_per_unit=4, rows_per_leaf=1, samples=16, units_max=25
)
"""As small as a class can be, so that all its work is done again in each of the epochs."""
UNITS: Final = 25
LEAVES: Final = UNITS * CLASS.leaves_per_unit
SKIPPED: Final = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
SAMPLES: Final = (1, 4, 16)
EPOCHS: Final = 10_000
DEVIATIONS_MAX: Final = 4.0
"""Standard deviations by which a frequency may miss the formula: of 18 frequencies that chance
decides, one goes beyond it in about one seed of nine hundred."""

BOND_PERIODS: Final = 25
"""A unit's bond, in as many of the highest rewards that an epoch can pay it: what the classes of
development and local chains ask for."""
INVALID_SHARE: Final = 0.5
"""Share of the bond that an invalid proof costs."""
LEAST_SLASH: Final = BOND_PERIODS * INVALID_SHARE
"""What being caught costs per unit, in rewards of an epoch, beside that epoch's reward: the second
step of the ladder, though the third may follow it."""

PROVIDER: Final = AccountId(b"the provider who skips its work.")
JUNK: Final = b"no leaf that anyone computed...."


@dataclass(frozen=True, slots=True)
class Outcome:
    """How often one way of cheating was caught."""

    skipped: float
    samples: int
    epochs: int
    caught: int

    @property
    def frequency(self) -> float:
        return self.caught / self.epochs

    @property
    def formula(self) -> float:
        """The chance of being caught: ``1 - (1 - f) ** k``."""
        return 1.0 - (1.0 - self.skipped) ** self.samples

    @property
    def deviations(self) -> float:
        """By how many standard deviations the frequency misses the formula."""
        spread = sqrt(self.formula * (1 - self.formula) / self.epochs)
        difference = self.frequency - self.formula
        return difference / spread if spread else (0.0 if difference == 0 else np.inf)

    def gain(self, slash: float) -> float:
        """Return what an epoch brings beyond honesty with the same work, in rewards of all units.

        Who is caught gets no reward and pays ``slash``; honesty with the same work claims only
        the units that it does.
        """
        income = 1.0 - self.frequency - self.frequency * slash
        return income - (1.0 - self.skipped)


def count_caught(
    *, seed: int, epochs: int, setting: Setting, samples: Sequence[int] = SAMPLES
) -> list[Outcome]:
    """Let every cheat prove through as many epochs, each with a beacon of its own.

    Nothing is looked up: challenge, leaves, tree, draw, response and verification are the chain's.
    """
    kinds = {k: SampledProof(ForwardPassWork(replace(CLASS, samples=k))) for k in samples}
    rng = np.random.default_rng(seed)
    caught = {(f, k): 0 for f in SKIPPED for k in samples}
    for epoch in range(epochs):
        start, later = Digest(rng.bytes(32)), Digest(rng.bytes(32))
        order = [int(position) for position in rng.permutation(LEAVES)]
        any_kind = kinds[samples[0]]
        challenge = any_kind.challenge(start)
        honest = any_kind.work.compute_leaves(challenge, PROVIDER, tuple(range(LEAVES)))
        for fraction in SKIPPED:
            leaves: list[bytes] = list(honest)
            for position in order[: round(fraction * LEAVES)]:
                leaves[position] = JUNK
            tree = any_kind.commit(leaves)
            for k, kind in kinds.items():
                caught[fraction, k] += _is_caught(kind, tree, challenge, later)
        if epoch % 100 == 99:
            setting.progress(0.98 * (epoch + 1) / epochs)
    return [Outcome(f, k, epochs, count) for (f, k), count in caught.items()]


def _is_caught(kind: SampledProof, tree: MerkleTree, challenge: Digest, beacon: Digest) -> bool:
    """Answer the draw as well as the tree allows; return whether the chain refuses the proof."""
    claim = Claim(PROVIDER, UNITS, tree.root)
    response = kind.respond(tree, kind.sample(claim, beacon))
    try:
        kind.verify(claim, response, challenge=challenge, beacon=beacon)
    except RootMismatch:
        return True
    return False


def lazy_prover(setting: Setting) -> Finding:
    """Skip a fraction of the leaves in every epoch; compare with the formula; keep the books."""
    epochs = max(300, round(EPOCHS * setting.scale))
    outcomes = count_caught(seed=setting.seed, epochs=epochs, setting=setting)
    rows: list[tuple[Cell, ...]] = []
    for one in outcomes:
        least = slash_floor(Balance(10**9), one.samples) / 1e9
        numbers = (one.frequency, one.formula, one.deviations)
        books = (one.gain(LEAST_SLASH), one.gain(least))
        rows.append((one.skipped, one.samples, one.caught, *numbers, *books))
    worst = max(abs(one.deviations) for one in outcomes)
    best = max(one.gain(LEAST_SLASH) for one in outcomes)
    strict = [one for one in outcomes if one.samples == max(SAMPLES)]
    tenth = next(one for one in strict if one.skipped == 0.1)
    answer = (
        f"Over {epochs:,} epochs of real commitments, draws and verifications the frequency of "
        f"being caught misses 1 - (1-f)^k by at most {worst:.1f} standard deviations. Whoever "
        f"skips a tenth of the work is caught in {tenth.frequency:.0%} of the epochs by 16 "
        f"samples, and loses {-tenth.gain(LEAST_SLASH):.1f} epochs' reward in each on average. No "
        f"fraction and no number of samples tried gains (at best {best:+.3f} rewards an epoch)."
    )
    names = ("skipped f", "samples k", "caught", "frequency", "1 - (1-f)^k", "deviations")
    gains = ("gain, chain's slash", "gain, slash r/k")
    caption = "gain: rewards of all units an epoch, beyond honesty with the same work"
    return Finding(
        answer=[answer],
        passed=worst <= DEVIATIONS_MAX and best < 0,
        criterion=f"every frequency within {DEVIATIONS_MAX:g} standard deviations of the formula "
        f"({worst:.1f}), and every cheat loses (best {best:+.3f})",
        parameters={
            "epochs": epochs,
            "leaves": LEAVES,
            "width": CLASS.width,
            "depth": CLASS.depth,
            "bond, rewards of an epoch": BOND_PERIODS,
            "share of the bond that an invalid proof costs": INVALID_SHARE,
        },
        tables=[Table("lazy", names + gains, rows, caption)],
        plots=[_plot(outcomes)],
    )


def _plot(outcomes: Sequence[Outcome]) -> Plot:
    axes = panels(2)
    smooth = np.linspace(0.0, 1.0, 201)
    for index, k in enumerate(SAMPLES):
        ours = [one for one in outcomes if one.samples == k]
        colour = COLOURS[index]
        axes[0].plot(100 * smooth, 1 - (1 - smooth) ** k, color=colour, linewidth=1.2)
        axes[0].plot(
            [100 * one.skipped for one in ours],
            [one.frequency for one in ours],
            "o",
            color=colour,
            label=f"k = {k}",
        )
    label(
        axes[0],
        title="Epochs in which the lazy prover is caught (dots), and 1 - (1-f)^k (lines)",
        x="leaves skipped, per cent",
        y="share of epochs",
    )
    gains = {
        f"k = {k}": [one.gain(LEAST_SLASH) for one in outcomes if one.samples == k] for k in SAMPLES
    }
    # The fractions lie evenly: most of them are small ones.
    lines(axes[1], range(len(SKIPPED)), gains)
    axes[1].set_xticks(range(len(SKIPPED)), [f"{100 * f:g}" for f in SKIPPED])
    axes[1].axhline(0, color="black", linewidth=0.8)
    label(
        axes[1],
        title="What skipping gains over honesty with the same work",
        x="leaves skipped, per cent",
        y="rewards of an epoch",
    )
    return Plot("lazy", "Detection and books of a prover that skips leaves.", figure_of(axes))
