"""A ledger and the jobs module, with a lease and a provider that a test makes up."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from genesis.presets import small_runtime_config
from primitives.crypto import KeyPair
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Millis,
    Signature,
    Signer,
    View,
)
from runtime.balances import Balances
from runtime.jobs.commitment import Commitment, rows_tree, sign_commitment
from runtime.jobs.module import Jobs
from runtime.jobs.network import SHAPE, Activation, IntegerNetwork, Layer, Rows, Shape
from runtime.jobs.records import Config, Dispute
from runtime.jobs.surroundings import SLASH_HOLD, Served, Surroundings
from runtime.jobs.transcript import Transcript
from runtime.module import EMPTY_ACCOUNT, BlockInfo, Context
from runtime.overlay import DictState, Overlay

LOOP = 10**9
GENESIS = Digest(bytes([0xCC]) * 32)
CLIENT, OTHER, PROVIDER = (AccountId(bytes([n]) * 32) for n in (1, 2, 3))
KEY = KeyPair(bytes([7]) * 32)
LEASE = 5
CLASS = 9
RICH = 1000 * LOOP
SLASHED = Balance(3 * LOOP)
CONFIG = Config(
    answer_blocks=3,
    dispute_blocks=20,
    disputes_max=4,
    bond=Balance(10 * LOOP + 1),
    bond_burned_ppb=500_000_000,
    slash_ppb=250_000_000,
    service_deposit=Balance(LOOP),
)


def make_network(
    widths: Sequence[int], *, seed: int = 1, shift: int = 4, activation: int | None = None
) -> IntegerNetwork:
    """Return a network of random weights; the activations take turns unless one is named."""
    random = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(widths))
    layers = [
        Layer(inputs, outputs, shift, Activation(n % 3 if activation is None else activation))
        for n, (inputs, outputs) in enumerate(pairs)
    ]
    matrices = [random.integers(-128, 128, pair, dtype=np.int8) for pair in pairs]
    return IntegerNetwork(Shape(tuple(layers)), matrices)


def make_rows(count: int, width: int, *, seed: int = 2) -> Rows:
    random = np.random.default_rng(seed)
    return random.integers(-128, 128, (count, width), dtype=np.int8)


class FakeLeases:
    """Leases as a test has set them; remembers whose share failed, and gives clients the slash."""

    def __init__(self, balances: Balances) -> None:
        self.balances = balances
        self.clients: dict[tuple[int, AccountId], AccountId] = {(LEASE, PROVIDER): CLIENT}
        self.failed: list[tuple[int, AccountId, str]] = []

    def served(self, lease_id: int, provider: AccountId) -> Served | None:
        client = self.clients.get((lease_id, provider))
        return None if client is None else Served(client, CLASS)

    def fail_share(
        self, lease_id: int, provider: AccountId, reason: str, *, slashed: Balance
    ) -> None:
        client = self.clients.pop((lease_id, provider))
        self.failed.append((lease_id, provider, reason))
        self.balances.move_held(provider, SLASH_HOLD, recipient=client, amount=slashed)


class FakeBonds:
    """Remembers who was punished, by an amount that is always the same."""

    def __init__(self, balances: Balances) -> None:
        self.balances = balances
        self.punished: list[tuple[int, AccountId, str, int]] = []

    def punish(
        self, class_id: int, provider: AccountId, reason: str, *, fraction_ppb: int
    ) -> Balance:
        self.punished.append((class_id, provider, reason, fraction_ppb))
        self.balances.hold(provider, SLASH_HOLD, SLASHED)
        return SLASHED


class FakeChain:
    def known_genesis(self) -> Digest:
        return GENESIS


class World:
    """One state; ``at`` a height, calls are made as a block would make them."""

    def __init__(self, **changes: Any) -> None:
        self.config = replace(CONFIG, **changes)
        self.context = Context(Overlay(DictState()), self._block(1))
        self.balances = Balances(self.context, small_runtime_config().balances)
        self.leases, self.bonds = FakeLeases(self.balances), FakeBonds(self.balances)
        around = Surroundings(self.leases, self.bonds, self.balances, FakeChain())
        self.jobs = Jobs(self.context, self.config, around=around)
        for account in (CLIENT, OTHER, PROVIDER):
            self.balances.mint(account, Balance(RICH))

    @property
    def height(self) -> int:
        return self.context.block.height

    def next_block(self, count: int = 1) -> None:
        """Begin so many more blocks, with all checks between them."""
        for _ in range(count):
            self.check()
            self.context.block = self._block(self.height + 1)
            self.context.events.clear()
            self.jobs.begin_block()
        self.check()

    def call(self, signer: AccountId, name: str, *arguments: Any) -> None:
        """Make a call whose failure undoes its writes. Raises: DispatchError."""
        with self.context.transaction():
            getattr(self.jobs, name)(Signer(signer), *arguments)
        self.check()

    def announce(self, pair: KeyPair = KEY) -> None:
        self.call(PROVIDER, "announce", pair.public, ("/ip4/192.0.2.1/tcp/30400",))

    def check(self) -> None:
        self.balances.check_invariants()
        self.jobs.check_invariants()

    def dispute(self) -> Dispute:
        """Return the only open dispute."""
        (found,) = [each for _, each in self.jobs.disputes.items() if each is not None]
        return found

    def settled(self) -> list[Any]:
        """Return the fields of the block's only ``DisputeSettled``."""
        (found,) = [event[1:] for event in self.events() if event[0] == "jobs.DisputeSettled"]
        return found

    def events(self) -> list[list[Any]]:
        return [event for event in self.context.events if isinstance(event, list)]

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Assert that the block writes nothing."""
        before = dict(self.context.overlay.writes)
        yield
        assert self.context.overlay.writes == before

    @staticmethod
    def _block(height: int) -> BlockInfo:
        return BlockInfo(
            height=Height(height),
            parent_hash=GENESIS,
            view=View(height),
            epoch=Epoch(0),
            timestamp=Millis(height * 1000),
            author=EMPTY_ACCOUNT,
            vrf_output=b"",
        )


class Job:
    """A job that a provider has done, rightly unless a test changes ``outputs``."""

    def __init__(
        self,
        network: IntegerNetwork,
        inputs: Rows,
        outputs: Rows | None = None,
        **changes: Any,
    ) -> None:
        """``changes`` are to the commitment."""
        self.network, self.inputs = network, inputs
        self.outputs = network.run(inputs) if outputs is None else outputs
        self.input_tree, self.output_tree = rows_tree(inputs), rows_tree(self.outputs)
        self.commitment = replace(
            Commitment(
                lease_id=LEASE,
                provider=PROVIDER,
                network=network.identity,
                inputs=self.input_tree.root,
                outputs=self.output_tree.root,
                rows=len(inputs),
                made_at=Height(1),
            ),
            **changes,
        )

    def signature(self, pair: KeyPair = KEY) -> Signature:
        return sign_commitment(GENESIS, self.commitment, pair)

    def claim(self, row: int, pair: KeyPair = KEY) -> tuple[Any, ...]:
        """Return the arguments of ``jobs.dispute``."""
        shape, root = SHAPE.encode(self.network.shape), self.network.tree.root
        return self.commitment, pair.public, self.signature(pair), shape, root, row

    def proofs(self, row: int) -> tuple[tuple[Digest, ...], tuple[Digest, ...]]:
        return self.input_tree.prove(row), self.output_tree.prove(row)

    def transcript(self, row: int) -> Transcript:
        return Transcript.of(self.network, self.inputs[row].tobytes())

    def evidence(
        self, transcript: Transcript, layer: int, column: int
    ) -> tuple[int, bytes, bytes, tuple[Digest, ...]]:
        """Return the arguments of ``jobs.prove`` after the dispute's number."""
        return (
            column,
            transcript.rows[layer],
            self.network.column(layer, column),
            self.network.prove_column(layer, column),
        )
