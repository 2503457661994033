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
from primitives.types import Digest, Epoch, Height, StorageKey
from runtime.session import Session, is_boundary

PROOF_BYTES_MAX = 1 << 15


class NotFinal(DecodeError):
    """The certificate is not a finalization of this header in this epoch."""


class NotBoundary(DecodeError):
    """The header is not that of the epoch's last block."""


class CheckpointMissed(DecodeError):
    """The chain that was proven does not go through the trusted block: it is a fork, or a lie."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An epoch's last block that the operator trusts, told by somebody they know.

    Signatures of validators who have long left cost nothing to buy; a chain that was made of them
    later does not go through a block that everybody knew at the time.
    """

    height: Height
    hash: Digest


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

    def __init__(
        self,
        genesis: Digest,
        table: PowerTable,
        epoch_length: int,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Start in epoch 0, whose ``table`` the chain spec names.

        Raises: NotBoundary if the checkpoint is no epoch's last block.
        """
        if checkpoint is not None and not is_boundary(checkpoint.height, epoch_length):
            raise NotBoundary(f"checkpoint at {checkpoint.height}, epochs of {epoch_length}")
        self.genesis = genesis
        self.epoch = Epoch(0)
        self.table = table
        self.epoch_length = epoch_length
        self._checkpoint = checkpoint

    @property
    def last_height(self) -> Height:
        """The height of the present epoch's boundary block."""
        return Height((self.epoch + 1) * self.epoch_length)

    @property
    def has_passed_checkpoint(self) -> bool:
        """Whether the trusted block, if there is one, lies in an epoch that was handed over."""
        return self._checkpoint is None or self._checkpoint.height < self.last_height

    def advance(self, handover: Handover) -> Header:
        """Take the next epoch's table; return the boundary's header.

        What is refused changes nothing.
        Raises: DecodeError, InvalidMessage, InvalidProof, WrongValue.
        """
        header = HEADER.decode(handover.header)
        self.verify_final(header, handover.certificate)
        if header.height != self.last_height:
            raise NotBoundary(f"height {header.height} where {self.last_height} ends the epoch")
        trusted = self._checkpoint
        if trusted is not None and header.height == trusted.height and header.hash != trusted.hash:
            raise CheckpointMissed(f"height {header.height} is 0x{header.hash.hex()}")
        following = Epoch(self.epoch + 1)
        read = ReadProof(handover.header, table_key(following), handover.table, handover.proof)
        verify_read(keyed_hash(Purpose.HEADER, handover.header), read)
        # Decoded before anything changes.
        table = POWER_TABLE.decode(handover.table)
        self.table, self.epoch = table, following
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
