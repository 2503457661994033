"""Small chains whose blocks are final by real certificates, and the proofs that they leave."""

from collections.abc import Sequence

from chain.blockchain import Imported
from chain.handover import HANDOVER, Checkpoint, Handover, TableChain
from chain.slices import run_slices
from consensus.simplex.messages import (
    CERTIFICATE,
    Certificate,
    Finalize,
    Kind,
    bitmap,
    message_bytes,
)
from genesis.presets import DEV_NAMES, dev_account, dev_session_seeds
from primitives.crypto import KeyPair
from primitives.types import Digest, Epoch, Height, Signature
from runtime.executive import ReadyExtrinsic
from tests.chain.small_chains import SmallChain, genesis_of


def signed_certificate(
    small: SmallChain, imported: Imported, *, kind: Kind = Kind.FINALIZE, signers: int | None = None
) -> Certificate:
    """Return the certificate of a block by the first ``signers`` of its table, by default all."""
    header = imported.header
    table = small.rules(header.parent_hash).table
    count = len(table) if signers is None else signers
    signatures = []
    for position in range(count):
        name = next(n for n in DEV_NAMES if dev_account(n) == table[position].account)
        vote = Finalize(header.epoch, header.view, imported.hash, position, Signature(bytes(64)))
        key = KeyPair(dev_session_seeds(name).consensus)
        signatures.append(key.sign(message_bytes(genesis_hash(small), vote)))
    return Certificate(
        kind,
        header.epoch,
        header.view,
        imported.hash,
        bitmap(list(range(count)), len(table)),
        tuple(signatures),
    )


def genesis_hash(small: SmallChain) -> Digest:
    return small.chain.store.reads.genesis_hash


def add_final(
    small: SmallChain, extrinsics: Sequence[ReadyExtrinsic] = (), *, is_certified: bool = True
) -> Imported:
    """Build the next block and make it final; without a certificate of its own if so wished."""
    imported = small.build(small.chain.final_hash, extrinsics)
    certificate = b""
    if is_certified or imported.header.height % small.spec.runtime.session.epoch_length == 0:
        certificate = CERTIFICATE.encode(signed_certificate(small, imported))
    handover = small.chain.handover_after(imported, certificate)
    small.chain.commit(imported, certificate, handover)
    run_slices(small.chain.on_committed(imported))
    return imported


def grow(small: SmallChain, count: int, *, certified_every: int = 1) -> None:
    """Make ``count`` blocks with a transfer in every second one."""
    for _ in range(count):
        height = small.chain.final.height + 1
        nonce = small.chain.runtime_after(small.chain.final_hash).system.nonces[
            dev_account("Alice")
        ]
        transfers = [small.transfer("Alice", nonce, "Bob", height * 10**7)] if height % 2 else []
        add_final(small, transfers, is_certified=height % certified_every == 0)


def handover(small: SmallChain, epoch: int) -> Handover:
    """Return what proves the table after an epoch."""
    encoded = small.chain.store.reads.find_handover(Epoch(epoch))
    assert encoded is not None
    return HANDOVER.decode(encoded)


def tables_of(small: SmallChain, checkpoint: Checkpoint | None = None) -> TableChain:
    """Return the power tables at genesis, of the chain spec alone."""
    length = small.spec.runtime.session.epoch_length
    return TableChain(genesis_of(small.spec).hash, small.spec.power_table(), length, checkpoint)


def checkpoint_at(small: SmallChain, height: int) -> Checkpoint:
    return Checkpoint(Height(height), small.chain.final_header_at(Height(height)).hash)
