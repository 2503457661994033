"""A provider's program: the chain on one side, a worker process on the other, machines between.

For each class there is one machine, one worker and one task that owns both; heads of the chain
and what workers tell arrive at it in one queue.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from miner.provider import Provider
from miner.provider_messages import (
    Abandon,
    Action,
    Advanced,
    Commit,
    Commitment,
    Fact,
    Input,
    ProofFailed,
    Prove,
    Proven,
    Refused,
    Register,
    Respond,
    Sight,
    Step,
    Tell,
    Warmed,
    Windows,
)
from miner.resources import Resource, proof_kind, resource_to_plain
from node.client.answers import read_integer, read_text
from node.client.errors import CallRefused, ConnectionLost, NodeUnreachable
from node.client.node_client import KnownHeader
from node.provider.board import Board, ClassBoard
from node.provider.sender import NotSent
from node.provider.worker_process import Told, WorkerProcess
from node.rpc.json_types import Json
from primitives.codec import Plain
from primitives.errors import LoopinError
from primitives.types import AccountId, Digest, Epoch, Height, Millis, Weight
from runtime.pocps.storage_proof import StorageClass

QUEUE_MAX = 256
TIP_PARTS = 10
"""A tip is at most one part in so many of what a miss would cost."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClassTerms:
    """A class as the chain offers it."""

    resource: Resource
    name: str
    response_weight: Weight
    """What a response must allow for its verification."""


class Reader(Protocol):
    """Reads the chain; blocks its thread."""

    def look(self, class_id: int, head: KnownHeader) -> Sight:
        """Return what the chain says after a block. Raises: LoopinError."""


class Post(Protocol):
    """Has calls included."""

    @property
    def account(self) -> AccountId: ...

    async def send(self, call: Plain, valid_until: Height, *, raise_tip: int, tip_max: int) -> int:
        """Have a call included and return what it cost.

        Raises: NotSent, NodeUnreachable, ConnectionLost, BadAnswer.
        """


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator chose."""

    folder: Path
    units: int | None = None
    """Units to stake in each class if less is staked; None leaves the stake alone."""
    device: str | None = None
    worker: Sequence[str] = ("-m", "miner.worker")
    """Arguments of the interpreter that runs a worker."""


class ClassProgram:
    """One class of the provider."""

    def __init__(
        self,
        terms: ClassTerms,
        windows: Windows,
        settings: Settings,
        *,
        reader: Reader,
        post: Post,
        board: Board,
    ) -> None:
        resource = terms.resource
        self._terms, self._settings = terms, settings
        self._reader, self._post, self._boards = reader, post, board
        self.board = ClassBoard(resource.class_id, terms.name, windows)
        board.classes.append(self.board)
        self._machine = Provider(
            windows,
            leaves_per_unit=proof_kind(resource).count_leaves(1),
            units_wanted=settings.units,
        )
        self._inputs, self._queue = trio.open_memory_channel[KnownHeader | Told](QUEUE_MAX)
        self._nursery: trio.Nursery | None = None
        self._responding: Respond | None = None
        self._is_ready = self._is_sealing = False
        self._leaves_per_second = 0
        opening: dict[str, Json] = {
            "do": "open",
            "class": {**resource_to_plain(resource)},
            "provider": post.account.hex(),
            "folder": str(settings.folder),
        }
        if settings.device is not None:
            opening["devices"] = settings.device
        self._worker = WorkerProcess(
            opening,
            self._offer,
            log=settings.folder / f"worker-{resource.class_id}.log",
            arguments=settings.worker,
        )

    def on_head(self, head: KnownHeader) -> None:
        """Take a new head; it is looked at in its turn."""
        self._offer(head)

    async def run(self) -> None:
        """Prove, commit and respond for ever."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._worker.run)
            async for item in self._queue:
                if isinstance(item, KnownHeader):
                    await self._on_head(item)
                else:
                    self._on_told(item)

    def _offer(self, item: KnownHeader | Told) -> None:
        try:
            self._inputs.send_nowait(item)
        except trio.WouldBlock:
            # Progress that nobody has taken up is old; heads come again with the next block.
            _log.warning("event=provider_queue_full class=%d", self.board.class_id)

    async def _on_head(self, head: KnownHeader) -> None:
        try:
            sight = await trio.to_thread.run_sync(
                self._reader.look, self._terms.resource.class_id, head
            )
        except (NodeUnreachable, ConnectionLost, CallRefused) as trouble:
            # The block may be gone, or the node: whatever it is, there will be another head.
            _log.debug("event=look_failed reason=%s", trouble.reason)
            return
        is_first = self.board.sight is None
        self.board.sight = sight
        self._step(sight)
        if is_first:
            self._seal_what_is_missing()
        self._show_phase()

    def _on_told(self, told: Told) -> None:
        """Take what the worker tells."""
        board = self.board
        board.worker_restarts = self._worker.restarts
        match told.get("event"):
            case "ready":
                board.device = read_text(told.get("device"), "the device")
                board.leaves_per_second = _number(told, "leaves_per_second")
                self._is_ready = True
                if not self._seal_what_is_missing():
                    self._step(Warmed(max(1, board.leaves_per_second)))
            case "sealing":
                self._is_sealing = True
                board.done, board.total = _number(told, "done"), _number(told, "total")
            case "sealed":
                self._is_sealing = False
                if _number(told, "units") >= self._units_to_keep():
                    self._step(Warmed(max(1, board.leaves_per_second)))
            case "progress":
                board.done, board.total = _number(told, "done"), _number(told, "total")
                self._step(
                    Advanced(
                        Epoch(_number(told, "epoch")),
                        leaves_done=board.done,
                        leaves_total=board.total,
                        leaves_resumed=_number(told, "resumed"),
                        elapsed=Millis(_number(told, "millis")),
                    )
                )
            case "proven":
                root = Digest(bytes.fromhex(read_text(told.get("root"), "the root")))
                commitment = Commitment(_number(told, "units"), root)
                board.done = board.total = _number(told, "leaves")
                self._step(Proven(Epoch(_number(told, "epoch")), commitment))
                self._seal_what_is_missing()
            case "response":
                self._send_response(read_text(told.get("siblings"), "the siblings"))
            case "failed":
                self._on_failure(told)
            case "device" | "unsaved" | "sealing_speed":
                _log.info("event=worker_told class=%d detail=%r", board.class_id, dict(told))
        self._show_phase()

    def _on_failure(self, told: Told) -> None:
        self._is_sealing = False
        what, reason = told.get("what"), f"{told.get('reason')}: {told.get('message')}"
        _log.warning(
            "event=worker_failed class=%d what=%s detail=%r", self.board.class_id, what, reason
        )
        if what == "prove":
            self._step(ProofFailed(Epoch(_number(told, "epoch")), reason))
            self._seal_what_is_missing()
        elif what in ("seal", "warm_up", "command"):
            self.board.doing = f"stopped: {reason}"
            sight = self.board.sight
            height, epoch = (sight.height, sight.epoch) if sight else (Height(0), Epoch(0))
            self._boards.tell(self.board, Tell(Fact.PROOF_FAILED, height, epoch, reason))

    # Actions

    def _step(self, event: Input) -> None:
        for action in self._machine.step(event):
            self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case Tell():
                self._boards.tell(self.board, action)
            case Prove(epoch, challenge, units):
                self.board.done = self.board.total = 0
                self._is_sealing = False
                order: dict[str, Json] = {"do": "prove", "epoch": epoch, "units": units}
                self._worker.order({**order, "challenge": challenge.hex()})
            case Abandon():
                self._worker.order({"do": "abandon"})
                self._seal_what_is_missing()
            case Register(units, until):
                call: Plain = ["pocps.register", self.board.class_id, units]
                self._send(Step.REGISTER, call, until, 1)
            case Commit(_, commitment, until, attempt):
                root = commitment.root
                call = ["pocps.commit", self.board.class_id, commitment.units, root]
                self._send(Step.COMMIT, call, until, attempt)
            case Respond(epoch, _, beacon, _, _):
                self._responding = action
                asked: dict[str, Json] = {"do": "respond", "epoch": epoch}
                self._worker.order({**asked, "beacon": beacon.hex()})

    def _send_response(self, siblings: str) -> None:
        asked, self._responding = self._responding, None
        if asked is None:
            return
        octets = bytes.fromhex(siblings)
        digests: list[Plain] = [octets[at : at + 32] for at in range(0, len(octets), 32)]
        call: Plain = ["pocps.respond", self.board.class_id, digests, self._terms.response_weight]
        self._send(Step.RESPOND, call, asked.valid_until, asked.attempt)

    def _send(self, step: Step, call: Plain, valid_until: Height, attempt: int) -> None:
        assert self._nursery is not None, "a program that does not run performs nothing"
        self._nursery.start_soon(self._post_call, step, call, valid_until, attempt)

    async def _post_call(self, step: Step, call: Plain, valid_until: Height, attempt: int) -> None:
        sight = self.board.sight
        assert sight is not None, "nothing is sent before the chain was seen"
        # A first attempt pays no tip; each later one outbids what kept it out.
        raise_tip = attempt - 1
        tip_max = sight.penalty // TIP_PARTS
        try:
            cost = await self._post.send(call, valid_until, raise_tip=raise_tip, tip_max=tip_max)
        except NotSent as refusal:
            self._step(Refused(step, str(refusal)))
        except LoopinError as trouble:
            # Whatever became of it, the chain will show; if it does not, it is sent again.
            self._step(Refused(step, trouble.reason))
        else:
            self.board.fees += cost

    # Storage

    def _units_to_keep(self) -> int:
        """Return the units whose chunks must lie on the disk."""
        sight = self.board.sight
        return max(self._settings.units or 0, sight.staked if sight else 0)

    def _seal_what_is_missing(self) -> bool:
        """Have the plot completed if the class has one; return whether there is one."""
        if not isinstance(self._terms.resource, StorageClass):
            return False
        units = self._units_to_keep()
        if self._is_ready and units:
            self._worker.order({"do": "seal", "units": units})
        return True

    def _show_phase(self) -> None:
        """Say in a word what is being done."""
        board, sight = self.board, self.board.sight
        if board.doing.startswith("stopped") or sight is None:
            return
        if sight.has_responded:
            board.doing = "proven"
        elif sight.commitment is not None:
            board.doing = "committed"
        elif board.is_late:
            board.doing = "missed"
        elif self._is_sealing:
            board.doing = "sealing"
        elif not sight.due:
            board.doing = "nothing due" if sight.staked else "not registered"
        elif 0 < board.done < board.total:
            board.doing = "proving"
        elif board.total and board.done == board.total:
            board.doing = "committing"
        else:
            board.doing = "waiting"


def _number(told: Mapping[str, Json], name: str) -> int:
    return read_integer(told.get(name), f"the worker's {name}")
