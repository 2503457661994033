"""The agent model: clients that come, compare the price with what a lease is worth, and rent.

Each tick of ten minutes a random number of clients arrives. How much they want follows the hour of
the day; what a device-hour is worth to them is drawn from a Pareto law, so that wants have a
constant elasticity. A client leases if the price of its whole lease is at most that worth and if
the devices are free; its price is then locked until the lease ends. Token and dollar are linked by
a random walk, which no rule sees.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from economics.rules import TICK_MINUTES, TICKS_PER_DAY, TICKS_PER_HOUR, PriceRule

Floats = NDArray[np.float64]

JOB_SIZES: Final = (1, 2, 4, 8)
JOB_SHARES: Final = (0.4, 0.3, 0.2, 0.1)
MEAN_JOB: Final = sum(s * p for s, p in zip(JOB_SIZES, JOB_SHARES, strict=True))
LIFE_MIN_HOURS: Final = 1.0
LIFE_MAX_HOURS: Final = 24.0
PEAK_HOUR: Final = 15.0
CROWD_MAX: Final = 8.0
"""However cheap a lease is, no more than this multiple of the reference demand arrives."""

Quantity = Literal["demand", "token", "supply"]


@dataclass(frozen=True, slots=True)
class Shock:
    """From ``start`` to ``end`` (days) a quantity is multiplied by ``factor``."""

    quantity: Quantity
    start: float
    end: float
    factor: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything about a market but its price rule."""

    days: float = 21.0
    warmup_days: float = 5.0
    supply: float = 1_000.0
    demand: float = 0.77
    """Devices wanted at the reference price, as a share of the reference supply."""
    demand_supply: float | None = None
    """The supply that ``demand`` is a share of, when it is not ``supply``."""
    elasticity: float = 1.0
    daily_amplitude: float = 0.35
    life_hours: float = 6.0
    reference_usd: float = 1.0
    token_usd: float = 1.0
    token_volatility: float = 0.02
    """Standard deviation of the logarithm of the token's price over a day."""
    shocks: tuple[Shock, ...] = ()

    def factor(self, quantity: Quantity, day: float) -> float:
        """Return the product of the shocks to ``quantity`` that are on at ``day``."""
        result = 1.0
        for shock in self.shocks:
            if shock.quantity == quantity and shock.start <= day < shock.end:
                result *= shock.factor
        return result


@dataclass(frozen=True, slots=True)
class Run:
    """What happened, tick by tick."""

    rule: str
    scenario: Scenario
    day: Floats
    price_token: Floats
    price_usd: Floats
    leased: Floats
    supply: Floats
    wanted: Floats
    """Devices that arriving clients would have taken at the price of the tick."""
    refused: Floats
    """Devices that they could not have because none was free."""
    paid_usd: Floats
    """What leases bought in the tick cost."""
    evicted: Floats
    """Leased devices that were lost because no other was free to take over their lease."""
    income_usd: Floats
    """What running leases stream to the pool during the tick, at the token's price then."""

    @property
    def utilisation(self) -> Floats:
        share: Floats = np.divide(
            self.leased, self.supply, out=np.zeros_like(self.leased), where=self.supply > 0
        )
        return np.minimum(share, 1.0)

    def window(self, start: float, end: float) -> NDArray[np.bool_]:
        """Return which ticks lie from day ``start`` to day ``end``."""
        return (self.day >= start) & (self.day < end)

    def mean_utilisation(self, start: float | None = None, end: float | None = None) -> float:
        inside = self.window(
            self.scenario.warmup_days if start is None else start,
            self.scenario.days if end is None else end,
        )
        return float(self.utilisation[inside].mean())

    def daily_swing(self, start: float | None = None, end: float | None = None) -> float:
        """Return how much the dollar price moves within a day: mean of ``max / min - 1``."""
        hourly = _hourly(self.price_usd)
        first = int(self.scenario.warmup_days if start is None else start)
        last = int(self.scenario.days if end is None else end)
        swings = [
            hourly[24 * day : 24 * day + 24].max() / hourly[24 * day : 24 * day + 24].min() - 1
            for day in range(first, last)
        ]
        return float(np.mean(swings))

    def refused_share(self) -> float:
        inside = self.window(self.scenario.warmup_days, self.scenario.days)
        return float(self.refused[inside].sum() / max(1.0, self.wanted[inside].sum()))


SupplyPolicy = Callable[[float, float, float], float]
"""``(day, USD earned per device-hour over the last day, supply) -> supply`` of the next tick."""


@dataclass
class _Book:
    """The leases that run: devices and tokens per tick by the tick in which they end."""

    leased: int = 0
    income: float = 0.0
    ends: dict[int, list[tuple[int, float]]] = field(default_factory=dict)

    def add(self, tick: int, ticks: int, devices: int, paid: float) -> None:
        self.leased += devices
        self.income += paid / ticks
        self.ends.setdefault(tick + ticks, []).append((devices, paid / ticks))

    def evict(self, supply: float) -> float:
        """End leases, those with the longest to run first, until the rest fits the supply."""
        lost = 0
        for tick in sorted(self.ends, reverse=True):
            while self.ends[tick] and self.leased > supply:
                devices, income = self.ends[tick].pop()
                self.leased -= devices
                self.income -= income
                lost += devices
            if self.leased <= supply:
                break
        return float(lost)

    def expire(self, tick: int) -> None:
        for devices, income in self.ends.pop(tick, []):
            self.leased -= devices
            self.income -= income


def simulate(
    rule: PriceRule, scenario: Scenario, seed: int, policy: SupplyPolicy | None = None
) -> Run:
    """Run a market under ``rule`` and return what happened. Same arguments, same result."""
    rng = np.random.default_rng(seed)
    count = int(scenario.days * TICKS_PER_DAY)
    columns = {name: np.zeros(count) for name in _COLUMNS}
    walk = rng.normal(0.0, scenario.token_volatility / np.sqrt(TICKS_PER_DAY), count)
    token_path = scenario.token_usd * np.exp(np.cumsum(walk))
    book = _Book()
    supply = scenario.supply
    for tick in range(count):
        day = tick / TICKS_PER_DAY
        book.expire(tick)
        if policy is not None:
            recent = columns["income_usd"][max(0, tick - TICKS_PER_DAY) : tick].sum()
            hours = columns["supply"][max(0, tick - TICKS_PER_DAY) : tick].sum() / TICKS_PER_HOUR
            supply = policy(day, float(recent / hours) if hours else 0.0, supply)
        present = float(max(round(supply * scenario.factor("supply", day)), 0))
        token = float(token_path[tick] * scenario.factor("token", day))
        evicted = book.evict(present)
        traded = _trade(rule, scenario, rng, book, tick=tick, supply=present, token=token)
        rule.step(book.leased, present)
        price = rule.price(book.leased, present)
        values = (day, price, price * token, float(book.leased), present, *traded, evicted)
        for name, value in zip(_COLUMNS, (*values, book.income * token), strict=True):
            columns[name][tick] = value
    return Run(rule=rule.name, scenario=scenario, **columns)


_COLUMNS: Final = (
    "day",
    "price_token",
    "price_usd",
    "leased",
    "supply",
    "wanted",
    "refused",
    "paid_usd",
    "evicted",
    "income_usd",
)


def daily_wave(scenario: Scenario, day: float) -> float:
    """Return the demand at a moment as a multiple of its mean."""
    phase = 2 * np.pi * (day - PEAK_HOUR / 24)
    return float(1 + scenario.daily_amplitude * np.cos(phase)) * scenario.factor("demand", day)


def _trade(
    rule: PriceRule,
    scenario: Scenario,
    rng: np.random.Generator,
    book: _Book,
    *,
    tick: int,
    supply: float,
    token: float,
) -> tuple[float, float, float]:
    """Let the clients of one tick lease; return devices wanted, devices refused, dollars paid.

    Only clients whose worth exceeds the price at the tick's start are drawn; as the price rises
    under their own leases, each is let through with the probability that its worth exceeds the
    price by then, which for a Pareto law is a ratio of prices.
    """
    day = tick / TICKS_PER_DAY
    base = scenario.supply if scenario.demand_supply is None else scenario.demand_supply
    crowd = scenario.demand * base * daily_wave(scenario, day)
    opening = rule.price(book.leased, supply) * token / scenario.reference_usd
    eager = _crowd_share(opening, scenario.elasticity)
    rate = crowd * eager / (MEAN_JOB * scenario.life_hours * TICKS_PER_HOUR)
    arrivals = int(rng.poisson(rate))
    sizes = rng.choice(JOB_SIZES, size=arrivals, p=JOB_SHARES)
    lives = _lives(rng, scenario.life_hours, arrivals)
    lucks = rng.random(arrivals)
    wanted = refused = paid_usd = 0.0
    for size, hours, luck in zip(sizes.tolist(), lives.tolist(), lucks.tolist(), strict=True):
        wanted += size
        if book.leased + size > supply:
            refused += size
            continue
        paid = rule.lease_cost(book.leased, supply, size, hours)
        asked = paid / (size * hours) * token / scenario.reference_usd
        if luck * eager <= _crowd_share(asked, scenario.elasticity):
            book.add(tick, max(1, round(hours * TICKS_PER_HOUR)), size, paid)
            paid_usd += paid * token
    return wanted, refused, paid_usd


def _crowd_share(price: float, elasticity: float) -> float:
    """Return how many clients find a price (as a multiple of the reference) worth paying."""
    if price <= 0:
        return CROWD_MAX
    return float(min(CROWD_MAX, price**-elasticity))


def _lives(rng: np.random.Generator, mean_hours: float, count: int) -> Floats:
    """Draw lease lives whose mean is ``mean_hours``, none shorter than an hour or over a day."""
    if mean_hours <= LIFE_MIN_HOURS:
        return np.full(count, mean_hours)
    lives: Floats = LIFE_MIN_HOURS + rng.exponential(mean_hours - LIFE_MIN_HOURS, count)
    return np.round(np.minimum(lives, LIFE_MAX_HOURS) * TICKS_PER_HOUR) / TICKS_PER_HOUR


def fluid(rule: PriceRule, scenario: Scenario, *, start: float | None = None) -> Run:
    """Run the same market without chance: demand as a flow. For maps of many cells."""
    count = int(scenario.days * TICKS_PER_DAY)
    columns = {name: np.zeros(count) for name in _COLUMNS}
    leased = scenario.supply * scenario.demand if start is None else start
    life = scenario.life_hours * TICKS_PER_HOUR
    base = scenario.supply if scenario.demand_supply is None else scenario.demand_supply
    for tick in range(count):
        day = tick / TICKS_PER_DAY
        present = max(scenario.supply * scenario.factor("supply", day), 0.0)
        token = scenario.token_usd * scenario.factor("token", day)
        price = rule.price(leased, present)
        eager = _crowd_share(price * token / scenario.reference_usd, scenario.elasticity)
        inflow = scenario.demand * base * daily_wave(scenario, day) * eager / life
        leased = min(present, max(0.0, leased + inflow - leased / life))
        rule.step(leased, present)
        values = (day, price, price * token, leased, present, inflow, 0.0, 0.0, 0.0)
        income = leased * price * token * TICK_MINUTES / 60
        for name, value in zip(_COLUMNS, (*values, income), strict=True):
            columns[name][tick] = value
    return Run(rule=rule.name, scenario=scenario, **columns)


def _hourly(values: Floats) -> Floats:
    whole = len(values) // TICKS_PER_HOUR * TICKS_PER_HOUR
    means: Floats = values[:whole].reshape(-1, TICKS_PER_HOUR).mean(axis=1)
    return means


def with_shocks(scenario: Scenario, *shocks: Shock) -> Scenario:
    """Return the scenario with these shocks instead of its own."""
    return replace(scenario, shocks=shocks)
