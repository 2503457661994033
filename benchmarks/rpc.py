"""How fast the RPC answers, and for how long a request may hold the event loop.

``python -m benchmarks.rpc`` starts a server over a node in memory and loads it from this process;
``--url 127.0.0.1:9944`` loads a running node instead. Prints requests per second, latency and the
server's processor time per request, for single calls and batches over HTTP and WebSocket, then the
longest pause that the worst bodies cause in the server.
"""

import argparse
import gc
import json
import multiprocessing
import os
import platform
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import trio

from node.rpc.assembly import build_server
from node.rpc.limits import MIB, Limits
from tests.node.rpc.fake_node import FakeNode

NAME = b'{"jsonrpc":"2.0","id":1,"method":"system_name","params":[]}'
HEADER = b'{"jsonrpc":"2.0","id":1,"method":"chain_getHeader","params":[]}'
SUBMIT = b'{"jsonrpc":"2.0","id":1,"method":"author_submitExtrinsic","params":["0x%0400x"]}'
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
LIMITS = Limits(connections_per_address_max=256, bodies_bytes_max=512 * MIB)


def http_request(body: bytes) -> bytes:
    """Return a request as a client with keep-alive sends it."""
    return (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: benchmark\r\nAccept: */*\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )


def frame(body: bytes) -> bytes:
    """Return a WebSocket message as a client sends it, masked with zeros."""
    if len(body) < 126:
        length = bytes([0x80 | len(body)])
    elif len(body) < 1 << 16:
        length = bytes([0x80 | 126]) + len(body).to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + len(body).to_bytes(8, "big")
    return b"\x81" + length + bytes(4) + body


def http_size(received: bytearray) -> int:
    """Return the size of the response that begins here; 0 if that is not known yet."""
    end = received.find(b"\r\n\r\n")
    start = received.find(b"content-length: ", 0, max(end, 0))
    if start < 0:
        return 0
    return end + 4 + int(received[start + 16 : received.find(b"\r\n", start)])


def frame_size(received: bytearray) -> int:
    """Return the size of the frame that begins here; 0 if that is not known yet."""
    if len(received) < 10:
        return 2 + received[1] if len(received) >= 2 and received[1] < 126 else 0
    if received[1] < 126:
        return 2 + received[1]
    if received[1] == 126:
        return 4 + int.from_bytes(received[2:4])
    return 10 + int.from_bytes(received[2:10])


class Client:
    """One connection that asks again as soon as it is answered."""

    def __init__(self, port: int, request: Callable[[], bytes], *, over_websocket: bool) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.size_of = frame_size if over_websocket else http_size
        self.request = request
        self.received = bytearray()
        if over_websocket:
            self.socket.sendall(HANDSHAKE)
            assert self.socket.recv(4096).startswith(b"HTTP/1.1 101")

    def ask(self) -> None:
        self.socket.sendall(self.request())
        self.asked = time.perf_counter()

    def take(self) -> bool:
        """Read; return whether the answer is whole."""
        self.received += self.socket.recv(1 << 18)
        size = self.size_of(self.received)
        if not size or len(self.received) < size:
            return False
        self.received.clear()
        return True


def load(
    port: int, request: Callable[[], bytes], count: int, seconds: float, *, over_websocket: bool
) -> tuple[int, list[float]]:
    """Return how many answers came, and the latency of each in seconds, sorted."""
    selector = selectors.DefaultSelector()
    for _ in range(count):
        client = Client(port, request, over_websocket=over_websocket)
        selector.register(client.socket, selectors.EVENT_READ, client)
        client.ask()
    latencies: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for key, _ in selector.select(0.1):
            client = key.data
            if client.take():
                latencies.append(time.perf_counter() - client.asked)
                client.ask()
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr] # it is a socket
    return len(latencies), sorted(latencies)


def cpu_seconds(pid: int | None) -> float:
    """Return the processor time a process has used."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def serve(ready: Connection) -> None:
    """Serve a node in memory until the process is ended; runs in a process of its own."""

    async def run() -> None:
        listeners = list(await trio.open_tcp_listeners(0, host="127.0.0.1"))
        ready.send(listeners[0].socket.getsockname()[1])
        await build_server(FakeNode(), limits=LIMITS).serve(listeners)

    trio.run(run)


@contextmanager
def server() -> Iterator[tuple[int, int | None]]:
    """Run a server in a process of its own; yield port and process."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv(), process.pid
    finally:
        process.terminate()
        process.join()


def fresh_submissions(count: int) -> Callable[[], bytes]:
    """Return a maker of batches of extrinsics that no batch had before."""
    serial = time.time_ns() << 32

    def make() -> bytes:
        nonlocal serial
        serial += count
        calls = (SUBMIT % (serial + number) for number in range(count))
        return b"[" + b",".join(calls) + b"]"

    return make


def measure(port: int, pid: int | None, seconds: float) -> None:
    """Print the table of loads."""
    batch = b"[" + b",".join([HEADER] * 100) + b"]"
    submissions = fresh_submissions(500)
    loads: list[tuple[str, int, int, bool, Callable[[], bytes]]] = [
        (name, connections, calls, over_websocket, make)
        for name, calls, make in (
            ("system_name", 1, lambda: NAME),
            ("chain_getHeader", 1, lambda: HEADER),
            ("batch of 100 headers", 100, lambda: batch),
            ("batch of 500 submissions", 500, submissions),
        )
        for over_websocket in (False, True)
        for connections in ((1, 16, 64) if calls == 1 else (4,))
    ]
    titles = ("calls/s", 10), ("p50 ms", 9), ("p99 ms", 9), ("µs cpu/call", 13)
    print(
        f"{'load':26}{'over':6}{'conns':>6}" + "".join(f"{name:>{size}}" for name, size in titles)
    )
    for name, connections, calls, over_websocket, make in loads:
        wrap = frame if over_websocket else http_request
        request = partial(lambda wrap, make: wrap(make()), wrap, make)
        before = cpu_seconds(pid)
        count, latencies = load(port, request, connections, seconds, over_websocket=over_websocket)
        used = cpu_seconds(pid) - before
        p50, p99 = (latencies[int(count * part)] * 1000 for part in (0.5, 0.99))
        print(
            f"{name:26}{'ws' if over_websocket else 'http':6}{connections:6}"
            f"{count * calls / seconds:10.0f}{p50:9.2f}{p99:9.2f}{used / count / calls * 1e6:13.1f}"
        )


def worst_bodies() -> dict[str, bytes]:
    """Return bodies of nearly the longest length allowed, each hard in its own way."""
    size = 15 * MIB - 1024
    call = b'{"jsonrpc":"2.0","id":1,"method":"system_name","params":[%b]}'
    return {
        "batch of calls, padded": b"[" + b",".join([call % b"" + b" " * 1400] * 9900) + b"]",
        "batch of submissions": b"[" + b",".join(SUBMIT % n for n in range(9900)) + b"]",
        "numbers": call % (b"1," * (size // 2))[:-1],
        "batch of numbers": b"[" + (b"1," * (size // 2))[:-1] + b"]",
        "brackets": b"[" * size,
        "objects": b'{"a":' * (size // 5),
        "one string": call % (b'"' + b"x" * size + b'"'),
        "escapes in a batch": b'["' + b'\\"' * (size // 2) + b'"]',
        "white space": b" " * size,
        "garbage": os.urandom(size),
    }


async def stalls() -> None:
    """Print the longest pause of the event loop while the server takes each of the worst bodies."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    longest = 0.0
    # As the node does when it has started: the collector need not look at what stays anyway.
    gc.collect()
    gc.freeze()

    async def watch() -> None:
        nonlocal longest
        while True:
            # Processor time of this thread: what other processes take is not the server's fault.
            before = time.thread_time()
            await trio.lowlevel.checkpoint()
            longest = max(longest, time.thread_time() - before)

    def send(path: str, *, over_websocket: bool) -> None:
        # From another process: a thread of this one would share its interpreter lock.
        command = [sys.executable, "-m", "benchmarks.rpc", "--send", path, "--url", f":{port}"]
        subprocess.run([*command, "--websocket"] if over_websocket else command, check=True)

    print(f"\n{'15 MiB of':26}{'over':6}{'longest pause, ms':>20}{'seconds':>10}")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(build_server(FakeNode(), limits=LIMITS).serve, listeners)
        nursery.start_soon(watch)
        for name, body in worst_bodies().items():
            path = trio.Path(f"/tmp/loopin-rpc-benchmark-{os.getpid()}")
            await path.write_bytes(body)
            for over_websocket in (False, True):
                longest, start = 0.0, time.perf_counter()
                await trio.to_thread.run_sync(
                    partial(send, str(path), over_websocket=over_websocket)
                )
                took = time.perf_counter() - start
                over = "ws" if over_websocket else "http"
                print(f"{name:26}{over:6}{longest * 1000:20.1f}{took:10.2f}")
            await path.unlink()
        nursery.cancel_scope.cancel()


def send_one(port: int, path: Path, *, over_websocket: bool) -> None:
    """Send one body and wait for the answer, or for the server to hang up."""
    body = path.read_bytes()
    client = Client(
        port,
        partial(frame if over_websocket else http_request, body),
        over_websocket=over_websocket,
    )
    try:
        client.ask()
        while not client.take():
            pass
    except (OSError, AssertionError):
        print("  (the server hung up)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="host:port of a running node")
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="length of each load; 0 for none"
    )
    parser.add_argument("--send", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--websocket", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    port = int(options.url.rpartition(":")[2]) if options.url else 0
    if options.send:
        send_one(port, options.send, over_websocket=options.websocket)
        return
    print(json.dumps({"machine": platform.platform(), "python": platform.python_version()}))
    if port:
        measure(port, None, options.seconds)
        return
    if options.seconds:
        with server() as (own_port, pid):
            measure(own_port, pid, options.seconds)
    trio.run(stalls)


if __name__ == "__main__":
    main()
