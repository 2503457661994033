"""A node in a process of its own, for tests that kill, freeze and restart it.

Arguments: number, folder, port, and the other validator's number and address. Prints its address.
"""

import sys
from pathlib import Path

import trio

from p2p.host import Listen
from p2p.identity import Address
from tests.p2p.nodes import Node, peer_id


async def main(number: int, folder: Path, port: int, other: int, address: Address) -> None:
    listen = (Listen(Address(f"/ip4/127.0.0.1/tcp/{port}")),)
    node = Node(number, folder, listen=listen)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.network.run)
        node.network.set_validators({node.peer: node.network.addresses, peer_id(other): (address,)})
        sys.stdout.write(f"{node.address}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    trio.run(
        main,
        int(sys.argv[1]),
        Path(sys.argv[2]),
        int(sys.argv[3]),
        int(sys.argv[4]),
        Address(sys.argv[5]),
    )
