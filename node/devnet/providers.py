"""The providers of a devnet at work, and what the chain says of them.

Each is the real program with its real worker process; this process holds them together.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from node.client.endpoint import Endpoint
from node.client.node_client import NodeClient
from node.devnet.plan import LOOPBACK, DevnetPlan, NodePlan
from node.devnet.provider_plan import ProviderPlan
from node.provider.board import Board
from node.provider.chain_reader import PocpsReader
from node.provider.program import Settings
from node.provider.run import run_provider
from primitives.errors import LoopinError
from primitives.power_table import PowerTable
from primitives.types import Epoch
from runtime.pocps.ladder import Fault

LOOK_SECONDS = 1.0
CALL_SECONDS = 3.0
PAUSE_SECONDS = 2.0
THREADS = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProviderSight:
    """What the chain says of a provider now."""

    staked: int = 0
    live: int = 0
    vote_ppb: int = 0
    """Share of the present power table."""
    faults: tuple[Fault, ...] = ()
    """The last ones, oldest first."""
    caught_after: float | None = None
    """Seconds from the start to the first fault that was seen."""

    @property
    def lost(self) -> int:
        """What the faults have cost, in base units, beside rewards."""
        return sum(fault.slashed for fault in self.faults)


class Providers:
    """All of them."""

    def __init__(self, plan: DevnetPlan) -> None:
        self.plans = plan.providers
        self.boards = {each.name: Board(address=each.name, url="") for each in self.plans}
        self.sights = {each.name: ProviderSight() for each in self.plans}
        self._nodes = plan.nodes
        self._limiter = trio.CapacityLimiter(THREADS)

    async def run(self, answering: Callable[[], Sequence[NodePlan]]) -> None:
        """Prove, and watch, for ever; ``answering`` are the nodes that can be asked."""
        async with trio.open_nursery() as nursery:
            for index, each in enumerate(self.plans):
                nursery.start_soon(self._prove, each, self._nodes[index % len(self._nodes)])
            nursery.start_soon(self._watch, answering)

    def problems(self) -> list[str]:
        """Return what must not happen: an honest provider with a proof that is wrong."""
        return [
            f"{each.name} proves honestly and was found to have sent an invalid proof"
            for each in self.plans
            if each.behaviour.is_honest
            and any(fault.reason == "invalid_proof" for fault in self.sights[each.name].faults)
        ]

    def doing(self, name: str) -> str:
        """Return in a word what a provider's program does."""
        classes = self.boards[name].classes
        if self.boards[name].trouble or not classes:
            return "waiting for its node"
        return classes[-1].doing

    async def _prove(self, plan: ProviderPlan, node: NodePlan) -> None:
        endpoint = Endpoint.parse(f"http://{LOOPBACK}:{node.rpc_port}")
        settings = Settings(plan.folder, plan.units, worker=plan.worker_arguments())
        board = self.boards[plan.name]
        board.url = endpoint.url
        while True:
            board.classes.clear()
            try:
                await run_provider(endpoint, plan.pair, settings, board, class_ids=(plan.class_id,))
            except LoopinError as error:
                _log.warning("event=provider_ended name=%s reason=%s", plan.name, error.reason)
            await trio.sleep(PAUSE_SECONDS)

    async def _watch(self, answering: Callable[[], Sequence[NodePlan]]) -> None:
        start = trio.current_time()
        while True:
            await trio.sleep(LOOK_SECONDS)
            nodes = answering()
            if not nodes:
                continue
            try:
                seen: dict[str, ProviderSight] = await trio.to_thread.run_sync(  # type: ignore[call-arg] # older stubs than trio
                    self._look, nodes[0], abandon_on_cancel=True, limiter=self._limiter
                )
            except LoopinError as error:
                _log.debug("event=provider_watch_failed reason=%s", error.reason)
                continue
            now = trio.current_time() - start
            for name, sight in seen.items():
                self.sights[name] = _with_time(sight, self.sights[name], now)

    def _look(self, node: NodePlan) -> dict[str, ProviderSight]:
        endpoint = Endpoint.parse(f"http://{LOOPBACK}:{node.rpc_port}")
        with NodeClient(endpoint, CALL_SECONDS) as client:
            head = client.header()
            table: PowerTable | None = None
            seen = {}
            for each in self.plans:
                reader = PocpsReader(client, each.account)
                table = table or reader.power_table(Epoch(head.header.epoch))
                weights = {entry.account: entry.weight for entry in table.validators}
                standing = reader.look(each.class_id, head)
                seen[each.name] = ProviderSight(
                    staked=standing.staked,
                    live=standing.live,
                    vote_ppb=weights.get(each.account, 0) * 10**9 // max(1, table.total),
                    faults=reader.faults(each.class_id, head.hash),
                )
            return seen


def _with_time(sight: ProviderSight, before: ProviderSight, now: float) -> ProviderSight:
    """Return a sight with the time of the first fault, kept from when it was first seen."""
    caught = before.caught_after
    if caught is None and sight.faults:
        caught = now
    return ProviderSight(
        sight.staked, sight.live, sight.vote_ppb, sight.faults or before.faults, caught
    )
