"""The first start of a node that begins with a snapshot instead of with genesis.

Invariant: the database gets its name when it is whole and on disk; whenever the machine stops
before, the next start goes on with what was fetched and proven.
"""

import logging
import os
import shutil
from pathlib import Path

import trio

from chain.handover import Checkpoint, NotBoundary, TableChain
from chain.snapshot_download import SnapshotDownload
from chain.store import Store
from chain.store_schema import FinalizedBlock, Head
from chain.store_writes import SnapshotStart
from genesis.spec import ChainSpec
from node.progress import ProgressView
from node.snapshot_sync import SnapshotSync
from p2p.network import Config, Network
from primitives.errors import ConfigError, DecodeError
from primitives.types import Digest

_log = logging.getLogger(__name__)


class WrongCheckpoint(ConfigError):
    """The checkpoint is no epoch's last block; the message says which heights are."""


def table_chain(spec: ChainSpec, genesis: Digest, trusted: Checkpoint | None) -> TableChain:
    """Return the power tables of a chain, at genesis. Raises: WrongCheckpoint."""
    length = spec.runtime.session.epoch_length
    try:
        return TableChain(genesis, spec.power_table(), length, trusted)
    except NotBoundary as error:
        raise WrongCheckpoint(
            f"epochs have {length} blocks, so a checkpoint's height is a multiple of {length}"
        ) from error


async def start_from_snapshot(
    folder: Path,
    database: Path,
    config: Config,
    *,
    tables: TableChain,
    genesis: FinalizedBlock,
    chain_spec: bytes,
    keep_blocks: int,
    view: ProgressView,
) -> None:
    """Fetch a snapshot into ``folder`` and make ``database`` of it, if any peer has one.

    Raises: ConfigError, StoreError.
    """
    download = SnapshotDownload(folder, tables)
    while await _fetch(config, download, view):
        head = Head(download.header.height, download.header.hash, download.header.state_root)
        start = SnapshotStart(
            head, download.handovers(), download.entries(), chain_spec, keep_blocks
        )
        try:
            await trio.to_thread.run_sync(_make_database, database, genesis, start)
        except (DecodeError, OSError) as error:
            _log.warning("event=snapshot_damaged reason=%r", str(error))
            continue
        _log.info("height=%d event=snapshot_taken", head.height)
        break
    download.remove()


async def _fetch(config: Config, download: SnapshotDownload, view: ProgressView) -> bool:
    """Be on the network until the snapshot is here; return False if nobody has one."""
    sync = SnapshotSync(download, view)
    network = Network(config, sync)
    sync.attach(network)
    async with trio.open_nursery() as nursery:
        await nursery.start(network.run)
        _log.info("event=snapshot_wanted peer=%s", network.peer)
        is_here = await sync.run()
        nursery.cancel_scope.cancel()
    view.hide()
    return is_here


def _make_database(path: Path, genesis: FinalizedBlock, start: SnapshotStart) -> None:
    """Make the database under another name, then give it its own."""
    making = path.with_name(path.name + ".making")
    shutil.rmtree(making, ignore_errors=True)
    Store.create_from_snapshot(making, genesis, start).close()
    making.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
