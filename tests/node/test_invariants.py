"""A broken invariant stops the node, named in the log with its block, and nothing is written."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from chain.store import Store
from chain.store_check import check_store
from genesis.presets import dev_session_seeds
from genesis.spec import ChainSpec
from node.cli.node import EXIT_BROKEN
from node.data_folder import DataFolder
from node.invariants import CHECKED_ENTRIES_MAX, SizeWatch, checked_entries_max, find_broken
from node.keystore import Keystore, Role
from runtime.balances import Balances
from runtime.module import InvariantBroken
from tests.chain.small_chains import SmallChain, small_spec
from tests.node.cli.running import invoke, quick_spec
from tests.node.small_nodes import SmallNode

BAD = 3
"""The block after which the ledger of tokens does not add up."""


@pytest.fixture(autouse=True)
def leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let block ``BAD`` create a base unit that no account has."""

    def end_block(balances: Balances) -> None:
        if balances.context.block.height == BAD:
            balances.total_issuance.set(balances.total_issuance.get() + 1)  # type: ignore[arg-type]

    monkeypatch.setattr(Balances, "end_block", end_block)


def open_checked(folder: Path) -> SmallNode:
    node = SmallNode.open(folder, small_spec())
    node.small.chain.checked_entries_max = CHECKED_ENTRIES_MAX
    return node


def facts(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    return [line for line in caplog.messages if f"event={event} " in line]


async def test_a_broken_invariant_stops_the_node_that_takes_the_block(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    careless = SmallChain.open(tmp_path / "careless", small_spec())
    blocks = []
    for _ in range(BAD):
        held = careless.build(careless.chain.final_hash)
        careless.finalize(held)
        blocks.append(held.block)
    node = open_checked(tmp_path / "careful")

    for block in blocks[:-1]:
        await node.service.take(block)
    with pytest.raises(InvariantBroken):
        await node.service.take(blocks[-1])

    assert not node.small.chain.has_block(blocks[-1].hash)
    (line,) = facts(caplog, "invariant_broken")
    assert line.endswith(f"block=0x{blocks[-1].hash.hex()}")
    node.close()
    careless.close()


def run(folder: Path, spec: ChainSpec, *options: str) -> int:
    """Run ``loopin node`` for //Alice until it stops by itself; return its exit code."""
    file = folder / "spec.json"
    file.write_text(spec.to_json())
    seeds = dev_session_seeds("Alice")
    keystore = Keystore(DataFolder(folder, spec.id).keystore)
    for role, seed in zip(Role, (seeds.consensus, seeds.vrf, seeds.peer), strict=True):
        keystore.save(role, seed)
    return invoke(
        *("node", "--chain", file, "--base-path", folder, "--validator", "--no-prometheus"),
        *("--rpc-port", "0", "--listen-host", "127.0.0.1", "--port", "0", *options),
    ).code


def test_a_broken_invariant_stops_the_validator_that_builds_the_block(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = quick_spec()

    code = run(tmp_path, spec)

    assert code == EXIT_BROKEN
    (line,) = facts(caplog, "invariant_broken")
    assert line.startswith(f"height={BAD} view=")
    assert line.endswith("invariant=balances.issuance_is_free_and_held block=own")
    with Store.open(DataFolder(tmp_path, spec.id).database) as store:
        assert store.reads.head.height == BAD - 1
        assert list(store.reads.pending()) == []
        assert check_store(store.reads, lambda _: None) == []


def test_a_chain_that_checks_nothing_goes_on(tmp_path: Path) -> None:
    small = SmallChain.open(tmp_path, small_spec())

    for _ in range(BAD + 1):
        small.finalize(small.build(small.chain.final_hash))

    assert small.chain.final.height == BAD + 1
    small.close()


@pytest.mark.parametrize(
    ("chain_type", "wanted", "checks"),
    [
        ("development", None, True),
        ("local", None, True),
        ("live", None, False),
        ("live", True, True),
        ("development", False, False),
    ],
)
def test_every_chain_but_a_live_one_is_checked_unless_the_operator_says_otherwise(
    chain_type: str, wanted: bool | None, checks: bool
) -> None:
    spec = replace(small_spec(), chain_type=chain_type)

    assert (checked_entries_max(spec, wanted) > 0) == checks


def test_a_state_too_large_to_be_walked_is_told_once_and_not_checked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    small = SmallChain.open(tmp_path, small_spec())
    small.chain.checked_entries_max = small.chain.entries - 1
    watch = SizeWatch(small.chain)

    for _ in range(BAD + 1):
        watch.on_final(small.finalize(small.build(small.chain.final_hash)))

    (line,) = facts(caplog, "invariants_unchecked")
    assert line.startswith("height=1 event=invariants_unchecked entries=")
    small.close()


def test_a_chain_that_is_never_checked_says_nothing_of_its_size(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = SmallChain.open(tmp_path, small_spec())

    SizeWatch(small.chain).on_final(small.finalize(small.build(small.chain.final_hash)))

    assert facts(caplog, "invariants_unchecked") == []
    small.close()


def test_what_broke_is_found_beside_other_failures() -> None:
    group = BaseExceptionGroup("", [ValueError("no"), BaseExceptionGroup("", [OSError()])])

    assert find_broken(group) is None
