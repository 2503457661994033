"""The real node, killed again and again under load: nothing reported final is ever lost."""

import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from chain.store import Store
from chain.store_check import check_store
from genesis.build import build_genesis
from genesis.presets import build_spec, dev_account, dev_member, dev_session_seeds
from genesis.spec import ChainSpec
from node.data_folder import DataFolder
from node.keystore import Keystore, Role
from primitives.block import signing_prefix
from primitives.codec import Plain
from primitives.derivation import derive_key_pair
from primitives.types import Digest, Height, Millis
from tests.chain.small_chains import sign
from tests.node.small_nodes import assert_no_contradiction, records_of

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
INTERVAL = Millis(100)
BATCH = 40


class Client:
    """One connection to the node."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def close(self) -> None:
        self._connection.close()

    def call(self, method: str, *parameters: object) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        self._connection.request(
            "POST", "/", json.dumps(request), {"Content-Type": "application/json"}
        )
        answer = json.loads(self._connection.getresponse().read())
        assert "error" not in answer or method == "author_submitExtrinsic", answer
        return answer.get("result")


class Load(threading.Thread):
    """Sends transfers and notes what is reported final, until the node is gone."""

    def __init__(self, port: int, spec: ChainSpec) -> None:
        super().__init__(daemon=True)
        self.final: dict[int, str] = {}
        self._port = port
        self._prefix = signing_prefix(build_genesis(spec).hash, spec.runtime.system.spec_version)

    def run(self) -> None:
        pair = derive_key_pair("//Alice")
        call: Plain = ["balances.transfer", dev_account("Bob"), 10**9]
        with closing(Client(self._port)) as client, suppress(OSError, http.client.HTTPException):
            while True:
                head = client.call("chain_getFinalizedHead")
                self.final[client.call("chain_getHeader", head)["number"]] = head
                nonce = client.call("system_accountNextIndex", "0x" + pair.public.hex())
                for number in range(nonce, nonce + BATCH):
                    encoded = sign(self._prefix, pair, number, call)
                    client.call("author_submitExtrinsic", "0x" + encoded.hex())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(folder: Path, spec: ChainSpec) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Run the node; give it and its RPC port once it answers."""
    file = folder / "spec.json"
    file.write_text(spec.to_json())
    port = free_port()
    command = [sys.executable, "-m", "node.cli.main", "node", "--chain", str(file), "--validator"]
    options = ["--base-path", str(folder), "--rpc-port", str(port), "--port", "0"]
    options += ["--log", "warning"]
    with subprocess.Popen([*command, *options], cwd=ROOT) as process:
        try:
            wait_for(process, port)
            yield process, port
        finally:
            process.kill()


def wait_for(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the node ended by itself"
        with closing(Client(port)) as client, suppress(OSError, http.client.HTTPException):
            client.call("chain_getFinalizedHead")
            return
        time.sleep(0.05)  # a process that starts gives no sign but this
    raise AssertionError("the node did not come up")


def run_and_kill(folder: Path, spec: ChainSpec, blocks: int, rng: random.Random) -> dict[int, str]:
    """Kill the node under load once it has made some blocks; return what it reported final."""
    with running(folder, spec) as (process, port):
        load = Load(port, spec)
        load.start()
        deadline = time.monotonic() + START_SECONDS
        while len(load.final) < blocks and time.monotonic() < deadline:
            time.sleep(rng.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        load.join()
    assert len(load.final) >= blocks
    return load.final


@pytest.mark.slow
def test_node_killed_under_load_loses_nothing_final_and_never_contradicts_itself(
    tmp_path: Path,
) -> None:
    spec = build_spec(
        id="crash",
        name="Crash",
        chain_type="local",
        validators=[dev_member("Alice")],
        endowed=[dev_account("Alice"), dev_account("Bob")],
        block_interval=INTERVAL,
    )
    data = DataFolder(tmp_path, spec.id)
    seeds = dev_session_seeds("Alice")
    keystore = Keystore(data.keystore)
    keystore.save(Role.CONSENSUS, seeds.consensus)
    keystore.save(Role.VRF, seeds.vrf)
    rng, final, transfers = random.Random(7), dict[int, str](), 0

    for _ in range(6):
        final |= run_and_kill(tmp_path, spec, rng.randrange(1, 8), rng)

        records = records_of(data.journal)
        assert_no_contradiction(records)
        with Store.open(data.database) as store:
            with store.snapshot() as reader:
                assert check_store(reader, lambda _: None) == []
            reads = store.reads
            assert reads.head.height >= max(final)
            for height, block in final.items():
                assert reads.height_of(Digest(bytes.fromhex(block[2:]))) == height
            transfers = sum(
                len(reads.index_at(Height(height)).extrinsic_hashes) - 1
                for height in range(max(1, reads.pruned_below), reads.head.height + 1)
            )
    assert transfers > BATCH
