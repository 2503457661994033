"""What a validator reports of the evidence that its node holds, without an operator.

It goes into the blocks that the node builds, one piece a block. Nothing is sent around: every
validator that saw the contradiction has the evidence, and the first of them to lead reports it.

Invariants: what is offered for a block punishes somebody in the state that the block starts from,
as far as can be told without its signatures; evidence is forgotten only when the punishment is
final or can never come, so that no lost branch takes it away.
"""

import logging
from collections.abc import Iterator
from functools import cache

from chain.blockchain import Blockchain, Finalized
from consensus.simplex.evidence import EVIDENCE, Evidence
from node.evidence import EvidenceFile
from primitives.power_table import PowerTable
from primitives.types import Digest, Epoch, Height
from runtime.runtime import Runtime
from runtime.session import epoch_of, is_boundary

OFFENDED = "offences.Offended"

_log = logging.getLogger(__name__)


class EvidenceReports:
    """Brings a node's evidence into the blocks that it builds."""

    def __init__(self, file: EvidenceFile, chain: Blockchain) -> None:
        self._file, self._chain = file, chain

    def find(self, parent: Digest) -> Iterator[bytes]:
        """Yield what a block above ``parent`` may report.

        Another piece is the first in each block, so that none waits behind one that fails.
        Raises: UnknownBlock, UnknownState.
        """
        pieces = self._file.pieces
        if not pieces:
            return
        runtime = self._chain.runtime_after(parent)
        height = Height(runtime.context.block.height + 1)
        now = epoch_of(height, self._chain.config.session.epoch_length)
        offender = _Offenders(runtime)
        start = height % len(pieces)
        for piece in (*pieces[start:], *pieces[:start]):
            epoch = piece.first.epoch
            is_timely = self._oldest(now) <= epoch <= now
            if is_timely and not offender.is_punished(piece):
                yield EVIDENCE.encode(piece)

    def on_final(self, finalized: Finalized) -> None:
        """Forget what was punished, by whomever it was reported, and what nobody can punish."""
        header = finalized.header
        if not len(self._file):
            return
        length = self._chain.config.session.epoch_length
        events = (event for receipt in finalized.receipts for event in receipt.events)
        is_news = any(isinstance(event, list) and event[:1] == [OFFENDED] for event in events)
        if not is_news and not is_boundary(header.height, length):
            return
        self._file.expire(self._oldest(epoch_of(Height(header.height + 1), length)))
        offenders = _Offenders(self._chain.runtime_after(self._chain.final_hash))
        settled = [piece for piece in self._file.pieces if offenders.is_punished(piece)]
        for piece in settled:
            _log.info(
                "height=%d event=evidence_settled epoch=%d signer=%d",
                header.height,
                piece.first.epoch,
                piece.first.signer,
            )
        self._file.remove(*settled)

    def _oldest(self, now: Epoch) -> Epoch:
        return Epoch(max(0, now - self._chain.config.staking.unbonding_epochs))


class _Offenders:
    """Who is punished already, in one state."""

    def __init__(self, runtime: Runtime) -> None:
        self._offences = runtime.offences
        self._table = cache(lambda epoch: _find_table(runtime, epoch))

    def is_punished(self, piece: Evidence) -> bool:
        epoch, signer = piece.first.epoch, piece.first.signer
        table = self._table(epoch)
        if table is None or signer >= len(table):
            return False
        return self._offences.is_punished(table[signer].account, epoch)


def _find_table(runtime: Runtime, epoch: Epoch) -> PowerTable | None:
    return runtime.session.tables[epoch]
