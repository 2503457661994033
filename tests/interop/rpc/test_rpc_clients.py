"""The RPC as clients see it that others wrote: polkadot.js's providers and three Python packages.

Each talks to a node in memory, whose every answer is known, and to a running one.

``npm install`` in this folder brings the first; ``python3 -m venv .venv`` there and
``.venv/bin/pip install -r requirements.txt`` the others.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from node.rpc.assembly import build_dispatcher, build_server
from node.rpc.backend import ExtrinsicStatus, StatusKind
from primitives.derivation import derive_key_pair
from tests.interop.wallet import Node, Wallet
from tests.node.cli.running import quick_spec, running_node
from tests.node.rpc.fake_node import FakeNode, digest

HERE = Path(__file__).parent
NODE = shutil.which("node")
PYTHON = HERE / ".venv" / "bin" / "python"
pytestmark = pytest.mark.slow
TIMEOUT = 60
needs_polkadot_js = pytest.mark.skipif(
    NODE is None or not (HERE / "node_modules" / "@polkadot" / "rpc-provider").is_dir(),
    reason="no Node.js, or @polkadot/rpc-provider is not installed: "
    "run 'npm install' in tests/interop/rpc",
)
needs_python_clients = pytest.mark.skipif(
    not PYTHON.exists(),
    reason="no clients: see the docstring of tests/interop/rpc/test_rpc_clients.py",
)


async def run_client(command: Sequence[str | Path], *last: str) -> Any:
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
                [*command, f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{port}", *last],
                cwd=HERE,
                capture_stdout=True,
            )
        nursery.cancel_scope.cancel()
    return json.loads(done.stdout.splitlines()[-1])


@needs_polkadot_js
async def test_polkadot_js_providers_call_subscribe_and_understand_errors() -> None:
    assert NODE is not None

    seen = await run_client([NODE, "polkadot_provider.mjs"], "0x01")

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


@needs_python_clients
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


@pytest.fixture(scope="module")
def real_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("node"), quick_spec()) as url:
        yield Node(url)


def run_client_of(real_node: Node, command: Sequence[str | Path], *last: str) -> Any:
    """Return what the client prints after it has talked to the running node."""
    urls = [real_node.url.replace("http", "ws", 1), real_node.url]
    done = subprocess.run(
        [*command, *urls, *last], cwd=HERE, capture_output=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


@needs_polkadot_js
def test_polkadot_js_providers_follow_a_transfer_on_a_running_node(real_node: Node) -> None:
    assert NODE is not None
    wallet = Wallet(real_node, derive_key_pair("//Alice").seed)
    recipient = derive_key_pair("//Bob").public
    call = wallet.build("balances.transfer", recipient=bytes(recipient), amount=10**9)
    extrinsic = wallet.sign(call, nonce=0, valid_until=1_000_000)

    seen = run_client_of(real_node, [NODE, "polkadot_provider.mjs"], "0x" + extrinsic.hex())

    assert seen["names"] == ["LooPIN"] * 20
    assert seen["heads"] == [seen["heads"][0] + step for step in range(3)]
    assert seen["unsubscribed"] is True
    ready, in_block, finalized = seen["updates"]
    assert ready == "ready"
    assert in_block["inBlock"] == finalized["finalized"]
    block = real_node.call("chain_getBlock", finalized["finalized"])
    assert "0x" + extrinsic.hex() in block["extrinsics"]
    assert seen["httpBlock"]["header"]["hash"] == seen["httpBlock"]["hash"]
    assert seen["wsError"]["code"] == -32602
    assert "1001" in seen["httpError"]["message"]


@needs_python_clients
def test_python_clients_read_a_running_node(real_node: Node) -> None:
    seen = run_client_of(real_node, [PYTHON, "python_clients.py"])

    hashes = [real_node.call("chain_getBlockHash", number) for number in range(3)]
    assert seen["websockets"]["batch"] == hashes
    assert seen["websockets"]["same"] is True
    for transport in ("substrate_ws", "substrate_http"):
        result = seen[transport]
        assert result["chain"] == "Quick"
        assert result["properties"]["tokenSymbol"] == "LOOP"
        assert result["methods"] == len(real_node.call("rpc_methods")["methods"])
        assert real_node.call("chain_getHeader", result["finalised"])["number"] >= 0
        assert result["error"] == -32602
