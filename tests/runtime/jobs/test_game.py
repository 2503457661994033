"""The dispute game with liars: an honest side wins against whatever the other one does.

A cheating provider commits to a wrong output and then says anything: a transcript that is wrong
from any layer on, rows that do not follow from each other, rows of another width, moves out of
turn, or nothing. A lying client disputes a right row and then names any layer and any column, with
right or wrong evidence. Both sides are asked again until they make a move or their time is over.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from primitives.errors import DispatchError
from primitives.types import AccountId
from runtime.jobs.commitment import row_digest
from runtime.jobs.records import Dispute, Phase
from runtime.jobs.transcript import Transcript
from tests.runtime.jobs.world import (
    CLIENT,
    CONFIG,
    PROVIDER,
    RICH,
    SLASHED,
    Job,
    World,
    make_network,
    make_rows,
)

Move = tuple[str, tuple[Any, ...]] | None
"""A call and its arguments after the dispute's number; None: say nothing this time."""
Player = Callable[[World, Dispute], Move]
WIDTHS = (7, 66, 5, 9, 3)
LAYERS = len(WIDTHS) - 1
NETWORKS = [make_network(WIDTHS, seed=seed, shift=9) for seed in range(3)]


def play(world: World, client: Player, provider: Player) -> AccountId:
    """Let both sides move until the dispute is settled; return the winner."""
    for _ in range(6 * CONFIG.answer_blocks):
        open_disputes = [each for _, each in world.jobs.disputes.items() if each is not None]
        if not open_disputes:
            return AccountId(world.settled()[2])
        (dispute,) = open_disputes
        for account, player in ((CLIENT, client), (PROVIDER, provider)):
            move = player(world, dispute)
            if move is not None and world.jobs.disputes[1] is not None:
                try:
                    world.call(account, move[0], 1, *move[1])
                except DispatchError:
                    continue
        if world.jobs.disputes[1] is not None:
            world.next_block()
    raise AssertionError("a dispute that does not end")


def honest_client(job: Job, row: int) -> Player:
    truth = job.transcript(row)

    def move(world: World, dispute: Dispute) -> Move:
        if dispute.phase is Phase.LAYER:
            layer = truth.first_difference(dispute.digests)
            return None if layer is None else ("choose_layer", (layer,))
        if dispute.phase is Phase.PROOF:
            column = truth.wrong_column(dispute.layer, world.jobs.revealed[1])
            assert column is not None
            return "prove", job.evidence(truth, dispute.layer, column)
        return None

    return move


def honest_provider(job: Job, row: int) -> Player:
    truth = job.transcript(row)

    def move(world: World, dispute: Dispute) -> Move:
        if dispute.phase is Phase.TRANSCRIPT:
            return "answer", (truth.digests, *job.proofs(row))
        if dispute.phase is Phase.ROW:
            return "reveal", (truth.rows[dispute.layer + 1],)
        return None

    return move


@st.composite
def cheating_providers(draw: st.DrawFn, job: Job, row: int) -> Player:
    """Return a provider that has to defend a wrong output and does what it likes."""
    truth = job.transcript(row)
    rows = list(truth.rows)
    style = draw(st.sampled_from(["from a layer on", "everything", "widths", "only the output"]))
    for layer in range(1, LAYERS):
        if style == "everything" or (style == "from a layer on" and draw(st.booleans())):
            rows[layer] = draw(st.binary(min_size=WIDTHS[layer], max_size=WIDTHS[layer]))
        elif style == "widths":
            rows[layer] = draw(st.binary(max_size=WIDTHS[layer] + 2))
    rows[-1] = job.outputs[row].tobytes()
    digests = tuple(row_digest(each) for each in rows)
    honest_digests = tuple(truth.digests)
    other_row = (row + 1) % len(job.inputs)
    answers: list[Move] = [
        ("answer", (digests, *job.proofs(row))),
        ("answer", (digests, *job.proofs(row))),
        ("answer", (honest_digests, *job.proofs(row))),
        ("answer", (digests, *job.proofs(other_row))),
        ("answer", (digests[:-1], *job.proofs(row))),
        None,
    ]
    stubborn = [draw(st.sampled_from(answers)) for _ in range(2)]
    is_mute = draw(st.sampled_from([False, False, False, True]))
    reveals = draw(st.sampled_from(["as said", "as said", "truth", "noise"]))
    noise = draw(st.binary(min_size=1, max_size=9))

    def move(world: World, dispute: Dispute) -> Move:
        if dispute.phase is Phase.TRANSCRIPT:
            return stubborn.pop() if stubborn else answers[0]
        if dispute.phase is Phase.ROW and not is_mute:
            layer = dispute.layer + 1
            shown = {"as said": rows[layer], "truth": truth.rows[layer], "noise": noise}
            return "reveal", (shown[reveals],)
        # A move of somebody else's, or out of turn, never helps.
        return draw(st.sampled_from([None, None, ("choose_layer", (0,)), answers[0]]))

    return move


@st.composite
def lying_clients(draw: st.DrawFn, job: Job, row: int) -> Player:
    """Return a client that disputes a right row and does what it likes."""
    truth = job.transcript(row)
    chosen = draw(st.integers(0, LAYERS))
    column = draw(st.integers(0, 70))

    def move(world: World, dispute: Dispute) -> Move:
        if dispute.phase is Phase.LAYER:
            return "choose_layer", (chosen,)
        if dispute.phase is not Phase.PROOF:
            return draw(st.sampled_from([None, None, ("choose_layer", (chosen,))]))
        layer = dispute.layer
        place = column % WIDTHS[layer + 1]
        right = job.evidence(truth, layer, place)
        weights = bytearray(right[2])
        weights[draw(st.integers(0, len(weights) - 1))] ^= draw(st.integers(1, 255))
        inputs = bytearray(right[1])
        inputs[draw(st.integers(0, len(inputs) - 1))] ^= draw(st.integers(1, 255))
        elsewhere = job.evidence(truth, layer, (place + 1) % WIDTHS[layer + 1])
        lies: list[Move] = [
            ("prove", right),
            ("prove", (place, right[1], bytes(weights), right[3])),
            ("prove", (place, bytes(inputs), right[2], right[3])),
            ("prove", (place, right[1], elsewhere[2], elsewhere[3])),
            ("prove", (elsewhere[0], *right[1:])),
            ("prove", (place, right[1], right[2], right[3][:-1])),
            None,
        ]
        return draw(st.sampled_from(lies))

    return move


@given(data=st.data())
def test_an_honest_client_wins_over_every_wrong_row(data: st.DataObject) -> None:
    network = data.draw(st.sampled_from(NETWORKS))
    inputs = make_rows(data.draw(st.integers(1, 5)), WIDTHS[0], seed=data.draw(st.integers(0, 99)))
    outputs = network.run(inputs)
    row = data.draw(st.integers(0, len(inputs) - 1))
    outputs[row, data.draw(st.integers(0, WIDTHS[-1] - 1))] ^= data.draw(st.integers(1, 127))
    job = Job(network, inputs, outputs)
    world = World()
    world.announce()
    world.call(CLIENT, "dispute", *job.claim(row))

    cheater = data.draw(cheating_providers(job, row))
    winner = play(world, honest_client(job, row), cheater)

    assert winner == CLIENT
    assert len(world.bonds.punished) == len(world.leases.failed) == 1
    assert world.balances.free[CLIENT] == RICH + SLASHED


@given(data=st.data())
def test_an_honest_provider_wins_against_every_lying_client(data: st.DataObject) -> None:
    network = data.draw(st.sampled_from(NETWORKS))
    inputs = make_rows(data.draw(st.integers(1, 5)), WIDTHS[0], seed=data.draw(st.integers(0, 99)))
    row = data.draw(st.integers(0, len(inputs) - 1))
    job = Job(network, inputs)
    world = World()
    world.announce()
    world.call(CLIENT, "dispute", *job.claim(row))

    liar = data.draw(lying_clients(job, row))
    winner = play(world, liar, honest_provider(job, row))

    assert winner == PROVIDER
    assert world.bonds.punished == []
    assert world.leases.failed == []
    assert world.balances.free[CLIENT] == RICH - CONFIG.bond


def test_a_wrong_value_in_any_layer_and_column_is_found() -> None:
    network, inputs = NETWORKS[0], make_rows(1, WIDTHS[0])
    truth = Transcript.of(network, inputs.tobytes())
    for layer in range(LAYERS):
        for column in range(WIDTHS[layer + 1]):
            # From this value on, everything is computed rightly: the finest lie there is.
            rows = list(truth.rows[: layer + 2])
            rows[-1] = rows[-1][:column] + bytes([rows[-1][column] ^ 1]) + rows[-1][column + 1 :]
            for later in range(layer + 1, LAYERS):
                step = network.shape.layers[later]
                rows.append(
                    bytes(
                        step.value(rows[-1], network.column(later, each)) % 256
                        for each in range(step.outputs)
                    )
                )
            lie = Transcript(rows)

            assert truth.first_difference(lie.digests) == layer
            assert truth.wrong_column(layer, lie.rows[layer + 1]) == column
