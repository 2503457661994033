"""The client's side of a dispute: opens it over a wrong row and plays it to its end."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import trio

from node.client.answers import (
    read_amount,
    read_integer,
    read_list,
    read_object,
    read_text,
)
from node.lease.chain import JobChain
from node.lease.client import JobOutcome
from node.lease.defender import Post
from node.provider.sender import NotSent
from node.rpc.json_types import Json
from primitives.codec import Plain
from primitives.errors import LoopinError
from primitives.types import Balance, Height
from runtime.jobs.module import LOST_BY_PROOF, LOST_BY_SILENCE
from runtime.jobs.moves import client_move, open_dispute

LOOK_SECONDS = 0.5
VALID_BLOCKS = 30

T = TypeVar("T")
Say = Callable[[str], None]


class DisputeNotOpened(LoopinError):
    """The chain does not take the dispute; the message says why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a dispute ended."""

    number: int
    height: Height
    is_won: bool
    reason: str
    taken: Balance
    """What the loser lost."""


class Challenger:
    """Disputes one row of one job."""

    def __init__(self, chain: JobChain, post: Post, outcome: JobOutcome, say: Say) -> None:
        self._chain, self._post, self._outcome, self._say = chain, post, outcome, say

    async def play(self, row: int) -> Verdict:
        """Open the dispute and make every move until the chain has judged.

        Raises: DisputeNotOpened, NodeUnreachable, ConnectionLost, BadAnswer.
        """
        data, result = self._outcome.data, self._outcome.result
        height = await self._in_thread(self._chain.height)
        call = await trio.to_thread.run_sync(open_dispute, result, data.network, row)
        try:
            await self._send(call, Height(height + VALID_BLOCKS))
        except NotSent as refusal:
            raise DisputeNotOpened(str(refusal)) from refusal
        commitment = result.commitment
        number = await self._in_thread(
            partial(self._chain.disputed, commitment.lease_id, commitment.provider)
        )
        self._say(f"dispute {number} over row {row} is open")
        return await self._follow(number, height)

    async def _follow(self, number: int, height: Height) -> Verdict:
        said = ""
        while True:
            look = partial(self._chain.dispute, number) if number else lambda: None
            dispute = await self._in_thread(look)
            if dispute is None:
                verdict, height = await self._in_thread(partial(self._find_verdict, number, height))
                if verdict is not None:
                    return verdict
            else:
                waits = f"dispute {number} waits for {dispute.phase.name.lower()}"
                if waits != said:
                    self._say(waits)
                    said = waits
                revealed = await self._in_thread(partial(self._chain.revealed, number))
                call = await trio.to_thread.run_sync(
                    client_move, number, dispute, revealed, self._outcome.data
                )
                if call is not None:
                    await self._try(call, dispute.deadline)
            await trio.sleep(LOOK_SECONDS)

    async def _try(self, call: Plain, deadline: Height) -> None:
        try:
            await self._send(call, deadline)
        except NotSent as refusal:
            # The next look says whether it is still our turn.
            self._say(f"not taken yet: {refusal}")

    async def _send(self, call: Plain, valid_until: Height) -> None:
        await self._post.send(call, valid_until, raise_tip=0, tip_max=0)

    def _find_verdict(self, number: int, height: Height) -> tuple[Verdict | None, Height]:
        """Return the verdict if a block from ``height`` on holds it, and where to look next."""
        client = self._chain.client
        best = self._chain.height()
        while height <= best:
            block = client.hash_at(height)
            receipts = None if block is None else client.find_receipts(block)
            for receipt in receipts or ():
                verdict = self._verdict_in(receipt.get("events"), number, height)
                if verdict is not None:
                    return verdict, height
            height = Height(height + 1)
        return None, height

    @staticmethod
    def _verdict_in(events: Json, number: int, height: Height) -> Verdict | None:
        for item in read_list(events, "a receipt's events"):
            event = read_object(item, "an event")
            if event.get("name") != "jobs.DisputeSettled":
                continue
            fields = read_object(event.get("fields"), "an event's fields")
            if read_integer(fields.get("disputeId"), "disputeId") == number:
                reason = read_text(fields.get("reason"), "reason")
                taken = read_amount(fields.get("taken"), "taken")
                is_won = reason in (LOST_BY_PROOF, LOST_BY_SILENCE)
                return Verdict(number, height, is_won, reason, taken)
        return None

    async def _in_thread(self, ask: Callable[[], T]) -> T:
        answer: T = await trio.to_thread.run_sync(ask)
        return answer
