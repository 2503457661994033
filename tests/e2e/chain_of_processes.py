"""Real nodes as processes on loopback, for tests that kill them."""

import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import trio

from consensus.journal import replay
from consensus.simplex.messages import (
    CERTIFICATE,
    Certificate,
    Finalize,
    Notarize,
    Nullify,
    Proposal,
)
from consensus.simplex.pledges import Floor, Record
from genesis.spec import ChainSpec
from node.client.endpoint import Endpoint
from node.client.node_client import NodeClient
from node.data_folder import DataFolder
from node.devnet.measurements import fetch_measurements
from node.devnet.plan import LOOPBACK, DevnetPlan, make_plan
from node.devnet.processes import NodeProcess, stop_all
from node.keystore import Keystore, Role
from node.service import wall_clock
from primitives.errors import LoopinError
from primitives.types import Digest, Height, Millis

LOOK_SECONDS = 0.2
CALL_SECONDS = 5.0
PATIENCE_SECONDS = 120.0
"""For any one thing to happen; generous, since the machine may be busy with other tests."""


class ChainOfProcesses:
    """A devnet under a test's control."""

    def __init__(self, plan: DevnetPlan) -> None:
        self.plan = plan
        self.nodes = [NodeProcess(node, plan) for node in plan.nodes]

    def client(self, node: NodeProcess) -> NodeClient:
        """Return a client of one node."""
        return NodeClient(Endpoint.parse(f"http://{LOOPBACK}:{node.plan.rpc_port}"))

    async def final(self, node: NodeProcess) -> int:
        """Return a node's final height, or -1 if it does not answer."""

        def ask() -> int:
            try:
                with self.client(node) as client:
                    return client.header(client.final_hash()).header.height
            except LoopinError:
                return -1

        return await trio.to_thread.run_sync(ask)

    async def finals(self) -> list[int]:
        """Return the final heights of the nodes that run and answer."""
        heights = [await self.final(node) for node in self.nodes]
        return [height for height in heights if height >= 0]

    async def wait_final(self, height: int, nodes: Sequence[NodeProcess]) -> None:
        """Wait until all of ``nodes`` have a final block at ``height``."""
        for node in nodes:
            await wait_until(partial(self._has_final, node, height), node.plan.name)

    async def _has_final(self, node: NodeProcess, height: int) -> bool:
        return await self.final(node) >= height

    def final_hashes(self, node: NodeProcess, heights: Sequence[int]) -> list[Digest | None]:
        """Return a node's final blocks at some heights."""
        with self.client(node) as client:
            return [client.hash_at(Height(height)) for height in heights]

    async def wait_voting(self, nodes: Sequence[NodeProcess]) -> None:
        """Wait until nothing keeps these validators silent."""
        for node in nodes:
            await wait_until(partial(self._is_voting, node), f"{node.plan.name} votes")

    async def _is_voting(self, node: NodeProcess) -> bool:
        def ask() -> bool:
            try:
                found = fetch_measurements(LOOPBACK, node.plan.prometheus_port, CALL_SECONDS)
            except LoopinError:
                return False
            reasons = found.samples.get("loopin_consensus_silent", ())
            return bool(reasons) and not any(reason.value for reason in reasons)

        return await trio.to_thread.run_sync(ask)

    async def wait_vote(self, voter: NodeProcess, above: int) -> None:
        """Wait until a vote of ``voter`` counts in a finalization above some height."""
        await wait_until(partial(self._has_vote, voter, above), f"a vote of {voter.plan.name}")

    async def _has_vote(self, voter: NodeProcess, above: int) -> bool:
        folder = DataFolder(voter.plan.folder, self.plan.spec.id)
        key = Keystore(folder.keystore).only(Role.CONSENSUS).public
        place = self.plan.spec.power_table().find_position(key)
        return await trio.to_thread.run_sync(lambda: any(place in who for who in self._who(above)))

    def _who(self, above: int) -> Iterator[set[int]]:
        """Yield whose votes are in the finalizations that the nodes hold, newest first."""
        for node in self.nodes:
            try:
                with self.client(node) as client:
                    top = client.header(client.final_hash()).header.height
                    for height in range(top, above, -1):
                        block = client.hash_at(Height(height))
                        held = None if block is None else client.find_certificate(block)
                        if held:
                            yield set(CERTIFICATE.load(held).positions())
            except LoopinError:
                continue  # it does not run

    def journal(self, node: NodeProcess) -> tuple[Record, ...]:
        """Return what a stopped node has promised."""
        path = DataFolder(node.plan.folder, self.plan.spec.id).journal
        return replay(path.read_bytes()).records

    def lose_disk(self, node: NodeProcess) -> None:
        """Leave a stopped node with nothing but its keys, as from a backup."""
        folder = DataFolder(node.plan.folder, self.plan.spec.id)
        folder.journal.unlink()
        for lost in (folder.database, folder.network):
            shutil.rmtree(lost, ignore_errors=True)


async def wait_until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Look again and again until ``holds`` does; fail after a long time."""
    with trio.move_on_after(PATIENCE_SECONDS):
        while True:
            if await holds():
                return
            await trio.sleep(LOOK_SECONDS)
    raise AssertionError(f"waited {PATIENCE_SECONDS} s in vain: {what}")


@asynccontextmanager
async def running_chain(
    folder: Path,
    *,
    validators: int,
    followers: int = 0,
    interval: int = 500,
    change: Callable[[ChainSpec], ChainSpec] = lambda spec: spec,
) -> AsyncIterator[ChainOfProcesses]:
    """Start a chain, give it once every node has a final block, and end it.

    ``change`` makes the chain's spec of the devnet's.
    """
    plan = make_plan(
        folder,
        validators=validators,
        followers=followers,
        base_port=free_ports(3 * (validators + followers)),
        block_interval=Millis(interval),
        genesis_time=wall_clock(),
    )
    plan = replace(plan, spec=change(plan.spec))
    plan.spec_file.write_text(plan.spec.to_json())
    chain = ChainOfProcesses(plan)
    try:
        for node in chain.nodes:
            await node.start()
        await chain.wait_final(1, chain.nodes)
        # One that came late may keep out of a view or two, and a test is about to kill others.
        await chain.wait_voting([node for node in chain.nodes if node.plan.is_validator])
        yield chain
    finally:
        await stop_all(chain.nodes)


def free_ports(count: int) -> int:
    """Return the first of ``count`` neighbouring ports that nobody uses now.

    Each test process looks elsewhere first, so that two do not find the same ones; all look below
    the ports that the system gives to outgoing connections.
    """
    start = 15_000 + os.getpid() * 97 % 16_000
    for first in range(start, 32_700 - count, count):
        if all(_is_free(port) for port in range(first, first + count)):
            return first
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def contradictions(records: Sequence[Record]) -> Iterator[str]:
    """Yield every pair of promises in one journal that no honest validator makes."""
    seen: dict[tuple[str, int, int], Record] = {}
    for record in records:
        if isinstance(record, Floor | Certificate):
            continue
        kind = type(record).__name__
        earlier = seen.setdefault((kind, record.epoch, record.view), record)
        if isinstance(record, Proposal | Notarize | Finalize) and earlier != record:
            yield f"two of {kind} in epoch {record.epoch}, view {record.view}"
        if isinstance(record, Nullify | Finalize):
            other = "Finalize" if kind == "Nullify" else "Nullify"
            if (other, record.epoch, record.view) in seen:
                yield f"nullified and finalized view {record.view}"
