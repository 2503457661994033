"""Random blocks over all modules: after each, every invariant holds and no token is lost."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from primitives.errors import InvalidExtrinsic
from primitives.types import AccountId
from runtime.call_table import NESTED_CALLS_MAX
from runtime.multisig import hash_call, multisig_account
from runtime.session import Config
from tests.runtime.small_chain import (
    ALICE,
    BOB,
    CHARLIE,
    DAVE,
    DEPOSIT,
    LOOP,
    NOBODY,
    SmallChain,
    decode_call,
    extrinsic,
)

MEMBERS = tuple(sorted((ALICE, BOB, CHARLIE)))
JOINT = multisig_account(MEMBERS, 2)
SHARED = multisig_account(MEMBERS, 1)
PEOPLE = (ALICE, BOB, CHARLIE, DAVE, NOBODY)

people = st.sampled_from(PEOPLE)
accounts = st.sampled_from([*PEOPLE, JOINT, SHARED])
amounts = st.sampled_from(
    [0, 1, DEPOSIT - 1, DEPOSIT, LOOP, 400_000 * LOOP, 10**15 - 1, 10**15, 2**64 - 1]
)
kinds = st.integers(0, 3)
delays = st.sampled_from([0, 1, 2])
hashes = st.integers(0, 3).map(lambda number: bytes([number]) * 32)


def others(member: AccountId) -> list[AccountId]:
    return [each for each in MEMBERS if each != member]


leaves: st.SearchStrategy[list[Any]] = st.one_of(
    st.builds(lambda data: ["system.remark", data], st.binary(max_size=5)),
    st.builds(lambda to, n: ["balances.transfer", to, n], accounts, amounts),
    st.builds(lambda to, n: ["balances.transfer_keep_alive", to, n], accounts, amounts),
    st.builds(lambda to, keep: ["balances.transfer_all", to, keep], accounts, st.booleans()),
    st.builds(lambda to, k, d: ["proxy.add_proxy", to, k, d], people, kinds, delays),
    st.builds(lambda to, k, d: ["proxy.remove_proxy", to, k, d], people, kinds, delays),
    st.just(["proxy.remove_proxies"]),
    st.builds(lambda real, h: ["proxy.announce", real, h], people, hashes),
    st.builds(lambda by, h: ["proxy.reject_announcement", by, h], people, hashes),
    st.builds(lambda real, h: ["proxy.remove_announcement", real, h], people, hashes),
    st.builds(lambda me, h: ["multisig.approve_as_multi", 2, others(me), None, h], people, hashes),
)
calls = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda each: ["utility.batch", each], st.lists(inner, max_size=3)),
        st.builds(lambda each: ["utility.batch_all", each], st.lists(inner, max_size=3)),
        st.builds(lambda real, each: ["proxy.proxy", real, None, each], accounts, inner),
        st.builds(
            lambda me, each: ["multisig.as_multi_threshold_1", others(me), each], people, inner
        ),
    ),
    max_leaves=4,
)


class RandomHistory(RuleBasedStateMachine):
    """Each rule is one block, or one step of an operation that takes several."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = SmallChain(session=Config(epoch_length=3))
        self.chain.block(
            (ALICE, ["balances.transfer", JOINT, 50 * LOOP]),
            (ALICE, ["balances.transfer", SHARED, 50 * LOOP]),
        )
        self.issued = self.issuance()

    def issuance(self) -> int:
        return self.chain.runtime.balances.total_issuance.get()

    @rule(wanted=st.lists(st.tuples(people, calls, st.sampled_from([0, 5, LOOP])), max_size=5))
    def block(self, wanted: list[tuple[AccountId, list[Any], int]]) -> None:
        execution = self.chain.start()
        for signer, call, tip in wanted:
            nonce = execution.runtime.system.nonces[signer]
            before = dict(execution.overlay.writes)
            try:
                receipt = execution.apply(extrinsic(signer, call, nonce, tip=tip))
            except InvalidExtrinsic:
                assert execution.overlay.writes == before
                continue
            assert receipt.fee > tip
            assert execution.runtime.system.nonces[signer] == nonce + 1
            if receipt.error:
                assert receipt.events == ()
        self.chain.finish(execution)

    @rule(signer=st.sampled_from(MEMBERS), call=calls)
    def approve_or_make(self, signer: AccountId, call: list[Any]) -> None:
        """Propose a call of the joint account, or bring the approval that it waits for."""
        runtime = self.chain.runtime
        waiting = runtime.multisig.operations[JOINT, hash_call(decode_call(call))]
        place = None
        if waiting is not None:
            place = [waiting.timepoint.height, waiting.timepoint.index]
        self.block([(signer, ["multisig.as_multi", 2, others(signer), place, call], 0)])

    @rule(signer=st.sampled_from(MEMBERS))
    def cancel(self, signer: AccountId) -> None:
        for (account, call_hash), waiting in self.chain.runtime.multisig.operations.items():
            assert waiting is not None
            if account == JOINT:
                place = [waiting.timepoint.height, waiting.timepoint.index]
                call = ["multisig.cancel_as_multi", 2, others(signer), place, call_hash]
                self.block([(signer, call, 0)])
                return

    @rule(sender=people, real=people, call=calls)
    def make_announced(self, sender: AccountId, real: AccountId, call: list[Any]) -> None:
        call_hash = hash_call(decode_call(call))
        self.block([(BOB, ["proxy.announce", real, call_hash], 0)])
        self.block([(sender, ["proxy.proxy_announced", BOB, real, None, call], 0)])

    @invariant()
    def the_issuance_only_shrinks(self) -> None:
        assert self.issuance() <= self.issued
        self.issued = self.issuance()

    @invariant()
    def deposits_are_held_for_what_exists(self) -> None:
        runtime = self.chain.runtime
        reasons = {reason for (_, reason), _ in runtime.balances.held.items()}
        expected = {
            "proxy.delegates": any(True for _ in runtime.proxy.delegations.items()),
            "proxy.announcements": any(True for _ in runtime.proxy.announcements.items()),
            "staking.bond": True,
            "multisig.operation": any(True for _ in runtime.multisig.operations.items()),
        }
        assert reasons == {reason for reason, exists in expected.items() if exists}


RandomHistory.TestCase.settings = settings(max_examples=15, stateful_step_count=15)
test_a_random_history_keeps_every_invariant = RandomHistory.TestCase


def test_the_deepest_batch_of_the_largest_lists_is_bounded_by_its_bytes() -> None:
    remark = ["system.remark", b""]

    call = decode_call(["utility.batch", [["utility.batch", [remark] * NESTED_CALLS_MAX]] * 3])

    assert call.weight > 3 * NESTED_CALLS_MAX * 2_000
