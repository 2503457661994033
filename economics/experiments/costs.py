"""What a provider earns, what a client pays, and what may honestly be claimed about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from economics.experiments.markets import BURN
from economics.finding import Cell, Finding, Plot, Setting, Table
from economics.market import Scenario, simulate
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
    return device_hour_cost(prices) / (REFERENCE_TARGET * (1 - BURN))


USES: Final = (0.0, 0.25, 0.5, 0.65, 0.75, 0.85, 1.0)
COST_STEPS: Final = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
HOURS_A_MONTH: Final = 720


def provider_return(setting: Setting) -> Finding:
    """Compute a provider's return over utilisation and cost."""
    cost = device_hour_cost(setting.prices)
    price = clearing_price(setting.prices)
    rows = [
        (round(cost * step, 3), use, *_monthly(price, cost * step, use))
        for step in COST_STEPS
        for use in USES
    ]
    setting.progress(0.7)
    at_target, idle = _monthly(price, cost, REFERENCE_TARGET), _monthly(price, cost, 0.0)
    target, alone = at_target[-1], idle[-1]
    answer = (
        f"E = base*R + fee*U - cost - slashing risk. At the market's own price ({price:.3f} USD) "
        f"and target utilisation a device of reference cost earns {target:+.0f} USD a month, of "
        f"which the mint is {at_target[0]:.0f}; idle it loses {-alone:.0f}, because the mint is "
        "capped by a share of the market's value. A provider with half of the cost pays its way "
        "with less than a quarter of the use."
    )
    names = ("cost", "utilisation", "base", "fees", "cost a month", "slashing risk", "return")
    return Finding(
        answer=[answer],
        passed=target > 0 > alone,
        criterion=f"positive at target utilisation ({target:+.0f} USD a month), negative idle "
        f"({alone:+.0f}): nobody lives on issuance alone",
        parameters={
            "price, USD per device-hour": price,
            "burn": BURN,
            "chance of a missed check a day": MISS_CHANCE,
            "hours a month": HOURS_A_MONTH,
        },
        tables=[Table("returns", names, rows, "USD a month")],
        plots=[_return_plot(rows, at_target, idle)],
        prices=[setting.prices[n] for n in ("device_a100", "power_a100_hour", "hosting_a100_hour")],
    )


def _monthly(price: float, opex: float, use: float) -> tuple[float, ...]:
    """Return base, fees, cost, slashing risk and their sum, in USD a month."""
    parts = [HOURS_A_MONTH * part for part in _return(price, opex, use)]
    return *parts, sum(parts)


def _return_plot(
    rows: Sequence[tuple[float, ...]], at_target: Sequence[float], idle: Sequence[float]
) -> Plot:
    axes = panels(2)
    values = np.array([row[-1] for row in rows]).reshape(len(COST_STEPS), len(USES))
    heatmap(
        axes[0],
        values,
        x=USES,
        y=[row[0] for row in rows[:: len(USES)]],
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
    groups = {"at target utilisation": list(at_target), "idle": list(idle)}
    bars(axes[1], ["base", "fees", "cost", "slashing risk", "return"], groups)
    axes[1].axhline(0, color="black", linewidth=0.8)
    label(axes[1], title="What it is made of, at the reference cost", x="", y="USD a month")
    return Plot("returns", "Blue gains, red loses.", figure_of(axes))


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
    """Answer 100 000 Llama-3 calls a day in seven ways."""
    prices = setting.prices
    calls = prices["calls_a_day"].value
    tokens = calls * prices["tokens_a_call"].value
    fleet = _fleet(setting, tokens)
    market = clearing_price(prices)
    offers = _offers(prices, fleet, tokens, market)
    setting.progress(0.8)
    first, ours = offers[0], offers[-1]
    rows = [
        (
            offer.name,
            offer.usd_a_day,
            1_000 * offer.usd_a_day / calls,
            1_000 * offer.usd_correct / calls,
            100 * offer.usd_correct / first.usd_correct,
        )
        for offer in offers
    ]
    share = rows[-1][4]
    cheapest = 100 * ours.usd_correct / min(offer.usd_correct for offer in offers[:-2])
    answer = (
        f"At the price at which providers break even ({market:.3f} USD per device-hour) the calls "
        f"cost {rows[-1][3]:.2f} USD per thousand correct ones: {share:.0f} % of SageMaker sized "
        f"for the peak, and {cheapest:.0f} % of the cheapest other service in the table."
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
        passed=1 < share < 100,
        criterion=f"cheaper than the managed reference ({share:.0f} % of it) by an amount that "
        "follows from named prices",
        parameters=fleet.parameters(),
        tables=[Table("startup", _STARTUP_COLUMNS, rows)],
        plots=[_startup_plot(rows)],
        prices=[price for name, price in prices.items() if name != "aws_a100_hour"],
    )


_STARTUP_COLUMNS: Final = (
    "offer",
    "USD a day",
    "USD per 1000 calls",
    "USD per 1000 correct calls",
    "per cent of the first",
)


@dataclass(frozen=True, slots=True)
class _Fleet:
    """The cards that the calls need through a day."""

    peak: int
    leased_hours: float
    """Card-hours a day when cards are leased by the hour."""
    price_met: float
    """Price in the hours leased, over the mean price: calls come when everybody's do."""

    def parameters(self) -> dict[str, Cell]:
        """Return what the comparison rests on, as the report shows it."""
        return {
            "cards a model": CARDS_A_MODEL,
            "cards at the peak": self.peak,
            "leased card-hours a day": self.leased_hours,
            "price while leased / mean price": self.price_met,
            "answers checked": SAMPLED,
            "wrong where strangers are unchecked": WRONG_SHARE,
        }


def _offers(
    prices: Mapping[str, ReferencePrice], fleet: _Fleet, tokens: float, market: float
) -> list[_Offer]:
    """Return every way to have the calls answered; the reference first, ours last."""
    day = fleet.peak * 24
    millions = tokens / 1e6
    leased = market * fleet.price_met * fleet.leased_hours
    return [
        _Offer("SageMaker, sized for the peak", day * prices["sagemaker_a100_hour"].value),
        _Offer("GPU cloud, sized for the peak", day * prices["gpu_cloud_a100_hour"].value),
        _Offer("interruptible, sized for the peak", day * prices["spot_a100_hour"].value),
        _Offer("API, Bedrock", millions * prices["bedrock_llama_70b_mtok"].value),
        _Offer("API, Together", millions * prices["together_llama_70b_mtok"].value),
        _Offer("LooPIN's devices, were they unchecked", leased, wrong=WRONG_SHARE),
        _Offer("LooPIN, leased by the hour", leased, checking=SAMPLED),
    ]


def _startup_plot(rows: Sequence[tuple[str, float, float, float, float]]) -> Plot:
    (axis,) = panels(1, height=4.4)
    colours = [COLOURS[1]] * (len(rows) - 1) + [COLOURS[0]]
    drawn = axis.barh([row[0] for row in rows], [row[3] for row in rows], color=colours)
    axis.bar_label(drawn, fmt="%.2f", fontsize=8, padding=3)
    axis.invert_yaxis()
    label(axis, title="A thousand correct calls to Llama 3 70B", x="USD", y="")
    return Plot("startup", "Named, dated prices below.", figure_of([axis]))


def _fleet(setting: Setting, tokens: float) -> _Fleet:
    """Return the cards for a day of calls, which come through it as the market's demand does."""
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
    return _Fleet(int(cards.max()), float(cards.sum()), met)


def cost_claim(setting: Setting) -> Finding:
    """Hold the paper's "1 % of today's cost" against the electricity bill."""
    prices = setting.prices
    market, cost = clearing_price(prices), device_hour_cost(prices)
    reference = prices["sagemaker_a100_hour"].value
    power, cloud = prices["power_a100_hour"].value, prices["gpu_cloud_a100_hour"].value
    steps = {
        "1 % of SageMaker": reference / 100,
        "electricity alone": power,
        "a provider's cost": cost,
        "LooPIN, break-even price": market,
        "interruptible": prices["spot_a100_hour"].value,
        "GPU cloud": cloud,
        "AWS EC2": prices["aws_a100_hour"].value,
        "SageMaker": reference,
    }
    rows = [(name, usd, 100 * usd / reference) for name, usd in steps.items()]
    setting.progress(0.5)
    shares = [100 * _break_even_for(prices, device) / reference for device in DEVICE_PRICES]
    answer = (
        f"One per cent of SageMaker's price is {reference / 100:.3f} USD an hour, less than the "
        f"electricity of the card ({power:.3f} USD): it cannot be a market's price. What follows "
        f"from the named prices is {100 * market / reference:.0f} % of SageMaker and "
        f"{100 * market / cloud:.0f} % of a specialised GPU cloud, or {min(shares):.0f} to "
        f"{max(shares):.0f} % of SageMaker for devices of 2000 to 12 000 USD."
    )
    return Finding(
        answer=[answer],
        passed=reference / 100 < power < cost < market < reference,
        criterion="1 % of the reference < electricity < a provider's cost < LooPIN's break-even "
        "price < the reference",
        parameters={"utilisation": REFERENCE_TARGET, "burn": BURN},
        tables=[Table("claim", ("offer", "USD an hour", "per cent of SageMaker"), rows)],
        plots=[_claim_plot(rows, shares)],
        prices=list(prices.values())[:8],
    )


DEVICE_PRICES: Final = (2_000.0, 4_000.0, 8_000.0, 12_000.0)


def _break_even_for(prices: Mapping[str, ReferencePrice], device_usd: float) -> float:
    """Return the price at which providers break even who paid ``device_usd`` for a device."""
    device = replace(prices["device_a100"], value=device_usd)
    return clearing_price({**prices, "device_a100": device})


def _claim_plot(rows: Sequence[tuple[str, float, float]], shares: Sequence[float]) -> Plot:
    axes = panels(2, height=4.0)
    drawn = axes[0].barh([row[0] for row in rows], [row[1] for row in rows], color=COLOURS[0])
    texts = [f"{usd:.3f} USD, {share:.1f} %" for _, usd, share in rows]
    axes[0].bar_label(drawn, labels=texts, fontsize=8, padding=3)
    axes[0].margins(x=0.18)
    label(axes[0], title="An A100 for an hour", x="USD", y="")
    names = [f"{device:,.0f} USD" for device in DEVICE_PRICES]
    bars(axes[1], names, {"of the SageMaker price": shares})
    label(
        axes[1],
        title="LooPIN's break-even price, by what a provider paid for the device",
        x="device price",
        y="per cent",
    )
    return Plot("claim", "A share of a named reference, not one per cent.", figure_of(axes))
