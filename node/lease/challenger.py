"""The client's side of a dispute: opens it over a wrong row and plays it to its end."""

from collections.abc import Callable

import trio

from node.client.errors import CallRefused, ConnectionLost, NodeUnreachable
from node.lease.chain import JobChain, Verdict
from node.lease.client import JobOutcome
from node.lease.defender import Post
from node.provider.sender import NotSent
from primitives.codec import Plain
from primitives.errors import LoopinError
from primitives.types import Height
from runtime.jobs.moves import client_move, open_dispute
from runtime.jobs.records import Dispute

LOOK_SECONDS = 0.5
VALID_BLOCKS = 30

Say = Callable[[str], None]


class DisputeNotOpened(LoopinError):
    """The chain does not take the dispute; the message says why."""


class Challenger:
    """Disputes one row of one job."""

    def __init__(self, chain: JobChain, post: Post, outcome: JobOutcome, say: Say) -> None:
        self._chain, self._post, self._outcome, self._say = chain, post, outcome, say

    async def play(self, row: int) -> Verdict:
        """Open the dispute and make every move until the chain has judged.

        Raises: DisputeNotOpened, NodeUnreachable, ConnectionLost, BadAnswer.
        """
        data, result = self._outcome.data, self._outcome.result
        height = await trio.to_thread.run_sync(self._chain.height)
        call = await trio.to_thread.run_sync(open_dispute, result, data.network, row)
        valid_until = Height(height + VALID_BLOCKS)
        try:
            await self._send(call, valid_until)
        except NotSent as refusal:
            raise DisputeNotOpened(str(refusal)) from refusal
        number = await self._find_number(valid_until)
        self._say(f"dispute {number} over row {row} is open")
        return await self._follow(number, height)

    async def _find_number(self, valid_until: Height) -> int:
        """Return the number of the dispute once a block holds it. Raises: DisputeNotOpened."""
        commitment = self._outcome.result.commitment
        while True:
            number = await trio.to_thread.run_sync(
                self._chain.disputed, commitment.lease_id, commitment.provider
            )
            if number:
                return number
            if await trio.to_thread.run_sync(self._chain.height) > valid_until:
                raise DisputeNotOpened("no block has taken it in time")
            await trio.sleep(LOOK_SECONDS)

    async def _follow(self, number: int, height: Height) -> Verdict:
        said = ""
        while True:
            try:
                dispute = await trio.to_thread.run_sync(self._chain.dispute, number)
                if dispute is None:
                    verdict, height = await trio.to_thread.run_sync(
                        self._chain.find_verdict, number, height
                    )
                    if verdict is not None:
                        return verdict
                else:
                    waits = f"dispute {number} waits for {dispute.phase.name.lower()}"
                    if waits != said:
                        self._say(waits)
                        said = waits
                    await self._move(number, dispute)
            except (NotSent, NodeUnreachable, ConnectionLost, CallRefused) as trouble:
                # Deadlines leave time for more than one try; what is lost is lost by the clock.
                self._say(f"again in a moment: {trouble}")
            await trio.sleep(LOOK_SECONDS)

    async def _move(self, number: int, dispute: Dispute) -> None:
        """Say what there is to say, if it is our turn. Raises: NotSent, and what reading raises."""
        shown = await trio.to_thread.run_sync(self._chain.revealed, number)
        data = self._outcome.data
        call = await trio.to_thread.run_sync(client_move, number, dispute, shown, data)
        if call is not None:
            await self._send(call, dispute.deadline)

    async def _send(self, call: Plain, valid_until: Height) -> None:
        await self._post.send(call, valid_until, raise_tip=0, tip_max=0)
