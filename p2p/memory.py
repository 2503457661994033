"""A network without sockets, with the surface of ``Network``: for tests of what is above it.

``MemoryHub`` is the world in which the nodes of a test live. It delivers after a delay that a test
chooses, can cut any pair of nodes, lose frames, and take a node away; with trio's MockClock and a
seeded ``Random`` a run is the same every time, up to the order in which trio wakes tasks.

It keeps the promises that upper layers rely on and no others: frames between two connected nodes
arrive whole, in order and once per channel unless the link is cut or loses them; ``send`` never
waits; requests have the limits and the errors of the real ones; bans are kept.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import trio
from trio_typing import TaskStatus

from p2p.channels import CHANNELS
from p2p.faults import (
    BadAnswer,
    ConnectionLost,
    Fault,
    FrameTooLarge,
    NotConnected,
    RequestTimedOut,
)
from p2p.identity import Address, PeerId
from p2p.network import Handler
from p2p.requests import RequestSpec
from p2p.scores import Ban, Rules, Scores

_FRAME_BYTES_MAX = {spec.name: spec.frame_bytes_max for spec in CHANNELS}
_CHANNEL_QUEUE_MAX = 4096
_Delivery = tuple[float, bytes]


@dataclass(slots=True)
class LinkRules:
    """How one direction of a pair behaves; may be changed at any time."""

    delay_seconds: float = 0.001
    lost_ppb: int = 0
    """Share of the frames that are lost, in parts per billion."""
    is_cut: bool = False


@dataclass(slots=True)
class _Pair:
    """The connection of two nodes that are both up and not cut apart."""

    inboxes: dict[tuple[PeerId, str], trio.MemorySendChannel[_Delivery]]
    scope: trio.CancelScope
    lost: trio.Event = field(default_factory=trio.Event)


class MemoryHub:
    """The world in which memory networks meet."""

    def __init__(self, random: Random, delay_seconds: float = 0.001) -> None:
        self._random = random
        self._delay_seconds = delay_seconds
        self._rules: dict[tuple[PeerId, PeerId], LinkRules] = {}
        self._nodes: dict[PeerId, MemoryNetwork] = {}

    def rules(self, sender: PeerId, recipient: PeerId) -> LinkRules:
        """Return the rules from one node to another, to read or to change delay and loss."""
        return self._rules.setdefault(
            (sender, recipient), LinkRules(delay_seconds=self._delay_seconds)
        )

    def cut(self, one: PeerId, other: PeerId) -> None:
        """Take the connection of two nodes down and keep it down until ``heal``."""
        self.rules(one, other).is_cut = self.rules(other, one).is_cut = True
        if (node := self._nodes.get(one)) is not None:
            node.disconnect(other, "cut")

    def heal(self, one: PeerId, other: PeerId) -> None:
        """Let two nodes connect again."""
        self.rules(one, other).is_cut = self.rules(other, one).is_cut = False
        self.meet()

    def partition(self, *groups: set[PeerId]) -> None:
        """Cut every pair of nodes that are not in one group."""
        for one in sorted(self._nodes):
            for other in sorted(self._nodes):
                if one < other and not any({one, other} <= group for group in groups):
                    self.cut(one, other)

    def heal_all(self) -> None:
        for one in sorted(self._nodes):
            for other in sorted(self._nodes):
                if one < other:
                    self.heal(one, other)

    def meet(self) -> None:
        """Connect every pair that may be connected and is not."""
        for one in sorted(self._nodes):
            for other in sorted(self._nodes):
                if one < other:
                    self._nodes[one].connect(self._nodes[other])

    def join(self, node: "MemoryNetwork") -> None:
        assert node.peer not in self._nodes, "two nodes of one identity"
        self._nodes[node.peer] = node
        self.meet()

    def leave(self, node: "MemoryNetwork") -> None:
        del self._nodes[node.peer]

    def find(self, peer: PeerId) -> "MemoryNetwork | None":
        return self._nodes.get(peer)

    def is_lost(self, sender: PeerId, recipient: PeerId) -> bool:
        share = self.rules(sender, recipient).lost_ppb
        return share > 0 and self._random.randrange(10**9) < share


class MemoryNetwork:
    """One node's network in a ``MemoryHub``."""

    def __init__(
        self,
        hub: MemoryHub,
        peer: PeerId,
        handler: Handler,
        requests: tuple[RequestSpec, ...] = (),
        rules: Rules | None = None,
    ) -> None:
        self._hub = hub
        self._me = peer
        self._handler = handler
        self._requests = {spec.name: spec for spec in requests}
        self._scores = Scores(rules)
        self._pairs: dict[PeerId, _Pair] = {}
        self._nursery: trio.Nursery | None = None
        self.validators: dict[PeerId, tuple[Address, ...]] = {}
        self.dropped = 0
        """Droppable frames that found a full queue."""

    @property
    def peer(self) -> PeerId:
        return self._me

    def broadcast(self, channel: str, frame: bytes, *, droppable: bool = False) -> int:
        """Send a frame to every connected peer; return to how many."""
        peers = self.connected()
        for peer in peers:
            self.send(peer, channel, frame, droppable=droppable)
        return len(peers)

    def send(self, peer: PeerId, channel: str, frame: bytes, *, droppable: bool = False) -> bool:
        """Send a frame to one peer; False if it is not connected."""
        assert 0 < len(frame) <= _FRAME_BYTES_MAX[channel], "larger than peers accept"
        pair = self._pairs.get(peer)
        if pair is None:
            return False
        if not self._hub.is_lost(self._me, peer):
            due = trio.current_time() + self._hub.rules(self._me, peer).delay_seconds
            try:
                pair.inboxes[peer, channel].send_nowait((due, frame))
            except trio.WouldBlock:
                if droppable:
                    self.dropped += 1
                else:
                    self.disconnect(peer, "PeerSlow")
        return True

    @asynccontextmanager
    async def request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Ask a peer. Raises what ``Network.request`` raises."""
        spec = self._requests[name]
        assert 0 < len(payload) <= spec.request_bytes_max, "larger than peers accept"
        pair = self._pairs.get(peer)
        other = self._hub.find(peer)
        if pair is None or other is None:
            raise NotConnected(peer)
        async with (
            aclosing(other.answer(self._me, name, payload)) as answers,
            aclosing(self._receive(spec, peer, pair, answers)) as received,
        ):
            yield received

    def set_validators(self, validators: Mapping[PeerId, tuple[Address, ...]]) -> None:
        """Remember the validators; in a hub everybody is connected to everybody anyway."""
        self.validators = dict(validators)

    def connected(self) -> tuple[PeerId, ...]:
        return tuple(sorted(self._pairs))

    def report(self, peer: PeerId, fault: Fault, detail: str = "") -> None:
        """Charge a peer; may ban it."""
        ban = self._scores.charge(peer, fault, detail, trio.current_time())
        if ban is not None:
            self.disconnect(peer, f"Banned: {ban.reason}")

    def faults(self) -> Mapping[Fault, int]:
        """Return how often peers were charged for what."""
        return dict(self._scores.totals)

    def bans(self) -> tuple[Ban, ...]:
        return self._scores.bans(trio.current_time())

    async def run(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Live in the hub until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._hub.join(self)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._hub.leave(self)
            for peer in self.connected():
                self.disconnect(peer, "node stops", is_told=False)
            self._nursery = None

    # ------------------------------------------------------------------ between the networks

    def connect(self, other: "MemoryNetwork") -> None:
        """Make the connection of two nodes if nothing stands against it. For the hub."""
        if other.peer in self._pairs or self._hub.rules(self._me, other.peer).is_cut:
            return
        if self._refuses(other.peer) or other._refuses(self._me):  # noqa: SLF001  of one kind
            return
        nurseries = (self._nursery, other._nursery)  # noqa: SLF001
        if nurseries[0] is None or nurseries[1] is None:
            return
        pair = _Pair({}, trio.CancelScope())
        for sender, recipient, nursery in (
            (other, self, nurseries[0]),
            (self, other, nurseries[1]),
        ):
            for channel in _FRAME_BYTES_MAX:
                send, receive = trio.open_memory_channel[_Delivery](_CHANNEL_QUEUE_MAX)
                pair.inboxes[recipient.peer, channel] = send
                nursery.start_soon(recipient._deliver, sender.peer, channel, receive, pair)  # noqa: SLF001
        self._pairs[other.peer] = other._pairs[self._me] = pair  # noqa: SLF001
        self._handler.on_peer_up(other.peer)
        other._handler.on_peer_up(self._me)  # noqa: SLF001

    def disconnect(self, peer: PeerId, reason: str, *, is_told: bool = True) -> None:
        """Take the connection down on both sides."""
        pair = self._pairs.pop(peer, None)
        if pair is None:
            return
        pair.lost.set()
        for inbox in pair.inboxes.values():
            inbox.close()
        if is_told:
            self._handler.on_peer_down(peer, reason)
        other = self._hub.find(peer)
        if other is not None:
            other._pairs.pop(self._me, None)  # noqa: SLF001
            other._handler.on_peer_down(self._me, "ConnectionLost: closed by the peer")  # noqa: SLF001

    def answer(self, asker: PeerId, name: str, payload: bytes) -> AsyncGenerator[bytes, None]:
        """Serve a request. For the other side."""
        return self._handler.on_request(asker, name, payload)

    def _refuses(self, peer: PeerId) -> bool:
        return self._scores.is_banned(peer, trio.current_time())

    async def _deliver(
        self,
        sender: PeerId,
        channel: str,
        receive: trio.MemoryReceiveChannel[_Delivery],
        pair: _Pair,
    ) -> None:
        async with receive:
            async for due, frame in receive:
                with trio.move_on_at(due):
                    await pair.lost.wait()
                if pair.lost.is_set():
                    return
                await self._handler.on_frame(sender, channel, frame)

    async def _receive(
        self, spec: RequestSpec, peer: PeerId, pair: _Pair, answers: AsyncIterator[bytes]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the answers with the delays and limits of a real exchange."""
        await self._travel(peer, pair)
        count = 0
        while True:
            body: bytes | None = None
            with trio.move_on_after(spec.step_seconds) as scope:
                body = await anext(answers, None)
            if scope.cancelled_caught:
                raise RequestTimedOut(spec.name, f"{spec.step_seconds:g} s")
            await self._travel(peer, pair)
            if body is None:
                return
            count += 1
            if len(body) > spec.answer_bytes_max:
                raise FrameTooLarge(len(body), spec.answer_bytes_max)
            if count > spec.answers_max:
                raise BadAnswer(spec.name, "more answers than allowed")
            yield body

    async def _travel(self, peer: PeerId, pair: _Pair) -> None:
        with trio.move_on_after(self._hub.rules(self._me, peer).delay_seconds):
            await pair.lost.wait()
        if pair.lost.is_set():
            raise ConnectionLost("cut")
