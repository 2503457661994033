"""What a devnet consists of: a fresh genesis, and for each node its keys, ports and files."""

import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from genesis.presets import DEV_BOND, DEV_NAMES, build_spec, dev_account
from genesis.spec import ChainSpec, Member
from node.data_folder import DataFolder
from node.devnet.provider_plan import (
    ProviderPlan,
    Simulation,
    plan_providers,
    with_providers,
)
from node.keystore import Keystore, Role
from p2p.identity import format_address, peer_address, peer_id_of_key
from primitives.crypto import KeyPair
from primitives.derivation import derive_key_pair
from primitives.errors import ConfigError
from primitives.types import AccountId, Balance, Digest, Millis, PublicKey

NODES_MAX = 32
PORT_MAX = 65_535
PAYERS = 64
LOOPBACK = "127.0.0.1"
SPEC_FILE = "chain.json"


class PortTaken(ConfigError):
    """A port that the devnet wants is in use: choose another with ``--base-port``."""


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node of the devnet."""

    name: str
    folder: Path
    port: int
    """At which peers find it."""
    rpc_port: int
    prometheus_port: int
    is_validator: bool
    log: Path
    more: tuple[str, ...] = ()
    """Further arguments."""
    is_timed: bool = False
    """It works as on a live chain, without the checks that development has."""

    def arguments(self, spec: Path) -> list[str]:
        """Return the arguments of ``loopin node``."""
        role = ["--validator"] if self.is_validator else []
        role += ["--no-check-invariants"] if self.is_timed else []
        return [
            "node",
            "--chain",
            str(spec),
            "--base-path",
            str(self.folder),
            "--name",
            self.name,
            "--listen-host",
            LOOPBACK,
            "--port",
            str(self.port),
            "--rpc-port",
            str(self.rpc_port),
            "--prometheus-port",
            str(self.prometheus_port),
            # All nodes share this machine's processors.
            "--signature-workers",
            "1",
            *role,
            *self.more,
        ]


@dataclass(frozen=True, slots=True)
class DevnetPlan:
    """A devnet: where everything is, before anything runs."""

    spec: ChainSpec
    spec_file: Path
    nodes: tuple[NodePlan, ...]
    providers: tuple[ProviderPlan, ...] = ()
    """Empty for a chain whose votes follow what the spec grants."""


def make_plan(
    folder: Path,
    *,
    validators: int,
    followers: int,
    base_port: int,
    block_interval: Millis,
    genesis_time: Millis,
    is_timed: bool = False,
    simulation: Simulation | None = None,
) -> DevnetPlan:
    """Make genesis, keys and folders of a new devnet under ``folder``, and return the plan.

    ``is_timed`` leaves out what only chains of developers do. Without a ``simulation`` of
    providers, votes follow what the spec grants. Raises: ConfigError.
    """
    if not validators >= 1 or validators + followers > NODES_MAX:
        raise ConfigError(f"a devnet has 1 validator or more, and at most {NODES_MAX} nodes")
    names = [f"validator-{i}" for i in range(validators)]
    names += [f"follower-{i}" for i in range(followers)]
    nodes = tuple(
        replace(
            _node_plan(folder, name, base_port + 3 * index, is_validator=index < validators),
            is_timed=is_timed,
        )
        for index, name in enumerate(names)
    )
    if nodes[-1].prometheus_port > PORT_MAX:
        raise ConfigError(f"the ports end at {PORT_MAX}: choose a lower --base-port")
    _require_free([p for n in nodes for p in (n.port, n.rpc_port, n.prometheus_port)])
    providers: tuple[ProviderPlan, ...] = ()
    if simulation is not None:
        providers = plan_providers(
            folder, simulation, validators=names[:validators], block_interval=block_interval
        )
    accounts = [each.account for each in providers]
    spec = _make_spec(
        nodes[:validators], nodes[validators:], accounts, block_interval, genesis_time
    )
    if simulation is not None:
        spec = with_providers(spec, providers, epoch_length=simulation.epoch_length)
    spec_file = folder / SPEC_FILE
    spec_file.write_text(spec.to_json())
    return DevnetPlan(spec, spec_file, nodes, providers)


@cache
def payers() -> tuple[KeyPair, ...]:
    """Return the keys of the accounts from which the busy client of every devnet pays."""
    return tuple(derive_key_pair(f"//Payer//{number}") for number in range(PAYERS))


def _make_spec(
    voters: Sequence[NodePlan],
    followers: Sequence[NodePlan],
    accounts: Sequence[AccountId],
    block_interval: Millis,
    genesis_time: Millis,
) -> ChainSpec:
    """Make everybody's keys, and the spec of a chain on which the voters' count.

    ``accounts`` are the voters', in their order, and others that are endowed; voters beyond them
    get accounts that nobody can sign for.
    """
    chain_id = f"devnet-{secrets.token_hex(4)}"
    for node in followers:
        _make_keys(node, chain_id)
    members: list[Member] = []
    boot_nodes: list[str] = []
    for index, node in enumerate(voters):
        consensus, vrf, peer = _make_keys(node, chain_id)
        known = index < len(accounts)
        account = accounts[index] if known else AccountId(secrets.token_bytes(32))
        members.append(Member(account, consensus, vrf, peer, Balance(DEV_BOND)))
        address = format_address(LOOPBACK, node.port)
        boot_nodes.append(peer_address(peer_id_of_key(peer), address))
    return build_spec(
        id=chain_id,
        name=f"LooPIN devnet of {len(voters)}",
        chain_type="local",
        validators=members,
        endowed=[
            *(dev_account(name) for name in DEV_NAMES),
            *{*accounts, *(m.account for m in members)},
            *(AccountId(pair.public) for pair in payers()),
        ],
        genesis_time=genesis_time,
        randomness=Digest(secrets.token_bytes(32)),
        block_interval=block_interval,
        boot_nodes=boot_nodes,
    )


def _node_plan(folder: Path, name: str, port: int, *, is_validator: bool) -> NodePlan:
    home = folder / name
    home.mkdir(parents=True, exist_ok=True)
    return NodePlan(
        name=name,
        folder=home,
        port=port,
        rpc_port=port + 1,
        prometheus_port=port + 2,
        is_validator=is_validator,
        log=home / "node.log",
    )


def _make_keys(node: NodePlan, chain_id: str) -> tuple[PublicKey, PublicKey, PublicKey]:
    """Make a node's session keys and return the public ones: consensus, VRF, peer."""
    keystore = Keystore(DataFolder(node.folder, chain_id).keystore)
    consensus, vrf, peer = (
        keystore.generate(role).public for role in (Role.CONSENSUS, Role.VRF, Role.PEER)
    )
    return consensus, vrf, peer


def _require_free(ports: Sequence[int]) -> None:
    taken = [port for port in ports if not _is_free(port)]
    if taken:
        raise PortTaken(
            f"port {taken[0]} is in use (of {ports[0]} to {ports[-1]}, {len(taken)} are): another "
            "devnet may run here; stop it, or choose another --base-port"
        )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
