"""``loopin pool`` against a node whose providers have proven before its first block."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from genesis.presets import dev_account
from node.cli.main import EXIT_CONFIG, EXIT_FAILED, EXIT_USAGE
from node.cli.shown import short_amount
from node.client.node_client import Token
from primitives.derivation import derive_key_pair
from primitives.ss58 import encode_address
from primitives.types import AccountId
from runtime.pocps.module import Pocps
from runtime.pocps.records import GenesisProvider
from tests.node.cli.running import Result, invoke, quick_spec, running_node, wait_for_height

CPU, STORAGE = 0, 1
UNITS = 8000
DEVICE, BLOCKS_AN_HOUR = 1000, 25
ALICE, CHARLIE = (
    encode_address(AccountId(derive_key_pair(f"//{name}").public)) for name in ("Alice", "Charlie")
)
TOKEN = Token("LOOP", 9, 42)


def live_from_genesis(pocps: Pocps) -> None:
    """Write the spec's providers as if they had proven in an epoch before the first."""
    build_genesis(pocps)
    for each in pocps.config.providers:
        key = (each.class_id, each.account)
        known = pocps.standings.known(key)
        pocps.standings.change(key, known, replace(known, live=each.units, worked=each.units))


build_genesis = Pocps.build_genesis


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node on whose chain Bob supplies compute and Charlie storage, for one long epoch."""
    spec = quick_spec()
    providers = tuple(
        GenesisProvider(dev_account(name), class_id, UNITS)
        for class_id, name in ((1, "Bob"), (2, "Charlie"))
    )
    pocps = replace(spec.runtime.pocps, providers=providers)
    spec = replace(spec, runtime=replace(spec.runtime, pocps=pocps))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pocps, "build_genesis", live_from_genesis)
        with running_node(tmp_path_factory.mktemp("node"), spec) as url:
            for pool_id, name in ((CPU, "Bob"), (STORAGE, "Charlie")):
                done(url, "join", pool_id, "--from", f"//{name}")
            yield url


def pool(url: str, *arguments: object) -> Result:
    return invoke("pool", *arguments, "--url", url)


def done(url: str, *arguments: object) -> Any:
    return pool(url, *arguments, "--json").json


def free(url: str, who: str) -> int:
    return int(invoke("account", "balance", who, "--url", url, "--json").json["free"])


def events_of(receipt: Any, name: str) -> list[Any]:
    return [event["fields"] for event in receipt["events"] if event["name"] == name]


def acquired(url: str, *orders: str, blocks: int = 600, who: str = "//Alice") -> Any:
    return done(url, "acquire", *orders, "--blocks", blocks, "--from", who)


def test_pools_are_listed_with_what_a_device_costs_an_hour(url: str) -> None:
    listed = done(url, "list")
    table = pool(url, "list").out

    assert [each["className"] for each in listed] == ["cpu", "storage"]
    assert all(each["supply"] == UNITS for each in listed)
    assert "LOOP/device hour" in table
    assert "1 cpu" in table


def test_a_pool_is_shown_with_its_rule_and_its_books(url: str) -> None:
    answer = done(url, "show", CPU)
    text = pool(url, "show", CPU).out

    assert answer["rule"]["burnPpb"] == 200_000_000
    for said in ("aims at 75 % in use", "25 to 600 blocks", "20 % of what is paid", "burned"):
        assert said in text
    (lost,) = (line.split() for line in text.splitlines() if line.startswith("dissipated"))
    assert int(lost[1]) >= int(answer["books"]["dissipated"]) > 0


def test_a_quote_says_the_price_after_and_the_worst_case(url: str) -> None:
    (quote,) = done(url, "quote", "0:400", "--blocks", 100)
    text = pool(url, "quote", "0:400", "1:400", "--hours", 2).out

    assert 0 < int(quote["cost"]) < int(quote["worstCase"])
    assert int(quote["priceBeforeQ32"]) < int(quote["priceAfterQ32"])
    assert "for 50 blocks" in text
    assert "together" in text


def test_several_pools_are_leased_in_one_transaction(url: str) -> None:
    before = free(url, "//Alice")

    receipt = acquired(url, "0:300", "1:200", blocks=200)

    leases = events_of(receipt, "pools.Leased")
    assert receipt["call"] == "pools.acquire_basket"
    assert [(each["poolId"], each["units"]) for each in leases] == [(CPU, 300), (STORAGE, 200)]
    paid = sum(int(each["paid"]) for each in leases)
    # Alice makes the blocks, and gets part of the fee back.
    assert paid <= before - int(receipt["after"]) + int(receipt["fee"])
    running = done(url, "leases", "//Alice")
    assert {each["leaseId"] for each in leases} <= {each["leaseId"] for each in running}


def test_the_price_after_a_lease_is_told_for_a_device_and_hour(url: str) -> None:
    receipt = acquired(url, "0:20", blocks=300)
    (leased,) = events_of(receipt, "pools.Leased")
    shown = invoke("chain", "block", receipt["height"], "--url", url).out

    price = short_amount(int(leased["price"], 16) * DEVICE * BLOCKS_AN_HOUR >> 32, TOKEN)
    (line,) = (line for line in shown.splitlines() if "pools.Leased(" in line)
    assert f"price={price} LOOP for a device and hour" in line


def test_a_lease_is_shown_extended_and_ended_with_its_refund(url: str) -> None:
    receipt = acquired(url, "0:300", blocks=200, who="//Charlie")
    (leased,) = events_of(receipt, "pools.Leased")
    number = leased["leaseId"]
    shown = done(url, "lease", number)
    text = pool(url, "lease", number).out
    extended = done(url, "extend", number, "--blocks", 100, "--from", "//Charlie")
    automatic = done(url, "extend", number, "--auto", "5", "--from", "//Charlie")
    listed = pool(url, "leases", "//Charlie").out
    canceled = done(url, "extend", number, "--no-auto", "--from", "//Charlie")

    ended = pool(url, "end", number, "--from", "//Charlie")

    assert shown["client"] == CHARLIE
    assert shown["key"] == receipt["arguments"]["leaseKey"]
    assert "come back" in text
    assert events_of(extended, "pools.Extended")[0]["ends"] == leased["ends"] + 100
    assert automatic["arguments"]["ceiling"] == "5000000000"
    assert "5 LOOP" in listed
    assert canceled["arguments"]["ceiling"] is None
    assert ended.code == 0
    assert "refunded" in ended.out
    assert pool(url, "lease", number).code == EXIT_FAILED


def test_a_lease_opens_to_the_key_that_was_named(url: str) -> None:
    receipt = done(
        url, "acquire", "0:10", "--blocks", 30, "--lease-key", "//Dave", "--from", "//Alice"
    )

    assert receipt["arguments"]["leaseKey"] == "0x" + dev_account("Dave").hex()


def test_no_more_is_signed_than_the_client_wants_to_pay(url: str) -> None:
    (quote,) = done(url, "quote", "0:100", "--blocks", 100)
    generous = str((int(quote["cost"]) * 2) / 10**9)

    receipt = done(
        url, "acquire", "0:100", "--blocks", 100, "--max-total", generous, "--from", "//Alice"
    )
    refused = pool(
        url, "acquire", "0:100", "--blocks", 100, "--max-total", "0.000001", "--from", "//Alice"
    )

    most = int(receipt["arguments"]["maxTotal"])
    assert int(quote["cost"]) < most <= 2 * int(quote["cost"])
    assert refused.code == EXIT_FAILED
    assert "more than 0.000001 LOOP: nothing was sent" in refused.err


def test_a_provider_claims_what_its_leases_have_streamed(url: str) -> None:
    leased = acquired(url, "1:300", blocks=100)
    wait_for_height(url, leased["height"] + 5)

    receipt = done(url, "claim", STORAGE, "--from", "//Charlie")

    assert receipt["call"] == "utility.batch"
    (claimed,) = events_of(receipt, "pools.Claimed")
    assert int(claimed["amount"]) > 0


def test_a_provider_sees_its_pool_in_its_status(url: str) -> None:
    status = invoke("provider", "status", "//Charlie", "--url", url)
    found = invoke("provider", "status", "//Charlie", "--url", url, "--json").json

    assert "loopin pool claim" in status.out
    (standing,) = found["classes"]
    assert standing["pool"]["poolId"] == STORAGE
    assert standing["isEngaged"] is True


def test_a_provider_leaves_through_the_queue_and_may_stay_after_all(url: str) -> None:
    done(url, "leave", CPU, "--all", "--from", "//Bob")
    refused = pool(url, "leave", CPU, "--units", UNITS + 1, "--from", "//Bob")

    stayed = done(url, "stay", CPU, "--from", "//Bob")

    assert refused.code == EXIT_FAILED
    assert f"units in pool {CPU}" in refused.err
    assert events_of(stayed, "pools.LeaveCanceled")
    assert pool(url, "stay", CPU, "--from", "//Bob").code == EXIT_FAILED


def test_the_history_is_drawn_with_blocks_and_told_to_machines(url: str) -> None:
    wait_for_height(url, 40)

    text = pool(url, "history", CPU).out
    answer = done(url, "history", CPU, "--count", 3)

    lines = text.splitlines()
    assert "LOOP for a device and hour in pool 0" in lines[0]
    assert sum("┤" in line for line in lines) == 11
    assert all(len(line) <= 80 for line in lines)
    assert "█" in text
    assert len(answer["samples"]) == 3
    assert "\x1b[" not in text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("acquire", "0:100", "--blocks", 100), EXIT_USAGE, "who signs?"),
        (("acquire", "0:100", "--from", "//Alice"), EXIT_USAGE, "for how long?"),
        (("quote", "0", "--blocks", 5), EXIT_USAGE, "write POOL:UNITS"),
        (("quote", "0:1:2", "--blocks", 5), EXIT_USAGE, "write POOL:UNITS"),
        (("quote", *["0:1"] * 9, "--blocks", 50), EXIT_USAGE, "at most 8"),
        (("quote", "0:1", "--hours", "long"), EXIT_CONFIG, "is no number of hours"),
        (("quote", "0:1", "--blocks", 1), EXIT_FAILED, "ParameterOutOfRange: duration"),
        (("quote", "0:99999", "--blocks", 50), EXIT_FAILED, "NotEnoughSupply"),
        (("quote", "7:1", "--blocks", 50), EXIT_FAILED, "UnknownPool"),
        (("quote", "7:1", "--blocks", 50), EXIT_FAILED, "see loopin pool list"),
        (("join", 7, "--from", "//Bob"), EXIT_FAILED, "see loopin pool list"),
        (("join", 0, "--from", "//Alice"), EXIT_FAILED, "see loopin provider status"),
        (("show", 9), EXIT_FAILED, "see loopin pool list"),
        (("history", 9), EXIT_FAILED, "see loopin pool list"),
        (("lease", 99), EXIT_FAILED, "no lease 99 runs"),
        (("lease", 99), EXIT_FAILED, "loopin pool leases ACCOUNT"),
        (("end", 99, "--from", "//Bob"), EXIT_FAILED, "no lease 99 runs"),
        (("extend", 0, "--from", "//Bob"), EXIT_USAGE, "how?"),
        (("extend", 0, "--blocks", 5, "--no-auto", "--from", "//Bob"), EXIT_USAGE, "how?"),
        (("acquire", "0:4000", "--blocks", 50, "--from", "//Bob"), EXIT_FAILED, "in parts"),
        (("claim", 1, "--from", "//Bob"), EXIT_FAILED, "does not supply pool 1"),
        (("leave", 0, "--from", "//Bob"), EXIT_USAGE, "how many?"),
    ],
)
def test_what_cannot_succeed_costs_nothing_and_says_why(
    url: str, arguments: tuple[object, ...], code: int, said: str
) -> None:
    result = pool(url, *arguments)

    assert result.code == code
    assert said in result.err
    assert "Server error" not in result.err


def test_another_accounts_lease_is_not_ended(url: str) -> None:
    receipt = acquired(url, "0:10", blocks=100)
    (leased,) = events_of(receipt, "pools.Leased")

    result = pool(url, "end", leased["leaseId"], "--from", "//Bob")

    assert result.code == EXIT_FAILED
    assert "is not that of" in result.err


def test_an_account_without_leases_is_told_how_to_begin(url: str) -> None:
    assert "loopin pool acquire" in pool(url, "leases", "//Nobody").out


@pytest.mark.parametrize(
    ("units", "shown"),
    [
        (0, "0"),
        (1, "0.000000001000"),
        (1_247_386_000, "1.247"),
        (123_456_000_000_000, "123456"),
        (98_766_000_000, "98.77"),
    ],
)
def test_prices_are_shown_with_four_digits(units: int, shown: str) -> None:
    assert short_amount(units, TOKEN) == shown
