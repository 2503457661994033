"""A client's job from one end to the other: find the provider, run, check, and go to the chain."""

import os
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from node.lease.chain import JobChain
from node.lease.client import (
    ClientHandler,
    LeaseAccess,
    LeaseClient,
)
from node.lease.messages import LEASE_REQUEST
from p2p.identity import Address, PeerId, parse_address, peer_id_of_key
from p2p.network import Config as NetworkConfig
from p2p.network import Network
from p2p.peers import PeerLimits
from primitives.crypto import SEED_BYTES
from primitives.errors import DecodeError, LoopinError
from primitives.types import AccountId, Height

CONNECT_SECONDS = 20.0


class NoSuchLease(LoopinError):
    """The lease is over, or there never was one of this number."""


class NotServed(LoopinError):
    """None of the lease's providers says on chain where it can be reached."""


class NotReached(LoopinError):
    """The provider did not answer at any of its addresses."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a lease is served."""

    provider: AccountId
    peer: PeerId
    addresses: tuple[Address, ...]


def find_place(chain: JobChain, lease_id: int, wanted: AccountId | None) -> Place:
    """Return where the lease is served, by ``wanted`` if given. Raises: NoSuchLease, NotServed."""
    lease = chain.lease(lease_id)
    if lease is None:
        raise NoSuchLease(f"lease {lease_id}: it is over, or there is none of this number")
    for share in lease.shares:
        if wanted not in (None, share.provider):
            continue
        service = chain.service(share.provider)
        if service is not None and service.key is not None:
            peer = peer_id_of_key(service.key)
            return Place(share.provider, peer, _dialable(service.addresses))
    raise NotServed(f"no provider of lease {lease_id} says on chain where it serves")


@asynccontextmanager
async def connected(access: LeaseAccess, place: Place) -> AsyncIterator[LeaseClient]:
    """Give the lease's client, connected and let in. Raises: NotReached, and as ``open``."""
    handler = ClientHandler(place.peer)
    with tempfile.TemporaryDirectory(prefix="loopin-client-") as folder:
        config = NetworkConfig(
            seed=os.urandom(SEED_BYTES),
            genesis=access.genesis,
            folder=Path(folder),
            listen=(),
            boot=tuple((place.peer, address) for address in place.addresses),
            requests=(LEASE_REQUEST,),
            peer_limits=PeerLimits(outbound_wanted=1),
        )
        network = Network(config, handler)
        async with trio.open_nursery() as nursery:
            await nursery.start(network.run)
            with trio.move_on_after(CONNECT_SECONDS):
                await handler.connected.wait()
            if not handler.connected.is_set():
                where = ", ".join(place.addresses) or "no address"
                raise NotReached(f"the provider's service does not answer: {place.peer} at {where}")
            client = LeaseClient(network, place.peer, access)
            await client.open()
            yield client
            nursery.cancel_scope.cancel()


def oldest_height(chain: JobChain) -> Height:
    """Return the oldest height that a result may name and still leave time for a dispute."""
    return Height(max(0, chain.height() - chain.rules.dispute_blocks // 2))


def sample(count: int, rows: int) -> list[int]:
    """Return ``count`` of the places of ``rows`` rows, or all of them, at random."""
    return sorted(secrets.SystemRandom().sample(range(rows), min(count, rows)))


def _dialable(texts: tuple[str, ...]) -> tuple[Address, ...]:
    """Return the addresses that this program can dial; a provider may announce anything."""
    found: list[Address] = []
    for text in texts:
        try:
            found.append(parse_address(text))
        except DecodeError:
            continue
    return tuple(found)
