"""A running validator changes its keys: the node votes with whichever the epoch's table names."""

from pathlib import Path

import pytest
import trio
import trio.testing

from genesis.presets import dev_account, dev_session_seeds
from node.keystore import KeyMissing, Keystore, Role
from node.voters import KeystoreVoters, require_keys
from primitives.power_table import PowerTable
from primitives.types import Digest, Epoch, Height
from tests.chain.small_chains import small_spec
from tests.node.small_nodes import LeafletNetwork, SmallNode, assert_no_contradiction, records_of
from tests.runtime.staking_chain import keys_call, seeds_of

LENGTH = 4


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Jumps when nothing has happened for a moment: a thread that writes is something."""
    return trio.testing.MockClock(autojump_threshold=0.03)


def keystore_of(folder: Path, *names: str) -> Keystore:
    """Return a keystore with the session keys of these names."""
    keystore = Keystore(folder)
    for name in names:
        seeds = dev_session_seeds(name)
        keystore.save(Role.CONSENSUS, seeds.consensus)
        keystore.save(Role.VRF, seeds.vrf)
    return keystore


async def test_the_only_validator_changes_its_keys_and_the_chain_goes_on(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    network = LeafletNetwork(tmp_path / "journal")
    node = SmallNode.open(tmp_path, small_spec(epoch_length=LENGTH), network=network)
    keystore = keystore_of(tmp_path / "keystore", "Alice", "Fresh")
    node.driver.voters = KeystoreVoters(keystore)
    alice = dev_account("Alice")
    genesis: Digest = node.driver.settings.genesis
    call = node.small.signed("Alice", 0, keys_call(alice, "Fresh", genesis))

    await node.service.intake.submit([call.extrinsic.encoded])
    await node.run_to(4 * LENGTH)

    chain = node.small.chain
    session = chain.runtime_after(chain.final_hash).session
    voted = [session.table(Epoch(epoch))[0].consensus_key for epoch in range(4)]
    old, new = seeds_of("Alice")[0].public, seeds_of("Fresh")[0].public
    assert voted == [old, old, new, new]
    assert chain.final_header_at(Height(4 * LENGTH)).author == alice
    assert node.driver.voter is not None
    assert node.driver.voter.consensus.public == new
    assert_no_contradiction(records_of(tmp_path / "journal"))
    node.close()


def table() -> PowerTable:
    return small_spec(("Alice", "Bob")).power_table()


def test_a_node_votes_as_whoever_of_the_table_has_both_keys_here(tmp_path: Path) -> None:
    voters = KeystoreVoters(keystore_of(tmp_path, "Fresh", "Bob"))

    voter = voters.find(table())

    assert voter is not None
    assert voter.account == dev_account("Bob")
    assert (voter.consensus.public, voter.vrf.public) == tuple(
        pair.public for pair in seeds_of("Bob")[:2]
    )
    assert set(voters.consensus_keys()) == {seeds_of(name)[0].public for name in ("Fresh", "Bob")}


def test_a_node_without_a_key_of_the_table_only_follows(tmp_path: Path) -> None:
    keystore = keystore_of(tmp_path, "Fresh")
    assert KeystoreVoters(keystore).find(table()) is None

    keystore.save(Role.CONSENSUS, dev_session_seeds("Bob").consensus)

    assert KeystoreVoters(keystore).find(table()) is None


def test_a_validator_without_any_keys_does_not_start(tmp_path: Path) -> None:
    require_keys(keystore_of(tmp_path / "whole", "Bob"))
    half = Keystore(tmp_path / "half")
    half.generate(Role.VRF)

    with pytest.raises(KeyMissing, match="loopin key session --generate"):
        require_keys(half)
