import socket
from dataclasses import replace
from pathlib import Path

import pytest

from genesis.spec import load_spec
from node.data_folder import DataFolder
from node.devnet.plan import LOOPBACK, NODES_MAX, DevnetPlan, PortTaken, make_plan, payers
from node.keystore import Keystore, Role
from primitives.errors import ConfigError
from primitives.types import Millis
from tests.e2e.chain_of_processes import free_ports


def plan_in(folder: Path, *, validators: int = 3, followers: int = 1, port: int = 0) -> DevnetPlan:
    return make_plan(
        folder,
        validators=validators,
        followers=followers,
        base_port=port or free_ports(3 * (validators + followers)),
        block_interval=Millis(500),
        genesis_time=Millis(1_700_000_000_000),
    )


def test_plan_is_a_chain_spec_on_disk_that_every_node_starts_from(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)

    assert load_spec(plan.spec_file) == plan.spec
    for node in plan.nodes:
        arguments = node.arguments(plan.spec_file)
        assert str(plan.spec_file) in arguments
        assert ("--validator" in arguments) == node.is_validator
        assert "--no-check-invariants" not in arguments
        timed = replace(node, is_timed=True)
        assert "--no-check-invariants" in timed.arguments(plan.spec_file)


def test_validators_hold_the_keys_that_the_spec_names(tmp_path: Path) -> None:
    plan = plan_in(tmp_path)

    named = {member.consensus_key for member in plan.spec.validators}
    held = {
        Keystore(DataFolder(node.folder, plan.spec.id).keystore).only(Role.CONSENSUS).public
        for node in plan.nodes
        if node.is_validator
    }
    assert named == held
    assert len(plan.spec.boot_nodes) == 3


def test_two_plans_are_two_chains(tmp_path: Path) -> None:
    one, other = plan_in(tmp_path / "one"), plan_in(tmp_path / "other")

    assert one.spec.id != other.spec.id


def test_payers_of_the_busy_client_are_endowed(tmp_path: Path) -> None:
    endowed = {item.account for item in plan_in(tmp_path).spec.balances}

    assert {pair.public for pair in payers()} <= endowed


def test_a_taken_port_is_named_with_what_to_do(tmp_path: Path) -> None:
    base = free_ports(12)
    with socket.socket() as other:
        other.bind((LOOPBACK, base + 7))

        with pytest.raises(PortTaken, match=rf"port {base + 7} .* another --base-port"):
            plan_in(tmp_path, port=base)


def test_ports_beyond_the_last_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lower --base-port"):
        plan_in(tmp_path, port=65_530)


@pytest.mark.parametrize(("validators", "followers"), [(0, 1), (NODES_MAX, 1)])
def test_too_few_and_too_many_nodes_are_refused(
    tmp_path: Path, validators: int, followers: int
) -> None:
    with pytest.raises(ConfigError, match="1 validator or more"):
        plan_in(tmp_path, validators=validators, followers=followers, port=40_000)
