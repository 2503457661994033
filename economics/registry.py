"""Every experiment by name, and how to run one or all."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from economics.experiments import costs, growth, incentives, markets, proving, shapes, shocks
from economics.finding import Experiment, Setting
from economics.prices import ReferencePrice, load_prices
from economics.report import Written, write, write_index
from primitives.errors import ConfigError

EXPERIMENTS: Final[tuple[Experiment, ...]] = (
    Experiment(
        "equilibrium",
        "Market equilibrium",
        "Does the number of providers settle, and does it matter where it began?",
        markets.equilibrium,
    ),
    Experiment(
        "rule-race",
        "Five price rules through the same weeks",
        "Which rule keeps devices in use without a price that jumps?",
        markets.rule_race,
    ),
    Experiment(
        "token-shock",
        "The token doubles, the token halves",
        "Does the market keep working when the token's price changes, and does security follow?",
        shocks.token_shock,
    ),
    Experiment(
        "demand-shock",
        "Burst and slump",
        "What do clients meet when demand triples for two days, or falls to a third for five?",
        shocks.demand_shock,
    ),
    Experiment(
        "outage",
        "A 40 % outage",
        "What happens to leases and price when 40 % of the devices fail at once?",
        shocks.outage,
    ),
    Experiment(
        "stability-shape",
        "Stability: exponent and floor",
        "Which shapes of the curve keep the daily swing bearable?",
        shapes.stability_shape,
    ),
    Experiment(
        "stability-gain",
        "Stability: gain and lease life",
        "How fast may the controller be before the price rings?",
        shapes.stability_gain,
    ),
    Experiment(
        "shallow-pools",
        "The shallow-pool ladder",
        "How small may a pool be before one lease moves its price?",
        shapes.shallow_pools,
    ),
    Experiment(
        "lease-shapes",
        "Lease shapes",
        "Does it pay to cut a lease up, to extend it, to end it early, or to lock its price?",
        shapes.lease_shapes,
    ),
    Experiment(
        "burn-slider",
        "The burn from nothing to half",
        "How much must be burned so that renting one's own machines never pays?",
        incentives.burn_slider,
    ),
    Experiment(
        "wash-trader",
        "The wash trader",
        "Can an owner of machines gain by renting them from itself?",
        incentives.wash_trader,
    ),
    Experiment(
        "withholding-sandwich",
        "Withholding and sandwiching",
        "Can machines kept back, or a lease bought just before another, be made to pay?",
        incentives.withholding_and_sandwich,
    ),
    Experiment(
        "mercenary-capital",
        "Mercenary capital",
        "What happens when half of the supply came for the reward and leaves at once?",
        incentives.mercenary_capital,
    ),
    Experiment(
        "faking",
        "Faked units",
        "How often must a unit be checked, and how hard slashed, so that faking never pays?",
        incentives.faking,
    ),
    Experiment(
        "lazy-prover",
        "The lazy prover",
        "How often is a provider caught that skips a part of its work, and does it ever pay?",
        proving.lazy_prover,
    ),
    Experiment(
        "bootstrapping",
        "Bootstrapping",
        "Does a mint that is gated by use and value still bring a young network its machines?",
        growth.bootstrapping,
    ),
    Experiment(
        "supply-fan",
        "Six years of supply",
        "How many tokens can there be, in a hundred futures?",
        growth.supply_fan,
    ),
    Experiment(
        "provider-return",
        "A provider's return",
        "When does a device pay its way: E = base*R + fee*U - cost - slashing risk?",
        costs.provider_return,
    ),
    Experiment(
        "startup",
        "A start-up's 100 000 calls a day",
        "What does a correct inference cost, against dated prices that you can edit?",
        costs.startup,
    ),
    Experiment(
        "cost-claim",
        "The cost claim",
        "Which share of today's cost may honestly be claimed?",
        costs.cost_claim,
    ),
)


class UnknownExperiment(ConfigError):
    """No experiment has this name; the message lists those that exist."""


def find(name: str) -> Experiment:
    """Return the experiment with this name.

    Raises: UnknownExperiment.
    """
    for experiment in EXPERIMENTS:
        if experiment.name == name:
            return experiment
    known = ", ".join(experiment.name for experiment in EXPERIMENTS)
    raise UnknownExperiment(f"there is no experiment {name!r}; there are {known}")


def run_experiment(
    name: str,
    *,
    seed: int,
    output: Path,
    progress: Callable[[float], None] = lambda _: None,
    scale: float = 1.0,
    prices: Mapping[str, ReferencePrice] | None = None,
) -> Written:
    """Run one experiment and write its files into ``output/<name>``.

    Raises: UnknownExperiment, ReferencePricesUnusable.
    """
    experiment = find(name)
    setting = Setting(
        seed=seed,
        prices=load_prices() if prices is None else prices,
        progress=progress,
        scale=scale,
    )
    finding = experiment.run(setting)
    written = write(experiment, finding, seed=seed, output=output)
    progress(1.0)
    return written


def run_all(
    *,
    seed: int,
    output: Path,
    progress: Callable[[str, float], None] = lambda _name, _part: None,
    scale: float = 1.0,
) -> list[Written]:
    """Run every experiment, then write ``output/index.html``; ``progress`` gets name and part."""
    written = []
    for experiment in EXPERIMENTS:

        def report(part: float, name: str = experiment.name) -> None:
            progress(name, part)

        written.append(
            run_experiment(experiment.name, seed=seed, output=output, progress=report, scale=scale)
        )
    write_index(written, seed=seed, output=output)
    return written
