"""Evidence: two signed messages that no honest validator signs both.

Invariant: evidence that verifies convicts its signer whatever the network did, because the two
signatures alone contradict each other; an honest validator's journal makes sure that it never
signs the second.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import cast

from consensus.simplex.messages import (
    MESSAGE_BYTES_MAX,
    Certificate,
    Finalize,
    Message,
    Notarize,
    Nullify,
    Proposal,
    Request,
    Signed,
    from_plain,
    to_plain,
)
from consensus.simplex.verification import InvalidMessage, verify_signed
from primitives.codec import Codec, Plain, WrongType
from primitives.power_table import PowerTable
from primitives.types import Digest


class Offence(StrEnum):
    """What a pair of messages proves."""

    DOUBLE_PROPOSAL = "double_proposal"
    DOUBLE_NOTARIZE = "double_notarize"
    DOUBLE_FINALIZE = "double_finalize"
    NULLIFY_AND_FINALIZE = "nullify_and_finalize"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two contradicting messages of one signer, one epoch and one view, in canonical order."""

    first: Signed
    second: Signed


class NoContradiction(InvalidMessage):
    """An honest validator may sign both messages."""


def find_offence(first: Signed, second: Signed) -> Offence | None:
    """Return what two messages prove together, or None when they are compatible."""
    place = (first.epoch, first.view, first.signer)
    if place != (second.epoch, second.view, second.signer):
        return None
    match first, second:
        case Proposal(), Proposal():
            same = (first.block, first.parent, first.parent_view) == (
                second.block,
                second.parent,
                second.parent_view,
            )
            return None if same else Offence.DOUBLE_PROPOSAL
        case Notarize(), Notarize():
            return None if first.block == second.block else Offence.DOUBLE_NOTARIZE
        case Finalize(), Finalize():
            return None if first.block == second.block else Offence.DOUBLE_FINALIZE
        case (Nullify(), Finalize()) | (Finalize(), Nullify()):
            return Offence.NULLIFY_AND_FINALIZE
        case _:
            return None


def evidence_of(first: Signed, second: Signed) -> Evidence:
    """Return the evidence of two contradicting messages in the one order it has."""
    ordered = sorted((first, second), key=_rank)
    return Evidence(ordered[0], ordered[1])


def find_evidence(first: Signed, second: Signed) -> Evidence | None:
    """Return the evidence that two messages make together, or None."""
    return None if find_offence(first, second) is None else evidence_of(first, second)


def verify_evidence(table: PowerTable, genesis: Digest, evidence: Evidence) -> Offence:
    """Return the offence of the validator at ``evidence.first.signer``.

    ``table`` is the one of ``evidence.first.epoch``.
    Raises: NoContradiction, and what ``verify_signed`` raises.
    """
    offence = find_offence(evidence.first, evidence.second)
    if offence is None or evidence_of(evidence.first, evidence.second) != evidence:
        raise NoContradiction(evidence)
    verify_signed(table, genesis, evidence.first)
    verify_signed(table, genesis, evidence.second)
    return offence


def _rank(message: Signed) -> tuple[str, bytes]:
    return type(message).__name__, b"" if isinstance(message, Nullify) else _words(message)


def _words(message: Proposal | Notarize | Finalize) -> bytes:
    if isinstance(message, Proposal):
        return message.block + message.parent + message.parent_view.to_bytes(8, "big")
    return message.block


def _evidence_to_plain(evidence: Evidence) -> Plain:
    return [to_plain(evidence.first), to_plain(evidence.second)]


def _evidence_from_plain(plain: Plain) -> Evidence:
    if not isinstance(plain, list) or len(plain) != 2:
        raise WrongType("evidence is two messages")
    messages: list[Message] = [from_plain(item) for item in plain]
    if any(isinstance(message, Certificate | Request) for message in messages):
        raise WrongType("evidence holds proposals and votes only")
    first, second = cast("list[Signed]", messages)
    return Evidence(first, second)


EVIDENCE: Codec[Evidence] = Codec(
    {"type": "evidence"},
    min(1024, 2 * MESSAGE_BYTES_MAX),
    4,
    _evidence_to_plain,
    _evidence_from_plain,
)
