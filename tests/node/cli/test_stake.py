"""``loopin stake`` against a node whose epochs last half a second."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from genesis.presets import DEV_BOND
from genesis.spec import ChainSpec
from node.cli.amounts import InvalidAmount, format_percent, parse_percent
from node.cli.main import EXIT_CONFIG, EXIT_FAILED, EXIT_USAGE
from primitives.derivation import derive_key_pair
from primitives.ss58 import encode_address
from primitives.types import AccountId
from runtime.session import Config as SessionConfig
from tests.node.cli.running import Result, invoke, quick_spec, running_node, wait_for_height

LENGTH = 10
LOOP = 10**9
ALICE, BOB = (encode_address(AccountId(derive_key_pair(f"//{n}").public)) for n in ("Alice", "Bob"))


def stake_spec() -> ChainSpec:
    spec = quick_spec()
    staking = replace(spec.runtime.staking, unbonding_epochs=1)
    session = SessionConfig(epoch_length=LENGTH)
    return replace(spec, runtime=replace(spec.runtime, staking=staking, session=session))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_node(tmp_path_factory.mktemp("node"), stake_spec()) as url:
        yield url


def stake(url: str, *arguments: object) -> Result:
    return invoke("stake", *arguments, "--url", url)


def done(url: str, *arguments: object) -> Any:
    return stake(url, *arguments, "--json").json


def ledger(url: str, who: str) -> Any:
    return done(url, "status", who)["ledger"]


def wait_for_epoch(url: str, epoch: int) -> None:
    """Follow the chain until its next block is in ``epoch``."""
    wait_for_height(url, epoch * LENGTH)


def test_a_bond_grows_is_nominated_leaves_and_comes_back(url: str) -> None:
    first = done(url, "bond", "30", "--from", "//Bob")
    more = done(url, "bond", "12.5", "--from", "//Bob")
    nominated = done(url, "nominate", "//Alice", "--from", "//Bob")
    held = ledger(url, "//Bob")
    behind = done(url, "status", "//Alice")["validator"]

    assert [each["call"] for each in (first, more, nominated)] == [
        "staking.bond",
        "staking.bond_extra",
        "staking.nominate",
    ]
    assert int(first["before"]) - int(first["after"]) == 30 * LOOP + int(first["fee"])
    assert (held["active"], held["nominates"]) == (str(42_500_000_000), ALICE)
    assert behind["nominators"] == [{"account": BOB, "amount": held["active"]}]

    part = done(url, "unbond", "--all", "--from", "//Bob")
    done(url, "chill", "--from", "//Bob")
    done(url, "unbond", "--all", "--from", "//Bob")
    left = ledger(url, "//Bob")
    early = stake(url, "withdraw", "--from", "//Bob")
    wait_for_epoch(url, left["unbonding"][-1]["withdrawableFrom"])
    freed = done(url, "withdraw", "--from", "//Bob")

    assert part["arguments"]["amount"] == str(42_500_000_000 - int(held["least"]))
    assert (left["active"], left["total"], left["role"]) == ("0", "42500000000", "none")
    assert early.code == EXIT_FAILED
    assert "nothing can be withdrawn" in early.err
    assert freed["events"][-1]["fields"]["amount"] == "42500000000"


def test_a_validator_joins_changes_its_commission_and_goes(url: str) -> None:
    done(url, "bond", "1000", "--from", "//Charlie")

    done(url, "validate", "--commission", "2.5", "--from", "//Charlie")
    text = stake(url, "status", "//Charlie").out
    everybody = done(url, "validators")
    table = stake(url, "validators").out
    refused = stake(url, "unbond", "1", "--from", "//Charlie")
    done(url, "chill", "--from", "//Charlie")

    assert "2.5 %" in text
    assert "loopin stake rotate-keys" in text
    assert {each["commissionPpb"] for each in everybody} == {0, 25_000_000}
    assert any("100.0 %" in line and ALICE in line for line in table.splitlines())
    assert refused.code == EXIT_FAILED
    assert "1000 LOOP must stay while the account is a validator" in refused.err
    assert ledger(url, "//Charlie")["role"] == "none"


def test_new_session_keys_of_the_node_are_registered_for_its_owner(url: str) -> None:
    before = done(url, "status", "//Alice")["sessionKeys"]

    receipt = done(url, "rotate-keys", "--from", "//Alice")
    after = done(url, "status", "//Alice")["sessionKeys"]

    assert receipt["call"] == "session.set_keys"
    assert after["keys"]["consensus"] != before["keys"]["consensus"]
    assert after["previous"] == before["keys"]
    assert after["keys"]["peer"] == before["keys"]["peer"]
    assert "counts from epoch" in stake(url, "status", "//Alice").out


def test_keys_that_are_anothers_are_refused_with_the_reason_of_the_chain(url: str) -> None:
    result = stake(url, "rotate-keys", "--from", "//Bob")

    assert result.code == EXIT_FAILED
    assert "session.KeyTaken (Another account has registered that key)" in result.err


def test_a_payout_collects_every_epoch_that_waits(url: str) -> None:
    wait_for_epoch(url, 2)

    paid = done(url, "payout", "--from", "//Alice")

    names = {event["name"] for event in paid["events"]}
    assert {"rewards.ValidatorPaid", "rewards.ProviderPaid"} <= names
    assert "utility.BatchInterrupted" not in names
    assert int(ledger(url, "//Alice")["active"]) > DEV_BOND
    assert ledger(url, "//Alice")["vesting"]


def test_what_an_account_has_earned_is_shown_to_people(url: str) -> None:
    with_epoch = ledger(url, "//Alice")["epoch"]
    wait_for_epoch(url, with_epoch + 1)

    text = stake(url, "status", "//Alice").out

    assert "by votes and blocks" in text
    assert "loopin stake payout" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("withdraw",), "nothing is leaving"),
        (("unbond", "1"), "of 0 LOOP at stake 0 LOOP may leave now"),
        (("unbond", "--all"), "of 0 LOOP at stake 0 LOOP may leave now"),
        (("chill",), "neither validates nor nominates"),
        (("unjail",), "is not in jail"),
        (("payout",), "nothing waits to be paid"),
        (("bond", "1"), "has 0 LOOP free"),
    ],
)
def test_what_cannot_succeed_is_refused_before_it_costs_a_fee(
    url: str, arguments: tuple[str, ...], said: str
) -> None:
    result = stake(url, *arguments, "--from", "//Nobody")

    assert result.code == EXIT_FAILED
    assert said in result.err


def test_a_call_that_the_chain_refuses_says_what_the_chain_means(url: str) -> None:
    result = stake(url, "nominate", "//Nobody", "--from", "//Charlie")

    assert result.code == EXIT_FAILED
    assert "staking.NotValidating (" in result.err
    assert "only the fee was paid" in result.err


@pytest.mark.parametrize("words", [("nominate", "//Alice"), ("validate",)])
def test_who_has_nothing_at_stake_is_told_to_bond_first(url: str, words: tuple[str, ...]) -> None:
    result = stake(url, *words, "--from", "//Bob")

    assert result.code == EXIT_FAILED
    assert "first: loopin stake bond; nothing was sent" in result.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("chill",), EXIT_USAGE),
        (("chill", "--from", "//Bob", "--from-file", "x.json"), EXIT_USAGE),
        (("unbond", "--from", "//Bob"), EXIT_USAGE),
        (("unbond", "1", "--all", "--from", "//Bob"), EXIT_USAGE),
        (("validate", "--commission", "101", "--from", "//Bob"), EXIT_CONFIG),
        (("validate", "--commission", "a lot", "--from", "//Bob"), EXIT_CONFIG),
        (("bond", "1,5", "--from", "//Bob"), EXIT_CONFIG),
        (("nominate", "nobody", "--from", "//Bob"), EXIT_CONFIG),
        (("chill", "--from", "bottom drive obey"), EXIT_CONFIG),
        (("chill", "--from", "//Bob", "--genesis", "0x" + "22" * 32), EXIT_CONFIG),
    ],
)
def test_a_wrong_command_line_is_told_apart_from_a_refusal(
    url: str, arguments: tuple[str, ...], code: int
) -> None:
    assert stake(url, *arguments).code == code


def test_submitting_only_gives_a_hash_to_look_for(url: str) -> None:
    result = done(url, "bond", "10", "--from", "//Charlie", "--no-wait")

    assert result["status"] == "submitted"
    assert result["extrinsic"].startswith("0x")


@pytest.mark.parametrize(
    ("text", "ppb"), [("0", 0), ("2.5", 25_000_000), ("100%", 10**9), ("0.0000001", 1)]
)
def test_percentages_are_read_exactly(text: str, ppb: int) -> None:
    assert parse_percent(text) == ppb
    assert parse_percent(format_percent(ppb).removesuffix(" %")) == ppb


@pytest.mark.parametrize("text", ["", "%", "-1", "100.1", "1e1", "0.00000001", "5 %"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_percent(text)
