"""A whole node: its parts, put together and run until it is told to stop.

Invariants: parts are started after what they need and end before it; a failure of any part that
is our own bug stops the node, with its reason in the log.
"""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

import trio
from trio_typing import TaskStatus

from chain.blockchain import Blockchain, Finalized
from chain.handover import TableChain
from chain.mempool import Mempool
from chain.snapshot_folder import SnapshotFolder
from chain.store import Store
from consensus.simplex.config import Timing
from genesis.build import Genesis, build_genesis
from genesis.spec import ChainSpec
from node.block_exchange import BlockExchange
from node.chain_database import genesis_record, open_store
from node.chain_service import ChainService
from node.collector import collect_now_and_then, settle
from node.config import NetworkConfig, NodeConfig, SyncWay
from node.consensus_driver import ConsensusDriver, Settings
from node.consensus_network import Network as DriverNetwork
from node.consensus_network import NoNetwork
from node.data_folder import DataFolder
from node.evidence import EvidenceFile
from node.evidence_reports import EvidenceReports
from node.extrinsic_intake import ExtrinsicIntake, FinalizedJudge
from node.extrinsic_relay import ExtrinsicRelay
from node.extrinsic_watch import ExtrinsicWatch
from node.invariants import SizeWatch, checked_entries_max
from node.journal_file import JournalFile
from node.keystore import Keystore, Role
from node.metrics import Metrics, Sources
from node.node_network import REQUESTS, NodeNetwork
from node.node_network import Parts as NetworkParts
from node.progress import NoView, ProgressView
from node.proof_preparation import ProofPreparation
from node.provider.supervisor import Supervisor
from node.rpc.assembly import build_server
from node.rpc.backend import PeerInfo, SyncState
from node.rpc_backend import Parts as BackendParts
from node.rpc_backend import Peers, RpcBackend
from node.signatures import open_signature_checker
from node.snapshot_start import start_from_snapshot, table_chain
from node.snapshots import Snapshots
from node.sync import Progress, Sync
from node.voters import KeystoreVoters, require_keys
from node.wire import SNAPSHOTS_KEPT
from p2p.host import Listen
from p2p.identity import Address, PeerId, parse_peer_address
from p2p.network import Config as P2pConfig
from p2p.network import Network
from primitives.errors import ConfigError
from primitives.power_table import PowerTable
from primitives.types import Millis
from runtime.pocps.exactness import require_exact_products

RETRY_DELAY = Millis(500)
RETRY_DELAY_MAX = Millis(8000)
LISTENING = Millis(3000)
SWITCH_INTERVAL = 0.001
"""Seconds after which a thread that writes gives the interpreter back to the event loop."""

_log = logging.getLogger(__name__)


class PortInUse(ConfigError):
    """The RPC port is taken: stop what uses it, or choose another with ``--rpc-port``."""


class NothingToSyncFrom(ConfigError):
    """The settings contradict each other; the message says which to change."""


class NoPeers:
    """The network of a node that runs alone."""

    def peers(self) -> Sequence[PeerInfo]:
        return ()

    def local_peer_id(self) -> str:
        return ""

    def listen_addresses(self) -> Sequence[str]:
        return ()

    def sync_state(self) -> SyncState | None:
        return None


def wall_clock() -> Millis:
    """Return the time since 1970."""
    return Millis(time.time_ns() // 1_000_000)


def timing_of(spec: ChainSpec) -> Timing:
    """Return the machine's delays under a chain spec."""
    return Timing(
        leader=spec.consensus.leader_timeout,
        advance=spec.consensus.advance_timeout,
        retry=RETRY_DELAY,
        delay_max=RETRY_DELAY_MAX,
    )


@dataclass(frozen=True, slots=True)
class Core:
    """The parts that every node has."""

    config: NodeConfig
    spec: ChainSpec
    genesis: Genesis
    folder: DataFolder
    keystore: Keystore
    journal: JournalFile
    evidence: EvidenceFile
    voters: KeystoreVoters | None
    """None for a node that only follows."""
    service: ChainService
    mempool: Mempool
    intake: ExtrinsicIntake
    watch: ExtrinsicWatch


async def run_node(
    config: NodeConfig,
    spec: ChainSpec,
    task_status: TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    *,
    view: ProgressView | None = None,
) -> None:
    """Run a node until it is cancelled; the task status tells the RPC's port once all is up.

    Raises: ConfigError, StoreError.
    """
    require_exact_products()
    view = view or NoView()
    folder = DataFolder(config.base_path, spec.id)
    genesis = build_genesis(spec)
    version = spec.runtime.system.spec_version
    async with AsyncExitStack() as stack:
        stack.enter_context(folder.locked())
        tables = table_chain(spec, genesis.hash, config.checkpoint)
        if config.sync is SyncWay.SNAPSHOT and not folder.database.exists():
            await _start_from_snapshot(config, spec, genesis, folder, tables, view)
        store = open_store(folder.database, spec, genesis, config.keep_blocks)
        stack.enter_context(store)
        journal = stack.enter_context(JournalFile(folder.journal))
        checker = await stack.enter_async_context(
            open_signature_checker(genesis.hash, version, config.signature_workers)
        )
        keystore = Keystore(folder.keystore)
        if config.is_validator:
            require_keys(keystore)
        chain = _open_chain(store, config, spec)
        watch = ExtrinsicWatch()
        mempool = Mempool(FinalizedJudge(chain), config.mempool, watch.on_change)
        intake = ExtrinsicIntake(mempool, checker)
        core = Core(
            config=config,
            spec=spec,
            genesis=genesis,
            folder=folder,
            keystore=keystore,
            journal=journal,
            evidence=EvidenceFile(folder.evidence),
            voters=KeystoreVoters(keystore) if config.is_validator else None,
            service=ChainService(chain, mempool, intake),
            mempool=mempool,
            intake=intake,
            watch=watch,
        )
        await _run_core(core, task_status, view)


def _open_chain(store: Store, config: NodeConfig, spec: ChainSpec) -> Blockchain:
    return Blockchain(
        store,
        config=spec.runtime,
        interval=spec.consensus.block_interval,
        checked_entries_max=checked_entries_max(spec, config.check_invariants),
    )


async def _start_from_snapshot(
    config: NodeConfig,
    spec: ChainSpec,
    genesis: Genesis,
    folder: DataFolder,
    tables: TableChain,
    view: ProgressView,
) -> None:
    if config.network is None:
        raise NothingToSyncFrom("--sync snapshot wants peers, and this node makes its chain alone")
    if config.keep_blocks is None:
        raise NothingToSyncFrom("an archive has every block: let it --sync full")
    await start_from_snapshot(
        folder.download,
        folder.database,
        _p2p_config(config.network, spec, genesis, folder, Keystore(folder.keystore)),
        tables=tables,
        genesis=genesis_record(genesis),
        chain_spec=spec.to_json().encode(),
        keep_blocks=config.keep_blocks,
        view=view,
    )


async def _run_core(core: Core, task_status: TaskStatus[int], view: ProgressView) -> None:
    service, chain = core.service, core.service.chain
    service.on_new_best.append(core.watch.on_new_best)
    reports = EvidenceReports(core.evidence, chain)
    service.find_evidence = reports.find
    proofs = ProofPreparation(chain)
    service.on_final += [core.watch.on_final, reports.on_final, SizeWatch(chain).on_final]
    network: Network | None = None
    node_network: NodeNetwork | None = None
    if core.config.network is not None:
        network, node_network, driver = _networked(core, core.config.network, view)
    else:
        driver = _driver(core, NoNetwork())
    peers: Peers = node_network or NoPeers()

    def log_final(finalized: Finalized) -> None:
        # Who catches up has its rate in the log instead.
        if peers.sync_state() is None:
            _log_final(finalized)

    service.on_final += [proofs.on_final, log_final]
    backend = _backend(core, peers)
    metrics = _metrics(core, driver, network, peers)
    sys.setswitchinterval(SWITCH_INTERVAL)
    settle()
    async with AsyncExitStack() as stack:
        if core.config.metrics is not None:
            stack.enter_context(metrics.served(core.config.metrics.host, core.config.metrics.port))
        nursery = await stack.enter_async_context(trio.open_nursery())
        port = await _serve_rpc(nursery, core.config, backend)
        await service.restore()
        if network is not None and node_network is not None:
            await nursery.start(network.run)
            nursery.start_soon(node_network.run)
            _log.info(
                "event=listening peer=%s addresses=%s", network.peer, ",".join(network.addresses)
            )
        for task in (driver.run, collect_now_and_then, metrics.run, proofs.run):
            nursery.start_soon(task)
        _start_provider(nursery, core.config, metrics, port)
        _log.info(
            "height=%d event=started chain=%s genesis=0x%s name=%s validator=%s rpc=%s",
            chain.final.height,
            core.spec.id,
            core.genesis.hash.hex(),
            core.config.name,
            core.voters is not None,
            port,
        )
        task_status.started(port)


def _start_provider(
    nursery: trio.Nursery, config: NodeConfig, metrics: Metrics, rpc_port: int
) -> None:
    """Have the node's provider prove over the node's own RPC, if there is one."""
    if config.provider is None:
        return
    supervisor = Supervisor(config.provider)
    metrics.provider = supervisor
    # A server that listens everywhere is reached here like any other.
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.rpc.host, config.rpc.host)  # noqa: S104
    nursery.start_soon(supervisor.run, f"http://{host}:{rpc_port}")


def _backend(core: Core, peers: Peers) -> RpcBackend:
    return RpcBackend(
        BackendParts(
            genesis_hash=core.genesis.hash,
            spec=core.spec,
            is_validator=core.voters is not None,
            service=core.service,
            mempool=core.mempool,
            intake=core.intake,
            watch=core.watch,
            keystore=core.keystore,
            evidence=core.evidence,
            peers=peers,
        )
    )


def _metrics(
    core: Core,
    driver: ConsensusDriver,
    network: Network | None,
    peers: Peers,
) -> Metrics:
    return Metrics(
        Sources(
            chain_name=core.spec.id,
            node_name=core.config.name,
            service=core.service,
            mempool=core.mempool,
            driver=driver,
            network=network,
            evidence=core.evidence,
            sync_state=peers.sync_state,
        )
    )


def _driver(
    core: Core,
    network: DriverNetwork,
    on_table: Callable[[PowerTable], None] = lambda _: None,
) -> ConsensusDriver:
    settings = Settings(
        genesis=core.genesis.hash,
        timing=timing_of(core.spec),
        clock_drift_max=core.spec.consensus.clock_drift_max,
        wall_clock=wall_clock,
        listening=LISTENING,
    )
    return ConsensusDriver(
        core.service,
        core.journal,
        settings,
        network=network,
        voters=core.voters,
        on_evidence=core.evidence.add,
        on_table=on_table,
    )


def _p2p_config(
    config: NetworkConfig,
    spec: ChainSpec,
    genesis: Genesis,
    folder: DataFolder,
    keystore: Keystore,
) -> P2pConfig:
    return P2pConfig(
        seed=keystore.only(Role.PEER).seed,
        genesis=genesis.hash,
        folder=folder.network,
        listen=tuple(Listen(address) for address in config.listen),
        announce=config.announce,
        boot=_boot(config, spec),
        requests=REQUESTS,
    )


def _boot(config: NetworkConfig, spec: ChainSpec) -> tuple[tuple[PeerId, Address], ...]:
    return (*config.boot_nodes, *(parse_peer_address(text) for text in spec.boot_nodes))


def _networked(
    core: Core, config: NetworkConfig, view: ProgressView
) -> tuple[Network, NodeNetwork, ConsensusDriver]:
    """Return the parts of a node that has peers."""
    addresses: dict[PeerId, tuple[Address, ...]] = {}
    for peer, address in _boot(config, core.spec):
        addresses[peer] = (*addresses.get(peer, ()), address)
    node_network = NodeNetwork(service=core.service, mempool=core.mempool, intake=core.intake)
    network = Network(
        _p2p_config(config, core.spec, core.genesis, core.folder, core.keystore), node_network
    )
    driver = _driver(core, node_network, node_network.on_table)
    relay = ExtrinsicRelay(network, core.mempool.entries)
    core.intake.on_accepted = relay.on_accepted
    # Spreads requests over peers; nobody gains from guessing it.
    random = Random()  # noqa: S311
    sync = Sync(
        core.service, network, core.genesis.hash, driver.offer, checkpoint=core.config.checkpoint
    )
    sync.on_progress = lambda progress: _show(view, progress)
    snapshots = Snapshots(
        core.service.chain.store,
        SnapshotFolder(core.folder.snapshots, SNAPSHOTS_KEPT),
        core.spec.runtime.session.epoch_length,
        is_syncing=lambda: sync.progress is not None,
    )
    core.service.on_final.append(snapshots.on_final)
    node_network.attach(
        NetworkParts(
            network=network,
            driver=driver,
            exchange=BlockExchange(core.service.chain, core.mempool, network, random),
            relay=relay,
            sync=sync,
            snapshots=snapshots,
            addresses=addresses,
        )
    )
    return network, node_network, driver


async def _serve_rpc(nursery: trio.Nursery, config: NodeConfig, backend: RpcBackend) -> int:
    """Open the RPC's port and start serving it; return the port. Raises: PortInUse."""
    rpc = config.rpc
    try:
        listeners = await trio.open_tcp_listeners(rpc.port, host=rpc.host)
    except OSError as error:
        raise PortInUse(f"{rpc.host}:{rpc.port}: {error.strerror or error}") from error
    server = build_server(backend, rpc.access, rpc.limits)
    nursery.start_soon(server.serve, listeners)
    port: int = listeners[0].socket.getsockname()[1]
    return port


def _show(view: ProgressView, progress: Progress | None) -> None:
    if progress is None:
        view.hide()
        return
    what = f"blocks, {progress.blocks_per_second:.0f}/s"
    view.show(what, progress.current, progress.highest)


def _log_final(finalized: Finalized) -> None:
    header = finalized.header
    _log.info(
        "height=%d view=%d event=final block=0x%s extrinsics=%d",
        header.height,
        header.view,
        finalized.hash.hex(),
        len(finalized.extrinsic_hashes),
    )
