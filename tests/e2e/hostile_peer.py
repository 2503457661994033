"""A peer with a valid identity and bad intentions, against a node in a process of its own."""

import secrets
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.stream_muxer.yamux.yamux import FLAG_SYN, TYPE_WINDOW_UPDATE, YAMUX_HEADER_FORMAT

from consensus.simplex.messages import CERTIFICATE, Certificate, Finalize, Request, encode_message
from node.node_network import REQUESTS
from node.wire import RANGE_REQUEST, RangeRequest, encode_extrinsics
from p2p.channels import VOTE
from p2p.faults import ConnectionLost
from p2p.frames import encode_frame
from p2p.host import HandshakeLimits, Host
from p2p.identity import Address, PeerId, peer_id_of_seed
from p2p.libp2p_fixes.link import Link, NegotiationFailed, Stream
from p2p.session import Protocols
from primitives.block import signing_prefix
from primitives.codec import Plain
from primitives.crypto import KeyPair
from primitives.types import Digest, Height, SpecVersion, View
from tests.chain.small_chains import sign
from tests.p2p.nodes import Links

FLOOD = 20_000
BATCH = 1000


@dataclass
class HostilePeer:
    """One connection to the victim, with both channels open."""

    peer: PeerId
    link: Link
    streams: dict[str, Stream]
    protocols: Protocols
    genesis: Digest
    spec_version: SpecVersion
    finalization: Certificate
    """Of some block that is long final."""

    async def send(self, channel: str, *frames: bytes) -> None:
        await self.streams[channel].write(b"".join(encode_frame(frame) for frame in frames))

    # Attacks, by what they do. Each ends when it is done or has been thrown out.

    async def send_garbage(self) -> None:
        for _ in range(100):
            await self.send("vote", secrets.token_bytes(200))

    async def send_garbage_in_bulk(self) -> None:
        for _ in range(100):
            await self.send("bulk", b"\x92\x02" + secrets.token_bytes(50_000))

    async def announce_a_huge_length(self) -> None:
        await self.streams["vote"].write((VOTE.frame_bytes_max + 1).to_bytes(4, "big"))

    async def open_thousands_of_streams(self) -> None:
        for number in range(5000):
            head = (0, TYPE_WINDOW_UPDATE, FLAG_SYN, 10_001 + 2 * number, 0)
            await self.link.muxed._write_frame(struct.pack(YAMUX_HEADER_FORMAT, *head))

    async def leave_requests_half_open(self) -> None:
        protocol = self.protocols.of_request("blocks")[0]
        for _ in range(200):
            stream = await self.link.open_stream(protocol)
            await stream.write(b"\0\0")

    async def ask_for_blocks_without_end(self) -> None:
        protocol = self.protocols.of_request("blocks")[0]
        while True:
            stream = await self.link.open_stream(protocol)
            await stream.write(encode_frame(RANGE_REQUEST.encode(RangeRequest(Height(1), 64))))
            await stream.finish()
            while await stream.read(1 << 16):
                pass
            await stream.close()

    async def replay_old_votes(self) -> None:
        certificate = self.finalization
        assert certificate.block is not None
        votes = [
            encode_message(
                Finalize(certificate.epoch, certificate.view, certificate.block, place, signature)
            )
            for place, signature in zip(
                certificate.positions(), certificate.signatures, strict=True
            )
        ]
        for _ in range(FLOOD // BATCH):
            await self.send("vote", *(votes * (BATCH // len(votes))))

    async def flood_with_questions(self) -> None:
        epoch = self.finalization.epoch
        question = encode_message(Request(epoch, View(1), View(30)))
        for _ in range(FLOOD // BATCH):
            await self.send("vote", *([question] * BATCH))

    async def flood_with_extrinsics_that_nobody_pays(self) -> None:
        prefix = signing_prefix(self.genesis, self.spec_version)
        call: Plain = ["balances.transfer", bytes(32), 1]
        for _ in range(FLOOD // BATCH):
            pair = KeyPair(secrets.token_bytes(32))
            items = [sign(prefix, pair, nonce, call) for nonce in range(BATCH)]
            await self.send("bulk", encode_extrinsics(items))

    async def send_extrinsics_that_nobody_signed(self) -> None:
        prefix = signing_prefix(Digest(bytes(32)), self.spec_version)
        pair = KeyPair(secrets.token_bytes(32))
        items = [sign(prefix, pair, nonce, ["balances.transfer", bytes(32), 1]) for nonce in (0, 1)]
        await self.send("bulk", encode_extrinsics(items))

    async def say_and_read_nothing(self) -> None:
        await trio.sleep(12)

    async def wait_thrown_out(self) -> None:
        """Wait until the victim has closed the connection."""
        with suppress(BaseLibp2pError, ConnectionLost):
            while True:
                await self.send("vote")
                await self.streams["vote"].write(b"\0\0\0\0")
                await trio.sleep(0.1)


Attack = Callable[[HostilePeer], Awaitable[None]]


@asynccontextmanager
async def hostile_peer(
    victim: tuple[PeerId, Address],
    genesis: Digest,
    spec_version: SpecVersion,
    finalization: bytes,
) -> AsyncIterator[HostilePeer]:
    """Connect to the victim under an identity that it has never met."""
    seed = secrets.token_bytes(32)
    protocols = Protocols.of_chain(genesis, REQUESTS)
    host = Host(
        seed=seed,
        protocols=protocols.names,
        serve=_ignore,
        is_allowed=lambda _peer, _is_open: True,
        limits=HandshakeLimits(),
    )
    peer, address = victim
    async with host.run((), Links().take):
        link, _ = await host.dial(peer, (address,))
        channel = {name: protocol for protocol, name in protocols.channels.items()}
        streams = {name: await link.open_stream(channel[name]) for name in ("vote", "bulk")}
        own = peer_id_of_seed(seed)
        certificate = CERTIFICATE.decode(finalization)
        try:
            yield HostilePeer(own, link, streams, protocols, genesis, spec_version, certificate)
        finally:
            link.abort("test over")


async def carry_out(attacker: HostilePeer, attack: Attack) -> None:
    """Do it, until it is done or the victim has had enough."""
    with suppress(BaseLibp2pError, ConnectionLost, NegotiationFailed):
        await attack(attacker)


async def _ignore(_muxed: object, _protocol: str, stream: Stream) -> None:
    await trio.sleep_forever()
