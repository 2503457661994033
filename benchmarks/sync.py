"""A new node catches up with a chain of 20 000 blocks, by blocks and by snapshot, over loopback.

    python -m benchmarks.sync --blocks 20000

One validator's chain is built in process, without waiting for its interval: every fourth block
has 20 transfers. A node process serves it; another one starts with nothing and syncs over real
p2p, by executing every block, and by a snapshot of the newest finished epoch and the blocks after
it. Both must end at the state root of the chain. Server and client share the machine; the times
count from the start of the client's process to the moment its RPC shows the last block as final.
"""

import argparse
import dataclasses
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain.blockchain import Blockchain, Imported
from chain.builder import Assignment, build_block
from chain.slices import run_slices
from chain.snapshot_folder import SnapshotFolder
from chain.store import Store
from consensus.simplex.messages import CERTIFICATE, Certificate, Finalize, Kind, message_bytes
from genesis.build import build_genesis
from genesis.presets import build_spec, dev_account, dev_member, dev_session_seeds
from genesis.spec import ChainSpec
from node.chain_database import open_store
from node.data_folder import DataFolder
from node.keystore import Keystore, Role
from node.wire import SNAPSHOTS_KEPT
from p2p.identity import peer_id_of_seed
from primitives.beacon import vrf_input
from primitives.block import IMMORTAL, encode_signed, signing_payload, signing_prefix
from primitives.crypto import KeyPair
from primitives.derivation import derive_key_pair
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Millis,
    Nonce,
    Signature,
    View,
)
from primitives.vrf import prove, verify
from runtime.executive import ReadyExtrinsic
from runtime.session import epoch_of

TRANSFERS_EVERY = 4
"""Blocks from one with transfers to the next."""
TRANSFERS = 20
CLIENT_LOG = "warning,node.sync=info,node.snapshot_sync=info,node.snapshot_start=info"
KEEP_BLOCKS = 100_000
"""The serving node has to hold every block."""


class Author:
    """Builds a chain whose only validator is //Alice."""

    def __init__(self, folder: Path, spec: ChainSpec, accounts: int) -> None:
        genesis = build_genesis(spec)
        self.spec, self.genesis = spec, genesis.hash
        self.store = open_store(DataFolder(folder, spec.id).database, spec, genesis, KEEP_BLOCKS)
        interval = spec.consensus.block_interval
        self.chain = Blockchain(self.store, config=spec.runtime, interval=interval)
        seeds = dev_session_seeds("Alice")
        self.consensus, self.vrf = KeyPair(seeds.consensus), KeyPair(seeds.vrf)
        self.pair = derive_key_pair("//Alice")
        self.prefix = signing_prefix(genesis.hash, spec.runtime.system.spec_version)
        account = dev_account("Alice")
        runtime = self.chain.runtime_after(self.chain.final_hash)
        self.nonce = int(runtime.system.nonces[account])
        self.accounts = accounts

    def add(self, count: int) -> None:
        """Build some blocks and make them final in one write."""
        path: list[Imported] = []
        for _ in range(count):
            path.append(self._build(path[-1].hash if path else self.chain.final_hash))
        certificate = self._finalization(path[-1])
        handover = self.chain.handover_after(path[-1], certificate)
        self.chain.commit_path(path, certificate, handover)
        run_slices(self.chain.on_path_committed(path))

    def make_snapshot(self, folder: Path) -> None:
        """Do what a running node does when an epoch has ended."""
        header = self.chain.final
        if header.height % self.spec.runtime.session.epoch_length:
            return
        kept = SnapshotFolder(DataFolder(folder, self.spec.id).snapshots, SNAPSHOTS_KEPT)
        began = time.perf_counter()
        made = kept.make(self.store.pinned(), header.epoch, header.height, header.state_root)
        manifest = run_slices(made)
        seconds = time.perf_counter() - began
        chunks = len(manifest.depths)
        print(f"snapshot of block {header.height}: {chunks} chunks in {seconds:.1f} s")

    def _build(self, parent: Digest) -> Imported:
        header = self.chain.header(parent)
        height = Height(header.height + 1)
        epoch = Epoch(epoch_of(height, self.spec.runtime.session.epoch_length))
        rules = self.chain.rules(epoch, parent)
        view = View(header.view + 1 if header.epoch == epoch else 1)
        alpha = vrf_input(rules.randomness, epoch, view)
        proof = prove(self.vrf, alpha)
        assignment = Assignment(
            parent=parent,
            view=view,
            timestamp=Millis(header.timestamp + self.chain.interval),
            author=dev_account("Alice"),
            vrf_proof=proof,
            vrf_output=verify(self.vrf.public, alpha, proof),
        )
        transfers = self._transfers() if height % TRANSFERS_EVERY == 0 else []
        return run_slices(
            build_block(
                self.chain,
                assignment,
                transfers,
                is_late=lambda: False,
                on_invalid=lambda _, error: sys.exit(f"refused: {error.reason}"),
            )
        )

    def _transfers(self) -> list[ReadyExtrinsic]:
        return [self._transfer() for _ in range(TRANSFERS)]

    def _transfer(self) -> ReadyExtrinsic:
        recipient = (self.nonce % self.accounts).to_bytes(32, "big")
        draft = encode_signed(
            signer=dev_account("Alice"),
            nonce=Nonce(self.nonce),
            valid_until=IMMORTAL,
            tip=Balance(0),
            call=["balances.transfer", AccountId(recipient), 10**7],
            signature=Signature(bytes(64)),
        )
        self.nonce += 1
        signature = self.pair.sign(signing_payload(self.prefix, draft))
        return ReadyExtrinsic.decode(draft[:-64] + signature)

    def _finalization(self, block: Imported) -> bytes:
        header = block.header
        vote = Finalize(header.epoch, header.view, block.hash, 0, Signature(bytes(64)))
        signature = self.consensus.sign(message_bytes(self.genesis, vote))
        made = Certificate(
            Kind.FINALIZE, header.epoch, header.view, block.hash, b"\x01", (signature,)
        )
        return CERTIFICATE.encode(made)


@dataclass(frozen=True)
class Result:
    way: str
    seconds: float
    cpu_seconds: float
    height: int
    state_root: str
    bytes_on_disk: int


def chain_spec(epoch_length: int) -> ChainSpec:
    """Return the spec of a chain that //Alice makes alone and others follow."""
    spec = build_spec(
        id="sync",
        name="Sync benchmark",
        chain_type="local",
        validators=[dev_member("Alice")],
        endowed=[dev_account("Alice")],
    )
    session = dataclasses.replace(spec.runtime.session, epoch_length=epoch_length)
    return dataclasses.replace(spec, runtime=dataclasses.replace(spec.runtime, session=session))


def build(folder: Path, spec: ChainSpec, blocks: int, accounts: int) -> tuple[int, str]:
    """Build the chain; return its height and state root."""
    author = Author(folder, spec, accounts)
    began = time.perf_counter()
    length = spec.runtime.session.epoch_length
    while (height := author.chain.final.height) < blocks:
        boundary = (epoch_of(Height(height + 1), length) + 1) * length
        author.add(min(16, boundary - height, blocks - height))
        if author.chain.final.height in (boundary, blocks) and boundary + length > blocks:
            author.make_snapshot(folder)
    seconds = time.perf_counter() - began
    keys = len(author.chain.tree.tree)
    print(f"built    {blocks} blocks in {seconds:.1f} s, {keys} keys in the state")
    root = author.chain.final.state_root.hex()
    author.store.close()
    return blocks, root


def block_bytes(folder: Path, spec: ChainSpec, height: int) -> int:
    """Return how many bytes the blocks of the chain have together."""
    with Store.open(DataFolder(folder, spec.id).database) as store:
        heights = (Height(number) for number in range(1, height + 1))
        reads = store.reads
        return sum(len(reads.header_at(at)) + len(reads.body_at(at)) for at in heights)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def call(port: int, method: str, *parameters: object) -> Any:  # noqa: ANN401  JSON
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
    connection.request("POST", "/", body, {"Content-Type": "application/json"})
    return json.loads(connection.getresponse().read())["result"]


@contextmanager
def running(folder: Path, spec: ChainSpec, *options: str, log: str = "warning") -> Iterator[int]:
    """Run a node in a process of its own; give its RPC port once that is open."""
    file = folder / "spec.json"
    file.write_text(spec.to_json())
    keystore = Keystore(DataFolder(folder, spec.id).keystore)
    if not any(keystore.folder.glob("*")):
        keystore.generate(Role.PEER)
    port = free_port()
    command = [sys.executable, "-m", "node.cli.main", "node", "--chain", str(file)]
    command += ["--base-path", str(folder), "--rpc-port", str(port), "--no-prometheus"]
    command += ["--no-check-invariants"]
    command += ["--listen-host", "127.0.0.1", "--log", log, *options]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield port
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def wait_height(port: int, height: int, limit: float) -> float:
    """Return when the node had ``height`` as its last final block."""
    stop = time.perf_counter() + limit
    while time.perf_counter() < stop:
        try:
            final = call(port, "chain_getFinalizedHead")
            if call(port, "chain_getHeader", final)["number"] >= height:
                return time.perf_counter()
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"not at {height} after {limit:g} s")


def sync(way: str, spec: ChainSpec, server: str, height: int, limit: float) -> Result:
    """Let a new node reach ``height``; return how long it took from its start."""
    with tempfile.TemporaryDirectory(prefix="loopin-sync-") as name:
        folder = Path(name)
        began, cpu_before = time.perf_counter(), sum(os.times()[2:4])
        options = ["--port", str(free_port()), "--bootnodes", server, "--pruning", str(KEEP_BLOCKS)]
        options += ["--sync", way] if way != "full" else []
        with running(folder, spec, *options, log=CLIENT_LOG) as port:
            seconds = wait_height(port, height, limit) - began
            header = call(port, "chain_getHeader", call(port, "chain_getFinalizedHead"))
        cpu = sum(os.times()[2:4]) - cpu_before
        database = DataFolder(folder, spec.id).database
        size = sum(item.stat().st_size for item in database.iterdir())
        return Result(way, seconds, cpu, header["number"], header["stateRoot"][2:], size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=20_000)
    parser.add_argument("--epoch-length", type=int, default=600)
    parser.add_argument("--accounts", type=int, default=50_000)
    parser.add_argument("--ways", default="full,snapshot")
    parser.add_argument("--limit", type=float, default=900)
    parser.add_argument("--folder", type=Path, help="keep the chain here, or use the one there")
    given = parser.parse_args()
    spec = chain_spec(given.epoch_length)
    with tempfile.TemporaryDirectory(prefix="loopin-chain-") as name:
        folder = given.folder or Path(name)
        folder.mkdir(exist_ok=True)
        height, root = build(folder, spec, given.blocks, given.accounts)
        body_bytes = block_bytes(folder, spec, height)
        keystore = Keystore(DataFolder(folder, spec.id).keystore)
        known = list(keystore.folder.glob("*"))
        seed = (keystore.only(Role.PEER) if known else keystore.generate(Role.PEER)).seed
        port = free_port()
        server = f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer_id_of_seed(seed)}"
        # Nobody votes any more: the chain stays as it is while others fetch it.
        options = ["--port", str(port), "--pruning", str(KEEP_BLOCKS)]
        with running(folder, spec, *options) as rpc:
            wait_height(rpc, height, 120)
            for way in given.ways.split(","):
                result = sync(way, spec, server, height, given.limit)
                served = body_bytes if way == "full" else 0
                same = "equal" if result.state_root == root else "DIFFERENT"
                print(
                    f"{way:8} {result.seconds:6.1f} s from start, {result.cpu_seconds:.1f} s CPU, "
                    f"{result.height / result.seconds:7.0f} blocks/s, "
                    f"{served / 1e6 / result.seconds:.2f} MB/s of blocks, "
                    f"{result.bytes_on_disk / 1e6:6.1f} MB on disk, state root {same}"
                )
                if result.state_root != root:
                    raise SystemExit(1)


if __name__ == "__main__":
    main()
