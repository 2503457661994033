"""Threads of the linear algebra library: one where proofs are verified, all where they are made.

The batches that a verifier multiplies are small: threads that wait for each other only cost time. A
prover beside it multiplies large ones, and ``loopin miner bench`` has told its owner what the whole
machine can do.
"""

import os

_THREADS = "OPENBLAS_NUM_THREADS"
_OURS = "LOOPIN_ONE_THREAD"
"""Says that the limit is a node's own, and not its operator's."""


def verify_with_one_thread() -> None:
    """Limit this process, unless its operator has chosen. Numpy reads it when it is imported."""
    if _THREADS not in os.environ:
        os.environ |= {_THREADS: "1", _OURS: "1"}


def environment_of_prover() -> dict[str, str]:
    """Return this process's environment without the limit that it has set for itself."""
    environment = dict(os.environ)
    if environment.pop(_OURS, None) is not None:
        environment.pop(_THREADS, None)
    return environment
