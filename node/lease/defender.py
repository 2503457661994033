"""The provider's side of disputes: watches for them and answers in time.

Invariant: nothing is said that does not follow from the stored job; a job that is not stored any
more cannot be disputed any more either.
"""

import logging
from collections.abc import Callable
from typing import Protocol

import trio

from node.client.errors import BadAnswer, CallRefused, ConnectionLost, NodeUnreachable
from node.lease.chain import JobChain
from node.lease.engine import Engine
from node.lease.job_store import JobStore, StoredJob
from node.provider.sender import NotSent
from primitives.codec import Plain
from primitives.errors import DecodeError
from primitives.types import AccountId, Height
from runtime.jobs.moves import JobData, provider_move
from runtime.jobs.network import IntegerNetwork, rows_of
from runtime.jobs.records import Dispute

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0

LoadJob = Callable[[StoredJob], JobData]


class Post(Protocol):
    """Has calls included."""

    @property
    def account(self) -> AccountId: ...

    async def send(self, call: Plain, valid_until: Height, *, raise_tip: int, tip_max: int) -> int:
        """Have a call included. Raises: NotSent, NodeUnreachable, ConnectionLost, BadAnswer."""


def load_job(stored: StoredJob) -> JobData:
    """Return a job with its outputs computed again."""
    network = IntegerNetwork.decode(stored.network.read_bytes())
    inputs = rows_of(stored.inputs.read_bytes(), network.shape.inputs)
    return JobData(network, inputs, Engine(network).run(inputs))


class Defender:
    """Answers disputes for one provider."""

    def __init__(
        self, chain: JobChain, store: JobStore, post: Post, load: LoadJob = load_job
    ) -> None:
        self._chain, self._store, self._post, self._load = chain, store, post, load

    async def run(self) -> None:
        """Look for disputes for ever."""
        while True:
            try:
                await self.look()
            except (NodeUnreachable, ConnectionLost, CallRefused, BadAnswer) as trouble:
                log.warning("event=disputes_unknown reason=%r", str(trouble))
            await trio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Answer every dispute that waits for this provider, once.

        Raises: NodeUnreachable, ConnectionLost, CallRefused, BadAnswer.
        """
        account = self._post.account
        open_ones = await trio.to_thread.run_sync(self._chain.disputes_against, account)
        for number, dispute in open_ones.items():
            try:
                call = await trio.to_thread.run_sync(self._answer, number, dispute)
            except (OSError, DecodeError) as error:
                log.warning("event=job_unreadable dispute=%d reason=%r", number, str(error))
                continue
            if call is None:
                continue
            try:
                # Whatever a late answer costs, it is less than a lost dispute.
                await self._post.send(
                    call, dispute.deadline, raise_tip=1, tip_max=dispute.bond // 10
                )
            except NotSent as refusal:
                log.warning("event=dispute_not_answered dispute=%d reason=%r", number, str(refusal))
            else:
                log.info("event=dispute_answered dispute=%d", number)

    def _answer(self, number: int, dispute: Dispute) -> Plain | None:
        stored = self._store.find_job(dispute.lease_id, dispute.inputs, dispute.outputs)
        if stored is None:
            log.error("event=dispute_without_job dispute=%d lease=%d", number, dispute.lease_id)
            return None
        return provider_move(number, dispute, self._load(stored))
