"""Write genesis/dev.json, genesis/local.json and tests/vectors/genesis.json.

``python -m tests.vectors.make_genesis``. A genesis that changes is another chain: run it only when
the presets or the state's layout change, and say so in the changelog under State-breaking.
"""

import json
from pathlib import Path
from typing import Any

from genesis.build import build_genesis
from genesis.presets import dev_spec, local_spec
from genesis.spec import ChainSpec

VECTORS = Path(__file__).with_name("genesis.json")
SPECS = Path(__file__).parents[2] / "genesis"

REMARKS = {
    "genesis_time": "2026-01-01T00:00Z; a spec never says now",
    "genesis_randomness": "known to all; for a chain with something at stake, draw it in public",
    "market_interval": "144 s of the market in a block, so that 600 blocks are a market day",
    "block_interval": "a second, so that a developer sees blocks come",
    "leader_timeout": "short: all validators are on one machine",
    "epoch_length": "short, so that a developer sees epochs come and go",
    "existential_deposit": "a thousandth of a token",
    "block_weight_max": "one second on the reference machine",
    "classes": "small, so that a laptop proves and verifies them in a moment",
    "grant_epochs": "practically for ever: a chain without providers goes on",
    "answer_blocks": "short, so that a dispute ends in minutes",
    "balances": "the development accounts; everybody knows their keys",
    "validators": "their session keys follow from their names, so everybody knows them too",
}


def remarked(value: Any) -> Any:
    """Return parsed JSON with a remark before each value that is chosen for development."""
    if isinstance(value, list):
        return [remarked(item) for item in value]
    if not isinstance(value, dict):
        return value
    out: dict[str, Any] = {}
    for key, inner in value.items():
        # The module's settings share a name with the list of accounts.
        if key in REMARKS and not (key == "balances" and isinstance(inner, dict)):
            out[f"// {key}"] = REMARKS[key]
        out[key] = remarked(inner)
    return out


def frozen(spec: ChainSpec) -> dict[str, str]:
    genesis = build_genesis(spec)
    return {
        "spec_hash": spec.hash.hex(),
        "genesis_hash": genesis.hash.hex(),
        "state_root": genesis.block.header.state_root.hex(),
    }


def main() -> None:
    specs = {"dev": dev_spec(), "local": local_spec()}
    for name, spec in specs.items():
        text = json.dumps(remarked(json.loads(spec.to_json())), indent=2)
        (SPECS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    vectors = {name: frozen(spec) for name, spec in specs.items()}
    VECTORS.write_text(json.dumps(vectors, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
