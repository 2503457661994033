"""What a final block costs the database: ``python -m benchmarks.store [folder]``.

Median time of a synced commit of an empty block and of one with 5000 transfers among 10**5
accounts, with the values that it replaces known and unknown; how long pruning such a block and
checking the whole database take. Measure on the disk that the node will use.
"""

import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from chain.store import Store
from chain.store_check import check_store
from chain.store_schema import FinalizedBlock
from primitives.block import Header
from primitives.types import AccountId, Digest, Epoch, Height, Millis, View

ACCOUNTS = 10**5
TRANSFERS = 5000
EMPTY_BLOCKS = 300
FULL_BLOCKS = 15
BODY_BYTES_PER_TRANSFER = 180
RECEIPT_BYTES_PER_TRANSFER = 60


class Chain:
    """Blocks of the wanted size, each on the one before."""

    def __init__(self) -> None:
        self.rng = random.Random(1)
        self.height = 0
        self.last = Digest(bytes(32))
        self.state = {
            b"balances.free:" + number.to_bytes(32, "big"): bytes(9) for number in range(ACCOUNTS)
        }

    def block(self, transfers: int, *, is_before_known: bool) -> FinalizedBlock:
        """Return the next block; it writes two accounts a transfer."""
        rng = self.rng
        header = Header(
            parent_hash=self.last,
            height=Height(self.height),
            view=View(self.height),
            epoch=Epoch(0),
            timestamp=Millis(self.height),
            author=AccountId(bytes(32)),
            state_root=Digest(bytes(32)),
            extrinsics_root=Digest(bytes(32)),
            receipts_root=Digest(bytes(32)),
            vrf_proof=b"",
        )
        keys = [
            b"balances.free:" + rng.randrange(ACCOUNTS).to_bytes(32, "big")
            for _ in range(2 * transfers)
        ]
        writes: dict[bytes, bytes | None] = {key: rng.randbytes(9) for key in keys}
        before = {key: self.state[key] for key in writes} if is_before_known else {}
        self.state.update((key, value) for key, value in writes.items() if value is not None)
        block = FinalizedBlock(
            height=header.height,
            hash=header.hash,
            parent_hash=self.last,
            state_root=header.state_root,
            header=header.encode(),
            body=rng.randbytes(BODY_BYTES_PER_TRANSFER * transfers),
            receipts=rng.randbytes(RECEIPT_BYTES_PER_TRANSFER * transfers),
            certificate=rng.randbytes(400),
            state_writes=writes,
            extrinsic_hashes=tuple(Digest(rng.randbytes(32)) for _ in range(transfers)),
            accounts=tuple(
                (AccountId(keys[2 * number][-32:]), AccountId(keys[2 * number + 1][-32:]))
                for number in range(transfers)
            ),
            state_before=before,
        )
        self.last, self.height = block.hash, self.height + 1
        return block


def main() -> None:
    """Measure in a folder of the command line, or in a temporary one."""
    parent = sys.argv[1] if len(sys.argv) > 1 else None
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(
        f"{platform.machine()} cores={os.cpu_count()} python={platform.python_version()} {commit=}"
    )
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        measure(Path(folder) / "db")


def measure(path: Path) -> None:
    """Print the figures."""
    chain = Chain()
    genesis = replace(chain.block(0, is_before_known=True), state_writes=dict(chain.state))
    with Store.create(path, genesis, chain_spec=b"", keep_blocks=FULL_BLOCKS) as store:
        empty = commit_all(store, chain, EMPTY_BLOCKS, 0, is_before_known=True)
        middle = statistics.median(empty)
        print(f"empty block: {middle * 1e3:.2f} ms, {1 / statistics.mean(empty):.0f}/s")
        for is_known in (True, False):
            full = commit_all(store, chain, FULL_BLOCKS, TRANSFERS, is_before_known=is_known)
            middle = statistics.median(full)
            print(
                f"{TRANSFERS} transfers, replaced values {'known' if is_known else 'looked up'}: "
                f"{middle * 1e3:.1f} ms (best {min(full) * 1e3:.1f}, worst {max(full) * 1e3:.1f}), "
                f"{middle / TRANSFERS * 1e6:.2f} us per transfer"
            )
        store.prune(EMPTY_BLOCKS + 1)
        print(f"prune one such block: {taken(lambda: store.prune(1)) * 1e3:.1f} ms")
        keys = random.Random(2).sample(sorted(chain.state), 5000)
        reads = taken(lambda: [store.reads.get(key) for key in keys])
        print(f"read a value of the state: {reads / len(keys) * 1e6:.1f} us")
        with store.snapshot() as reader:
            checked = taken(lambda: check_store(reader, lambda _: None))
        print(f"check everything: {checked:.1f} s")


def commit_all(
    store: Store, chain: Chain, count: int, transfers: int, *, is_before_known: bool
) -> list[float]:
    """Commit blocks and return the seconds that each took."""
    blocks = [chain.block(transfers, is_before_known=is_before_known) for _ in range(count)]
    seconds = []
    for block in blocks:
        started = time.perf_counter()
        store.commit(block)
        seconds.append(time.perf_counter() - started)
    return seconds


def taken(operation: Callable[[], object]) -> float:
    started = time.perf_counter()
    operation()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
