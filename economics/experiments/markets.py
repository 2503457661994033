"""How a market behaves undisturbed: where it settles, and which rule serves it best."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from economics.finding import Cell, Finding, Plot, Setting, Table
from economics.market import Run, Scenario, SupplyPolicy, simulate
from economics.plots import figure_of, label, lines, log_y, panels, smooth
from economics.prices import device_hour_cost
from economics.rules import TICKS_PER_DAY, TICKS_PER_HOUR, Dissipative, contenders

SEEDS: Final = 3
BURN: Final = 0.2

REFERENCE_RACE: Final = {
    "fixed": (0.03, 0.77),
    "constant product": (0.41, 0.44),
    "literal (D/R)^2": (1.19, 0.77),
    "EIP-1559": (2.97, 0.75),
    "ours": (0.26, 0.75),
}
"""Daily swing and utilisation of the steady scenario in the prototype the rule was chosen with."""


def equilibrium(setting: Setting) -> Finding:
    """Let providers come and go from three starting points."""
    cost = device_hour_cost(setting.prices)
    days = setting.days(75, 20)
    base = Scenario(days=days, warmup_days=days - 10, demand_supply=1_000)
    predicted = (1 - BURN) * base.demand * 1_000 * base.reference_usd / cost
    runs = _from_three_sides(setting, base, predicted, cost)
    rows = [
        (
            name,
            float(run.supply[run.window(days - 10, days)].mean()),
            run.mean_utilisation(),
            float(run.price_usd[run.window(days - 10, days)].mean()),
        )
        for name, run in runs.items()
    ]
    ends, uses = [row[1] for row in rows], [row[2] for row in rows]
    spread = max(ends) / min(ends) - 1
    answer = (
        f"Providers enter while a device earns more than its {cost:.3f} USD an hour and leave when "
        f"it earns less. From 40 %, 100 % and 200 % of the predicted {predicted:.0f} devices "
        f"(dashed) the market ends between {min(ends):.0f} and {max(ends):.0f}."
    )
    meaning = "What is not burned of the price, times utilisation, is then what a device costs."
    names = ("start", "devices", "utilisation", "USD per device-hour")
    return Finding(
        answer=[answer, meaning],
        passed=spread < 0.1 and all(0.7 < use < 0.8 for use in uses),
        criterion=f"ends within 10 % of each other ({spread:.1%}) and utilisation in 0.70-0.80 "
        f"({min(uses):.2f} to {max(uses):.2f})",
        parameters=steady_parameters(base) | {"cost of a device-hour": cost, "burn": BURN},
        tables=[Table("ends", names, rows, "Mean of the last ten days")],
        plots=[_equilibrium_plot(runs, predicted)],
        prices=[setting.prices[n] for n in ("device_a100", "device_life_years", "power_a100_hour")],
    )


def _from_three_sides(
    setting: Setting, base: Scenario, predicted: float, cost: float
) -> dict[str, Run]:
    runs = {}
    for index, share in enumerate((0.4, 1.0, 2.0)):
        start = round(predicted * share)
        scenario = replace(base, supply=float(start))
        runs[f"from {start} devices"] = simulate(
            Dissipative(1.0), scenario, setting.seed, _entry_and_exit(cost)
        )
        setting.progress((index + 1) / 3)
    return runs


def _equilibrium_plot(runs: Mapping[str, Run], predicted: float) -> Plot:
    axes = panels(2)
    day = next(iter(runs.values())).day
    lines(axes[0], day, {name: run.supply for name, run in runs.items()})
    axes[0].axhline(predicted, color="black", linewidth=0.8, linestyle="--")
    label(axes[0], title="Supply finds the same level from anywhere", x="day", y="devices")
    lines(axes[1], day, {n: smooth(r.price_usd, TICKS_PER_DAY) for n, r in runs.items()})
    label(axes[1], title="So does the price", x="day", y="USD per device-hour (daily mean)")
    caption = "Three starting points; dashed: the predicted supply."
    return Plot("equilibrium", caption, figure_of(axes))


def _entry_and_exit(cost: float) -> SupplyPolicy:
    """Return providers who grow with the margin, and leave no faster than the exit queue lets."""

    def policy(day: float, income: float, supply: float) -> float:
        if day < 1:
            return supply
        margin = income * (1 - BURN) / cost - 1
        rate = max(-0.125, min(0.15, 0.25 * margin))
        return max(10.0, supply * (1 + rate / TICKS_PER_DAY))

    return policy


def rule_race(setting: Setting) -> Finding:
    """Run five rules through the same steady weeks."""
    scenario = Scenario(days=setting.days(21, 8))
    runs = race(setting, scenario)
    rows = _race_rows(runs)
    swings = {str(row[0]): float(row[1]) for row in rows}
    use, swing = float(rows[-1][3]), swings["ours"]
    rivals = min(v for name, v in swings.items() if name not in {"ours", "fixed"})
    answer = (
        f"Ours holds utilisation at {use:.2f} and its price moves {swing:.0%} within a day, "
        f"the least of every rule that answers to demand (the next: {rivals:.0%})."
    )
    others = (
        "A fixed price refuses clients every afternoon and would need somebody to set it. "
        "Constant product leaves more than half of the devices idle. Under the literal rule and "
        "EIP-1559 a client who comes at the wrong hour pays twice what another pays."
    )
    prototype = (
        "Against the prototype: utilisation of all five rules, and the swing of the fixed price, "
        "of constant product and of ours, agree within noise. The swings of the literal rule and "
        "of EIP-1559 come out smaller here, in the same order; they depend on how long leases last "
        "and how lumpy arrivals are, of which the prototype left no record."
    )
    first = {name: several[0] for name, several in runs.items()}
    week = first["ours"].window(scenario.days - 7, scenario.days)
    names = (
        "rule",
        "daily swing",
        "prototype swing",
        "utilisation",
        "prototype utilisation",
        "refused",
    )
    return Finding(
        answer=[answer, others, prototype],
        passed=abs(use - 0.75) < 0.03 and swing < 0.4 and swing < rivals,
        criterion=f"ours: utilisation within 0.03 of 0.75 ({use:.3f}), swing below 40 % "
        f"({swing:.0%}) and below every other rule but a fixed price ({rivals:.0%})",
        parameters=steady_parameters(scenario) | {"seeds": len(next(iter(runs.values())))},
        tables=[
            Table("race", names, rows, "Steady market, mean over seeds"),
            course("last_week", first, week),
        ],
        plots=[_race_plot(first, week)],
    )


def _race_rows(runs: Mapping[str, list[Run]]) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for name, several in runs.items():
        swing = float(np.mean([run.daily_swing() for run in several]))
        use = float(np.mean([run.mean_utilisation() for run in several]))
        refused = float(np.mean([run.refused_share() for run in several]))
        rows.append((name, swing, REFERENCE_RACE[name][0], use, REFERENCE_RACE[name][1], refused))
    return rows


def _race_plot(runs: Mapping[str, Run], week: NDArray[np.bool_]) -> Plot:
    axes = panels(2)
    day = runs["ours"].day[week]
    lines(axes[0], day, {n: smooth(r.price_usd, TICKS_PER_HOUR)[week] for n, r in runs.items()})
    log_y(axes[0])
    label(axes[0], title="Price in the last week", x="day", y="USD per device-hour (log)")
    lines(axes[1], day, {n: smooth(r.utilisation, TICKS_PER_HOUR)[week] for n, r in runs.items()})
    label(axes[1], title="Utilisation in the last week", x="day", y="leased / supply")
    return Plot("race", "One seed, hourly means.", figure_of(axes))


def race(setting: Setting, scenario: Scenario, part: float = 1.0) -> dict[str, list[Run]]:
    """Run every rule through a scenario, once per seed; ``part`` is this work's share of all."""
    makers = contenders(scenario.reference_usd)
    seeds = setting.seeds(SEEDS)
    runs: dict[str, list[Run]] = {}
    for index, (name, make) in enumerate(makers.items()):
        runs[name] = [simulate(make(), scenario, seed) for seed in seeds]
        setting.progress(part * (index + 1) / len(makers))
    return runs


def course(name: str, runs: Mapping[str, Run], window: NDArray[np.bool_]) -> Table:
    """Return the hourly course of some runs as rows for a CSV file."""
    ticks = np.flatnonzero(window)[::TICKS_PER_HOUR].tolist()
    rows = [
        (
            rule,
            float(run.day[tick]),
            float(run.price_usd[tick]),
            float(run.utilisation[tick]),
            float(run.supply[tick]),
        )
        for rule, run in runs.items()
        for tick in ticks
    ]
    columns = ("rule", "day", "USD per device-hour", "utilisation", "supply")
    return Table(name, columns, rows, "Course by the hour", is_series=True)


def steady_parameters(scenario: Scenario) -> dict[str, Cell]:
    """Return the assumptions of a market as a report shows them."""
    return {
        "days": scenario.days,
        "devices": scenario.supply,
        "demand at the reference price": scenario.demand,
        "elasticity of demand": scenario.elasticity,
        "daily demand, plus or minus": scenario.daily_amplitude,
        "mean lease, hours": scenario.life_hours,
        "reference price, USD per device-hour": scenario.reference_usd,
        "token volatility a day": scenario.token_volatility,
    }
