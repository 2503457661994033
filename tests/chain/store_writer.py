"""A process that commits blocks until it is killed: run by test_store_crash.py.

It says ``ready``, then the height of each block once ``commit`` has returned for it; with a limit
on the size of a file it goes on until a write fails, and says how that ended.
"""

import resource
import sys
from pathlib import Path

from chain.store import Store, StoreMissing, WriteFailed
from tests.chain.final_blocks import FinalBlocks

KEEP_BLOCKS = 40
PRUNE_EVERY = 7


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def open_or_create(path: Path, chain: FinalBlocks) -> Store:
    try:
        store = Store.open(path)
    except StoreMissing:
        return Store.create(path, chain.blocks[0], chain_spec=b"", keep_blocks=KEEP_BLOCKS)
    for _ in range(store.reads.head.height):
        chain.next()
    assert store.reads.head.hash == chain.blocks[-1].hash
    return store


def main(path: Path, file_bytes_max: int | None) -> None:
    """Commit blocks for ever, or until the disk is full."""
    chain = FinalBlocks(writes_per_block=400, extrinsics_per_block=100)
    say("ready")
    store = open_or_create(path, chain)
    if file_bytes_max is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, resource.RLIM_INFINITY))
    while True:
        block = chain.next()
        try:
            store.commit(block)
        except WriteFailed:
            break
        say(block.height)
        if block.height % PRUNE_EVERY == 0:
            store.prune()
    try:
        store.commit(block)
    except WriteFailed:
        say("refused")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
