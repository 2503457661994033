"""What the heaviest steps of staking cost, at the limits: ``python -m benchmarks.staking``.

A report that slashes a validator and all its nominators, who by now stand behind 64 others, each
with as many nominators as there may be; a payout to as many; a change of a full backing; and the
table that the last block of an epoch makes of 1024 validators.
"""

import platform
import time
from collections.abc import Callable
from dataclasses import replace

from chain.equivocation import JUDGE
from genesis.build import build_genesis
from genesis.presets import dev_account, dev_spec
from primitives.power_table import VALIDATORS_MAX
from primitives.types import (
    AccountId,
    Balance,
    Digest,
    Epoch,
    Height,
    Operations,
    PublicKey,
    Signer,
    View,
)
from runtime.module import BlockInfo, Context
from runtime.overlay import DictState, Overlay
from runtime.power import ComputeGrant
from runtime.rewards import Allotment
from runtime.runtime import Runtime
from runtime.session_keys import KeyRecord, SessionKeys
from runtime.staking.ledger import NOMINATORS_MAX, Backer, Backing, Chunk, Ledger, Tranche
from runtime.staking.module import HOLD, Preferences

ALICE, BOB = dev_account("Alice"), dev_account("Bob")
STAKE = Balance(10**13)
ROUNDS = 5


class Undone(Exception):
    """Ends a round, so that the next one finds the same state."""


def account(number: int) -> AccountId:
    return AccountId(number.to_bytes(32, "big"))


def make_runtime() -> Runtime:
    """Return a runtime with the widest limits and 1024 accounts with compute."""
    spec = dev_spec()
    staking = replace(
        spec.runtime.staking,
        validators_max=VALIDATORS_MAX,
        nominators_max=NOMINATORS_MAX,
        unbonding_epochs=28,
    )
    grants = tuple(
        ComputeGrant(account(10**6 + i), Operations(10**12)) for i in range(VALIDATORS_MAX)
    )
    config = replace(spec.runtime, staking=staking, compute=grants)
    info = BlockInfo(
        height=Height(1),
        parent_hash=Digest(bytes(32)),
        view=View(1),
        epoch=Epoch(0),
        timestamp=spec.genesis_time,
        author=ALICE,
        vrf_output=b"",
    )
    state = DictState(build_genesis(spec).state)
    return Runtime(Context(Overlay(state), info), config, JUDGE)


def fill_backings(runtime: Runtime) -> None:
    """Let Alice have been backed by accounts that now each stand behind somebody else."""
    staking = runtime.staking
    nominators = [account(i) for i in range(1, NOMINATORS_MAX + 1)]
    chunks = tuple(Chunk(Balance(5), Epoch(i)) for i in range(16))
    vesting = tuple(Tranche(Balance(5), Epoch(i + 5)) for i in range(30))
    others = [Backer(account(10**4 + i), STAKE) for i in range(NOMINATORS_MAX - 1)]
    for number, nominator in enumerate(nominators):
        ledger = Ledger(STAKE, chunks, vesting)
        staking.tokens.mint_held(nominator, HOLD, ledger.total)
        staking.ledgers[nominator] = ledger
        target = account(10**5 + number)
        staking.targets[nominator] = target
        backers = sorted([*others, Backer(nominator, STAKE)], key=lambda each: each.account)
        staking.backings[target] = Backing(STAKE, 0, tuple(backers))
    staking.backings[ALICE] = Backing(STAKE, 0, tuple(Backer(each, STAKE) for each in nominators))
    part = Balance(10**12)
    runtime.rewards.allotments[0] = Allotment(part, part, part, Balance(0))


def fill_candidates(runtime: Runtime) -> None:
    """Let 1024 accounts stand for the next table."""
    names = [account(10**6 + i) for i in range(VALIDATORS_MAX)]
    for number, name in enumerate(names):
        runtime.staking.validators[name] = Preferences(0, Epoch(0))
        runtime.staking.stakes[name] = STAKE
        three = (PublicKey((3 * number + j + 10**8).to_bytes(32, "big")) for j in range(3))
        keys = SessionKeys(*three)
        runtime.session.keys[name] = KeyRecord(keys, Epoch(0), keys)
    runtime.staking.candidates.set(tuple(names))


def measure(runtime: Runtime, step: Callable[[], object]) -> float:
    """Return the milliseconds of processor time of the fastest round."""
    times = []
    for _ in range(ROUNDS):
        try:
            with runtime.context.transaction():
                began = time.process_time()
                step()
                times.append(time.process_time() - began)
                raise Undone
        except Undone:
            pass
    return min(times) * 1e3


def main() -> None:
    runtime = make_runtime()
    staking, signer = runtime.staking, Signer(BOB)
    fill_backings(runtime)
    steps: dict[str, Callable[[], object]] = {
        "slash of 65 accounts": lambda: staking.slash(
            ALICE, Epoch(0), fraction_ppb=10**8, reporter=BOB, reporter_ppb=10**8
        ),
        "payout to 65 accounts": lambda: runtime.rewards.payout(signer, ALICE, Epoch(0)),
        "change of a full backing": lambda: staking.bond_reward(account(1), STAKE),
    }
    print(f"{platform.machine()}, CPython {platform.python_version()}, fastest of {ROUNDS}")
    for name, step in steps.items():
        print(f"{name:28} {measure(runtime, step):8.2f} ms")
    fill_candidates(runtime)
    table = measure(runtime, lambda: runtime.session.make_table(Epoch(1)).root)
    print(f"{'table of 1024 validators':28} {table:8.2f} ms")


if __name__ == "__main__":
    main()
