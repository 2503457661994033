"""A thousand providers: no block gets longer than its limit, and all are heard and settled."""

from dataclasses import replace
from itertools import pairwise

import pytest

from primitives.merkle import MerkleTree
from primitives.types import AccountId, Operations
from runtime.executive import BlockFull, ReadyExtrinsic
from runtime.pocps.classes import kind_of, response_weight
from runtime.pocps.proof import Claim
from runtime.power import ComputeGrant
from runtime.session import Config as SessionConfig
from tests.runtime.pocps.proof_chain import CPU, POCPS, STORE, ProofChain, genesis_providers
from tests.runtime.small_chain import ALICE, LOOP, extrinsic

CROWD = 1000
LENGTH, COMMIT, SAMPLE = 20, 2, 3
ACCOUNTS = [AccountId(each.to_bytes(32)) for each in range(1, CROWD + 1)]


class Crowd(ProofChain):
    """An epoch of twenty blocks, with as many places as the response window has room for."""

    def __init__(self, respond_deadline: int) -> None:
        places = replace(CPU, providers_max=CROWD, units_max=4)
        pocps = replace(
            POCPS,
            classes=(places, STORE),
            providers=genesis_providers(*ACCOUNTS, units=2),
            commit_deadline=COMMIT,
            sample_block=SAMPLE,
            respond_deadline=respond_deadline,
            sweep_max=64,
        )
        session = SessionConfig(epoch_length=LENGTH)
        grants = (ComputeGrant(ALICE, Operations(1)),)
        super().__init__(pocps, session=session, compute=grants)

    def fill(self, waiting: list[ReadyExtrinsic]) -> int:
        """Make a block of as many extrinsics as it takes, and return its weight."""
        execution = self.start()
        for each in waiting[:]:
            try:
                receipt = execution.apply(each)
            except BlockFull:
                break
            assert receipt.error == ""
            waiting.remove(each)
        self.finish(execution)
        assert execution.weight <= self.config.system.block_weight_max
        return execution.weight


def test_a_thousand_responses_never_make_a_block_too_heavy_and_all_come_in_time() -> None:
    chain = Crowd(respond_deadline=6)
    room = chain.runtime.pocps.room
    needed = CROWD * room.cost(chain.resource())
    assert needed <= room.window_weight
    endow(chain)
    trees = {who: MerkleTree(chain.leaves(who, 2)) for who in ACCOUNTS}
    commits = [extrinsic(who, ["pocps.commit", 1, 2, trees[who].root], 0) for who in ACCOUNTS]
    chain.fill(commits)
    assert commits == []
    kind, weight = kind_of(chain.resource()), response_weight(chain.resource())
    assert chain.height + 1 == SAMPLE
    runtime = chain.runtime
    for module in runtime.modules:
        module.begin_block()
    drawing = runtime.pocps.drawing.get()
    assert drawing is not None
    responses = []
    for who, tree in trees.items():
        positions = kind.sample(Claim(who, 2, tree.root), drawing.beacon)
        siblings = list(kind.respond(tree, positions))
        responses.append(extrinsic(who, ["pocps.respond", 1, siblings, weight], 1))

    weights = [chain.fill(responses) for _ in range(SAMPLE, 7)]

    assert responses == []
    assert max(weights) > chain.config.system.block_weight_max * 9 // 10
    assert chain.runtime.pocps.sums(1) == (0, 2 * CROWD, CROWD)


@pytest.mark.slow
def test_a_thousand_who_stay_silent_are_settled_a_few_a_block() -> None:
    chain = Crowd(respond_deadline=6)
    chain.skip_to(LENGTH)

    left = [CROWD]
    while left[-1]:
        chain.block()
        left.append(chain.runtime.pocps.sweep.get().slots_left)

    steps = [earlier - later for earlier, later in pairwise(left)]
    assert max(steps) <= 64
    assert len(steps) == -(-(CROWD + 1) // 64) < LENGTH
    assert len(dict(chain.runtime.pocps.faults.items())) == CROWD


def endow(chain: Crowd) -> None:
    """Let everybody have what fees take."""
    chain.block(*((ALICE, ["balances.transfer", who, LOOP]) for who in ACCOUNTS))
