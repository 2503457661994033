"""The busy client of a devnet: so many transfers a second, each batch through a random node.

Invariant: it never holds more than one batch a task in flight, so a chain that is slower than the
client slows the client down, and what could not be sent is not sent later.
"""

from collections.abc import Sequence
from random import Random
from typing import Protocol

import trio

from node.client.endpoint import Endpoint
from node.client.node_client import NodeClient
from node.client.wallet import Terms, sign
from node.devnet.plan import LOOPBACK, NodePlan
from node.devnet.processes import Condition
from primitives.codec import Plain
from primitives.crypto import KeyPair
from primitives.errors import LoopinError
from primitives.ss58 import encode_address
from primitives.types import AccountId, Balance, Height, Nonce

TASKS = 4
BATCH_MAX = 100
BATCHES_PER_SECOND = 2
"""Of one task, at least."""
CALL_SECONDS = 5.0
VALID_FOR = 128
"""Blocks."""
AMOUNT = Balance(10**6)
FORGOTTEN_SECONDS = 10.0
"""After which a transfer that a node does not know is taken to be lost."""


class Target(Protocol):
    """A node that takes transfers."""

    @property
    def plan(self) -> NodePlan: ...
    @property
    def condition(self) -> Condition: ...


class Payer:
    """An account that pays others, and where it is in its nonces."""

    def __init__(self, pair: KeyPair) -> None:
        self.pair = pair
        self.account = AccountId(pair.public)
        self._next = Nonce(0)
        self._sent_at = float("-inf")

    def first_nonce(self, known: Nonce, now: float) -> Nonce:
        """Return the next nonce, given the one that some node expects.

        A node that knows less than was sent either has yet to hear of it, or never will.
        """
        is_lost = now - self._sent_at > FORGOTTEN_SECONDS
        return known if known > self._next or is_lost else self._next

    def sent(self, following: Nonce, now: float) -> None:
        """Note that everything before ``following`` was accepted somewhere."""
        self._next = following
        self._sent_at = now


class Load:
    """Pays, and counts."""

    def __init__(
        self, nodes: Sequence[Target], payers: Sequence[KeyPair], rate: int, *, seed: int = 1
    ) -> None:
        """``rate`` is in transfers a second."""
        self.rate = rate
        self.accepted = 0
        self.refused = 0
        self.latest_refusal = ""
        self._nodes = list(nodes)
        self._payers = payers
        self._random = Random(seed)  # noqa: S311 - spreads the load, keeps no secret

    async def run(self) -> None:
        """Pay for ever."""
        async with trio.open_nursery() as nursery:
            for number in range(TASKS):
                payers = [Payer(pair) for pair in self._payers[number::TASKS]]
                nursery.start_soon(self._pay, payers, self.rate / TASKS)

    async def _pay(self, payers: Sequence[Payer], rate: float) -> None:
        """Send ``rate`` transfers a second, the payers in turn."""
        size = max(1, min(BATCH_MAX, int(rate / BATCHES_PER_SECOND)))
        pause = size / rate
        clients: dict[str, NodeClient] = {}
        due = trio.current_time()
        turn = 0
        while True:
            await trio.sleep_until(due)
            due = max(due + pause, trio.current_time())
            running = [node for node in self._nodes if node.condition is Condition.RUNNING]
            if not running:
                continue
            plan = self._random.choice(running).plan
            client = clients.setdefault(plan.name, client_of(plan))
            payer, recipient = (payers[(turn + offset) % len(payers)] for offset in (0, 1))
            turn += 1
            now = trio.current_time()
            await trio.to_thread.run_sync(  # type: ignore[call-arg] # older stubs than trio
                self._send, client, payer, recipient, size, now, abandon_on_cancel=True
            )

    def _send(
        self, client: NodeClient, payer: Payer, recipient: Payer, size: int, now: float
    ) -> None:
        """Sign and submit one batch. Runs in a thread."""
        try:
            address = encode_address(payer.account, client.token.ss58_prefix)
            first = payer.first_nonce(client.next_nonce(address), now)
            valid_until = Height(client.header().header.height + VALID_FOR)
            call: Plain = ["balances.transfer", recipient.account, AMOUNT]
            nonces = [Nonce(first + offset) for offset in range(size)]
            terms = [Terms(nonce, valid_until, Balance(0)) for nonce in nonces]
            answers = client.submit_many([sign(client, payer.pair, call, t) for t in terms])
        except LoopinError as error:
            self.latest_refusal = f"{error.reason}: {error}"
            return  # the node is gone, or starts, or is overrun: the next one may not be
        refusals = [answer for answer in answers if answer is not None]
        accepted = [nonce for nonce, answer in zip(nonces, answers, strict=True) if answer is None]
        self.accepted += len(accepted)
        self.refused += len(refusals)
        if refusals:
            self.latest_refusal = str(refusals[0])
        if accepted:
            payer.sent(Nonce(accepted[-1] + 1), now)


def client_of(plan: NodePlan) -> NodeClient:
    """Return a client of a node, with little patience."""
    return NodeClient(Endpoint.parse(f"http://{LOOPBACK}:{plan.rpc_port}"), CALL_SECONDS)
