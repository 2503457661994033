"""A small chain whose providers prove: epochs of eight blocks, tiny classes of both kinds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from genesis.presets import CPU_CLASS, STORAGE_CLASS, small_pocps_config
from primitives.block import Receipt
from primitives.merkle import MerkleTree
from primitives.types import AccountId, Balance, Digest, Epoch, Operations
from runtime.pocps.classes import (
    ForwardPassTerms,
    ResourceClass,
    StorageTerms,
    kind_of,
    response_weight,
)
from runtime.pocps.ladder import Fault, Ladder
from runtime.pocps.module import Pocps
from runtime.pocps.proof import Claim, SampledProof
from runtime.pocps.provider import Provider
from runtime.pocps.records import Config, GenesisProvider
from runtime.power import ComputeGrant
from runtime.session import Config as SessionConfig
from tests.runtime.small_chain import ALICE, LOOP, SPEC, SmallChain

LENGTH = 8
COMMIT, SAMPLE, RESPOND = 3, 4, 6
CPU = replace(
    CPU_CLASS,
    forward_pass=ForwardPassTerms(width=64, depth=2, rows_per_unit=4, rows_per_leaf=2),
    samples=5,
    units_min=2,
    units_max=40,
    providers_max=6,
    bond_per_unit=Balance(LOOP),
    reward_max=Balance(LOOP),
)
STORE = replace(
    STORAGE_CLASS,
    storage=StorageTerms(labels_per_chunk=4, passes=3, chunks_per_unit=2, operations_per_unit=1000),
    samples=5,
    units_min=2,
    units_max=40,
    providers_max=6,
    bond_per_unit=Balance(LOOP),
    reward_max=Balance(LOOP),
)
LADDER = Ladder(
    window_epochs=4,
    first_ppb=0,
    second_ppb=500_000_000,
    third_ppb=500_000_000,
    jail_epochs=1,
)
POCPS = replace(
    small_pocps_config(LENGTH),
    classes=(CPU, STORE),
    commit_deadline=COMMIT,
    sample_block=SAMPLE,
    respond_deadline=RESPOND,
    ladder=LADDER,
    chunks_max=3,
    grant_epochs=1,
)
UNBONDING = 3
GRANTS = (ComputeGrant(ALICE, Operations(4 * kind_of(CPU).operations_per_unit)),)
"""What four units of the first class come to, so that proofs can take the grants' place."""


def genesis_providers(
    *accounts: AccountId, class_id: int = 1, units: int = 4
) -> tuple[GenesisProvider, ...]:
    return tuple(GenesisProvider(account, class_id, units) for account in sorted(accounts))


class ProofChain(SmallChain):
    """Blocks and the work of honest providers."""

    def __init__(self, pocps: Config = POCPS, **changes: Any) -> None:
        staking = replace(SPEC.runtime.staking, unbonding_epochs=UNBONDING)
        settings = {
            "session": SessionConfig(epoch_length=LENGTH),
            "staking": staking,
            "compute": GRANTS,
            **changes,
        }
        super().__init__(pocps=pocps, **settings)

    @property
    def epoch(self) -> Epoch:
        """The epoch of the next block."""
        return self.next_info().epoch

    def to_place(self, place: int) -> None:
        """Make blocks until the next one stands at ``place`` of its epoch."""
        while self.height % LENGTH + 1 != place:
            self.block()

    def next_epoch(self) -> None:
        """Make blocks until the next one begins another epoch."""
        self.block()
        self.to_place(1)

    def error(self, signer: AccountId, *call: Any) -> str:
        """Make a block of one call and return the error's name."""
        return self.call(signer, *call).error

    def errors(self, signer: AccountId, *calls: Sequence[Any]) -> list[str]:
        """Make one block of several calls of one signer and return the errors' names."""
        return [receipt.error for receipt in self.block(*((signer, call) for call in calls))]

    def do(self, signer: AccountId, *call: Any) -> Receipt:
        """Make a block of one call, which must succeed."""
        receipt = self.call(signer, *call)
        assert receipt.error == ""
        return receipt

    def as_pool(self, act: Callable[[Pocps], Any]) -> Any:
        """Make a block in which another module does something, and return what that gave."""
        execution = self.start()
        result = act(execution.runtime.pocps)
        self.finish(execution)
        return result

    def provider(self, account: AccountId, class_id: int = 1) -> Provider:
        """Return a provider's standing as of the next block."""
        return self.runtime.pocps.standings.known((class_id, account))

    def faults(self, account: AccountId, class_id: int = 1) -> tuple[Fault, ...]:
        runtime = self.runtime
        runtime.pocps.standings.find((class_id, account))
        return runtime.pocps.faults[class_id, account]

    def live(self, account: AccountId, class_id: int = 1) -> int:
        return self.runtime.pocps.proven_units(class_id, account)

    def resource(self, class_id: int = 1) -> ResourceClass:
        found = self.runtime.pocps.resource(class_id)
        assert found is not None
        return found

    # The provider's work

    def leaves(self, account: AccountId, units: int, class_id: int = 1) -> list[Digest]:
        """Return all leaves that so many units have in the epoch of the next block."""
        kind = kind_of(self.resource(class_id))
        assert isinstance(kind, SampledProof)
        challenge = self.runtime.pocps.challenge(class_id, self.epoch)
        positions = tuple(range(kind.count_leaves(units)))
        return list(kind.work.compute_leaves(challenge, account, positions))

    def commit_call(
        self, account: AccountId, units: int, class_id: int = 1, leaves: Sequence[bytes] = ()
    ) -> list[Any]:
        tree = MerkleTree(leaves or self.leaves(account, units, class_id))
        return ["pocps.commit", class_id, units, tree.root]

    def respond_call(
        self, account: AccountId, class_id: int = 1, leaves: Sequence[bytes] = ()
    ) -> list[Any]:
        """Return the answer to the beacon of the next block, or of the one that drew."""
        committed = self.provider(account, class_id).commitment
        assert committed is not None
        runtime = self.runtime
        for module in runtime.modules:
            module.begin_block()
        drawing = runtime.pocps.drawing.get()
        assert drawing is not None
        kind = kind_of(self.resource(class_id))
        claim = Claim(account, committed.units, committed.root)
        tree = MerkleTree(leaves or self.leaves(account, committed.units, class_id))
        siblings = kind.respond(tree, kind.sample(claim, drawing.beacon))
        weight = response_weight(self.resource(class_id))
        return ["pocps.respond", class_id, list(siblings), weight]

    def prove(self, *accounts: AccountId, class_id: int = 1) -> None:
        """Let providers do this epoch's work honestly, or the next one's if it is too late."""
        if self.height % LENGTH + 1 > COMMIT:
            self.to_place(1)
        claims = [(each, self.provider(each, class_id).claimable()[1]) for each in accounts]
        calls = [(each, self.commit_call(each, units, class_id)) for each, units in claims]
        receipts = list(self.block(*calls))
        self.to_place(SAMPLE)
        calls = [(each, self.respond_call(each, class_id)) for each in accounts]
        receipts += self.block(*calls)
        assert [receipt.error for receipt in receipts] == [""] * 2 * len(accounts)
