"""The executive: the order of things, what a refusal leaves, limits, inherents and receipts."""

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain.equivocation import JUDGE
from primitives.block import Receipt
from primitives.codec import OutOfRange
from primitives.errors import DispatchError, InvalidBlock, InvalidExtrinsic, LoopinError
from primitives.types import UINT64_MAX, Balance, Signer, Weight
from runtime.executive import (
    BlockExecution,
    BlockFull,
    InherentFailed,
    MisplacedInherent,
    ReadyExtrinsic,
    TooHeavy,
    UnsignedExtrinsic,
)
from runtime.fees import CannotPayFee
from runtime.module import Module
from runtime.runtime import CALLS, ERROR_NAMES, MODULES, RUNTIME_ERRORS, NotSigned
from runtime.system import Expired, NonceTooHigh, NonceTooLow
from tests.runtime.small_chain import (
    ALICE,
    BOB,
    LOOP,
    NOBODY,
    SmallChain,
    event_names,
    extrinsic,
    inherent,
)

REMARK = ["system.remark", b"hi"]


def snapshot(execution: BlockExecution) -> Any:
    """Everything that an extrinsic may change."""
    fees = execution.runtime.fees
    return (
        dict(execution.overlay.writes),
        list(execution.context.events),
        execution.weight,
        execution.length,
        (fees._fees, fees._tips, fees._weight, fees._length),
    )


# ------------------------------------------------------------------------------------- order


def test_hooks_run_in_the_order_of_the_modules_around_the_extrinsics() -> None:
    execution = BlockExecution(
        SmallChain().state, SmallChain().config, SmallChain().next_info(), JUDGE
    )
    seen: list[str] = []

    def spy(module: Module, hook: str) -> Callable[[], None]:
        original: Callable[[], None] = getattr(module, hook)

        def run() -> None:
            seen.append(f"{hook} {module.name}")
            original()

        return run

    for module in execution.runtime.modules:
        for hook in ("begin_block", "end_block"):
            vars(module)[hook] = spy(module, hook)
    execution.begin()
    seen.append("extrinsics")
    execution.apply(inherent(["timestamp.set", SmallChain().now + 1000]))
    execution.end()

    names = [module.name for module in MODULES]
    assert seen == [
        *(f"begin_block {name}" for name in names),
        "extrinsics",
        *(f"end_block {name}" for name in names),
    ]


def test_modules_have_names_and_indices_of_their_own() -> None:
    assert len({module.name for module in MODULES}) == len(MODULES)
    assert len({module.index for module in MODULES}) == len(MODULES)
    instances = SmallChain().runtime.modules
    assert [type(module) for module in instances] == list(MODULES)


def test_a_block_of_n_extrinsics_has_n_plus_two_receipts() -> None:
    chain = SmallChain()
    execution = chain.start()
    execution.apply(extrinsic(ALICE, REMARK, 0))
    execution.apply(extrinsic(BOB, REMARK, 0))

    receipts = chain.finish(execution)

    assert len(receipts) == 3 + 2
    assert [event_names(receipt) for receipt in receipts] == [
        [],
        [],
        ["system.Remarked"],
        ["system.Remarked"],
        ["balances.Burned", "fees.FeesShared"],
    ]
    assert [receipt.fee > 0 for receipt in receipts] == [False, False, True, True, False]
    assert [receipt.weight > 0 for receipt in receipts] == [False, True, True, True, False]


def test_writes_come_in_key_order_and_change_something() -> None:
    chain = SmallChain()
    execution = chain.start()
    execution.apply(extrinsic(ALICE, ["balances.transfer", NOBODY, LOOP], 0))

    writes = execution.end().writes

    assert list(writes) == sorted(writes)
    assert all(chain.state.get(key) != value for key, value in writes.items())


def test_released_execution_keeps_nothing_of_its_state_and_its_result_stays() -> None:
    chain = SmallChain()
    execution = chain.start()
    executed = execution.end()
    state = weakref.ref(execution.overlay._state)
    before = dict(executed.writes)

    execution.release()
    del chain

    assert state() is None
    assert not execution.overlay.writes
    assert executed.writes == before
    assert before


# ------------------------------------------------------------------------ calls and failures


def test_a_call_that_fails_keeps_its_fee_and_nonce_and_loses_writes_and_events() -> None:
    chain = SmallChain()
    inner = [["balances.transfer", NOBODY, LOOP], ["balances.transfer", NOBODY, UINT64_MAX]]
    before = chain.free(ALICE)

    receipt = chain.call(ALICE, "utility.batch_all", inner)

    assert receipt.error == "balances.InsufficientBalance"
    assert receipt.events == ()
    assert receipt.fee > 0
    assert chain.free(ALICE) == before - receipt.fee
    assert chain.free(NOBODY) == 0
    assert chain.runtime.system.nonces[ALICE] == 1


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (lambda: extrinsic(ALICE, REMARK, 0), NonceTooLow),
        (lambda: extrinsic(ALICE, REMARK, 2), NonceTooHigh),
        (lambda: extrinsic(BOB, REMARK, 0, valid_until=1), Expired),
        (lambda: extrinsic(NOBODY, REMARK, 0), CannotPayFee),
        (lambda: extrinsic(BOB, REMARK, 0, tip=UINT64_MAX), CannotPayFee),
        (lambda: extrinsic(BOB, ["timestamp.set", 5], 0), UnsignedExtrinsic),
        (lambda: inherent(["timestamp.set", 5]), MisplacedInherent),
        (lambda: inherent(REMARK), MisplacedInherent),
        (lambda: extrinsic(BOB, ["system.remark", bytes(9000)], 0), TooHeavy),
        (lambda: extrinsic(BOB, ["system.remark", bytes(2500)], 0), BlockFull),
    ],
)
def test_an_extrinsic_that_is_refused_has_changed_nothing(
    refused: Callable[[], ReadyExtrinsic], error: type[LoopinError]
) -> None:
    system = replace(SmallChain().config.system, block_length_max=4096, extrinsic_length_max=3000)
    chain = SmallChain(system=system)
    chain.skip_to(1)
    execution = chain.start()
    execution.apply(extrinsic(ALICE, ["system.remark", bytes(2000)], 0))
    before = snapshot(execution)

    with pytest.raises(error):
        execution.apply(refused())

    assert snapshot(execution) == before
    assert execution.apply(extrinsic(ALICE, REMARK, 1)).error == ""


def test_an_extrinsic_is_valid_up_to_its_last_block() -> None:
    chain = SmallChain()
    chain.skip_to(4)

    assert chain.start().apply(extrinsic(ALICE, REMARK, 0, valid_until=5)).error == ""
    with pytest.raises(Expired):
        chain.start().apply(extrinsic(ALICE, REMARK, 0, valid_until=4))


def test_nonces_follow_each_other_within_a_block() -> None:
    chain = SmallChain()
    execution = chain.start()

    for nonce in range(3):
        execution.apply(extrinsic(ALICE, REMARK, nonce))
    with pytest.raises(NonceTooLow):
        execution.apply(extrinsic(ALICE, REMARK, 1))
    chain.finish(execution)

    assert chain.runtime.system.nonces[ALICE] == 3


def test_an_error_of_no_module_belongs_to_the_runtime() -> None:
    runtime = SmallChain().runtime

    assert runtime.error_name(OutOfRange("too big")) == "runtime.OutOfRange"
    assert runtime.error_name(NotSigned("no")) == "runtime.NotSigned"


ERRORS_BESIDE = {
    "session": ["runtime.session_keys"],
    "staking": ["runtime.staking.records"],
    "pocps": ["runtime.pocps.records", "runtime.pocps.classes"],
    "pools": ["runtime.pools.events", "runtime.pools.pricing"],
    "jobs": ["runtime.jobs.notices"],
}
"""Files of a module that define errors beside its class."""


def test_every_error_that_a_module_defines_is_named_and_short_enough_for_events() -> None:
    named = set(ERROR_NAMES)
    for module in MODULES:
        own = {module.__module__, *ERRORS_BESIDE.get(module.name, ())}
        defined = {
            value
            for name in own
            for value in vars(sys.modules[name]).values()
            if isinstance(value, type)
            and issubclass(value, DispatchError)
            and value.__module__ in own
        }
        assert defined == set(module.errors), module.name
    assert not named & set(RUNTIME_ERRORS)
    assert all(len(name) <= 64 for name in ERROR_NAMES.values())


def test_a_signed_call_is_never_an_inherent_however_it_is_wrapped() -> None:
    chain = SmallChain()

    receipt = chain.call(ALICE, "utility.batch_all", [["timestamp.set", 5]])

    assert receipt.error == "runtime.NotSigned"
    with pytest.raises(NotSigned):
        chain.runtime.dispatch(Signer(ALICE), CALLS.from_plain(["timestamp.set", 5]))


def test_a_bug_in_a_call_is_not_taken_for_a_failure() -> None:
    chain = SmallChain()
    execution = chain.start()
    vars(execution.runtime.balances)["_move"] = None

    with pytest.raises(TypeError):
        execution.apply(extrinsic(ALICE, ["balances.transfer", BOB, LOOP], 0))


# ---------------------------------------------------------------------------------- inherents


def test_the_inherent_comes_first() -> None:
    chain = SmallChain()
    execution = BlockExecution(chain.state, chain.config, chain.next_info(), JUDGE)
    execution.begin()

    with pytest.raises(MisplacedInherent, match=r"timestamp\.set has to come first"):
        execution.apply(extrinsic(ALICE, REMARK, 0))


def test_a_block_without_its_inherent_is_invalid() -> None:
    chain = SmallChain()
    execution = BlockExecution(chain.state, chain.config, chain.next_info(), JUDGE)
    execution.begin()

    with pytest.raises(MisplacedInherent, match=r"timestamp\.set is missing"):
        execution.end()


def test_an_inherent_comes_once() -> None:
    chain = SmallChain()
    execution = chain.start()

    with pytest.raises(InvalidBlock):
        execution.apply(inherent(["timestamp.set", chain.now + 1000]))


@pytest.mark.parametrize("offset", [0, 999, 1001, -1])
def test_a_time_that_is_not_the_headers_makes_the_block_invalid(offset: int) -> None:
    chain = SmallChain()
    execution = BlockExecution(chain.state, chain.config, chain.next_info(), JUDGE)
    execution.begin()
    before = snapshot(execution)

    with pytest.raises(InherentFailed, match=r"timestamp\.set"):
        execution.apply(inherent(["timestamp.set", chain.now + offset]))

    assert snapshot(execution) == before


def test_a_block_no_later_than_its_parent_is_invalid() -> None:
    chain = SmallChain()
    info = replace(chain.next_info(), timestamp=chain.now)
    execution = BlockExecution(chain.state, chain.config, info, JUDGE)
    execution.begin()

    with pytest.raises(InherentFailed, match="the parent had"):
        execution.apply(inherent(["timestamp.set", chain.now]))


def test_the_clock_shows_the_blocks_time() -> None:
    chain = SmallChain()
    chain.skip_to(2)

    assert chain.runtime.timestamp.now.get() == chain.now


# ------------------------------------------------------------------------------------- limits


def test_a_block_takes_weight_up_to_its_limit() -> None:
    chain = SmallChain()
    heavy = Weight(extrinsic(ALICE, REMARK, 0).weight + chain.config.system.extrinsic_weight)
    chain = SmallChain(
        system=replace(chain.config.system, block_weight_max=Weight(45_000 + 2 * heavy))
    )
    execution = chain.start()
    for nonce in range(2):
        execution.apply(extrinsic(ALICE, REMARK, nonce))

    with pytest.raises(BlockFull):
        execution.apply(extrinsic(ALICE, REMARK, 2))
    with pytest.raises(TooHeavy, match="weight"):
        execution.apply(extrinsic(BOB, ["utility.batch", [REMARK] * 50], 0))

    assert execution.weight == 45_000 + 2 * heavy


def test_a_block_takes_only_so_many_extrinsics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.executive.EXTRINSICS_MAX", 3)
    execution = SmallChain().start()
    for nonce in range(2):
        execution.apply(extrinsic(ALICE, REMARK, nonce))

    with pytest.raises(BlockFull):
        execution.apply(extrinsic(ALICE, REMARK, 2))


# ----------------------------------------------------------------------------------- judging


def trial(chain: SmallChain) -> BlockExecution:
    return BlockExecution(chain.state, chain.config, chain.next_info(), JUDGE)


@pytest.mark.parametrize(
    ("ready", "error"),
    [
        (inherent(["timestamp.set", 5]), UnsignedExtrinsic),
        (extrinsic(ALICE, ["timestamp.set", 5], 0), UnsignedExtrinsic),
        (extrinsic(ALICE, REMARK, 0, valid_until=0), Expired),
        (extrinsic(ALICE, ["system.remark", bytes(9000)], 0), TooHeavy),
        (extrinsic(NOBODY, REMARK, 0), CannotPayFee),
    ],
)
def test_what_no_block_takes_is_judged_so(
    ready: ReadyExtrinsic, error: type[InvalidExtrinsic]
) -> None:
    chain = SmallChain(system=replace(SmallChain().config.system, extrinsic_length_max=3000))

    with pytest.raises(error):
        trial(chain).validate(ready, pending=Balance(0))


def test_judging_changes_nothing_and_leaves_nonces_aside() -> None:
    execution = trial(SmallChain())
    before = snapshot(execution)

    fee = execution.validate(extrinsic(ALICE, REMARK, 12345), pending=Balance(0))

    assert fee > 0
    assert snapshot(execution) == before


# ------------------------------------------------------------------------------- determinism

PROGRAM = """
import json
from chain.state_tree import StateTree
from tests.runtime.small_chain import *

chain = SmallChain()
members = sorted([ALICE, BOB, CHARLIE])
receipts = []
for round in range(3):
    receipts += chain.block(
        (ALICE, ["balances.transfer", BOB, LOOP]),
        (BOB, ["utility.batch", [["system.remark", b"x"], ["balances.transfer_all", EVE, True]]]),
        (CHARLIE, ["proxy.add_proxy", [ALICE, BOB, DAVE][round], 0, round]),
        (members[0], ["multisig.approve_as_multi", 2, members[1:], None, bytes([round]) * 32]),
        (DAVE, ["balances.transfer", EVE, 2**64 - 1]),
    )
tree = StateTree()
tree.update(chain.state.values)
print(json.dumps([tree.root.hex(), [receipt.encode().hex() for receipt in receipts]]))
"""


def test_one_block_gives_one_state_under_every_hash_seed() -> None:
    root = Path(__file__).parents[2]
    outputs = set()
    for seed in ("1", "20260101"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            cwd=root,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        outputs.add(done.stdout)

    (output,) = outputs
    state_root, receipts = json.loads(output)
    assert len(bytes.fromhex(state_root)) == 32
    assert len(receipts) == 15


def test_a_receipt_is_made_of_what_it_says() -> None:
    chain = SmallChain()

    receipt = chain.call(ALICE, *REMARK)

    weight = extrinsic(ALICE, REMARK, 0).weight + chain.config.system.extrinsic_weight
    assert receipt == Receipt("", receipt.fee, Weight(weight), receipt.events)
