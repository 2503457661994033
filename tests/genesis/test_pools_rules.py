"""What a chain spec may say about pools."""

import json
from typing import Any

import pytest

from genesis.presets import local_spec
from genesis.spec import InvalidSpec, parse_spec

TEXT = local_spec().to_json()
U64_MAX = 2**64 - 1


def spec_with(path: str, value: Any) -> str:
    """Return the local spec with a value of ``runtime.pools`` replaced; ``Any`` as JSON is."""
    parsed = json.loads(TEXT)
    *keys, last = path.split(".")
    inside = parsed["runtime"]["pools"]
    for key in keys:
        inside = inside[int(key) if key.isdecimal() else key]
    inside[last] = value
    return json.dumps(parsed)


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        ("market_interval", [1000, 3_600_000], [0, 3_600_001]),
        ("price_period", [1, 10_000], [0, 10_001]),
        ("average_shift", [0, 16], [17]),
        ("start_price_min_q32", [1, 5_000 << 32], [0, (5_000 << 32) + 1, U64_MAX]),
        ("start_price_max_q32", [50_000 << 32, U64_MAX], [(50_000 << 32) - 1]),
        ("deposit", ["1000000", str(10**15)], ["999999"]),
        ("pools_max", [2, 256], [0, 1, 257]),
        ("members_max", [1, 1 << 14], [0, (1 << 14) + 1]),
        ("shares_max", [1, 16], [0, 17]),
        ("served_max", [1, 256], [0, 257]),
        ("leases_of_max", [1, 1024], [0, 1025]),
        ("ends_max", [1, 1024], [0, 1025]),
        ("exits_max", [1, 1024], [0, 1025]),
        ("changes_max", [1, 1024], [0, 1025]),
        ("loss_blocks", [0, 10**6], [10**6 + 1]),
        ("history_max", [1, 4096], [0, 4097]),
        ("pools", [[]], [5, None]),
        ("pools.0.class_id", [1, 2], [0, 3]),
        ("pools.0.price_q32", [1, 10**9 << 32], [0, (10**9 << 32) + 1]),
        ("pools.0.parameters.burn_ppb", [10**8, 3 * 10**8], [10**8 - 1, 3 * 10**8 + 1]),
        ("pools.0.parameters.lock_max", [3_600_000, 14 * 86_400_000], [3_599_999, 10**12]),
        ("pools.1.parameters.exponent", [1, 3], [0, 4]),
    ],
)
def test_each_value_keeps_to_its_range(path: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        parse_spec(spec_with(path, value))
    for value in bad:
        with pytest.raises(InvalidSpec, match=path.partition(".")[0]):
            parse_spec(spec_with(path, value))


def live_spec(**values: int) -> str:
    """Return the local spec as that of a chain for work, with values of ``runtime.pools``."""
    parsed = json.loads(TEXT)
    parsed["chain_type"] = "live"
    parsed["runtime"]["pools"].update(values)
    return json.dumps(parsed)


@pytest.mark.parametrize(
    "values",
    [
        {"changes_max": 16},
        {"served_max": 256, "changes_max": 8},
        {"ends_max": 1024},
        {"exits_max": 100},
    ],
)
def test_hooks_of_a_live_chain_take_less_than_a_block(values: dict[str, int]) -> None:
    parse_spec(live_spec())
    with pytest.raises(InvalidSpec, match=r"runtime.pools.changes_max.*hooks that take less"):
        parse_spec(live_spec(**values))


def test_a_live_chain_mints_less_for_a_pumped_price_than_that_burns() -> None:
    parsed = json.loads(live_spec())
    parsed["runtime"]["rewards"]["value_cap_ppb"] += 1
    with pytest.raises(InvalidSpec, match=r"value_cap_ppb.*pumped price"):
        parse_spec(json.dumps(parsed))
