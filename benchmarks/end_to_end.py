"""Transfers per second from submission over JSON-RPC to finality, one validator, one machine.

    python -m benchmarks.end_to_end --transfers 60000

A node process makes blocks. This process, the loader, has signed everything before the clock
starts, submits in batches over keep-alive HTTP, and stops the clock when the last transfer is
final. The same run measures how many signatures one core verifies a second: the ratio to that
bound says more than the figure itself. Another connection reads an account's state meanwhile.
"""

import argparse
import http.client
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genesis.build import build_genesis
from genesis.presets import build_spec, dev_account, dev_member, dev_session_seeds
from genesis.spec import ChainSpec
from node.data_folder import DataFolder
from node.keystore import Keystore, Role
from primitives.block import IMMORTAL, encode_signed, signing_payload, signing_prefix
from primitives.codec import Plain
from primitives.crypto import KeyPair, is_valid_signature
from primitives.types import AccountId, Balance, Millis, Nonce, Signature

ACCOUNTS = 2000
BATCH = 500
READ_PAUSE = 0.002


class Rpc:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def post(self, body: bytes) -> Any:  # noqa: ANN401 - JSON
        self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
        return json.loads(self._connection.getresponse().read())

    def call(self, method: str, *parameters: object) -> Any:  # noqa: ANN401 - JSON
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        answer = self.post(json.dumps(request).encode())
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]


def signed_transfers(spec: ChainSpec, pairs: list[KeyPair], count: int) -> list[bytes]:
    """Return transfers of 1 LOOP in the order in which a fair loader sends them."""
    prefix = signing_prefix(build_genesis(spec).hash, spec.runtime.system.spec_version)
    extrinsics: list[bytes] = []
    for number in range(count):
        pair = pairs[number % len(pairs)]
        recipient = pairs[(number * 7 + 1) % len(pairs)].public
        call: Plain = ["balances.transfer", recipient, 10**9]
        nonce = Nonce(number // len(pairs))
        draft = encode_signed(
            signer=AccountId(pair.public),
            nonce=nonce,
            valid_until=IMMORTAL,
            tip=Balance(0),
            call=call,
            signature=Signature(bytes(64)),
        )
        signature = pair.sign(signing_payload(prefix, draft))
        extrinsics.append(draft[:-64] + signature)
    return extrinsics


def batches(extrinsics: list[bytes]) -> list[bytes]:
    """Return the extrinsics as bodies of JSON-RPC batches."""
    bodies = []
    for start in range(0, len(extrinsics), BATCH):
        calls = [
            {
                "jsonrpc": "2.0",
                "id": i,
                "method": "author_submitExtrinsic",
                "params": ["0x" + x.hex()],
            }
            for i, x in enumerate(extrinsics[start : start + BATCH])
        ]
        bodies.append(json.dumps(calls).encode())
    return bodies


@contextmanager
def running_node(
    folder: Path, spec: ChainSpec, *, workers: int | None
) -> Iterator[tuple[int, int]]:
    """Run a validator of ``spec``; give its RPC port and process id."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    seeds = dev_session_seeds("Alice")
    keystore = Keystore(DataFolder(folder, spec.id).keystore)
    keystore.save(Role.CONSENSUS, seeds.consensus)
    keystore.save(Role.VRF, seeds.vrf)
    file = folder / "spec.json"
    file.write_text(spec.to_json())
    options = ["--chain", str(file), "--base-path", str(folder), "--no-prometheus"]
    options += ["--no-check-invariants"]
    options += ["--listen-host", "127.0.0.1", "--port", "0", "--rpc-port", str(port)]
    options += [] if workers is None else ["--signature-workers", str(workers)]
    command = [sys.executable, "-m", "node.cli.main", "node", *options, "--validator"]
    process = subprocess.Popen([*command, "--log", "warning"])
    try:
        _wait_for(port)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if Rpc(port).call("chain_getHeader")["number"] > 0:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.1)
    raise RuntimeError("the node did not come up")


def verifications_per_second(extrinsics: list[bytes], spec: ChainSpec) -> float:
    """Return how many signatures one core checks a second, nothing else running."""
    prefix = signing_prefix(build_genesis(spec).hash, spec.runtime.system.spec_version)
    sample = extrinsics[:2000]
    start = time.perf_counter()
    for x in sample:
        assert is_valid_signature(x[4:36], signing_payload(prefix, x), x[-64:])  # type: ignore[arg-type] # slices of bytes
    return len(sample) / (time.perf_counter() - start)


def submit(port: int, bodies: list[bytes]) -> int:
    """Send every batch, one after the other, and return how many extrinsics were refused."""
    rpc = Rpc(port)
    refused = 0
    for body in bodies:
        failures = [answer for answer in rpc.post(body) if "error" in answer]
        if failures and not refused:
            print("first refusal:", failures[0]["error"])
        refused += len(failures)
    return refused


def wait_until_final(port: int, wanted: int, height: int) -> tuple[int, list[int]]:
    """Follow the final chain from ``height`` until it holds ``wanted`` transfers."""
    rpc = Rpc(port)
    sizes: list[int] = []
    while sum(sizes) < wanted:
        head = rpc.call("chain_getHeader", rpc.call("chain_getFinalizedHead"))["number"]
        while height < head:
            height += 1
            block = rpc.call("chain_getBlock", rpc.call("chain_getBlockHash", height))
            inner = block.get("block", block)
            sizes.append(len(inner["extrinsics"]) - 1)
        time.sleep(0.02)
    return height, sizes


def read_meanwhile(port: int, stop: threading.Event, delays: list[float]) -> None:
    """Read one storage value again and again, and note how long each answer takes."""
    rpc = Rpc(port)
    key = "0x" + (b"balances.free:\xc4\x20" + dev_account("Alice")).hex()
    while not stop.is_set():
        start = time.perf_counter()
        rpc.call("state_getStorage", key)
        delays.append(time.perf_counter() - start)
        time.sleep(READ_PAUSE)


def resident_mib(process: int) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transfers", type=int, default=60_000)
    parser.add_argument("--interval", type=int, default=1000, help="block interval, milliseconds")
    parser.add_argument("--workers", type=int, help="signature workers")
    parser.add_argument("--senders", type=int, default=2, help="connections that submit")
    options = parser.parse_args()
    pairs = [KeyPair(number.to_bytes(32, "big")) for number in range(1, ACCOUNTS + 1)]
    spec = build_spec(
        id="bench",
        name="Benchmark",
        chain_type="local",
        validators=[dev_member("Alice")],
        endowed=[AccountId(pair.public) for pair in pairs],
        block_interval=Millis(options.interval),
    )
    extrinsics = signed_transfers(spec, pairs, options.transfers)
    bound = verifications_per_second(extrinsics, spec)
    bodies = batches(extrinsics)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_node(Path(folder), spec, workers=options.workers) as (port, process),
    ):
        height = Rpc(port).call("chain_getHeader")["number"]
        stop, delays = threading.Event(), list[float]()
        reader = threading.Thread(target=read_meanwhile, args=(port, stop, delays))
        reader.start()
        start = time.perf_counter()
        senders = [
            threading.Thread(target=submit, args=(port, bodies[i :: options.senders]))
            for i in range(options.senders)
        ]
        for sender in senders:
            sender.start()
        _, sizes = wait_until_final(port, options.transfers, height)
        seconds = time.perf_counter() - start
        stop.set()
        reader.join()
        memory = resident_mib(process)
    rate = options.transfers / seconds
    percentiles = statistics.quantiles(delays, n=100)
    print(f"transfers final        {options.transfers} in {seconds:.2f} s = {rate:.0f}/s")
    print(f"one core verifies      {bound:.0f}/s; ratio {rate / bound:.2f}")
    print(f"blocks                 {[size for size in sizes if size]}")
    shown = ", ".join(
        f"{name} {value * 1e3:.1f} ms"
        for name, value in (
            ("p50", percentiles[49]),
            ("p99", percentiles[98]),
            ("max", max(delays)),
        )
    )
    print(f"reads meanwhile        {len(delays) / seconds:.0f}/s, {shown}")
    print(f"resident memory        {memory:.0f} MiB")


if __name__ == "__main__":
    main()
