"""How a node of a devnet is asked: over its RPC and its metrics, with little patience."""

import trio

from node.client.endpoint import Endpoint
from node.client.node_client import NodeClient
from node.devnet.final_chain import FinalChain
from node.devnet.measurements import Measurements, fetch_measurements
from node.devnet.plan import LOOPBACK, NodePlan
from node.devnet.watch import Look
from primitives.types import Height
from runtime.executive import INHERENTS

CALL_SECONDS = 3.0


class NodeObserver:
    """Asks one node; for one thread at a time."""

    def __init__(self, plan: NodePlan) -> None:
        self._plan = plan
        endpoint = Endpoint.parse(f"http://{LOOPBACK}:{plan.rpc_port}")
        self._client = NodeClient(endpoint, CALL_SECONDS)

    def measure(self) -> Measurements:
        """Return the node's metrics. Raises: ConnectionLost, BadAnswer."""
        return fetch_measurements(LOOPBACK, self._plan.prometheus_port, CALL_SECONDS)

    async def look(self, chain: FinalChain) -> Look:
        """Return what the node says now, its final blocks compared. Raises: LoopinError."""
        look: Look = await trio.to_thread.run_sync(  # type: ignore[call-arg] # older stubs than trio
            self._look, chain, abandon_on_cancel=True
        )
        return look

    def _look(self, chain: FinalChain) -> Look:
        measured = self.measure()
        final = Height(int(measured.total("loopin_block_height", status="finalized")))
        chain.check(self._plan.name, self._client, final)
        return look_of(measured)


def look_of(measured: Measurements) -> Look:
    """Return what a devnet wants to know out of a node's metrics."""
    return Look(
        best=int(measured.total("loopin_block_height", status="best")),
        final=int(measured.total("loopin_block_height", status="finalized")),
        view=int(measured.total("loopin_consensus_view")),
        epoch=int(measured.total("loopin_consensus_epoch")),
        peers=int(measured.total("loopin_sub_libp2p_peers_count")),
        extrinsics=measured.total("loopin_finalized_extrinsics_total")
        - len(INHERENTS) * measured.total("loopin_finalized_blocks_total"),
        finality=measured.buckets("loopin_finality_seconds"),
    )
