"""Proofs that a storage key holds a value, or holds none, against a state root alone.

The state root is the hash of a canonical 16-ary radix tree over hashed storage keys. With
``prefix`` a number of leading nibbles of a key hash::

    T(prefix) = 32 zero bytes                          nothing under the prefix
              = leaf(entry_1 ‖ entry_2 ‖ ...)          1 to 16 entries, in order of key hash
              = node(q_0 ‖ q_1 ‖ q_2 ‖ q_3)            more than 16 entries
          q_i = node(T(prefix+4i) ‖ ... ‖ T(prefix+4i+3))
    entry     = key hash (32 bytes) ‖ value hash (32 bytes)

``leaf``, ``node``, key hash and value hash are BLAKE3 under four different keys, so a leaf can
never be read as a node. Hashing the sixteen children as four times four keeps a proof at six
hashes a level instead of fifteen.

Invariants: the root depends on the set of entries only, never on its history; a proof of
presence and a proof of absence have one form; this file needs no state, so it is all that a
light client takes.
"""

from dataclasses import dataclass

from primitives.codec import blob, struct
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import LoopinError
from primitives.types import EMPTY_DIGEST, Digest

DIGEST_BYTES = 32
ENTRY_BYTES = 64
BUCKET_ENTRIES_MAX = 16
BUCKET_BYTES_MAX = BUCKET_ENTRIES_MAX * ENTRY_BYTES
QUAD_BYTES = 4 * DIGEST_BYTES
LEVEL_BYTES = 6 * DIGEST_BYTES
"""What a proof holds for one level: three sibling quads, then three sibling children."""
DEPTH_MAX = 64
"""A key hash has 64 nibbles."""


class InvalidProof(LoopinError):
    """The proof does not lead from the key to the state root: its sender is at fault."""


@dataclass(frozen=True, slots=True)
class StateProof:
    """The way from the bucket in which a key belongs up to the state root."""

    siblings: bytes
    """192 bytes a level, the root's level first: three quads, then three children."""
    entries: bytes
    """The whole bucket, empty where nothing shares the prefix."""


STATE_PROOF = struct(
    StateProof, siblings=blob(DEPTH_MAX * LEVEL_BYTES), entries=blob(BUCKET_BYTES_MAX)
)


def hash_key(key: bytes) -> Digest:
    """Return where ``key`` lies in the tree."""
    return keyed_hash(Purpose.STATE_KEY, key)


def hash_value(value: bytes) -> Digest:
    """Return what the tree keeps of ``value``."""
    return keyed_hash(Purpose.STATE_VALUE, value)


def nibble_at(key_hash: bytes, depth: int) -> int:
    """Return the child that ``key_hash`` takes from a node at ``depth``."""
    byte = key_hash[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def hash_bucket(entries: bytes) -> Digest:
    """Return the hash of at most 16 sorted entries; of none, the empty digest."""
    return keyed_hash(Purpose.STATE_LEAF, entries) if entries else EMPTY_DIGEST


def find_entry(entries: bytes, key_hash: bytes) -> int:
    """Return where the entry of ``key_hash`` starts, or -1."""
    at = entries.find(key_hash)
    while at >= 0 and at % ENTRY_BYTES:
        at = entries.find(key_hash, at + 1)
    return at


def verify_proof(root: Digest, key: bytes, proof: bytes) -> Digest | None:
    """Return the hash of the value that ``key`` has under ``root``, or None if it has none.

    Both answers are proven. Compare the first with ``hash_value`` of a value.
    Raises: DecodeError, InvalidProof.
    """
    decoded = STATE_PROOF.decode(proof)
    siblings, entries = decoded.siblings, decoded.entries
    if len(siblings) % LEVEL_BYTES or len(entries) % ENTRY_BYTES:
        raise InvalidProof(f"{len(siblings)} bytes of siblings, {len(entries)} of entries")
    key_hash = hash_key(key)
    digest = hash_bucket(entries)
    for depth in range(len(siblings) // LEVEL_BYTES - 1, -1, -1):
        nibble = nibble_at(key_hash, depth)
        start = depth * LEVEL_BYTES
        middle, end = start + LEVEL_BYTES // 2, start + LEVEL_BYTES
        digest = _join(siblings[middle:end], digest, nibble & 3)
        digest = _join(siblings[start:middle], digest, nibble >> 2)
    if digest != root:
        raise InvalidProof(f"the proof leads to {digest.hex()}, not to the root {root.hex()}")
    at = find_entry(entries, key_hash)
    return Digest(entries[at + DIGEST_BYTES : at + ENTRY_BYTES]) if at >= 0 else None


def _join(siblings: bytes, digest: bytes, place: int) -> Digest:
    """Hash ``digest`` as child ``place`` among its three siblings."""
    split = place * DIGEST_BYTES
    return keyed_hash(Purpose.STATE_NODE, siblings[:split] + digest + siblings[split:])
