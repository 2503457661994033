"""``loopin node``: run a node."""

import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import trio

from genesis.presets import CPU_CLASS, DEV_NAMES, DEV_UNITS, dev_session_seeds
from genesis.spec import ChainSpec
from node.allocator import share_one_arena
from node.cli.chain_verify import parse_checkpoint
from node.cli.failures import only_reason
from node.cli.logs import DEFAULT_BASE_PATH, configure_logs
from node.cli.provider_options import key_words, provider_options
from node.cli.specs import find_spec
from node.cli.sync_bar import find_view
from node.config import (
    DEFAULT_KEEP_BLOCKS,
    DEFAULT_PORT,
    DEFAULT_PROMETHEUS_PORT,
    DEFAULT_RPC_PORT,
    MetricsConfig,
    NetworkConfig,
    NodeConfig,
    RpcConfig,
    SyncWay,
)
from node.data_folder import DataFolder
from node.invariants import find_broken
from node.keystore import Keystore, Role
from node.provider.supervisor import ProviderConfig
from node.rpc.transport.access import LOCAL_ORIGINS, Access, MethodPolicy
from node.service import run_node
from p2p.identity import format_address, parse_address, parse_peer_address
from primitives.errors import ConfigError, DecodeError

EXIT_BROKEN = 5


@dataclass(frozen=True, slots=True)
class Options:
    """What was given on the command line; the names are those of the options."""

    dev: bool
    dev_name: str | None
    tmp: bool
    chain: str | None
    base_path: Path | None
    name: str
    validator: bool
    provider: bool
    provider_key: str | None
    provider_key_file: Path | None
    provider_password_file: Path | None
    provider_class: tuple[int, ...]
    provider_units: int | None
    port: int
    listen_host: str
    public_addr: tuple[str, ...]
    bootnodes: tuple[str, ...]
    prometheus_port: int
    prometheus_host: str
    no_prometheus: bool
    rpc_host: str
    rpc_port: int
    rpc_methods: str
    rpc_cors: str | None
    pruning: str
    sync: str
    checkpoint: str | None
    signature_workers: int | None
    check_invariants: bool | None
    stop_with_stdin: bool
    log: str

    @property
    def voter(self) -> str | None:
        """The development account that validates, if one does."""
        return self.dev_name or ("alice" if self.dev else None)

    @property
    def is_scratch(self) -> bool:
        """Whether the data is thrown away: as with Substrate, a development chain's is."""
        return self.tmp or (self.dev and self.base_path is None)


@click.command(epilog="Example: loopin node --dev")
@click.option("--dev", is_flag=True, help="A chain of one validator, //Alice, for development.")
@click.option("--tmp", is_flag=True, help="Keep everything in a folder that is deleted at the end.")
@click.option(
    "--as",
    "dev_name",
    type=click.Choice([name.lower() for name in DEV_NAMES]),
    help="Validate with this development account's keys, which everybody knows.",
)
@click.option("--chain", metavar="FILE|dev|local", help="Chain spec file, or the name of a preset.")
@click.option(
    "--base-path",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder of the data; default {DEFAULT_BASE_PATH}, with --dev a scratch folder.",
)
@click.option("--name", default="loopin", show_default=True, help="Name that others are told.")
@click.option("--validator", is_flag=True, help="Vote, with the keys in the keystore.")
@provider_options
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port at which peers find this node; 0 lets the system choose.",
)
@click.option("--listen-host", default="0.0.0.0", show_default=True, help="Address of that port.")  # noqa: S104 - peers come from elsewhere
@click.option(
    "--public-addr",
    multiple=True,
    metavar="MULTIADDR",
    help="Where peers find this node, if that is not where it listens; may be repeated.",
)
@click.option(
    "--bootnodes",
    multiple=True,
    metavar="MULTIADDR",
    help="First peers, beside those of the chain spec: /ip4/…/tcp/…/p2p/…; may be repeated.",
)
@click.option(
    "--prometheus-port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PROMETHEUS_PORT,
    show_default=True,
    help="Port of the metrics.",
)
@click.option("--prometheus-host", default="127.0.0.1", show_default=True, help="Its address.")
@click.option("--no-prometheus", is_flag=True, help="Serve no metrics.")
@click.option("--rpc-host", default="127.0.0.1", show_default=True, help="Address of the RPC.")
@click.option(
    "--rpc-port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_RPC_PORT,
    show_default=True,
    help="Port of the RPC, HTTP and WebSocket; 0 lets the system choose.",
)
@click.option(
    "--rpc-methods",
    type=click.Choice([policy.value for policy in MethodPolicy]),
    default=MethodPolicy.AUTO.value,
    show_default=True,
    help="Who may call unsafe methods: auto means callers on this machine.",
)
@click.option(
    "--rpc-cors", metavar="ORIGINS", help="Origins that may call, comma separated; or all."
)
@click.option(
    "--pruning",
    metavar="N|archive",
    default=str(DEFAULT_KEEP_BLOCKS),
    show_default=True,
    help="Final blocks kept whole with their history, or archive for all.",
)
@click.option(
    "--sync",
    type=click.Choice([way.value for way in SyncWay]),
    default=SyncWay.FULL.value,
    show_default=True,
    help="How a node without a chain gets it: every block, or a proven recent state.",
)
@click.option(
    "--checkpoint",
    metavar="HEIGHT:HASH",
    help="Last block of an epoch that the chain must go through, from somebody you trust.",
)
@click.option(
    "--signature-workers",
    type=click.IntRange(1, 64),
    help="Processes that check signatures; by default one a processor, but one.",
)
@click.option(
    "--check-invariants/--no-check-invariants",
    default=None,
    help="Check after every block what always holds, and stop at the first that breaks it; "
    "by default on every chain that is not live.",
)
@click.option(
    "--stop-with-stdin",
    is_flag=True,
    help="Stop when standard input ends, as it does when the program that started the node dies.",
)
@click.option("--log", metavar="LEVEL", default="info", show_default=True, help="Or name=level,...")
def node(**given: Any) -> None:  # noqa: ANN401 - one parameter an option
    """Run a node until Ctrl-C."""
    options = Options(**given)
    configure_logs(options.log)
    share_one_arena()  # before there are threads
    chain = options.chain or ("dev" if options.dev else None)
    if chain is None:
        raise ConfigError("which chain? Give --dev, or --chain with a chain spec file")
    spec = find_spec(chain)
    with _base_path(options) as base_path:
        config = _config(options, base_path, spec)
        if options.voter is not None:
            _add_dev_keys(config.base_path, spec, options.voter.capitalize())
        try:
            trio.run(_run_until_told_to_stop, config, spec, options.stop_with_stdin)
        except BaseExceptionGroup as group:
            if find_broken(group) is not None:
                # Which one, and after which block, is in the log.
                click.get_current_context().exit(EXIT_BROKEN)
            reason = only_reason(group)
            if reason is None:
                raise
            raise reason from None


@contextmanager
def _base_path(options: Options) -> Iterator[Path]:
    """Give the folder of the data; one that is thrown away, if that is wanted."""
    if not options.is_scratch:
        yield (options.base_path or DEFAULT_BASE_PATH).expanduser()
        return
    with tempfile.TemporaryDirectory(prefix="loopin-") as scratch:
        yield Path(scratch)


def _provider(options: Options, base_path: Path, spec: ChainSpec) -> ProviderConfig | None:
    """Return how the node's provider runs, None if there is none. Raises: ConfigError."""
    if not options.provider:
        return None
    key = key_words(
        options.provider_key or (f"//{options.voter.capitalize()}" if options.voter else None),
        options.provider_key_file,
        options.provider_password_file,
    )
    class_ids, units = options.provider_class, options.provider_units
    if options.dev and units is None:
        # Nobody has staked anything on a chain that has just begun.
        class_ids, units = class_ids or (CPU_CLASS.class_id,), DEV_UNITS
    folder = DataFolder(base_path.absolute(), spec.id).provider
    return ProviderConfig(folder, key, class_ids, units)


def _config(options: Options, base_path: Path, spec: ChainSpec) -> NodeConfig:
    metrics = MetricsConfig(options.prometheus_host, options.prometheus_port)
    return NodeConfig(
        base_path=base_path,
        name=options.name,
        is_validator=options.validator or options.voter is not None,
        provider=_provider(options, base_path, spec),
        keep_blocks=parse_pruning(options.pruning),
        sync=SyncWay(options.sync),
        checkpoint=parse_checkpoint(options.checkpoint) if options.checkpoint else None,
        signature_workers=options.signature_workers,
        check_invariants=options.check_invariants,
        # A development chain of one has nobody to talk to.
        network=None if options.dev else _network(options),
        metrics=None if options.no_prometheus else metrics,
        rpc=RpcConfig(options.rpc_host, options.rpc_port, _access(options)),
    )


async def _run_until_told_to_stop(
    config: NodeConfig,
    spec: ChainSpec,
    stop_with_stdin: bool,  # noqa: FBT001 - trio.run passes no keywords
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_run_and_stop, nursery, config, spec)
        if stop_with_stdin:
            nursery.start_soon(_stop_at_end_of_stdin, nursery)
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                logging.getLogger("node").info(
                    "event=stopping signal=%s", signal.Signals(number).name
                )
                nursery.cancel_scope.cancel()
                return


async def _stop_at_end_of_stdin(nursery: trio.Nursery) -> None:
    """Stop when the other end of the pipe is closed, as it is when that process dies."""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
        while await stdin.receive_some():
            pass
    logging.getLogger("node").info("event=stopping signal=stdin")
    nursery.cancel_scope.cancel()


async def _run_and_stop(nursery: trio.Nursery, config: NodeConfig, spec: ChainSpec) -> None:
    await run_node(config, spec, view=find_view())
    nursery.cancel_scope.cancel()


def parse_pruning(text: str) -> int | None:
    """Return how many blocks to keep; None for an archive. Raises: ConfigError."""
    if text == "archive":
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,9}", text):
        raise ConfigError(f"--pruning {text}: give a number of blocks, or archive")
    return int(text)


def _network(options: Options) -> NetworkConfig:
    try:
        return NetworkConfig(
            listen=(format_address(options.listen_host, options.port),),
            announce=tuple(parse_address(text) for text in options.public_addr),
            boot_nodes=tuple(parse_peer_address(text) for text in options.bootnodes),
        )
    except DecodeError as error:
        raise ConfigError(f"{error}; write for example /ip4/192.0.2.7/tcp/30333") from error


def _access(options: Options) -> Access:
    origins: tuple[str, ...] | None = LOCAL_ORIGINS
    if options.rpc_cors is not None:
        named = tuple(part.strip() for part in options.rpc_cors.split(","))
        origins = None if options.rpc_cors == "all" else named
    is_local = options.rpc_host in {"127.0.0.1", "::1", "localhost"}
    hosts = Access().hosts if is_local else None
    return Access(MethodPolicy(options.rpc_methods), origins, hosts)


def _add_dev_keys(base_path: Path, spec: ChainSpec, name: str) -> None:
    """Put the keys of //Alice or a friend into the keystore of a development chain."""
    if spec.chain_type == "live":
        raise ConfigError("everybody knows the development keys: not on a live chain")
    keystore = Keystore(DataFolder(base_path, spec.id).keystore)
    seeds = dev_session_seeds(name)
    keystore.save(Role.CONSENSUS, seeds.consensus)
    keystore.save(Role.VRF, seeds.vrf)
    keystore.save(Role.PEER, seeds.peer)
