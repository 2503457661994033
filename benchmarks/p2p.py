"""Latency and CPU of votes and bulk over real connections, each node its own process, on loopback.

    python -m benchmarks.p2p                    # every row, about two minutes
    python -m benchmarks.p2p --only "8 nodes" --seconds 10

A row has n validators in a full mesh. Senders broadcast at a fixed rate; the latency of a message
is the time until the last of the others has it (one clock for all processes). CPU is the sum of all
processes' time, start-up excluded, per delivery. ``lost`` counts deliveries that never came. The
last rows time a request: on a fresh stream, answer of one byte and of 1 MiB.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from pathlib import Path

import trio

from p2p.host import Listen
from p2p.identity import Address, PeerId, peer_id_of_seed
from p2p.network import Config, Network
from p2p.requests import RequestSpec
from primitives.types import Digest

STAMP = struct.Struct("!QI")
PAYLOAD = RequestSpec("payload", 16, 2**21, 1)
SETTLE_SECONDS = 1.5
"""After the last message, for what is still under way."""


@dataclass(frozen=True)
class Row:
    name: str
    nodes: int
    channel: str
    size: int
    per_second: float
    senders: int = 0
    """0: all of them."""
    requests: int = 0


ROWS = (
    Row("vote 300 B, 4 nodes × 5/s", 4, "vote", 300, 5),
    Row("vote 300 B, 4 nodes × 100/s", 4, "vote", 300, 100),
    Row("vote 300 B, 8 nodes × 20/s", 8, "vote", 300, 20),
    Row("vote 300 B, 8 nodes × 50/s", 8, "vote", 300, 50),
    Row("vote 300 B, 4 nodes, one × 3000/s", 4, "vote", 300, 3000, senders=1),
    Row("bulk 64 KiB, 4 nodes, one × 20/s", 4, "bulk", 2**16, 20, senders=1),
    Row("bulk 1 MiB, 4 nodes, one × 2/s", 4, "bulk", 2**20, 2, senders=1),
    Row("bulk 2 MiB, 4 nodes, one × 2/s", 4, "bulk", 2**21, 2, senders=1),
    Row("request, 1 byte back, 2 nodes", 2, "vote", 1, 0, requests=300),
    Row("request, 1 MiB back, 2 nodes", 2, "vote", 2**20, 0, requests=50),
)


def seed(number: int) -> bytes:
    """Return the seed of a node of the benchmark."""
    return (number + 1).to_bytes(32, "big")


class Recorder:
    """Keeps when each message came; answers requests with as many bytes as they ask for."""

    def __init__(self) -> None:
        self.delays: list[tuple[int, int, float]] = []
        self.numbers = {peer_id_of_seed(seed(number)): number for number in range(64)}

    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None:
        sent, serial = STAMP.unpack_from(frame)
        self.delays.append((self.numbers[peer], serial, (time.monotonic_ns() - sent) / 1e6))

    async def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]:
        yield bytes(int.from_bytes(payload, "big"))

    def on_peer_up(self, peer: PeerId) -> None:
        pass

    def on_peer_down(self, peer: PeerId, reason: str) -> None:
        print(f"peer down {peer} {reason}", file=sys.stderr)

    def on_record(self, peer: PeerId, record: bytes) -> None:
        pass

    def is_allowed(self, peer: PeerId) -> bool:
        return False


async def node(row: Row, number: int, seconds: float) -> None:
    """Be one node: tell the port, read the others', run, print what was seen."""
    recorder = Recorder()
    with tempfile.TemporaryDirectory() as folder:
        config = Config(
            seed=seed(number),
            genesis=Digest(bytes(32)),
            folder=Path(folder),
            listen=(Listen(Address("/ip4/127.0.0.1/tcp/0"), is_open=False),),
            requests=(PAYLOAD,),
        )
        network = Network(config, recorder)
        async with trio.open_nursery() as nursery:
            await nursery.start(network.run)
            print(network.addresses[0], flush=True)
            addresses = json.loads(await trio.to_thread.run_sync(sys.stdin.readline))
            network.set_validators(
                {peer_id_of_seed(seed(i)): (Address(a),) for i, a in enumerate(addresses)}
            )
            while len(network.connected()) < row.nodes - 1:  # noqa: ASYNC110  outside, no event
                await trio.sleep(0.01)
            print("ready", flush=True)
            start = json.loads(await trio.to_thread.run_sync(sys.stdin.readline))
            await trio.sleep(max(0.0, start - time.monotonic()))
            cpu = time.process_time()
            sent = 0
            if row.requests:
                if number == 0:
                    await ask(network, row, recorder)
            else:
                sent = await send(network, row, number, seconds)
            took = time.monotonic() - start
            print("sent", flush=True)
            await trio.to_thread.run_sync(sys.stdin.readline)
            await trio.sleep(SETTLE_SECONDS)
            result = {
                "sent": sent,
                "delays": recorder.delays,
                "took": took,
                "cpu": time.process_time() - cpu,
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            }
            print(json.dumps(result), flush=True)
            # The one who answers leaves last.
            await trio.to_thread.run_sync(sys.stdin.readline)
            nursery.cancel_scope.cancel()


async def send(network: Network, row: Row, number: int, seconds: float) -> int:
    """Broadcast at the row's rate; return how many messages."""
    if row.senders and number >= row.senders:
        return 0
    count = int(seconds * row.per_second)
    started = trio.current_time()
    filler = bytes(row.size - STAMP.size)
    for serial in range(count):
        # A late message is sent at once: the rate is held on average, as a loaded node would.
        await trio.sleep_until(started + (serial + number / row.nodes) / row.per_second)
        network.broadcast(row.channel, STAMP.pack(time.monotonic_ns(), serial) + filler)
    return count


async def ask(network: Network, row: Row, recorder: Recorder) -> None:
    """Send requests one after the other."""
    (other,) = network.connected()
    for serial in range(row.requests):
        started = time.monotonic_ns()
        async with network.request(other, PAYLOAD.name, row.size.to_bytes(4, "big")) as answers:
            async for _ in answers:
                pass
        recorder.delays.append((0, serial, (time.monotonic_ns() - started) / 1e6))


def run(row: Row, seconds: float) -> str:
    """Run one row in processes of its own; return its line of the table."""
    command = [sys.executable, "-m", "benchmarks.p2p", "--node", json.dumps(asdict(row))]
    processes = [
        subprocess.Popen(
            [*command, "--number", str(number), "--seconds", str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(row.nodes)
    ]

    def tell(line: str) -> None:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(line + "\n")
            process.stdin.flush()

    def hear() -> list[str]:
        lines = []
        for process in processes:
            assert process.stdout is not None
            lines.append(process.stdout.readline().strip())
        return lines

    tell(json.dumps(hear()))
    hear()
    tell(json.dumps(time.monotonic() + 0.5))
    hear()
    tell("finish")
    results = [json.loads(line) for line in hear()]
    tell("leave")
    for process in processes:
        process.wait()
    return line_of(row, results, seconds)


def line_of(row: Row, results: list[dict[str, object]], seconds: float) -> str:
    """Return what the processes of a row have seen, as a line of the table."""
    slowest: dict[tuple[int, int], float] = {}
    deliveries = 0
    for result in results:
        for sender, serial, delay in result["delays"]:  # type: ignore[attr-defined]
            deliveries += 1
            slowest[sender, serial] = max(delay, slowest.get((sender, serial), 0.0))
    sent = row.requests or sum(int(str(result["sent"])) for result in results) * (row.nodes - 1)
    cpu = sum(float(str(result["cpu"])) for result in results)
    delays = sorted(slowest.values())
    p50, p99 = statistics.median(delays), delays[int(len(delays) * 0.99)]
    memory = max(int(str(result["memory"])) for result in results) // 1024
    took = max(float(str(result["took"])) for result in results)
    # A machine that is too busy sends at a lower rate than asked for: say so.
    held = "" if took < seconds * 1.05 or row.requests else f" (held {seconds / took:.0%})"
    return (
        f"| {row.name}{held} | {p50:.1f} / {p99:.1f} ms | {cpu / deliveries * 1e6:.0f} µs "
        f"| {sent - deliveries} | {memory} MB |"
    )


def main() -> None:
    """Run the rows that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--node", help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.node:
        trio.run(node, Row(**json.loads(options.node)), options.number, options.seconds)
        return
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{machine}, Python {platform.python_version()}, {commit}")
    print("| row | p50 / p99 until all have it | CPU per delivery | lost | largest process |")
    print("|---|---|---|---|---|")
    for row in ROWS:
        if options.only in row.name:
            print(run(row, options.seconds), flush=True)


if __name__ == "__main__":
    main()
