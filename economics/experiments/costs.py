"""What a provider earns, what a client pays, and what may honestly be claimed about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from economics.experiments.markets import BURN
from economics.finding import Cell, Finding, Plot, Setting, Table
from economics.market import Floats, Scenario, simulate
from economics.plots import COLOURS, bars, figure_of, heatmap, label, panels
from economics.prices import ReferencePrice, device_hour_cost
from economics.rules import REFERENCE_TARGET, TICKS_PER_HOUR, Dissipative
from runtime.issuance import IssuanceParameters
from runtime.pools.controller import PPB
from runtime.pools.pricing import Units

MISS_CHANCE: Final = 0.0025
"""Chance that an honest provider misses a day's check; the design asks for no more."""
CARDS_A_MODEL: Final = 4
SAMPLED: Final = 0.02
"""Share of the answers that a client computes again itself."""
WRONG_SHARE: Final = 0.05
"""Assumed share of answers that are wrong where strangers serve and nobody checks."""


def clearing_price(prices: Mapping[str, ReferencePrice]) -> float:
    """Return the price at which a device at target use, after the burn, just pays its cost."""
    return device_hour_cost(dict(prices)) / (REFERENCE_TARGET * (1 - BURN))


def provider_return(setting: Setting) -> Finding:
    """Compute a provider's return over utilisation and cost."""
    cost = device_hour_cost(dict(setting.prices))
    price = clearing_price(setting.prices)
    uses = (0.0, 0.25, 0.5, 0.65, 0.75, 0.85, 1.0)
    costs = tuple(round(cost * share, 3) for share in (0.25, 0.5, 0.75, 1.0, 1.25, 1.5))
    values: Floats = np.zeros((len(costs), len(uses)))
    rows: list[tuple[Cell, ...]] = []
    for i, opex in enumerate(costs):
        for j, use in enumerate(uses):
            parts = _return(price, opex, use)
            values[i, j] = 720 * sum(parts)
            rows.append((opex, use, *(720 * part for part in parts), float(values[i, j])))
    setting.progress(0.7)
    axes = panels(2)
    heatmap(
        axes[0],
        values,
        x=uses,
        y=costs,
        colour_label="USD a month",
        form="{:.0f}",
        bounds=(-150, 150),
        colours="RdBu",
    )
    label(
        axes[0],
        title="Return of one device a month",
        x="utilisation of the provider",
        y="cost, USD per device-hour",
    )
    names = ["base", "fees", "cost", "slashing risk"]
    at_target = [720 * part for part in _return(price, cost, REFERENCE_TARGET)]
    idle = [720 * part for part in _return(price, cost, 0.0)]
    bars(axes[1], names, {"at target utilisation": at_target, "idle": idle})
    axes[1].axhline(0, color="black", linewidth=0.8)
    label(axes[1], title="What it is made of, at the reference cost", x="", y="USD a month")
    target, alone = sum(at_target), sum(idle)
    answer = (
        f"E = base*R + fee*U - cost - slashing risk. At the market's own price ({price:.3f} USD) "
        f"and target utilisation a device of reference cost earns {target:+.0f} USD a month, of "
        f"which the mint is {at_target[0]:.0f}; idle it loses {-alone:.0f}, because the mint is "
        "capped by a share of the market's value. A provider with half of the cost can stay with "
        "a third of the use."
    )
    return Finding(
        answer=[answer],
        passed=target > 0 > alone,
        criterion=f"positive at target utilisation ({target:+.0f} USD a month), negative idle "
        f"({alone:+.0f}): nobody lives on issuance alone",
        parameters={
            "price, USD per device-hour": price,
            "burn": BURN,
            "chance of a missed check a day": MISS_CHANCE,
            "hours a month": 720,
        },
        tables=[
            Table(
                "returns",
                ("cost", "utilisation", "base", "fees", "cost a month", "slashing risk", "return"),
                rows,
                "USD a month",
            )
        ],
        plots=[Plot("returns", "Blue gains, red loses.", figure_of(axes))],
        prices=[setting.prices[n] for n in ("device_a100", "power_a100_hour", "hosting_a100_hour")],
    )


def _return(price: float, opex: float, use: float) -> tuple[float, float, float, float]:
    """Return base, fees, cost and slashing risk of a device-hour in USD, with their signs.

    The base is what the mint pays at most in a market at target: the value cap times the gate.
    """
    rule = IssuanceParameters(half_life_epochs=1, supply_base=Units(1))
    base = price * rule.value_cap_ppb / PPB * rule.idle_ppb / PPB
    fees = (1 - BURN) * price * use
    # A miss forfeits the day's reward; a second one within a week slashes 15 days of it.
    risk = MISS_CHANCE * (1 + 7 * MISS_CHANCE * 15) * (base + fees)
    return base, fees, -opex, -risk


@dataclass(frozen=True, slots=True)
class _Offer:
    """One way to have the start-up's calls answered, in USD a day."""

    name: str
    usd_a_day: float
    checking: float = 0.0
    """What the client spends on checking, as a share of the price."""
    wrong: float = 0.0

    @property
    def usd_correct(self) -> float:
        """Dollars a day, checks included, over the share of the answers that is correct."""
        return self.usd_a_day * (1 + self.checking) / (1 - self.wrong)


def startup(setting: Setting) -> Finding:
    """Answer 100 000 Llama-3 calls a day in six ways."""
    prices = setting.prices
    calls = prices["calls_a_day"].value
    tokens = calls * prices["tokens_a_call"].value
    peak, leased_hours, course = _fleet(setting, tokens)
    setting.progress(0.8)
    market = clearing_price(prices)
    offers = [
        _Offer(name, peak * 24 * prices[key].value)
        for name, key in (
            ("SageMaker, sized for the peak", "sagemaker_a100_hour"),
            ("GPU cloud, sized for the peak", "gpu_cloud_a100_hour"),
            ("interruptible, sized for the peak", "spot_a100_hour"),
        )
    ]
    offers += [
        _Offer(name, tokens / 1e6 * prices[key].value)
        for name, key in (
            ("API, Bedrock", "bedrock_llama_70b_mtok"),
            ("API, Together", "together_llama_70b_mtok"),
        )
    ]
    leased = market * course * leased_hours
    ours = _Offer("LooPIN, leased by the hour", leased, checking=SAMPLED)
    offers += [_Offer("the same devices, unchecked", leased, wrong=WRONG_SHARE), ours]
    reference = offers[0].usd_a_day / calls
    rows: list[tuple[Cell, ...]] = [
        (
            o.name,
            o.usd_a_day,
            1_000 * o.usd_a_day / calls,
            1_000 * o.usd_correct / calls,
            100 * o.usd_correct / calls / (offers[0].usd_correct / calls),
        )
        for o in offers
    ]
    (axis,) = panels(1, height=4.4)
    drawn = axis.barh(
        [o.name for o in offers],
        [float(row[3]) for row in rows],
        color=[COLOURS[1]] * (len(offers) - 1) + [COLOURS[0]],
    )
    axis.bar_label(drawn, fmt="%.2f", fontsize=8, padding=3)
    axis.invert_yaxis()
    label(axis, title="A thousand correct calls to Llama 3 70B", x="USD", y="")
    share = float(rows[-1][4])
    api = 100 * ours.usd_correct / min(o.usd_correct for o in offers[:-1])
    answer = (
        f"At the price at which providers break even ({market:.3f} USD per device-hour) the calls "
        f"cost {1_000 * ours.usd_correct / calls:.2f} USD per thousand correct ones: "
        f"{share:.0f} % of SageMaker sized for the peak, and {api:.0f} % of the cheapest "
        "alternative in the table."
    )
    caveat = (
        "Most of the first ratio is not magic: hours are leased when needed, and the reference is "
        "a managed service. Correct means checked: the client computes 2 % of the answers again "
        "and is refunded from the slash if one is wrong. Managed services are taken at their "
        "word; strangers whom nobody checks are assumed to give 5 % wrong answers. The tokens a "
        "second decide everything: measure them for your own model and edit the file."
    )
    return Finding(
        answer=[answer, caveat],
        passed=1 < share < 100 and ours.usd_a_day / calls < reference,
        criterion=f"cheaper than the managed reference ({share:.0f} % of it) by an amount that "
        "follows from named prices",
        parameters={
            "calls a day": calls,
            "cards a model": CARDS_A_MODEL,
            "cards at the peak": peak,
            "leased card-hours a day": leased_hours,
            "answers checked": SAMPLED,
            "wrong where unchecked": WRONG_SHARE,
            "price while leased / mean": course,
        },
        tables=[
            Table(
                "startup",
                (
                    "offer",
                    "USD a day",
                    "USD per 1000 calls",
                    "USD per 1000 correct calls",
                    "per cent of the first",
                ),
                rows,
            )
        ],
        plots=[Plot("startup", "Named, dated prices below.", figure_of([axis]))],
        prices=[p for n, p in prices.items() if n != "aws_a100_hour"],
    )


def _fleet(setting: Setting, tokens: float) -> tuple[int, float, float]:
    """Return cards at the peak hour, card-hours leased a day, and the price met over the mean.

    Calls come through the day as the market's own demand does, so they are leased when the price
    is high; the last number says how much that costs, from a simulated market.
    """
    scenario = Scenario(days=setting.days(14, 7), warmup_days=4)
    run = simulate(Dissipative(1.0), scenario, setting.seed)
    hours = np.arange(24)
    wave = 1 + scenario.daily_amplitude * np.cos(2 * np.pi * (hours - 15) / 24)
    per_second = tokens / 86_400 * wave
    speed = setting.prices["a100_llama_70b_tokens_second"].value
    cards = CARDS_A_MODEL * np.ceil(per_second / speed / CARDS_A_MODEL)
    inside = run.window(4, scenario.days)
    hourly = run.price_usd[inside].reshape(-1, 24, TICKS_PER_HOUR).mean(axis=(0, 2))
    met = float((cards * hourly).sum() / cards.sum() / hourly.mean())
    return int(cards.max()), float(cards.sum()), met


def cost_claim(setting: Setting) -> Finding:
    """Hold the paper's "1 % of today's cost" against the electricity bill."""
    prices = setting.prices
    market, cost = clearing_price(prices), device_hour_cost(dict(prices))
    reference = prices["sagemaker_a100_hour"].value
    steps = [
        ("1 % of SageMaker", reference / 100),
        ("electricity alone", prices["power_a100_hour"].value),
        ("a provider's cost", cost),
        ("LooPIN, break-even price", market),
        ("interruptible", prices["spot_a100_hour"].value),
        ("GPU cloud", prices["gpu_cloud_a100_hour"].value),
        ("AWS EC2", prices["aws_a100_hour"].value),
        ("SageMaker", reference),
    ]
    rows: list[tuple[Cell, ...]] = [(n, usd, 100 * usd / reference) for n, usd in steps]
    setting.progress(0.5)
    devices = (2_000.0, 4_000.0, 8_000.0, 12_000.0)
    hours = prices["device_life_years"].value * 8_760
    running = prices["power_a100_hour"].value + prices["hosting_a100_hour"].value
    shares = [
        100 * (device / hours + running) / (REFERENCE_TARGET * (1 - BURN)) / reference
        for device in devices
    ]
    axes = panels(2, height=4.0)
    drawn = axes[0].barh([n for n, _ in steps], [usd for _, usd in steps], color=COLOURS[0])
    axes[0].bar_label(
        drawn, labels=[f"{row[1]:.3f} USD, {row[2]:.1f} %" for row in rows], fontsize=8, padding=3
    )
    axes[0].margins(x=0.18)
    label(axes[0], title="An A100 for an hour", x="USD", y="")
    bars(axes[1], [f"{d:,.0f} USD" for d in devices], {"of the SageMaker price": shares})
    label(
        axes[1],
        title="LooPIN's break-even price, by what a provider paid for the device",
        x="device price",
        y="per cent",
    )
    floor = prices["power_a100_hour"].value
    answer = (
        f"One per cent of SageMaker's price is {reference / 100:.3f} USD an hour, less than the "
        f"electricity of the card ({floor:.3f} USD): it cannot be a market's price. What follows "
        f"from the named prices is {100 * market / reference:.0f} % of SageMaker and "
        f"{100 * market / prices['gpu_cloud_a100_hour'].value:.0f} % of a specialised GPU cloud, "
        f"or {min(shares):.0f} to {max(shares):.0f} % of SageMaker for devices of 2000 to "
        "12 000 USD."
    )
    return Finding(
        answer=[answer],
        passed=reference / 100 < floor < cost < market < reference,
        criterion="1 % of the reference < electricity < a provider's cost < LooPIN's break-even "
        "price < the reference",
        parameters={"utilisation": REFERENCE_TARGET, "burn": BURN},
        tables=[Table("claim", ("offer", "USD an hour", "per cent of SageMaker"), rows)],
        plots=[Plot("claim", "Report x % of a named reference; never 1 %.", figure_of(axes))],
        prices=list(prices.values())[:8],
    )
