"""From one epoch's power table to the next, proven: all that a light client follows of history.

A handover is the boundary block's header, its finalization, and the next table as the state after
that block holds it, with its state proof. Who knows an epoch's table checks the finalization with
it and learns the next; from the chain spec's validators that leads to the present.

Invariants: a table is learned only from a state root that the table before it made final; nothing
here needs a store, a network or a runtime; handovers are kept for ever, whatever is pruned.
"""

from dataclasses import dataclass

from chain.light_proof import ReadProof, verify_read
from consensus.simplex.messages import CERTIFICATE, Certificate, Kind
from consensus.simplex.verification import verify_certificate
from primitives.block import HEADER, Header
from primitives.codec import U64, blob, struct
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import DecodeError
from primitives.power_table import POWER_TABLE, PowerTable
from primitives.types import Digest, Epoch, StorageKey
from runtime.session import Session, is_boundary

PROOF_BYTES_MAX = 1 << 15


class NotFinal(DecodeError):
    """The certificate is not a finalization of this header in this epoch."""


class NotBoundary(DecodeError):
    """The header is not that of the epoch's last block."""


@dataclass(frozen=True, slots=True)
class Handover:
    """How the table after one epoch follows from the table of that epoch."""

    header: bytes
    certificate: bytes
    table: bytes
    """The next table, as it is stored."""
    proof: bytes


HANDOVER = struct(
    Handover,
    header=blob(HEADER.bytes_max),
    certificate=blob(CERTIFICATE.bytes_max),
    table=blob(POWER_TABLE.bytes_max),
    proof=blob(PROOF_BYTES_MAX),
)


def table_key(epoch: Epoch) -> StorageKey:
    """Return the storage key of an epoch's power table."""
    return StorageKey(f"{Session.name}.tables:".encode() + U64.encode(epoch))


class TableChain:
    """The power tables from genesis on, one proven by the other."""

    def __init__(self, genesis: Digest, table: PowerTable, epoch_length: int) -> None:
        """Start in epoch 0, whose ``table`` the chain spec names."""
        self.genesis = genesis
        self.epoch = Epoch(0)
        self.table = table
        self._epoch_length = epoch_length

    def advance(self, handover: Handover) -> Header:
        """Take the next epoch's table; return the boundary's header.

        Raises: DecodeError, InvalidMessage, LoopinError of ``verify_read``.
        """
        header = HEADER.decode(handover.header)
        self.verify_final(header, handover.certificate)
        if not is_boundary(header.height, self._epoch_length):
            raise NotBoundary(f"height {header.height}")
        following = Epoch(self.epoch + 1)
        read = ReadProof(handover.header, table_key(following), handover.table, handover.proof)
        verify_read(keyed_hash(Purpose.HEADER, handover.header), read)
        self.table = POWER_TABLE.decode(handover.table)
        self.epoch = following
        return header

    def verify_final(self, header: Header, encoded: bytes) -> Certificate:
        """Check that a header of the present epoch is final, and return its finalization.

        Raises: DecodeError, InvalidMessage.
        """
        certificate = CERTIFICATE.decode(encoded)
        named = (certificate.kind, certificate.epoch, certificate.block)
        if named != (Kind.FINALIZE, self.epoch, header.hash) or header.epoch != self.epoch:
            raise NotFinal(f"epoch {self.epoch}, block 0x{header.hash.hex()}")
        verify_certificate(self.table, self.genesis, certificate)
        return certificate
