"""Reading the state with nothing but a header's hash: what a light client or a bridge needs.

The hash fixes the header, the header fixes the state root, the root fixes what every key holds.
Where the hash comes from is the caller's business: a finality certificate, or someone trusted.

Invariants: no store, no network and no runtime is used; any change of header, key, value or proof
is refused.
"""

from dataclasses import dataclass

from chain.state_proof import hash_value, verify_proof
from primitives.block import HEADER, Header
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import LoopinError
from primitives.types import Digest, StorageKey


class WrongHeader(LoopinError):
    """The header does not have the trusted hash: it is another block's, or was changed."""


class WrongValue(LoopinError):
    """The proof is sound, and shows that the key holds something else than was claimed."""


@dataclass(frozen=True, slots=True)
class ReadProof:
    """The claim that a key holds a value after a block, with what proves it."""

    header: bytes
    """The block's header, encoded."""
    key: StorageKey
    value: bytes | None
    """None claims that the key holds nothing."""
    proof: bytes
    """As ``state_getReadProof`` gives it."""


def verify_read(header_hash: Digest, read: ReadProof) -> Header:
    """Return the header under which ``read.value`` is proven to be what ``read.key`` holds.

    Raises: WrongHeader, WrongValue, InvalidProof, DecodeError.
    """
    found = keyed_hash(Purpose.HEADER, read.header)
    if found != header_hash:
        raise WrongHeader(f"the header has the hash 0x{found.hex()}, not 0x{header_hash.hex()}")
    header = HEADER.decode(read.header)
    proven = verify_proof(header.state_root, read.key, read.proof)
    claimed = None if read.value is None else hash_value(read.value)
    if proven != claimed:
        holds = "nothing" if proven is None else f"a value with the hash 0x{proven.hex()}"
        raise WrongValue(f"the key holds {holds}")
    return header
