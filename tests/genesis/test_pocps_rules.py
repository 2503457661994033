"""What a chain spec may say about proofs of computing power."""

import json
from dataclasses import replace
from typing import Any

import pytest

from chain.equivocation import JUDGE
from genesis.build import build_genesis
from genesis.pocps_rules import bonded, unit_reward
from genesis.presets import (
    CPU_CLASS,
    STORAGE_CLASS,
    dev_account,
    local_spec,
    small_pocps_config,
)
from genesis.spec import ChainSpec, InvalidSpec, parse_spec
from primitives.ss58 import encode_address
from primitives.types import AccountId, Balance
from runtime.module import BlockInfo, Context
from runtime.overlay import DictState, Overlay
from runtime.pocps.proof import PPB, slash_floor
from runtime.pocps.records import GenesisProvider
from runtime.pocps.standings import HOLD
from runtime.runtime import Runtime

LOCAL = local_spec()
TEXT = LOCAL.to_json()
ALICE, BOB = sorted((dev_account("Alice"), dev_account("Bob")))
LOOP = 10**9


def spec_with(path: str, value: Any) -> str:
    """Return the local spec with a value of ``runtime.pocps`` replaced; ``Any`` as JSON is."""
    parsed = json.loads(TEXT)
    *keys, last = path.split(".")
    inside = parsed["runtime"]["pocps"]
    for key in keys:
        inside = inside[int(key) if key.isdecimal() else key]
    inside[last] = value
    return json.dumps(parsed)


def provider(account: AccountId = ALICE, class_id: int = 1, units: int = 100) -> dict[str, Any]:
    return {"account": encode_address(account, 42), "class_id": class_id, "units": units}


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        ("commit_deadline", [1, 301], [0, 302, 600]),
        ("sample_block", [301, 450], [300, 451]),
        ("respond_deadline", [302, 599], [301, 600]),
        ("respond_share_ppb", [500_000_000, 10**9], [0, 10**9 + 1, 1]),
        ("governor", [None, encode_address(ALICE, 42)], ["", 5, "x"]),
        ("ladder.window_epochs", [1, 10**6], [0, 10**6 + 1]),
        ("ladder.first_ppb", [0, 500_000_000], [500_000_001]),
        ("ladder.second_ppb", [500_000_000], [500_000_001, 0]),
        ("ladder.third_ppb", [500_000_000, 10**9], [499_999_999, 10**9 + 1]),
        ("ladder.jail_epochs", [0, 10**6], [10**6 + 1]),
        ("maintenance_epochs_max", [0, 10**6], [10**6 + 1]),
        ("chunks_max", [1, 32], [0, 33]),
        ("sweep_max", [1, 4096], [0, 4097]),
        ("grant_epochs", [1, 10**9], [0, 10**9 + 1]),
        ("classes.0.name", ["x", "y" * 32], ["", "z" * 33]),
        ("classes.0.class_id", [0], [2, 3, 2**32]),
        ("classes.0.reward_max", ["36000000"], ["1", str(10**10)]),
        ("classes.0.forward_pass.width", [64, 256], [0, 65]),
        ("classes.0.storage", [None], [{}, 5]),
        ("classes.0.units_max", [10_000], [9, 10**9]),
        ("classes.0.providers_max", [1, 1 << 16], [0, (1 << 16) + 1]),
        ("classes.1.storage.operations_per_unit", [1], [0, 2**62]),
        ("providers", [[], [provider()]], [5, [provider(class_id=9)]]),
        ("providers", [[provider(), provider(BOB)]], [[provider(BOB), provider()]]),
        ("providers", [[provider(units=10)]], [[provider(units=9)], [provider(units=10_001)]]),
        ("providers", [[provider(), provider(class_id=2)]], [[provider(), provider()]]),
    ],
)
def test_each_value_keeps_to_its_range(path: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        if path != "classes.0.class_id":
            parse_spec(spec_with(path, value))
    for value in bad:
        with pytest.raises(InvalidSpec):
            parse_spec(spec_with(path, value))


def test_providers_find_no_more_places_than_a_class_and_an_epoch_have() -> None:
    pair = [provider(), provider(BOB)]
    one = json.loads(spec_with("providers", pair))
    one["runtime"]["pocps"]["classes"][0]["providers_max"] = 1
    with pytest.raises(InvalidSpec, match="at most 1 of cpu"):
        parse_spec(json.dumps(one))
    tight = json.loads(spec_with("providers", [provider(), provider(class_id=2)]))
    # One block takes responses, and a share of it that two of them do not fit into.
    tight["runtime"]["pocps"].update(
        commit_deadline=1, sample_block=2, respond_deadline=2, respond_share_ppb=13_000_000
    )
    with pytest.raises(InvalidSpec, match="no more than can respond"):
        parse_spec(json.dumps(tight))


def test_bonds_of_providers_count_towards_what_there_can_be() -> None:
    rich = json.loads(spec_with("providers", [provider(units=10_000)]))
    rich["runtime"]["rewards"]["pot"] = str(2**64 - 1 - 6_040_000 * LOOP - 9_000 * LOOP)
    with pytest.raises(InvalidSpec, match="together"):
        parse_spec(json.dumps(rich))
    costly = json.loads(spec_with("providers", [provider(), provider(BOB)]))
    costly["runtime"]["pocps"]["classes"][0]["units_max"] = 100
    costly["runtime"]["pocps"]["classes"][0]["bond_per_unit"] = str(2**64 // 101)
    with pytest.raises(InvalidSpec, match="together"):
        parse_spec(json.dumps(costly))


def test_genesis_providers_have_their_bonds_and_owe_proofs_at_once() -> None:
    text = spec_with("providers", [provider(), provider(BOB, units=50)])
    spec = parse_spec(text)
    assert spec.runtime.pocps.providers[0] == GenesisProvider(ALICE, 1, 100)
    assert bonded(spec.runtime.pocps) == 150 * LOOP

    state = DictState(build_genesis(spec).state)

    runtime = spec_runtime(spec, state)
    assert runtime.balances.held[ALICE, HOLD] == 100 * LOOP
    known = runtime.pocps.standings.known((1, BOB))
    assert (known.units, known.due, known.bond) == (50, 50, 50 * LOOP)
    assert runtime.pocps.sums(1) == (0, 0, 2)


def spec_runtime(spec: ChainSpec, state: DictState) -> Runtime:
    """Return the runtime at genesis."""

    block = build_genesis(spec).block.header
    info = BlockInfo(
        block.height, block.parent_hash, block.view, block.epoch, block.timestamp, block.author, b""
    )
    return Runtime(Context(Overlay(state), info), spec.runtime, JUDGE)


@pytest.mark.parametrize("length", [3, 4, 8, 20, 21, 50, 600, 10_000])
def test_the_presets_windows_fit_every_epoch(length: int) -> None:
    config = small_pocps_config(length)

    assert 1 <= config.commit_deadline < config.sample_block <= config.respond_deadline < length


def test_the_presets_bonds_outweigh_what_the_rule_of_issuance_can_pay() -> None:
    for record in (CPU_CLASS, STORAGE_CLASS):
        reward = unit_reward(LOCAL.runtime, record)
        slash = record.bond_per_unit * LOCAL.runtime.pocps.ladder.second_ppb // PPB
        assert 0 < reward <= record.reward_max
        assert slash >= slash_floor(Balance(reward), record.samples)
        # A month of epochs, each of which stands for a day.
        assert record.bond_per_unit >= 20 * reward


def test_a_chain_without_classes_may_have_epochs_of_one_block() -> None:
    config = replace(LOCAL.runtime.pocps, classes=())
    session = replace(LOCAL.runtime.session, epoch_length=1)
    pools = replace(LOCAL.runtime.pools, pools=())
    runtime = replace(LOCAL.runtime, pocps=config, session=session, pools=pools)
    spec = replace(LOCAL, runtime=runtime)

    assert parse_spec(spec.to_json()) == spec
    governed = replace(runtime, pocps=replace(config, governor=ALICE))
    with pytest.raises(InvalidSpec, match="commit_deadline"):
        parse_spec(replace(spec, runtime=governed).to_json())
