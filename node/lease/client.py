"""The client's end of a lease: shows its key, sends a job, takes and checks what comes back.

Invariants: nothing is taken for a result but what the provider has signed for exactly this job and
these bytes; which rows are checked is decided after that, by randomness that the provider cannot
know.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import trio

from node.lease.engine import Engine
from node.lease.messages import (
    LEASE_REQUEST,
    Answer,
    Challenge,
    CommandOutput,
    Done,
    Exited,
    Granted,
    Knock,
    OutputRows,
    Progress,
    Prove,
    Received,
    Request,
    RunCommand,
    RunNetwork,
    Upload,
    access_message,
    blob_digest,
    decode_answer,
    encode_request,
    parts_of,
)
from p2p.identity import PeerId, public_key_of
from p2p.network import NetworkApi
from primitives.crypto import KeyPair
from primitives.errors import LoopinError
from primitives.types import AccountId, Digest, Height
from runtime.jobs.commitment import Commitment, is_signed, rows_tree
from runtime.jobs.moves import JobData, SignedResult
from runtime.jobs.network import IntegerNetwork, Rows, rows_of

OnProgress = Callable[[str, int, int], None]
"""Told what is going on, how much of it is done and how much there is."""
ATTEMPTS = 3


class WrongProvider(LoopinError):
    """Who answers at this address does not serve the lease."""


class BadResult(LoopinError):
    """What the provider gave is not what was asked for; nothing of it is signed for this job."""


@dataclass(frozen=True, slots=True)
class LeaseAccess:
    """What a client needs to be let in."""

    genesis: Digest
    lease_id: int
    provider: AccountId
    key: KeyPair
    """The lease's."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """A result that the provider has signed; whether it is right is another question."""

    data: JobData
    result: SignedResult


class LeaseClient:
    """One lease at one of its providers, over a network that is connected to it."""

    def __init__(self, network: NetworkApi, server: PeerId, access: LeaseAccess) -> None:
        self._network, self._server, self._access = network, server, access

    async def open(self) -> tuple[str, ...]:
        """Show that this is the lease's client; return the commands that the provider offers.

        Raises: WrongProvider, BadResult, PeerFault, NetworkFault.
        """
        access = self._access
        challenge = await self._ask_one(Knock(access.lease_id))
        if not isinstance(challenge, Challenge):
            raise BadResult("no challenge")
        if challenge.provider != access.provider:
            raise WrongProvider(f"it serves for {challenge.provider.hex()}")
        message = access_message(
            access.genesis,
            access.lease_id,
            challenge.nonce,
            client=self._network.peer,
            server=self._server,
        )
        granted = await self._ask_one(Prove(access.lease_id, access.key.sign(message)))
        if not isinstance(granted, Granted):
            raise BadResult("not let in")
        return granted.commands

    async def upload(self, data: bytes, what: str, on_progress: OnProgress) -> Digest:
        """Send a blob, unless it is there; return its digest. Raises: as ``open``."""
        digest = blob_digest(data)
        there = 0
        for offset, part in parts_of(data):
            if offset < there:
                continue
            request = Upload(self._access.lease_id, digest, len(data), offset, part)
            received = await self._ask_one(request)
            if not isinstance(received, Received) or not offset <= received.size <= len(data):
                raise BadResult("the upload went wrong")
            there = received.size
            on_progress(f"sending {what}", there, len(data))
        if there != len(data):
            raise BadResult("the provider does not take the whole upload")
        return digest

    async def run_network(
        self, network: IntegerNetwork, rows: Rows, height: Height, on_progress: OnProgress
    ) -> JobOutcome:
        """Have rows passed through a network; return them with the provider's signature.

        ``height`` is the oldest that the result may name. Raises: as ``open``.
        """
        inputs = rows.tobytes()
        request = RunNetwork(
            self._access.lease_id,
            await self.upload(network.encode(), "the network", on_progress),
            await self.upload(inputs, "rows", on_progress),
        )
        size, got = len(rows) * network.shape.outputs, bytearray()
        done: Done | None = None
        async with aclosing(self._ask(request)) as answers:
            async for answer in answers:
                match answer:
                    case Progress(is_waiting, count):
                        what = "waiting for other jobs" if is_waiting else "computing"
                        on_progress(what, count, len(rows))
                    case OutputRows(data) if done is None and len(got) + len(data) <= size:
                        got += data
                    case Done() if done is None and len(got) == size:
                        done = answer
                    case _:
                        raise BadResult("more or less than the rows of this job")
        if done is None:
            raise BadResult("no signature")
        outputs = rows_of(bytes(got), network.shape.outputs)
        job = JobData(network, rows, outputs)
        result = SignedResult(done.commitment, public_key_of(self._server), done.signature)
        self._validate(job, result, height)
        return JobOutcome(job, result)

    async def run_command(
        self, name: str, arguments: Sequence[str], stdin: bytes | None, on_progress: OnProgress
    ) -> AsyncGenerator[CommandOutput | Exited, None]:
        """Run a command of the provider's; yield what it writes, and last how it ended."""
        digest = None if stdin is None else await self.upload(stdin, "input", on_progress)
        request = RunCommand(self._access.lease_id, name, tuple(arguments), digest)
        is_over = False
        async with aclosing(self._ask(request)) as answers:
            async for answer in answers:
                match answer:
                    case CommandOutput() | Exited() if not is_over:
                        is_over = isinstance(answer, Exited)
                        yield answer
                    case Progress(is_waiting, _):
                        on_progress("waiting for other jobs" if is_waiting else "running", 0, 0)
                    case _:
                        raise BadResult("more than a command's output")
        if not is_over:
            raise BadResult("the command has no end")

    def _validate(self, data: JobData, result: SignedResult, oldest: Height) -> None:
        """Refuse what the provider has not signed for exactly this job. Raises: BadResult."""
        access = self._access
        wanted = Commitment(
            lease_id=access.lease_id,
            provider=access.provider,
            network=data.network.identity,
            inputs=rows_tree(data.inputs).root,
            outputs=rows_tree(data.outputs).root,
            rows=len(data.inputs),
            made_at=result.commitment.made_at,
        )
        if result.commitment != wanted:
            raise BadResult("the provider has signed for another job or other rows")
        if result.commitment.made_at < oldest:
            raise BadResult("the provider has signed with a height that is long past")
        if not is_signed(access.genesis, wanted, result.key, result.signature):
            raise BadResult("the provider's signature is wrong")

    async def _ask_one(self, request: Request) -> Answer:
        answers = [answer async for answer in self._ask(request)]
        if len(answers) != 1:
            raise BadResult(f"{len(answers)} answers where one is wanted")
        return answers[0]

    async def _ask(self, request: Request) -> AsyncGenerator[Answer, None]:
        payload = encode_request(request)
        async with self._network.request(self._server, LEASE_REQUEST.name, payload) as answers:
            async for body in answers:
                yield decode_answer(body)


class ClientHandler:
    """The ``Handler`` of a client's network: it waits for one peer and serves nobody."""

    def __init__(self, server: PeerId) -> None:
        self._server = server
        self.connected = trio.Event()

    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None:
        """Ignore frames."""

    async def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]:
        """Answer nothing."""
        nothing: tuple[bytes, ...] = ()
        for body in nothing:
            yield body

    def on_peer_up(self, peer: PeerId) -> None:
        """Let whoever waits go on."""
        if peer == self._server:
            self.connected.set()

    def on_peer_down(self, peer: PeerId, reason: str) -> None:
        """Leave it to the requests to fail."""

    def on_record(self, peer: PeerId, record: bytes) -> None:
        """Ignore statements."""

    def is_allowed(self, peer: PeerId) -> bool:
        """Let nobody in."""
        return False


def find_wrong_row(data: JobData, positions: Sequence[int]) -> int | None:
    """Return the first of the rows at ``positions`` that is wrong; or None."""
    if not positions:
        return None
    chosen = sorted(positions)
    right = Engine(data.network).run(data.inputs[chosen])
    wrong = (right != data.outputs[chosen]).any(axis=1)
    return next((row for row, is_wrong in zip(chosen, wrong, strict=True) if is_wrong), None)
