"""What the market costs: ``python -m benchmarks.pools``.

A quote and an acquire alone, and blocks full of acquires beside blocks full of transfers, both
full to the limits, executed on one core without signatures and state tree. The pool has 200
providers and the state ten thousand clients; orders are small and end in different blocks.
"""

import gc
import platform
import statistics
import subprocess
import time
from dataclasses import replace

from benchmarks.execution import ACCOUNTS, account, endowed_state, execute, transfers
from chain.equivocation import JUDGE
from genesis.build import build_genesis
from genesis.presets import CPU_CLASS, dev_spec
from primitives.block import EXTRINSICS_MAX, IMMORTAL, encode_inherent, encode_signed
from primitives.types import (
    EMPTY_DIGEST,
    GENESIS_EPOCH,
    AccountId,
    Balance,
    Height,
    Millis,
    Nonce,
    Signature,
    Signer,
    View,
)
from runtime.executive import Executed, ReadyExtrinsic
from runtime.module import BlockInfo, Context
from runtime.overlay import DictState, Overlay
from runtime.pocps.provider import Provider
from runtime.pools.pricing import Blocks, Units
from runtime.pools.views import view_quote
from runtime.runtime import CALLS, Config, Runtime

ROUNDS = 5
CALLS_TIMED = 2_000
PROVIDERS = 200
POOL = 0
KEY = bytes(32)


def provider(number: int) -> AccountId:
    return account(ACCOUNTS + number)


def runtime_over(state: DictState, config: Config, height: int) -> Runtime:
    info = BlockInfo(
        height=Height(height),
        parent_hash=EMPTY_DIGEST,
        view=View(height),
        epoch=GENESIS_EPOCH,
        timestamp=Millis(1000 * height),
        author=account(0),
        vrf_output=bytes(64),
    )
    return Runtime(Context(Overlay(state), info), config, JUDGE)


def market_state() -> tuple[DictState, Config]:
    """Return a state in which providers with live units supply the compute pool of genesis."""
    spec = dev_spec()
    pools = replace(spec.runtime.pools, ends_max=1024, served_max=256)
    config = replace(spec.runtime, pools=pools)
    state = DictState(build_genesis(replace(spec, runtime=config)).state)
    state.apply(endowed_state().values)
    # The blocks of the other benchmark, and so these, begin at time 0.
    state.values = {k: v for k, v in state.values.items() if not k.startswith(b"timestamp.")}
    runtime = runtime_over(state, config, 0)
    for number in range(PROVIDERS):
        who, units = provider(number), CPU_CLASS.units_max
        key = (CPU_CLASS.class_id, who)
        known = runtime.pocps.standings.take_place(key, Provider(GENESIS_EPOCH))
        proven = replace(known, units=units, fresh=units, live=units, worked=units)
        runtime.pocps.standings.write(key, proven)
        runtime.pools.supply.join(who, POOL)
    assert isinstance(runtime.context.overlay, Overlay)
    state.apply(runtime.context.overlay.writes)
    return state, config


def acquires(count: int) -> list[bytes]:
    """Return a block body: an inherent, and a lease for each of ``count`` clients."""
    body = [encode_inherent(["timestamp.set", 1000])]
    for number in range(count):
        duration = 25 + number % 500
        body.append(
            encode_signed(
                signer=account(number % ACCOUNTS),
                nonce=Nonce(number // ACCOUNTS),
                valid_until=IMMORTAL,
                tip=Balance(0),
                call=["pools.acquire", POOL, 10, duration, 10**14, KEY],
                signature=Signature(bytes(64)),
            )
        )
    return body


def measure_block(state: DictState, config: Config, body: list[bytes]) -> tuple[float, Executed]:
    """Return the median milliseconds of executing a block, and what it did."""
    times, executed = [], None
    for _ in range(ROUNDS):
        gc.collect()
        ready = [ReadyExtrinsic.decode(encoded) for encoded in body]
        started = time.thread_time_ns()
        executed = execute(state, config, ready)
        times.append((time.thread_time_ns() - started) / 1e6)
        assert all(not receipt.error for receipt in executed.receipts)
    assert executed is not None
    return statistics.median(times), executed


def measure_quote(state: DictState, config: Config) -> float:
    """Return the median microseconds of a quote through the runtime."""
    runtime, samples = runtime_over(state, config, 1), []
    for _ in range(ROUNDS):
        started = time.thread_time_ns()
        for _ in range(CALLS_TIMED):
            view_quote(runtime.pools, POOL, Units(1000), Blocks(600), Blocks(10))
        samples.append((time.thread_time_ns() - started) / 1000 / CALLS_TIMED)
    return statistics.median(samples)


def measure_acquire(state: DictState, config: Config) -> float:
    """Return the median microseconds of dispatching an acquire, without fee and receipt."""
    samples = []
    for _ in range(ROUNDS):
        runtime = runtime_over(state, config, 1)
        calls = [
            CALLS.from_plain(["pools.acquire", POOL, 10, 25 + number % 500, 10**14, KEY])
            for number in range(500)
        ]
        started = time.thread_time_ns()
        for number, call in enumerate(calls):
            runtime.dispatch(Signer(account(number)), call)
        samples.append((time.thread_time_ns() - started) / 1000 / len(calls))
    return statistics.median(samples)


def most_in_a_block(config: Config, body: list[bytes]) -> int:
    """Return how many extrinsics of a kind fit into a block, by weight and by number."""
    inherent, one = (ReadyExtrinsic.decode(encoded).weight for encoded in body[:2])
    each = config.system.extrinsic_weight
    by_weight = (config.system.block_weight_max - inherent - each) // (one + each)
    return min(by_weight, EXTRINSICS_MAX - 1)


def main() -> None:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    machine = platform.processor() or platform.machine()
    print(f"{machine} python={platform.python_version()} {commit=} rounds={ROUNDS}")
    state, config = market_state()
    print(f"quote through the runtime {measure_quote(state, config):8.1f} us")
    print(f"acquire, dispatched alone {measure_acquire(state, config):8.1f} us")
    for name, make in (("acquires", acquires), ("transfers", transfers)):
        count = most_in_a_block(config, make(1))
        spent, executed = measure_block(state, config, make(count))
        print(
            f"a block full of {count:6} {name:9}: {spent:7.1f} ms, {spent * 1000 / count:6.1f} us "
            f"each, {len(executed.writes):6} keys written"
        )


if __name__ == "__main__":
    main()
