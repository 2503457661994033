"""What a provider signs when a job is done: which rows went in, through what, and which came out.

Rows are committed to by a Merkle tree whose leaf for a row is the row's digest, so that a whole
row can be named by 32 bytes. The digest of a row is the same wherever the row stands: before the
first layer, between two or after the last.

Invariant: what is signed names the chain, the lease, the provider and the height, and is hashed for
this purpose alone: it is worth nothing anywhere else.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from primitives.codec import ACCOUNT, DIGEST, U32, U64, struct
from primitives.crypto import KeyPair, Purpose, is_valid_signature, keyed_hash
from primitives.merkle import MerkleTree
from primitives.types import AccountId, Digest, Height, PublicKey, Signature
from runtime.jobs.network import Rows

ROWS_MAX: Final = 1 << 20
"""Rows of one job."""


@dataclass(frozen=True, slots=True)
class Commitment:
    """That passing the input rows through the network gives the output rows."""

    lease_id: int
    provider: AccountId
    network: Digest
    """The network's identity."""
    inputs: Digest
    """Merkle root over the digests of the input rows."""
    outputs: Digest
    """Merkle root over the digests of the output rows."""
    rows: int
    made_at: Height
    """The chain's height when the job was done; a dispute must come soon after."""


COMMITMENT = struct(
    Commitment,
    lease_id=U64,
    provider=ACCOUNT,
    network=DIGEST,
    inputs=DIGEST,
    outputs=DIGEST,
    rows=U32,
    made_at=U64,
)


def row_digest(row: bytes) -> Digest:
    """Return the digest that stands for a row."""
    return keyed_hash(Purpose.JOB_ACTIVATIONS, row)


def rows_tree(rows: Rows) -> MerkleTree:
    """Return the tree over the digests of ``rows``."""
    data, width = np.ascontiguousarray(rows).tobytes(), rows.shape[1]
    return MerkleTree(
        [row_digest(data[start : start + width]) for start in range(0, len(data), width)]
    )


def commitment_message(genesis: Digest, commitment: Commitment) -> bytes:
    """Return what the provider's service key signs."""
    return keyed_hash(Purpose.JOB_COMMITMENT, genesis + COMMITMENT.encode(commitment))


def sign_commitment(genesis: Digest, commitment: Commitment, pair: KeyPair) -> Signature:
    """Sign a commitment."""
    return pair.sign(commitment_message(genesis, commitment))


def is_signed(
    genesis: Digest, commitment: Commitment, key: PublicKey, signature: Signature
) -> bool:
    """Return whether ``key`` signed the commitment for the chain of ``genesis``."""
    return is_valid_signature(key, commitment_message(genesis, commitment), signature)
