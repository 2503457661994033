"""RPC reads per second and their latency while every block is full.

    python -m benchmarks.rpc_while_full

A node process makes blocks of at most ``--block`` transfers, one a second, and is given more than
fit, so that each block is full. This process reads over keep-alive HTTP meanwhile, each
connection asking again as soon as it is answered: the node executes, checks signatures, writes and
answers on the cores that the loader and the reader use too. The same reads on the idle node, in
the same run, are the measure.
"""

import argparse
import json
import multiprocessing
import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.end_to_end import (
    ACCOUNTS,
    Rpc,
    batches,
    running_node,
    signed_transfers,
    submit,
)
from benchmarks.rpc import HEADER, http_request, load
from genesis.presets import build_spec, dev_account, dev_member
from genesis.spec import ChainSpec
from primitives.crypto import KeyPair
from primitives.types import AccountId, Millis, Weight
from runtime.runtime import CALLS

CONNECTIONS = (1, 4, 16)
PATIENCE_SECONDS = 60


def spec_of_small_blocks(accounts: list[AccountId], transfers: int) -> ChainSpec:
    """Return the spec of a chain whose blocks are full with that many transfers."""
    spec = build_spec(
        id="bench",
        name="Benchmark",
        chain_type="local",
        validators=[dev_member("Alice")],
        endowed=accounts,
        block_interval=Millis(1000),
    )
    system = spec.runtime.system
    inherent = CALLS.from_plain(["timestamp.set", 0]).weight + system.extrinsic_weight
    each = CALLS.from_plain(["balances.transfer", bytes(32), 0]).weight + system.extrinsic_weight
    small = replace(system, block_weight_max=Weight(inherent + transfers * each))
    return replace(spec, runtime=replace(spec.runtime, system=small))


def height_of(rpc: Rpc) -> int:
    return int(rpc.call("chain_getHeader", rpc.call("chain_getFinalizedHead"))["number"])


def transfers_at(rpc: Rpc, height: int) -> int:
    block = rpc.call("chain_getBlock", rpc.call("chain_getBlockHash", height))
    return len(block["extrinsics"]) - 1


def report(port: int, name: str, body: bytes, state: str, seconds: float) -> None:
    for count in CONNECTIONS:
        answers, latencies = load(
            port, lambda: http_request(body), count, seconds, over_websocket=False
        )
        p50, p99 = (latencies[int(answers * part)] * 1000 for part in (0.5, 0.99))
        print(
            f"{name:18}{state:6}{count:6}{answers / seconds:10.0f}{p50:9.1f}{p99:9.1f}"
            f"{latencies[-1] * 1000:9.1f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--block", type=int, default=3000, help="transfers that fill a block")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each load")
    options = parser.parse_args()
    pairs = [KeyPair(number.to_bytes(32, "big")) for number in range(1, ACCOUNTS + 1)]
    spec = spec_of_small_blocks([AccountId(pair.public) for pair in pairs], options.block)
    seconds_loaded = 2 * len(CONNECTIONS) * options.seconds
    count = min(48_000, int(options.block * (seconds_loaded + 8)))
    bodies = batches(signed_transfers(spec, pairs, count))
    key = "0x" + (b"balances.free:\xc4\x20" + dev_account("Alice")).hex()
    storage = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "state_getStorage", "params": [key]}
    ).encode()
    reads = (("state_getStorage", storage), ("chain_getHeader", HEADER))
    print(json.dumps({"machine": platform.platform(), "python": platform.python_version()}))
    with (
        tempfile.TemporaryDirectory() as folder,
        running_node(Path(folder), spec, workers=None) as (port, _),
    ):
        print(
            f"{'read':18}{'blocks':6}{'conns':>6}{'reads/s':>10}{'p50 ms':>9}{'p99 ms':>9}"
            f"{'max ms':>9}"
        )
        for name, body in reads:
            report(port, name, body, "idle", options.seconds / 2)
        # A process of its own: a thread would wait for this interpreter, and the reads for it.
        loader = multiprocessing.get_context("spawn").Process(target=submit, args=(port, bodies))
        loader.start()
        rpc = Rpc(port)
        first = wait_for_full_block(rpc, options.block)
        for name, body in reads:
            report(port, name, body, "full", options.seconds)
        last = height_of(rpc)
        loader.join()
        sizes = [transfers_at(rpc, height) for height in range(first, last + 1)]
    full = sum(size == options.block for size in sizes)
    print(f"{full} of {len(sizes)} blocks meanwhile held all {options.block} transfers: {sizes}")


def wait_for_full_block(rpc: Rpc, wanted: int) -> int:
    """Return the height of the first final block that is full."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    height = 0
    while time.monotonic() < deadline:
        if height_of(rpc) > height:
            height += 1
            if transfers_at(rpc, height) == wanted:
                return height
        time.sleep(0.05)
    sizes = [transfers_at(rpc, each) for each in range(1, height + 1)]
    raise RuntimeError(f"no block was full: {sizes}; try a smaller --block")


if __name__ == "__main__":
    main()
