"""Four validators with known keys, from which consensus tests build messages by hand."""

from collections.abc import Sequence

from consensus.simplex.config import Config, Limits, Timing
from consensus.simplex.machine import Simplex
from consensus.simplex.messages import (
    Certificate,
    Finalize,
    Kind,
    Notarize,
    Nullify,
    Proposal,
    Vote,
    bitmap,
    proposal_bytes,
    signed_bytes,
)
from consensus.simplex.pledges import Record
from primitives.crypto import KeyPair
from primitives.power_table import PowerTable, Validator
from primitives.types import AccountId, Digest, Epoch, Height, Millis, View, VotingPower

GENESIS = Digest(b"g" * 32)
ROOT = Digest(b"r" * 32)
RANDOMNESS = Digest(b"x" * 32)
EPOCH = Epoch(3)
TIMING = Timing(
    leader=Millis(1000), advance=Millis(1500), retry=Millis(500), delay_max=Millis(4000)
)
KEYS = tuple(KeyPair(bytes([place + 1]) * 32) for place in range(4))
A, B, C = Digest(b"a" * 32), Digest(b"b" * 32), Digest(b"c" * 32)


def table(weights: Sequence[int] = (1, 1, 1, 1)) -> PowerTable:
    """Return the table of the four, or of as many as there are weights."""
    return PowerTable(
        tuple(
            Validator(
                AccountId(bytes([place]) * 32),
                KEYS[place].public,
                KeyPair(bytes([place + 101]) * 32).public,
                VotingPower(weight),
            )
            for place, weight in enumerate(weights)
        )
    )


def config(
    own: int | None = 0, *, last: int = 103, limits: Limits | None = None, size: int = 4
) -> Config:
    """Return the set-up of one of them; the epoch runs from height 101 to ``last``."""
    return Config(
        genesis=GENESIS,
        epoch=EPOCH,
        table=table((1,) * size),
        randomness=RANDOMNESS,
        root=ROOT,
        root_height=Height(100),
        last_height=Height(last),
        key=None if own is None else KEYS[own],
        timing=TIMING,
        limits=limits or Limits(),
    )


def machine(own: int | None = 0, journal: tuple[Record, ...] = (), *, last: int = 103) -> Simplex:
    """Return a machine that has not started."""
    return Simplex(config(own, last=last), journal)


def proposal(
    signer: int,
    view: int,
    block: Digest,
    *,
    parent: Digest = ROOT,
    parent_view: int = 0,
    epoch: Epoch = EPOCH,
) -> Proposal:
    """Return a signed proposal."""
    text = proposal_bytes(GENESIS, epoch, View(view), View(parent_view), parent, block)
    signature = KEYS[signer].sign(text)
    return Proposal(epoch, View(view), View(parent_view), parent, block, signer, signature)


def notarize(signer: int, view: int, block: Digest, epoch: Epoch = EPOCH) -> Notarize:
    """Return a signed notarize."""
    text = signed_bytes(GENESIS, Kind.NOTARIZE, epoch, View(view), block)
    return Notarize(epoch, View(view), block, signer, KEYS[signer].sign(text))


def nullify(signer: int, view: int, epoch: Epoch = EPOCH) -> Nullify:
    """Return a signed nullify."""
    text = signed_bytes(GENESIS, Kind.NULLIFY, epoch, View(view), None)
    return Nullify(epoch, View(view), signer, KEYS[signer].sign(text))


def finalize(signer: int, view: int, block: Digest, epoch: Epoch = EPOCH) -> Finalize:
    """Return a signed finalize."""
    text = signed_bytes(GENESIS, Kind.FINALIZE, epoch, View(view), block)
    return Finalize(epoch, View(view), block, signer, KEYS[signer].sign(text))


def certificate(votes: Sequence[Vote], size: int = 4) -> Certificate:
    """Return the certificate of votes that say the same, in the order given."""
    first = votes[0]
    kinds = {Notarize: Kind.NOTARIZE, Nullify: Kind.NULLIFY, Finalize: Kind.FINALIZE}
    return Certificate(
        kinds[type(first)],
        first.epoch,
        first.view,
        None if isinstance(first, Nullify) else first.block,
        bitmap([vote.signer for vote in votes], size),
        tuple(vote.signature for vote in votes),
    )


def notarization(view: int, block: Digest, signers: Sequence[int] = (1, 2, 3)) -> Certificate:
    """Return a quorum of notarize votes."""
    return certificate([notarize(signer, view, block) for signer in signers])


def nullification(view: int, signers: Sequence[int] = (1, 2, 3)) -> Certificate:
    """Return a quorum of nullify votes."""
    return certificate([nullify(signer, view) for signer in signers])


def finalization(view: int, block: Digest, signers: Sequence[int] = (1, 2, 3)) -> Certificate:
    """Return a quorum of finalize votes."""
    return certificate([finalize(signer, view, block) for signer in signers])
