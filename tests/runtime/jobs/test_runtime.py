"""Disputes in the whole runtime: real leases, real bonds, real proofs of computing power."""

from dataclasses import replace
from typing import Any

import pytest

from genesis.presets import small_jobs_config
from primitives.types import AccountId, Balance, Height
from runtime.jobs.commitment import Commitment, rows_tree, sign_commitment
from runtime.jobs.market import Market
from runtime.jobs.moves import JobData, SignedResult, client_move, open_dispute, provider_move
from runtime.jobs.records import Dispute, Phase
from runtime.pocps.standings import HOLD, SLASH_HOLD
from runtime.pools.records import Lease
from tests.runtime.jobs.world import KEY, make_network, make_rows
from tests.runtime.pocps.proof_chain import LENGTH, POCPS, ProofChain, genesis_providers
from tests.runtime.small_chain import BOB, CHARLIE, DAVE, GENESIS, LOOP

CLIENT, PROVIDER, OTHER = BOB, CHARLIE, DAVE
NETWORK = make_network([6, 9, 4], shift=7)
ROWS = make_rows(4, 6)
ROW = 2
JOBS = replace(small_jobs_config(), answer_blocks=2, dispute_blocks=20)
UNITS = 2
DURATION = 3 * LENGTH + 1


class JobChain(ProofChain):
    """A client with a lease of all that one provider has proven."""

    def __init__(self, answer_blocks: int = JOBS.answer_blocks) -> None:
        pocps = replace(POCPS, providers=genesis_providers(PROVIDER, OTHER))
        super().__init__(pocps, jobs=replace(JOBS, answer_blocks=answer_blocks))
        self.prove(PROVIDER, OTHER)
        self.next_epoch()
        self.do(PROVIDER, "pools.join", 0)
        self.do(PROVIDER, "jobs.announce", KEY.public, ["/ip4/192.0.2.1/tcp/30400"])
        self.do(CLIENT, "pools.acquire", 0, 1, DURATION, 10**6 * LOOP, CLIENT)
        self.lease_id = self.runtime.pools.lease_count.get() - 1
        self.fees = dict.fromkeys((CLIENT, PROVIDER), 0)
        """Paid in disputes."""

    def lease(self) -> Lease | None:
        return self.runtime.pools.lease(self.lease_id)

    def dispute(self) -> Dispute | None:
        return self.runtime.jobs.disputes[1]

    def result(self, job: JobData) -> SignedResult:
        commitment = Commitment(
            lease_id=self.lease_id,
            provider=PROVIDER,
            network=NETWORK.identity,
            inputs=rows_tree(job.inputs).root,
            outputs=rows_tree(job.outputs).root,
            rows=len(job.inputs),
            made_at=Height(self.height),
        )
        return SignedResult(commitment, KEY.public, sign_commitment(GENESIS, commitment, KEY))

    def bond(self) -> int:
        return self.held(PROVIDER, HOLD)

    def issuance(self) -> int:
        return self.runtime.balances.total_issuance.get()

    def open(self, job: JobData) -> None:
        call: Any = open_dispute(self.result(job), NETWORK, ROW)
        self.fees[CLIENT] += self.do(CLIENT, *call).fee

    def play(self, client: JobData, provider: JobData | None, blocks: int = 20) -> list[Any]:
        """Let both sides say what they honestly would of their job; return the settlement."""
        for _ in range(blocks):
            dispute = self.dispute()
            assert dispute is not None
            shown = self.runtime.jobs.revealed[1]
            moves: list[tuple[AccountId, Any]] = [
                (CLIENT, client_move(1, dispute, shown, client)),
                (PROVIDER, provider and provider_move(1, dispute, provider)),
            ]
            made = [(who, move) for who, move in moves if move is not None]
            receipts = self.block(*made)
            assert [receipt.error for receipt in receipts] == [""] * len(receipts)
            for (who, _), receipt in zip(made, receipts, strict=True):
                self.fees[who] += receipt.fee
            if self.dispute() is None:
                return [] if not receipts else _settlement(receipts[-1].events)
        raise AssertionError("a dispute that does not end")


def _settlement(events: Any) -> list[Any]:
    return next(list(each[1:]) for each in events if each[0] == "jobs.DisputeSettled")


def job(wrong_at: int | None = None) -> JobData:
    outputs = NETWORK.run(ROWS)
    if wrong_at is not None:
        outputs[ROW, wrong_at] ^= 1
    return JobData(NETWORK, ROWS, outputs)


def test_a_client_with_a_wrong_row_is_made_whole_and_the_provider_slashed() -> None:
    chain = JobChain()
    paid = sum(share.total for share in _shares(chain))
    bond, before = chain.bond(), chain.free(CLIENT)
    wrong = job(wrong_at=1)
    chain.open(wrong)

    number, lease_id, winner, loser, reason, taken = chain.play(wrong, wrong)

    assert (number, lease_id, winner, loser) == (1, chain.lease_id, CLIENT, PROVIDER)
    assert reason == "wrong_result"
    assert taken == bond * JOBS.slash_ppb // 10**9
    assert chain.lease() is None
    assert chain.held(CLIENT, "jobs.bond") == 0
    assert chain.held(PROVIDER, SLASH_HOLD) == 0
    # All that it has paid for the lease: the rest as a refund, what had streamed out of the slash.
    assert chain.free(CLIENT) + chain.fees[CLIENT] - before >= paid


def test_a_provider_that_does_not_answer_loses_as_well() -> None:
    chain = JobChain()
    chain.open(job(wrong_at=0))

    chain.play(job(wrong_at=0), None)

    assert chain.lease() is None
    assert chain.held(CLIENT, "jobs.bond") == 0
    assert chain.provider(PROVIDER).bond < 4 * LOOP


def test_an_honest_provider_keeps_everything_and_gets_half_of_the_clients_bond() -> None:
    chain = JobChain()
    bond = chain.bond()
    chain.open(job())
    before, issued = chain.free(PROVIDER), chain.issuance()

    # The client has nothing to say to digests that are all right: its time runs out.
    chain.play(job(), job())

    assert chain.bond() == bond
    assert chain.lease() is not None
    assert chain.held(CLIENT, "jobs.bond") == 0
    assert chain.free(PROVIDER) + chain.fees[PROVIDER] - before == JOBS.bond // 2
    assert chain.issuance() <= issued - JOBS.bond // 2


def test_a_lease_that_ends_while_it_is_disputed_does_not_save_the_provider() -> None:
    chain = JobChain()
    chain.open(job(wrong_at=0))
    bond = chain.bond()
    chain.do(CLIENT, "pools.terminate", chain.lease_id)

    chain.play(job(wrong_at=0), job(wrong_at=0))

    assert chain.lease() is None
    assert chain.bond() == bond - bond * JOBS.slash_ppb // 10**9
    assert chain.held(PROVIDER, SLASH_HOLD) == 0


def test_only_a_provider_of_the_lease_can_be_disputed() -> None:
    market = Market(JobChain().runtime.pools, JobChain().runtime.pocps)

    assert market.served(0, OTHER) is None
    assert market.served(99, PROVIDER) is None
    served = market.served(0, PROVIDER)
    assert served is not None
    assert (served.client, served.class_id) == (CLIENT, 1)


def test_a_provider_without_a_bond_has_nothing_to_lose() -> None:
    runtime = JobChain().runtime

    taken = Market(runtime.pools, runtime.pocps).punish(1, CLIENT, "jobs.x", fraction_ppb=10**9)

    assert taken == Balance(0)


@pytest.mark.parametrize("phase", [Phase.TRANSCRIPT, Phase.LAYER, Phase.ROW, Phase.PROOF])
def test_an_honest_side_says_nothing_when_it_is_not_its_turn_or_all_is_right(phase: Phase) -> None:
    chain = JobChain()
    chain.open(job())
    opened = chain.dispute()
    assert opened is not None
    right = job()
    digests = (b"",) * 3
    dispute = replace(opened, phase=phase, digests=digests)  # type: ignore[arg-type] # never read

    client = phase.is_providers_turn and client_move(1, dispute, b"", right)
    provider = not phase.is_providers_turn and provider_move(1, dispute, right)
    shown = right.outputs[ROW].tobytes()
    last = replace(opened, phase=Phase.PROOF, layer=1)

    assert not client
    assert not provider
    assert client_move(1, last, shown, right) is None


def _shares(chain: JobChain) -> Any:
    lease = chain.lease()
    assert lease is not None
    return lease.shares
