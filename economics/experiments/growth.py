"""How the network begins, and how many tokens there will ever be."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from economics.experiments.markets import BURN
from economics.finding import Cell, Finding, Plot, Setting, Table
from economics.market import Floats
from economics.plots import COLOURS, figure_of, label, lines, panels
from economics.prices import device_hour_cost
from economics.rules import BASE_UNITS, MILLI, TICKS_PER_DAY, Dissipative, price_to_q32
from primitives.types import Balance
from runtime.issuance import IssuanceParameters, Reserve, Usage
from runtime.pools.controller import PPB
from runtime.pools.parameters import DEFAULT_CURVE
from runtime.pools.pricing import Blocks, Units

GENESIS: Final = 500_000_000
POT: Final = 500_000_000
"""Tokens at genesis, and tokens that may ever be minted."""
HALF_LIFE_DAYS: Final = 3 * 365
YEARS: Final = 6
EPOCHS_PER_DAY: Final = 1


ISSUANCE: Final = IssuanceParameters(
    half_life_epochs=HALF_LIFE_DAYS, supply_base=Units(1_000 * MILLI), recycle_shift=10
)
"""The default rule with one epoch a day, for a network of 1000 devices."""


@dataclass
class _Network:
    """A young network day by day: clients that grow, providers that follow the margin."""

    parameters: IssuanceParameters | None
    cost_hour: float
    days: int
    token_usd: float = 0.5
    supply: list[float] = field(default_factory=list)
    minted: list[float] = field(default_factory=list)
    price_usd: list[float] = field(default_factory=list)

    def run(self) -> "_Network":
        rule = Dissipative(1.0 / self.token_usd)
        reserve = Reserve(Balance(POT * BASE_UNITS))
        supply, leased, price = 20.0, 5.0, 1.0
        for day in range(self.days):
            demand = 15 + 985 / (1 + np.exp(-(day - 110) / 22))
            for _ in range(TICKS_PER_DAY):
                price = rule.price(leased, supply) * self.token_usd
                inflow = demand * 0.77 / max(price, 0.125) / 36
                leased = min(supply, leased + inflow - leased / 36)
                rule.step(leased, supply)
            use = leased / supply
            paid = 24 * leased * price * (1 - BURN)
            reserve, amount = self._mint(rule, reserve, supply, use)
            grant = amount / BASE_UNITS * self.token_usd
            margin = (paid + grant) / (24 * supply * self.cost_hour) - 1
            supply = max(5.0, supply * (1 + max(-0.125, min(0.08, 0.15 * margin))))
            self.supply.append(supply)
            self.minted.append(amount / BASE_UNITS)
            self.price_usd.append(price)
        return self

    def _mint(
        self, rule: Dissipative, reserve: Reserve, supply: float, use: float
    ) -> tuple[Reserve, int]:
        if self.parameters is None:
            return reserve, 0
        usage = Usage(
            supply=Units(round(supply * MILLI)),
            average_q32=int(use * 2**32),
            target_q16=DEFAULT_CURVE.target_q16,
            base_price=rule.base_price,
            blocks=Blocks(TICKS_PER_DAY),
        )
        return reserve.minted(self.parameters, usage)


def bootstrapping(setting: Setting) -> Finding:
    """Grow a network with the default gates on the mint, with the loosest, and without a mint."""
    cost_hour = device_hour_cost(setting.prices)
    days = int(setting.days(240, 200))
    kinds = {
        "gated as by default": ISSUANCE,
        "loosest gates": replace(ISSUANCE, idle_ppb=PPB, value_cap_ppb=PPB),
        "no mint": None,
    }
    networks = {}
    for index, (name, parameters) in enumerate(kinds.items()):
        networks[name] = _Network(parameters, cost_hour, days).run()
        setting.progress((index + 1) / len(kinds))
    gated, free, none = networks.values()
    saved = 1 - sum(gated.minted) / sum(free.minted)
    sooner = _day_of(none, 500) - _day_of(gated, 500)
    answer = (
        f"With the default gates the network has its first 500 devices {sooner} days before one "
        f"without a mint ({_day_of(none, 500) - _day_of(free, 500)} with the loosest gates) and "
        f"pays {saved:.0%} fewer tokens than the loosest. It ends with {gated.supply[-1]:.0f} "
        f"devices; {none.supply[-1]:.0f} without a mint, {free.supply[-1]:.0f} with the loosest."
    )
    caveat = (
        "In all three clients alone can carry the network in the end. The mint lowers what they "
        "pay while it lasts, and the cap by value means that it grows with the market: at its "
        "most it nearly doubles what fees pay, so a network that grew on it will shrink as the "
        "pot halves."
    )
    return Finding(
        answer=[answer, caveat],
        passed=saved > 0.3 and sooner >= 7,
        criterion=f"the default gates save at least 30 % of the loosest ones' tokens ({saved:.0%}) "
        f"and bring 500 devices at least a week sooner than no mint ({sooner} days)",
        parameters=_POT_PARAMETERS
        | {"days": days, "first devices": 20, "token, USD": 0.5, "device-hour, USD": cost_hour},
        tables=[Table("growth", _GROWTH_COLUMNS, [_growth_row(n, w) for n, w in networks.items()])],
        plots=[_growth_plot(networks)],
        prices=[setting.prices["device_a100"]],
    )


_POT_PARAMETERS: Final[dict[str, Cell]] = {
    "genesis, tokens": GENESIS,
    "pot, tokens": POT,
    "half-life, days": HALF_LIFE_DAYS,
    "burn": BURN,
}
_GROWTH_COLUMNS: Final = (
    "mint",
    "devices day 60",
    "devices day 120",
    "devices at end",
    "minted by day 60",
    "minted in all",
    "USD price day 120",
)


def _growth_row(name: str, network: _Network) -> tuple[Cell, ...]:
    supply, minted = network.supply, network.minted
    early, late = sum(minted[:60]), sum(minted)
    return name, supply[59], supply[119], supply[-1], early, late, network.price_usd[119]


def _growth_plot(networks: Mapping[str, _Network]) -> Plot:
    axes = panels(3)
    span = range(next(iter(networks.values())).days)
    lines(axes[0], span, {n: net.supply for n, net in networks.items()})
    label(axes[0], title="Devices", x="day", y="devices")
    lines(axes[1], span, {n: np.cumsum(net.minted) / 1e6 for n, net in networks.items()})
    label(axes[1], title="Tokens minted so far", x="day", y="millions")
    lines(axes[2], span, {n: net.price_usd for n, net in networks.items()})
    label(axes[2], title="Price for clients", x="day", y="USD per device-hour")
    caption = "Demand grows from 15 to 1000 devices' worth, fastest on day 110."
    return Plot("growth", caption, figure_of(axes))


def _day_of(network: _Network, devices: float) -> int:
    """Return the first day on which a network has this many devices, or its last."""
    return next((d for d, s in enumerate(network.supply) if s >= devices), network.days)


def supply_fan(setting: Setting) -> Finding:
    """Let a hundred futures of six years mint, burn and recycle."""
    epochs = YEARS * 365
    paths = max(5, round(100 * setting.scale))
    rng = np.random.default_rng(setting.seed)
    total = np.zeros((paths, epochs))
    flows = np.zeros((paths, 3))
    holds = True
    for path in range(paths):
        total[path], minted, burned, recycled = _future(rng, epochs)
        closing = GENESIS + (minted + recycled - burned) / BASE_UNITS
        holds &= abs(closing - float(total[path, -1])) < 1e-3 and 2 * recycled <= burned
        flows[path] = np.array([minted, burned, recycled]) / BASE_UNITS / 1e6
        setting.progress((path + 1) / paths)
    highest = float(total.max())
    yearly = [
        (year, *np.percentile(total[:, 365 * year - 1], (5, 50, 95)).tolist())
        for year in range(1, YEARS + 1)
    ]
    low, high = yearly[-1][1] / 1e6, yearly[-1][3] / 1e6
    minted_mean, burned_mean, recycled_mean = flows.mean(axis=0).tolist()
    answer = (
        f"After six years there are between {low:.0f} and {high:.0f} million tokens in nine of ten "
        f"futures, the highest ever {highest / 1e6:.0f} of at most {(GENESIS + POT) / 1e6:.0f} "
        f"million. On average {minted_mean:.0f} million are minted, {burned_mean:.1f} burned and "
        f"{recycled_mean:.1f} recycled."
    )
    return Finding(
        answer=[answer],
        passed=holds and highest <= GENESIS + POT,
        criterion="in every future and on every day supply = genesis + minted + recycled - burned "
        f"<= genesis + pot, and recycled <= half of the burned (highest {highest / 1e6:.1f} "
        "million)",
        parameters=_POT_PARAMETERS | {"futures": paths, "recycled share of the burn": 0.5},
        tables=[Table("supply", ("year", "5 %", "median", "95 %"), yearly, "Tokens in existence")],
        plots=[_fan_plot(total)],
    )


def _fan_plot(total: Floats) -> Plot:
    years = np.arange(total.shape[1]) / 365
    (axis,) = panels(1, height=4.2)
    for low, high, alpha in ((5, 95, 0.2), (25, 75, 0.35)):
        bottom, top = (np.percentile(total, share, axis=0) / 1e6 for share in (low, high))
        name = f"{high - low} % of the futures"
        axis.fill_between(
            years, bottom, top, color=COLOURS[0], alpha=alpha, linewidth=0, label=name
        )
    lines(axis, years, {"median": np.percentile(total, 50, axis=0) / 1e6})
    axis.axhline((GENESIS + POT) / 1e6, color="black", linestyle="--", linewidth=0.8)
    axis.text(0.05, (GENESIS + POT) / 1e6, "never more than this", fontsize=8, va="bottom")
    label(axis, title="Tokens in existence", x="year", y="millions")
    return Plot("supply", "Percentiles of the futures.", figure_of([axis]))


def _future(rng: np.random.Generator, epochs: int) -> tuple[Floats, int, int, int]:
    """Return supply by day, and tokens minted, burned and recycled in all, of one future.

    Devices grow toward a level drawn per future, use wanders about its target, and the price in
    tokens moves as the token's own price does.
    """
    parameters = ISSUANCE
    level = float(np.exp(rng.normal(np.log(1_500), 0.8)))
    drift = np.cumsum(rng.normal(-0.0003, 0.035, epochs))
    noise = rng.normal(0, 0.03, epochs)
    reserve = Reserve(Balance(POT * BASE_UNITS))
    minted = burned = recycled = 0
    supply_of_tokens = np.zeros(epochs)
    use = 0.5
    for epoch in range(epochs):
        devices = 20 + (level - 20) * (1 - np.exp(-epoch / 500))
        use = min(1.0, max(0.05, use + 0.02 * (0.73 - use) + noise[epoch]))
        price = min(1e5, float(2.0 * np.exp(drift[epoch])))
        usage = Usage(
            supply=Units(int(devices * MILLI)),
            average_q32=int(use * 2**32),
            target_q16=DEFAULT_CURVE.target_q16,
            base_price=price_to_q32(price),
            blocks=Blocks(TICKS_PER_DAY),
        )
        reserve, mint = reserve.minted(parameters, usage)
        reserve, paid = reserve.recycled(parameters)
        burn = int(BURN * devices * use * 24 * price * BASE_UNITS)
        burn = min(burn, GENESIS * BASE_UNITS + minted + recycled - burned)
        reserve = reserve.burned(parameters, Balance(burn))
        minted, burned, recycled = minted + mint, burned + burn, recycled + paid
        supply_of_tokens[epoch] = GENESIS + (minted + recycled - burned) / BASE_UNITS
    return supply_of_tokens, minted, burned, recycled
