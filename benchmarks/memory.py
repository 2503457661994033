"""Resident memory of a node's chain with many accounts, and how long it takes to open.

    python -m benchmarks.memory --accounts 1000000

It writes a database whose finalized state has that many accounts, each with a balance and a
nonce, then opens it in a fresh process the way a node does: the state tree is built from the whole
state and its root compared. Reported are the seconds to open and the process's resident memory.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chain.blockchain import Blockchain
from chain.state_tree import StateTree
from chain.store import Store
from chain.store_schema import FinalizedBlock
from genesis.build import build_genesis
from genesis.presets import dev_spec
from primitives.block import Header, encode_receipts
from primitives.codec import ACCOUNT, AMOUNT, U64, encode
from primitives.crypto import Purpose, keyed_hash
from primitives.types import AccountId, Balance

MIB = 1 << 20


def write_database(path: Path, accounts: int) -> None:
    """Make a database whose genesis has ``accounts`` accounts."""
    state = dict(build_genesis(dev_spec()).state)
    for number in range(accounts):
        account = AccountId(keyed_hash(Purpose.REMARK, number.to_bytes(8, "big")))
        state[b"balances.free:" + ACCOUNT.encode(account)] = AMOUNT.encode(Balance(10**9 + number))
        state[b"system.nonces:" + ACCOUNT.encode(account)] = U64.encode(1 + number)
    tree = StateTree.load(state.items())
    old = build_genesis(dev_spec()).block.header
    header = Header(
        old.parent_hash,
        old.height,
        old.view,
        old.epoch,
        old.timestamp,
        old.author,
        tree.root,
        old.extrinsics_root,
        old.receipts_root,
        old.vrf_proof,
    )
    record = FinalizedBlock(
        height=header.height,
        hash=header.hash,
        parent_hash=header.parent_hash,
        state_root=header.state_root,
        header=header.encode(),
        body=encode([]),
        receipts=encode_receipts([]),
        certificate=b"",
        state_writes=state,
    )
    Store.create(path, record, chain_spec=b"").close()


def open_database(path: Path) -> None:
    """Open the chain as a node does, and print what that took."""
    spec = dev_spec()
    start = time.perf_counter()
    with Store.open(path) as store:
        chain = Blockchain(store, config=spec.runtime, interval=spec.consensus.block_interval)
        seconds = time.perf_counter() - start
        entries = len(chain.tree.tree)
    memory = _resident_bytes()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"state entries          {entries}")
    print(f"opened and checked in  {seconds:.1f} s")
    print(f"resident memory        {memory / MIB:.0f} MiB (peak {peak / MIB:.0f} MiB)")


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open is not None:
        open_database(options.open)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "db"
        print(f"accounts               {options.accounts}")
        write_database(path, options.accounts)
        command = [sys.executable, "-m", "benchmarks.memory", "--open", str(path)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
