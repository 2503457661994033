"""How long a quote takes: ``python -m benchmarks.pricing``.

Each line is the median over rounds of the time for one call, on one core, with the machine named,
for a pool of a thousand devices at three quarters of its supply.
"""

import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from primitives.types import Balance
from runtime.pools.controller import (
    OctavesQ32,
    Rates,
    exp2,
    start_average,
    step_average,
    step_octaves,
)
from runtime.pools.parameters import DEFAULT_CURVE
from runtime.pools.pricing import (
    Blocks,
    Market,
    PriceQ32,
    Units,
    cost,
    quote,
    spot_price,
    units_for,
    value_of_top,
)

ROUNDS = 15
CALLS = 2_000
MARKET = Market(Units(750_000), Units(1_000_000), Units(1_000_000), PriceQ32(1_666 << 32))
RATES = Rates(gain_q32=8_605_000, clamp_q32=2_982_616, period=Blocks(60), average_shift=10)


def microseconds(call: Callable[[], object]) -> float:
    samples = []
    for _ in range(ROUNDS):
        begin = time.perf_counter_ns()
        for _ in range(CALLS):
            call()
        samples.append((time.perf_counter_ns() - begin) / CALLS / 1_000)
    return statistics.median(samples)


def main() -> None:
    units, day = Units(8_000), Blocks(86_400)
    average = start_average(RATES, 3 << 30)
    octaves = OctavesQ32(10 << 32)
    cases: dict[str, Callable[[], object]] = {
        "spot price": lambda: spot_price(DEFAULT_CURVE, MARKET),
        "cost of a lease": lambda: cost(DEFAULT_CURVE, MARKET, units, day),
        "quote (cost, price before and after)": lambda: quote(DEFAULT_CURVE, MARKET, units, day),
        "value of a leased part (refund)": lambda: value_of_top(DEFAULT_CURVE, MARKET, units, day),
        "inverse quote (units for a budget)": lambda: units_for(
            DEFAULT_CURVE, MARKET, day, budget=Balance(10**12)
        ),
        "moving average, one block": lambda: step_average(RATES, average, 3 << 30),
        "controller step and base price": lambda: exp2(
            step_octaves(RATES, octaves, average_q32=3 << 30, target_q16=49_152)
        ),
    }
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    ).stdout.strip()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print(f"commit {commit or 'unknown'}, median of {ROUNDS} rounds of {CALLS} calls")
    for name, call in cases.items():
        print(f"{microseconds(call):8.2f} µs  {name}")


if __name__ == "__main__":
    main()
