"""What validators say to each other: proposals, votes, certificates, and requests for them.

Invariants: a signature covers the domain, the chain (genesis hash), the epoch, the kind and the
view, and the block where there is one, so that no signature means anything on another chain, in
another epoch or as another kind. A certificate holds its signatures in table order and names
their signers by a bitmap of exactly one bit a validator; there is one encoding of each message.

Checking signatures is ``verification.py``; what a machine does with messages is ``machine.py``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias, cast

from primitives.codec import (
    DIGEST,
    U16,
    U64,
    Codec,
    Plain,
    WrongType,
    blob,
    decode,
    encode,
    fixed,
    listing,
    struct,
)
from primitives.power_table import VALIDATORS_MAX
from primitives.types import Digest, Epoch, Signature, View

DOMAIN = b"loopin/consensus/1"


class Kind(IntEnum):
    """The first byte of a message, and part of what its signature covers."""

    PROPOSAL = 0
    NOTARIZE = 1
    NULLIFY = 2
    FINALIZE = 3
    CERTIFICATE = 4
    REQUEST = 5


@dataclass(frozen=True, slots=True)
class Proposal:
    """The leader's offer for a view: this block, on that notarized parent."""

    epoch: Epoch
    view: View
    parent_view: View
    """View in which the parent is notarized; 0 for the epoch's root."""
    parent: Digest
    block: Digest
    signer: int
    """Position in the power table."""
    signature: Signature


@dataclass(frozen=True, slots=True)
class Notarize:
    """A vote: this block is valid, and the first that I saw in this view."""

    epoch: Epoch
    view: View
    block: Digest
    signer: int
    signature: Signature


@dataclass(frozen=True, slots=True)
class Nullify:
    """A vote: this view shall produce nothing; I shall never finalize in it."""

    epoch: Epoch
    view: View
    signer: int
    signature: Signature


@dataclass(frozen=True, slots=True)
class Finalize:
    """A vote: I hold this block's notarization and shall never nullify its view."""

    epoch: Epoch
    view: View
    block: Digest
    signer: int
    signature: Signature


@dataclass(frozen=True, slots=True)
class Certificate:
    """A quorum of one kind of vote: a notarization, a nullification or a finalization."""

    kind: Kind
    epoch: Epoch
    view: View
    block: Digest | None
    """None for a nullification, and only there."""
    signers: bytes
    """Bit ``i % 8`` of byte ``i // 8`` stands for position ``i`` of the power table."""
    signatures: tuple[Signature, ...]

    def positions(self) -> Iterator[int]:
        """Yield the signers' positions in table order."""
        for place, byte in enumerate(self.signers):
            for bit in range(8):
                if byte >> bit & 1:
                    yield 8 * place + bit

    def holds(self, position: int) -> bool:
        """Return whether the validator at ``position`` is among the signers."""
        return bool(self.signers[position // 8] >> position % 8 & 1)

    def vote_of(self, position: int) -> "Vote":
        """Return the vote of a validator that is among the signers."""
        return next(vote for vote in self.votes() if vote.signer == position)

    def votes(self) -> "Iterator[Vote]":
        """Yield the votes that make the quorum, in table order."""
        for position, signature in zip(self.positions(), self.signatures, strict=True):
            if self.block is None:
                yield Nullify(self.epoch, self.view, position, signature)
            elif self.kind is Kind.NOTARIZE:
                yield Notarize(self.epoch, self.view, self.block, position, signature)
            else:
                yield Finalize(self.epoch, self.view, self.block, position, signature)


@dataclass(frozen=True, slots=True)
class Request:
    """A plea for the certificates of the views from ``first`` to ``last``; carries no signature."""

    epoch: Epoch
    first: View
    last: View


Vote: TypeAlias = Notarize | Nullify | Finalize
Signed: TypeAlias = Proposal | Vote
Message: TypeAlias = Signed | Certificate | Request


def signed_bytes(
    genesis: Digest, kind: Kind, epoch: Epoch, view: View, block: Digest | None
) -> bytes:
    """Return what a vote's signature covers, and every signature of a certificate."""
    head = b"".join(
        (DOMAIN, genesis, epoch.to_bytes(8, "big"), bytes([kind]), view.to_bytes(8, "big"))
    )
    return head if block is None else head + block


def proposal_bytes(
    genesis: Digest, epoch: Epoch, view: View, parent_view: View, parent: Digest, block: Digest
) -> bytes:
    """Return what a proposal's signature covers: a vote's bytes, then the parent."""
    head = signed_bytes(genesis, Kind.PROPOSAL, epoch, view, block)
    return head + parent_view.to_bytes(8, "big") + parent


def message_bytes(genesis: Digest, message: Signed) -> bytes:
    """Return what the signature of ``message`` covers."""
    epoch, view = message.epoch, message.view
    match message:
        case Proposal(parent_view=parent_view, parent=parent, block=block):
            return proposal_bytes(genesis, epoch, view, parent_view, parent, block)
        case Nullify():
            return signed_bytes(genesis, Kind.NULLIFY, epoch, view, None)
        case Notarize(block=block):
            return signed_bytes(genesis, Kind.NOTARIZE, epoch, view, block)
        case Finalize(block=block):
            return signed_bytes(genesis, Kind.FINALIZE, epoch, view, block)


def bitmap(positions: list[int], length: int) -> bytes:
    """Return the bitmap of ``positions`` over a table of ``length`` validators."""
    bits = bytearray((length + 7) // 8)
    for position in positions:
        bits[position // 8] |= 1 << position % 8
    return bytes(bits)


_EPOCH = cast("Codec[Epoch]", U64)
_VIEW = cast("Codec[View]", U64)
_SIGNATURE = cast("Codec[Signature]", fixed(64, "signature"))
_SIGNATURES = listing(_SIGNATURE, VALIDATORS_MAX)
_BITMAP = blob(VALIDATORS_MAX // 8)

_PROPOSAL = struct(
    Proposal,
    epoch=_EPOCH,
    view=_VIEW,
    parent_view=_VIEW,
    parent=DIGEST,
    block=DIGEST,
    signer=U16,
    signature=_SIGNATURE,
)
_NOTARIZE = struct(
    Notarize, epoch=_EPOCH, view=_VIEW, block=DIGEST, signer=U16, signature=_SIGNATURE
)
_NULLIFY = struct(Nullify, epoch=_EPOCH, view=_VIEW, signer=U16, signature=_SIGNATURE)
_FINALIZE = struct(
    Finalize, epoch=_EPOCH, view=_VIEW, block=DIGEST, signer=U16, signature=_SIGNATURE
)
_REQUEST = struct(Request, epoch=_EPOCH, first=_VIEW, last=_VIEW)

_CERTIFIED = (Kind.NOTARIZE, Kind.NULLIFY, Kind.FINALIZE)
_CERTIFICATE_FIELDS = 6


def _certificate_to_plain(certificate: Certificate) -> Plain:
    return [
        int(certificate.kind),
        certificate.epoch,
        certificate.view,
        certificate.block,
        certificate.signers,
        list(certificate.signatures),
    ]


def _certificate_from_plain(plain: Plain) -> Certificate:
    if not isinstance(plain, list) or len(plain) != _CERTIFICATE_FIELDS:
        raise WrongType("a certificate has six fields")
    kind, epoch, view, block, signers, signatures = plain
    if type(kind) is not int or kind not in _CERTIFIED:
        raise WrongType(f"not a kind of certificate: {kind!r:.40}")
    if (block is None) != (kind == Kind.NULLIFY):
        raise WrongType("a nullification names no block, every other certificate one")
    return Certificate(
        Kind(kind),
        _EPOCH.from_plain(epoch),
        _VIEW.from_plain(view),
        None if block is None else DIGEST.from_plain(block),
        _BITMAP.from_plain(signers),
        _SIGNATURES.from_plain(signatures),
    )


CERTIFICATE: Codec[Certificate] = Codec(
    {"type": "certificate"},
    5 + 9 + 9 + 9 + DIGEST.bytes_max + _BITMAP.bytes_max + _SIGNATURES.bytes_max,
    _SIGNATURES.depth + 1,
    _certificate_to_plain,
    _certificate_from_plain,
)

_CODECS: dict[Kind, tuple[type[Any], Codec[Any]]] = {  # Any: the messages differ in type
    Kind.PROPOSAL: (Proposal, _PROPOSAL),
    Kind.NOTARIZE: (Notarize, _NOTARIZE),
    Kind.NULLIFY: (Nullify, _NULLIFY),
    Kind.FINALIZE: (Finalize, _FINALIZE),
    Kind.CERTIFICATE: (Certificate, CERTIFICATE),
    Kind.REQUEST: (Request, _REQUEST),
}
_KINDS = {cls: kind for kind, (cls, _) in _CODECS.items()}

MESSAGE_BYTES_MAX = CERTIFICATE.bytes_max + 2
"""No valid message is longer."""
_MESSAGE_DEPTH = CERTIFICATE.depth + 1


def to_plain(message: Message) -> Plain:
    """Return ``message`` as ``[kind, fields]``."""
    kind = _KINDS[type(message)]
    return [int(kind), _CODECS[kind][1].to_plain(message)]


def from_plain(plain: Plain) -> Message:
    """Return the message of ``[kind, fields]``. Raises: WrongType."""
    if not isinstance(plain, list) or len(plain) != 2 or type(plain[0]) is not int:
        raise WrongType("a consensus message is [kind, fields]")
    if plain[0] not in Kind.__members__.values():
        raise WrongType(f"not a kind of consensus message: {plain[0]}")
    return cast("Message", _CODECS[Kind(plain[0])][1].from_plain(plain[1]))


def encode_message(message: Message) -> bytes:
    """Return the canonical bytes of ``message``."""
    return encode(to_plain(message))


def decode_message(data: bytes) -> Message:
    """Return the message of untrusted ``data``, its signatures unchecked. Raises: DecodeError."""
    return from_plain(decode(data, bytes_max=MESSAGE_BYTES_MAX, depth_max=_MESSAGE_DEPTH))
