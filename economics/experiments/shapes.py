"""Which shapes of the rule are stable, which pools too small, and what a lease's shape costs."""

from dataclasses import replace
from typing import Final

import numpy as np
from matplotlib.patches import Rectangle
from numpy.lib.stride_tricks import sliding_window_view

from economics.finding import Cell, Finding, Plot, Setting, Table
from economics.market import Run, Scenario, Shock, fluid, simulate
from economics.plots import bars, figure_of, heatmap, label, lines, panels
from economics.rules import BASE_UNITS, MILLI, TICKS_PER_DAY, TICKS_PER_HOUR, Dissipative
from runtime.pools.parameters import DEFAULT_CURVE
from runtime.pools.pricing import ONE_Q16, Blocks, Curve, Units, cost, value_of_top
from runtime.pools.settlement import Stream, Terms, end_early, extension_cost

EXPONENTS: Final = (1, 2, 3)
FLOORS: Final = (0.0, 0.25, 0.5, 0.625, 0.75, 0.8125, 0.875, 0.9375)
STEEPNESS_ALLOWED: Final = (0.25, 0.75)
SWING_MAX: Final = 0.40
GAINS: Final = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
LIVES: Final = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
POOLS: Final = (8, 16, 32, 64, 128, 256, 512, 1_000)


def stability_shape(setting: Setting) -> Finding:
    """Map the daily swing over exponent and floor."""
    scenario = Scenario(days=setting.days(14, 8), warmup_days=5)
    swings = np.zeros((len(EXPONENTS), len(FLOORS)))
    rows: list[tuple[Cell, ...]] = []
    for i, exponent in enumerate(EXPONENTS):
        for j, floor in enumerate(FLOORS):
            curve = replace(DEFAULT_CURVE, exponent=exponent, floor_q16=round(floor * ONE_Q16))
            swings[i, j] = fluid(Dissipative(1.0, curve=curve), scenario).daily_swing()
            steep = exponent * (1 - floor)
            rows.append((exponent, floor, steep, float(swings[i, j]), _allowed(steep)))
            setting.progress((i * len(FLOORS) + j + 1) / swings.size)
    inside = max(float(row[3]) for row in rows if row[4] == "yes")
    outside = max(float(row[3]) for row in rows if row[4] == "no")
    (axis,) = panels(1, height=3.6)
    heatmap(axis, swings, x=FLOORS, y=EXPONENTS, colour_label="max / min - 1", form="{:.0%}")
    label(
        axis,
        title="Daily swing of the price; allowed are 0.25 <= a(1-w) <= 0.75",
        x="floor w",
        y="exponent a",
    )
    for i, exponent in enumerate(EXPONENTS):
        for j, floor in enumerate(FLOORS):
            if _allowed(exponent * (1 - floor)) == "yes":
                axis.add_patch(_frame(j, i))
    answer = (
        f"With demand moving 35 % up and down each day, every shape that the runtime allows "
        f"(framed) swings by at most {inside:.0%}; the steepest of the others by {outside:.0%}. "
        "What counts is the elasticity at target, a(1-w), hardly how it is made up."
    )
    return Finding(
        answer=[answer],
        passed=inside <= SWING_MAX < outside,
        criterion=f"allowed shapes swing at most 40 % a day ({inside:.0%}), some refused ones more "
        f"({outside:.0%})",
        parameters={"days": scenario.days, "gain a day": 2.0, "mean lease, hours": 6.0},
        tables=[Table("shapes", ("exponent", "floor", "a(1-w)", "daily swing", "allowed"), rows)],
        plots=[Plot("shapes", "Each cell is a market without chance.", figure_of([axis]))],
    )


def stability_gain(setting: Setting) -> Finding:
    """Map the overshoot after a step of demand over gain and mean lease life."""
    overshoot = np.zeros((len(GAINS), len(LIVES)))
    rows: list[tuple[Cell, ...]] = []
    worst = 0.0
    for i, gain in enumerate(GAINS):
        for j, life in enumerate(LIVES):
            overshoot[i, j] = _overshoot(gain, life)
            bound = _gain_bound(life)
            verdict = "damped" if gain <= bound else "may ring"
            if gain <= bound:
                worst = max(worst, float(overshoot[i, j]))
            rows.append((gain, life, bound, verdict, float(overshoot[i, j])))
            setting.progress((i * len(LIVES) + j + 1) / overshoot.size)
    (axis,) = panels(1, height=4.2)
    heatmap(axis, overshoot, x=LIVES, y=GAINS, colour_label="overshoot", form="{:.0%}")
    places = np.interp([_gain_bound(life) for life in LIVES], GAINS, range(len(GAINS)))
    axis.plot(range(len(LIVES)), places, color="#0b6e99", linewidth=2.5, label="the bound")
    label(
        axis,
        title="How far the price overshoots after demand rises by 30 %",
        x="mean lease, hours",
        y="gain K per day",
    )
    answer = (
        "A controller that is faster than the leases it acts through rings. Below the bound "
        f"K <= (1 + a_e*e)^2 / (4*e*lease life) the overshoot is at most {worst:.0%}. With "
        "six-hour leases the default K = 2 is just inside; K = 4 is for pools of short leases."
    )
    return Finding(
        answer=[answer],
        passed=worst < 0.1,
        criterion=f"below the bound the price overshoots by less than 10 % ({worst:.1%})",
        parameters={"elasticity at target a_e": 0.5, "elasticity of demand e": 1.0},
        tables=[
            Table("gains", ("gain K", "lease, hours", "bound on K", "theory", "overshoot"), rows)
        ],
        plots=[
            Plot("gains", "Blue: the bound from theory; below it is damped.", figure_of([axis]))
        ],
    )


def shallow_pools(setting: Setting) -> Finding:
    """Run pools of 8 to 1000 devices with and without virtual depth."""
    depths = {
        "virtual depth 64": DEFAULT_CURVE,
        "none": replace(DEFAULT_CURVE, virtual_depth=Units(0)),
    }
    swings: dict[str, list[float]] = {name: [] for name in depths}
    jumps: dict[str, list[float]] = {name: [] for name in depths}
    rows: list[tuple[Cell, ...]] = []
    for index, size in enumerate(POOLS):
        scenario = Scenario(days=setting.days(14, 8), warmup_days=4, supply=float(size))
        for name, curve in depths.items():
            run = simulate(Dissipative(1.0, curve=curve), scenario, setting.seed)
            swings[name].append(run.daily_swing())
            jumps[name].append(_jump(curve, size))
            rows.append((size, name, swings[name][-1], jumps[name][-1], run.mean_utilisation()))
        setting.progress((index + 1) / len(POOLS))
    axes = panels(2)
    names = [str(size) for size in POOLS]
    bars(axes[0], names, {n: [100 * v for v in values] for n, values in jumps.items()})
    label(
        axes[0],
        title="How much one lease of 4 devices moves the price",
        x="devices in the pool",
        y="per cent",
    )
    bars(axes[1], names, {n: [100 * v for v in values] for n, values in swings.items()})
    label(axes[1], title="Daily swing", x="devices in the pool", y="per cent")
    worst = max(jumps["virtual depth 64"])
    passed = worst < 0.1 and np.mean(swings["virtual depth 64"]) < np.mean(swings["none"])
    answer = (
        f"Without virtual depth a lease of four devices moves the price of a pool of eight by "
        f"{jumps['none'][0]:.0%}; with it by {jumps['virtual depth 64'][0]:.1%}. From some 500 "
        "devices on it makes no difference, which is what it is for."
    )
    return Finding(
        answer=[answer],
        passed=bool(passed),
        criterion=f"with virtual depth one lease moves no pool's price by 10 % ({worst:.1%}), and "
        "the mean swing is smaller than without",
        parameters={"days": setting.days(14, 8), "lease, devices": 4, "leased before": "half"},
        tables=[
            Table("pools", ("devices", "depth", "daily swing", "price jump", "utilisation"), rows)
        ],
        plots=[Plot("pools", "The ladder of pool sizes.", figure_of(axes))],
    )


def lease_shapes(setting: Setting) -> Finding:
    """Price one day of eight devices in every way it can be bought and ended."""
    shapes = _ways_to_buy()
    whole = shapes["at once"]
    rows = [
        (name, amount / BASE_UNITS, (amount - whole) / whole * 100)
        for name, amount in shapes.items()
    ]
    ended = _ended_early(Dissipative(1.0), whole)
    setting.progress(0.5)
    locked, rolled = _lock_against_rolling(setting)
    cheapest, dearest, mean = min(locked), max(locked), float(np.mean(rolled))
    answer = (
        "No way to cut a lease up is cheaper than buying it at once, and no early end is cheaper "
        "than having bought the shorter lease."
    )
    caveat = (
        f"A price locked for a day ignores the hour: bought at the cheapest hour it costs "
        f"{cheapest:.3f} tokens per device-hour, at the dearest {dearest:.3f}, while buying hour "
        f"by hour costs {mean:.3f}. Clients with day-long work will wait for that hour and "
        f"save {1 - cheapest / mean:.0%}; that flattens the wave, and the longest lock bounds it."
    )
    names = ("hours used", "refund, tokens", "bought so", "paid per hour used")
    return Finding(
        answer=[answer, caveat],
        passed=min(shapes.values()) >= whole
        and all(float(row[3]) >= float(row[2]) for row in ended),
        criterion="no parts are cheaper than the whole, and no early end than the shorter lease",
        parameters={"leased before": 700, "supply": 1_000, "early-end fee": 0.05, "devices": 8},
        tables=[
            Table("shapes", ("shape", "tokens", "dearer by, per cent"), rows, "A day of 8 devices"),
            Table("endings", names, ended, "Ended early, price unchanged"),
        ],
        plots=[_lease_plot(ended, locked, rolled)],
    )


def _ways_to_buy() -> dict[str, int]:
    """Return what a day of eight devices costs in base units, by the way it is bought."""
    market = Dissipative(1.0).market(700.0, 1_000.0)
    eight, day, half = Units(8 * MILLI), Blocks(TICKS_PER_DAY), Blocks(TICKS_PER_DAY // 2)
    single = (replace(market, leased=Units(market.leased + i * MILLI)) for i in range(8))
    after = replace(market, leased=Units(market.leased + eight))
    return {
        "at once": cost(DEFAULT_CURVE, market, eight, day),
        "24 single hours": 24 * cost(DEFAULT_CURVE, market, eight, Blocks(TICKS_PER_HOUR)),
        "8 single devices": sum(cost(DEFAULT_CURVE, one, Units(MILLI), day) for one in single),
        "half a day, extended": cost(DEFAULT_CURVE, market, eight, half)
        + extension_cost(DEFAULT_CURVE, after, eight, half),
    }


def _lease_plot(ended: list[tuple[float, ...]], locked: list[float], rolled: list[float]) -> Plot:
    axes = panels(2)
    groups = {
        "paid per hour used": [row[3] for row in ended],
        "had it been bought so": [row[2] for row in ended],
    }
    bars(axes[0], [f"{row[0]:.0f} h" for row in ended], groups)
    label(axes[0], title="Ending a day's lease early", x="hours used", y="tokens per device-hour")
    lines(axes[1], range(len(locked)), {"locked for a day": locked, "hour by hour": rolled})
    label(
        axes[1],
        title="One device for a day, by the hour at which it is bought",
        x="hour of the day",
        y="tokens per device-hour",
    )
    caption = "Early ends, and the lock against buying by the hour."
    return Plot("leases", caption, figure_of(axes))


def _ended_early(rule: Dissipative, paid: int) -> list[tuple[float, ...]]:
    """Return, per hours used, the refund and the tokens per device-hour paid in the end."""
    terms = Terms(200_000_000, 800_000_000, 50_000_000, rent_min=Blocks(TICKS_PER_HOUR))
    market = rule.market(708.0, 1_000.0)
    before = rule.market(700.0, 1_000.0)
    units = Units(8 * MILLI)
    rows: list[tuple[float, ...]] = []
    for hours in (1, 2, 4, 8, 16, 23):
        used = Blocks(hours * TICKS_PER_HOUR)
        left = Blocks(TICKS_PER_DAY - used)
        worth = value_of_top(DEFAULT_CURVE, market, units, left)
        whole = cost(DEFAULT_CURVE, before, units, Blocks(TICKS_PER_DAY))
        stream, _ = Stream.opened(terms, whole, Blocks(TICKS_PER_DAY)).advanced(used)
        refund = end_early(terms, stream, used, value=worth).refund
        short = cost(DEFAULT_CURVE, before, units, used)
        per_hour = BASE_UNITS * 8 * hours
        rows.append((hours, refund / BASE_UNITS, short / per_hour, (paid - refund) / per_hour))
    return rows


def _lock_against_rolling(setting: Setting) -> tuple[list[float], list[float]]:
    """Return, by the hour of buying, the locked price and the mean of the next 24 hours' prices."""
    days = int(setting.days(28, 10))
    run: Run = simulate(Dissipative(1.0), Scenario(days=days, warmup_days=4), setting.seed)
    hourly = run.price_token.reshape(days, 24, TICKS_PER_HOUR).mean(axis=2)[4:]
    ahead = sliding_window_view(hourly.ravel(), 24)[: hourly.size - 24].mean(axis=1)
    locked = hourly[:-1].mean(axis=0)
    rolled = ahead.reshape(-1, 24).mean(axis=0)
    return locked.tolist(), rolled.tolist()


def _overshoot(gain: float, life: float) -> float:
    """Return how far the price passes its new level after a step of demand, over the step."""
    scenario = Scenario(
        days=16,
        daily_amplitude=0.0,
        life_hours=life,
        demand=0.75,
        shocks=(Shock("demand", 4, 99, 1.3),),
    )
    run = fluid(Dissipative(1.0, gain_per_day=gain, clamp_per_day=1.5), scenario)
    before = float(run.price_usd[run.window(3.5, 4)].mean())
    # The new level follows from the target alone: demand up by 30 % at unit elasticity.
    final = before * 1.3
    peak = float(run.price_usd[run.window(4, 16)].max())
    return max(0.0, (peak - final) / (final - before))


def _gain_bound(life_hours: float, steepness: float = 0.5, elasticity: float = 1.0) -> float:
    return (1 + steepness * elasticity) ** 2 / (4 * elasticity * life_hours / 24)


def _jump(curve: Curve, size: int) -> float:
    """Return by how much a lease of 4 devices moves the price of a pool that is half leased."""
    rule = Dissipative(1.0, curve=curve)
    before = rule.price(size / 2, size)
    return rule.price(size / 2 + 4, size) / before - 1


def _allowed(steepness: float) -> str:
    return "yes" if STEEPNESS_ALLOWED[0] <= steepness <= STEEPNESS_ALLOWED[1] else "no"


def _frame(column: int, row: int) -> Rectangle:
    return Rectangle(
        (column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#0b6e99", linewidth=2.5
    )
