"""The genesis block: frozen roots, and a state that a chain can start on."""

import json
from dataclasses import replace
from math import isqrt
from pathlib import Path

import pytest

from chain.state_tree import StateTree
from genesis.build import build_genesis
from genesis.presets import DEV_BOND, DEV_OPERATIONS, dev_account, dev_spec, local_spec
from genesis.spec import ChainSpec
from primitives.block import Block
from primitives.codec import ACCOUNT
from primitives.types import EMPTY_DIGEST, Balance, Epoch
from runtime.module import EMPTY_ACCOUNT
from tests.vectors.make_genesis import frozen

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "genesis.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(("name", "spec"), [("dev", dev_spec()), ("local", local_spec())])
def test_the_genesis_of_a_known_chain_never_changes(name: str, spec: ChainSpec) -> None:
    assert frozen(spec) == VECTORS[name]


def test_the_header_commits_to_the_spec_and_the_state() -> None:
    spec = dev_spec()
    genesis = build_genesis(spec)
    header = genesis.block.header
    tree = StateTree()
    tree.update(genesis.state)

    assert header.parent_hash == spec.hash
    assert header.state_root == tree.root != EMPTY_DIGEST
    assert (header.height, header.view, header.epoch) == (0, 0, 0)
    assert header.timestamp == spec.genesis_time
    assert header.author == EMPTY_ACCOUNT
    assert (header.extrinsics_root, header.receipts_root, header.vrf_proof) == (
        EMPTY_DIGEST,
        EMPTY_DIGEST,
        b"",
    )
    assert Block.decode(genesis.block.encode()) == genesis.block


def test_two_specs_have_two_geneses_even_with_one_state() -> None:
    one, two = dev_spec(), replace(dev_spec(), name="Another")

    assert build_genesis(one).state == build_genesis(two).state
    assert build_genesis(one).hash != build_genesis(two).hash


def test_the_state_holds_what_the_spec_says() -> None:
    state = build_genesis(dev_spec()).state

    assert list(state) == sorted(state)
    assert sum(key.startswith(b"balances.free:") for key in state) == 6
    assert b"balances.free:" + ACCOUNT.encode(dev_account("Alice")) in state


def test_a_genesis_breaks_no_invariant_or_is_not_built() -> None:
    spec = dev_spec()
    dust = replace(spec.balances[0], amount=Balance(1))

    with pytest.raises(Exception, match="1 would be left"):
        build_genesis(replace(spec, balances=(dust,)))


def test_the_first_epoch_has_the_validators_of_the_spec() -> None:
    spec = local_spec()

    assert spec.power_table().total == 4 * isqrt(DEV_BOND * DEV_OPERATIONS)
    assert Epoch(0) == build_genesis(spec).block.header.epoch
