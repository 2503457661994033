"""Four validators in four network namespaces, under delay, loss and partitions.

    sudo .venv/bin/python -m tests.netns

It needs root, for the namespaces it makes and removes. It prints what happens as it happens, and
ends with 1 if nodes disagree on a final block or the chain does not go on when it can.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from genesis.presets import DEV_NAMES, build_spec, dev_account, dev_member, dev_session_seeds
from genesis.spec import ChainSpec
from node.client.endpoint import Endpoint
from node.client.node_client import NodeClient
from p2p.identity import format_address, peer_address, peer_id_of_seed
from primitives.errors import LoopinError
from primitives.types import Height, Millis
from tests.netns.switch import Switch, Weather

NETWORK = "10.77.0"
OBSERVER = 254
PORT = 30333
RPC_PORT = 9944
NAMES = DEV_NAMES[:4]
PATIENCE = 180.0


class Failed(Exception):
    """The chain did not do what it must."""


class Lab:
    """Namespaces, the switch between them, and a node in each."""

    def __init__(self, folder: Path, seed: int, stack: ExitStack) -> None:
        self.folder = folder
        self.start = time.monotonic()
        self.spec_file = folder / "chain.json"
        self.spec_file.write_text(make_spec().to_json())
        for number in range(len(NAMES)):
            self._make_namespace(number, stack)
        self._make_observer(stack)
        ports = [f"lp-sw{number}" for number in range(len(NAMES) + 1)]
        self.switch = Switch(ports, seed)
        self.switch.spare(len(NAMES))
        self.switch.start()
        stack.callback(self.switch.stop)
        self.nodes = [self._start_node(number, stack) for number in range(len(NAMES))]

    def say(self, text: str) -> None:
        """Print what happens, with the time since the start."""
        print(f"{time.monotonic() - self.start:7.1f} s  {text}", flush=True)

    def final(self, number: int) -> int:
        """Return a node's final height, or -1 if it does not answer."""
        try:
            with self._client(number) as client:
                return client.header(client.final_hash()).header.height
        except LoopinError:
            return -1

    def finals(self) -> list[int]:
        """Return every node's final height."""
        return [self.final(number) for number in range(len(NAMES))]

    def wait_for(self, numbers: Sequence[int], height: int, what: str) -> None:
        """Wait until those nodes have a final block at ``height``. Raises: Failed."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if all(self.final(number) >= height for number in numbers):
                self.say(f"{what}: final {self.finals()}")
                return
            time.sleep(0.5)
        raise Failed(f"{what}: final {self.finals()}, {height} wanted of {list(numbers)}")

    def check_agreement(self) -> None:
        """Compare all final blocks. Raises: Failed."""
        lowest = min(self.finals())
        chains = []
        for number in range(len(NAMES)):
            with self._client(number) as client:
                chains.append([client.hash_at(Height(h)) for h in range(1, lowest + 1)])
        if any(chain != chains[0] for chain in chains):
            raise Failed(f"the nodes disagree on the first {lowest} final blocks")
        self.say(f"all four agree on {lowest} final blocks")

    def _client(self, number: int) -> NodeClient:
        return NodeClient(Endpoint.parse(f"http://{NETWORK}.{number + 1}:{RPC_PORT}"))

    def _make_namespace(self, number: int, stack: ExitStack) -> None:
        name, inner, outer = f"loopin{number}", f"lp-in{number}", f"lp-sw{number}"
        run("ip", "netns", "add", name)
        stack.callback(run, "ip", "netns", "delete", name)
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
        run("ip", "link", "set", inner, "netns", name)
        inside = ("ip", "netns", "exec", name)
        run(*inside, "ip", "address", "add", f"{NETWORK}.{number + 1}/24", "dev", inner)
        run(*inside, "ip", "link", "set", inner, "up")
        run(*inside, "ip", "link", "set", "lo", "up")
        run(*inside, sys.executable, "-m", "tests.netns.plain", inner)
        self._bring_up(outer)

    def _make_observer(self, stack: ExitStack) -> None:
        outer = f"lp-sw{len(NAMES)}"
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", "lp-host")
        stack.callback(run, "ip", "link", "delete", outer)
        run("ip", "address", "add", f"{NETWORK}.{OBSERVER}/24", "dev", "lp-host")
        self._bring_up("lp-host")
        self._bring_up(outer)

    def _bring_up(self, interface: str) -> None:
        run(sys.executable, "-m", "tests.netns.plain", interface)
        run("ip", "link", "set", interface, "up")

    def _start_node(self, number: int, stack: ExitStack) -> "subprocess.Popen[bytes]":
        name = NAMES[number]
        home = self.folder / name
        home.mkdir()
        log = stack.enter_context((home / "node.log").open("wb"))
        address = f"{NETWORK}.{number + 1}"
        options = ["--chain", str(self.spec_file), "--as", name.lower(), "--name", name]
        options += ["--base-path", str(home), "--listen-host", address, "--port", str(PORT)]
        options += ["--rpc-host", address, "--rpc-port", str(RPC_PORT), "--no-prometheus"]
        inside = ["ip", "netns", "exec", f"loopin{number}"]
        command = [*inside, sys.executable, "-m", "node.cli.main", "node", *options]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(end, process)
        return process


def make_spec() -> ChainSpec:
    """Return a chain of four validators, each at an address of its own."""
    boot_nodes = [
        peer_address(
            peer_id_of_seed(dev_session_seeds(name).peer),
            format_address(f"{NETWORK}.{number + 1}", PORT),
        )
        for number, name in enumerate(NAMES)
    ]
    return build_spec(
        id="netns",
        name="LooPIN in namespaces",
        chain_type="local",
        validators=[dev_member(name) for name in NAMES],
        endowed=[dev_account(name) for name in DEV_NAMES],
        block_interval=Millis(1000),
        boot_nodes=boot_nodes,
    )


def run(*command: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Stop a node."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


def story(lab: Lab, partition_seconds: float) -> None:
    """Let it rain, cut the network, and see that the chain does what it must."""
    everybody = range(len(NAMES))
    lab.wait_for(everybody, 3, "clear weather")
    lab.switch.weather = Weather(delay=0.05, jitter=0.04, loss=0.02)
    lab.say("from now on 50 to 90 ms delay each way and 2 % of packets lost")
    lab.wait_for(everybody, max(lab.finals()) + 10, "in the rain")
    lab.switch.partition([0, 1], [2, 3])
    time.sleep(5)
    before = lab.finals()
    lab.say(f"cut 2/2: final {before}")
    time.sleep(partition_seconds)
    after = lab.finals()
    lab.say(f"still cut: final {after}")
    if max(after) > max(before) + 1:
        raise Failed("two halves without a quorum made blocks final")
    lab.switch.heal()
    lab.wait_for(everybody, max(after) + 5, "healed")
    lab.switch.partition([0, 1, 2], [3])
    lab.say("cut 3/1")
    lab.wait_for(everybody[:3], max(lab.finals()) + 8, "three go on")
    lab.switch.heal()
    lab.wait_for(everybody, max(lab.finals()) + 3, "healed, the fourth caught up")
    lab.check_agreement()
    lab.say(f"frames forwarded {lab.switch.forwarded}, lost or cut {lab.switch.dropped}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--partition-seconds", type=float, default=20.0)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("this makes network namespaces: run it as root")
        return 1
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lab = Lab(folder, options.seed, stack)
        try:
            story(lab, options.partition_seconds)
        except Failed as failure:
            lab.say(f"FAILED: {failure}")
            for name in NAMES:
                print((folder / name / "node.log").read_text()[-3000:])
            return 1
    print("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
