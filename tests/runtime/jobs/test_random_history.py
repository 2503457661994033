"""Random calls of everybody over several leases: every invariant holds, and no token is made."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from primitives.crypto import KeyPair
from primitives.errors import DispatchError
from primitives.types import AccountId
from runtime.jobs.transcript import Transcript
from tests.runtime.jobs.world import (
    CLIENT,
    LEASE,
    OTHER,
    PROVIDER,
    RICH,
    Job,
    World,
    make_network,
    make_rows,
)

NETWORK, ROWS = make_network([3, 5, 2]), make_rows(3, 3)
LEASES = (LEASE, LEASE + 1, LEASE + 2, LEASE + 3, LEASE + 4)
KEYS = tuple(KeyPair(bytes([number]) * 32) for number in (7, 8, 9))
people = st.sampled_from([CLIENT, OTHER, PROVIDER])
numbers = st.integers(1, 6)


def make_job(lease_id: int, *, is_wrong: bool) -> Job:
    outputs = NETWORK.run(ROWS)
    outputs[0, 0] ^= is_wrong
    return Job(NETWORK, ROWS, outputs, lease_id=lease_id)


JOBS = {
    (lease_id, is_wrong): make_job(lease_id, is_wrong=is_wrong)
    for lease_id in LEASES
    for is_wrong in (False, True)
}
jobs = st.sampled_from(list(JOBS.values()))


def said(job: Job, row: int) -> Transcript:
    rows = list(job.transcript(row).rows)
    rows[-1] = job.outputs[row].tobytes()
    return Transcript(rows)


class RandomDisputes(RuleBasedStateMachine):
    """Each rule is one call, which may fail, or a few blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(disputes_max=3)
        self.world.leases.clients = {(each, PROVIDER): CLIENT for each in LEASES}
        self.world.announce()
        self.issued = 3 * RICH

    def call(self, signer: AccountId, name: str, *arguments: Any) -> None:
        before = dict(self.world.context.overlay.writes)
        try:
            self.world.call(signer, name, *arguments)
        except DispatchError:
            assert self.world.context.overlay.writes == before

    @rule(signer=people, key=st.sampled_from(KEYS), address=st.sampled_from(["/ip4/1", "no"]))
    def announce(self, signer: AccountId, key: KeyPair, address: str) -> None:
        self.call(signer, "announce", key.public, (address,))

    @rule(signer=people)
    def retire(self, signer: AccountId) -> None:
        self.call(signer, "retire")

    @rule(signer=people, job=jobs, row=st.integers(0, 3), key=st.sampled_from(KEYS))
    def dispute(self, signer: AccountId, job: Job, row: int, key: KeyPair) -> None:
        self.call(signer, "dispute", *job.claim(row, key))

    @rule(signer=people, number=numbers, job=jobs, row=st.integers(0, 2))
    def answer(self, signer: AccountId, number: int, job: Job, row: int) -> None:
        self.call(signer, "answer", number, said(job, row).digests, *job.proofs(row))

    @rule(signer=people, number=numbers, layer=st.integers(0, 2))
    def choose(self, signer: AccountId, number: int, layer: int) -> None:
        self.call(signer, "choose_layer", number, layer)

    @rule(signer=people, number=numbers, job=jobs, row=st.integers(0, 2))
    def reveal(self, signer: AccountId, number: int, job: Job, row: int) -> None:
        for shown in said(job, row).rows:
            self.call(signer, "reveal", number, shown)

    @rule(number=numbers, row=st.integers(0, 2), layer=st.integers(0, 1))
    def prove(self, number: int, row: int, layer: int) -> None:
        job = JOBS[LEASE, False]
        self.call(CLIENT, "prove", number, *job.evidence(job.transcript(row), layer, 0))

    @rule(number=numbers, job=jobs, row=st.integers(0, 2), layer=st.integers(0, 1))
    def play(self, number: int, job: Job, row: int, layer: int) -> None:
        """Make the moves of one dispute one after the other, as far as they fit."""
        self.call(CLIENT, "dispute", *job.claim(row))
        self.answer(PROVIDER, number, job, row)
        self.choose(CLIENT, number, layer)
        self.reveal(PROVIDER, number, job, row)
        self.prove(number, row, layer)

    @rule(count=st.integers(1, 5))
    def pass_blocks(self, count: int) -> None:
        self.world.next_block(count)

    @rule(lease_id=st.sampled_from(LEASES))
    def end_lease(self, lease_id: int) -> None:
        self.world.leases.clients.pop((lease_id, PROVIDER), None)

    @rule(lease_id=st.sampled_from(LEASES))
    def lease_again(self, lease_id: int) -> None:
        self.world.leases.clients[lease_id, PROVIDER] = CLIENT

    @invariant()
    def no_token_is_made(self) -> None:
        issued = self.world.balances.total_issuance.get()
        assert issued <= self.issued
        self.issued = issued

    @invariant()
    def a_provider_is_punished_for_jobs_that_are_wrong_or_not_answered(self) -> None:
        reasons = {reason for _, _, reason, _ in self.world.bonds.punished}
        assert reasons <= {"jobs.wrong_result", "jobs.no_answer"}


RandomDisputes.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
test_a_random_history_keeps_every_invariant = RandomDisputes.TestCase
