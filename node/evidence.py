"""Evidence of validators that signed two things: kept until it has been reported.

The file is one canonical list of encoded pieces.

Invariants: of one validator, epoch and offence there is one piece, since one is enough; pieces
and file are bounded, the oldest epochs go first; the file is replaced whole or not at all, and a
damaged one is put aside, never in the way of a start.
"""

import logging
import os
from pathlib import Path

from consensus.simplex.evidence import EVIDENCE, Evidence, Offence, find_offence
from primitives.codec import Codec, blob, listing
from primitives.errors import DecodeError, LoopinError
from primitives.types import Epoch

PIECES_MAX = 256
FILE_MODE = 0o600

_log = logging.getLogger(__name__)
_FILE: Codec[tuple[bytes, ...]] = listing(blob(EVIDENCE.bytes_max), PIECES_MAX)
_Place = tuple[Epoch, int, Offence]


class EvidenceFile:
    """Evidence that this node has seen, and a copy of it on disk."""

    def __init__(self, path: Path) -> None:
        """Take up what the file holds."""
        self.path = path
        self._pieces: dict[_Place, Evidence] = {}
        for piece in _load(path):
            self._pieces[_place_of(piece)] = piece

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def pieces(self) -> tuple[Evidence, ...]:
        """What is held, oldest epoch first."""
        return tuple(self._pieces[place] for place in sorted(self._pieces))

    def add(self, evidence: Evidence) -> bool:
        """Keep a piece, on disk too if the disk lets us; return whether it says anything new.

        Of two pieces about the same offence the first stays.
        """
        place = _place_of(evidence)
        if place in self._pieces:
            return False
        if len(self._pieces) >= PIECES_MAX:
            oldest = min(self._pieces)
            if place < oldest:
                return False
            del self._pieces[oldest]
        self._pieces[place] = evidence
        self._save()
        return True

    def remove(self, *pieces: Evidence) -> None:
        """Forget pieces whose offenders have been punished."""
        gone = [self._pieces.pop(_place_of(piece), None) for piece in pieces]
        if any(gone):
            self._save()

    def expire(self, before: Epoch) -> None:
        """Forget what is of an epoch too old to be punished."""
        kept = {place: piece for place, piece in self._pieces.items() if place[0] >= before}
        if len(kept) < len(self._pieces):
            self._pieces = kept
            self._save()

    def _save(self) -> None:
        encoded = _FILE.encode(tuple(EVIDENCE.encode(piece) for piece in self.pieces))
        aside = self.path.with_suffix(".new")
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(encoded)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.path)
        except OSError as error:
            # Lost evidence is a pity, and no reason for a validator to stop.
            _log.warning("event=evidence_not_saved file=%s error=%r", self.path, error.strerror)


class NoEvidence(LoopinError):
    """The two messages do not contradict each other."""


def offence_of(evidence: Evidence) -> Offence:
    """Return what the two messages prove together. Raises: NoEvidence."""
    offence = find_offence(evidence.first, evidence.second)
    if offence is None:
        raise NoEvidence(evidence)
    return offence


def _place_of(evidence: Evidence) -> _Place:
    return (evidence.first.epoch, evidence.first.signer, offence_of(evidence))


def _load(path: Path) -> list[Evidence]:
    try:
        encoded = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        _log.warning("event=evidence_not_read file=%s error=%r", path, error.strerror)
        return []
    try:
        pieces = [EVIDENCE.decode(piece) for piece in _FILE.decode(encoded)]
        for piece in pieces:
            _place_of(piece)
    except (DecodeError, NoEvidence) as error:
        _log.warning("event=evidence_damaged file=%s error=%s", path, error.reason)
        path.replace(path.with_suffix(".damaged"))
        return []
    return pieces
