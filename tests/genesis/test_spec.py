"""The chain spec: strict to read, complete, and covered by its hash to the last value."""

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis import spec as spec_module
from genesis.presets import (
    DEV_BOND,
    DEV_NAMES,
    build_spec,
    dev_account,
    dev_member,
    dev_spec,
    local_spec,
)
from genesis.spec import ChainSpec, InvalidSpec, load_spec, parse_spec, validate_spec
from primitives.types import UINT64_MAX, AccountId, PublicKey

SPECS = Path(spec_module.__file__).parent
LOCAL = local_spec()
TEXT = LOCAL.to_json()
BARE = replace(
    LOCAL,
    runtime=replace(
        LOCAL.runtime,
        pocps=replace(LOCAL.runtime.pocps, classes=()),
        pools=replace(LOCAL.runtime.pools, pools=()),
    ),
).to_json()
"""The local spec without classes of resources and their pools, which bind other values."""
Path_ = tuple[str | int, ...]


def leaves(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Yield the path of every value that is neither object nor list."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from leaves(inner, (*at, key))
        case list():
            for index, inner in enumerate(value):
                yield from leaves(inner, (*at, index))
        case _:
            yield at


def objects(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Yield the path of every object."""
    if isinstance(value, dict):
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, dict | list):
            yield from objects(inner, (*at, key))


def look(value: Any, path: Path_) -> Any:
    for key in path:
        value = value[key]
    return value


def put(path: str, value: Any, text: str = TEXT) -> str:
    """Return the local spec as JSON with the value at a dotted path replaced."""
    keys = [int(key) if key.isdecimal() else key for key in path.split(".")]
    parsed = json.loads(text)
    look(parsed, tuple(keys[:-1]))[keys[-1]] = value
    return json.dumps(parsed)


LEAVES = sorted(leaves(json.loads(TEXT)), key=str)
OBJECTS = sorted(objects(json.loads(TEXT)), key=str)

# -------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize(("name", "spec"), [("dev", dev_spec()), ("local", local_spec())])
def test_the_files_are_the_presets(name: str, spec: ChainSpec) -> None:
    path = SPECS / f"{name}.json"

    assert load_spec(path) == spec
    assert '"// ' in path.read_text("utf-8")


@pytest.mark.parametrize("spec", [dev_spec(), local_spec()], ids=["dev", "local"])
def test_a_spec_comes_back_from_its_text(spec: ChainSpec) -> None:
    assert parse_spec(spec.to_json()) == spec
    validate_spec(spec)


def test_a_spec_with_boot_nodes_and_another_prefix_comes_back() -> None:
    spec = build_spec(
        id="mine-1_a",
        name="M\u00fcnchen",
        chain_type="live",
        validators=[dev_member("Bob", 5 * DEV_BOND)],
        endowed=[],
        boot_nodes=[
            "/dns4/boot.example/tcp/30333/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
        ],
    )
    spec = replace(spec, ss58_prefix=1337)

    assert parse_spec(spec.to_json()) == spec


# ---------------------------------------------------------------------------------- the hash


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: ".".join(map(str, path)))
def test_the_hash_covers_every_value(path: Path_) -> None:
    changed = change_leaf(LOCAL, path)

    assert changed != LOCAL
    assert changed.hash != LOCAL.hash


def change_leaf(value: Any, path: Path_) -> Any:
    """Return a spec whose value at ``path`` differs, whether a chain could run with it or not."""
    if not path:
        match value:
            case int():
                return value + 1
            case str():
                return value + "x"
            case bytes():
                return bytes([value[0] ^ 1]) + value[1:]
            case None:
                return 1
    key, *rest = path
    if isinstance(value, tuple):
        assert isinstance(key, int)
        return (*value[:key], change_leaf(value[key], tuple(rest)), *value[key + 1 :])
    assert isinstance(key, str)
    return replace(value, **{key: change_leaf(getattr(value, key), tuple(rest))})


def test_the_hash_covers_every_list() -> None:
    shorter = [
        replace(LOCAL, balances=LOCAL.balances[1:]),
        replace(LOCAL, validators=LOCAL.validators[1:]),
        replace(LOCAL, boot_nodes=("/ip4/1.2.3.4",)),
        replace(LOCAL, boot_nodes=("/ip4/1.2.3.4", "")),
    ]

    assert len({spec.hash for spec in [LOCAL, *shorter]}) == 5


def test_every_field_of_the_spec_is_in_its_text() -> None:
    def names(value: Any) -> Any:
        if is_dataclass(value):
            return {field.name: names(getattr(value, field.name)) for field in fields(value)}
        return [names(item) for item in value] if isinstance(value, tuple) else None

    def keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: keys(inner) for key, inner in value.items()}
        return [keys(item) for item in value] if isinstance(value, list) else None

    assert keys(json.loads(TEXT)) == names(LOCAL)


# ------------------------------------------------------------------------- complete and strict


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: ".".join(map(str, path)))
def test_a_missing_value_is_named(path: Path_) -> None:
    parsed = json.loads(TEXT)
    del look(parsed, path[:-1])[path[-1]]

    with pytest.raises(InvalidSpec, match=f"{path[-1]} is missing"):
        parse_spec(json.dumps(parsed))


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: ".".join(map(str, path)) or "spec")
def test_an_unknown_key_is_named_and_a_remark_is_none(path: Path_) -> None:
    parsed = json.loads(TEXT)
    look(parsed, path)["//"] = {"anything": [1.5, None]}
    look(parsed, path)["// surprise"] = "a remark"
    assert parse_spec(json.dumps(parsed)) == LOCAL
    look(parsed, path)["surprise"] = 1

    with pytest.raises(InvalidSpec, match="surprise is not a key"):
        parse_spec(json.dumps(parsed))


@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: ".".join(map(str, path)) or "spec")
def test_a_key_that_stands_twice_is_an_error(path: Path_) -> None:
    key = next(iter(look(json.loads(TEXT), path)))
    parsed = json.loads(TEXT)
    look(parsed, path)["MARK"] = look(parsed, path)[key]
    text = json.dumps(parsed).replace('"MARK"', f'"{key}"')

    with pytest.raises(InvalidSpec, match="twice"):
        parse_spec(text)


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: ".".join(map(str, path)))
def test_no_value_of_another_type_is_taken(path: Path_) -> None:
    is_optional = look(json.loads(TEXT), path) is None
    wrongs: list[Any] = [1.0, True, [], {}, -1, "\ud800", "x" * 300, 2**64]
    wrongs += [] if is_optional else [None]
    texts = [put(".".join(map(str, path)), wrong) for wrong in wrongs]

    for text in texts:
        with pytest.raises(InvalidSpec):
            parse_spec(text)


@pytest.mark.parametrize("path", ["consensus", "runtime.fees", "balances", "validators.0"])
def test_an_object_is_no_list_and_a_list_no_object(path: str) -> None:
    for wrong in ([1], {"a": 1}, "x", None):
        with pytest.raises(InvalidSpec, match=path.partition(".")[0]):
            parse_spec(put(path, wrong))


@pytest.mark.parametrize(
    "amount", [5, "", "05", "-5", "+5", "5.0", "5e3", " 5", "5 ", "0x5", "\u0665"]
)
def test_an_amount_is_a_decimal_text_in_its_only_form(amount: Any) -> None:
    with pytest.raises(InvalidSpec, match=r"balances\[0\]\.amount"):
        parse_spec(put("balances.0.amount", amount))


def test_an_amount_with_many_zeros_in_front_is_not_cut_short() -> None:
    for amount in ("0" * 45 + "5", "9" * 45, str(2**64)):
        with pytest.raises(InvalidSpec, match=r"decimal string|2\*\*64"):
            parse_spec(put("balances.0.amount", amount))


@pytest.mark.parametrize(
    "digits",
    [
        "",
        "0x",
        "0x" + "ab" * 31,
        "0x" + "ab" * 33,
        "ab" * 33,
        "0x" + "AB" * 32,
        "0x" + "ab " * 20 + "abcd",
        "0x" + "zz" * 32,
    ],
)
def test_a_key_is_32_bytes_in_hex(digits: str) -> None:
    assert len("0x" + "ab " * 20 + "abcd") == 66
    for path in ("genesis_randomness", "validators.0.vrf_key"):
        with pytest.raises(InvalidSpec, match=path.rpartition(".")[2]):
            parse_spec(put(path, digits))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", '"x"', "null", "{} {}", "[" * 100_000, "NaN", "1" * 10_000, "\x00"],
)
def test_what_is_no_object_is_no_spec(text: str) -> None:
    with pytest.raises(InvalidSpec):
        parse_spec(text)


# ------------------------------------------------------------------------------------- ranges


@pytest.mark.parametrize(
    ("path", "good", "bad"),
    [
        ("id", ["a", "A-b_9", "x" * 64], ["", "a b", "a/b", "..", "x" * 65, "\u00fc"]),
        ("name", ["x"], [""]),
        ("chain_type", ["development", "live"], ["test", ""]),
        ("token_symbol", ["L", "LOOP2", "X" * 12], ["", "LO OP", "X" * 13, "\u00d6"]),
        ("token_decimals", [0, 18], [19]),
        ("genesis_time", [0, 253_402_300_800_000], [253_402_300_800_001]),
        ("genesis_randomness", ["0x" + "00" * 31 + "01"], ["0x" + "00" * 32]),
        ("consensus.block_interval", [1, 2999], [0, 3000, 600_001]),
        ("consensus.leader_timeout", [1001, 4000], [1000, 4001]),
        ("consensus.advance_timeout", [3000, 600_000], [2999, 600_001]),
        ("consensus.clock_drift_max", [1, 600_000], [0, 600_001]),
        ("runtime.system.spec_version", [1, 2**32 - 1], [0, 2**32]),
        ("runtime.system.block_weight_max", [10**6, 60 * 10**9], [10**6 - 1, 60 * 10**9 + 1]),
        ("runtime.system.block_length_max", [65536, (1 << 23) - 65536], [1023, 1 << 23]),
        ("runtime.system.extrinsic_length_max", [256, 65536], [0, 255, 65537]),
        ("runtime.system.extrinsic_weight", [1, 10**8], [0, 10**8 + 1]),
        ("runtime.balances.existential_deposit", ["1"], ["0", str(10**15 + 1)]),
        ("runtime.fees.fee_per_weight_ppb", [0, 10**12], [10**12 + 1]),
        ("runtime.fees.fee_per_byte", ["0", str(10**9)], [str(10**9 + 1)]),
        ("runtime.fees.base_fee_min_ppb", [1, 10**13], [0, 10**13 + 1]),
        ("runtime.fees.base_fee_max_ppb", [10**9, 10**15], [10**9 - 1, 10**15 + 1]),
        ("runtime.fees.target_fullness_ppb", [1, 10**9 - 1], [0, 10**9]),
        ("runtime.fees.burned_ppb", [0, 10**9], [10**9 + 1]),
        ("runtime.session.epoch_length", [1, 10**6], [0, 10**6 + 1]),
        ("runtime.multisig.deposit_base", ["0"], []),
        ("balances", [[]], []),
        ("balances.0.amount", ["1000000"], ["999999", "0", str(UINT64_MAX)]),
        ("validators.0.bond", [str(10**12), str(10**18)], ["0", str(10**12 - 1), str(UINT64_MAX)]),
        ("runtime.staking.validator_bond_min", [str(10**10)], [str(10**10 - 1), str(2 * 10**13)]),
        ("runtime.staking.nominator_bond_min", ["1", str(10**12)], ["0", str(10**12 + 1)]),
        ("runtime.staking.validators_max", [4, 1024], [3, 1025]),
        ("runtime.staking.nominators_max", [1, 64], [0, 65]),
        ("runtime.staking.chunks_max", [1, 32], [0, 33]),
        ("runtime.staking.unbonding_epochs", [1, 256], [0, 257]),
        ("runtime.staking.vesting_epochs", [1, 64], [0, 65]),
        ("runtime.offences.equivocation_ppb", [0, 10**9], [10**9 + 1]),
        ("runtime.offences.reporter_ppb", [0, 10**9 - 1], [10**9]),
        ("runtime.offences.jail_epochs", [0, 10**6], [10**6 + 1]),
        ("runtime.rewards.pot", ["0", str(10**18)], [str(UINT64_MAX)]),
        ("runtime.rewards.half_life_epochs", [1], [0]),
        ("runtime.rewards.operations_per_unit", [1], [0]),
        ("runtime.rewards.target_q16", [1, 65536], [0, 65537]),
        ("runtime.rewards.author_ppb", [9 * 10**8], [9 * 10**8 + 1]),
        ("runtime.rewards.ramp_epochs", [1, 2**32 - 1], [0, 2**32]),
        ("runtime.compute.0.operations", [1, 2**64 - 1 - 5 * 10**13], [2**64 - 5 * 10**13]),
        ("validators", [], [[]]),
        (
            "boot_nodes",
            [[], ["/ip4/1.2.3.4/tcp/1/p2p/" + "Q" * 46]],
            [
                ["/ip4/1.2.3.4/tcp/1/p2p/" + "Q" * 46] * 65,
                ["1.2.3.4:30333"],
                ["/ip4/1.2.3.4/tcp/1"],
                ["/p2p/" + "Q" * 46],
                ["/ip4/1.2.3.4 /tcp/1/p2p/" + "Q" * 46],
            ],
        ),
    ],
)
def test_each_value_keeps_to_its_range(path: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        parse_spec(put(path, value, BARE))
    for value in bad:
        with pytest.raises(InvalidSpec):
            parse_spec(put(path, value, BARE))


def test_ss58_prefixes_end_where_addresses_do() -> None:
    for prefix in (0, 42, 16383):
        spec = replace(LOCAL, ss58_prefix=prefix)
        assert parse_spec(spec.to_json()) == spec
    with pytest.raises(InvalidSpec, match="ss58_prefix"):
        validate_spec(replace(LOCAL, ss58_prefix=16384))
    with pytest.raises(InvalidSpec, match="made for SS58 prefix 42"):
        parse_spec(put("ss58_prefix", 7))


def test_an_address_that_is_none_is_named() -> None:
    for wrong in ("", "Alice", 5, "0x" + "00" * 32, dev_account("Alice").hex()):
        with pytest.raises(InvalidSpec, match=r"balances\[1\]\.account"):
            parse_spec(put("balances.1.account", wrong))


def test_accounts_are_sorted_and_unique() -> None:
    parsed = json.loads(TEXT)
    for change in (
        lambda items: items[::-1],
        lambda items: [items[0], *items],
    ):
        for name in ("balances", "validators"):
            text = json.dumps({**parsed, name: change(parsed[name])})
            with pytest.raises(InvalidSpec, match=name):
                parse_spec(text)


@pytest.mark.parametrize("name", ["consensus_key", "vrf_key", "peer_key"])
def test_the_keys_of_validators_are_their_own_and_are_keys(name: str) -> None:
    taken = look(json.loads(TEXT), ("validators", 1, name))
    for wrong in (taken, "0x" + "00" * 32, "0x01" + "00" * 31, "0x02" + "00" * 31):
        with pytest.raises(InvalidSpec, match="validators"):
            parse_spec(put(f"validators.0.{name}", wrong))


def test_there_are_only_so_many_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec_module, "ACCOUNTS_MAX", len(LOCAL.balances) - 1)

    with pytest.raises(InvalidSpec, match=r"runtime\.compute: must be at most"):
        parse_spec(TEXT)
    with pytest.raises(InvalidSpec, match="balances: must be at most"):
        parse_spec(put("runtime.compute", json.loads(TEXT)["runtime"]["compute"][:5]))


def test_compute_is_granted_to_each_account_once() -> None:
    grants = json.loads(TEXT)["runtime"]["compute"]

    for wrong in (grants[::-1], [grants[0], *grants]):
        with pytest.raises(InvalidSpec, match=r"runtime\.compute: must be sorted"):
            parse_spec(put("runtime.compute", wrong))


@given(st.binary(max_size=200))
def test_junk_in_a_file_is_an_invalid_spec(tmp_path_factory: Any, junk: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.json"
    path.write_bytes(junk)

    with pytest.raises(InvalidSpec):
        load_spec(path)


# -------------------------------------------------------------------------------------- files


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(InvalidSpec, match="cannot read"):
            load_spec(path)


def test_a_file_that_is_no_text_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spec.json"
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidSpec, match="not UTF-8"):
        load_spec(path)
    monkeypatch.setattr(spec_module, "SPEC_BYTES_MAX", 10)
    path.write_text(TEXT, "utf-8")
    with pytest.raises(InvalidSpec, match="larger than 10 bytes"):
        load_spec(path)


def test_an_error_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(put("token_decimals", 19), "utf-8")

    with pytest.raises(InvalidSpec, match=r"spec\.json: token_decimals: must be at most 18"):
        load_spec(path)


# ------------------------------------------------------------------------------------ presets


def test_the_local_chain_has_four_validators_and_the_development_chain_one() -> None:
    assert [len(spec.validators) for spec in (dev_spec(), local_spec())] == [1, 4]
    assert {endowment.account for endowment in dev_spec().balances} == {
        dev_account(name) for name in DEV_NAMES
    }


def test_the_development_keys_are_all_different() -> None:
    members = [dev_member(name) for name in DEV_NAMES]
    keys: list[AccountId | PublicKey] = []
    for member in members:
        keys += [member.account, member.consensus_key, member.vrf_key, member.peer_key]

    assert len(set(keys)) == 4 * len(DEV_NAMES)
