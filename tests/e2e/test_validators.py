"""Four validators as processes: what they do when some of them die."""

import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from node.devnet.processes import NodeProcess
from tests.e2e.chain_of_processes import (
    ChainOfProcesses,
    contradictions,
    running_chain,
    wait_until,
)
from tests.e2e.load import Loader

pytestmark = pytest.mark.e2e

HALT_SECONDS = 6.0
"""Longer than any view lasts."""
RETURN_SECONDS = 30.0
"""Generous for a busy machine; the benchmark reports what a quiet one needs."""


async def test_one_of_four_is_killed_and_comes_back(tmp_path: Path) -> None:
    async with running_chain(tmp_path, validators=4) as chain:
        *others, victim = chain.nodes
        await victim.kill()
        before = max(await chain.finals())

        await chain.wait_final(before + 8, others)
        await victim.start()
        start = trio.current_time()
        target = max(await chain.finals())
        await chain.wait_final(target, [victim])

        assert trio.current_time() - start < RETURN_SECONDS
        heights = range(1, target + 1)
        assert chain.final_hashes(victim, heights) == chain.final_hashes(others[0], heights)


async def test_a_returned_validator_votes_again_while_the_chain_goes_on(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, validators=4) as chain:
        *others, victim = chain.nodes
        await victim.kill()
        await chain.wait_final(max(await chain.finals()) + 3, others)
        at = max(await chain.finals())
        start = trio.current_time()
        await victim.start()

        await chain.wait_vote(victim, at)

        seconds = trio.current_time() - start
        # What it must be on a quiet machine is measured by benchmarks/restart.py.
        sys.stdout.write(f"its vote counted {seconds:.1f} s after it was started again\n")
        # Without the returned one's votes, three of four can no longer lose another.
        await others[0].kill()
        await chain.wait_final(await chain.final(others[1]) + 4, [*others[1:], victim])


async def test_a_validator_that_lost_its_disk_votes_again_and_contradicts_nothing(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, validators=4) as chain:
        *others, victim = chain.nodes
        await chain.wait_final(5, chain.nodes)
        await victim.kill()
        before = chain.journal(victim)
        chain.lose_disk(victim)
        at = await chain.final(others[0])
        await victim.start()

        await chain.wait_vote(victim, at + 1)

        await victim.kill()
        assert list(contradictions((*before, *chain.journal(victim)))) == []


async def test_two_of_four_down_halts_and_one_return_resumes(tmp_path: Path) -> None:
    async with running_chain(tmp_path, validators=4) as chain:
        first, second, third, fourth = chain.nodes
        await third.kill()
        await fourth.kill()
        # What three had agreed on may still arrive; after that nothing can.
        await wait_until(partial(_stands_still, chain, first), "the chain halts")
        halted = await chain.final(first)
        await third.start()

        await chain.wait_final(halted + 4, [first, second, third])


async def test_all_four_killed_under_load_lose_and_contradict_nothing(tmp_path: Path) -> None:
    async with running_chain(tmp_path, validators=4) as chain:
        seen: dict[int, bytes] = {}
        accepted = 0
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                loader = Loader(chain, chain.nodes[0])
                nursery.start_soon(loader.run)
                start = max(await chain.finals())
                await chain.wait_final(start + 4, chain.nodes[:1])
                height = await chain.final(chain.nodes[0])
                hashes = chain.final_hashes(chain.nodes[0], range(1, height + 1))
                seen.update({h: known for h, known in enumerate(hashes, start=1) if known})
                for node in chain.nodes:
                    await node.kill()
                nursery.cancel_scope.cancel()
            accepted += loader.accepted
            for node in chain.nodes:
                assert list(contradictions(chain.journal(node))) == []
            for node in chain.nodes:
                await node.start()
            await chain.wait_final(max(seen) + 2, chain.nodes)

        for node in chain.nodes:
            assert dict(enumerate(chain.final_hashes(node, sorted(seen)), start=1)) == seen
        assert accepted > 0


async def _stands_still(chain: ChainOfProcesses, node: NodeProcess) -> bool:
    before = await chain.final(node)
    await trio.sleep(HALT_SECONDS)
    return await chain.final(node) == before
