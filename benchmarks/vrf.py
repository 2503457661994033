"""Median microseconds to prove and to verify one VRF output: ``python -m benchmarks.vrf``."""

import platform
import statistics
import subprocess
import time
from collections.abc import Callable

from primitives.crypto import KeyPair
from primitives.vrf import prove, verify

ROUNDS = 500


def median_micros(operation: Callable[[int], object]) -> float:
    """Return the median of ``ROUNDS`` timed calls, each with another number."""
    taken = []
    for number in range(ROUNDS):
        started = time.perf_counter_ns()
        operation(number)
        taken.append((time.perf_counter_ns() - started) / 1000)
    return statistics.median(taken)


def main() -> None:
    pair = KeyPair(bytes(range(32)))
    inputs = [number.to_bytes(40, "little") for number in range(ROUNDS)]
    proofs = [prove(pair, alpha) for alpha in inputs]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(
        f"{platform.processor() or platform.machine()} python={platform.python_version()} {commit=}"
    )
    print(f"prove  {median_micros(lambda number: prove(pair, inputs[number])):8.0f} us")
    proven = median_micros(lambda number: verify(pair.public, inputs[number], proofs[number]))
    print(f"verify {proven:8.0f} us")


if __name__ == "__main__":
    main()
