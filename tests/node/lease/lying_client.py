"""A client that disputes a right row and plays every move of it, in place of giving up."""

from node.lease.challenger import Challenger
from primitives.codec import Plain
from runtime.jobs.records import Dispute, Phase
from runtime.jobs.transcript import Transcript

LAYER, COLUMN = 0, 0


class LyingChallenger(Challenger):
    """Says that the first layer is wrong, and then shows a value of it as if it were."""

    async def _move(self, number: int, dispute: Dispute) -> None:
        network, inputs = self._outcome.data.network, self._outcome.data.inputs
        call: Plain
        if dispute.phase is Phase.LAYER:
            call = ["jobs.choose_layer", number, LAYER]
        elif dispute.phase is Phase.PROOF:
            row = Transcript.of(network, inputs[dispute.row].tobytes()).rows[LAYER]
            proof: list[Plain] = list(network.prove_column(LAYER, COLUMN))
            call = ["jobs.prove", number, COLUMN, row, network.column(LAYER, COLUMN), proof]
        else:
            return
        await self._send(call, dispute.deadline)
