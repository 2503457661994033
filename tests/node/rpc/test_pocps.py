"""``pocps_*`` over a real dispatcher and the real rules of a small chain."""

from dataclasses import replace
from typing import Any

import pytest

from primitives.types import Balance, Epoch
from runtime.pocps.classes import kind_of, response_weight
from runtime.pocps.records import Config
from tests.node.rpc.calling import call, fail
from tests.node.rpc.runtime_served import address, served
from tests.runtime.pocps.proof_chain import (
    COMMIT,
    CPU,
    LENGTH,
    POCPS,
    RESPOND,
    SAMPLE,
    UNBONDING,
    ProofChain,
)
from tests.runtime.small_chain import ALICE, BOB, CHARLIE, LOOP, SPEC

PPB = 10**9


@pytest.fixture
def chain() -> ProofChain:
    """Bob has four units in the first class and Charlie two; both owe proofs from epoch 1 on."""
    chain = ProofChain()
    chain.do(BOB, "pocps.register", 1, 4)
    chain.do(CHARLIE, "pocps.register", 1, 2)
    return chain


async def standing(chain: ProofChain, who: Any = BOB) -> Any:
    (found,) = await call(served(chain), "pocps_provider", [address(who)])
    return found


async def test_classes_are_shown_with_their_terms_and_what_stands(chain: ProofChain) -> None:
    first, second = await call(served(chain), "pocps_classes")

    assert first == {
        "classId": 1,
        "name": CPU.name,
        "kind": "forward_pass",
        "forwardPass": {"width": 64, "depth": 2, "rowsPerUnit": 4, "rowsPerLeaf": 2},
        "storage": None,
        "samples": 5,
        "unitsMin": 2,
        "unitsMax": 40,
        "providers": 2,
        "providersMax": 6,
        "bondPerUnit": str(LOOP),
        "rewardMax": str(LOOP),
        "operationsPerUnit": kind_of(CPU).operations_per_unit,
        "responseWeight": response_weight(CPU),
        "liveUnits": 0,
        "provenUnits": 0,
    }
    assert (second["kind"], second["forwardPass"]) == ("storage", None)
    assert second["storage"]["chunksPerUnit"] == 2


async def test_the_challenge_comes_with_its_deadlines_and_then_its_beacon(
    chain: ProofChain,
) -> None:
    chain.next_epoch()
    chain.to_place(2)
    early = await call(served(chain), "pocps_challenge", [1])
    seed = chain.runtime.session.challenge_seed(Epoch(1))
    challenge = "0x" + kind_of(CPU).challenge(seed).hex()
    chain.to_place(SAMPLE + 1)
    late = await call(served(chain), "pocps_challenge", [1])
    drawing = chain.runtime.pocps.drawing.get()

    assert early == {
        "classId": 1,
        "height": LENGTH + 1,
        "epoch": 1,
        "challenge": challenge,
        "place": 1,
        "commitDeadline": COMMIT,
        "sampleBlock": SAMPLE,
        "respondDeadline": RESPOND,
        "epochLength": LENGTH,
        "beacon": None,
    }
    assert drawing is not None
    assert late == {
        **early,
        "height": LENGTH + SAMPLE,
        "place": SAMPLE,
        "beacon": "0x" + drawing.beacon.hex(),
    }


async def test_a_provider_sees_its_next_step_all_through_an_epoch(chain: ProofChain) -> None:
    steps = [(await standing(chain))["step"]]
    chain.next_epoch()
    chain.to_place(2)
    steps.append((await standing(chain))["step"])
    chain.do(BOB, *chain.commit_call(BOB, 4))
    committed = await standing(chain)
    chain.to_place(SAMPLE + 1)
    steps += [committed["step"], (await standing(chain))["step"]]
    chain.do(BOB, *chain.respond_call(BOB))
    proven = await standing(chain)
    late = await standing(chain, CHARLIE)
    chain.next_epoch()
    chain.to_place(2)
    standing_now = await standing(chain)

    assert [*steps, proven["step"], late["step"]] == [
        "nothing",
        "commit",
        "wait",
        "respond",
        "proven",
        "late",
    ]
    assert committed["commitment"]["units"] == 4
    assert (proven["proven"], proven["live"]) == (4, 0)
    assert (standing_now["proven"], standing_now["live"]) == (0, 4)
    assert standing_now["bond"] == str(4 * LOOP)


async def test_faults_are_told_with_their_reason_and_what_the_next_would_cost(
    chain: ProofChain,
) -> None:
    chain.next_epoch()
    chain.next_epoch()
    rpc = served(chain)
    before = await call(rpc, "pocps_estimatePenalty", [address(BOB), 1])
    chain.next_epoch()
    faults = await call(served(chain), "pocps_faults", [address(BOB), 1])
    after = await call(served(chain), "pocps_estimatePenalty", [address(BOB), 1])
    strikes = (await standing(chain))["strikes"]

    assert [(each["epoch"], each["reason"], each["step"]) for each in faults] == [
        (1, "missed_commitment", 1)
    ]
    assert before["missed"] == {"step": 1, "slashed": "0", "jails": False, "removes": False}
    assert before["invalid"] == {
        "step": 2,
        "slashed": str(2 * LOOP),
        "jails": True,
        "removes": False,
    }
    assert after["missed"] == {
        "step": 2,
        "slashed": str(2 * LOOP),
        "jails": False,
        "removes": False,
    }
    assert strikes == [1]


async def test_an_estimated_penalty_is_what_the_next_miss_takes(chain: ProofChain) -> None:
    for _ in range(3):
        chain.next_epoch()
    estimate = await call(served(chain), "pocps_estimatePenalty", [address(BOB), 1])

    chain.next_epoch()
    newest = (await call(served(chain), "pocps_faults", [address(BOB), 1]))[0]

    assert (newest["step"], newest["slashed"]) == (
        estimate["missed"]["step"],
        estimate["missed"]["slashed"],
    )


def paying_at_most(reward_max: int) -> Config:
    """Return the small chain's rules with classes whose units can earn so much in an epoch."""
    classes = (replace(each, reward_max=Balance(reward_max)) for each in POCPS.classes)
    return replace(POCPS, classes=tuple(classes))


async def test_an_estimated_reward_is_a_share_of_what_was_paid_last() -> None:
    chain = ProofChain(
        paying_at_most(10**15), rewards=replace(SPEC.runtime.rewards, operations_per_unit=1)
    )
    chain.do(BOB, "pocps.register", 1, 4)
    chain.next_epoch()
    chain.to_place(2)
    chain.do(BOB, *chain.commit_call(BOB, 4))
    chain.to_place(SAMPLE + 1)
    chain.do(BOB, *chain.respond_call(BOB))
    chain.next_epoch()
    chain.block()
    rpc = served(chain)

    found = await call(rpc, "pocps_estimateReward", [1, 4])
    more = await call(rpc, "pocps_estimateReward", [1, 12])

    paid = chain.runtime.rewards.allotment_of(Epoch(1)).compute
    assert found["computeAllotment"] == str(paid)
    assert (found["sharePpb"], more["sharePpb"]) == (PPB // 2, 3 * PPB // 4)
    assert paid > 0
    assert (int(found["whole"]), int(more["whole"])) == (paid // 2, 3 * paid // 4)
    assert int(found["first"]) == int(found["whole"]) // 10
    assert (found["bond"], more["bond"]) == (str(4 * LOOP), str(12 * LOOP))


async def test_an_estimated_reward_is_at_most_what_the_bond_was_made_for() -> None:
    rewards = replace(SPEC.runtime.rewards, operations_per_unit=1)
    chain = ProofChain(paying_at_most(7), rewards=rewards)
    chain.next_epoch()
    chain.block()

    found = await call(served(chain), "pocps_estimateReward", [1, 4])

    assert int(found["computeAllotment"]) * int(found["sharePpb"]) > 4 * 7 * PPB
    assert (found["whole"], found["first"]) == ("28", "2")


async def test_classes_that_pools_price_earn_by_what_their_units_were_worth() -> None:
    chain = ProofChain(rewards=replace(SPEC.runtime.rewards, operations_per_unit=1))
    chain.do(BOB, "pocps.register", 1, 4)
    chain.next_epoch()
    chain.to_place(2)
    chain.do(BOB, *chain.commit_call(BOB, 4))
    chain.to_place(SAMPLE + 1)
    chain.do(BOB, *chain.respond_call(BOB))
    chain.next_epoch()
    chain.do(BOB, "pools.join", 0)
    chain.next_epoch()
    chain.block()
    rpc = served(chain)

    priced = await call(rpc, "pocps_estimateReward", [1, 4])
    unsold = await call(rpc, "pocps_estimateReward", [2, 4])

    assert priced["sharePpb"] == PPB
    assert unsold["sharePpb"] == 0, "no pool of storage had anything to sell"


async def test_bond_that_leaves_says_from_when_it_may_be_withdrawn(chain: ProofChain) -> None:
    chain.do(BOB, "pocps.deregister", 1, 2)
    since = chain.runtime.context.block.epoch

    found = await standing(chain)

    assert found["leaving"] == [
        {"amount": str(2 * LOOP), "since": since, "withdrawableFrom": since + UNBONDING + 1}
    ]
    assert found["withdrawable"] == "0"
    while chain.epoch <= since + UNBONDING:
        chain.next_epoch()
    chain.block()
    assert int((await standing(chain))["withdrawable"]) > 0
    chain.do(BOB, "pocps.withdraw", 1)


async def test_declared_maintenance_is_shown(chain: ProofChain) -> None:
    chain.do(BOB, "pocps.declare_maintenance", 1, 2, 2)

    assert (await standing(chain))["maintenance"] == {"first": 2, "end": 4}


async def test_providers_come_in_pages_by_place(chain: ProofChain) -> None:
    rpc = served(chain)

    everybody = await call(rpc, "pocps_providers", [1])
    second = await call(rpc, "pocps_providers", {"classId": 1, "first": 1})
    nobody = await call(rpc, "pocps_providers", [2])

    assert [each["account"] for each in everybody] == [address(BOB), address(CHARLIE)]
    assert second == everybody[1:]
    assert nobody == []
    assert await call(rpc, "pocps_provider", [address(ALICE)]) == []


async def test_the_power_table_is_made_of_stake_and_operations(chain: ProofChain) -> None:
    rpc = served(chain)

    found = await call(rpc, "pocps_powerTable")

    runtime = chain.runtime
    (alice,) = found["entries"]
    assert alice["account"] == address(ALICE)
    assert alice["stake"] == str(runtime.staking.stakes[ALICE])
    assert alice["operations"] == runtime.pocps.proven_operations(ALICE, chain.epoch)
    assert alice["weight"] == found["totalWeight"] == alice["projected"]
    beyond = await call(rpc, "pocps_powerTable", {"after": address(ALICE)})
    assert beyond["entries"] == []


@pytest.mark.parametrize(
    ("method", "params", "parameter"),
    [
        ("pocps_challenge", [-1], "classId"),
        ("pocps_challenge", ["one"], "classId"),
        ("pocps_challenge", [], "classId"),
        ("pocps_faults", ["nobody", 1], "account"),
        ("pocps_faults", [address(BOB), 2**32], "classId"),
        ("pocps_estimatePenalty", [address(BOB)], "classId"),
        ("pocps_estimateReward", [1, 0], "units"),
        ("pocps_estimateReward", [1, 41], "units"),
        ("pocps_providers", [1, 101], "count"),
        ("pocps_providers", [1, 1, -1], "first"),
        ("pocps_powerTable", [0], "count"),
    ],
)
async def test_a_bad_parameter_is_named(
    chain: ProofChain, method: str, params: list[Any], parameter: str
) -> None:
    error = await fail(served(chain), method, params)

    assert (error["code"], error["data"]["parameter"]) == (-32602, parameter)


@pytest.mark.parametrize(
    ("method", "params", "reason"),
    [
        ("pocps_challenge", [9], "UnknownClass"),
        ("pocps_estimateReward", [9, 1], "UnknownClass"),
        ("pocps_estimatePenalty", [address(ALICE), 1], "NotRegistered"),
    ],
)
async def test_what_does_not_exist_is_told_by_its_error(
    chain: ProofChain, method: str, params: list[Any], reason: str
) -> None:
    error = await fail(served(chain), method, params)

    assert error["code"] == -32000
    assert error["data"].startswith(reason)
