"""Write tests/vectors/pricing.json: ``python -m tests.vectors.make_pricing``.

The numbers come from the fractions in tests/runtime/pools/reference.py, never from the code under
test. Run it only when the rule itself changes, in a commit of its own, and say so in the changelog.
"""

import json
import random
from pathlib import Path
from typing import Any

from tests.runtime.pools import reference

PATH = Path(__file__).with_name("pricing.json")
AMOUNT_MAX = 2**64 - 1


def curve_cases(seed: int, count: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    cases: list[dict[str, Any]] = []
    while len(cases) < count:
        supply = rng.choice([1, 1_000, 50_000, 1_000_000, 1 << 30, 1 << 40])
        leased = rng.randrange(supply)
        units = rng.randint(1, supply - leased)
        shape = {
            "exponent": rng.choice([1, 2, 3]),
            "floor_q16": rng.choice([0, 32_768, 49_152, 65_536]),
            "target_q16": rng.choice([1, 42_599, 49_152, 52_428, 65_536]),
            "depth": rng.choice([0, 1, 64_000, 200_000]),
        }
        priced = rng.choice([supply, max(1, supply - supply // 64), supply // 2 + 1])
        duration = rng.choice([1, 60, 3_600, 86_400, 1 << 21])
        price = rng.choice([1, 1 << 20, 1 << 32, rng.getrandbits(44) + 1])
        weighted = reference.integral(**shape, start=leased, end=leased + units, supply=priced)
        amount = reference.cost(weighted, price_q32=price, duration=duration)
        at = {**shape, "supply": priced}
        after = reference.spot(**at, at=leased + units) * price
        if amount > AMOUNT_MAX or after.numerator.bit_length() > 180:
            continue
        value = reference.value(weighted, price_q32=price, duration=duration)
        cases.append(
            {
                **shape,
                "leased": leased,
                "supply": supply,
                "priced_supply": priced,
                "base_price_q32": price,
                "units": units,
                "duration": duration,
                "cost": amount,
                "value_once_leased": value,
                "price_before_q32": int(reference.spot(**at, at=leased) * price),
                "price_after_q32": int(after),
            }
        )
    return cases


def controller_cases(seed: int, count: int) -> list[dict[str, int]]:
    rng = random.Random(seed)
    cases = []
    for _ in range(count):
        case = {
            "octaves_q32": rng.randint(-(20 << 32), 40 << 32),
            "average_q32": rng.choice([0, 1 << 31, 1 << 32, rng.randint(0, 1 << 32)]),
            "target_q16": rng.randint(42_599, 52_428),
            "gain_q32": rng.randint(1, 1 << 33),
            "clamp_q32": rng.randint(1, 1 << 32),
        }
        moved = reference.moved_octaves(
            case["octaves_q32"], **{k: v for k, v in case.items() if k != "octaves_q32"}
        )
        cases.append({**case, "moved_q32": moved})
    return cases


def exp2_cases(seed: int, count: int) -> list[dict[str, int]]:
    rng = random.Random(seed)
    edges = [-(32 << 32), -(1 << 32), -1, 0, 1, 1 << 24, (1 << 24) - 1, 1 << 32, (56 << 32) - 1]
    inputs = edges + [rng.randint(-(32 << 32), (56 << 32) - 1) for _ in range(count)]
    return [{"octaves_q32": b, "price_q32": reference.chord_exp2(b)} for b in inputs]


def gain_cases() -> list[dict[str, int]]:
    return [
        {
            "gain_per_day_ppb": gain,
            "block_interval": interval,
            "time_scale": scale,
            "period": period,
            "gain_q32": reference.gain(per_day_ppb=gain, span_millis=interval * scale * period),
        }
        for gain in (500_000_000, 2_000_000_000, 4_000_000_000)
        for interval, scale, period in ((1_000, 1, 60), (1_000, 720, 1), (6_000, 1, 10))
    ]


def main() -> None:
    vectors = {
        "quotes": curve_cases(seed=1, count=120),
        "exp2": exp2_cases(seed=2, count=60),
        "controller": controller_cases(seed=3, count=60),
        "gains": gain_cases(),
    }
    PATH.write_text(json.dumps(vectors, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
