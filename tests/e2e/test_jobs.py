"""A lease from the proof of its units to the verdict over a wrong row: node, provider and client.

The node runs in a thread of this process, the provider's prover and the lease service's workers in
processes of their own; provider and client meet over libp2p on loopback.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
import trio

from genesis.presets import small_jobs_config, small_pocps_config
from genesis.spec import ChainSpec
from node.client.endpoint import Endpoint
from node.client.node_client import NodeClient
from node.lease.chain import JobChain, Verdict
from node.lease.challenger import Challenger
from node.lease.client import LeaseAccess
from node.lease.defender import LoadJob, load_job
from node.lease.job_store import StoredJob
from node.lease.processes import Command
from node.lease.program import ServeSettings, serve_leases
from node.lease.session import connected, find_place, oldest_height
from node.provider.sender import NotSent, Sender
from p2p.identity import Address
from primitives.codec import Plain
from primitives.crypto import KeyPair
from primitives.derivation import derive_key_pair
from primitives.types import AccountId, Balance, Height, Millis
from runtime.jobs.moves import JobData
from runtime.pocps.records import GenesisProvider
from runtime.session import Config as SessionConfig
from tests.node.cli.running import Result, invoke, quick_spec, running_node
from tests.node.lease.lying_client import LyingChallenger
from tests.runtime.jobs.world import make_network, make_rows

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
LENGTH = 150
"""Blocks of an epoch, thirty seconds: enough to prove on a busy machine."""
INTERVAL = Millis(200)
UNITS = 20
CLIENT, PROVIDER = derive_key_pair("//Bob"), derive_key_pair("//Charlie")
ACCOUNT = AccountId(PROVIDER.public)
NETWORK = make_network([32, 64, 16], shift=9)
ROWS = make_rows(600, 32)
WRONG_ROW = 3
"""The row that tests.node.lease.wrong_worker computes wrongly."""
PATIENCE_SECONDS = 180.0
LOOPBACK = "/ip4/127.0.0.1/tcp/0"


def spec() -> ChainSpec:
    base = quick_spec()
    runtime = replace(
        base.runtime,
        session=SessionConfig(epoch_length=LENGTH),
        pocps=replace(small_pocps_config(LENGTH), providers=(GenesisProvider(ACCOUNT, 1, UNITS),)),
        pools=replace(base.runtime.pools, market_interval=Millis(60_000)),
        jobs=replace(small_jobs_config(), answer_blocks=40, dispute_blocks=200),
    )
    return replace(
        base, runtime=runtime, consensus=replace(base.consensus, block_interval=INTERVAL)
    )


@dataclass(frozen=True, slots=True)
class Chain:
    """The running chain, with a provider that has proven its units."""

    url: str
    folder: Path

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint.parse(self.url)

    def ask(self, question: Callable[[JobChain], Any]) -> Any:
        with NodeClient(self.endpoint) as client:
            return question(JobChain(client))

    def send(self, pair: KeyPair, call: Plain) -> int:
        """Have a call included; return its fee. Raises: NotSent."""
        height = self.ask(JobChain.height)
        sender = Sender(self.endpoint, pair)
        send = partial(sender.send, call, Height(height + 60), raise_tip=0, tip_max=0)
        return trio.run(send)

    def balance(self, pair: KeyPair) -> Balance:
        balance: Balance = self.ask(lambda chain: chain.client.balance(AccountId(pair.public)))
        return balance

    def acquire(self) -> int:
        """Lease for the client; return the lease's number."""
        self.send(CLIENT, ["pools.acquire", 0, 1, 600, 10**12, CLIENT.public])
        return max(n for n in range(10) if self.ask(partial(JobChain.lease, lease_id=n)))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("jobs")
    with running_node(folder / "node", spec()) as url, proving(url, folder / "provider"):
        made = Chain(url, folder)
        wait_until(lambda: is_sent(made, PROVIDER, ["pools.join", 0]))
        yield made


@contextmanager
def proving(url: str, folder: Path) -> Iterator[None]:
    """Run the provider's prover, which serves its leases too."""
    command = [sys.executable, "-m", "node.cli.main", "provider", "run", "--key", "//Charlie"]
    process = subprocess.Popen(
        [*command, "--folder", str(folder), "--url", url, "--json", "--serve", LOOPBACK],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def serving(chain: Chain, name: str, **changes: Any) -> Iterator[None]:
    """Run the provider's lease service in another thread."""
    settings = replace(ServeSettings(chain.folder / name, Address(LOOPBACK)), **changes)
    started: SimpleQueue[tuple[trio.lowlevel.TrioToken, trio.CancelScope] | None] = SimpleQueue()

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_leases, chain.endpoint, PROVIDER, settings)
            started.put((trio.lowlevel.current_trio_token(), nursery.cancel_scope))

    def run_thread() -> None:
        try:
            trio.run(run)
        finally:
            started.put(None)

    thread = threading.Thread(target=run_thread)
    thread.start()
    running = started.get(timeout=PATIENCE_SECONDS)
    assert running is not None, "the service did not start"
    try:
        yield
    finally:
        trio.from_thread.run_sync(running[1].cancel, trio_token=running[0])
        thread.join(PATIENCE_SECONDS)


def wait_until(is_so: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < limit, "it takes too long"
        time.sleep(1)


def is_sent(chain: Chain, pair: KeyPair, call: Plain) -> bool:
    try:
        chain.send(pair, call)
    except NotSent:
        return False
    return True


def run(chain: Chain, lease_id: int, *options: object) -> Result:
    """Run ``loopin job run``."""
    network, rows = chain.folder / "network.bin", chain.folder / "rows.npy"
    network.write_bytes(NETWORK.encode())
    np.save(rows, ROWS)
    return invoke(
        "job", "run", "--lease", lease_id, "--from", "//Bob", "--network", network,
        "--rows", rows, "--output", chain.folder / "out.npy", "--url", chain.url, "--json",
        *options,
    )  # fmt: skip


def load_wrong(stored: StoredJob) -> JobData:
    """Defend what the wrong worker has said."""
    right = load_job(stored)
    outputs = right.outputs.copy()
    outputs[WRONG_ROW, 0] ^= 1
    return replace(right, outputs=outputs)


def test_who_proves_serves_its_leases_as_well(chain: Chain) -> None:
    wait_until(lambda: chain.ask(lambda c: c.service(ACCOUNT)) is not None)

    found = run(chain, chain.acquire()).json

    assert found["wrongRow"] is None
    assert (np.load(chain.folder / "out.npy") == NETWORK.run(ROWS)).all()


def test_an_honest_provider_computes_and_wins_against_a_client_that_lies(chain: Chain) -> None:
    echo = Command((sys.executable, "-c", "print(input()[::-1])"))
    lease_id = chain.acquire()
    with serving(chain, "honest", commands={"reverse": echo}):
        found = run(chain, lease_id).json
        outputs = np.load(chain.folder / "out.npy")
        stdin = chain.folder / "stdin"
        stdin.write_text("hello\n")
        executed = invoke(
            "job", "exec", "--lease", lease_id, "--from", "//Bob", "--stdin", stdin,
            "--url", chain.url, "--json", "reverse",
        ).json  # fmt: skip
        bond = chain.ask(lambda c: c.client.held(ACCOUNT, c.client.final_hash()))["pocps.bond"]
        silent = trio.run(dispute_a_right_row, chain, lease_id, Challenger)
        lying = trio.run(dispute_a_right_row, chain, lease_id, LyingChallenger)

    assert (outputs == NETWORK.run(ROWS)).all()
    assert (found["wrongRow"], found["dispute"], len(found["sampled"])) == (None, None, 16)
    assert executed["code"] == 0
    assert executed["stdout"] == "b2xsZWgK"
    assert [(each.is_won, each.reason) for each in (silent, lying)] == [
        (False, "given_up"),
        (False, "right_result"),
    ]
    held = chain.ask(lambda c: c.client.held(ACCOUNT, c.client.final_hash()))
    assert held["pocps.bond"] == bond
    assert chain.ask(lambda c: c.lease(lease_id)) is not None


async def dispute_a_right_row(
    chain: Chain, lease_id: int, challenger_type: type[Challenger]
) -> Verdict:
    with NodeClient(chain.endpoint) as client:
        jobs = JobChain(client)
        place = find_place(jobs, lease_id, None)
        access = LeaseAccess(client.genesis_hash, lease_id, place.provider, CLIENT)
        async with connected(access, place) as lease:
            oldest = oldest_height(jobs)
            outcome = await lease.run_network(NETWORK, ROWS, oldest, lambda *_: None)
        post = Sender(chain.endpoint, CLIENT)
        return await challenger_type(jobs, post, outcome, lambda _: None).play(5)


def test_a_provider_of_wrong_rows_is_caught_and_the_client_made_whole(chain: Chain) -> None:
    before = chain.balance(CLIENT)
    lease_id = chain.acquire()
    wrong: dict[str, Any] = {"worker_module": "tests.node.lease.wrong_worker"}
    load: LoadJob = load_wrong
    with serving(chain, "wrong", load=load, **wrong):
        result = run(chain, lease_id, "--sample", len(ROWS))

    assert result.code == 1
    told = json.loads(result.out)
    assert told["wrongRow"] == WRONG_ROW
    assert told["dispute"]["won"]
    assert told["dispute"]["reason"] == "wrong_result"
    assert int(told["dispute"]["taken"]) > 0
    assert chain.ask(lambda c: c.lease(lease_id)) is None
    # What the lease has cost is back; what is missing are the fees of four extrinsics.
    assert before - chain.balance(CLIENT) < 10**7
