"""Session keys: what proves possession, and from which table on keys count."""

from dataclasses import replace
from typing import Any

import pytest

from primitives.types import AccountId, Epoch
from runtime.session import SHRINK_MAX
from runtime.session_keys import KEY_RECORD, SET_KEYS_ARGUMENTS
from tests.runtime.small_chain import (
    ALICE,
    BOB,
    GENESIS,
    SPEC,
    event_names,
    find_event,
)
from tests.runtime.staking_chain import BOND_MIN, LENGTH, StakingChain, keys_call, seeds_of

SMALL_ORDER = b"\x01" + bytes(31)


def voters(chain: StakingChain, epoch: int) -> dict[AccountId, bytes]:
    """Return the consensus keys of an epoch's table by account."""
    table = chain.runtime.session.table(Epoch(epoch))
    return {entry.account: entry.consensus_key for entry in table.validators}


def test_keys_count_from_the_epoch_after_the_next() -> None:
    chain = StakingChain()
    old, new = seeds_of("Alice")[0].public, seeds_of("Fresh")[0].public

    receipt = chain.call(ALICE, *keys_call(ALICE, "Fresh"))
    chain.skip_epochs(2)

    assert event_names(receipt) == ["session.KeysSet"]
    assert find_event([receipt], "session.KeysSet") == [ALICE, 2]
    assert [voters(chain, epoch)[ALICE] for epoch in range(3)] == [old, old, new]


def test_changing_twice_in_an_epoch_keeps_what_counted_before() -> None:
    chain = StakingChain()
    old, last = seeds_of("Alice")[0].public, seeds_of("Last")[0].public

    chain.do(ALICE, *keys_call(ALICE, "Fresh"))
    chain.do(ALICE, *keys_call(ALICE, "Last"))
    chain.skip_epochs(2)

    assert [voters(chain, epoch)[ALICE] for epoch in range(3)] == [old, old, last]


def test_keys_that_change_in_every_epoch_follow_each_other() -> None:
    chain = StakingChain()
    for number in range(3):
        chain.do(ALICE, *keys_call(ALICE, f"Fresh{number}"))
        chain.skip_epochs(1)
    chain.skip_epochs(1)

    assert [voters(chain, 2 + n)[ALICE] for n in range(3)] == [
        seeds_of(f"Fresh{n}")[0].public for n in range(3)
    ]


def test_a_newcomer_votes_once_it_has_stake_keys_and_compute() -> None:
    chain = StakingChain()
    chain.do(BOB, "staking.bond", BOND_MIN)
    chain.do(BOB, "staking.validate", 0)
    chain.skip_epochs(2)
    assert BOB not in voters(chain, 2)

    chain.do(BOB, *keys_call(BOB, "Bob"))
    chain.skip_epochs(2)

    assert BOB not in voters(chain, 3)
    table = chain.runtime.session.table(Epoch(4))
    (entry,) = [each for each in table.validators if each.account == BOB]
    assert (entry.consensus_key, entry.vrf_key, entry.peer_key) == tuple(
        pair.public for pair in seeds_of("Bob")
    )
    assert table.total > entry.weight > 0


def test_without_compute_nobody_votes() -> None:
    grants = tuple(grant for grant in SPEC.runtime.compute if grant.account != BOB)
    chain = StakingChain(compute=grants)
    chain.do(BOB, *keys_call(BOB, "Bob"))
    chain.do(BOB, "staking.bond", BOND_MIN)
    chain.do(BOB, "staking.validate", 0)
    chain.skip_epochs(3)

    assert list(voters(chain, 3)) == [ALICE]


def test_anothers_proof_is_worth_nothing() -> None:
    chain = StakingChain()

    _, keys, proofs = keys_call(BOB, "Fresh")
    elsewhere = keys_call(ALICE, "Fresh", genesis=replace_byte(GENESIS))

    assert chain.error(ALICE, "session.set_keys", keys, proofs) == "session.InvalidKeyProof"
    assert chain.error(ALICE, *elsewhere) == "session.InvalidKeyProof"
    assert chain.error(ALICE, *keys_call(ALICE, "Fresh")) == ""


def replace_byte(digest: bytes) -> Any:
    return bytes([digest[0] ^ 1]) + digest[1:]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_each_key_needs_its_own_proof(place: int) -> None:
    chain = StakingChain()
    name, keys, proofs = keys_call(ALICE, "Fresh")
    proofs[place] = proofs[place - 1]

    assert chain.error(ALICE, name, keys, proofs) == "session.InvalidKeyProof"


def test_a_key_of_small_order_is_refused_whatever_signs_for_it() -> None:
    chain = StakingChain()
    name, keys, proofs = keys_call(ALICE, "Fresh")
    # With s = 0 and R the neutral point, the equation holds for any message.
    keys[1], proofs[1] = SMALL_ORDER, SMALL_ORDER + bytes(32)

    assert chain.error(ALICE, name, keys, proofs) == "session.InvalidKeyProof"


def test_a_key_has_one_owner_until_it_is_given_up() -> None:
    chain = StakingChain()

    assert chain.error(BOB, *keys_call(BOB, "Alice")) == "session.KeyTaken"
    chain.do(ALICE, *keys_call(ALICE, "Fresh"))
    chain.do(BOB, *keys_call(BOB, "Alice"))
    chain.do(BOB, *keys_call(BOB, "Alice"))

    assert chain.runtime.session.key_owners[seeds_of("Alice")[0].public] == BOB


def test_a_key_that_moves_between_accounts_is_never_twice_in_a_table() -> None:
    chain = StakingChain()
    chain.do(BOB, "staking.bond", BOND_MIN)
    first, second = chain.block((ALICE, keys_call(ALICE, "Fresh")), (BOB, keys_call(BOB, "Alice")))
    chain.do(BOB, "staking.validate", 0)
    chain.skip_epochs(2)

    assert first.error == second.error == ""
    assert list(voters(chain, 1).values()) == [seeds_of("Alice")[0].public]
    assert voters(chain, 2) == {
        ALICE: seeds_of("Fresh")[0].public,
        BOB: seeds_of("Alice")[0].public,
    }


def test_what_a_node_hands_its_operator_are_the_calls_arguments() -> None:
    _, keys, proofs = keys_call(ALICE, "Fresh")
    record = StakingChain().runtime.session.keys[ALICE]

    assert record is not None
    assert KEY_RECORD.decode(KEY_RECORD.encode(record)) == record
    decoded = SET_KEYS_ARGUMENTS.from_plain([keys, proofs])
    assert SET_KEYS_ARGUMENTS.to_plain(decoded) == [keys, proofs]


# ------------------------------------------------------------------------------ carry-over


def test_a_table_that_would_lose_two_thirds_is_not_written() -> None:
    chain = StakingChain()
    chain.skip_to(LENGTH - 2)
    chain.do(ALICE, "staking.chill")

    receipts = chain.finish(chain.start())

    session = chain.runtime.session
    old = session.table(Epoch(0))
    assert session.table(Epoch(1)) == old
    assert find_event(receipts, "session.TableKept") == [0, old.total, 0]
    assert (session.origin(Epoch(0)), session.origin(Epoch(1))) == (0, 0)
    chain.do(ALICE, "staking.validate", 0)
    chain.skip_epochs(3)
    assert chain.runtime.session.origin(Epoch(3)) == 3


@pytest.mark.parametrize(("left", "is_kept"), [(1, False), (-1, True)])
def test_a_third_of_the_weight_is_enough(left: int, is_kept: bool) -> None:
    chain = StakingChain()
    chain.skip_to(LENGTH - 1)
    execution = chain.start()
    session = execution.runtime.session
    old = session.table(Epoch(0)).total

    class Shrunk:
        def weights(self, _: Epoch) -> list[tuple[AccountId, Any]]:
            return [(ALICE, -(-old // SHRINK_MAX) + min(left, 0))]

    session.power = Shrunk()
    chain.finish(execution)

    assert (chain.runtime.session.table(Epoch(1)).total == old) is is_kept


def test_the_invariants_notice_a_key_without_its_owner() -> None:
    session = StakingChain().runtime.session
    session.check_invariants()

    session.key_owners[seeds_of("Alice")[0].public] = BOB

    with pytest.raises(AssertionError):
        session.check_invariants()


def test_the_record_of_a_newcomer_has_nothing_before_it() -> None:
    chain = StakingChain()
    chain.do(BOB, *keys_call(BOB, "Bob"))

    record = chain.runtime.session.keys[BOB]

    assert record is not None
    assert record.registered_before(Epoch(0)) is None
    assert record.registered_before(Epoch(1)) == record.keys
    assert replace(record, registered=Epoch(5)).registered_before(Epoch(5)) is None
