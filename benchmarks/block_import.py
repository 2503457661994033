"""Full blocks through one node, stage by stage: ``python -m benchmarks.block_import [--profile]``.

Each stage's processor time is told for one transfer: taking it into the mempool, building a block,
importing the same block on another node (decoding, execution, roots), and making it final. The
bound is the time that the signature alone takes, measured in the same run: ``ratio`` is that time
divided by all that an import takes with the signature, on one core.
"""

import argparse
import cProfile
import gc
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from chain.blockchain import Blockchain
from chain.builder import Assignment, build_block
from chain.importer import decode_body, import_block
from chain.mempool import Mempool
from chain.slices import run_slices
from chain.store import Store
from genesis.build import build_genesis
from genesis.presets import build_spec, dev_member, dev_session_seeds
from genesis.spec import ChainSpec
from node.chain_database import genesis_record
from node.extrinsic_intake import FinalizedJudge
from node.signature_worker import is_signed
from primitives.beacon import vrf_input
from primitives.block import IMMORTAL, Block, encode_signed, signing_payload, signing_prefix
from primitives.crypto import KeyPair, Purpose, keyed_hash
from primitives.types import (
    AccountId,
    Balance,
    Epoch,
    Height,
    Millis,
    Nonce,
    Signature,
    View,
)
from primitives.vrf import prove, verify
from runtime.executive import ReadyExtrinsic

T = TypeVar("T")


@dataclass
class Stages:
    """Processor time of each stage, in nanoseconds a block."""

    spent: dict[str, list[int]] = field(default_factory=dict)

    def run(self, name: str, work: Callable[[], T]) -> T:
        """Do ``work`` and add what it took."""
        gc.collect()
        start = time.thread_time_ns()
        result = work()
        self.spent.setdefault(name, []).append(time.thread_time_ns() - start)
        return result

    def micros(self, name: str, count: int) -> float:
        """Return the median microseconds for each of ``count``."""
        return statistics.median(self.spent[name]) / 1000 / count


@dataclass
class Node:
    """One node's chain and mempool."""

    chain: Blockchain
    mempool: Mempool

    @classmethod
    def open(cls, path: Path, spec: ChainSpec) -> "Node":
        genesis = build_genesis(spec)
        store = Store.create(path, genesis_record(genesis), chain_spec=b"{}", keep_blocks=2)
        chain = Blockchain(store, config=spec.runtime, interval=spec.consensus.block_interval)
        return cls(chain, Mempool(FinalizedJudge(chain)))


def signed(prefix: bytes, pair: KeyPair, nonce: int, recipient: bytes) -> bytes:
    """Return a signed transfer of 1 LOOP."""

    def encoded(signature: bytes) -> bytes:
        return encode_signed(
            signer=AccountId(pair.public),
            nonce=Nonce(nonce),
            valid_until=IMMORTAL,
            tip=Balance(0),
            call=["balances.transfer", recipient, 10**9],
            signature=Signature(signature),
        )

    return encoded(pair.sign(signing_payload(prefix, encoded(bytes(64)))))


def assignment(chain: Blockchain, height: int) -> Assignment:
    """Return what //Alice, who leads every view, is told to build."""
    rules = chain.rules(Epoch(0), chain.final_hash)
    alpha = vrf_input(rules.randomness, Epoch(0), View(height))
    key = KeyPair(dev_session_seeds("Alice").vrf)
    proof = prove(key, alpha)
    return Assignment(
        parent=chain.final_hash,
        view=View(height),
        timestamp=Millis(chain.final.timestamp + chain.interval),
        author=rules.leader(View(height))[0],
        vrf_proof=proof,
        vrf_output=verify(key.public, alpha, proof),
    )


def take_in(node: Node, extrinsics: list[bytes]) -> None:
    for encoded in extrinsics:
        node.mempool.submit(ReadyExtrinsic.decode(encoded))


def build(node: Node, task: Assignment) -> Block:
    candidates = (entry.ready for entry in node.mempool.candidates(frozenset()))
    slices = build_block(
        node.chain, task, candidates, is_late=lambda: False, on_invalid=lambda _, __: None
    )
    return run_slices(slices).block


def finalize(node: Node, stages: Stages, block: Block) -> None:
    imported = node.chain.find_imported(block.hash)
    assert imported is not None
    stages.run("commit", lambda: node.chain.commit(imported, b"certificate"))
    final = stages.run("on_committed", lambda: run_slices(node.chain.on_committed(imported)))
    adapt = node.mempool.on_final_block(
        Height(final.header.height + 1),
        included=frozenset(final.extrinsic_hashes),
        touched=final.touched,
    )
    stages.run("mempool", lambda: run_slices(adapt))
    stages.run("prune", lambda: node.chain.store.prune(1))


def import_fresh(node: Node, stages: Stages, block: Block, prefix: bytes) -> None:
    """Take a block of which this node has seen nothing."""
    data = block.encode()
    decoded = stages.run("block decode", lambda: Block.decode(data))
    body = stages.run("body decode", lambda: run_slices(decode_body(decoded, lambda _: None)))
    stages.run("signatures", lambda: [is_signed(prefix, encoded) for encoded in body.unverified])
    rules = node.chain.rules(Epoch(0), block.header.parent_hash)
    stages.run("import", lambda: run_slices(import_block(node.chain, decoded, body, rules)))


def measure(folder: Path, accounts: int, count: int, rounds: int) -> Stages:
    """Run ``rounds`` blocks of ``count`` transfers through an author and an importer."""
    pairs = [KeyPair(keyed_hash(Purpose.REMARK, b"%d" % number)) for number in range(accounts)]
    spec = build_spec(
        id="bench",
        name="Benchmark",
        chain_type="local",
        validators=[dev_member("Alice")],
        endowed=[AccountId(pair.public) for pair in pairs],
    )
    prefix = signing_prefix(build_genesis(spec).hash, spec.runtime.system.spec_version)
    author, importer = Node.open(folder / "author", spec), Node.open(folder / "importer", spec)
    stages, nonces = Stages(), [0] * accounts
    gc.freeze()
    for height in range(1, rounds + 1):
        extrinsics = []
        for number in range(count):
            place = (height * count + number) % accounts
            recipient = pairs[(place * 7 + height) % accounts].public
            extrinsics.append(signed(prefix, pairs[place], nonces[place], recipient))
            nonces[place] += 1
        stages.run("take in", lambda: take_in(author, extrinsics))  # noqa: B023 - run at once
        task = assignment(author.chain, height)
        block = stages.run("build", lambda: build(author, task))  # noqa: B023
        assert len(block.extrinsics) == count + 1, len(block.extrinsics)
        finalize(author, stages, block)
        import_fresh(importer, Stages() if height == 1 else stages, block, prefix)
        finalize(importer, Stages(), block)
    return stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--transfers", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    options = parser.parse_args()
    profiler = cProfile.Profile()
    with tempfile.TemporaryDirectory() as folder:
        if options.profile:
            profiler.enable()
        stages = measure(Path(folder), options.accounts, options.transfers, options.rounds)
        profiler.disable()
    if options.profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
        return
    micros = {name: stages.micros(name, options.transfers) for name in stages.spent}
    for name, value in micros.items():
        print(f"{name:14} {value:7.1f} us a transfer")
    signature = micros["signatures"]
    importing = sum(micros[name] for name in ("block decode", "body decode", "import"))
    final = sum(micros[name] for name in ("commit", "on_committed", "mempool", "prune"))
    own = micros["take in"] + micros["build"] + final
    print(f"import         {signature + importing:7.1f} us with its signature; ", end="")
    print(f"ratio to the signature alone {signature / (signature + importing):.2f}")
    print(f"one validator  {signature + own:7.1f} us from bytes to final; ", end="")
    print(f"ratio to the signature alone {signature / (signature + own):.2f}")


if __name__ == "__main__":
    main()
