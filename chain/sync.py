"""Catching up, without waiting: whom to ask for which blocks, and what an answer proves.

A range of blocks is proven before any of it is executed: its hashes link it to a block that is
final already, and a certificate of the epoch's validators makes its last block, and so all of it,
final. Whoever sent a range that is not proven has lied; one that is proven and cannot be executed
is nobody's lie, but a chain that this program does not understand.

Invariants: nothing here reads a clock, waits or touches a disk; what peers claim is bounded by
their number; a range never crosses the end of an epoch, so one power table proves it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from chain.handover import NotFinal
from consensus.simplex.messages import CERTIFICATE, Certificate, Kind
from consensus.simplex.verification import verify_certificate
from primitives.block import Block
from primitives.errors import DecodeError
from primitives.merkle import merkle_root
from primitives.power_table import PowerTable
from primitives.types import Digest, Epoch, Height
from runtime.session import epoch_of

AVOIDED_MIN = 1.0
AVOIDED_MAX = 60.0
"""Seconds for which a peer that failed is not asked; doubled with each failure in a row."""

PeerName: TypeAlias = str


class BadRange(DecodeError):
    """The answer is not the range of final blocks that was asked for."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The block on which a range has to stand."""

    height: Height
    hash: Digest


@dataclass(frozen=True, slots=True)
class Ask:
    """What to ask a peer for."""

    peer: PeerName
    first: Height
    count: int


@dataclass(frozen=True, slots=True)
class ProvenRange:
    """Blocks that are final, whatever executing them gives."""

    blocks: tuple[Block, ...]
    certificate: bytes
    """Of the last block; it stands for all of them."""
    finalization: Certificate

    @property
    def end(self) -> Anchor:
        """The last block."""
        return Anchor(self.blocks[-1].header.height, self.blocks[-1].hash)


def prove_range(
    anchor: Anchor,
    table: PowerTable,
    genesis: Digest,
    answer: Sequence[tuple[Block, bytes]],
    *,
    epoch_length: int,
) -> ProvenRange:
    """Return the blocks of an answer once they are proven final; ``table`` is their epoch's.

    Each block comes with its certificate, or with none; that of the last one counts.
    Raises: BadRange, NotFinal, DecodeError, InvalidMessage: each is the sender's fault.
    """
    if not answer:
        raise BadRange("no block at all")
    epoch = epoch_of(Height(anchor.height + 1), epoch_length)
    height, parent = anchor.height, anchor.hash
    for block, _ in answer:
        header = block.header
        height = Height(height + 1)
        if (header.height, header.parent_hash) != (height, parent):
            raise BadRange(f"height {header.height} is not on the block {height - 1} before it")
        if header.epoch != epoch or epoch_of(height, epoch_length) != epoch:
            raise BadRange(f"height {height} of epoch {header.epoch} in a range of epoch {epoch}")
        if merkle_root(block.extrinsics) != header.extrinsics_root:
            raise BadRange(f"height {height} has other extrinsics than its header says")
        parent = header.hash
    encoded = answer[-1][1]
    certificate = _finalization(encoded, epoch, parent)
    verify_certificate(table, genesis, certificate)
    return ProvenRange(tuple(block for block, _ in answer), encoded, certificate)


def _finalization(encoded: bytes, epoch: Epoch, block: Digest) -> Certificate:
    if not encoded:
        raise BadRange("no certificate at the end")
    certificate = CERTIFICATE.decode(encoded)
    if (certificate.kind, certificate.epoch, certificate.block) != (Kind.FINALIZE, epoch, block):
        raise NotFinal(f"epoch {epoch}, block 0x{block.hex()}")
    return certificate


@dataclass(slots=True)
class _Peer:
    height: Height
    asked: int = 0
    """When it was last asked, counted in questions."""
    failures: int = 0
    """In a row."""
    avoided_until: float = 0.0


class SyncPlan:
    """Who is how far, and who is asked next. Times are seconds of any one clock."""

    def __init__(self, *, epoch_length: int, blocks_max: int, behind_min: int) -> None:
        """Ask for at most ``blocks_max`` blocks, and only if ``behind_min`` behind."""
        self._epoch_length = epoch_length
        self._blocks_max = blocks_max
        self._behind_min = behind_min
        self._peers: dict[PeerName, _Peer] = {}
        self._questions = 0

    def on_head(self, peer: PeerName, height: Height) -> None:
        """Note how far a peer says it is."""
        self._peers.setdefault(peer, _Peer(height)).height = height

    def on_gone(self, peer: PeerName) -> None:
        """Forget a peer; one that comes back begins anew."""
        self._peers.pop(peer, None)

    def on_served(self, peer: PeerName) -> None:
        """Note that a peer's answer was good."""
        if (known := self._peers.get(peer)) is not None:
            known.failures, known.avoided_until = 0, 0.0

    def on_failed(self, peer: PeerName, now: float) -> None:
        """Ask others for a while."""
        if (known := self._peers.get(peer)) is not None:
            pause = min(AVOIDED_MAX, AVOIDED_MIN * 2 ** min(known.failures, 16))
            known.failures += 1
            known.avoided_until = now + pause

    def is_behind(self, final: Height, now: float) -> bool:
        """Return whether a peer that may be asked is far enough ahead of ``final``."""
        return self.highest(now) >= final + self._behind_min

    def highest(self, now: float) -> Height:
        """Return how far the furthest peer that may be asked says it is."""
        heights = (peer.height for peer in self._peers.values() if peer.avoided_until <= now)
        return max(heights, default=Height(0))

    def next_ask(self, after: Height, now: float) -> Ask | None:
        """Return whom to ask for what follows the block ``after``; None if nobody has it.

        Of those who have it, the one that has not been asked for longest.
        """
        able = [
            name
            for name, peer in sorted(self._peers.items())
            if peer.height > after and peer.avoided_until <= now
        ]
        if not able:
            return None
        name = min(able, key=lambda able_name: self._peers[able_name].asked)
        self._questions += 1
        self._peers[name].asked = self._questions
        boundary = (epoch_of(Height(after + 1), self._epoch_length) + 1) * self._epoch_length
        last = min(after + self._blocks_max, boundary, self._peers[name].height)
        return Ask(name, Height(after + 1), last - after)

    def next_chance(self, final: Height, now: float) -> float | None:
        """Return when a peer that is far ahead may be asked again; None if there is none."""
        times = [
            peer.avoided_until
            for peer in self._peers.values()
            if peer.avoided_until > now and peer.height >= final + self._behind_min
        ]
        return min(times, default=None)
