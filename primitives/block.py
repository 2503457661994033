"""Blocks and what they are made of, with their canonical bytes and hashes.

Invariant: a block's hash is the hash of its header's bytes, and the header commits to everything
else: the parent, the extrinsics, their receipts and the state after them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from primitives.codec import (
    ACCOUNT,
    AMOUNT,
    DIGEST,
    U64,
    Malformed,
    Plain,
    TooLarge,
    WrongType,
    blob,
    decode,
    encode,
    struct,
)
from primitives.crypto import SIGNATURE_BYTES, Purpose, keyed_hash
from primitives.types import (
    UINT64_MAX,
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Millis,
    Nonce,
    Signature,
    SpecVersion,
    View,
    Weight,
)

EXTRINSIC_VERSION = 1
EXTRINSIC_BYTES_MAX = 1 << 16
"""Hard limit of one encoded extrinsic; the chain spec may set a lower one, never a higher."""
EXTRINSICS_MAX = 1 << 14
"""Hard limit of extrinsics in a block."""
BLOCK_BYTES_MAX = 1 << 23
"""Hard limit of an encoded block."""
VRF_PROOF_BYTES = 80
IMMORTAL = Height(UINT64_MAX)
"""``valid_until`` of an extrinsic that never expires."""

_SIGNATURE_TAIL = SIGNATURE_BYTES + 2
_EXTRINSIC_DEPTH = 16
_EXTRINSIC_FIELDS = 7
_BLOCK_ITEMS_MAX = EXTRINSICS_MAX + 16
"""The extrinsics, and the fields of the header."""


class WrongVersion(WrongType):
    """The extrinsic's version is not one that this node knows."""


@dataclass(frozen=True, slots=True)
class Header:
    """What consensus agrees on: everything else follows from it."""

    parent_hash: Digest
    height: Height
    view: View
    epoch: Epoch
    timestamp: Millis
    """Since 1970-01-01T00:00Z; later than the parent's."""
    author: AccountId
    state_root: Digest
    """Root of the state tree after this block."""
    extrinsics_root: Digest
    receipts_root: Digest
    vrf_proof: bytes
    """ECVRF proof of the author over (epoch randomness, epoch, view); empty in genesis."""

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return HEADER.encode(self)

    @property
    def hash(self) -> Digest:
        """The block's hash."""
        return keyed_hash(Purpose.HEADER, HEADER.encode(self))


HEADER = struct(
    Header,
    parent_hash=DIGEST,
    height=U64,
    view=U64,
    epoch=U64,
    timestamp=U64,
    author=ACCOUNT,
    state_root=DIGEST,
    extrinsics_root=DIGEST,
    receipts_root=DIGEST,
    vrf_proof=blob(VRF_PROOF_BYTES),
)


@dataclass(frozen=True, slots=True)
class Block:
    """A header and the encoded extrinsics that its ``extrinsics_root`` commits to."""

    header: Header
    extrinsics: tuple[bytes, ...]

    @property
    def hash(self) -> Digest:
        """The hash of the header."""
        return self.header.hash

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([HEADER.to_plain(self.header), self.extrinsics])

    @classmethod
    def decode(cls, data: bytes) -> "Block":
        """Return the block of untrusted ``data``, extrinsics still opaque. Raises: DecodeError."""
        plain = decode(data, bytes_max=BLOCK_BYTES_MAX, depth_max=2, items_max=_BLOCK_ITEMS_MAX)
        if not isinstance(plain, list) or len(plain) != 2:
            raise WrongType("a block is [header, extrinsics]")
        return cls(HEADER.from_plain(plain[0]), body_from_plain(plain[1]))


def body_from_plain(plain: Plain) -> tuple[bytes, ...]:
    """Return the encoded extrinsics of a decoded body. Raises: WrongType, TooLarge."""
    if not isinstance(plain, list) or not all(type(item) is bytes for item in plain):
        raise WrongType("a block body is a list of byte strings")
    if len(plain) > EXTRINSICS_MAX:
        raise TooLarge(f"{len(plain)} extrinsics, at most {EXTRINSICS_MAX} allowed")
    return tuple(cast("list[bytes]", plain))


@dataclass(frozen=True, slots=True)
class Extrinsic:
    """A request to the chain: signed by an account, or an inherent put in by the author.

    Invariant: ``encoded`` is the canonical encoding of the other fields.
    """

    signer: AccountId | None
    """None for an inherent."""
    nonce: Nonce
    valid_until: Height
    """Highest block that may hold it."""
    tip: Balance
    call: Plain
    """``["module.call", argument, ...]``; the runtime knows the arguments' types."""
    signature: Signature | None
    encoded: bytes

    @property
    def hash(self) -> Digest:
        """The hash by which the extrinsic is known."""
        return keyed_hash(Purpose.EXTRINSIC, self.encoded)

    @classmethod
    def decode(cls, data: bytes) -> "Extrinsic":
        """Return the extrinsic of untrusted ``data``, its signature not yet checked.

        Raises: DecodeError.
        """
        plain = decode(data, bytes_max=EXTRINSIC_BYTES_MAX, depth_max=_EXTRINSIC_DEPTH)
        if not isinstance(plain, list) or len(plain) != _EXTRINSIC_FIELDS:
            raise WrongType(f"an extrinsic has {_EXTRINSIC_FIELDS} fields")
        version, signer, *numbers, call, signature = plain
        if version != EXTRINSIC_VERSION or type(version) is not int:
            raise WrongVersion(f"extrinsic version {version!r:.20}")
        if not isinstance(call, list) or not call or not isinstance(call[0], str):
            raise WrongType("a call is [name, argument, ...]")
        nonce, valid_until, tip = [U64.from_plain(number) for number in numbers]
        if signer == b"" and signature == b"":
            if nonce or valid_until or tip:
                raise WrongType("an inherent has no nonce, lifetime or tip")
            account, seal = None, None
        else:
            account = ACCOUNT.from_plain(signer)
            if not isinstance(signature, bytes) or len(signature) != SIGNATURE_BYTES:
                raise WrongType("a signed extrinsic ends with a signature of 64 bytes")
            seal = Signature(signature)
        return cls(account, Nonce(nonce), Height(valid_until), Balance(tip), call, seal, data)


def signing_prefix(genesis: Digest, spec_version: SpecVersion) -> bytes:
    """Return what stands before the extrinsic's own bytes in what its signature covers."""
    return Purpose.EXTRINSIC_SIGNING + genesis + int(spec_version).to_bytes(4, "big")


def signing_payload(prefix: bytes, encoded: bytes) -> bytes:
    """Return what the signature of a signed extrinsic covers: no part of it is encoded again.

    ``prefix`` is ``signing_prefix``; ``encoded`` is the whole extrinsic, which ends with the
    signature's two header bytes and itself. Raises: Malformed.
    """
    if len(encoded) <= _SIGNATURE_TAIL:
        raise Malformed("too short to be a signed extrinsic")
    return prefix + encoded[:-_SIGNATURE_TAIL]


def encode_signed(
    *,
    signer: AccountId,
    nonce: Nonce,
    valid_until: Height,
    tip: Balance,
    call: Plain,
    signature: Signature,
) -> bytes:
    """Return the bytes of a signed extrinsic. To sign one, encode it with 64 zero bytes first."""
    return encode([EXTRINSIC_VERSION, signer, nonce, valid_until, tip, call, signature])


def encode_inherent(call: Plain) -> bytes:
    """Return the bytes of an inherent."""
    return encode([EXTRINSIC_VERSION, b"", 0, 0, 0, call, b""])


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one phase of a block did.

    A block of n extrinsics has n + 2 receipts: the hooks before them, each of them, the hooks
    after them. ``receipts_root`` is the Merkle root over their encodings in that order.
    """

    error: str
    """Empty if it succeeded, else ``module.ErrorName``."""
    fee: Balance
    """Everything the signer paid, tip included; base units."""
    weight: Weight
    events: tuple[Plain, ...]
    """Each ``["module.EventName", field, ...]``."""

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return encode([self.error, self.fee, self.weight, self.events])


def decode_receipts(data: bytes) -> tuple[Receipt, ...]:
    """Return the receipts of a block as ``encode_receipts`` wrote them. Raises: DecodeError."""
    plain = decode(data, bytes_max=BLOCK_BYTES_MAX * 8, depth_max=_EXTRINSIC_DEPTH + 4)
    if not isinstance(plain, list):
        raise WrongType("receipts are a list")
    return tuple([_receipt_from_plain(item) for item in plain])


def encode_receipts(receipts: Sequence[Receipt]) -> bytes:
    """Return the receipts of a block as one value."""
    return encode([[item.error, item.fee, item.weight, item.events] for item in receipts])


def _receipt_from_plain(plain: Plain) -> Receipt:
    if not isinstance(plain, list) or len(plain) != 4:
        raise WrongType("a receipt has 4 fields")
    error, fee, weight, events = plain
    if not isinstance(error, str) or not isinstance(events, list):
        raise WrongType("a receipt is [error, fee, weight, events]")
    return Receipt(error, AMOUNT.from_plain(fee), Weight(U64.from_plain(weight)), tuple(events))
