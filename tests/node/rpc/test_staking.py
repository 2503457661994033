"""``staking_*`` over a real dispatcher and the real rules of a small chain."""

from typing import Any

import pytest

from genesis.presets import DEV_BOND
from tests.node.rpc.calling import call, fail
from tests.node.rpc.runtime_served import address, served
from tests.runtime.small_chain import ALICE, BOB, CHARLIE, LOOP, NOBODY
from tests.runtime.staking_chain import (
    BOND_MIN,
    NOMINATION_MIN,
    UNBONDING,
    StakingChain,
    evidence,
    keys_call,
    seeds_of,
)


@pytest.fixture
def chain() -> StakingChain:
    """Alice validates; Bob does from epoch 2 on, at 20 %; Charlie stands behind Alice."""
    chain = StakingChain()
    chain.do(BOB, "staking.bond", BOND_MIN)
    chain.do(BOB, "staking.validate", 200_000_000)
    chain.do(CHARLIE, "staking.bond", 100 * LOOP)
    chain.do(CHARLIE, "staking.nominate", ALICE)
    return chain


async def test_validators_come_in_pages_in_the_order_of_their_accounts(chain: StakingChain) -> None:
    rpc = served(chain)
    first, second = sorted([ALICE, BOB])

    everybody = await call(rpc, "staking_validators")
    page = await call(rpc, "staking_validators", [1])
    following = await call(rpc, "staking_validators", {"after": address(first)})

    assert [each["account"] for each in everybody] == [address(first), address(second)]
    assert page == everybody[:1]
    assert following == everybody[1:]
    by_account = {each["account"]: each for each in everybody}
    assert by_account[address(BOB)] == {
        "account": address(BOB),
        "commissionPpb": 200_000_000,
        "eligibleSince": 2,
        "ownStake": str(BOND_MIN),
        "totalStake": str(BOND_MIN),
        "nominators": 0,
        "weight": None,
    }
    alice = by_account[address(ALICE)]
    assert alice["totalStake"] == str(DEV_BOND + 100 * LOOP)
    assert (alice["nominators"], alice["weight"] > 0) == (1, True)


async def test_a_validator_is_shown_with_everybody_behind_it(chain: StakingChain) -> None:
    rpc = served(chain)

    alice = await call(rpc, "staking_validator", [address(ALICE)])

    assert alice["nominators"] == [{"account": address(CHARLIE), "amount": str(100 * LOOP)}]
    assert alice["position"] == 0
    assert await call(rpc, "staking_validator", [address(CHARLIE)]) is None


async def test_a_ledger_shows_what_is_bonded_what_leaves_and_from_when(chain: StakingChain) -> None:
    since = chain.epoch
    chain.do(CHARLIE, "staking.unbond", 40 * LOOP)
    rpc = served(chain)

    ledger = await call(rpc, "staking_ledger", [address(CHARLIE)])
    chain.skip_epochs(UNBONDING)
    waiting = await call(rpc, "staking_ledger", [address(CHARLIE)])
    chain.skip_epochs(1)
    ripe = await call(rpc, "staking_ledger", [address(CHARLIE)])

    assert ledger == {
        "account": address(CHARLIE),
        "epoch": chain.epoch - UNBONDING - 1,
        "role": "nominator",
        "active": str(60 * LOOP),
        "total": str(100 * LOOP),
        "locked": "0",
        "least": str(NOMINATION_MIN),
        "withdrawable": "0",
        "unbonding": [
            {
                "amount": str(40 * LOOP),
                "since": since,
                "withdrawableFrom": since + UNBONDING + 1,
            }
        ],
        "vesting": [],
        "nominates": address(ALICE),
        "jailedUntil": None,
    }
    assert (waiting["withdrawable"], ripe["withdrawable"]) == ("0", str(40 * LOOP))
    assert ripe["epoch"] == ripe["unbonding"][0]["withdrawableFrom"]
    chain.do(CHARLIE, "staking.withdraw")


async def test_an_account_that_has_nothing_has_an_empty_ledger(chain: StakingChain) -> None:
    ledger = await call(served(chain), "staking_ledger", [address(NOBODY)])

    assert (ledger["role"], ledger["total"], ledger["nominates"]) == ("none", "0", None)


async def test_a_jailed_validator_is_told_until_when(chain: StakingChain) -> None:
    chain.do(BOB, "offences.report", evidence("Alice", 0, 0))
    rpc = served(chain)

    ledger = await call(rpc, "staking_ledger", [address(ALICE)])

    assert ledger["jailedUntil"] == chain.runtime.staking.jailed[ALICE]
    assert await call(rpc, "staking_validator", [address(ALICE)]) is None


async def test_a_nomination_names_its_validator(chain: StakingChain) -> None:
    rpc = served(chain)

    found = await call(rpc, "staking_nominations", [address(CHARLIE)])

    assert found == {
        "validator": address(ALICE),
        "amount": str(100 * LOOP),
        "validatorStake": str(DEV_BOND + 100 * LOOP),
    }
    assert await call(rpc, "staking_nominations", [address(ALICE)]) is None


async def test_the_power_table_is_that_of_the_epoch_asked_for(chain: StakingChain) -> None:
    rpc = served(chain)
    table = chain.runtime.session.table(chain.epoch)

    found = await call(rpc, "staking_powerTable")
    same = await call(rpc, "staking_powerTable", {"epoch": chain.epoch, "count": 1})
    beyond = await call(rpc, "staking_powerTable", {"first": 5})

    assert (found["epoch"], found["root"]) == (chain.epoch, "0x" + table.root.hex())
    assert (found["size"], found["total"]) == (len(table), table.total)
    keys = [pair.public for pair in seeds_of("Alice")]
    assert found["validators"][0] == {
        "position": 0,
        "account": address(ALICE),
        "weight": table[0].weight,
        "consensusKey": "0x" + keys[0].hex(),
        "vrfKey": "0x" + keys[1].hex(),
        "peerKey": "0x" + keys[2].hex(),
    }
    assert same["validators"] == found["validators"][:1]
    assert beyond["validators"] == []


async def test_an_unknown_epoch_has_no_table(chain: StakingChain) -> None:
    error = await fail(served(chain), "staking_powerTable", [99])

    assert error["code"] == -32000
    assert "UnknownEpoch" in error["data"]


async def test_pending_rewards_are_what_a_payout_and_a_claim_then_pay(chain: StakingChain) -> None:
    chain.author = ALICE
    epoch = chain.epoch
    chain.skip_epochs(1)
    rpc = served(chain)

    (due,) = [
        each
        for each in (await call(rpc, "staking_pendingRewards", [address(ALICE)]))["rewards"]
        if each["epoch"] == epoch
    ]
    behind = (await call(rpc, "staking_pendingRewards", [address(CHARLIE)]))["rewards"][0]
    before = chain.free(CHARLIE)
    chain.do(BOB, "rewards.payout", ALICE, epoch)
    chain.do(ALICE, "rewards.claim", epoch)

    assert behind["payout"]["validator"] == address(ALICE)
    assert behind["payout"]["total"] == due["payout"]["total"]
    nothing = await call(rpc, "staking_pendingRewards", [address(NOBODY)])
    assert nothing == {"rewards": [], "next": None}
    assert chain.free(CHARLIE) - before == int(behind["payout"]["own"])
    vesting = chain.ledger(ALICE).vesting
    assert [str(each.amount) for each in vesting] == [due["claim"]["amount"]]
    after = (await call(rpc, "staking_pendingRewards", [address(ALICE)]))["rewards"]
    assert epoch not in [each["epoch"] for each in after]


async def test_pending_rewards_come_in_pages_down_to_the_end_of_the_record(
    chain: StakingChain,
) -> None:
    chain.author = ALICE
    chain.skip_epochs(UNBONDING + 2)
    rpc = served(chain)
    seen: list[int] = []
    before: Any = None

    while True:
        page = await call(rpc, "staking_pendingRewards", [address(ALICE), 1, before])
        seen += [each["epoch"] for each in page["rewards"]]
        before = page["next"]
        if before is None:
            break

    whole = await call(rpc, "staking_pendingRewards", [address(ALICE)])
    assert seen == [each["epoch"] for each in whole["rewards"]]
    assert seen == sorted(seen, reverse=True)
    assert len(seen) >= UNBONDING


async def test_session_keys_say_from_when_they_count(chain: StakingChain) -> None:
    rpc = served(chain)
    genesis = await call(rpc, "staking_sessionKeys", [address(ALICE)])
    epoch = chain.epoch

    chain.do(ALICE, *keys_call(ALICE, "Fresh"))
    changed = await call(rpc, "staking_sessionKeys", [address(ALICE)])

    old, new = (
        dict(
            zip(
                ("consensus", "vrf", "peer"),
                ["0x" + pair.public.hex() for pair in seeds_of(name)],
                strict=True,
            )
        )
        for name in ("Alice", "Fresh")
    )
    assert genesis == {"keys": old, "countsFrom": 0, "previous": old}
    assert changed == {"keys": new, "countsFrom": epoch + 2, "previous": old}
    assert await call(rpc, "staking_sessionKeys", [address(BOB)]) is None


async def test_an_estimated_slash_is_what_evidence_then_takes(chain: StakingChain) -> None:
    chain.skip_epochs(1)
    rpc = served(chain)

    estimate = await call(rpc, "staking_estimateSlash", [address(ALICE)])
    before = chain.bonded(ALICE), chain.bonded(CHARLIE)
    chain.do(BOB, "offences.report", evidence("Alice", chain.epoch, 0))

    lost = [old - chain.bonded(who) for old, who in zip(before, (ALICE, CHARLIE), strict=True)]
    assert estimate["own"] == str(lost[0])
    assert estimate["nominators"] == [{"account": address(CHARLIE), "amount": str(lost[1])}]
    assert estimate["total"] == str(sum(lost))
    assert await call(rpc, "staking_estimateSlash", [address(NOBODY)]) is None


@pytest.mark.parametrize(
    ("method", "params", "parameter"),
    [
        ("staking_validators", [0], "count"),
        ("staking_validators", [101], "count"),
        ("staking_validators", [10, "nobody"], "after"),
        ("staking_validator", [], "account"),
        ("staking_ledger", ["5x"], "account"),
        ("staking_powerTable", [0, -1], "first"),
        ("staking_powerTable", [0, 0, 257], "count"),
        ("staking_powerTable", [-1], "epoch"),
        ("staking_pendingRewards", [address(ALICE), 33], "count"),
        ("staking_pendingRewards", [address(ALICE), "many"], "count"),
    ],
)
async def test_a_bad_parameter_is_named(
    chain: StakingChain, method: str, params: list[Any], parameter: str
) -> None:
    error = await fail(served(chain), method, params)

    assert error["code"] == -32602
    assert error["data"]["parameter"] == parameter


async def test_the_state_of_an_unknown_block_is_refused(chain: StakingChain) -> None:
    error = await fail(
        served(chain), "staking_ledger", {"account": address(ALICE), "at": "0x" + "77" * 32}
    )

    assert (error["code"], "UnknownBlock" in error["data"]) == (-32000, True)
