"""How the chain judges the moves of a dispute: pure functions of the dispute and what is shown."""

from collections.abc import Sequence

from primitives.merkle import InvalidMerkleProof, verify_leaf
from primitives.types import Digest
from runtime.jobs.commitment import row_digest
from runtime.jobs.notices import WrongProof, WrongRow, WrongTranscript
from runtime.jobs.records import Dispute


def validate_transcript(
    dispute: Dispute,
    digests: Sequence[Digest],
    *,
    input_proof: Sequence[Digest],
    output_proof: Sequence[Digest],
) -> None:
    """Refuse digests that are not one a layer, from the committed input to the committed output.

    Raises: WrongTranscript.
    """
    layers = len(dispute.shape.layers)
    if len(digests) != layers + 1:
        raise WrongTranscript(f"{len(digests)} digests for {layers} layers")
    place = (dispute.row, dispute.rows)
    if not _is_leaf(dispute.inputs, digests[0], input_proof, *place):
        raise WrongTranscript("the first digest is not the committed one")
    if not _is_leaf(dispute.outputs, digests[-1], output_proof, *place):
        raise WrongTranscript("the last digest is not the committed one")


def validate_revealed(dispute: Dispute, row: bytes) -> None:
    """Refuse a row that is not the one behind the digest after the chosen layer.

    Raises: WrongRow.
    """
    width = dispute.shape.layers[dispute.layer].outputs
    if len(row) != width or row_digest(row) != dispute.digests[dispute.layer + 1]:
        raise WrongRow(f"{len(row)} bytes, {width} are wanted")


def right_value(
    dispute: Dispute, column: int, *, inputs: bytes, weights: bytes, proof: Sequence[Digest]
) -> int:
    """Return what one value after the chosen layer should be: the one dot product of a dispute.

    Raises: WrongProof.
    """
    shape, layer = dispute.shape, dispute.shape.layers[dispute.layer]
    if column >= layer.outputs or len(inputs) != layer.inputs or len(weights) != layer.inputs:
        raise WrongProof("the layer has another form")
    if row_digest(inputs) != dispute.digests[dispute.layer]:
        raise WrongProof("the row before the layer is another one")
    index = shape.column_index(dispute.layer, column)
    if not _is_leaf(dispute.weights_root, weights, proof, index, shape.columns):
        raise WrongProof("the column is not the network's")
    return layer.value(inputs, weights)


def _is_leaf(root: Digest, leaf: bytes, proof: Sequence[Digest], index: int, size: int) -> bool:
    try:
        verify_leaf(root, leaf, proof, index=index, size=size)
    except InvalidMerkleProof:
        return False
    return True
