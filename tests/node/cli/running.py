"""A real node in a thread of the test process, and the command line called as a function."""

import gc
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import trio

from genesis.presets import build_spec, dev_account, dev_member, dev_session_seeds
from genesis.spec import ChainSpec
from node.cli.main import main
from node.client.endpoint import Endpoint
from node.client.node_client import NodeClient
from node.config import NodeConfig, RpcConfig
from node.data_folder import DataFolder
from node.keystore import Keystore, Role
from node.service import run_node
from primitives.types import Millis

START_TIMEOUT = 60.0


def quick_spec(name: str = "Alice") -> ChainSpec:
    """Return the spec of a chain that one makes alone, twenty blocks a second."""
    return build_spec(
        id="quick",
        name="Quick",
        chain_type="development",
        validators=[dev_member(name)],
        endowed=[dev_account(name) for name in ("Alice", "Bob", "Charlie")],
        block_interval=Millis(50),
    )


@contextmanager
def running_node(base_path: Path, spec: ChainSpec, **changes: Any) -> Iterator[str]:
    """Run a validator of ``spec`` in another thread; give the address of its RPC.

    ``changes`` are fields of its ``NodeConfig``.
    """
    seeds = dev_session_seeds("Alice")
    keystore = Keystore(DataFolder(base_path, spec.id).keystore)
    for role, seed in zip(Role, (seeds.consensus, seeds.vrf, seeds.peer), strict=True):
        keystore.save(role, seed)
    config = NodeConfig(
        base_path,
        "test",
        is_validator=True,
        keep_blocks=None,
        signature_workers=1,
        rpc=RpcConfig(port=0),
    )
    config = replace(config, **changes)
    started: SimpleQueue[tuple[int, trio.lowlevel.TrioToken, trio.CancelScope] | None]
    started = SimpleQueue()

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            port = await nursery.start(run_node, config, spec)
            started.put((port, trio.lowlevel.current_trio_token(), nursery.cancel_scope))

    def run_thread() -> None:
        try:
            trio.run(run)
        finally:
            started.put(None)

    thread = threading.Thread(target=run_thread)
    thread.start()
    try:
        running = started.get(timeout=START_TIMEOUT)
        assert running is not None, "the node did not start"
        port, token, scope = running
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            trio.from_thread.run_sync(scope.cancel, trio_token=token)
    finally:
        thread.join(START_TIMEOUT)
        gc.unfreeze()


def wait_for_height(url: str, height: int) -> None:
    """Follow a node's chain until its best block has a height."""
    method = "chain_subscribeNewHeads"
    with NodeClient(Endpoint.parse(url)) as client, client.subscribe(method) as heads:
        for _ in heads.notifications():
            if client.header().header.height >= height:
                return


@dataclass(frozen=True, slots=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


def invoke(*arguments: object) -> Result:
    """Run ``loopin`` with ``arguments``."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Result(code, out.getvalue(), err.getvalue())


def secret_file(folder: Path, name: str, text: str) -> Path:
    """Write a file that only its owner reads."""
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(text)
    return path
