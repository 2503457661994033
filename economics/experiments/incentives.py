"""What it pays to do: burn, wash trading, withholding, sandwiching, passing through, faking."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from economics.experiments.markets import BURN, steady_parameters
from economics.finding import Cell, Finding, Plot, Setting, Table
from economics.market import Floats, Scenario, SupplyPolicy, fluid, simulate
from economics.plots import figure_of, heatmap, label, lines, mark_days, panels, smooth
from economics.prices import device_hour_cost
from economics.rules import (
    BASE_UNITS,
    MILLI,
    TICKS_PER_DAY,
    TICKS_PER_HOUR,
    Dissipative,
    price_to_q32,
)
from primitives.types import Balance
from runtime.issuance import IssuanceParameters, Usage, epoch_mint
from runtime.pools.parameters import DEFAULT_CURVE
from runtime.pools.pricing import Blocks, Units, cost, value_of_top
from runtime.pools.settlement import Stream, Terms, end_early, pay_out

BURNS: Final = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
SHARES: Final = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75)
RECYCLED: Final = 0.5
LEASED_BEFORE: Final = 0.25
POOL: Final = 1_000.0


def burn_slider(setting: Setting) -> Finding:
    """Turn the burn from nothing to half, and see who gains."""
    cost_hour = device_hour_cost(setting.prices)
    rows: list[tuple[Cell, ...]] = []
    nets: dict[str, list[float]] = {"owns 25 %": [], "owns 50 %": []}
    supplies: list[float] = []
    for index, burn in enumerate(BURNS):
        supplies.append((1 - burn) * 770.0 / cost_hour)
        nets["owns 25 %"].append(wash_gain(0.25, burn))
        nets["owns 50 %"].append(wash_gain(0.5, burn))
        rows.append((burn, supplies[-1], nets["owns 25 %"][-1], nets["owns 50 %"][-1]))
        setting.progress((index + 1) / len(BURNS))
    at = dict(zip(BURNS, nets["owns 50 %"], strict=True))
    axes = panels(2)
    lines(axes[0], [100 * b for b in BURNS], {n: [100 * v for v in vs] for n, vs in nets.items()})
    axes[0].axhline(0, color="black", linewidth=0.8)
    axes[0].axvspan(10, 30, color="#f2c14e", alpha=0.25)
    label(
        axes[0],
        title="What renting one's own machines gains (yellow: what a pool may choose)",
        x="burn, per cent",
        y="per cent of what is paid",
    )
    lines(axes[1], [100 * b for b in BURNS], {"devices that pay their way": supplies})
    label(
        axes[1],
        title="What the burn costs: devices that 770 USD an hour can keep",
        x="burn, per cent",
        y="devices",
    )
    answer = (
        f"An owner of half of the pool who rents its own machines, all of them served by itself, "
        f"gains {at[0.1]:+.1%} of what it pays at a burn of 10 % and {at[0.2]:+.1%} at 20 %: what "
        "it wins is a larger mint for everyone, what it loses is burned. From 20 % on it loses "
        f"for any share up to a half. The price of that is {1 - supplies[4] / supplies[0]:.0%} "
        "fewer devices than without a burn, at the same spending."
    )
    return Finding(
        answer=[answer],
        passed=at[0.1] > 0 > at[0.2],
        criterion=f"self-renting at half of the pool gains at 10 % ({at[0.1]:+.1%}) and loses at "
        f"20 % ({at[0.2]:+.1%})",
        parameters=_wash_parameters() | {"cost of a device-hour, USD": cost_hour},
        tables=[Table("burn", ("burn", "devices", "gain owning 25 %", "gain owning 50 %"), rows)],
        plots=[Plot("burn", "Gain of self-renting, and supply.", figure_of(axes))],
        prices=[setting.prices[n] for n in ("device_a100", "power_a100_hour")],
    )


def wash_trader(setting: Setting) -> Finding:
    """Rent one's own machines, at every share of the pool."""
    worst, drawn = [], []
    rows: list[tuple[Cell, ...]] = []
    for index, share in enumerate(SHARES):
        worst.append(wash_gain(share, BURN))
        drawn.append(wash_gain(share, BURN, served_by_self=share))
        rows.append((share, worst[-1], drawn[-1]))
        setting.progress((index + 1) / len(SHARES))
    (axis,) = panels(1)
    shares = [100 * share for share in SHARES]
    lines(
        axis,
        shares,
        {
            "all served by its own machines": [100 * w for w in worst],
            "servers drawn by lot, as on the chain": [100 * d for d in drawn],
        },
    )
    axis.axhline(0, color="black", linewidth=0.8)
    label(
        axis,
        title="What renting one's own machines gains",
        x="share of the pool, per cent",
        y="per cent of what is paid",
    )
    limit = max(w for w, share in zip(worst, SHARES, strict=True) if share <= 0.5)
    answer = (
        f"At a burn of 20 % a wash trader with up to half of the pool loses at least {-limit:.1%} "
        "of what it pays even if every lease came to its own machines; drawn by lot, it loses "
        f"{-drawn[0]:.0%} with a twentieth of the pool and {-drawn[5]:.0%} with half. Counted are "
        "its pay as server, its share of the pool's part, of the recycled burn and of the mint "
        "that its use adds, all by the chain's own code."
    )
    return Finding(
        answer=[answer],
        passed=limit < 0,
        criterion=f"no share up to 50 % gains, at best {limit:+.1%}",
        parameters=_wash_parameters() | {"burn": BURN},
        tables=[Table("wash", ("share", "gain, all own", "gain, by lot"), rows)],
        plots=[Plot("wash", "Gain over what is paid.", figure_of([axis]))],
    )


def wash_gain(share: float, burn: float, *, served_by_self: float = 1.0) -> float:
    """Return what renting a tenth of a quiet pool from oneself gains, over what it costs.

    The pool is a quarter leased, so that the added use raises the mint in full: the best moment.
    """
    rule = Dissipative(1.0)
    before = rule.market(LEASED_BEFORE * POOL, POOL)
    units, day = Units(round(0.1 * POOL * MILLI)), Blocks(TICKS_PER_DAY)
    paid = cost(DEFAULT_CURVE, before, units, day)
    terms = Terms(round(burn * 1e9), 800_000_000, 50_000_000, Blocks(TICKS_PER_HOUR))
    payout = pay_out(terms, paid)
    added = _mint(LEASED_BEFORE + 0.1) - _mint(LEASED_BEFORE)
    back = (
        payout.to_provider * served_by_self
        + payout.to_pool * share
        + payout.burned * RECYCLED * share
        + added * share
    )
    return back / paid - 1


def _mint(use: float) -> int:
    """Return a day's mint at a utilisation, with a pot so large that the value cap decides it."""
    parameters = IssuanceParameters(half_life_epochs=1_095, supply_base=Units(int(POOL * MILLI)))
    usage = Usage(
        supply=Units(int(POOL * MILLI)),
        average_q32=int(use * 2**32),
        target_q16=DEFAULT_CURVE.target_q16,
        base_price=price_to_q32(1.0),
        blocks=Blocks(TICKS_PER_DAY),
    )
    full = replace(usage, average_q32=DEFAULT_CURVE.target_q16 << 16)
    cap = epoch_mint(parameters, Balance(10**19), full)
    # The pot from which an epoch at target mints exactly what the value cap allows.
    pot = Balance(cap * parameters.half_life_epochs * 1_000 // 693)
    return epoch_mint(parameters, pot, usage)


def withholding_and_sandwich(setting: Setting) -> Finding:
    """Keep machines back to raise the price; buy before a client and sell after."""
    rows: list[tuple[float, ...]] = []
    for index, elasticity in enumerate(ELASTICITIES):
        base = _income(elasticity, 0.0) * WITHHOLDER
        for back in KEPT_BACK:
            mine = _income(elasticity, back) * (WITHHOLDER - back) / (1 - back)
            rows.append((elasticity, back, mine / base - 1))
        setting.progress(0.9 * (index + 1) / len(ELASTICITIES))
    sandwich = [(float(size), _sandwich(size)) for size in (1, 5, 10, 25, 50, 100)]
    best = max(gain for _, back, gain in rows if back > 0)
    most = max(gain for _, gain in sandwich)
    answer = (
        f"Keeping machines back loses income at every elasticity tried (at best {best:+.1%} for an "
        "owner of 40 %): total spending moves less than the owner's share of it. The arithmetic "
        "says it pays only for a share above the elasticity of demand. A sandwich always loses "
        f"(at best {most:+.3f} tokens): a lease cannot be sold on, and giving it back returns at "
        "most what it is worth, less the shortest rent and 5 %."
    )
    return Finding(
        answer=[answer],
        passed=best < 0 and most < 0,
        criterion=f"withholding gains nothing at 40 % of the pool ({best:+.1%}), nor does any "
        f"sandwich ({most:+.3f} tokens)",
        parameters={"owner's share": WITHHOLDER, "devices": POOL, "client's lease, devices": 50},
        tables=[
            Table("withholding", ("elasticity", "kept back", "change of income"), rows),
            Table("sandwich", ("attacker's devices", "tokens gained"), sandwich),
        ],
        plots=[_attack_plot(rows, sandwich)],
    )


ELASTICITIES: Final = (0.5, 1.0, 1.5)
KEPT_BACK: Final = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
WITHHOLDER: Final = 0.4


def _attack_plot(
    rows: Sequence[tuple[float, ...]], sandwich: Sequence[tuple[float, float]]
) -> Plot:
    axes = panels(2)
    gains = {
        f"elasticity {e:g}": [100 * gain for other, _, gain in rows if other == e]
        for e in ELASTICITIES
    }
    lines(axes[0], [100 * back for back in KEPT_BACK], gains)
    label(
        axes[0],
        title="Withholding, by an owner of 40 % of the pool",
        x="share of the pool kept back, per cent",
        y="change of its income, per cent",
    )
    lines(axes[1], [s for s, _ in sandwich], {"net of the sandwich": [g for _, g in sandwich]})
    label(
        axes[1],
        title="Buy before a client's 50 devices, give back after",
        x="attacker's devices",
        y="tokens gained",
    )
    for axis in axes:
        axis.axhline(0, color="black", linewidth=0.8)
    return Plot("attacks", "Two ways to play the price.", figure_of(axes))


def _income(elasticity: float, kept_back: float) -> float:
    """Return what the pool earns an hour, once the price has settled, without some devices."""
    scenario = Scenario(
        days=20,
        warmup_days=12,
        supply=POOL * (1 - kept_back),
        demand_supply=POOL,
        elasticity=elasticity,
        demand=0.75,
    )
    run = fluid(Dissipative(1.0), scenario)
    return float((run.leased * run.price_usd)[run.window(12, 20)].mean())


def _sandwich(devices: float) -> float:
    """Return the tokens gained by leasing first, letting a client lease, and ending at once."""
    rule = Dissipative(1.0)
    units, hours = Units(int(devices * MILLI)), Blocks(TICKS_PER_DAY)
    paid = cost(DEFAULT_CURVE, rule.market(600.0, POOL), units, hours)
    after = rule.market(600.0 + devices + 50.0, POOL)
    worth = value_of_top(DEFAULT_CURVE, after, units, hours)
    terms = Terms(200_000_000, 800_000_000, 50_000_000, Blocks(TICKS_PER_HOUR))
    refund = end_early(terms, Stream.opened(terms, paid, hours), Blocks(0), value=worth).refund
    return (refund - paid) / BASE_UNITS


def mercenary_capital(setting: Setting) -> Finding:
    """Double the supply for six days and withdraw it, with and without the exit queue."""
    scenario = Scenario(days=24, warmup_days=3)
    runs = {
        name: simulate(Dissipative(1.0), scenario, setting.seed, _mercenaries(per_day))
        for name, per_day in (("exit queue, 12.5 % a day", 0.125), ("no queue", 1e9))
    }
    setting.progress(0.9)
    facts: dict[str, tuple[float, float]] = {}
    rows: list[tuple[Cell, ...]] = []
    for name, run in runs.items():
        before = float(run.price_usd[run.window(11, 12)].mean())
        day_after = float(run.price_usd[run.window(12, 13)].mean()) / before
        facts[name] = (day_after, float(run.evicted.sum()))
        use = float(run.utilisation[run.window(12, 16)].mean())
        rows.append((name, day_after, float(run.evicted.sum()), use))
    queued, free = facts["exit queue, 12.5 % a day"], facts["no queue"]
    axes = panels(2)
    day = next(iter(runs.values())).day
    lines(axes[0], day, {f"supply, {n}": r.supply for n, r in runs.items()})
    label(
        axes[0],
        title="A thousand devices come on day 6 and want to leave on day 12",
        x="day",
        y="devices",
    )
    lines(axes[1], day, {n: smooth(r.price_usd, TICKS_PER_HOUR) for n, r in runs.items()})
    mark_days(axes[1], 12, 13, "the day after")
    label(axes[1], title="Price", x="day", y="USD per device-hour")
    answer = (
        f"Without a queue {free[1]:.0f} leased devices vanish under their clients and the price is "
        f"{free[0]:.2f} times as high on the day after; with it nobody loses a lease and the "
        f"price is {queued[0]:.2f} times as high, since the pool has a week to attract others."
    )
    return Finding(
        answer=[answer],
        passed=queued[0] < 1.5 and queued[1] == 0 and free[1] > 0,
        criterion=f"with the queue no lease is lost ({queued[1]:.0f}) and the price rises by less "
        f"than half in a day ({queued[0]:.2f}); without it leases are ({free[1]:.0f})",
        parameters=steady_parameters(scenario),
        tables=[
            Table(
                "mercenaries",
                ("exit", "price the day after / before", "leases lost", "utilisation days 12-16"),
                rows,
            )
        ],
        plots=[Plot("mercenaries", "Supply and price.", figure_of(axes))],
    )


def _mercenaries(exit_per_day: float) -> SupplyPolicy:
    def policy(day: float, _income: float, supply: float) -> float:
        if 6 <= day < 7:
            return min(2_000.0, supply + 1_000.0 / TICKS_PER_DAY)
        if day >= 12:
            return max(1_000.0, supply * (1 - min(1.0, exit_per_day / TICKS_PER_DAY)))
        return supply

    return policy


CHECKS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0)
SLASHES: Final = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
FAKE_PASSES: Final = 0.1
"""Assumed chance that a faked unit passes a check."""


def faking(setting: Setting) -> Finding:
    """Stake units that do not exist, at every chance of a check and size of the slash."""
    rng = np.random.default_rng(setting.seed)
    profit: Floats = np.zeros((len(SLASHES), len(CHECKS)))
    rows: list[tuple[float, ...]] = []
    for i, slash in enumerate(SLASHES):
        for j, check in enumerate(CHECKS):
            profit[i, j] = _fake(rng, check=check, passes=FAKE_PASSES, slash=slash)
            expected = 1 - check * (1 - FAKE_PASSES) * (1 + slash)
            rows.append((check, slash, float(profit[i, j]), expected))
            setting.progress((i * len(CHECKS) + j + 1) / profit.size)
    # Close to the border chance decides; away from it the sign must be the theory's.
    clear = [(gain, expected) for _, _, gain, expected in rows if abs(expected) > 0.2]
    wrong = sum((gain > 0) != (expected > 0) for gain, expected in clear)
    safe = [gain for check, slash, gain, _ in rows if slash >= _safe_slash(check)]
    enough = 1 / (15 * (1 - FAKE_PASSES))
    answer = (
        f"{len(rows)} cells of 4000 faked unit-periods each agree with the rule slash >= "
        "r / (k (1-g)). A missed check costs the day's reward, and a slash of 15 days' reward "
        f"(half of the bond of 30) makes faking lose in every single period from a {enough:.1%} "
        f"chance of a check on, with a {FAKE_PASSES:.0%} chance that a fake passes one."
    )
    names = ("check chance k", "slash", "measured", "expected")
    return Finding(
        answer=[answer],
        passed=wrong == 0 and max(safe) < 0,
        criterion=f"faking loses in all {len(safe)} cells at or above the bound, and the sign is "
        f"the theory's away from the border ({wrong} differ)",
        parameters={"chance that a fake passes a check": FAKE_PASSES, "unit-periods a cell": 4_000},
        tables=[Table("faking", names, rows)],
        plots=[_faking_plot(profit)],
    )


def _safe_slash(check: float) -> float:
    """Return the slash in periods of reward from which on faking loses."""
    return 1 / (check * (1 - FAKE_PASSES))


def _faking_plot(profit: Floats) -> Plot:
    (axis,) = panels(1, height=4.0)
    heatmap(
        axis,
        profit,
        x=CHECKS,
        y=SLASHES,
        colour_label="rewards of one unit and period (shaded from -1 to 1)",
        bounds=(-1.0, 1.0),
        colours="RdBu_r",
    )
    border = np.interp([_safe_slash(check) for check in CHECKS], SLASHES, range(len(SLASHES)))
    name = "slash = r / (k (1-g)): at and above, faking loses"
    axis.plot(range(len(CHECKS)), border, color="black", linewidth=2.0, label=name)
    label(
        axis,
        title="What a faked unit earns per period",
        x="chance k that a unit is checked",
        y="slash, in periods of reward",
    )
    return Plot("faking", "Rewards of a period; black: the bound.", figure_of([axis]))


def _fake(rng: np.random.Generator, *, check: float, passes: float, slash: float) -> float:
    """Return the mean gain of a faked unit and period, in rewards: earned unless caught."""
    caught = rng.random(4_000) < check * (1 - passes)
    return float(np.where(caught, -slash, 1.0).mean())


def _wash_parameters() -> dict[str, Cell]:
    return {
        "devices": POOL,
        "leased by others": LEASED_BEFORE,
        "leased by the trader": 0.1,
        "provider's share of what is not burned": 0.8,
        "recycled share of the burn": RECYCLED,
        "mint when idle / at target": 0.5,
        "mint cap, share of the pool's value": 0.5,
    }
