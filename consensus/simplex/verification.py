"""Checking what others signed: messages before a machine sees them, certificates for anybody.

Everything here needs a power table and the genesis hash, nothing else: light clients, sync and
the runtime's judge of evidence call it without a machine.
"""

from consensus.simplex.messages import (
    Certificate,
    Finalize,
    Message,
    Notarize,
    Nullify,
    Proposal,
    Request,
    Signed,
    bitmap,
    message_bytes,
    signed_bytes,
)
from primitives.crypto import is_valid_signature
from primitives.errors import LoopinError
from primitives.power_table import PowerTable
from primitives.types import Digest, PublicKey, Signature


class InvalidMessage(LoopinError):
    """A message that no correct node sends: blame whoever it came from."""


class UnknownSigner(InvalidMessage):
    """The message names a position that the power table does not have."""


class BadSignature(InvalidMessage):
    """A signature is not that of the named validator over these words."""


class BadBitmap(InvalidMessage):
    """The bitmap's length, its spare bits or the number of signatures does not fit the table."""


class NoQuorum(InvalidMessage):
    """The signers weigh two thirds of the total or less."""


class ViewZero(InvalidMessage):
    """Views start at 1; 0 stands for the epoch's root, in which nobody votes."""


def verify_signed(table: PowerTable, genesis: Digest, message: Signed) -> None:
    """Check the signer and the signature of a proposal or a vote.

    Raises: ViewZero, UnknownSigner, BadSignature.
    """
    if message.view < 1:
        raise ViewZero(message)
    if message.signer >= len(table):
        raise UnknownSigner(message.signer, len(table))
    public = table[message.signer].consensus_key
    if not is_valid_signature(public, message_bytes(genesis, message), message.signature):
        raise BadSignature(message)


def certificate_checks(
    table: PowerTable, genesis: Digest, certificate: Certificate
) -> tuple[bytes, list[tuple[PublicKey, Signature]]]:
    """Return the one signed text and the (key, signature) pairs that remain to be checked.

    Everything but the signatures is checked here, so that a pool of workers can take the rest.
    Raises: ViewZero, BadBitmap, NoQuorum.
    """
    if certificate.view < 1:
        raise ViewZero(certificate)
    positions = list(certificate.positions())
    canonical = not positions or positions[-1] < len(table)
    if not canonical or bitmap(positions, len(table)) != certificate.signers:
        raise BadBitmap(certificate.signers, len(table))
    if len(positions) != len(certificate.signatures):
        raise BadBitmap(len(positions), len(certificate.signatures))
    weight = table.weight_of(positions)
    if not table.is_quorum(weight):
        raise NoQuorum(weight, table.total)
    text = signed_bytes(
        genesis, certificate.kind, certificate.epoch, certificate.view, certificate.block
    )
    keys = [table[position].consensus_key for position in positions]
    return text, list(zip(keys, certificate.signatures, strict=True))


def verify_certificate(table: PowerTable, genesis: Digest, certificate: Certificate) -> None:
    """Check a certificate against the power table of its epoch.

    The caller chooses the table by ``certificate.epoch``, which the signatures cover.
    Raises: ViewZero, BadBitmap, NoQuorum, BadSignature.
    """
    text, pairs = certificate_checks(table, genesis, certificate)
    for public, signature in pairs:
        if not is_valid_signature(public, text, signature):
            raise BadSignature(certificate)


def verify_message(table: PowerTable, genesis: Digest, message: Message) -> None:
    """Check everything that a message's own bytes and the table can tell.

    Raises: InvalidMessage.
    """
    match message:
        case Certificate():
            verify_certificate(table, genesis, message)
        case Proposal() | Notarize() | Nullify() | Finalize():
            verify_signed(table, genesis, message)
        case Request():
            pass
