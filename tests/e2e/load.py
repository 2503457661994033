"""A client that keeps sending transfers to one node, whatever becomes of it."""

import trio

from genesis.presets import dev_account
from node.client.node_client import NodeClient
from node.client.wallet import Terms, sign
from node.devnet.processes import NodeProcess
from primitives.codec import Plain
from primitives.derivation import derive_key_pair
from primitives.errors import LoopinError
from primitives.types import Balance, Height, Nonce
from tests.e2e.chain_of_processes import ChainOfProcesses

PAUSE_SECONDS = 0.02


class Loader:
    """Sends transfers from //Alice to //Bob through one node."""

    def __init__(self, chain: ChainOfProcesses, node: NodeProcess) -> None:
        self._chain = chain
        self._node = node
        self.accepted = 0

    async def run(self) -> None:
        """Send for ever; a node that is gone is asked again later."""
        while True:
            await trio.to_thread.run_sync(self._send_some)
            await trio.sleep(PAUSE_SECONDS)

    def _send_some(self) -> None:
        try:
            with self._chain.client(self._node) as client:
                self._send(client)
        except LoopinError:
            pass

    def _send(self, client: NodeClient) -> None:
        pair = derive_key_pair("//Alice")
        address = "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu"
        nonce = client.next_nonce(address)
        valid_until = Height(client.header().header.height + 64)
        for offset in range(20):
            terms = Terms(Nonce(nonce + offset), valid_until, Balance(0))
            call: Plain = ["balances.transfer", dev_account("Bob"), 10**6]
            client.submit(sign(client, pair, call, terms))
            self.accepted += 1
