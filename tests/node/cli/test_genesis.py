import json
from pathlib import Path
from typing import Any

import pytest

from genesis.build import build_genesis
from genesis.presets import dev_spec, local_spec
from genesis.spec import parse_spec
from node.cli.main import EXIT_CONFIG, EXIT_USAGE
from tests.node.cli.running import invoke

HASH = "0x" + "01" * 32
KEYS = {"account": "//Alice", "consensus_key": HASH, "vrf_key": HASH, "peer_key": HASH}
NO_KEYS = {**KEYS, "consensus_key": "0x00"}
EXTRA = {**KEYS, "colour": "red"}
CHOICES = ("--id", "test", "--validator", "//Alice", "--randomness", "0x" + "07" * 32)


def build(*arguments: object) -> Any:
    return invoke("genesis", "build", *arguments)


@pytest.mark.parametrize(("preset", "spec"), [("dev", dev_spec()), ("local", local_spec())])
def test_preset_is_printed_as_it_is(preset: str, spec: Any) -> None:
    result = build("--preset", preset)

    assert result.code == 0
    assert parse_spec(result.out) == spec


def test_spec_of_a_few_choices_is_complete_and_the_same_each_time() -> None:
    first, second = build(*CHOICES).out, build(*CHOICES).out

    assert first == second
    assert parse_spec(first).id == "test"


def test_spec_draws_its_randomness_unless_it_is_given() -> None:
    arguments = ("--id", "test", "--validator", "//Alice")

    drawn = {parse_spec(build(*arguments).out).genesis_randomness for _ in range(2)}

    assert len(drawn) == 2


def test_endowments_are_exact_and_default_to_a_million() -> None:
    spec = parse_spec(build(*CHOICES, "--endow", "//Bob=0.123456789", "--endow", "//Eve").out)

    assert sorted(item.amount for item in spec.balances) == [123_456_789, 10**15]


def test_interval_and_time_are_those_that_were_chosen() -> None:
    spec = parse_spec(build(*CHOICES, "--interval", 250, "--genesis-time", 5).out)

    assert (spec.consensus.block_interval, spec.genesis_time) == (250, 5)


def test_file_is_written_and_never_replaced_without_force(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    made = build(*CHOICES, "--output", file, "--json").json

    refused = build(*CHOICES, "--output", file)
    forced = build(*CHOICES, "--output", file, "--force")

    assert made["genesisHash"] == "0x" + build_genesis(parse_spec(file.read_text())).hash.hex()
    assert (refused.code, forced.code) == (EXIT_CONFIG, 0)


def test_inspection_names_hashes_validators_and_supply() -> None:
    shown = invoke("genesis", "inspect", "dev", "--json").json

    assert shown["genesisHash"] == "0x" + build_genesis(dev_spec()).hash.hex()
    assert shown["specHash"] == "0x" + dev_spec().hash.hex()
    assert shown["supply"] == str(6 * 10**15)
    assert len(shown["validators"]) == 1
    text = invoke("genesis", "inspect", "local").out
    assert shown["genesisHash"] not in text
    assert "6000000 LOOP in 6 accounts" in text
    assert "system.spec_version" in text


def test_valid_spec_is_said_to_be(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(dev_spec().to_json())

    assert invoke("genesis", "validate", file, "--json").json["valid"] is True


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("consensus", "block_interval"), 0),
        (("consensus", "block_interval"), "1000"),
        (("runtime", "fees", "burned_ppb"), 10**9 + 1),
        (("validators",), []),
        (("genesis_time",), None),
        (("token_decimals",), 99),
    ],
)
def test_wrong_value_is_named_by_its_place(tmp_path: Path, place: Any, value: object) -> None:
    plain = json.loads(dev_spec().to_json())
    *path, last = place
    inner = plain
    for name in path:
        inner = inner[name]
    inner[last] = value
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(plain))

    result = invoke("genesis", "validate", file)

    assert result.code == EXIT_CONFIG
    assert ".".join(place) in result.err


def test_missing_spec_says_what_can_be_given() -> None:
    result = invoke("genesis", "validate", "nothere.json")

    assert result.code == EXIT_CONFIG
    assert "dev" in result.err


@pytest.mark.parametrize(
    "arguments",
    [(), ("--preset", "dev", "--id", "x"), ("--preset", "live"), ("--interval", "0")],
)
def test_contradictory_options_are_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert build(*arguments).code == EXIT_USAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ("--id", "test"),
        ("--id", "te st", "--validator", "//Alice"),
        ("--id", "test", "--validator", "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"),
        (*CHOICES, "--endow", "//Bob=x"),
        (*CHOICES, "--endow", "Bob"),
        (*CHOICES, "--endow", "//Bob=1", "--endow", "//Bob=2"),
        (*CHOICES, "--endow", "//Bob=0.0001"),
        ("--id", "test", "--validator", "//Alice", "--randomness", "0x00"),
    ],
)
def test_choices_that_make_no_chain_are_refused(arguments: tuple[str, ...]) -> None:
    assert build(*arguments).code == EXIT_CONFIG


@pytest.mark.parametrize(
    "members",
    ["", "{}", "[1]", '[{"account": "//Alice"}]', json.dumps([NO_KEYS]), json.dumps([EXTRA])],
)
def test_file_of_validators_that_is_none_is_refused(tmp_path: Path, members: str) -> None:
    file = tmp_path / "validators.json"
    file.write_text(members)

    assert build("--id", "test", "--validators", file).code == EXIT_CONFIG
