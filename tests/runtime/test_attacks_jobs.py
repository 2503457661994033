"""How a provider with a wrong result tries to be out of its client's reach."""

from dataclasses import replace
from typing import Any

from primitives.types import Balance, Height
from runtime.jobs.moves import open_dispute
from runtime.pocps.standings import SLASH_HOLD
from runtime.pools.memory import FORGOTTEN_MAX, PastShare
from tests.runtime.jobs.test_runtime import (
    CLIENT,
    DURATION,
    JOBS,
    NETWORK,
    OTHER,
    PROVIDER,
    ROW,
    JobChain,
    job,
)
from tests.runtime.jobs.world import KEY
from tests.runtime.pocps.proof_chain import LENGTH, POCPS, ProofChain, genesis_providers

WRONG = job(wrong_at=1)


def dispute_call(chain: JobChain) -> Any:
    return open_dispute(chain.result(WRONG), NETWORK, ROW)


class ServedToTheEnd(JobChain):
    """A lease that has just ended because its time was up."""

    def __init__(self) -> None:
        ProofChain.__init__(
            self, replace(POCPS, providers=genesis_providers(PROVIDER, OTHER)), jobs=JOBS
        )
        self.fees = dict.fromkeys((CLIENT, PROVIDER), 0)
        self.lease_id = 0
        self.prove(PROVIDER, OTHER)
        self.next_epoch()
        address = "/ip4/192.0.2.1/tcp/30400"
        receipts = self.block(
            (PROVIDER, ["pools.join", 0]),
            (PROVIDER, ["jobs.announce", KEY.public, [address]]),
            (CLIENT, ["pools.acquire", 0, 1, DURATION, 10**15, CLIENT]),
        )
        assert [receipt.error for receipt in receipts] == ["", "", ""]
        while self.lease() is not None:
            self.prove(PROVIDER, OTHER)
            while self.lease() is not None and self.height % LENGTH:
                self.block()


def test_a_wrong_result_in_the_last_block_of_a_lease_is_paid_for() -> None:
    chain = ServedToTheEnd()
    past = chain.runtime.pools.past_share(chain.lease_id, PROVIDER)
    assert past is not None
    bond, before = chain.bond(), chain.free(CLIENT)

    chain.open(WRONG)
    number, _, winner, loser, _, taken = chain.play(WRONG, WRONG)

    assert (number, winner, loser) == (1, CLIENT, PROVIDER)
    assert taken == bond * JOBS.slash_ppb // 10**9
    assert chain.held(PROVIDER, SLASH_HOLD) == 0
    assert past.lost > 0
    assert chain.free(CLIENT) + chain.fees[CLIENT] - before == min(taken, past.lost)
    # One result is paid for once.
    assert chain.error(CLIENT, *dispute_call(chain)) == "jobs.UnknownLease"


def test_who_loses_a_lease_by_missing_a_proof_still_answers_for_its_results() -> None:
    chain = JobChain()
    chain.next_epoch()
    chain.block()
    chain.block()
    assert chain.lease() is None
    bond, before = chain.bond(), chain.free(CLIENT)

    chain.open(WRONG)
    *_, loser, _, taken = chain.play(WRONG, WRONG)

    assert loser == PROVIDER
    assert taken == bond * JOBS.slash_ppb // 10**9 > 0
    assert chain.held(PROVIDER, SLASH_HOLD) == 0
    # The refund was all that the fault took from the client.
    assert chain.free(CLIENT) + chain.fees[CLIENT] == before


def test_ended_shares_are_forgotten_when_nobody_can_dispute_them() -> None:
    chain = JobChain()
    chain.do(CLIENT, "pools.terminate", chain.lease_id)
    ended = chain.height
    assert chain.runtime.pools.past_share(chain.lease_id, PROVIDER) is not None

    chain.skip_to(ended + JOBS.dispute_blocks + 1)

    assert chain.runtime.pools.past_share(chain.lease_id, PROVIDER) is None
    assert chain.error(CLIENT, *dispute_call(chain)) == "jobs.UnknownLease"
    assert list(chain.runtime.pools.past_shares.items()) == []
    assert list(chain.runtime.pools.past_queue.items()) == []


def test_a_block_forgets_so_many_shares_and_those_that_ended_again_stay() -> None:
    chain = JobChain()

    def end_many(chain: ProofChain, until: int, count: int, first: int = 0) -> None:
        execution = chain.start()
        memory = execution.runtime.pools.desk.tables.memory
        for number in range(first, first + count):
            share = PastShare(CLIENT, 1, Balance(0), Height(until))
            memory.note(number, PROVIDER, share)
        chain.finish(execution)

    end_many(chain, chain.height + 3, FORGOTTEN_MAX + 2, 100)
    end_many(chain, chain.height + 30, 1, 100)
    chain.skip_to(chain.height + 2)

    assert len(list(chain.runtime.pools.past_queue.items())) == 3
    assert chain.runtime.pools.past_share(100, PROVIDER) is not None
    chain.block()
    assert [where for where, _ in chain.runtime.pools.past_shares.items()] == [(100, PROVIDER)]


def test_a_dispute_over_a_share_that_is_long_forgotten_burns_what_it_takes() -> None:
    chain = JobChain(answer_blocks=40)
    chain.open(WRONG)
    chain.do(CLIENT, "pools.terminate", chain.lease_id)
    chain.skip_to(chain.height + JOBS.dispute_blocks + 1)
    issued, bond = chain.issuance(), chain.bond()

    chain.skip_to(chain.height + 40)

    assert chain.runtime.jobs.disputes[1] is None
    assert chain.bond() < bond
    assert chain.held(PROVIDER, SLASH_HOLD) == 0
    assert chain.issuance() < issued
