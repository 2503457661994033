"""Chains of made-up final blocks whose hashes, links and state roots are right."""

import random
from dataclasses import dataclass, field

from chain.state_tree import StateTree
from chain.store_schema import FinalizedBlock
from primitives.block import Header
from primitives.types import AccountId, Digest, Epoch, Height, Millis, View

EPOCH_BLOCKS = 5
ACCOUNTS = [AccountId(bytes([number]) * 32) for number in range(1, 20)]


@dataclass
class FinalBlocks:
    """Makes one block after the other, and remembers every state."""

    seed: int = 0
    writes_per_block: int = 12
    extrinsics_per_block: int = 4
    blocks: list[FinalizedBlock] = field(default_factory=list)
    states: list[dict[bytes, bytes]] = field(default_factory=list)
    tree: StateTree = field(default_factory=StateTree)

    def __post_init__(self) -> None:
        genesis = {b"balances.free:" + account: b"\x64" for account in ACCOUNTS}
        self._add({**genesis, b"system.number": b"\x00"})

    def next(self) -> FinalizedBlock:
        """Make the next block: some writes, some deletes, the block number always."""
        height = len(self.blocks)
        rng = random.Random(self.seed * 1_000_003 + height)
        keys = [b"k%d" % rng.randrange(200) for _ in range(self.writes_per_block)]
        writes: dict[bytes, bytes | None] = {
            key: None if rng.random() < 0.3 else rng.randbytes(rng.randrange(40)) for key in keys
        }
        writes[b"system.number"] = height.to_bytes(8, "big")
        return self._add(writes)

    def _add(self, writes: dict[bytes, bytes | None]) -> FinalizedBlock:
        height = len(self.blocks)
        rng = random.Random(-self.seed * 1_000_003 - height)
        parent = self.blocks[-1].hash if self.blocks else Digest(bytes(32))
        before = self.states[-1] if self.states else {}
        self.tree.update(writes)
        header = Header(
            parent_hash=parent,
            height=Height(height),
            view=View(height),
            epoch=Epoch(height // EPOCH_BLOCKS),
            timestamp=Millis(height + self.seed),
            author=ACCOUNTS[0],
            state_root=self.tree.root,
            extrinsics_root=Digest(bytes(32)),
            receipts_root=Digest(bytes(32)),
            vrf_proof=b"",
        )
        count = self.extrinsics_per_block if height else 0
        block = FinalizedBlock(
            height=Height(height),
            hash=header.hash,
            parent_hash=parent,
            state_root=self.tree.root,
            header=header.encode(),
            body=b"body %d" % height,
            receipts=b"receipts %d" % height,
            certificate=b"certificate %d" % height,
            state_writes=writes,
            extrinsic_hashes=tuple(Digest(rng.randbytes(32)) for _ in range(count)),
            accounts=tuple(tuple(rng.sample(ACCOUNTS, 2)) for _ in range(count)),
            is_epoch_boundary=(height + 1) % EPOCH_BLOCKS == 0,
        )
        merged: dict[bytes, bytes | None] = {**before, **writes}
        self.states.append({key: value for key, value in merged.items() if value is not None})
        self.blocks.append(block)
        return block
