"""The database of a chain: made with the genesis block, or opened as it was left."""

from pathlib import Path

from chain.store import Store, StoreMissing
from chain.store_schema import FinalizedBlock
from genesis.build import Genesis
from genesis.spec import ChainSpec
from primitives.block import encode_receipts
from primitives.codec import encode


def genesis_record(genesis: Genesis) -> FinalizedBlock:
    """Return what the store keeps of the genesis block."""
    header = genesis.block.header
    return FinalizedBlock(
        height=header.height,
        hash=genesis.hash,
        parent_hash=header.parent_hash,
        state_root=header.state_root,
        header=header.encode(),
        body=encode([]),
        receipts=encode_receipts([]),
        certificate=b"",
        state_writes=genesis.state,
    )


def open_store(path: Path, spec: ChainSpec, genesis: Genesis, keep_blocks: int | None) -> Store:
    """Open the chain's database, or make it if there is none.

    Raises: ConfigError, StoreError.
    """
    try:
        store = Store.open(path, genesis_hash=genesis.hash)
    except StoreMissing:
        # Or never finished: what a first start leaves that was cut off.
        text = spec.to_json().encode()
        record = genesis_record(genesis)
        return Store.create(path, record, chain_spec=text, keep_blocks=keep_blocks)
    if store.reads.keep_blocks != keep_blocks:
        store.set_keep_blocks(keep_blocks)
    return store
