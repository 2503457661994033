"""The RPC as clients see it that others wrote: polkadot.js's providers and three Python packages.

``npm install`` in this folder brings the first; ``python3 -m venv .venv`` there and
``.venv/bin/pip install -r requirements.txt`` the others.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from node.rpc.assembly import build_dispatcher, build_server
from node.rpc.backend import ExtrinsicStatus, StatusKind
from tests.node.rpc.fake_node import FakeNode, digest

HERE = Path(__file__).parent
NODE = shutil.which("node")
PYTHON = HERE / ".venv" / "bin" / "python"
pytestmark = pytest.mark.slow
TIMEOUT = 60


async def run_client(command: Sequence[str | Path]) -> Any:
    """Return what the client prints after it has talked to a node that makes blocks meanwhile."""
    node = FakeNode()
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]

    async def make_blocks() -> None:
        while True:
            await trio.sleep(0.05)
            node.add_block()
            for feed in node.watched:
                feed.put(ExtrinsicStatus(StatusKind.IN_BLOCK, digest(5)))
                feed.put(ExtrinsicStatus(StatusKind.FINALIZED, digest(5)))
                feed.finish()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(build_server(node).serve, listeners)
        nursery.start_soon(make_blocks)
        with trio.fail_after(TIMEOUT):
            done = await trio.run_process(
                [*command, f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}"],
                cwd=HERE,
                capture_stdout=True,
            )
        nursery.cancel_scope.cancel()
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(NODE is None, reason="Node.js is not installed")
@pytest.mark.skipif(
    not (HERE / "node_modules" / "@polkadot" / "rpc-provider").is_dir(),
    reason="@polkadot/rpc-provider is not installed: run 'npm install' in tests/interop/rpc",
)
async def test_polkadot_js_providers_call_subscribe_and_understand_errors() -> None:
    assert NODE is not None

    seen = await run_client([NODE, "polkadot_provider.mjs"])

    assert seen["names"] == ["LooPIN"] * 20
    assert seen["httpName"] == "LooPIN"
    assert seen["best"]["number"] >= 4
    assert seen["heads"] == [seen["heads"][0] + step for step in range(3)]
    assert seen["unsubscribed"] is True
    assert seen["final"] == 3
    assert seen["updates"] == [
        "ready",
        {"inBlock": "0x" + "05" * 32},
        {"finalized": "0x" + "05" * 32},
    ]
    assert seen["httpBlock"]["header"]["hash"] == seen["httpBlock"]["hash"]
    assert seen["wsError"]["code"] == -32602
    assert "blockHash" in seen["wsError"]["message"]
    assert "1001" in seen["httpError"]["message"]


@pytest.mark.skipif(
    not PYTHON.exists(),
    reason="no clients: see the docstring of tests/interop/rpc/test_rpc_clients.py",
)
async def test_python_clients_call_batch_and_subscribe() -> None:
    seen = await run_client([PYTHON, "python_clients.py"])
    node = FakeNode()
    hashes = ["0x" + block.hash.hex() for block in node.blocks]

    assert seen["websockets"] == {
        "name": "LooPIN", "long": "LooPIN", "batch": hashes[:3], "head": 3, "same": True,
    }  # fmt: skip
    for transport in ("substrate_ws", "substrate_http"):
        result = seen[transport]
        assert result["name"] == "LooPIN"
        assert result["chain"] == "Development"
        assert result["properties"]["tokenSymbol"] == "LOOP"
        assert result["finalised"] == hashes[3]
        assert result["methods"] == len(build_dispatcher(node).served)
        assert result["error"] == -32602
    assert len(seen["substrate_ws"]["heads"]) == 1
