"""Whole nodes that talk: blocks final, extrinsics relayed, faults of peers and of the network."""

from pathlib import Path

import pytest
import trio
import trio.testing

from tests.chain.small_chains import small_spec
from tests.node.town import NAMES, Town, determined


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> trio.testing.MockClock:
    return determined(monkeypatch)


async def test_transfers_given_to_any_node_are_final_at_all_across_epochs(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    town = Town(tmp_path, small_spec(NAMES, epoch_length=5))
    async with town.living(*NAMES, "follower"):
        await town.wait_height(1)
        given = []
        for sender, at in zip(("Alice", "Bob", "Charlie"), ("Dave", "follower", "Alice"), strict=True):
            node = town[at]
            given += await node.submit(
                *[node.small.small.transfer(sender, nonce, "Eve") for nonce in range(5)]
            )

        await town.wait(lambda: all(n.has_final(x) for n in town.nodes.values() for x in given))
        await town.wait_height(22)

        assert all(len(node.small.mempool) == 0 for node in town.nodes.values())
        assert all(len(node.network.bans()) == 0 for node in town.nodes.values())
        assert all(not node.handler.faults for node in town.nodes.values())
