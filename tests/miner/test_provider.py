"""The provider's machine: in time, once, again when lost, and never when it is of no use."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.provider import Provider
from miner.provider_messages import (
    Abandon,
    Action,
    Advanced,
    Commit,
    Commitment,
    Fact,
    ProofFailed,
    Prove,
    Refused,
    Register,
    Respond,
    Step,
    Tell,
    Warmed,
)
from primitives.types import Balance, Digest, Epoch, Height, Millis
from runtime.pocps.ladder import Fault
from tests.miner.provider_chain import (
    PENALTY,
    WINDOWS,
    PaperChain,
    challenge_of,
    facts,
    make_provider,
    proven,
    root_of,
)


def of_kind(actions: list[Action], kind: type[Action]) -> list[Action]:
    return [item for item in actions if isinstance(item, kind)]


def run(
    chain: PaperChain,
    provider: Provider,
    blocks: int,
    *,
    blocks_to_prove: int = 2,
    renew: Callable[[int], bool] = lambda _: False,
) -> list[Action]:
    """Let the chain make blocks and the provider live beside it; return all that it did.

    After a block for which ``renew`` holds, the machine is thrown away and made anew.
    """
    done: list[Action] = []
    orders: dict[Prove, int] = {}
    """With the height at which each is done; a checkpoint outlives the machine."""
    current: list[Prove] = []

    def take(actions: list[Action]) -> None:
        done.extend(actions)
        chain.send(actions)
        for action in actions:
            match action:
                case Prove():
                    orders.setdefault(action, chain.height + blocks_to_prove)
                    current[:] = [action]
                case Abandon():
                    current.clear()

    take(provider.step(chain.sight()))
    for _ in range(blocks):
        sight = chain.make_block()
        if renew(chain.height):
            provider = make_provider()
            current.clear()
        take(provider.step(sight))
        if current and orders[current[0]] <= chain.height:
            order = current.pop()
            take(provider.step(proven(order.epoch, order.units)))
    return done


def test_each_epoch_is_proven_committed_to_and_answered_once() -> None:
    chain = PaperChain()

    done = run(chain, make_provider(), 60)

    assert chain.responded == {0, 1, 2}
    assert chain.misses == []
    assert [item.epoch for item in done if isinstance(item, Prove)] == [0, 1, 2, 3]
    assert [item.epoch for item in done if isinstance(item, Commit)] == [0, 1, 2]
    assert [item.epoch for item in done if isinstance(item, Respond)] == [0, 1, 2]


def test_a_proof_starts_with_the_block_before_its_epoch() -> None:
    chain = PaperChain(height=18, responded={0})
    provider = make_provider()
    provider.step(chain.make_block())

    actions = provider.step(chain.make_block())

    assert chain.height == 20
    assert of_kind(actions, Prove) == [Prove(Epoch(1), challenge_of(1), 5)]


@given(st.sets(st.integers(1, 60)))
def test_a_restart_after_any_blocks_misses_no_window(restarts: set[int]) -> None:
    chain = PaperChain()

    run(chain, make_provider(), 60, renew=restarts.__contains__)

    assert chain.misses == []
    assert chain.responded == {0, 1, 2}


def test_a_machine_that_restarts_between_commitment_and_response_proves_the_same_again() -> None:
    chain = PaperChain()
    run(chain, make_provider(), 7)
    assert chain.commitments[0] == Commitment(5, root_of(0, 5))
    chain.units = 9

    done = run(chain, make_provider(), 10)

    assert of_kind(done, Prove) == [Prove(Epoch(0), challenge_of(0), 5)]
    assert chain.responded == {0}


@given(st.lists(st.booleans(), min_size=1, max_size=3))
def test_what_was_lost_is_sent_again_when_it_can_no_longer_be_included(lost: list[bool]) -> None:
    fates = [*lost, False, False]
    chain = PaperChain()
    sent: list[int] = []

    def takes(item: Action) -> bool:
        sent.append(chain.height)
        return not fates.pop(0) if fates else True

    chain.takes = takes
    done = run(chain, make_provider(), 20, blocks_to_prove=1)

    commits = [item for item in done if isinstance(item, Commit) and item.epoch == 0]
    assert [item.attempt for item in commits] == list(range(1, len(commits) + 1))
    assert all(late.valid_until > early.valid_until for early, late in pairwise(commits))
    for item in commits:
        assert item.valid_until <= WINDOWS.commit_deadline
    if lost[0] and len(commits) > 1:
        assert Fact.RESENT in facts(done)


def test_a_lost_commitment_is_sent_again_within_the_window() -> None:
    losses = [True]
    chain = PaperChain(takes=lambda _: not (losses and losses.pop()))

    done = run(chain, make_provider(), 20, blocks_to_prove=1)

    assert chain.commitments[0].units == 5
    assert chain.responded == {0}
    assert facts(done).count("resent") == 1


def test_nothing_is_sent_twice_while_the_first_can_still_be_included() -> None:
    chain = PaperChain(takes=lambda _: False)

    done = run(chain, make_provider(), 8, blocks_to_prove=1)

    commits = [item for item in done if isinstance(item, Commit)]
    assert [item.valid_until for item in commits] == [5, 8]


def test_a_response_that_was_lost_is_sent_again() -> None:
    losses = [True]
    chain = PaperChain(
        takes=lambda item: not (isinstance(item, Respond) and losses and losses.pop())
    )

    done = run(chain, make_provider(), 20)

    responses = [item for item in done if isinstance(item, Respond)]
    assert [item.attempt for item in responses] == [1, 2]
    assert chain.responded == {0}


def test_a_commitment_that_vanishes_with_its_block_is_sent_again() -> None:
    chain = PaperChain()
    provider = make_provider()
    run(chain, provider, 4)
    sent: list[Action] = []
    while not chain.commitments:
        sent += provider.step(chain.make_block())
        chain.send(sent)
    provider.step(chain.sight())

    chain.commitments.clear()
    again: list[Action] = []
    while chain.height < WINDOWS.commit_deadline - 1 and not of_kind(again, Commit):
        again = provider.step(chain.make_block())

    assert of_kind(again, Commit)


def test_who_comes_after_the_deadline_is_told_what_it_costs_and_waits() -> None:
    chain = PaperChain(height=WINDOWS.commit_deadline)

    actions = make_provider().step(chain.sight())

    assert actions == [
        Tell(
            Fact.TOO_LATE, chain.sight().height, Epoch(0), "the commitment is not on chain", PENALTY
        )
    ]


def test_who_comes_late_within_the_window_proves_at_once_and_hears_if_it_is_hopeless() -> None:
    chain = PaperChain(height=5)
    provider = make_provider(rate=1)
    provider.step(chain.make_block())

    slow = make_provider(rate=1)
    first = slow.step(chain.sight())
    second = slow.step(chain.make_block())
    told = slow.step(
        Advanced(Epoch(0), leaves_done=2, leaves_total=20, leaves_resumed=0, elapsed=Millis(2000))
    )

    assert of_kind(first, Prove) == [Prove(Epoch(0), challenge_of(0), 5)]
    assert of_kind(second, Prove) == []
    assert facts([*first, *second, *told]) == ["proving", "behind"]
    assert [item.cost for item in told if isinstance(item, Tell)] == [PENALTY]


def test_a_speed_known_from_the_trial_warns_with_the_challenge() -> None:
    chain = PaperChain(height=17, responded={0})
    provider = make_provider(rate=1)
    for _ in range(2):
        provider.step(chain.make_block())

    actions = provider.step(chain.make_block())

    assert facts(actions) == ["proving", "behind"]


def test_a_proof_that_misses_the_window_is_abandoned_and_the_next_one_started() -> None:
    chain = PaperChain()

    done = run(chain, make_provider(), 25, blocks_to_prove=30)

    assert chain.misses == [0]
    assert [item.epoch for item in done if isinstance(item, Prove)] == [0, 1]
    assert of_kind(done, Abandon) == [Abandon(Epoch(0))]
    assert facts(done).count("too_late") == 1


def test_while_the_chain_stands_still_nothing_is_sent_and_the_proof_goes_on() -> None:
    chain = PaperChain()
    provider = make_provider()
    provider.step(chain.make_block())
    first = provider.step(proven(0, 5))

    repeated = [provider.step(chain.sight()) for _ in range(5)]
    chain.send(first)
    for _ in range(15):
        chain.send(provider.step(chain.make_block()))

    assert len(of_kind(first, Commit)) == 1
    assert repeated == [[]] * 5
    assert chain.responded == {0}


def test_a_node_that_was_unreachable_for_long_costs_a_window_and_not_the_next() -> None:
    chain = PaperChain()
    provider = make_provider()
    run(chain, provider, 3)
    for _ in range(20):
        chain.make_block()

    done = run(chain, provider, 20)

    assert chain.misses == [0]
    assert 1 in chain.responded
    assert facts(done).count("too_late") == 0


def test_a_head_from_a_node_that_is_behind_changes_nothing() -> None:
    chain = PaperChain(height=5)
    provider = make_provider()
    old = chain.sight()
    provider.step(chain.make_block())

    assert provider.step(old) == []


def test_units_that_owe_nothing_are_not_proven() -> None:
    chain = PaperChain(units=5, fresh=5)

    done = run(chain, make_provider(), 10)

    assert of_kind(done, Prove) == []
    assert facts(done) == ["nothing_due"]


def test_declared_maintenance_is_kept() -> None:
    chain = PaperChain(is_absent=True)

    done = run(chain, make_provider(), 10)

    assert of_kind(done, Prove) == []
    assert facts(done) == ["maintenance"]


def test_leased_units_are_left_out_of_the_claim() -> None:
    chain = PaperChain(units=5, leased=2)

    run(chain, make_provider(), 20)

    assert chain.commitments[0].units == 3
    assert chain.responded == {0}


def test_a_provider_all_of_whose_units_are_leased_commits_to_nothing_without_a_proof() -> None:
    chain = PaperChain(units=5, leased=5)

    done = run(chain, make_provider(), 20)

    assert of_kind(done, Prove) == []
    assert chain.commitments[0] == Commitment(0, Digest(bytes(32)))
    assert chain.responded == {0}


def test_missing_units_are_staked_once_the_machine_can_prove() -> None:
    chain = PaperChain(units=2)
    provider = make_provider(units_wanted=5, rate=0)
    assert of_kind(provider.step(chain.sight()), Register) == []
    provider.step(Warmed(1000))

    done = run(chain, provider, 40)

    registered = [item for item in done if isinstance(item, Register)]
    assert [item.units for item in registered] == [3]
    assert chain.units == 5
    assert chain.commitments[1].units == 5


def test_a_root_that_another_machine_committed_to_is_not_answered_for() -> None:
    chain = PaperChain()
    chain.commitments[0] = Commitment(5, Digest(b"x" * 32))

    done = run(chain, make_provider(), 18)

    assert of_kind(done, Respond) == []
    assert facts(done).count("other_root") == 1
    assert chain.misses == []


def test_a_failed_proof_is_told_with_its_cost_and_not_tried_again_in_its_epoch() -> None:
    chain = PaperChain()
    provider = make_provider()
    provider.step(chain.make_block())

    told = provider.step(ProofFailed(Epoch(0), "DiskFull"))
    done = run(chain, provider, 22)

    assert told == [Tell(Fact.PROOF_FAILED, Height(1), Epoch(0), "DiskFull", PENALTY)]
    assert [item.epoch for item in done if isinstance(item, Prove)] == [1]


def test_refusals_are_told_once_and_tried_ever_more_rarely() -> None:
    chain = PaperChain(takes=lambda _: False)
    provider = make_provider()
    provider.step(chain.make_block())
    tries: list[int] = []
    told: list[Action] = []
    actions = provider.step(proven(0, 5))
    while chain.height < WINDOWS.commit_deadline:
        if of_kind(actions, Commit):
            tries.append(chain.height)
            told += provider.step(Refused(Step.COMMIT, "no funds"))
        actions = provider.step(chain.make_block())

    assert tries == [1, 2, 4]
    assert facts(told) == ["refused"]


@pytest.mark.parametrize("epoch", [1, 7])
def test_news_of_another_epoch_is_ignored(epoch: int) -> None:
    chain = PaperChain()
    provider = make_provider()
    provider.step(chain.make_block())

    assert provider.step(proven(epoch, 5)) == []
    assert provider.step(ProofFailed(Epoch(epoch), "late")) == []


def test_news_before_the_first_block_is_ignored() -> None:
    provider = make_provider()

    assert provider.step(proven(0, 5)) == []
    assert provider.step(ProofFailed(Epoch(0), "x")) == []
    assert provider.step(Refused(Step.COMMIT, "x")) == []
    assert provider.epoch is None


def test_a_fault_that_the_chain_found_is_told_once_with_what_it_took() -> None:
    chain = PaperChain(fault=Fault(Epoch(0), Height(3), "missed_commitment", 1, Balance(1)))
    provider = make_provider()
    first = provider.step(chain.make_block())
    chain.fault = Fault(Epoch(1), Height(25), "invalid_proof", 2, Balance(9))

    second = provider.step(chain.make_block())
    third = provider.step(chain.make_block())

    told = [item for item in second if isinstance(item, Tell) and item.fact is Fact.FAULTED]
    assert [(item.detail, item.cost) for item in told] == [("invalid_proof in epoch 1", 9)]
    assert "faulted" not in facts([*first, *third])


def test_units_that_a_slash_took_are_not_staked_again_by_themselves() -> None:
    chain = PaperChain(units=2)
    provider = make_provider(units_wanted=5)
    run(chain, provider, 10)
    assert chain.units == 5

    chain.units = 3
    done = run(chain, provider, 30)

    assert of_kind(done, Register) == []
