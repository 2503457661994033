"""The providers of a devnet: their plan, their table, their verdicts."""

import io
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from genesis.spec import load_spec
from node.devnet.behaviours import parse_behaviours
from node.devnet.devnet import Devnet
from node.devnet.plan import DevnetPlan, make_plan
from node.devnet.provider_plan import GRANT_EPOCHS, Simulation
from node.devnet.providers import ProviderSight, _with_time
from node.devnet.report import status_document, status_line
from node.devnet.screen import draw
from primitives.types import Balance, Epoch, Height, Millis
from runtime.pocps.ladder import Fault
from tests.e2e.chain_of_processes import free_ports

FAULT = Fault(Epoch(1), Height(39), "invalid_proof", 2, Balance(2_500_000_000))


def plan_in(folder: Path, behaviours: str, *, validators: int = 3) -> DevnetPlan:
    return make_plan(
        folder,
        validators=validators,
        followers=0,
        base_port=free_ports(3 * validators),
        block_interval=Millis(500),
        genesis_time=Millis(1_700_000_000_000),
        simulation=Simulation(parse_behaviours(behaviours), 24),
    )


@pytest.fixture
def devnet(tmp_path: Path) -> Devnet:
    return Devnet(plan_in(tmp_path, "fast,lazy:0.25,twins,copier"))


def drawn(devnet: Devnet) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(draw(devnet, 12.0))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_first_providers_are_the_validators_and_prove_from_their_accounts(
    tmp_path: Path,
) -> None:
    plan = plan_in(tmp_path, "silent")

    assert [each.behaviour.label for each in plan.providers] == ["silent", "fast", "fast"]
    assert [each.validator for each in plan.providers] == [node.name for node in plan.nodes]
    accounts = {each.account for each in plan.providers}
    assert accounts == {member.account for member in plan.spec.validators}


def test_votes_follow_proofs_and_grants_end(tmp_path: Path) -> None:
    spec = load_spec(plan_in(tmp_path, "slow,fast,fast,silent").spec_file)

    assert spec.runtime.session.epoch_length == 24
    assert spec.runtime.pocps.grant_epochs == GRANT_EPOCHS
    # A slow one is granted what it will prove, which is less; a mere provider nothing.
    granted = sorted(grant.operations for grant in spec.runtime.compute)
    assert len(granted) == 3
    assert granted[0] * 2 == granted[1] == granted[2]


def test_cheats_have_a_worker_of_their_own_and_honest_ones_the_programs(devnet: Devnet) -> None:
    fast, lazy, twin, other, copier = devnet.plan.providers

    assert fast.worker_arguments() == ("-m", "miner.worker")
    assert lazy.worker_arguments()[:2] == ("-m", "node.devnet.foul_worker")
    assert twin.foul is not None
    assert other.foul == twin.foul
    assert copier.foul is not None
    assert copier.foul.victim == fast.account.hex()


def test_the_table_says_who_is_caught_when_why_and_what_it_cost(devnet: Devnet) -> None:
    providers = devnet.providers
    assert providers is not None
    missed = replace(FAULT, reason="missed_commitment", epoch=Epoch(2))
    sight = ProviderSight(
        staked=10, vote_ppb=250_000_000, faults=(FAULT, missed), caught_after=61.4
    )
    providers.sights["provider-1"] = sight

    rows = drawn(devnet).splitlines()

    (row,) = [line for line in rows if line.startswith("provider-1")]
    assert "lazy:0.25" in row
    assert "validator-1" in row
    assert "block 39 (61 s)" in row
    assert "2x invalid_proof, missed_commitment" in row
    assert row.rstrip().endswith("5")
    document = orjson.loads(orjson.dumps(status_document(devnet, 62.0)))
    found = document["providers"][1]
    assert (found["lost"], found["caughtAfterSeconds"]) == ("5000000000", 61.4)
    assert found["faults"][0]["reason"] == "invalid_proof"
    assert "caught=lazy:0.25:invalid_proof+missed_commitment" in status_line(devnet, 62.0)


def test_an_honest_provider_with_a_wrong_proof_is_a_failure_of_the_devnet(devnet: Devnet) -> None:
    providers = devnet.providers
    assert providers is not None
    providers.sights["provider-1"] = ProviderSight(faults=(FAULT,))
    cheats = devnet.problems()
    providers.sights["provider-0"] = ProviderSight(faults=(FAULT,))

    assert cheats == []
    assert devnet.problems() == [
        "provider-0 proves honestly and was found to have sent an invalid proof"
    ]


def test_a_devnet_without_providers_has_no_table(tmp_path: Path) -> None:
    plan = replace(plan_in(tmp_path, "fast"), providers=())

    devnet = Devnet(plan)

    assert devnet.providers is None
    assert status_document(devnet, 1.0)["providers"] == []
    assert "provider" not in drawn(devnet)


def test_when_somebody_was_caught_is_remembered() -> None:
    first = _with_time(ProviderSight(faults=(FAULT,)), ProviderSight(), 30.0)
    later = _with_time(ProviderSight(), first, 90.0)

    assert (later.caught_after, later.faults) == (30.0, (FAULT,))
