"""``consensus_*``: what this node has seen of the validators' agreement."""

from collections.abc import Sequence

from node.rpc.backend import ConsensusBackend, EvidenceInfo
from node.rpc.method import method


class Consensus:
    """Agreement, and those who broke its rules."""

    def __init__(self, backend: ConsensusBackend) -> None:
        self._backend = backend

    @method("consensus_evidence")
    def evidence(self) -> Sequence[EvidenceInfo]:
        """Return the proofs that validators signed two things, not reported yet, oldest first."""
        return self._backend.evidence()
