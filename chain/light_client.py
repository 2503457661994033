"""A client that trusts a chain spec and nobody else: final headers, and reads under them.

It follows the handovers from epoch to epoch, takes the newest header that the present epoch's
validators made final, and believes a value only with its proof under that header.

Invariants: ``final`` is genesis or was proven final, and its height never goes down; nothing here
waits or asks: whoever talks to a node hands in what it answered, and each lie is a typed refusal.
"""

from chain.handover import HANDOVER, TableChain
from chain.light_proof import ReadProof, verify_read
from primitives.block import HEADER, Header
from primitives.codec import AMOUNT
from primitives.errors import LoopinError
from primitives.types import Balance, Millis


class StaleHead(LoopinError):
    """The node gave an older head than one that is known: ask another node."""


class HeadTooOld(LoopinError):
    """The newest final block is long past: the node hides the present, or the chain has stopped."""


class EpochSkipped(LoopinError):
    """The header is of an epoch whose power table has not been proven yet."""


class CheckpointNotReached(LoopinError):
    """The node's chain ends before the trusted block: it is behind, or on a fork."""


class LightClient:
    """What can be known of a chain without its blocks."""

    def __init__(self, tables: TableChain) -> None:
        """Start from the validators of the chain spec."""
        self.tables = tables
        self.final: Header | None = None
        """The newest header that was proven final; None stands for genesis."""

    def take_handover(self, encoded: bytes) -> Header:
        """Go on to the next epoch; return the boundary's header, which is final.

        Raises: DecodeError, InvalidMessage, InvalidProof, WrongValue.
        """
        header = self.tables.advance(HANDOVER.decode(encoded))
        self._note(header)
        return header

    def take_head(self, encoded: bytes, certificate: bytes) -> Header:
        """Take the header that a node says is the newest final one.

        Raises: DecodeError, InvalidMessage, StaleHead, EpochSkipped, CheckpointNotReached.
        """
        header = HEADER.decode(encoded)
        if self.final is not None and header.height < self.final.height:
            raise StaleHead(f"height {header.height}, but {self.final.height} is final")
        is_known = self.final is not None and header.hash == self.final.hash
        if not is_known:
            # The last block of an epoch is known by its handover, under the table before.
            if header.epoch > self.tables.epoch:
                raise EpochSkipped(f"epoch {header.epoch}, proven up to {self.tables.epoch}")
            self.tables.verify_final(header, certificate)
        if not self.tables.has_passed_checkpoint:
            raise CheckpointNotReached(f"the chain ends at height {header.height}")
        self._note(header)
        return header

    def require_recent(self, now: Millis, age_max: Millis) -> None:
        """Refuse a head that is older than ``age_max``. Raises: HeadTooOld."""
        timestamp = 0 if self.final is None else self.final.timestamp
        if now - timestamp > age_max:
            raise HeadTooOld(f"{(now - timestamp) // 1000} seconds")

    def read(self, read: ReadProof) -> bytes | None:
        """Return what a key holds after the newest final block, None if nothing; all proven.

        Raises: WrongHeader, WrongValue, InvalidProof, DecodeError.
        """
        assert self.final is not None, "a head comes before what is read under it"
        verify_read(self.final.hash, read)
        return read.value

    def read_balance(self, read: ReadProof) -> Balance:
        """Return the free balance that ``read`` proves. Raises: as ``read``."""
        value = self.read(read)
        return Balance(0) if value is None else AMOUNT.decode(value)

    def _note(self, header: Header) -> None:
        if self.final is None or header.height >= self.final.height:
            self.final = header
