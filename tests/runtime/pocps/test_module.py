"""Proofs in the chain: classes, places, windows by block, and what is live after them."""

from dataclasses import replace
from typing import Any

import pytest

from primitives.types import AccountId, Balance, Epoch
from runtime.pocps.classes import RESOURCE_CLASS, ResourceClass, kind_of, response_weight
from runtime.pocps.forward_pass_proof import open_network
from runtime.pocps.standings import HOLD
from runtime.queries import QUERIES
from tests.runtime.pocps.proof_chain import (
    COMMIT,
    CPU,
    LENGTH,
    POCPS,
    RESPOND,
    SAMPLE,
    STORE,
    UNBONDING,
    ProofChain,
    genesis_providers,
)
from tests.runtime.small_chain import (
    ALICE,
    BOB,
    CHARLIE,
    DAVE,
    LOOP,
    NOBODY,
    SPEC,
    event_names,
    find_event,
)

ROOT = bytes(32)
CPU_TERMS, STORE_TERMS = CPU.forward_pass, STORE.storage
assert CPU_TERMS is not None
assert STORE_TERMS is not None
SPEC_WEIGHT = SPEC.runtime.system.block_weight_max
GENESIS_PROVIDERS = replace(POCPS, providers=genesis_providers(ALICE, BOB))


def with_provider(units: int = 5) -> ProofChain:
    """Return a chain in whose epoch 1, which has just begun, //Charlie owes a proof."""
    chain = ProofChain()
    chain.do(CHARLIE, "pocps.register", 1, units)
    chain.next_epoch()
    return chain


# -------------------------------------------------------------------------------- the round


def test_what_is_proven_in_an_epoch_is_live_in_the_next() -> None:
    chain = ProofChain(GENESIS_PROVIDERS)
    assert chain.live(ALICE) == 0

    chain.prove(ALICE, BOB)
    assert chain.live(ALICE) == 0
    chain.next_epoch()

    assert (chain.live(ALICE), chain.live(BOB)) == (4, 4)
    assert chain.runtime.pocps.total_units(1) == 8
    chain.prove(ALICE)
    chain.next_epoch()
    assert (chain.live(ALICE), chain.live(BOB)) == (4, 0)
    assert chain.runtime.pocps.total_units(1) == 4
    chain.next_epoch()
    assert (chain.live(ALICE), chain.live(BOB)) == (0, 0)


@pytest.mark.parametrize("class_id", [1, 2])
def test_registered_units_owe_and_prove_from_the_next_epoch_on(class_id: int) -> None:
    chain = ProofChain()
    receipt = chain.do(CHARLIE, "pocps.register", class_id, 5)
    assert find_event([receipt], "pocps.Registered") == [CHARLIE, class_id, 5, 5 * LOOP, 1]
    assert chain.held(CHARLIE, HOLD) == 5 * LOOP
    assert chain.error(CHARLIE, "pocps.commit", class_id, 5, ROOT) == "pocps.NothingDue"
    chain.next_epoch()

    chain.prove(CHARLIE, class_id=class_id)
    chain.next_epoch()

    assert chain.live(CHARLIE, class_id) == 5
    assert chain.faults(CHARLIE, class_id) == ()


def test_more_units_are_live_an_epoch_after_they_were_registered() -> None:
    chain = with_provider(units=3)
    chain.do(CHARLIE, "pocps.register", 1, 4)
    chain.prove(CHARLIE)
    chain.next_epoch()
    assert chain.live(CHARLIE) == 3

    chain.prove(CHARLIE)
    chain.next_epoch()

    assert chain.live(CHARLIE) == 7


def test_proven_work_times_stake_is_the_weight_and_who_stops_comes_back_by_proving() -> None:
    """A validator that stops proving loses its weight in the next table, and nothing else."""
    chain = ProofChain(GENESIS_PROVIDERS)

    def weight(epoch: int) -> int:
        validators = chain.runtime.session.table(Epoch(epoch)).validators
        return sum(each.weight for each in validators if each.account == ALICE)

    chain.prove(ALICE)
    chain.next_epoch()
    chain.prove(ALICE)
    chain.next_epoch()
    assert weight(2) > 0
    power = chain.runtime.pocps.power(Epoch(1), ALICE)
    assert power[0] == power[1] == 4 * kind_of(CPU).operations_per_unit

    chain.next_epoch()
    # Nobody else validates, so the old table stays; but the new one would have had no weight.
    assert chain.runtime.pocps.proven_operations(ALICE, Epoch(2)) == 0
    assert chain.runtime.session.origins[3] == 2
    chain.prove(ALICE)
    chain.next_epoch()

    assert chain.runtime.session.origins[4] == 4
    assert weight(4) == weight(2)


def test_the_boundary_says_that_too_little_was_proven_and_keeps_the_table() -> None:
    chain = ProofChain(GENESIS_PROVIDERS)
    chain.to_place(LENGTH)
    chain.next_epoch()
    chain.to_place(LENGTH)

    execution = chain.start()
    receipts = chain.finish(execution)

    names = [name for receipt in receipts for name in event_names(receipt)]
    assert "session.TableKept" in names
    assert chain.runtime.session.table(Epoch(2)) == chain.runtime.session.table(Epoch(1))


def test_grants_of_the_spec_count_beside_proofs_for_as_long_as_it_says() -> None:
    chain = ProofChain(GENESIS_PROVIDERS)
    chain.prove(ALICE)
    chain.next_epoch()
    pocps = chain.runtime.pocps
    granted = {grant.account: grant.operations for grant in chain.config.compute}

    proven = 4 * kind_of(CPU).operations_per_unit
    assert pocps.proven_operations(ALICE, Epoch(0)) == granted[ALICE] + proven
    assert pocps.total_operations(Epoch(0)) == sum(granted.values()) + proven
    assert pocps.proving_since(ALICE, Epoch(0)) == 0
    assert pocps.total_operations(Epoch(1)) == 0
    assert pocps.proving_since(ALICE, Epoch(1)) == 1


# -------------------------------------------------------------------------------- the windows


def test_commitments_are_taken_up_to_the_deadline_and_no_later() -> None:
    chain = with_provider()
    call = chain.commit_call(CHARLIE, 5)
    chain.to_place(COMMIT)
    chain.do(CHARLIE, *call)

    assert chain.error(CHARLIE, *call) == "pocps.OutsideWindow"
    chain.to_place(LENGTH)
    assert chain.error(CHARLIE, *call) == "pocps.OutsideWindow"


def test_a_later_commitment_takes_the_place_of_an_earlier_one() -> None:
    chain = with_provider()
    chain.do(CHARLIE, "pocps.commit", 1, 5, ROOT)
    chain.do(CHARLIE, *chain.commit_call(CHARLIE, 5))
    chain.to_place(SAMPLE)

    chain.do(CHARLIE, *chain.respond_call(CHARLIE))

    assert chain.provider(CHARLIE).proven == 5


@pytest.mark.parametrize("place", range(2, LENGTH + 1))
def test_responses_are_taken_from_the_drawing_to_the_deadline(place: int) -> None:
    chain = with_provider()
    chain.do(CHARLIE, *chain.commit_call(CHARLIE, 5))
    chain.to_place(place)
    is_open = SAMPLE <= place <= RESPOND
    # Before there is a drawing there is no right answer.
    call = chain.respond_call(CHARLIE) if is_open else ["pocps.respond", 1, [], 10**7]

    error = chain.error(CHARLIE, *call)

    assert error == ("" if is_open else "pocps.OutsideWindow")


def test_a_commitment_of_an_epoch_is_not_answered_in_the_next() -> None:
    chain = with_provider()
    chain.do(CHARLIE, *chain.commit_call(CHARLIE, 5))
    chain.next_epoch()
    chain.to_place(SAMPLE)

    assert chain.error(CHARLIE, "pocps.respond", 1, [], 10**7) == "pocps.NotCommitted"


def test_positions_come_from_a_beacon_that_is_younger_than_all_commitments() -> None:
    chain = with_provider()
    chain.to_place(SAMPLE)
    before = chain.runtime.session.latest_beacon()

    chain.block()

    drawing = chain.runtime.pocps.drawing.get()
    assert drawing is not None
    assert drawing.epoch == 1
    assert drawing.beacon == chain.runtime.session.latest_beacon() != before


def test_the_challenge_is_the_beacon_at_the_epochs_start() -> None:
    chain = with_provider()
    pocps = chain.runtime.pocps
    seed = chain.runtime.session.randomness[1]

    assert pocps.challenge(1, Epoch(1)) == kind_of(CPU).challenge(seed)
    assert pocps.challenge(1, Epoch(1)) == pocps.challenge(2, Epoch(1))
    assert pocps.challenge(1, Epoch(0)) != pocps.challenge(1, Epoch(1))


def test_a_node_prepares_an_epoch_as_soon_as_its_challenge_is_known() -> None:
    chain = ProofChain(GENESIS_PROVIDERS)
    chain.to_place(LENGTH)
    chain.block()

    for preparation in chain.runtime.pocps.preparations(Epoch(1)):
        preparation.run()
    before = open_network.cache_info()
    chain.prove(ALICE, BOB)

    after = open_network.cache_info()
    assert after.misses == before.misses
    assert after.hits > before.hits


# ------------------------------------------------------------------------- errors of each call


def test_only_the_governor_adds_classes() -> None:
    third = replace(CPU, class_id=3, name="third")
    plain = RESOURCE_CLASS.to_plain(third)
    nobodys = ProofChain()
    chain = ProofChain(replace(POCPS, governor=DAVE))

    assert nobodys.error(DAVE, "pocps.create_class", plain) == "pocps.NotGovernor"
    assert chain.error(ALICE, "pocps.create_class", plain) == "pocps.NotGovernor"
    receipt = chain.do(DAVE, "pocps.create_class", plain)
    assert find_event([receipt], "pocps.ClassCreated") == [3]
    assert chain.error(DAVE, "pocps.create_class", plain) == "pocps.ClassExists"
    assert chain.resource(3) == third
    chain.do(CHARLIE, "pocps.register", 3, 2)
    chain.next_epoch()
    chain.prove(CHARLIE, class_id=3)
    chain.next_epoch()
    assert chain.live(CHARLIE, 3) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"forward_pass": None},
        {"storage": STORE.storage},
        {"forward_pass": replace(CPU_TERMS, width=65)},
        {"forward_pass": None, "storage": replace(STORE_TERMS, passes=0)},
        {"name": ""},
        {"units_min": 0},
        {"units_min": 41},
        {"providers_max": 0},
        {"providers_max": (1 << 16) + 1},
        {"bond_per_unit": Balance(0)},
        {"bond_per_unit": Balance(2**60)},
        {"reward_max": Balance(5 * LOOP)},
        # A verification heavier than a block's share, and a response longer than an extrinsic.
        {
            "forward_pass": replace(
                CPU_TERMS, width=16384, depth=2, rows_per_unit=6, rows_per_leaf=6
            )
        },
        {"samples": 256, "units_max": 4_000_000},
    ],
    ids=str,
)
def test_a_class_that_cannot_run_is_refused(changes: dict[str, Any]) -> None:
    chain = ProofChain(replace(POCPS, governor=DAVE))
    record: ResourceClass = replace(CPU, **{"class_id": 3, "name": "x", **changes})

    error = chain.error(DAVE, "pocps.create_class", RESOURCE_CLASS.to_plain(record))

    assert error == "pocps.InvalidClass"


def test_classes_are_bounded_together() -> None:
    chain = ProofChain(replace(POCPS, governor=DAVE))

    def create(record: ResourceClass) -> str:
        return chain.error(DAVE, "pocps.create_class", RESOURCE_CLASS.to_plain(record))

    assert [create(replace(CPU, class_id=each, name="x")) for each in (3, 4, 5, 6)] == [
        *[""] * 3,
        "pocps.InvalidClass",
    ]
    stores = [create(replace(STORE, class_id=each, name="x")) for each in range(6, 18)]
    assert stores == [*[""] * 11, "pocps.InvalidClass"]
    assert STORE_TERMS is not None
    heavy = replace(STORE_TERMS, operations_per_unit=2**60)
    fresh = ProofChain(replace(POCPS, governor=DAVE))
    plain = RESOURCE_CLASS.to_plain(replace(STORE, class_id=3, name="x", storage=heavy))
    assert fresh.error(DAVE, "pocps.create_class", plain) == "pocps.InvalidClass"


def test_registering_has_limits() -> None:
    chain = ProofChain()

    def register(account: AccountId, units: int, class_id: int = 1) -> str:
        return chain.error(account, "pocps.register", class_id, units)

    assert register(ALICE, 5, 9) == "pocps.UnknownClass"
    assert register(ALICE, 0) == register(ALICE, 1) == "pocps.UnitsNotAllowed"
    assert register(ALICE, 41) == "pocps.UnitsNotAllowed"
    assert register(ALICE, 40) == ""
    assert register(ALICE, 0) == register(ALICE, 1) == "pocps.UnitsNotAllowed"
    rich = replace(POCPS, classes=(replace(CPU, bond_per_unit=Balance(10**6 * LOOP)), STORE))
    poor = ProofChain(rich)
    assert poor.error(ALICE, "pocps.register", 1, 2) == "balances.InsufficientBalance"
    assert poor.runtime.pocps.sums(1) == (0, 0, 0)


def test_a_class_takes_no_more_providers_than_it_has_places() -> None:
    narrow = replace(POCPS, classes=(replace(CPU, providers_max=2), STORE))
    chain = ProofChain(narrow)
    chain.do(ALICE, "pocps.register", 1, 2)
    chain.do(BOB, "pocps.register", 1, 2)

    assert chain.error(CHARLIE, "pocps.register", 1, 2) == "pocps.ClassFull"
    chain.do(ALICE, "pocps.deregister", 1, 2)
    assert chain.error(CHARLIE, "pocps.register", 1, 2) == ""


def test_a_class_takes_no_more_providers_than_can_respond_in_the_window() -> None:
    """Three blocks take responses, each five sixths of the room that one response reserves."""
    cost = ProofChain().runtime.pocps.room.cost(CPU)
    share = cost * 5 * 10**9 // (6 * SPEC_WEIGHT)
    chain = ProofChain(replace(POCPS, respond_share_ppb=share))
    chain.do(ALICE, "pocps.register", 1, 2)
    chain.do(BOB, "pocps.register", 1, 2)

    assert chain.error(CHARLIE, "pocps.register", 1, 2) == "pocps.ClassFull"


def test_a_class_takes_no_more_providers_than_an_epoch_can_settle() -> None:
    one = replace(POCPS, sweep_max=1)
    chain = ProofChain(one, session=replace(ProofChain().config.session, epoch_length=19))
    chain.do(ALICE, "pocps.register", 1, 2)
    chain.do(BOB, "pocps.register", 2, 2)

    assert chain.error(CHARLIE, "pocps.register", 1, 2) == "pocps.ClassFull"


def test_maintenance_is_declared_ahead_and_not_for_ever() -> None:
    chain = with_provider()

    def declare(first: int, epochs: int) -> str:
        return chain.error(CHARLIE, "pocps.declare_maintenance", 1, first, epochs)

    assert chain.error(DAVE, "pocps.declare_maintenance", 1, 5, 1) == "pocps.NotRegistered"
    assert declare(2, 0) == declare(2, 4) == declare(1, 1) == "pocps.InvalidMaintenance"
    assert declare(2, 2) == ""
    # The same again must leave as much time between as it lasts.
    assert declare(5, 1) == "pocps.InvalidMaintenance"
    assert declare(6, 1) == ""


def test_leaving_has_conditions() -> None:
    chain = with_provider()
    assert chain.error(DAVE, "pocps.deregister", 1, 1) == "pocps.NotRegistered"
    leave = [["pocps.deregister", 1, units] for units in (0, 6, 4)]
    assert chain.errors(CHARLIE, *leave) == [
        "pocps.NotRegistered",
        "pocps.NotRegistered",
        "pocps.UnitsNotAllowed",
    ]
    chain.to_place(COMMIT + 1)
    assert chain.error(CHARLIE, "pocps.deregister", 1, 5) == "pocps.ProofDue"
    chain.next_epoch()
    chain.do(CHARLIE, *chain.commit_call(CHARLIE, 5))
    assert chain.error(CHARLIE, "pocps.deregister", 1, 5) == "pocps.ProofDue"
    chain.to_place(SAMPLE)
    chain.do(CHARLIE, *chain.respond_call(CHARLIE))

    receipt = chain.do(CHARLIE, "pocps.deregister", 1, 2)
    assert find_event([receipt], "pocps.Deregistered") == [CHARLIE, 1, 2, 2 * LOOP]
    pocps = chain.runtime.pocps
    assert pocps.sums(1) == (0, 3, 1)
    operations = 3 * kind_of(CPU).operations_per_unit
    assert pocps.power(Epoch(2), CHARLIE)[:2] == (operations, operations)
    chain.do(CHARLIE, "pocps.deregister", 1, 3)
    assert chain.runtime.pocps.sums(1) == (0, 0, 0)
    assert chain.runtime.pocps.total_operations(Epoch(2)) == 0


def test_an_engaged_provider_cannot_leave() -> None:
    chain = ProofChain()
    chain.do(CHARLIE, "pocps.register", 1, 5)
    chain.as_pool(lambda pocps: pocps.engage(1, CHARLIE))
    assert chain.error(CHARLIE, "pocps.deregister", 1, 5) == "pocps.UnitsEngaged"

    chain.as_pool(lambda pocps: pocps.disengage(1, CHARLIE))

    assert chain.error(CHARLIE, "pocps.deregister", 1, 5) == ""


def test_bond_that_left_is_free_after_the_unbonding_time() -> None:
    chain = with_provider()
    free = chain.free(CHARLIE)
    assert chain.error(DAVE, "pocps.withdraw", 1) == "pocps.NotRegistered"
    assert chain.error(CHARLIE, "pocps.withdraw", 1) == "pocps.BondNotFree"
    chain.do(CHARLIE, "pocps.deregister", 1, 5)
    for _ in range(UNBONDING):
        chain.next_epoch()
        assert chain.error(CHARLIE, "pocps.withdraw", 1) == "pocps.BondNotFree"
    chain.next_epoch()

    receipt = chain.do(CHARLIE, "pocps.withdraw", 1)

    assert find_event([receipt], "pocps.Withdrawn") == [CHARLIE, 1, 5 * LOOP]
    assert chain.held(CHARLIE, HOLD) == 0
    assert 0 <= free + 5 * LOOP - chain.free(CHARLIE) < LOOP  # fees
    assert chain.runtime.pocps.providers[1, CHARLIE] is None


def test_chunks_of_bond_are_bounded_and_those_of_an_epoch_are_one() -> None:
    chain = with_provider(units=20)
    for _ in range(3):
        chain.prove(CHARLIE)
        chain.do(CHARLIE, "pocps.deregister", 1, 1)
        chain.do(CHARLIE, "pocps.deregister", 1, 1)
        chain.next_epoch()
    chain.prove(CHARLIE)

    assert [chunk.amount for chunk in chain.provider(CHARLIE).leaving] == [2 * LOOP] * 3
    assert chain.error(CHARLIE, "pocps.deregister", 1, 1) == "pocps.TooManyBondChunks"


def test_a_commitment_covers_all_that_is_due() -> None:
    chain = with_provider()

    assert chain.error(DAVE, "pocps.commit", 1, 5, ROOT) == "pocps.NotRegistered"
    assert chain.error(CHARLIE, "pocps.commit", 1, 4, ROOT) == "pocps.WrongUnits"
    chain.next_epoch()
    assert chain.error(CHARLIE, "pocps.commit", 1, 6, ROOT) == "pocps.WrongUnits"


def test_units_are_proven_once_an_epoch() -> None:
    chain = with_provider()
    commit = chain.commit_call(CHARLIE, 5)
    chain.do(CHARLIE, *commit)
    chain.to_place(SAMPLE)
    respond = chain.respond_call(CHARLIE)
    chain.do(CHARLIE, *respond)

    assert chain.error(CHARLIE, *respond) == "pocps.AlreadyProven"
    assert chain.error(CHARLIE, *commit) == "pocps.AlreadyProven"


def test_a_response_has_to_allow_the_weight_that_verifying_may_take() -> None:
    chain = with_provider()
    assert chain.error(DAVE, "pocps.respond", 1, [], 1) == "pocps.NotRegistered"
    assert chain.error(CHARLIE, "pocps.respond", 1, [], 1) == "pocps.NotCommitted"
    chain.do(CHARLIE, *chain.commit_call(CHARLIE, 5))
    chain.to_place(SAMPLE)
    *call, weight = chain.respond_call(CHARLIE)

    assert chain.error(CHARLIE, *call, weight - 1) == "pocps.WeightTooLow"
    receipt = chain.do(CHARLIE, *call, weight)
    assert receipt.weight == weight + chain.config.system.extrinsic_weight


def test_a_wrong_number_of_digests_is_no_answer_and_may_be_sent_again() -> None:
    chain = with_provider()
    chain.do(CHARLIE, *chain.commit_call(CHARLIE, 5))
    chain.to_place(SAMPLE)
    name, class_id, digests, weight = chain.respond_call(CHARLIE)

    error = chain.error(CHARLIE, name, class_id, digests[1:], weight)
    assert error == "pocps.WrongDigestCount"
    assert chain.faults(CHARLIE) == ()
    assert chain.error(CHARLIE, name, class_id, digests, weight) == ""
    assert chain.provider(CHARLIE).proven == 5


# -------------------------------------------------------------------------------- questions


def test_everything_may_be_asked() -> None:
    chain = ProofChain(GENESIS_PROVIDERS)
    chain.prove(ALICE)
    chain.next_epoch()
    chain.block()
    runtime = chain.runtime

    def ask(name: str, argument: Any) -> Any:
        query = QUERIES[name]
        return query.answer.decode(query.run(runtime, query.argument.encode(argument)))

    assert ask("pocps.classes", ()) == (CPU, STORE)
    assert ask("pocps.challenge", (1, 1)) == runtime.pocps.challenge(1, Epoch(1))
    assert ask("pocps.windows", ()) == (LENGTH, COMMIT, SAMPLE, RESPOND)
    assert ask("pocps.response_weight", 1) == response_weight(CPU)
    assert ask("pocps.provider", (1, ALICE)).live == 4
    assert ask("pocps.provider", (1, NOBODY)) is None
    assert [fault.reason for fault in ask("pocps.faults", (1, BOB))] == ["missed_commitment"]
    assert ask("pocps.units", 1) == (4, 0, 2)
    assert ask("pocps.power", (0, ALICE))[2] == 0
    assert CPU.kind == "forward_pass"
    assert STORE.kind == "storage"
