"""The judge of evidence: what the consensus knows of contradictions, lent to the runtime."""

from consensus.simplex.evidence import EVIDENCE, Evidence, verify_evidence
from consensus.simplex.verification import InvalidMessage
from primitives.errors import DecodeError
from primitives.power_table import PowerTable
from primitives.types import Digest, Epoch
from runtime.offences import InvalidEvidence, Verdict


class EquivocationJudge:
    """Reads and verifies two contradicting messages of one validator."""

    def epoch_of(self, evidence: bytes) -> Epoch:
        """Return in which epoch the evidence was signed. Raises: InvalidEvidence."""
        return _decode(evidence).first.epoch

    def judge(self, evidence: bytes, table: PowerTable, genesis: Digest) -> Verdict:
        """Return what the evidence proves. Raises: InvalidEvidence."""
        decoded = _decode(evidence)
        try:
            offence = verify_evidence(table, genesis, decoded)
        except InvalidMessage as error:
            raise InvalidEvidence(f"{error.reason}: {error}") from error
        return Verdict(decoded.first.epoch, decoded.first.signer, offence.value)


JUDGE = EquivocationJudge()


def _decode(evidence: bytes) -> Evidence:
    try:
        return EVIDENCE.decode(evidence)
    except DecodeError as error:
        raise InvalidEvidence(f"{error.reason}: {error}") from error
