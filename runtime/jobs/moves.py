"""What an honest side of a dispute says next: the calls of ``runtime/jobs/module.py``, made up.

Each function looks at the dispute as the chain shows it and at what the side itself knows of the
job, and returns the next call, or None while it is the other side's turn or there is nothing that
could honestly be said.
"""

from dataclasses import dataclass

from primitives.codec import Plain
from primitives.types import PublicKey, Signature
from runtime.jobs.commitment import COMMITMENT, Commitment, rows_tree
from runtime.jobs.network import SHAPE, IntegerNetwork, Rows
from runtime.jobs.records import Dispute, Phase
from runtime.jobs.transcript import Transcript


@dataclass(frozen=True, slots=True)
class JobData:
    """A whole job, as both sides of its lease know it."""

    network: IntegerNetwork
    inputs: Rows
    outputs: Rows
    """What was committed to."""


@dataclass(frozen=True, slots=True)
class SignedResult:
    commitment: Commitment
    key: PublicKey
    """The service key that signed."""
    signature: Signature


def open_dispute(result: SignedResult, network: IntegerNetwork, row: int) -> Plain:
    """Return the call that disputes a row of a result."""
    return [
        "jobs.dispute",
        COMMITMENT.to_plain(result.commitment),
        result.key,
        result.signature,
        SHAPE.encode(network.shape),
        network.tree.root,
        row,
    ]


def provider_move(number: int, dispute: Dispute, job: JobData) -> Plain | None:
    """Return what the provider of a job says next in dispute ``number``."""
    if not dispute.phase.is_providers_turn:
        return None
    row = dispute.row
    rows = Transcript.of(job.network, job.inputs[row].tobytes()).rows
    said = Transcript([*rows[:-1], job.outputs[row].tobytes()])
    if dispute.phase is Phase.ROW:
        return ["jobs.reveal", number, said.rows[dispute.layer + 1]]
    proofs: list[Plain] = [list(rows_tree(each).prove(row)) for each in (job.inputs, job.outputs)]
    return ["jobs.answer", number, list(said.digests), *proofs]


def client_move(number: int, dispute: Dispute, revealed: bytes, job: JobData) -> Plain | None:
    """Return what the client of a job says next; ``revealed`` is the row that the provider showed.

    None also if all that the provider has said is right.
    """
    if dispute.phase.is_providers_turn:
        return None
    truth = Transcript.of(job.network, job.inputs[dispute.row].tobytes())
    if dispute.phase is Phase.LAYER:
        chosen = truth.first_difference(dispute.digests)
        return None if chosen is None else ["jobs.choose_layer", number, chosen]
    layer = dispute.layer
    column = truth.wrong_column(layer, revealed)
    if column is None:
        return None
    weights, proof = job.network.column(layer, column), job.network.prove_column(layer, column)
    return ["jobs.prove", number, column, truth.rows[layer], weights, list(proof)]
