"""A finalized state in chunks, each proven by itself against the state root of one header.

The state tree (``chain/state_proof.py``) is cut at some of its nodes: what lies below such a node
is one chunk, and the hashes of these nodes are the skeleton. Hashing the skeleton upwards must
give the state root, so it is proven by a final header; hashing a chunk's entries by the rules of
the tree must give its node's hash, so every chunk is proven as it comes, whoever sent it.

Invariants: the chunks of a skeleton cover every key hash exactly once; a proven chunk holds
exactly the entries that the state has there; everything decoded here is bounded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import cast

from chain.state_page import build_page, hash_page
from chain.state_proof import BUCKET_ENTRIES_MAX, DIGEST_BYTES, hash_key, hash_value, nibble_at
from primitives.codec import U64, Codec, blob, decode, encode, struct
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DecodeError
from primitives.types import EMPTY_DIGEST, Digest, Epoch, Height

CHUNK_BYTES_GOAL = 1 << 19
"""A larger node is cut into its children, if it has any."""
CHUNK_BYTES_MAX = 4 << 20
CHUNKS_MAX = 1 << 16
"""Bounds a skeleton to 2 MiB and a state to some tens of gigabytes."""
CUT_DEPTH_MAX = 16
"""Nobody can afford to grind keys that share so many nibbles."""
CHILDREN = 16


class BadSkeleton(DecodeError):
    """The skeleton does not cover the tree, or does not lead to the state root."""


class BadChunk(DecodeError):
    """The entries are not those that the skeleton proves."""


@dataclass(frozen=True, slots=True)
class Place:
    """One chunk's place in the tree, and the hash that it must have."""

    prefix: bytes
    """The nibbles that lead there, one a byte."""
    digest: Digest

    @property
    def is_empty(self) -> bool:
        """Whether nothing lies there, so that nobody need be asked."""
        return self.digest == EMPTY_DIGEST


@dataclass(frozen=True)
class Skeleton:
    """The tree's nodes at which a state was cut, in order of key hash."""

    depths: bytes
    """Of each node, one byte."""
    digests: bytes

    def __len__(self) -> int:
        return len(self.depths)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Every chunk's place. Raises: BadSkeleton."""
        found: list[Place] = []
        self._walk(b"", found)
        if len(found) != len(self.depths):
            raise BadSkeleton(f"{len(found)} nodes cover the tree, {len(self.depths)} are given")
        return tuple(found)

    def root(self) -> Digest:
        """Return the state root to which the nodes lead. Raises: BadSkeleton."""
        if len(self.digests) != DIGEST_BYTES * len(self.depths):
            raise BadSkeleton(f"{len(self.digests)} bytes of hashes for {len(self.depths)} nodes")
        found: list[Place] = []
        root = self._walk(b"", found)
        if len(found) != len(self.depths):
            raise BadSkeleton(f"{len(found)} nodes cover the tree, {len(self.depths)} are given")
        return root

    def _walk(self, prefix: bytes, found: list[Place]) -> Digest:
        """Add the places below ``prefix`` to those found; return the hash of the node there."""
        at = len(found)
        if at >= len(self.depths):
            raise BadSkeleton("the nodes do not cover the whole tree")
        depth = self.depths[at]
        if not len(prefix) <= depth <= CUT_DEPTH_MAX:
            raise BadSkeleton(f"a node at depth {depth} below {len(prefix)} nibbles")
        if depth == len(prefix):
            digest = Digest(self.digests[DIGEST_BYTES * at : DIGEST_BYTES * (at + 1)])
            found.append(Place(prefix, digest))
            return digest
        children = [self._walk(prefix + bytes([nibble]), found) for nibble in range(CHILDREN)]
        quads = [b"".join(children[at : at + 4]) for at in range(0, CHILDREN, 4)]
        return keyed_hash(
            Purpose.STATE_NODE, b"".join(keyed_hash(Purpose.STATE_NODE, quad) for quad in quads)
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a node says of a snapshot that it keeps."""

    epoch: Epoch
    """The state is that after this epoch's last block, whose handover proves the header."""
    height: Height
    depths: bytes
    digests: bytes

    @property
    def skeleton(self) -> Skeleton:
        return Skeleton(self.depths, self.digests)


MANIFEST = struct(
    Manifest,
    epoch=cast("Codec[Epoch]", U64),
    height=cast("Codec[Height]", U64),
    depths=blob(CHUNKS_MAX),
    digests=blob(DIGEST_BYTES * CHUNKS_MAX),
)


def verify_manifest(manifest: Manifest, height: Height, state_root: Digest) -> tuple[Place, ...]:
    """Return the chunks of a snapshot once its skeleton is proven by a final header.

    Raises: BadSkeleton.
    """
    if manifest.height != height:
        raise BadSkeleton(f"height {manifest.height} where the epoch ended at {height}")
    skeleton = manifest.skeleton
    root = skeleton.root()
    if root != state_root:
        raise BadSkeleton(f"it leads to {root.hex()}, the header says {state_root.hex()}")
    return skeleton.places


Entry = tuple[bytes, bytes]
"""A storage key and its value."""


def encode_chunk(entries: Iterable[Entry]) -> bytes:
    """Return the bytes of entries that are in order of key hash."""
    return encode([part for entry in entries for part in entry])


def decode_chunk(place: Place, data: bytes) -> list[Entry]:
    """Return the entries of a chunk, proven. Raises: DecodeError."""
    plain = decode(data, bytes_max=CHUNK_BYTES_MAX, depth_max=1)
    if not isinstance(plain, list) or not all(type(item) is bytes for item in plain):
        raise BadChunk("a chunk is a list of byte strings")
    if len(plain) % 2:
        raise BadChunk("a key without a value")
    parts = cast("list[bytes]", plain)
    entries = list(zip(parts[::2], parts[1::2], strict=True))
    hashed = [(hash_key(key), value) for key, value in entries]
    ordered = all(one[0] < other[0] for one, other in pairwise(hashed))
    if not ordered or not all(is_below(place.prefix, key_hash) for key_hash, _ in hashed):
        raise BadChunk("keys out of order, or of another chunk")
    if hash_entries(hashed, len(place.prefix)) != place.digest:
        raise BadChunk(f"the entries do not have the hash {place.digest.hex()}")
    return entries


def hash_entries(hashed: Sequence[Entry], depth: int) -> Digest:
    """Return the hash of the node at ``depth`` over (key hash, value), in order of key hash."""
    rows = b"".join(key_hash + hash_value(value) for key_hash, value in hashed)
    return hash_page(build_page(rows, depth))


def is_below(prefix: bytes, key_hash: bytes) -> bool:
    """Return whether a key hash begins with the nibbles of ``prefix``."""
    return all(nibble_at(key_hash, depth) == nibble for depth, nibble in enumerate(prefix))


def is_cut(entries: int, size: int, depth: int) -> bool:
    """Return whether a node of so many entries and bytes is cut into its children."""
    return size > CHUNK_BYTES_GOAL and entries > BUCKET_ENTRIES_MAX and depth < CUT_DEPTH_MAX
