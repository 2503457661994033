"""``loopin provider join``, ``status``, ``maintenance`` and ``leave`` against a running node."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from genesis.presets import CPU_CLASS, small_pocps_config
from node.cli.main import EXIT_CONFIG, EXIT_FAILED, EXIT_USAGE
from runtime.session import Config as SessionConfig
from tests.node.cli.running import Result, invoke, quick_spec, running_node, wait_for_height

LENGTH = 12
BOND = int(CPU_CLASS.bond_per_unit)


@pytest.fixture(scope="module")
def fast_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A node whose epochs last half a second, in which nobody proves anything."""
    spec = quick_spec()
    runtime = replace(
        spec.runtime,
        session=SessionConfig(epoch_length=LENGTH),
        staking=replace(spec.runtime.staking, unbonding_epochs=1),
        pocps=small_pocps_config(LENGTH),
    )
    with running_node(tmp_path_factory.mktemp("node"), replace(spec, runtime=runtime)) as url:
        yield url


def provider(url: str, *arguments: object) -> Result:
    return invoke("provider", *arguments, "--url", url)


def done(url: str, *arguments: object) -> Any:
    return provider(url, *arguments, "--json").json


def standing(url: str, who: str, class_id: int = 1) -> Any:
    found = done(url, "status", who)["classes"]
    return next(each for each in found if each["classId"] == class_id)


def test_the_classes_are_listed_with_bond_and_places(node_url: str) -> None:
    listed = done(node_url, "classes")
    table = provider(node_url, "classes").out

    assert [each["kind"] for each in listed] == ["forward_pass", "storage"]
    assert listed[0]["bondPerUnit"] == str(BOND)
    assert "forward_pass" in table


def test_a_provider_joins_adds_units_announces_an_absence_and_leaves(node_url: str) -> None:
    joined = done(node_url, "join", "--class", 1, "--units", 1000, "--from", "//Bob")
    done(node_url, "join", "--class", 1, "--units", 500, "--from", "//Bob")
    absent = done(
        node_url, "maintenance", "--class", 1, "--first", 3, "--epochs", 2, "--from", "//Bob"
    )
    before = standing(node_url, "//Bob")
    text = provider(node_url, "status", "//Bob").out
    done(node_url, "leave", "--class", 1, "--units", 200, "--from", "//Bob")
    less = standing(node_url, "//Bob")
    done(node_url, "leave", "--class", 1, "--all", "--from", "//Bob")
    after = standing(node_url, "//Bob")
    early = provider(node_url, "withdraw", "--class", 1, "--from", "//Bob")

    assert int(joined["before"]) - int(joined["after"]) == 1000 * BOND + int(joined["fee"])
    assert absent["arguments"] == {"classId": 1, "firstEpoch": 3, "epochs": 2}
    assert (before["units"], before["bond"]) == (1500, str(1500 * BOND))
    assert before["maintenance"] == {"first": 3, "end": 5}
    assert before["penalty"]["missed"]["step"] == 1
    for said in ("owes nothing", "next miss", "wrong proof", "from epoch 3 to before epoch 5"):
        assert said in text
    assert (less["units"], after["units"]) == (1300, 0)
    assert sum(int(chunk["amount"]) for chunk in after["leaving"]) == 1500 * BOND
    assert early.code == EXIT_FAILED
    assert "no bond is free: " in early.err


def test_a_join_tells_what_it_may_earn(node_url: str) -> None:
    result = provider(node_url, "join", "--class", 2, "--units", 100, "--from", "//Charlie")

    assert result.code == 0
    assert "an epoch, growing to" in result.out
    assert "class 2" in result.out


@pytest.mark.slow
def test_who_proves_nothing_sees_faults_their_price_and_gets_the_rest_back(fast_url: str) -> None:
    done(fast_url, "join", "--class", 1, "--units", 100, "--from", "//Bob")
    joined = standing(fast_url, "//Bob")["epoch"]

    # The first epoch that owes a proof is the next; its fault is found in the one after it.
    wait_for_height(fast_url, (joined + 4) * LENGTH + LENGTH // 2)
    faults = standing(fast_url, "//Bob")["faults"]
    text = provider(fast_url, "status", "//Bob").out
    wait_for_height(fast_url, (joined + 8) * LENGTH)
    left = standing(fast_url, "//Bob")["withdrawable"]
    receipt = done(fast_url, "withdraw", "--class", 1, "--from", "//Bob")

    assert [each["step"] for each in faults] == [3, 2, 1]
    assert {each["reason"] for each in faults} == {"missed_commitment"}
    assert "missed_commitment, cost" in text
    assert receipt["events"][-1]["fields"]["amount"] == left != "0"


def test_an_account_that_provides_nothing_is_told_how_to_begin(node_url: str) -> None:
    assert "loopin provider join" in provider(node_url, "status", "//Nobody").out
    assert done(node_url, "status", "//Nobody")["classes"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("join", "--class", 9, "--units", 5), EXIT_CONFIG, "it has 1 "),
        (("join", "--class", 1, "--units", 1), EXIT_FAILED, "this would make 1"),
        (("join", "--class", 1, "--units", 10**6), EXIT_FAILED, "this would make 1000000"),
        (("leave", "--class", 1, "--all"), EXIT_FAILED, "provides nothing in class 1"),
        (("leave", "--class", 1), EXIT_USAGE, "how many?"),
        (("leave", "--class", 1, "--all", "--units", 5), EXIT_USAGE, "how many?"),
        (("withdraw", "--class", 1), EXIT_FAILED, "provides nothing in class 1"),
        (("maintenance", "--class", 1), EXIT_FAILED, "provides nothing in class 1"),
        (("join", "--class", 1, "--units", 1000), EXIT_FAILED, "nothing was sent"),
    ],
)
def test_what_cannot_succeed_is_refused_before_it_costs_a_fee(
    node_url: str, arguments: tuple[object, ...], code: int, said: str
) -> None:
    result = provider(node_url, *arguments, "--from", "//Nobody")

    assert result.code == code
    assert said in result.err
