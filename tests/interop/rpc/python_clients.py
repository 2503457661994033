"""Talk to a node through two WebSocket libraries and one HTTP library, and print what they got.

``python python_clients.py ws://127.0.0.1:9944 http://127.0.0.1:9944``, with requirements.txt.
"""

import json
import sys
from typing import Any

from substrateinterface import SubstrateInterface  # type: ignore[import-not-found]  # own venv
from substrateinterface.exceptions import (  # type: ignore[import-not-found]  # own venv
    SubstrateRequestException,
)
from websockets.sync.client import connect  # type: ignore[import-not-found]  # own venv


def over_websockets(url: str) -> dict[str, object]:
    """Call, batch and subscribe with the package ``websockets``."""
    with connect(url) as socket:
        socket.send('{"jsonrpc":"2.0","id":1,"method":"system_name"}')
        name = json.loads(socket.recv())["result"]
        call = {"jsonrpc": "2.0", "method": "chain_getBlockHash"}
        socket.send(json.dumps([{**call, "id": number, "params": [number]} for number in range(3)]))
        batch = [answer["result"] for answer in json.loads(socket.recv())]
        socket.send('{"jsonrpc":"2.0","id":2,"method":"chain_subscribeFinalizedHeads"}')
        identity = json.loads(socket.recv())["result"]
        head = json.loads(socket.recv())
        socket.ping().wait(5)
        # Larger than one frame of this library, and than one read of ours.
        socket.send(
            ['{"jsonrpc":"2.0","id":3,"method":"system_name",', " " * 200_000, '"params":[]}']
        )
        long = json.loads(socket.recv())["result"]
    return {
        "name": name,
        "long": long,
        "batch": batch,
        "head": head["params"]["result"]["number"],
        "same": head["params"]["subscription"] == identity,
    }


def over_substrate_interface(url: str) -> dict[str, object]:
    """Call with the package ``substrate-interface``, whichever transport the URL names."""
    substrate = SubstrateInterface(url=url, auto_discover=False)
    heads: list[int] = []

    def on_head(message: dict[str, Any], _number: int, _identity: str) -> bool | None:
        heads.append(message["params"]["result"]["number"])
        return True

    try:
        if url.startswith("ws"):
            substrate.rpc_request("chain_subscribeNewHeads", [], result_handler=on_head)
        try:
            substrate.rpc_request("state_getStorage", ["no key"])
            error = None
        except SubstrateRequestException as refused:
            error = refused.args[0]["code"]
        return {
            "name": substrate.name,
            "chain": substrate.chain,
            "properties": substrate.properties,
            "head": substrate.get_chain_head(),
            "finalised": substrate.get_chain_finalised_head(),
            "methods": len(substrate.rpc_request("rpc_methods", [])["result"]["methods"]),
            "heads": heads,
            "error": error,
        }
    finally:
        substrate.close()


if __name__ == "__main__":
    ws, http = sys.argv[1:]
    print(json.dumps({  # noqa: T201 - the test reads it
        "websockets": over_websockets(ws),
        "substrate_ws": over_substrate_interface(ws),
        "substrate_http": over_substrate_interface(http),
    }))  # fmt: skip
