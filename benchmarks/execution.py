"""Transfers executed per second on one core: ``python -m benchmarks.execution [--profile]``.

Decoding (bytes to call, once per extrinsic and node) and execution (nonce, fee, transfer, receipt,
the block's hooks and its list of writes) are timed apart; signatures and the state tree are not
part of either. Every figure is the median of several blocks, each on a fresh state.
"""

import argparse
import cProfile
import gc
import platform
import pstats
import statistics
import subprocess
import time

from chain.equivocation import JUDGE
from genesis.presets import small_runtime_config
from primitives.block import IMMORTAL, encode_inherent, encode_signed
from primitives.codec import ACCOUNT, AMOUNT
from primitives.crypto import Purpose, keyed_hash
from primitives.types import (
    EMPTY_DIGEST,
    GENESIS_EPOCH,
    AccountId,
    Balance,
    Height,
    Millis,
    Nonce,
    Signature,
    View,
    Weight,
)
from runtime.executive import BlockExecution, Executed, ReadyExtrinsic
from runtime.module import BlockInfo
from runtime.overlay import DictState
from runtime.runtime import Config

ACCOUNTS = 10_000
BLOCKS = (1_000, 5_000)
ROUNDS = 9
ENDOWMENT = 10**15


def account(number: int) -> AccountId:
    """Return the account of a number, spread as keys are."""
    return AccountId(keyed_hash(Purpose.REMARK, number.to_bytes(8, "big")))


def endowed_state() -> DictState:
    """Return a state in which every account has free tokens, and fees are at their lowest."""
    values = {
        b"balances.free:" + ACCOUNT.encode(account(number)): AMOUNT.encode(Balance(ENDOWMENT))
        for number in range(ACCOUNTS)
    }
    values[b"balances.total_issuance"] = AMOUNT.encode(Balance(ACCOUNTS * ENDOWMENT))
    values[b"fees.base_fee_ppb"] = AMOUNT.encode(Balance(10**9))
    return DictState(values)


def transfers(count: int) -> list[bytes]:
    """Return a block body: an inherent and transfers between accounts that differ."""
    body = [encode_inherent(["timestamp.set", 1000])]
    for number in range(count):
        sender, recipient = account(number % ACCOUNTS), account((number * 7 + 1) % ACCOUNTS)
        body.append(
            encode_signed(
                signer=sender,
                nonce=Nonce(number // ACCOUNTS),
                valid_until=IMMORTAL,
                tip=Balance(0),
                call=["balances.transfer", recipient, 10**9 + number],
                signature=Signature(bytes(64)),
            )
        )
    return body


def roomy_config() -> Config:
    """Return the development parameters with room for the largest of the blocks."""
    config = small_runtime_config()
    assert config.system.block_weight_max >= Weight(BLOCKS[-1] * 70_000)
    return config


def execute(state: DictState, config: Config, body: list[ReadyExtrinsic]) -> Executed:
    """Execute one block above ``state``."""
    info = BlockInfo(
        height=Height(1),
        parent_hash=EMPTY_DIGEST,
        view=View(1),
        epoch=GENESIS_EPOCH,
        timestamp=Millis(1000),
        author=account(0),
        vrf_output=bytes(64),
    )
    execution = BlockExecution(state, config, info, JUDGE)
    execution.begin()
    for ready in body:
        execution.apply(ready)
    return execution.end()


def measure(count: int) -> tuple[float, float]:
    """Return microseconds a transfer for decoding and for execution, in blocks of ``count``."""
    state, config, body = endowed_state(), roomy_config(), transfers(count)
    decoding, executing = [], []
    for _ in range(ROUNDS):
        gc.collect()
        started = time.thread_time_ns()
        ready = [ReadyExtrinsic.decode(encoded) for encoded in body]
        decoded = time.thread_time_ns()
        executed = execute(state, config, ready)
        ended = time.thread_time_ns()
        assert all(not receipt.error for receipt in executed.receipts)
        decoding.append((decoded - started) / 1000 / count)
        executing.append((ended - decoded) / 1000 / count)
    return statistics.median(decoding), statistics.median(executing)


def profile(count: int) -> None:
    """Print where the time of one block goes."""
    state, config = endowed_state(), roomy_config()
    body = transfers(count)
    profiler = cProfile.Profile()
    profiler.enable()
    execute(state, config, [ReadyExtrinsic.decode(encoded) for encoded in body])
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    if parser.parse_args().profile:
        profile(BLOCKS[-1])
        return
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    machine = platform.processor() or platform.machine()
    print(f"{machine} python={platform.python_version()} {commit=} rounds={ROUNDS}")
    for count in BLOCKS:
        decoding, executing = measure(count)
        both = 1e6 / (decoding + executing)
        print(
            f"{count:5} transfers a block: decode {decoding:5.1f} us, execute {executing:5.1f} us "
            f"a transfer; {1e6 / executing:7,.0f} executed/s, {both:7,.0f} decoded and executed/s"
        )


if __name__ == "__main__":
    main()
