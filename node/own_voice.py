"""Hearing whether our consensus key speaks on another machine.

Invariants: only words with a valid signature of the key count, whatever table, epoch or view they
name, for a node that starts may be behind; words that our journal holds, and those at or below the
last final view that it knows, are echoes of our own and count as nothing.
"""

from collections.abc import Iterable

from consensus.simplex.messages import Certificate, Kind, Message, Request, Signed, message_bytes
from consensus.simplex.pledges import Floor, Record
from primitives.crypto import is_valid_signature
from primitives.types import Digest, PublicKey


class OwnVoice:
    """What our key has said, as far as our journal knows."""

    def __init__(self, genesis: Digest, key: PublicKey, records: Iterable[Record]) -> None:
        """Take the journal's ``records`` as they are at the start of the node."""
        self._genesis = genesis
        self._key = key
        self._floor = (0, 0)
        self._said: set[Signed] = set()
        for record in records:
            match record:
                case Floor(epoch, view):
                    self._floor = max(self._floor, (epoch, view))
                case Certificate(kind, epoch, view):
                    if kind is Kind.FINALIZE:
                        self._floor = max(self._floor, (epoch, view))
                case _:
                    self._said.add(record)

    def is_forgotten(self, certificate: Certificate, position: int) -> bool:
        """Return whether a certificate has a vote of ours that our journal does not know.

        It was verified, under a table that has our key at ``position``.
        """
        if (certificate.epoch, certificate.view) <= self._floor:
            return False
        signed = zip(certificate.positions(), certificate.signatures, strict=True)
        ours = [signature for signer, signature in signed if signer == position]
        known = {word.signature for word in self._said}
        return any(signature not in known for signature in ours)

    def is_from_elsewhere(self, message: Message) -> bool:
        """Return whether our key said something that our journal does not know.

        Then the journal was lost, or another machine runs with this key.
        """
        if isinstance(message, Certificate | Request):
            return False
        if (message.epoch, message.view) <= self._floor or message in self._said:
            return False
        text = message_bytes(self._genesis, message)
        return is_valid_signature(self._key, text, message.signature)
