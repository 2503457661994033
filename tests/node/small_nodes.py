"""Nodes without sockets: a real chain in a real database, the real driver, and a small network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from chain.mempool import Mempool
from consensus.journal import replay
from consensus.simplex.config import Timing
from consensus.simplex.events import Peer
from consensus.simplex.messages import (
    Certificate,
    Finalize,
    Notarize,
    Nullify,
    Proposal,
    Request,
    decode_message,
)
from consensus.simplex.pledges import Record
from genesis.presets import dev_account, dev_session_seeds
from genesis.spec import ChainSpec
from node.chain_service import ChainService
from node.consensus_driver import ConsensusDriver, Settings
from node.consensus_network import Network as DriverNetwork
from node.consensus_network import NoNetwork
from node.extrinsic_intake import ExtrinsicIntake, FinalizedJudge
from node.journal_file import JournalFile
from node.signature_worker import is_signed
from node.signatures import SignatureChecker
from node.voters import Voter
from p2p.identity import peer_id_of_seed
from primitives.block import Block
from primitives.crypto import KeyPair
from primitives.errors import LoopinError
from primitives.power_table import PowerTable
from primitives.types import Digest, Millis, PublicKey
from tests.chain.small_chains import SmallChain, genesis_of

TIMING = Timing(
    leader=Millis(3000), advance=Millis(4000), retry=Millis(500), delay_max=Millis(8000)
)


class LocalChecker(SignatureChecker):
    """Checks on the spot, whatever the number."""

    async def check(self, extrinsics: Sequence[bytes], *, is_urgent: bool = False) -> list[bool]:
        await trio.lowlevel.checkpoint()
        return [is_signed(self._prefix, encoded) for encoded in extrinsics]


@dataclass(frozen=True)
class OneVoter:
    """The keys of one validator, which it never changes."""

    voter: Voter

    def find(self, table: PowerTable) -> Voter | None:
        """Return the validator, if it is in the table."""
        is_in = table.find_position(self.voter.consensus.public) is not None
        return self.voter if is_in else None

    def consensus_keys(self) -> tuple[PublicKey, ...]:
        return (self.voter.consensus.public,)


@dataclass
class SmallNode:
    """The core of a node."""

    small: SmallChain
    mempool: Mempool
    service: ChainService
    journal: JournalFile
    driver: ConsensusDriver

    @classmethod
    def open(
        cls,
        folder: Path,
        spec: ChainSpec,
        *,
        name: str | None = "Alice",
        network: DriverNetwork | None = None,
    ) -> "SmallNode":
        """Open or begin the node of ``//name``, or of nobody, in ``folder``."""
        small = SmallChain.open(folder / "db", spec)
        mempool = Mempool(FinalizedJudge(small.chain))
        service = ChainService(
            small.chain, mempool, ExtrinsicIntake(mempool, LocalChecker(small.prefix))
        )
        journal = JournalFile(folder / "journal")
        voter = None
        if name is not None:
            seeds = dev_session_seeds(name)
            voter = OneVoter(Voter(dev_account(name), KeyPair(seeds.consensus), KeyPair(seeds.vrf)))
        began = trio.current_time()
        time = max(spec.genesis_time, small.chain.final.timestamp) + 10_000
        settings = Settings(
            genesis=genesis_of(spec).hash,
            timing=TIMING,
            clock_drift_max=Millis(60_000),
            wall_clock=lambda: Millis(time + int(1000 * (trio.current_time() - began))),
            listening=Millis(1000),
        )
        driver = ConsensusDriver(
            service, journal, settings, network=network or NoNetwork(), voters=voter
        )
        return cls(small, mempool, service, journal, driver)

    def close(self) -> None:
        self.journal.close()
        self.small.close()

    async def run_until(self, is_enough: Callable[[], bool]) -> None:
        """Run until ``is_enough`` says so, asked after every final block.

        Raises what the driver raises.
        """
        async with trio.open_nursery() as nursery:

            def look(_: object) -> None:
                if is_enough():
                    nursery.cancel_scope.cancel()

            self.service.on_final.append(look)
            await self.service.restore()
            if not is_enough():
                await self.driver.run()

    async def run_to(self, height: int) -> None:
        """Run until the block of that height is final."""
        await self.run_until(lambda: self.small.chain.final.height >= height)


def records_of(journal: Path) -> tuple[Record, ...]:
    """Return what a journal file holds now."""
    return replay(journal.read_bytes()).records


def assert_no_contradiction(records: Sequence[Record]) -> None:
    """Nothing is said twice in two ways; no view is both nullified and finalized."""
    said: dict[tuple[type[object], int, int], Record] = {}
    for record in records:
        if isinstance(record, Proposal | Notarize | Nullify | Finalize):
            place = (type(record), record.epoch, record.view)
            assert said.setdefault(place, record) == record
    for kind, epoch, view in said:
        if kind is Nullify:
            assert (Finalize, epoch, view) not in said


class LeafletNetwork(NoNetwork):
    """A network of one, which sees that nothing is said before it is written down."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self.said: list[Record] = []

    def broadcast(self, message: bytes) -> None:
        spoken = decode_message(message)
        if not isinstance(spoken, Request):
            self.said.append(spoken)
        if not isinstance(spoken, Request | Certificate):
            assert spoken in records_of(self._journal), "said before it was written down"


def peer_of(name: str) -> Peer:
    """Return as whom the node of ``//name`` is known to its peers."""
    return Peer(peer_id_of_seed(dev_session_seeds(name).peer).encode())


@dataclass
class Street:
    """Where a few nodes shout at each other; a node that is away hears nothing."""

    nodes: dict[str, SmallNode] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)

    def others(self, name: str) -> list[SmallNode]:
        """Return the nodes that ``name`` reaches."""
        if name in self.away:
            return []
        return [node for n, node in self.nodes.items() if n != name and n not in self.away]

    async def wait_for(self, height: int, *names: str) -> None:
        """Wait until these nodes have a final block of that height."""
        nodes = [self.nodes[name] for name in names]
        while any(node.small.chain.final.height < height for node in nodes):  # noqa: ASYNC110
            await trio.sleep(0.5)


@dataclass
class StreetNetwork:
    """One node's place on the street."""

    street: Street
    name: str

    def broadcast(self, message: bytes) -> None:
        for node in self.street.others(self.name):
            self._tell(node, message)

    def send(self, peer: Peer, message: bytes) -> None:
        for name, node in self.street.nodes.items():
            if peer_of(name) == peer and node in self.street.others(self.name):
                self._tell(node, message)

    def publish(self, block: object) -> None:
        """Blocks are fetched."""

    async def fetch(self, block: Digest) -> Block:
        while True:
            await trio.sleep(0.02)
            for node in self.street.others(self.name):
                if node.small.chain.has_block(block):
                    return node.small.chain.block(block)

    def _tell(self, node: SmallNode, message: bytes) -> None:
        try:
            node.driver.receive(peer_of(self.name), message)
        except LoopinError as error:
            raise AssertionError("an honest node is blamed") from error
