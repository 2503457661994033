"""Services and disputes: every call, every error, every deadline."""

from typing import Any

import pytest

from primitives.crypto import KeyPair
from primitives.errors import DecodeError, DispatchError
from primitives.types import AccountId, Digest, Height
from runtime.balances import InsufficientBalance
from runtime.jobs import notices
from runtime.jobs.commitment import row_digest
from runtime.jobs.module import BOND_HOLD, SERVICE_HOLD, SWEPT_MAX, Jobs
from runtime.jobs.network import SHAPE, WIDTH_MAX
from runtime.jobs.records import PHASE, Phase
from runtime.jobs.transcript import Transcript
from runtime.module import call_marks
from tests.runtime.jobs.world import (
    CLASS,
    CLIENT,
    CONFIG,
    KEY,
    LEASE,
    LOOP,
    OTHER,
    PROVIDER,
    RICH,
    SLASHED,
    Job,
    World,
    make_network,
    make_rows,
)

ADDRESS = "/ip4/192.0.2.1/tcp/30400"
NETWORK = make_network([4, 6, 5, 2])
ROWS = make_rows(5, 4)
RIGHT = Job(NETWORK, ROWS)
ROW = 3
BURNED = (CONFIG.bond + 1) // 2


def wrong_job(**changes: Any) -> Job:
    """Return a job whose disputed row is wrong in one value."""
    outputs = RIGHT.outputs.copy()
    outputs[ROW, 1] ^= 1
    return Job(NETWORK, ROWS, outputs, **changes)


WRONG = wrong_job()


def announced(**changes: Any) -> World:
    world = World(**changes)
    world.announce()
    return world


def disputed(job: Job = RIGHT, **changes: Any) -> World:
    """Return a world in which the client disputes a row of the job."""
    world = announced(**changes)
    world.call(CLIENT, "dispute", *job.claim(ROW))
    return world


def answered(job: Job = RIGHT) -> World:
    world = disputed(job)
    world.call(PROVIDER, "answer", 1, said(job).digests, *job.proofs(ROW))
    return world


def said(job: Job) -> Transcript:
    """Return what the provider of a job must say of the row: its output is committed to."""
    rows = list(job.transcript(ROW).rows)
    rows[-1] = job.outputs[ROW].tobytes()
    return Transcript(rows)


def revealed(job: Job = RIGHT, layer: int = 2) -> World:
    world = answered(job)
    world.call(CLIENT, "choose_layer", 1, layer)
    world.call(PROVIDER, "reveal", 1, said(job).rows[layer + 1])
    return world


def refuse(
    world: World, error: type[DispatchError], signer: AccountId, name: str, *arguments: Any
) -> None:
    with world.unchanged(), pytest.raises(error):
        world.call(signer, name, *arguments)


# ------------------------------------------------------------------------------------ services


def test_a_provider_announces_where_it_serves_against_a_deposit() -> None:
    world = World()

    world.call(PROVIDER, "announce", KEY.public, (ADDRESS,))

    service = world.jobs.services[PROVIDER]
    assert service is not None
    assert (service.key, service.addresses) == (KEY.public, (ADDRESS,))
    assert world.balances.held[PROVIDER, SERVICE_HOLD] == LOOP
    assert world.events()[-1][0] == "jobs.ServiceAnnounced"


@pytest.mark.parametrize("addresses", [(), ("example.org:1",), (ADDRESS, "")])
def test_an_address_that_is_none_is_refused(addresses: tuple[str, ...]) -> None:
    refuse(World(), notices.InvalidAddress, PROVIDER, "announce", KEY.public, addresses)


def test_announcing_again_changes_the_address_and_keeps_key_and_deposit() -> None:
    world = World()
    world.announce()

    world.call(PROVIDER, "announce", KEY.public, ("/dns4/example.org/tcp/1",))

    service = world.jobs.services[PROVIDER]
    assert service is not None
    assert service.addresses == ("/dns4/example.org/tcp/1",)
    assert len(service.keys) == 1
    assert world.balances.held[PROVIDER, SERVICE_HOLD] == LOOP


def test_a_replaced_key_is_judged_until_its_last_work_can_be_disputed_no_more() -> None:
    world, new = World(), KeyPair(bytes([8]) * 32)
    world.announce()

    world.announce(new)

    service = world.jobs.services[PROVIDER]
    assert service is not None
    last = Height(world.height + CONFIG.dispute_blocks)
    assert service.key == new.public
    assert service.judges(KEY.public, last)
    assert not service.judges(KEY.public, Height(last + 1))
    assert service.judges(new.public, Height(10**9))


def test_keys_that_are_judged_are_few_and_lapsed_ones_make_room() -> None:
    world = World()
    keys = [KeyPair(bytes([number]) * 32) for number in range(10, 15)]
    for pair in keys[:4]:
        world.announce(pair)

    refuse(world, notices.KeysChangedTooOften, PROVIDER, "announce", keys[4].public, (ADDRESS,))
    world.next_block(CONFIG.dispute_blocks + 1)
    world.announce(keys[4])

    service = world.jobs.services[PROVIDER]
    assert service is not None
    assert [each.key for each in service.keys] == [keys[3].public, keys[4].public]


def test_a_provider_retires_and_gets_its_deposit_when_nothing_can_be_disputed() -> None:
    world = World()
    world.announce()

    world.call(PROVIDER, "retire")
    service = world.jobs.services[PROVIDER]
    assert service is not None
    assert (service.key, service.addresses) == (None, ())
    refuse(world, notices.StillJudged, PROVIDER, "retire")
    world.next_block(CONFIG.dispute_blocks + 1)
    world.call(PROVIDER, "retire")

    assert world.jobs.services[PROVIDER] is None
    assert world.balances.free[PROVIDER] == RICH
    assert world.events()[-1][0] == "jobs.ServiceForgotten"


def test_a_retired_provider_may_come_back() -> None:
    world = World()
    world.announce()
    world.call(PROVIDER, "retire")

    world.announce()

    service = world.jobs.services[PROVIDER]
    assert service is not None
    assert service.key == KEY.public
    assert world.balances.held[PROVIDER, SERVICE_HOLD] == LOOP


def test_who_serves_nothing_cannot_retire() -> None:
    refuse(World(), notices.UnknownService, PROVIDER, "retire")


def test_without_the_deposit_nothing_isannounced() -> None:
    world = World()
    poor = AccountId(bytes([4]) * 32)

    refuse(world, InsufficientBalance, poor, "announce", KEY.public, (ADDRESS,))


# ---------------------------------------------------------------------------- opening a dispute


def test_a_client_opens_a_dispute_with_a_bond() -> None:
    world = disputed()

    dispute = world.dispute()

    assert (dispute.lease_id, dispute.class_id, dispute.row) == (LEASE, CLASS, ROW)
    assert dispute.phase is Phase.TRANSCRIPT
    assert dispute.mover == PROVIDER
    assert dispute.deadline == world.height + CONFIG.answer_blocks
    assert world.balances.held[CLIENT, BOND_HOLD] == CONFIG.bond
    opened = [LEASE, CLIENT, PROVIDER, ROW, dispute.deadline]
    assert world.events()[-1] == ["jobs.DisputeOpened", 1, *opened]


def test_a_claim_that_cannot_be_judged_is_refused() -> None:
    world = World()
    world.announce()
    claim = RIGHT.claim(ROW)

    def refused(error: type[DispatchError], place: int, value: Any) -> None:
        changed = [value if number == place else each for number, each in enumerate(claim)]
        refuse(world, error, CLIENT, "dispute", *changed)

    refused(notices.InvalidCommitment, 0, Job(NETWORK, ROWS, made_at=Height(2)).commitment)
    refused(notices.InvalidCommitment, 1, KeyPair(bytes(32)).public)
    refused(notices.InvalidCommitment, 2, bytes(64))
    refused(notices.WrongNetwork, 3, SHAPE.encode(make_network([4, 2]).shape))
    refused(notices.WrongNetwork, 3, b"no shape")
    refused(notices.WrongNetwork, 4, bytes(32))
    refused(notices.RowOutOfRange, 5, 5)
    refuse(world, notices.NotTheClient, OTHER, "dispute", *claim)
    foreign = Job(NETWORK, ROWS, lease_id=LEASE + 1)
    refuse(world, notices.UnknownLease, CLIENT, "dispute", *foreign.claim(ROW))


def test_a_provider_that_announced_nothing_has_signed_nothing() -> None:
    refuse(World(), notices.InvalidCommitment, CLIENT, "dispute", *RIGHT.claim(ROW))


def test_a_replaced_key_signs_until_it_lapses() -> None:
    world, replaced_at = World(), 1
    world.announce()
    world.announce(KeyPair(bytes([8]) * 32))
    job = Job(NETWORK, ROWS, made_at=Height(40))
    world.next_block(CONFIG.dispute_blocks)
    world.call(CLIENT, "dispute", *job.claim(ROW))
    world.next_block()

    other = Job(NETWORK, ROWS, lease_id=LEASE + 1, made_at=Height(40))
    world.leases.clients[LEASE + 1, PROVIDER] = CLIENT

    assert world.height == replaced_at + CONFIG.dispute_blocks + 1
    refuse(world, notices.InvalidCommitment, CLIENT, "dispute", *other.claim(ROW))


def test_a_job_is_disputed_in_time_or_never() -> None:
    world = World()
    world.announce()
    world.next_block(CONFIG.dispute_blocks)

    world.call(CLIENT, "dispute", *RIGHT.claim(ROW))
    world.next_block()

    refuse(world, notices.TooLate, CLIENT, "dispute", *RIGHT.claim(ROW))


def test_a_share_is_disputed_once_at_a_time() -> None:
    refuse(disputed(), notices.AlreadyDisputed, CLIENT, "dispute", *RIGHT.claim(ROW))


def test_no_more_disputes_are_open_than_may_be() -> None:
    world = disputed(disputes_max=2)
    world.leases.clients.update({(LEASE + n, PROVIDER): CLIENT for n in (1, 2)})
    world.call(CLIENT, "dispute", *Job(NETWORK, ROWS, lease_id=LEASE + 1).claim(ROW))

    third = Job(NETWORK, ROWS, lease_id=LEASE + 2).claim(ROW)

    refuse(world, notices.TooManyDisputes, CLIENT, "dispute", *third)


def test_a_dispute_takes_the_whole_bond() -> None:
    world = announced(bond=RICH + 1)

    refuse(world, InsufficientBalance, CLIENT, "dispute", *RIGHT.claim(ROW))


# ----------------------------------------------------------------------------- playing a dispute


def test_every_move_passes_the_turn_on_with_a_new_deadline() -> None:
    world = disputed()
    turns = []
    truth = said(RIGHT)
    moves: list[tuple[AccountId, str, tuple[Any, ...]]] = [
        (PROVIDER, "answer", (truth.digests, *RIGHT.proofs(ROW))),
        (CLIENT, "choose_layer", (1,)),
        (PROVIDER, "reveal", (truth.rows[2],)),
    ]

    for mover, name, arguments in moves:
        world.next_block()
        world.call(mover, name, 1, *arguments)
        dispute = world.dispute()
        turns.append((dispute.phase, dispute.mover))
        assert dispute.deadline == world.height + CONFIG.answer_blocks

    assert turns == [(Phase.LAYER, CLIENT), (Phase.ROW, PROVIDER), (Phase.PROOF, CLIENT)]
    assert world.jobs.revealed[1] == truth.rows[2]


def test_only_who_is_asked_may_move_and_only_as_asked() -> None:
    truth = said(RIGHT)
    answer = (1, truth.digests, *RIGHT.proofs(ROW))
    evidence = (1, *RIGHT.evidence(truth, 2, 0))
    moves: list[tuple[World, AccountId, str, tuple[Any, ...]]] = [
        (disputed(), CLIENT, "answer", answer),
        (disputed(), OTHER, "answer", answer),
        (disputed(), CLIENT, "choose_layer", (1, 0)),
        (answered(), PROVIDER, "answer", answer),
        (answered(), PROVIDER, "choose_layer", (1, 0)),
        (answered(), PROVIDER, "reveal", (1, truth.rows[3])),
        (revealed(), PROVIDER, "prove", evidence),
        (revealed(), CLIENT, "choose_layer", (1, 0)),
    ]

    for world, signer, name, arguments in moves:
        refuse(world, notices.NotYourTurn, signer, name, *arguments)


def test_a_dispute_that_is_not_open_has_no_moves() -> None:
    refuse(World(), notices.UnknownDispute, CLIENT, "choose_layer", 1, 0)


def test_digests_that_are_not_the_committed_ones_are_refused() -> None:
    world, truth = disputed(), said(RIGHT)
    inputs, outputs = RIGHT.proofs(ROW)
    foreign = Digest(bytes(32))
    answers: list[tuple[Any, ...]] = [
        (truth.digests[:-1], inputs, outputs),
        ((*truth.digests, foreign), inputs, outputs),
        ((foreign, *truth.digests[1:]), inputs, outputs),
        ((*truth.digests[:-1], foreign), inputs, outputs),
        (truth.digests, outputs, outputs),
        (truth.digests, inputs, ()),
    ]

    for answer in answers:
        refuse(world, notices.WrongTranscript, PROVIDER, "answer", 1, *answer)


def test_a_layer_that_does_not_exist_cannot_be_chosen() -> None:
    refuse(answered(), notices.LayerOutOfRange, CLIENT, "choose_layer", 1, 3)


def test_a_row_that_is_not_behind_the_digest_is_refused() -> None:
    world = answered()
    world.call(CLIENT, "choose_layer", 1, 0)
    row = said(RIGHT).rows[1]

    for wrong in [row[:-1], row + b"\0", bytes([row[0] ^ 1]) + row[1:], b""]:
        refuse(world, notices.WrongRow, PROVIDER, "reveal", 1, wrong)


def test_a_row_of_another_width_is_refused_even_if_its_digest_was_given() -> None:
    world, job = disputed(WRONG), WRONG
    rows = list(said(job).rows)
    rows[1] = b"short"
    lie = [row_digest(row) for row in rows]
    world.call(PROVIDER, "answer", 1, tuple(lie), *job.proofs(ROW))
    world.call(CLIENT, "choose_layer", 1, 0)

    refuse(world, notices.WrongRow, PROVIDER, "reveal", 1, b"short")


def test_evidence_that_is_not_the_networks_is_refused() -> None:
    world, truth = revealed(layer=1), said(RIGHT)
    column, row, weights, proof = RIGHT.evidence(truth, 1, 2)
    other = RIGHT.evidence(truth, 1, 3)
    wrong: list[tuple[Any, ...]] = [
        (5, row, weights, proof),
        (column, row[:-1], weights, proof),
        (column, row, weights[:-1], proof),
        (column, bytes([row[0] ^ 1]) + row[1:], weights, proof),
        (column, row, other[2], other[3]),
        (column, row, bytes(6), proof),
        (column, row, weights, proof[:-1]),
    ]

    for evidence in wrong:
        refuse(world, notices.WrongProof, CLIENT, "prove", 1, *evidence)


def test_a_client_that_proves_a_wrong_value_wins() -> None:
    world = revealed(WRONG)

    world.call(CLIENT, "prove", 1, *WRONG.evidence(said(WRONG), 2, 1))

    assert world.settled() == [1, LEASE, CLIENT, PROVIDER, "wrong_result", SLASHED]
    assert world.bonds.punished == [(CLASS, PROVIDER, "jobs.wrong_result", CONFIG.slash_ppb)]
    assert world.leases.failed == [(LEASE, PROVIDER, "jobs.wrong_result")]
    assert world.balances.free[CLIENT] == RICH + SLASHED
    assert list(world.jobs.disputes.items()) == []
    assert list(world.jobs.revealed.items()) == []


def test_a_client_that_proves_a_right_value_loses_its_bond() -> None:
    world = revealed(RIGHT)

    world.call(CLIENT, "prove", 1, *RIGHT.evidence(said(RIGHT), 2, 1))

    assert world.settled() == [1, LEASE, PROVIDER, CLIENT, "right_result", CONFIG.bond]
    assert world.bonds.punished == []
    assert world.leases.failed == []
    assert world.balances.free[CLIENT] == RICH - CONFIG.bond
    assert world.balances.free[PROVIDER] == RICH - LOOP + CONFIG.bond - BURNED
    assert world.balances.total_issuance.get() == 3 * RICH - BURNED


def test_a_share_that_has_moved_on_meanwhile_is_not_failed_again() -> None:
    world = revealed(WRONG)
    del world.leases.clients[LEASE, PROVIDER]

    world.call(CLIENT, "prove", 1, *WRONG.evidence(said(WRONG), 2, 1))

    assert len(world.bonds.punished) == 1
    assert world.leases.failed == []
    assert world.balances.free[CLIENT] == RICH
    assert world.balances.total_issuance.get() == 3 * RICH - SLASHED


def test_a_settled_share_may_be_disputed_again() -> None:
    world = revealed(RIGHT)
    world.call(CLIENT, "prove", 1, *RIGHT.evidence(said(RIGHT), 2, 1))

    world.call(CLIENT, "dispute", *RIGHT.claim(ROW))

    assert world.jobs.disputed[LEASE, PROVIDER] == 2


def test_a_longer_row_weighs_more() -> None:
    weight = call_marks(Jobs)["reveal"].weight

    assert callable(weight)
    assert weight(1, bytes(WIDTH_MAX)) > weight(1, b"")


# ------------------------------------------------------------------------------------ deadlines


@pytest.mark.parametrize(
    "make, winner, reason",
    [
        (disputed, CLIENT, "no_answer"),
        (answered, PROVIDER, "given_up"),
        (revealed, PROVIDER, "given_up"),
    ],
)
def test_who_misses_a_deadline_loses(make: Any, winner: AccountId, reason: str) -> None:
    world = make()

    world.next_block(CONFIG.answer_blocks)
    assert world.jobs.waiting.get()
    world.next_block()

    assert world.jobs.waiting.get() == ()
    assert world.settled()[2] == winner
    assert world.settled()[4] == reason
    assert len(world.leases.failed) == (winner == CLIENT)


def test_the_last_block_before_the_deadline_is_in_time() -> None:
    world = disputed()
    world.next_block(CONFIG.answer_blocks)

    world.call(PROVIDER, "answer", 1, said(RIGHT).digests, *RIGHT.proofs(ROW))

    assert world.dispute().phase is Phase.LAYER


def test_a_crowd_of_missed_deadlines_is_settled_a_few_a_block_and_nobody_is_late_in_time() -> None:
    count = SWEPT_MAX + 3
    world = announced(disputes_max=count)
    for lease in range(100, 100 + count):
        world.leases.clients[lease, PROVIDER] = CLIENT
        world.call(CLIENT, "dispute", *Job(NETWORK, ROWS, lease_id=lease).claim(ROW))
    world.next_block(CONFIG.answer_blocks + 1)

    assert len(world.jobs.waiting.get()) == 3
    last = (count, said(RIGHT).digests, *RIGHT.proofs(ROW))
    refuse(world, notices.DeadlinePassed, PROVIDER, "answer", *last)
    world.next_block()

    assert world.jobs.waiting.get() == ()
    assert len(world.leases.failed) == count


@pytest.mark.parametrize("wrong", [4, -1, True, "row"])
def test_a_phase_that_does_not_exist_is_refused(wrong: Any) -> None:
    with pytest.raises(DecodeError):
        PHASE.from_plain(wrong)
    assert PHASE.from_plain(2) is Phase.ROW
