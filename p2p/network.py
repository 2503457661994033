"""The network as the node sees it: peers that come and go, frames, requests. It knows no block.

::

    network = Network(config, handler)
    await nursery.start(network.run)
    network.set_validators({peer: addresses, ...})
    network.broadcast("vote", frame)                       # never waits
    async with network.request(peer, "blocks", payload) as answers:
        async for body in answers: ...
    network.report(peer, Fault.INVALID_BLOCK, "height 17")

What it sees to by itself: a full mesh among the validators (if this node is one), a bounded number
of other peers found through boot nodes and peer exchange, addresses that survive a restart, dialing
again for ever, pings and watchdogs, scores and bans, the limits listed in docs/network.md.

``MemoryNetwork`` in ``memory.py`` has the same surface without sockets, for tests of what is above.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

import trio

# libp2p brings trio_typing, whose stubs hide trio's own types from mypy.
from trio_typing import TaskStatus

from p2p.address_book import PEER_RECORD
from p2p.channels import Timing
from p2p.faults import (
    Banned,
    DialFailed,
    Fault,
    NetworkFault,
    NotConnected,
    PeerFault,
    Superseded,
    describe,
)
from p2p.frames import encode_frame
from p2p.host import HandshakeLimits, Host, Listen, locked
from p2p.identity import Address, PeerId, endpoint, peer_id_of_seed
from p2p.libp2p_fixes.link import Link, Stream
from p2p.libp2p_fixes.yamux import FirmYamux
from p2p.peers import EXCHANGE, PeerLimits, Peers
from p2p.requests import Answers, RequestSpec
from p2p.scores import Rules
from p2p.session import Protocols, Session
from p2p.stats import NetworkStats, PeerStats
from primitives.errors import DecodeError
from primitives.types import Digest

log = logging.getLogger(__name__)

DUPLICATE = "duplicate"
_LOOK_SECONDS = 0.5
"""How often the dialer looks for peers whose pause is over."""
_LOOK_PAUSE_SECONDS = 0.02
_SAVE_SECONDS = 60.0
_ADOPTION_SECONDS = 5.0
"""A stream may come before its connection has been taken into the books, but not by more."""


class Handler(Protocol):
    """What the node lends to its network.

    ``on_frame`` holds back its peer while it waits, so it may wait for room but not for long.
    ``on_request`` yields answers, or raises RequestRefused. The others must return at once.
    """

    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None: ...
    def on_request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AsyncGenerator[bytes, None]: ...
    def on_peer_up(self, peer: PeerId) -> None: ...
    def on_peer_down(self, peer: PeerId, reason: str) -> None: ...
    def on_record(self, peer: PeerId, record: bytes) -> None:
        """Take a peer's own signed statement, as another peer told it: not checked here."""

    def is_allowed(self, peer: PeerId) -> bool:
        """Say whether a peer that is in no power table may use the validators' port."""


class NetworkApi(Protocol):
    """What ``Network`` and ``MemoryNetwork`` have in common."""

    @property
    def peer(self) -> PeerId: ...
    def broadcast(self, channel: str, frame: bytes, *, droppable: bool = False) -> int: ...
    def send(
        self, peer: PeerId, channel: str, frame: bytes, *, droppable: bool = False
    ) -> bool: ...
    def request(
        self, peer: PeerId, name: str, payload: bytes
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...
    def set_validators(self, validators: Mapping[PeerId, tuple[Address, ...]]) -> None: ...
    def connected(self) -> tuple[PeerId, ...]: ...
    def report(self, peer: PeerId, fault: Fault, detail: str = "") -> None: ...
    async def run(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None: ...


@dataclass(frozen=True, slots=True)
class Config:
    seed: bytes = field(repr=False)
    """32 bytes, ed25519: the node's identity on the network."""
    genesis: Digest
    """Names the protocols: nodes of two chains find no common one."""
    folder: Path
    """For the lock and the addresses."""
    listen: tuple[Listen, ...]
    announce: tuple[Address, ...] = ()
    """What other nodes are told; empty: where this node listens openly."""
    boot: tuple[tuple[PeerId, Address], ...] = ()
    requests: tuple[RequestSpec, ...] = ()
    peer_limits: PeerLimits = field(default_factory=PeerLimits)
    handshake_limits: HandshakeLimits = field(default_factory=HandshakeLimits)
    timing: Timing = field(default_factory=Timing)
    rules: Rules = field(default_factory=Rules)


class Network:
    """See the module."""

    def __init__(self, config: Config, handler: Handler, random: Random | None = None) -> None:
        self._config = config
        self._handler = handler
        self._me = peer_id_of_seed(config.seed)
        self._protocols = Protocols.of_chain(config.genesis, (*config.requests, EXCHANGE))
        self._sessions: dict[PeerId, Session] = {}
        self._by_muxer: dict[FirmYamux, Session] = {}
        self._adopted = trio.Event()
        self._disconnects: dict[str, int] = {}
        # Jitter, nothing that an adversary gains from knowing.
        self._peers = Peers(
            me=self._me,
            folder=config.folder,
            boot=config.boot,
            limits=config.peer_limits,
            rules=config.rules,
            random=random or Random(),  # noqa: S311
        )
        self._host = Host(
            seed=config.seed,
            protocols=self._protocols.names,
            serve=self._serve,
            is_allowed=self._is_allowed,
            limits=config.handshake_limits,
        )
        self._announced: dict[PeerId, Session] = {}
        self._dialing: set[PeerId] = set()
        self._wake = trio.Event()

    # ------------------------------------------------------------------------------- surface

    @property
    def peer(self) -> PeerId:
        """This node's own id."""
        return self._me

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where this node listens, once it runs."""
        return self._host.addresses

    def broadcast(self, channel: str, frame: bytes, *, droppable: bool = False) -> int:
        """Queue a frame for every connected peer; return for how many."""
        encoded = encode_frame(frame)
        sessions = [session for session in self._sessions.values() if session.is_up]
        for session in sessions:
            session.send(channel, encoded, droppable=droppable)
        return len(sessions)

    def send(self, peer: PeerId, channel: str, frame: bytes, *, droppable: bool = False) -> bool:
        """Queue a frame for one peer; False if it is not connected."""
        session = self._sessions.get(peer)
        if session is None or not session.is_up:
            return False
        session.send(channel, encode_frame(frame), droppable=droppable)
        return True

    def request(self, peer: PeerId, name: str, payload: bytes) -> Answers:
        """Ask a peer: ``async with`` the result, then ``async for``. Raises: NotConnected."""
        session = self._sessions.get(peer)
        if session is None or not session.is_up:
            raise NotConnected(peer)
        return session.request(name, payload)

    def set_validators(self, validators: Mapping[PeerId, tuple[Address, ...]]) -> None:
        """Mesh with these from now on, if this node is one of them; let them in in any case."""
        self._peers.validators = dict(validators)
        self._wake.set()

    def set_record(self, record: bytes) -> None:
        """Set the signed statement of this node that peers pass on."""
        self._peers.own_record = record

    def connected(self) -> tuple[PeerId, ...]:
        """Return the peers to which both channels are open, in the order of their ids."""
        return tuple(sorted(peer for peer, session in self._sessions.items() if session.is_up))

    def report(self, peer: PeerId, fault: Fault, detail: str = "") -> None:
        """Charge a peer for something that only upper layers can judge; may ban it."""
        ban = self._peers.scores.charge(peer, fault, detail, trio.current_time())
        if ban is None:
            log.info("event=fault peer=%s kind=%s detail=%r", peer, fault.label, detail)
            return
        log.warning("event=ban peer=%s until=%.0f reason=%r", peer, ban.until, ban.reason)
        if (session := self._sessions.get(peer)) is not None:
            session.end(Banned(ban.reason))

    def stats(self) -> NetworkStats:
        now = trio.current_time()
        return NetworkStats(
            peers=tuple(
                PeerStats(
                    peer=peer,
                    hostname=session.hostname,
                    is_dialer=session.link.is_dialer,
                    connected_seconds=now - session.since,
                    round_trip_seconds=session.link.muxed.rtt(),
                    bytes_read=session.link.pipe.bytes_read,
                    bytes_written=session.link.pipe.bytes_written,
                    points=self._peers.scores.points(peer, now),
                    channels=session.stats(),
                )
                for peer, session in sorted(self._sessions.items())
                if session.is_up
            ),
            bans=self._peers.scores.bans(now),
            known_peers=len(self._peers.book),
            disconnects=dict(sorted(self._disconnects.items())),
            faults=dict(self._peers.scores.totals),
            refused_handshakes=self._host.handshakes.refused,
        )

    async def run(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled. Raises: ConfigError if the folder or a port is taken."""
        with locked(self._config.folder):
            self._peers.load()
            async with (
                self._host.run(self._config.listen, self._hold),
                trio.open_nursery() as nursery,
            ):
                self._peers.own_addresses = self._config.announce or self._host.addresses
                nursery.start_soon(self._dial_for_ever, nursery)
                nursery.start_soon(self._exchange_for_ever)
                nursery.start_soon(self._save_for_ever)
                task_status.started()
                try:
                    await trio.sleep_forever()
                finally:
                    for session in self._sessions.values():
                        session.link.abort("node stops")
                    self._peers.save()

    # --------------------------------------------------------------------------- connections

    def _is_allowed(self, peer: PeerId, is_open: bool) -> bool:  # noqa: FBT001  the gate's shape
        if peer == self._me or self._peers.is_banned(peer, trio.current_time()):
            return False
        return is_open or peer in self._peers.validators or self._handler.is_allowed(peer)

    async def _hold(self, link: Link, hostname: str, dialed: Address | None = None) -> bool:
        """Own a new connection for its whole life; say whether it was ever up."""
        if (reason := self._reason_against(link, hostname)) is not None:
            link.abort(reason)
            log.debug("event=connection_refused peer=%s reason=%r", link.peer, reason)
            return reason == DUPLICATE
        if (old := self._sessions.get(link.peer)) is not None:
            old.end(Superseded())
        session = Session(link, hostname, self._protocols, self, self._config.timing)
        session.dialed = dialed
        self._sessions[link.peer] = session
        self._by_muxer[link.muxed] = session
        self._adopted.set()
        self._adopted = trio.Event()
        reason = "node stops"
        try:
            failure = await session.run()
            reason = describe(failure)
            self._settle(session, failure)
        finally:
            del self._by_muxer[link.muxed]
            if self._sessions.get(link.peer) is session:
                del self._sessions[link.peer]
            self._wake.set()
        self._announce_down(session, reason)
        return session.was_up

    def _settle(self, session: Session, failure: PeerFault | NetworkFault) -> None:
        """Count the end of a session and charge the peer if it is to blame."""
        kind = failure.reason
        self._disconnects[kind] = self._disconnects.get(kind, 0) + 1
        log.info("event=peer_down peer=%s reason=%r", session.peer, describe(failure))
        if isinstance(failure, PeerFault):
            self.report(session.peer, failure.fault, describe(failure))

    def _reason_against(self, link: Link, hostname: str) -> str | None:
        """Return why a new connection is not wanted; None when it is."""
        old = self._sessions.get(link.peer)
        if old is not None and old.link.is_dialer != link.is_dialer:
            # Both dialed: both keep the connection that the larger peer id made.
            return None if link.is_dialer == (self._me > link.peer) else DUPLICATE
        if link.is_dialer or link.peer in self._peers.validators or old is not None:
            return None
        guests = [
            session.hostname
            for session in self._sessions.values()
            if not session.link.is_dialer and session.peer not in self._peers.validators
        ]
        limits = self._config.peer_limits
        if len(guests) >= limits.inbound_max:
            return "no room"
        if guests.count(hostname) >= limits.inbound_per_address_max:
            return "no room for this address"
        return None

    async def _serve(self, muxed: FirmYamux, protocol: str, stream: Stream) -> None:
        with trio.move_on_after(_ADOPTION_SECONDS):
            while muxed not in self._by_muxer:
                await self._adopted.wait()
        session = self._by_muxer.get(muxed)
        if session is None:
            await stream.give_up()
            return
        await session.serve(protocol, stream)

    # ------------------------------------------------------------------- what sessions call

    async def on_frame(self, peer: PeerId, channel: str, frame: bytes) -> None:
        await self._handler.on_frame(peer, channel, frame)

    def on_request(self, peer: PeerId, name: str, payload: bytes) -> AsyncGenerator[bytes, None]:
        if name == EXCHANGE.name:
            return self._tell_peers(peer)
        return self._handler.on_request(peer, name, payload)

    def on_up(self, session: Session) -> None:
        if (old := self._announced.get(session.peer)) is not None:
            self._announce_down(old, describe(Superseded()))
        self._announced[session.peer] = session
        if session.dialed is not None:
            self._peers.reached(session.peer, session.dialed)
        log.info("event=peer_up peer=%s address=%s", session.peer, session.hostname)
        self._handler.on_peer_up(session.peer)

    def _announce_down(self, session: Session, reason: str) -> None:
        """Tell the node, once per session that it was told of, and in this order."""
        if self._announced.get(session.peer) is session:
            del self._announced[session.peer]
            self._handler.on_peer_down(session.peer, reason)

    # ------------------------------------------------------------------------ tasks of its own

    async def _dial_for_ever(self, nursery: trio.Nursery) -> None:
        while True:
            self._wake = trio.Event()
            busy = self._dialing | set(self._sessions)
            for peer in self._peers.due(busy, trio.current_time()):
                self._dialing.add(peer)
                nursery.start_soon(self._dial, peer)
            with trio.move_on_after(_LOOK_SECONDS):
                await self._wake.wait()
            # A burst of events is answered by one look.
            await trio.sleep(_LOOK_PAUSE_SECONDS)

    async def _dial(self, peer: PeerId) -> None:
        lasted = 0.0
        was_up = False
        try:
            link, address = await self._host.dial(peer, self._peers.addresses(peer))
            started = trio.current_time()
            was_up = await self._hold(link, endpoint(address)[0], address)
            lasted = trio.current_time() - started
        except DialFailed as error:
            log.debug("event=dial_failed peer=%s error=%r", peer, describe(error))
        finally:
            self._dialing.discard(peer)
        if not was_up:
            # Nobody there, or nobody who takes us in: look elsewhere first.
            self._peers.failed(peer)
        self._peers.ended(peer, lasted, trio.current_time())
        self._wake.set()

    async def _exchange_for_ever(self) -> None:
        while True:
            await trio.sleep(self._peers.exchange_pause())
            if peers := self.connected():
                await self._learn_peers(self._peers.choose(peers))

    async def _learn_peers(self, source: PeerId) -> None:
        hostname = self._sessions[source].hostname
        try:
            async with self.request(source, EXCHANGE.name, b"\x01") as answers:
                async for body in answers:
                    record = PEER_RECORD.decode(body)
                    self._peers.learn(record, source, hostname)
                    if record.record:
                        self._handler.on_record(PeerId(record.peer), record.record)
        except DecodeError as error:
            self.report(source, Fault.BAD_BYTES, f"peer record {error!r}")
        except PeerFault as error:
            self.report(source, error.fault, describe(error))
        except NetworkFault as error:
            log.debug("event=peer_exchange_failed peer=%s error=%r", source, describe(error))

    async def _tell_peers(self, asker: PeerId) -> AsyncGenerator[bytes, None]:
        for record in self._peers.tell(asker):
            yield PEER_RECORD.encode(record)

    async def _save_for_ever(self) -> None:
        while True:
            await trio.sleep(_SAVE_SECONDS)
            self._peers.save()
