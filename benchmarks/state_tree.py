"""What the state tree costs: ``python -m benchmarks.state_tree [accounts ...]``.

For 10**4, 10**5 and 10**6 accounts, each in a process of its own: time to build the tree from the
flat state, memory, microseconds per updated key for 1000 and 5000 keys a block, the longest time
between two yields, and what proofs take. All are medians, with both hashes of a key and its value
included; the time of one hash in the same run stands beside them, as it scales with the machine.
Times are processor time: the tree does nothing else, and what other programs take is not its cost.
"""

import gc
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from chain.state_proof import verify_proof
from chain.state_tree import StateTree
from primitives.crypto import Purpose, keyed_hash
from primitives.types import Digest

SIZES = (10**4, 10**5, 10**6)
BLOCK_KEYS = (1000, 5000)
ROUNDS = 21
PROOFS = 2000


def main() -> None:
    """Measure the sizes of the command line, or all."""
    if len(sys.argv) == 2:
        measure(int(sys.argv[1]))
        return
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(
        f"{platform.machine()} cores={os.cpu_count()} python={platform.python_version()} {commit=}"
    )
    for size in sys.argv[1:] or SIZES:
        subprocess.run([sys.executable, "-m", "benchmarks.state_tree", str(size)], check=True)


def measure(size: int) -> None:
    """Print the figures of one size."""
    rng = random.Random(size)
    resident = resident_bytes()
    started = time.process_time()
    tree = StateTree.load(state(size))
    loaded = time.process_time() - started
    gc.collect()
    per_entry = (resident_bytes() - resident) / size
    print(
        f"accounts={size} flat_depth={tree.flat_depth} load={loaded:.2f}s "
        f"memory={per_entry:.0f} bytes per entry"
    )
    gc.freeze()
    value = bytes(64)
    hash_micros = timed(lambda: keyed_hash(Purpose.STATE_LEAF, value), 20_000)
    print(f"  one hash of 64 bytes {hash_micros:.2f} us")
    roots: list[Digest] = []
    for count in BLOCK_KEYS:
        roots += measure_updates(tree, size, count, rng)
    measure_proofs(tree, size, rng, [root for root in roots if tree.is_provable(root)])


def measure_updates(tree: StateTree, size: int, count: int, rng: random.Random) -> list[Digest]:
    """Print what updates of ``count`` keys take; return the roots that they replaced."""
    per_key, longest, roots = [], [], []
    for _ in range(ROUNDS):
        roots.append(tree.root)
        writes = {account_key(rng.randrange(size)): rng.randbytes(9) for _ in range(count)}
        spent, slices = 0.0, tree.update_in_slices(writes)
        longest_here = 0.0
        while True:
            started = time.process_time()
            is_done = next(slices, True)
            taken = time.process_time() - started
            spent += taken
            longest_here = max(longest_here, taken)
            if is_done:
                break
        per_key.append(spent / len(writes) * 1e6)
        longest.append(longest_here * 1e3)
    print(
        f"  update {count} keys: {statistics.median(per_key):.2f} us per key "
        f"(best {min(per_key):.2f}), longest slice {statistics.median(longest):.2f} ms"
    )
    return roots


def measure_proofs(tree: StateTree, size: int, rng: random.Random, roots: list[Digest]) -> None:
    """Print what proofs take; ``roots`` are the earlier versions that are provable."""
    keys = [account_key(rng.randrange(size)) for _ in range(PROOFS)]
    proofs = [tree.prove(key) for key in keys]
    pairs = iter(list(zip(keys, proofs, strict=True)))
    source = iter(keys)
    made = timed(lambda: tree.prove(next(source)), PROOFS)
    source = iter(keys)
    oldest = timed(lambda: tree.prove(next(source), roots[0]), PROOFS)

    def check() -> None:
        key, proof = next(pairs)
        verify_proof(tree.root, key, proof)

    checked = timed(check, PROOFS)
    sizes = [len(proof) for proof in proofs]
    print(
        f"  proof: make {made:.1f} us (of {len(roots)} versions ago {oldest:.1f} us), "
        f"check {checked:.1f} us, {statistics.median(sizes):.0f} bytes, at most {max(sizes)}"
    )


def timed(operation: Callable[[], object], count: int) -> float:
    """Return the microseconds of one of ``count`` calls."""
    started = time.process_time()
    for _ in range(count):
        operation()
    return (time.process_time() - started) / count * 1e6


def state(size: int) -> Iterator[tuple[bytes, bytes]]:
    for number in range(size):
        yield account_key(number), number.to_bytes(9, "big")


def account_key(number: int) -> bytes:
    return b"balances.free:" + number.to_bytes(32, "big")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
