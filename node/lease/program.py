"""The provider's lease service as a program: its key, its network, its word on chain."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio
from trio_typing import TaskStatus

from node.client.endpoint import Endpoint
from node.client.errors import CallRefused, ConnectionLost, NodeUnreachable
from node.client.node_client import NodeClient
from node.lease.chain import JobChain
from node.lease.defender import Defender, LoadJob, Post, load_job
from node.lease.job_store import Quota
from node.lease.lease_book import LiveLease
from node.lease.messages import LEASE_REQUEST
from node.lease.processes import Command
from node.lease.service import LeaseService, ServiceConfig
from node.provider.sender import CALL_SECONDS, NotSent, Sender
from p2p.host import Listen
from p2p.identity import Address
from p2p.network import Config as NetworkConfig
from p2p.network import Network
from p2p.peers import PeerLimits
from primitives.codec import Plain
from primitives.crypto import SEED_BYTES, KeyPair
from primitives.errors import ConfigError
from primitives.types import AccountId, Digest, Height

log = logging.getLogger(__name__)

T = TypeVar("T")
KEY_FILE = "service.key"
ANNOUNCE_BLOCKS = 30
PAUSE_SECONDS = 3.0
"""Until the node is asked again."""
CLIENTS_MAX = 64
CLIENTS_PER_ADDRESS_MAX = 16


class KeyFileUnusable(ConfigError):
    """The service's key cannot be read or written."""


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What the operator chose."""

    folder: Path
    listen: Address
    announce: tuple[Address, ...] = ()
    """What clients are told; empty: where the service listens."""
    commands: Mapping[str, Command] = field(default_factory=dict)
    quota: Quota = field(default_factory=Quota)
    job_seconds_max: float = 600.0
    memory_bytes_max: int = 8 << 30
    worker_module: str = "node.lease.worker"
    load: LoadJob = load_job


class ChainBook:
    """The ``LeaseBook`` of a node that is asked over RPC."""

    def __init__(self, chain: JobChain, account: AccountId, genesis: Digest) -> None:
        self._chain, self._account, self._genesis = chain, account, genesis
        self._turn = trio.Lock()

    @property
    def genesis(self) -> Digest:
        return self._genesis

    @property
    def provider(self) -> AccountId:
        return self._account

    async def height(self) -> Height:
        """Return the chain's height."""
        return await self._ask(self._chain.height)

    async def find(self, lease_id: int) -> LiveLease | None:
        """Return the lease if it lives and this provider serves a share of it."""
        lease = await self._ask(partial(self._chain.lease, lease_id))
        if lease is None or lease.share_of(self._account) is None:
            return None
        return LiveLease(lease_id, lease.client, lease.key, lease.ends)

    async def _ask(self, question: Callable[[], T]) -> T:
        async with self._turn:
            answer: T = await trio.to_thread.run_sync(question)
            return answer


async def serve_leases(
    endpoint: Endpoint,
    pair: KeyPair,
    settings: ServeSettings,
    task_status: TaskStatus[tuple[Address, ...]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the leases of an account until cancelled; started when it is announced on chain.

    A node that is away is waited for. Raises: ConfigError, CallRefused, BadAnswer.
    """
    key = load_service_key(settings.folder)
    post = Sender(endpoint, pair)
    with NodeClient(endpoint, CALL_SECONDS) as one, NodeClient(endpoint, CALL_SECONDS) as other:
        chain = JobChain(one)
        genesis = await until_reachable(lambda: one.genesis_hash)
        rules = await until_reachable(lambda: chain.rules)
        config = ServiceConfig(
            folder=settings.folder / "jobs",
            retention_blocks=rules.retention_blocks,
            commands=settings.commands,
            quota=settings.quota,
            job_seconds_max=settings.job_seconds_max,
            memory_bytes_max=settings.memory_bytes_max,
            worker_module=settings.worker_module,
        )
        service = LeaseService(config, ChainBook(chain, post.account, genesis), key)
        network = Network(network_config(key.seed, genesis, settings), service)
        service.attach(network)
        async with trio.open_nursery() as nursery:
            await nursery.start(network.run)
            await nursery.start(service.run)
            told = JobChain(other)
            addresses = settings.announce or network.addresses
            await announce(told, post, key, addresses)
            nursery.start_soon(Defender(told, service.store, post, settings.load).run)
            log.info("event=leases_served peer=%s addresses=%r", network.peer, addresses)
            task_status.started(addresses)


async def announce(
    chain: JobChain, post: Post, key: KeyPair, addresses: tuple[Address, ...]
) -> None:
    """Say on chain where the service is, until the chain says so."""
    call: Plain = ["jobs.announce", key.public, list(addresses)]
    while True:
        try:
            service = await trio.to_thread.run_sync(chain.service, post.account)
            if service is not None and (service.key, service.addresses) == (key.public, addresses):
                return
            height = await trio.to_thread.run_sync(chain.height)
            await post.send(call, Height(height + ANNOUNCE_BLOCKS), raise_tip=0, tip_max=0)
        except (NotSent, NodeUnreachable, ConnectionLost, CallRefused) as trouble:
            log.warning("event=leases_not_announced reason=%r", str(trouble))
            await trio.sleep(PAUSE_SECONDS)


async def until_reachable(question: Callable[[], T]) -> T:
    """Return what the node answers, waiting for as long as there is none."""
    while True:
        try:
            answer: T = await trio.to_thread.run_sync(question)
            return answer
        except (NodeUnreachable, ConnectionLost) as trouble:
            log.warning("event=node_not_reached reason=%r", str(trouble))
            await trio.sleep(PAUSE_SECONDS)


def network_config(seed: bytes, genesis: Digest, settings: ServeSettings) -> NetworkConfig:
    """Return the network of a service: it dials nobody, and takes clients in."""
    return NetworkConfig(
        seed=seed,
        genesis=genesis,
        folder=settings.folder / "p2p",
        listen=(Listen(settings.listen),),
        announce=settings.announce,
        requests=(LEASE_REQUEST,),
        peer_limits=PeerLimits(
            outbound_wanted=0,
            inbound_max=CLIENTS_MAX,
            inbound_per_address_max=CLIENTS_PER_ADDRESS_MAX,
        ),
    )


def load_service_key(folder: Path) -> KeyPair:
    """Return the service's key, made when it is first needed. Raises: KeyFileUnusable."""
    file = folder / KEY_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as new:
                new.write(os.urandom(SEED_BYTES).hex() + "\n")
        return KeyPair(bytes.fromhex(file.read_text("utf-8").strip()))
    except (OSError, ValueError) as error:
        raise KeyFileUnusable(f"{file}: {error}") from error
