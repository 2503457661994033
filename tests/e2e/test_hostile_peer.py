"""Hostile peers against a validator in a process: what they cost it, and why it says they went.

The bounds are those of docs/network.md, "Hostile peers": memory in all, and how long a block takes.
"""

import re
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
from libp2p.exceptions import BaseLibp2pError

from node.devnet.plan import LOOPBACK
from node.devnet.processes import NodeProcess
from p2p.faults import ConnectionLost, DialFailed
from p2p.identity import PeerId, parse_peer_address
from p2p.libp2p_fixes.link import NegotiationFailed
from primitives.types import Digest, Height
from tests.e2e.chain_of_processes import ChainOfProcesses, running_chain, wait_until
from tests.e2e.hostile_peer import Attack, HostilePeer, carry_out, hostile_peer

pytestmark = pytest.mark.e2e

GROWTH_BYTES_MAX = 128 << 20
"""Of the victim's resident memory, over all attacks."""
GAP_SECONDS_MAX = 10.0
"""Between two final blocks, on a machine that runs the attack and other things besides."""
ATTACK_SECONDS = 8.0

REASONS: dict[Attack, str] = {
    HostilePeer.send_garbage: "bad bytes",
    HostilePeer.send_garbage_in_bulk: "bad bytes",
    HostilePeer.announce_a_huge_length: "FrameTooLarge",
    HostilePeer.open_thousands_of_streams: "opens too many streams",
    HostilePeer.send_extrinsics_that_nobody_signed: "invalid signature",
    HostilePeer.say_and_read_nothing: "PeerSilent",
}
"""Who does this is thrown out, for that reason."""
HELD_BACK: tuple[Attack, ...] = (
    HostilePeer.replay_old_votes,
    HostilePeer.flood_with_questions,
    HostilePeer.flood_with_extrinsics_that_nobody_pays,
    HostilePeer.ask_for_blocks_without_end,
    HostilePeer.leave_requests_half_open,
)
"""What an honest node might do a little of costs no score, but its sender waits."""


@dataclass
class Watched:
    """The longest time between two final blocks."""

    gap: float = 0.0


@asynccontextmanager
async def watching(chain: ChainOfProcesses, node: NodeProcess) -> AsyncIterator[Watched]:
    watched = Watched()
    height, since = await chain.final(node), trio.current_time()

    async def look() -> None:
        nonlocal height, since
        while True:
            await trio.sleep(0.2)
            now = await chain.final(node)
            watched.gap = max(watched.gap, trio.current_time() - since)
            if now > height:
                height, since = now, trio.current_time()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        yield watched
        nursery.cancel_scope.cancel()


def resident_bytes(node: NodeProcess) -> int:
    status = Path(f"/proc/{node.process_id}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) << 10


def disconnects(node: NodeProcess) -> str:
    url = f"http://{LOOPBACK}:{node.plan.prometheus_port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return "\n".join(line for line in text.splitlines() if "loopin_disconnects" in line)


@dataclass
class Scene:
    """A chain of which one validator is the victim."""

    chain: ChainOfProcesses
    genesis: Digest
    finalization: bytes

    @property
    def victim(self) -> NodeProcess:
        return self.chain.nodes[0]

    def connected(self) -> AbstractAsyncContextManager[HostilePeer]:
        spec = self.chain.plan.spec
        address = parse_peer_address(spec.boot_nodes[0])
        version = spec.runtime.system.spec_version
        return hostile_peer(address, self.genesis, version, self.finalization)

    def log_of(self, peer: PeerId) -> str:
        lines = self.victim.plan.log.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if peer in line)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async with running_chain(folder, validators=2) as chain:
        await chain.wait_final(3, chain.nodes)
        with chain.client(chain.nodes[0]) as client:
            genesis, block = client.hash_at(Height(0)), client.hash_at(Height(2))
            assert genesis is not None
            assert block is not None
            certificate = client.find_certificate(block)
        assert certificate is not None
        yield Scene(chain, genesis, certificate)


async def test_hostile_peers_cost_little_and_are_thrown_out_with_their_reason(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        before = resident_bytes(here.victim)
        async with watching(here.chain, here.victim) as watched:
            for attack, reason in REASONS.items():
                async with here.connected() as attacker:
                    with trio.move_on_after(30):
                        await carry_out(attacker, attack)
                        await attacker.wait_thrown_out()

                async def has_said_why(peer: PeerId = attacker.peer, why: str = reason) -> bool:
                    return re.search(why, here.log_of(peer)) is not None

                await wait_until(has_said_why, f"{attack.__name__}: {reason}")
            for attack in HELD_BACK:
                async with here.connected() as attacker:
                    with trio.move_on_after(ATTACK_SECONDS):
                        await carry_out(attacker, attack)
                assert "ban peer=" not in here.log_of(attacker.peer)
                at = await here.chain.final(here.victim)
                await here.chain.wait_final(at + 2, here.chain.nodes)
        grown = resident_bytes(here.victim) - before
        counted = disconnects(here.victim)

    print(f"gap={watched.gap:.1f} s grown={grown >> 20} MiB {counted}")  # noqa: T201
    assert watched.gap < GAP_SECONDS_MAX
    assert grown < GROWTH_BYTES_MAX
    for kind in ("Banned", "FrameTooLarge", "Flooding", "PeerSilent"):
        assert f'reason="{kind}"' in counted


async def test_eight_flooders_at_once_do_not_stop_the_chain(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        before = resident_bytes(here.victim)
        async with watching(here.chain, here.victim) as watched, trio.open_nursery() as nursery:

            async def pester(attack: Attack) -> None:
                while True:
                    with trio.move_on_after(ATTACK_SECONDS):
                        try:
                            async with here.connected() as attacker:
                                await carry_out(attacker, attack)
                        except* (DialFailed, ConnectionLost, NegotiationFailed, BaseLibp2pError):
                            pass
                    await trio.sleep(0.1)

            for number in range(8):
                nursery.start_soon(pester, HELD_BACK[number % len(HELD_BACK)])
            await trio.sleep(3 * ATTACK_SECONDS)
            nursery.cancel_scope.cancel()
        at = await here.chain.final(here.victim)
        await here.chain.wait_final(at + 3, here.chain.nodes)
        grown = resident_bytes(here.victim) - before

    print(f"gap={watched.gap:.1f} s grown={grown >> 20} MiB")  # noqa: T201
    assert watched.gap < GAP_SECONDS_MAX
    assert grown < GROWTH_BYTES_MAX
