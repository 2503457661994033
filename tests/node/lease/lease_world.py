"""A provider's service and a client on one memory network."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import trio

from node.lease.client import ClientHandler, LeaseAccess, LeaseClient
from node.lease.lease_book import LiveLease
from node.lease.messages import LEASE_REQUEST
from node.lease.service import LeaseService, ServiceConfig
from p2p.identity import peer_id_of_key, peer_id_of_seed
from p2p.memory import MemoryHub, MemoryNetwork
from primitives.crypto import KeyPair
from primitives.types import AccountId, Digest, Height

GENESIS = Digest(bytes([0xCC]) * 32)
CLIENT, PROVIDER = AccountId(bytes([1]) * 32), AccountId(bytes([3]) * 32)
SERVICE_KEY, LEASE_KEY = KeyPair(bytes([7]) * 32), KeyPair(bytes([8]) * 32)
CLIENT_PEER = peer_id_of_seed(bytes([9]) * 32)
LEASE = 5
HEIGHT = Height(100)


class FakeBook:
    """A chain on which one lease lives."""

    def __init__(self) -> None:
        self.leases = {LEASE: LiveLease(LEASE, CLIENT, LEASE_KEY.public, Height(10**6))}
        self.now = HEIGHT

    @property
    def genesis(self) -> Digest:
        return GENESIS

    @property
    def provider(self) -> AccountId:
        return PROVIDER

    async def height(self) -> Height:
        return self.now

    async def find(self, lease_id: int) -> LiveLease | None:
        return self.leases.get(lease_id)


class LeaseWorld:
    def __init__(self, folder: Path, **changes: Any) -> None:
        self.hub = MemoryHub(Random(7), 0.0)
        self.book = FakeBook()
        settings: dict[str, Any] = {"folder": folder, "retention_blocks": 10, **changes}
        self.service = LeaseService(ServiceConfig(**settings), self.book, SERVICE_KEY)
        self.server = peer_id_of_key(SERVICE_KEY.public)
        self.handler = ClientHandler(self.server)
        requests = (LEASE_REQUEST,)
        self.server_network = MemoryNetwork(self.hub, self.server, self.service, requests)
        self.client_network = MemoryNetwork(self.hub, CLIENT_PEER, self.handler, requests)
        self.service.attach(self.server_network)

    def client(
        self, key: KeyPair = LEASE_KEY, lease_id: int = LEASE, provider: AccountId = PROVIDER
    ) -> LeaseClient:
        access = LeaseAccess(GENESIS, lease_id, provider, key)
        return LeaseClient(self.client_network, self.server, access)


@asynccontextmanager
async def lease_world(folder: Path, **changes: Any) -> AsyncIterator[LeaseWorld]:
    made = LeaseWorld(folder, **changes)
    async with trio.open_nursery() as nursery:
        await nursery.start(made.server_network.run)
        await nursery.start(made.client_network.run)
        await nursery.start(made.service.run)
        await made.handler.connected.wait()
        yield made
        nursery.cancel_scope.cancel()


def ignore(what: str, done: int, total: int) -> None:
    """Take no interest in the progress."""
