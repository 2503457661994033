"""Providers as processes: what stopping costs, how they come back, and that none is left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from node.devnet.plan import LOOPBACK, DevnetPlan, NodePlan, make_plan
from node.devnet.processes import NodeProcess, stop_all
from node.devnet.provider_plan import Simulation
from node.provider.chain_reader import PocpsReader
from node.service import wall_clock
from primitives.types import AccountId, Epoch, Height, Millis
from tests.e2e.chain_of_processes import ChainOfProcesses, free_ports, wait_until

pytestmark = pytest.mark.e2e

EPOCH_LENGTH = 16
INTERVAL = 1000
UNITS = 20


def planned(folder: Path, validators: int) -> DevnetPlan:
    """Return a chain on which votes follow proofs; nothing proves yet."""
    return make_plan(
        folder,
        validators=validators,
        followers=0,
        base_port=free_ports(3 * validators),
        block_interval=Millis(INTERVAL),
        genesis_time=wall_clock(),
        simulation=Simulation((), EPOCH_LENGTH),
    )


def with_provider(node: NodePlan, uri: str) -> NodePlan:
    words = ("--provider", "--provider-key", uri, "--provider-class", "1")
    return replace(node, more=(*words, "--provider-units", str(UNITS)))


@asynccontextmanager
async def proving_chain(folder: Path, validators: int) -> AsyncIterator[ChainOfProcesses]:
    """Start validators, each with a provider beside it, and end them."""
    plan = planned(folder, validators)
    uris = [each.uri for each in plan.providers]
    nodes = tuple(with_provider(node, uri) for node, uri in zip(plan.nodes, uris, strict=True))
    chain = ChainOfProcesses(replace(plan, nodes=nodes))
    try:
        for node in chain.nodes:
            await node.start()
        await chain.wait_final(1, chain.nodes)
        yield chain
    finally:
        await stop_all(chain.nodes)


class Votes:
    """What the power tables of a chain say."""

    def __init__(self, chain: ChainOfProcesses, asked: NodeProcess) -> None:
        self.chain, self.asked = chain, asked

    def accounts(self) -> list[AccountId]:
        return [each.account for each in self.chain.plan.providers]

    async def epoch(self) -> int:
        """Return the epoch of the final block."""
        height = await self.chain.final(self.asked)
        return max(0, height - 1) // EPOCH_LENGTH

    async def weights(self, epoch: int) -> list[int]:
        """Return the validators' weights in an epoch that has begun."""

        def ask() -> list[int]:
            with self.chain.client(self.asked) as client:
                table = PocpsReader(client, AccountId(bytes(32))).power_table(Epoch(epoch))
                weights = {entry.account: entry.weight for entry in table.validators}
                return [int(weights.get(account, 0)) for account in self.accounts()]

        return await trio.to_thread.run_sync(ask)

    async def are_now(self, wanted: list[int]) -> bool:
        return await self.weights(await self.epoch()) == wanted

    async def live(self, index: int) -> int:
        """Return a validator's proven units now."""

        def ask() -> int:
            with self.chain.client(self.asked) as client:
                reader = PocpsReader(client, self.accounts()[index])
                return reader.look(1, client.header()).live

        return await trio.to_thread.run_sync(ask)

    async def are_live(self, *wanted: bool) -> bool:
        found = [await self.live(index) > 0 for index in range(len(wanted))]
        return found == list(wanted)


def provider_of(node: NodeProcess) -> int:
    """Return the process of the provider beside a node."""
    for entry in Path(f"/proc/{node.process_id}/task").iterdir():
        for child in (entry / "children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if b"provider" in words and b"run" in words:
                return int(child)
    raise AssertionError("the node has no provider")


async def test_a_validator_whose_provider_stops_loses_its_vote_and_returns_by_proving(
    tmp_path: Path,
) -> None:
    async with proving_chain(tmp_path, validators=2) as chain:
        first, second = chain.nodes
        votes = Votes(chain, first)
        await wait_until(partial(votes.are_live, True, True), "both have proven")
        before = await votes.weights(await votes.epoch())
        assert before[0] > 0
        assert before[0] == before[1]

        provider = provider_of(second)
        os.kill(provider, signal.SIGSTOP)
        try:
            await wait_until(partial(votes.are_live, True, False), "the second has missed")
            stopped = await votes.epoch()
            # Its vote of this epoch was made of older proofs; the tables from now on are not.
            await chain.wait_final((stopped + 1) * EPOCH_LENGTH + 1, [first])
            without = await votes.weights(stopped + 1)
        finally:
            os.kill(provider, signal.SIGCONT)
        height = await chain.final(first)
        await chain.wait_final(height + 3, [first, second])
        await wait_until(partial(votes.are_live, True, True), "the second proves again")
        await wait_until(partial(votes.are_now, before), "the second votes again")

        assert without[1] == 0
        assert without[0] > 0
        heights = [Height(each) for each in range(1, height)]
        assert chain.final_hashes(first, heights) == chain.final_hashes(second, heights)


def processes_naming(folder: Path) -> list[int]:
    """Return the processes whose command lines or working files name a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
                opened = [str(link.readlink()) for link in (entry / "fd").iterdir()]
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            names = str(folder).encode() in words or any(str(folder) in each for each in opened)
            if names and state != "Z":
                found.append(int(entry.name))
    return found


async def _none_left(folder: Path) -> bool:
    return not processes_naming(folder)


async def test_no_provider_and_no_worker_outlive_a_node_that_is_killed(tmp_path: Path) -> None:
    async with proving_chain(tmp_path, validators=1) as chain:
        (node,) = chain.nodes
        votes = Votes(chain, node)
        await wait_until(partial(votes.are_live, True), "the provider has proven")
        family = processes_naming(tmp_path)
        assert provider_of(node) in family

        await node.kill()

        await wait_until(partial(_none_left, tmp_path), "all processes are gone")
        assert len(family) >= 3


@contextmanager
def provider_run(plan: DevnetPlan, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a provider far from its node, which speaks JSON lines."""
    url = f"ws://{LOOPBACK}:{plan.nodes[0].rpc_port}"
    words = ["provider", "run", "--key", plan.providers[0].uri, "--url", url, "--class", "1"]
    words += ["--units", str(UNITS), "--folder", str(folder), "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "node.cli.main", *words], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_event(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """Return the next document of a kind."""
    assert process.stdout is not None
    for line in process.stdout:
        document: dict[str, Any] = json.loads(line)
        if document["event"] == event:
            return document
    raise AssertionError(f"it ended before it said {event}")


async def test_a_provider_outlives_its_node_and_its_own_death_and_proves_on(tmp_path: Path) -> None:
    plan = planned(tmp_path, 1)
    node = NodeProcess(plan.nodes[0], plan)
    folder = tmp_path / "provider"
    wait = partial(trio.to_thread.run_sync, wait_event)
    try:
        await node.start()
        with provider_run(plan, folder) as process:
            proven = await wait(process, "responded")
            await node.kill()
            await wait(process, "unreachable")
            await node.start()
            await wait(process, "reachable")
            again = await wait(process, "responded")
        with provider_run(plan, folder) as process:
            third = await wait(process, "responded")
    finally:
        await stop_all([node])

    assert proven["epoch"] < again["epoch"] <= third["epoch"]
