"""From a chain spec to the genesis block and its state."""

from dataclasses import dataclass

from chain.equivocation import JUDGE
from chain.state_tree import StateTree
from genesis.spec import ChainSpec
from primitives.block import Block, Header
from primitives.merkle import merkle_root
from primitives.types import GENESIS_EPOCH, GENESIS_HEIGHT, Digest, View
from runtime.invariants import check_invariants
from runtime.module import EMPTY_ACCOUNT, BlockInfo, Context
from runtime.overlay import DictState, Overlay
from runtime.runtime import Runtime
from runtime.staking.module import GenesisBond


@dataclass(frozen=True, slots=True)
class Genesis:
    """The first block of a chain and the state after it."""

    block: Block
    state: dict[bytes, bytes]

    @property
    def hash(self) -> Digest:
        """The hash by which the chain is known."""
        return self.block.hash


def build_genesis(spec: ChainSpec) -> Genesis:
    """Return the genesis of ``spec``: the same for everyone, at any time."""
    info = BlockInfo(
        height=GENESIS_HEIGHT,
        parent_hash=spec.hash,
        view=View(0),
        epoch=GENESIS_EPOCH,
        timestamp=spec.genesis_time,
        author=EMPTY_ACCOUNT,
        vrf_output=b"",
    )
    overlay = Overlay(DictState())
    runtime = Runtime(Context(overlay, info), spec.runtime, JUDGE)
    runtime.timestamp.build_genesis(spec.genesis_time)
    runtime.balances.build_genesis({item.account: item.amount for item in spec.balances})
    runtime.fees.build_genesis()
    runtime.staking.build_genesis(
        [GenesisBond(member.account, member.bond) for member in spec.validators]
    )
    runtime.pocps.build_genesis()
    runtime.pools.build_genesis()
    runtime.session.build_genesis(spec.power_table(), spec.genesis_randomness)
    runtime.rewards.build_genesis()
    state = {key: value for key, value in sorted(overlay.writes.items()) if value is not None}
    check_invariants(runtime.modules)
    tree = StateTree()
    tree.update(state)
    header = Header(
        parent_hash=info.parent_hash,
        height=info.height,
        view=info.view,
        epoch=info.epoch,
        timestamp=info.timestamp,
        author=info.author,
        state_root=tree.root,
        extrinsics_root=merkle_root([]),
        receipts_root=merkle_root([]),
        vrf_proof=b"",
    )
    return Genesis(Block(header, ()), state)
