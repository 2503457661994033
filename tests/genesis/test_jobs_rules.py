"""What a chain spec may say about jobs."""

import json
from typing import Any

import pytest

from genesis.presets import local_spec
from genesis.spec import InvalidSpec, parse_spec

TEXT = local_spec().to_json()


def spec_with(name: str, value: Any, **top: Any) -> str:
    """Return the local spec with a value of ``runtime.jobs`` replaced; ``Any`` as JSON is."""
    parsed = json.loads(TEXT) | top
    parsed["runtime"]["jobs"][name] = value
    return json.dumps(parsed)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("answer_blocks", [1, 10**6], [0, 10**6 + 1]),
        ("dispute_blocks", [1, 10**6], [0, 10**6 + 1]),
        ("disputes_max", [1, 256], [0, 257]),
        ("bond", ["1000000", str(10**15)], ["999999"]),
        ("bond_burned_ppb", [0, 10**9], [10**9 + 1]),
        ("slash_ppb", [0, 10**9], [10**9 + 1]),
        ("service_deposit", ["1000000"], ["0", "999999"]),
    ],
)
def test_each_value_keeps_to_its_range(name: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        parse_spec(spec_with(name, value))
    for value in bad:
        with pytest.raises(InvalidSpec, match=name):
            parse_spec(spec_with(name, value))


def test_on_a_live_chain_a_bond_stays_until_the_last_dispute_has_ended() -> None:
    unbonding = 6 * 600

    parse_spec(spec_with("dispute_blocks", unbonding - 5 * 21 - 1, chain_type="live"))
    with pytest.raises(InvalidSpec, match="dispute_blocks"):
        parse_spec(spec_with("dispute_blocks", unbonding - 5 * 21, chain_type="live"))
    parse_spec(spec_with("dispute_blocks", unbonding))
