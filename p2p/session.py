"""One connected peer, from the handshake to the last byte: its channels and its requests.

The dialer opens one stream per channel; the session is up when all are there. Everything that goes
wrong on it ends it, and ``run`` returns what went wrong.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from p2p.channels import CHANNELS, Channel, ChannelStats, Timing
from p2p.deadlines import Deadlines
from p2p.faults import (
    BadFrame,
    ConnectionLost,
    Flooding,
    NetworkFault,
    NotConnected,
    PeerFault,
    describe,
)
from p2p.identity import Address, PeerId
from p2p.libp2p_fixes.link import Link, Stream
from p2p.requests import Answers, RequestSpec, answer, refuse
from p2p.scores import RateLimit

log = logging.getLogger(__name__)

SETUP_SECONDS = 10.0
"""From the handshake to all channels."""
REQUESTS_MAX = 8
"""At once, to one peer and from one peer."""
REQUESTS_PER_SECOND = 50
REQUESTS_BURST = 500


class SessionHandler(Protocol):
    """What a session calls; everything comes from this one peer."""

    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None: ...
    def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]: ...
    def on_up(self, session: "Session") -> None: ...


@dataclass(frozen=True, slots=True)
class Protocols:
    """The names under which the channels and requests of one chain are negotiated."""

    channels: dict[str, str]
    requests: dict[str, RequestSpec]

    @classmethod
    def of_chain(cls, genesis: bytes, requests: tuple[RequestSpec, ...]) -> "Protocols":
        prefix = f"/loopin/{genesis.hex()[:8]}/"
        return cls(
            channels={f"{prefix}{spec.name}/1": spec.name for spec in CHANNELS},
            requests={f"{prefix}{spec.name}/1": spec for spec in requests},
        )

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.channels, *self.requests)

    def of_request(self, name: str) -> tuple[str, RequestSpec]:
        return next(item for item in self.requests.items() if item[1].name == name)


class Session:
    """See the module."""

    def __init__(
        self,
        link: Link,
        hostname: str,
        protocols: Protocols,
        handler: SessionHandler,
        timing: Timing,
    ) -> None:
        now = trio.current_time()
        self.link = link
        self.peer = link.peer
        self.hostname = hostname
        self.since = now
        self.is_up = False
        self.was_up = False
        self.dialed: Address | None = None
        """Where the peer was found, if this side has dialed."""
        self._protocols = protocols
        self._handler = handler
        self._timing = timing
        self._channels: dict[str, Channel] = {}
        self._streams: dict[str, Stream] = {}
        self._has_streams = trio.Event()
        self._deadlines = Deadlines(link.abort)
        self._slots = trio.Semaphore(REQUESTS_MAX)
        self._serving = 0
        self._request_rate = RateLimit(
            per_second=REQUESTS_PER_SECOND, burst=REQUESTS_BURST, now=now
        )
        self._nursery: trio.Nursery | None = None
        self._ended = trio.Event()
        self._failure: PeerFault | NetworkFault | None = None

    async def run(self) -> PeerFault | NetworkFault:
        """Live until something fails; return what."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._deadlines.run)
                nursery.start_soon(self._until_failure, self._set_up)
        finally:
            self.link.abort("node stops")
            self.is_up = False
            self._nursery = None
            self._ended.set()
        if self.link.muxed.flood is not None:
            return Flooding(self.link.muxed.flood)
        assert self._failure is not None
        return self._failure

    def end(self, failure: PeerFault | NetworkFault) -> None:
        """End the session from outside."""
        self._fail(failure)

    def send(self, channel: str, frame: bytes, *, droppable: bool) -> None:
        """Queue an encoded frame."""
        self._channels[channel].send(frame, droppable=droppable)

    def request(self, name: str, payload: bytes) -> Answers:
        """Ask the peer; see ``Answers``."""
        protocol, spec = self._protocols.of_request(name)
        return Answers(
            spec,
            payload,
            partial(self._open_stream, protocol),
            self._slots,
            self._deadlines.limit,
        )

    def stats(self) -> dict[str, ChannelStats]:
        return {name: channel.stats() for name, channel in self._channels.items()}

    async def serve(self, protocol: str, stream: Stream) -> None:
        """Take a stream that the peer opened; returns when it is no longer used."""
        if self._nursery is None:
            raise ConnectionLost("session over")
        if (name := self._protocols.channels.get(protocol)) is not None:
            if self.link.is_dialer or name in self._streams:
                self._fail(BadFrame(name, "a second stream for one channel"))
                return
            self._streams[name] = stream
            if len(self._streams) == len(self._protocols.channels):
                self._has_streams.set()
            await self._ended.wait()
            return
        done = trio.Event()
        spec = self._protocols.requests[protocol]
        self._nursery.start_soon(self._until_failure, partial(self._answer, spec, stream, done))
        await done.wait()

    async def _set_up(self) -> None:
        with trio.move_on_after(SETUP_SECONDS) as scope:
            if self.link.is_dialer:
                for protocol, name in self._protocols.channels.items():
                    self._streams[name] = await self.link.open_stream(protocol)
            else:
                await self._has_streams.wait()
        if scope.cancelled_caught:
            raise ConnectionLost("channels not opened in time")
        assert self._nursery is not None
        for spec in CHANNELS:
            channel = Channel(spec, self._streams[spec.name], self._timing)
            self._channels[spec.name] = channel
            on_frame = partial(self._handler.on_frame, self.peer, spec.name)
            self._nursery.start_soon(self._until_failure, partial(channel.run, on_frame))
        self.is_up = self.was_up = True
        self._handler.on_up(self)

    async def _answer(self, spec: RequestSpec, stream: Stream, done: trio.Event) -> None:
        self._serving += 1
        try:
            if not self._request_rate.take(1, trio.current_time()):
                raise Flooding("requests")
            if self._serving > REQUESTS_MAX:
                await refuse(spec, stream, "busy", self._deadlines.limit)
                return
            respond = partial(self._handler.on_request, self.peer, spec.name)
            await answer(spec, stream, respond, self._deadlines.limit)
        except NetworkFault as error:
            # One exchange failed; the connection may still be fine.
            log.debug(
                "event=request_not_served peer=%s name=%s error=%r", self.peer, spec.name, error
            )
            await stream.give_up()
        finally:
            self._serving -= 1
            done.set()

    async def _open_stream(self, protocol: str) -> Stream:
        if not self.is_up:
            raise NotConnected(self.peer)
        return await self.link.open_stream(protocol)

    async def _until_failure(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (PeerFault, NetworkFault) as failure:
            self._fail(failure)

    def _fail(self, failure: PeerFault | NetworkFault) -> None:
        if self._failure is None:
            self._failure = failure
            # First the socket, so that no task waits for a write; the first reason is kept.
            self.link.abort(describe(failure))
            if self._nursery is not None:
                self._nursery.cancel_scope.cancel()
